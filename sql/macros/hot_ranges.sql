-- Ranges of files with the most reads and writes, over time.
--
-- An access counts in the range in which it begins.
--
-- @parameter width DURATION 1s length of a slice of time
-- @parameter range SIZE 1M length of a range of a file
-- @parameter most BIGINT 100 rows, at most
-- @needs accesses
-- @example SELECT * FROM hot_ranges('100ms', '4K')
-- @column path VARCHAR path of the file
-- @column from_bytes BIGINT start of the range, bytes
-- @from measures slice_s
-- @column reads BIGINT reads of it
-- @column writes BIGINT writes of it
-- @from measures bytes total_ns
WITH placed AS (
    SELECT
        file, path, class, bytes, dur_ns,
        CAST(floor(time_s * 1e9 / greatest($width, 1)) AS BIGINT) AS slice,
        offset / greatest($range, 1) AS place
    FROM accesses
    WHERE time_s IS NOT NULL AND offset IS NOT NULL
)
SELECT
    min(path) AS path,
    place * greatest($range, 1) AS from_bytes,
    CAST(slice * greatest($width, 1) AS DOUBLE) / 1e9 AS slice_s,
    count(*) FILTER (WHERE class = 'reads') AS reads,
    count(*) FILTER (WHERE class = 'writes') AS writes,
    sum(bytes) AS bytes,
    coalesce(sum(dur_ns), 0) AS total_ns
FROM placed
GROUP BY file, place, slice
ORDER BY bytes DESC, path, from_bytes, slice_s
LIMIT $most
