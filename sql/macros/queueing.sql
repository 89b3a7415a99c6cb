-- Latency against concurrency: how long calls took, by how many of their class were under way when they began.
--
-- Where latency grows in step with the number, calls queue (at a lock, or at a device that does one thing at a time); where it stays,
-- they run side by side.
--
-- @parameter bits BIGINT 0 binary digits behind the highest that a bucket keeps: with 0 buckets are powers of two
-- @needs io
-- @example SELECT * FROM queueing()
-- @from measures class
-- @column in_flight BIGINT calls of the class under way when one began, itself included; lower end of the bucket
-- @from measures calls p50_ns p99_ns total_ns
WITH
calls AS (
    SELECT class, seq, time_s * 1e9 AS from_ns, dur_ns
    FROM io
    WHERE time_s IS NOT NULL AND dur_ns IS NOT NULL AND class IN ('reads', 'writes', 'syncs', 'copies')
),
steps AS (
    SELECT class, seq, from_ns AS at_ns, 1 AS step, dur_ns FROM calls
    UNION ALL
    -- A call without a duration is under way when it begins.
    SELECT class, seq, from_ns + greatest(dur_ns, 1), -1, dur_ns FROM calls
),
levels AS (
    SELECT
        class, step, dur_ns,
        sum(step) OVER (PARTITION BY class ORDER BY at_ns, step, seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS level
    FROM steps
)
SELECT
    class,
    bucket(level, $bits) AS in_flight,
    count(*) AS calls,
    percentile(dur_ns, 0.5) AS p50_ns,
    percentile(dur_ns, 0.99) AS p99_ns,
    sum(dur_ns) AS total_ns
FROM levels
WHERE step = 1
GROUP BY class, bucket(level, $bits)
ORDER BY class, in_flight
