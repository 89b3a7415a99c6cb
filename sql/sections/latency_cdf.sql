-- The share of captured calls that took less than a time, by class.
--
-- Durations are counted in buckets, eight to each power of two: the time is the upper end of a bucket.
--
-- @title Latencies of captured calls
-- @part latency
-- @plot line x=latency_ns y=share by=class log=x
-- @needs io
-- @from measures class latency_ns share
WITH counted AS (
    SELECT class, bucket(dur_ns, 3) AS least, count(*) AS calls
    FROM io
    WHERE dur_ns >= 0
    GROUP BY class, bucket(dur_ns, 3)
)
SELECT
    class,
    least + least / 8 + 1 AS latency_ns,
    CAST(sum(calls) OVER (PARTITION BY class ORDER BY least) AS DOUBLE) / sum(calls) OVER (PARTITION BY class) AS share
FROM counted
ORDER BY class, latency_ns
