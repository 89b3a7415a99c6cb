-- How long threads were outside of calls on files, from the end of one to the start of the next: a histogram.
--
-- @parameter bits BIGINT 0 binary digits behind the highest that a bucket keeps: with 0 buckets are powers of two
-- @needs io
-- @example SELECT * FROM think_times()
-- @column from_ns BIGINT lower end of the bucket, ns
-- @column gaps BIGINT how many were at least so long, and shorter than the next bucket
-- @column threads BIGINT threads that had such gaps
-- @column gap_ns BIGINT their time, all together, ns
WITH
ends AS (
    SELECT tid, CAST(round(time_s * 1e9) AS BIGINT) AS from_ns, dur_ns, seq FROM io WHERE time_s IS NOT NULL AND dur_ns IS NOT NULL
),
gaps AS (
    SELECT tid, from_ns - lag(from_ns + dur_ns) OVER (PARTITION BY tid ORDER BY from_ns, seq) AS gap FROM ends
)
SELECT bucket(gap, $bits) AS from_ns, count(*) AS gaps, count(DISTINCT tid) AS threads, sum(greatest(gap, 0)) AS gap_ns
FROM gaps
WHERE gap IS NOT NULL
GROUP BY bucket(gap, $bits)
ORDER BY from_ns
