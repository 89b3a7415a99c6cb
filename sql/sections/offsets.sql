-- Where in the three files with most accesses reads and writes began, over time: 96 steps of time, 48 of each file.
--
-- @title Offsets over time of the busiest files
-- @part offsets
-- @plot heat x=time_s y=offset_bytes z=accesses by=path
-- @needs accesses
-- @from fileset path
-- @from measures time_s
-- @column offset_bytes BIGINT where the part of the file begins, bytes
-- @column accesses BIGINT reads and writes that began there
WITH span AS (SELECT greatest(max(time_s), 1e-9) AS length_s FROM accesses),
hot AS (
    SELECT path, greatest(max(offset + bytes), 1) AS extent
    FROM accesses
    WHERE path IS NOT NULL AND offset >= 0
    GROUP BY path
    ORDER BY count(*) DESC, path
    LIMIT 3
),
binned AS (
    SELECT
        accesses.path, length_s / 96 AS step_s, extent,
        CAST(least(greatest(time_s / length_s * 96, 0), 95) AS BIGINT) AS bin,
        CAST(least(greatest(CAST(offset AS DOUBLE) / extent * 48, 0), 47) AS BIGINT) AS part
    FROM hot
    JOIN accesses ON accesses.path = hot.path
    CROSS JOIN span
    WHERE time_s IS NOT NULL AND offset >= 0
)
SELECT
    path,
    bin * step_s AS time_s,
    CAST(part * (CAST(extent AS DOUBLE) / 48) AS BIGINT) AS offset_bytes,
    count(*) AS accesses
FROM binned
GROUP BY path, bin, step_s, part, extent
ORDER BY path, time_s, offset_bytes
