-- Calls on files in the order of their starts, for the trace of Perfetto; of those that start at once the longest first.
--
-- @needs io
-- @from events seq
-- @from measures time_s
-- @from measures dur_ns
-- @from events pid tid
-- @from ops syscall
-- @from measures class
-- @from ops path path2 offset
-- @from measures bytes
-- @from ops errno
SELECT seq, time_s, dur_ns, pid, tid, syscall, class, path, path2, "offset", bytes, errno
FROM io
ORDER BY time_s NULLS LAST, dur_ns DESC NULLS LAST, seq
