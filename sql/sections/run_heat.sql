-- When replayed calls took how long: calls in 96 steps of the run, by their duration (two buckets to each power of two).
--
-- @title Replayed latencies over time
-- @part latency
-- @plot heat x=time_s y=latency_ns z=calls log=y
-- @needs results
-- @from measures time_s latency_ns calls
WITH span AS (SELECT greatest(CAST(max(begin + dur) AS DOUBLE), 1) / 1e9 AS length_s FROM results),
binned AS (
    SELECT
        length_s / 96 AS step_s,
        CAST(least(greatest(begin / 1e9 / length_s * 96, 0), 95) AS BIGINT) AS bin,
        bucket(dur, 1) AS latency_ns
    FROM results
    CROSS JOIN span
    WHERE dur > 0
)
SELECT bin * step_s AS time_s, latency_ns, count(*) AS calls
FROM binned
GROUP BY bin, step_s, latency_ns
ORDER BY time_s, latency_ns
