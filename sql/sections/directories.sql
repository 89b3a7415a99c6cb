-- Directories by the time that calls on what is in them took, the 20 that took most.
--
-- @title Directories
-- @part files
-- @plot table
-- @needs io
-- @column directory VARCHAR absolute path of the directory
-- @column files BIGINT names in it that calls were about
-- @column calls BIGINT calls on them
-- @from measures total_ns read_bytes written_bytes
SELECT
    regexp_replace(path, '/[^/]*$', '') || '/' AS directory,
    count(DISTINCT path) AS files,
    count(*) AS calls,
    CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS total_ns,
    CAST(coalesce(sum(bytes) FILTER (WHERE class IN ('reads', 'copies')), 0) AS BIGINT) AS read_bytes,
    CAST(coalesce(sum(bytes) FILTER (WHERE class = 'writes'), 0) AS BIGINT) AS written_bytes
FROM io
WHERE path IS NOT NULL
GROUP BY regexp_replace(path, '/[^/]*$', '') || '/'
ORDER BY total_ns DESC, calls DESC, directory
LIMIT 20
