-- Bytes that calls read and wrote each second, over the captured time in 120 steps. What is copied counts on both sides.
--
-- @title Bytes over time
-- @part time
-- @plot line x=time_s y=read_bytes_per_s,written_bytes_per_s fill=zero
-- @needs io
-- @from measures time_s read_bytes_per_s written_bytes_per_s
WITH span AS (SELECT greatest(max(time_s + coalesce(dur_ns, 0) / 1e9), 1e-9) AS length_s FROM io),
binned AS (
    SELECT
        class, bytes, length_s / 120 AS step_s, CAST(least(greatest(time_s / length_s * 120, 0), 119) AS BIGINT) AS bin
    FROM io
    CROSS JOIN span
    WHERE time_s IS NOT NULL
)
SELECT
    bin * step_s AS time_s,
    coalesce(CAST(sum(bytes) FILTER (WHERE class IN ('reads', 'copies')) AS DOUBLE), 0) / step_s AS read_bytes_per_s,
    coalesce(CAST(sum(bytes) FILTER (WHERE class IN ('writes', 'copies')) AS DOUBLE), 0) / step_s AS written_bytes_per_s
FROM binned
GROUP BY bin, step_s
ORDER BY time_s
