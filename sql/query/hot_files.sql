-- The files that the workload uses: one row per path, those that move most bytes first.
--
-- A copy is an op on both of its files: it reads the one and writes the other. What is issued says which: sendfile to a
-- socket is a read.
--
-- @needs ops syscall_def
-- @from fileset path
-- @column ops BIGINT ops on it
-- @column read_bytes BIGINT bytes read from it
-- @column written_bytes BIGINT bytes written to it
-- @column failed BIGINT ops that failed in the capture
WITH sides AS (
    SELECT path, ret, errno, moves IN ('reads', 'copies') AS reads, moves = 'writes' AS writes
    FROM ops
    JOIN syscall_def AS def ON def.syscall = ops.op
    UNION ALL
    SELECT path2 AS path, ret, errno, false AS reads, true AS writes
    FROM ops
    JOIN syscall_def AS def ON def.syscall = ops.op
    WHERE moves = 'copies'
)
SELECT
    path,
    count(*) AS ops,
    CAST(coalesce(sum(ret) FILTER (WHERE ret > 0 AND reads), 0) AS BIGINT) AS read_bytes,
    CAST(coalesce(sum(ret) FILTER (WHERE ret > 0 AND writes), 0) AS BIGINT) AS written_bytes,
    count(*) FILTER (WHERE errno <> 0) AS failed
FROM sides
WHERE path IS NOT NULL
GROUP BY path
ORDER BY read_bytes + written_bytes DESC, ops DESC, path
