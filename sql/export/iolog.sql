-- Calls on files in the order of their effects, for the log of fio.
--
-- @needs io
-- @from events seq
-- @from measures time_s
-- @from ops syscall
-- @from measures class
-- @from ops ofd path offset
-- @from measures bytes
SELECT seq, time_s, syscall, class, ofd, path, "offset", bytes
FROM io
ORDER BY seq
