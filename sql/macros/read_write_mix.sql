-- Reads, writes and other calls over time, in slices. Slices without a call have no row.
--
-- @parameter width DURATION 1s length of a slice
-- @needs io
-- @example SELECT * FROM read_write_mix('100ms')
-- @from measures slice_s
-- @column reads BIGINT reads that began in it
-- @column writes BIGINT writes that began in it
-- @column others BIGINT other calls on files that began in it
-- @from measures read_bytes written_bytes
-- @column read_share DOUBLE of the bytes read and written, 0 to 1; absent where there are none
WITH sliced AS (
    SELECT CAST(floor(time_s * 1e9 / greatest($width, 1)) AS BIGINT) AS slice, class, bytes FROM io WHERE time_s IS NOT NULL
),
sums AS (
    SELECT
        slice,
        count(*) FILTER (WHERE class = 'reads') AS reads,
        count(*) FILTER (WHERE class = 'writes') AS writes,
        count(*) FILTER (WHERE class NOT IN ('reads', 'writes')) AS others,
        coalesce(sum(bytes) FILTER (WHERE class = 'reads'), 0) AS read_bytes,
        coalesce(sum(bytes) FILTER (WHERE class = 'writes'), 0) AS written_bytes
    FROM sliced
    GROUP BY slice
)
SELECT
    CAST(slice * greatest($width, 1) AS DOUBLE) / 1e9 AS slice_s,
    reads, writes, others, read_bytes, written_bytes,
    read_bytes / nullif(CAST(read_bytes + written_bytes AS DOUBLE), 0) AS read_share
FROM sums
ORDER BY slice_s
