-- Slices of time with many calls that open files or read or change metadata.
--
-- @parameter width DURATION 100ms length of a slice
-- @parameter least DOUBLE 1000 calls per second from which on a slice is listed
-- @needs io
-- @example SELECT * FROM metadata_storms('100ms', 20)
-- @from measures slice_s
-- @from measures calls calls_per_s
-- @from measures failed
-- @column processes BIGINT processes that made them
-- @from measures paths
-- @column spent_ns BIGINT time in them, all together, ns
WITH sliced AS (
    SELECT CAST(floor(time_s * 1e9 / greatest($width, 1)) AS BIGINT) AS slice, pid, path, errno, dur_ns
    FROM io
    WHERE time_s IS NOT NULL AND class IN ('opens', 'looks', 'changes')
)
SELECT
    CAST(slice * greatest($width, 1) AS DOUBLE) / 1e9 AS slice_s,
    count(*) AS calls,
    count(*) / (greatest($width, 1) / 1e9) AS calls_per_s,
    count(*) FILTER (WHERE errno <> 0) AS failed,
    count(DISTINCT pid) AS processes,
    count(DISTINCT path) AS paths,
    coalesce(sum(dur_ns), 0) AS spent_ns
FROM sliced
GROUP BY slice
HAVING count(*) / (greatest($width, 1) / 1e9) >= $least
ORDER BY slice_s
