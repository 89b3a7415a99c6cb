-- Processes by the time that their calls on files took, the 30 that took most.
--
-- @title Processes
-- @part processes
-- @plot table
-- @needs io
-- @from events pid
-- @column threads BIGINT its threads with calls on files
-- @column calls BIGINT its calls on files
-- @from measures total_ns read_bytes written_bytes
-- @column first_s DOUBLE when its first call began, seconds since the first call of all
-- @column last_s DOUBLE when its last call began
SELECT
    pid,
    count(DISTINCT tid) AS threads,
    count(*) AS calls,
    CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS total_ns,
    CAST(coalesce(sum(bytes) FILTER (WHERE class IN ('reads', 'copies')), 0) AS BIGINT) AS read_bytes,
    CAST(coalesce(sum(bytes) FILTER (WHERE class IN ('writes', 'copies')), 0) AS BIGINT) AS written_bytes,
    min(time_s) AS first_s,
    max(time_s) AS last_s
FROM io
GROUP BY pid
ORDER BY total_ns DESC, calls DESC, pid
LIMIT 30
