-- Events that are not replayed, and why.
--
-- @needs fates
-- @from fates seq syscall reason
SELECT seq, syscall, reason
FROM fates
WHERE fate = 'drop'
