-- The share of replayed calls that took less than a time, beside the captured ones.
--
-- @title Latencies, captured and replayed
-- @part latency
-- @plot line x=latency_ns y=share by=side log=x
-- @needs results
-- @column side VARCHAR captured or replayed
-- @from measures latency_ns share
WITH durations AS (
    SELECT 'replayed' AS side, dur FROM results WHERE origin = 'event' AND dur IS NOT NULL
    UNION ALL
    SELECT 'captured' AS side, captured_dur AS dur FROM results WHERE origin = 'event' AND dur IS NOT NULL
),
counted AS (
    SELECT side, bucket(dur, 3) AS least, count(*) AS calls
    FROM durations
    WHERE dur >= 0
    GROUP BY side, bucket(dur, 3)
)
SELECT
    side,
    least + least / 8 + 1 AS latency_ns,
    CAST(sum(calls) OVER (PARTITION BY side ORDER BY least) AS DOUBLE) / sum(calls) OVER (PARTITION BY side) AS share
FROM counted
ORDER BY side, latency_ns
