-- How many calls on files were under way on average, over the captured time in 120 steps.
--
-- A call counts in the step in which it began: a long one makes that step stand out.
--
-- @title Concurrency over time
-- @part concurrency
-- @plot line x=time_s y=mean_in_flight,threads fill=zero
-- @needs io
-- @from measures time_s
-- @column mean_in_flight DOUBLE time in calls that began in the step, over its length
-- @column threads BIGINT threads with calls that began in the step
WITH span AS (SELECT greatest(max(time_s + coalesce(dur_ns, 0) / 1e9), 1e-9) AS length_s FROM io),
binned AS (
    SELECT tid, dur_ns, length_s / 120 AS step_s, CAST(least(greatest(time_s / length_s * 120, 0), 119) AS BIGINT) AS bin
    FROM io
    CROSS JOIN span
    WHERE time_s IS NOT NULL
)
SELECT
    bin * step_s AS time_s,
    coalesce(CAST(sum(dur_ns) AS DOUBLE), 0) / 1e9 / step_s AS mean_in_flight,
    count(DISTINCT tid) AS threads
FROM binned
GROUP BY bin, step_s
ORDER BY time_s
