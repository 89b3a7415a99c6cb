-- Classes of at least 1000 calls of which the slowest hundredth takes more than half of the time.
--
-- @title A few calls take most of the time
-- @severity info
-- @advice Look at when these calls were (the heat map of latencies): they may wait for write-back, for a lock, or for
-- @advice others on the device.
-- @source distribution of the durations in the capture
-- @needs io
-- @from measures subject evidence cost_ns
WITH tails AS (SELECT class, percentile(dur_ns, 0.99) AS p99_ns FROM io WHERE dur_ns >= 0 GROUP BY class)
SELECT
    concat('class ', class) AS subject,
    concat(slow, ' of ', calls, ' calls took longer than ', p99_ns, ' ns, together ', TRY_CAST(round(CAST(slow_ns AS DOUBLE) * 100 / nullif(all_ns, 0)) AS BIGINT), ' % of the time') AS evidence,
    slow_ns AS cost_ns
FROM (
    SELECT
        tails.class, tails.p99_ns,
        count(*) AS calls,
        count(*) FILTER (WHERE dur_ns > p99_ns) AS slow,
        CAST(coalesce(sum(dur_ns) FILTER (WHERE dur_ns > p99_ns), 0) AS BIGINT) AS slow_ns,
        CAST(sum(dur_ns) AS BIGINT) AS all_ns
    FROM tails
    JOIN io ON io.class = tails.class
    WHERE dur_ns >= 0
    GROUP BY tails.class, tails.p99_ns
)
WHERE calls >= 1000 AND CAST(slow_ns AS DOUBLE) > 0.5 * all_ns
ORDER BY cost_ns DESC, subject
LIMIT 5
