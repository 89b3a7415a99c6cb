-- Ops and bytes each second of the replay, in 120 steps.
--
-- @title Replayed calls and bytes over time
-- @part time
-- @plot line x=time_s y=ops_per_s fill=zero
-- @needs results syscall_def
-- @column time_s DOUBLE seconds since the start of the replay
-- @column ops_per_s DOUBLE ops that began, each second
-- @column bytes_per_s DOUBLE bytes that they moved, each second
WITH span AS (SELECT greatest(CAST(max(begin + dur) AS DOUBLE), 1) / 1e9 AS length_s FROM results),
binned AS (
    SELECT
        CASE WHEN moves IS NULL OR moves = 'nothing' OR ret <= 0 THEN 0 ELSE coalesce(ret, 0) END AS bytes,
        length_s / 120 AS step_s,
        CAST(least(greatest(begin / 1e9 / length_s * 120, 0), 119) AS BIGINT) AS bin
    FROM span
    CROSS JOIN results
    LEFT JOIN syscall_def AS def ON def.syscall = results.op
    WHERE dur IS NOT NULL
)
SELECT bin * step_s AS time_s, count(*) / step_s AS ops_per_s, CAST(sum(bytes) AS DOUBLE) / step_s AS bytes_per_s
FROM binned
GROUP BY bin, step_s
ORDER BY time_s
