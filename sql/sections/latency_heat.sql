-- When calls took how long: calls in 96 steps of the captured time, by their duration (two buckets to each power of two).
--
-- @title Captured latencies over time
-- @part latency
-- @plot heat x=time_s y=latency_ns z=calls log=y
-- @needs io
-- @from measures time_s latency_ns calls
WITH span AS (SELECT greatest(max(time_s + coalesce(dur_ns, 0) / 1e9), 1e-9) AS length_s FROM io),
binned AS (
    SELECT length_s / 96 AS step_s, CAST(least(greatest(time_s / length_s * 96, 0), 95) AS BIGINT) AS bin, bucket(dur_ns, 1) AS latency_ns
    FROM io
    CROSS JOIN span
    WHERE time_s IS NOT NULL AND dur_ns > 0
)
SELECT bin * step_s AS time_s, latency_ns, count(*) AS calls
FROM binned
GROUP BY bin, step_s, latency_ns
ORDER BY time_s, latency_ns
