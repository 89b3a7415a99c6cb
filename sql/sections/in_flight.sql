-- How many calls on files were under way at once: the share of the captured time, by powers of two of their number.
--
-- @title Calls in flight
-- @part concurrency
-- @plot bars x=in_flight y=time_share
-- @needs io
-- @column in_flight BIGINT calls under way, at least; up to the next row's
-- @column time_share DOUBLE of the captured time, 0 to 1
WITH steps AS (
    SELECT time_s AS at_s, 1 AS step FROM io WHERE time_s IS NOT NULL AND dur_ns > 0
    UNION ALL
    SELECT time_s + dur_ns / 1e9 AS at_s, -1 AS step FROM io WHERE time_s IS NOT NULL AND dur_ns > 0
),
levels AS (
    SELECT
        sum(step) OVER (ORDER BY at_s, step ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW) AS in_flight,
        lead(at_s) OVER (ORDER BY at_s, step) - at_s AS length_s
    FROM steps
)
SELECT bucket(in_flight, 0) AS in_flight, sum(length_s) / nullif(sum(sum(length_s)) OVER (), 0) AS time_share
FROM levels
WHERE length_s > 0
GROUP BY bucket(in_flight, 0)
ORDER BY in_flight
