-- How much of the files was read or written over time: different pages in each slice, and since the start.
--
-- @parameter width DURATION 1s length of a slice
-- @parameter page SIZE 64K size of a page, 512 bytes at least: of a smaller one 512
-- @needs accesses
-- @example SELECT * FROM working_set('100ms', '4K')
-- @from measures slice_s
-- @column pages BIGINT different pages that were read or written in it
-- @column set_bytes BIGINT their size, bytes
-- @column new_pages BIGINT of them for the first time
-- @column all_bytes BIGINT size of all pages that were read or written so far, bytes
WITH
spans AS (
    SELECT
        CAST(floor(time_s * 1e9 / greatest($width, 1)) AS BIGINT) AS slice, file,
        unnest(generate_series(offset / greatest($page, 512), offset / greatest($page, 512) + at_most(
            (offset % greatest($page, 512) + bytes - 1) / greatest($page, 512), 4194304, 'pages of one access are too many: larger pages make fewer'
        ))) AS page
    FROM accesses
    WHERE time_s IS NOT NULL AND offset IS NOT NULL
),
touched AS (SELECT DISTINCT slice, file, page FROM spans),
ranked AS (SELECT slice, row_number() OVER (PARTITION BY file, page ORDER BY slice) AS nth FROM touched),
sums AS (SELECT slice, count(*) AS pages, count(*) FILTER (WHERE nth = 1) AS new_pages FROM ranked GROUP BY slice)
SELECT
    CAST(slice * greatest($width, 1) AS DOUBLE) / 1e9 AS slice_s,
    pages,
    pages * greatest($page, 512) AS set_bytes,
    new_pages,
    sum(new_pages) OVER (ORDER BY slice) * greatest($page, 512) AS all_bytes
FROM sums
ORDER BY slice_s
