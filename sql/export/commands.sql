-- Names of the processes that were there when a live capture began.
--
-- @needs processes
-- @from processes pid comm
SELECT DISTINCT pid, comm
FROM processes
ORDER BY pid, comm
