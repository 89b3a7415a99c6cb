-- Calls on files each second, by class, over the captured time in 120 steps.
--
-- @title Calls over time
-- @part time
-- @plot line x=time_s y=calls_per_s by=class fill=zero
-- @needs io
-- @from measures class time_s calls_per_s
WITH span AS (SELECT greatest(max(time_s + coalesce(dur_ns, 0) / 1e9), 1e-9) AS length_s FROM io),
binned AS (
    SELECT class, length_s / 120 AS step_s, CAST(least(greatest(time_s / length_s * 120, 0), 119) AS BIGINT) AS bin
    FROM io
    CROSS JOIN span
    WHERE time_s IS NOT NULL
)
SELECT class, bin * step_s AS time_s, count(*) / step_s AS calls_per_s
FROM binned
GROUP BY class, bin, step_s
ORDER BY class, time_s
