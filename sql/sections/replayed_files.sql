-- Files by the time that replayed calls on them took, the 20 that took most.
--
-- @title Files in the replay
-- @part files
-- @plot table
-- @needs file_times
-- @from fileset path
-- @column calls BIGINT replayed calls on it
-- @from measures total_ns captured_total_ns p99_ns read_bytes written_bytes different
SELECT path, calls, total_ns, captured_total_ns, p99_ns, read_bytes, written_bytes, different
FROM file_times
ORDER BY total_ns DESC, path
LIMIT 20
