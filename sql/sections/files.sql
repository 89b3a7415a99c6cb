-- Files by the time that calls on them took, the 30 that took most.
--
-- @title Files
-- @part files
-- @plot table
-- @needs io
-- @from fileset path
-- @column calls BIGINT captured calls on it
-- @from measures total_ns read_bytes written_bytes
-- @column failed BIGINT calls that failed
WITH sides AS (
    SELECT path, dur_ns, errno, CASE WHEN class IN ('reads', 'copies') THEN bytes ELSE 0 END AS read,
        CASE WHEN class = 'writes' THEN bytes ELSE 0 END AS written
    FROM io
    UNION ALL
    SELECT path2 AS path, dur_ns, errno, 0 AS read, bytes AS written FROM io WHERE class = 'copies'
)
SELECT
    path,
    count(*) AS calls,
    CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS total_ns,
    CAST(sum(read) AS BIGINT) AS read_bytes,
    CAST(sum(written) AS BIGINT) AS written_bytes,
    count(*) FILTER (WHERE errno <> 0) AS failed
FROM sides
WHERE path IS NOT NULL
GROUP BY path
ORDER BY total_ns DESC, calls DESC, path
LIMIT 30
