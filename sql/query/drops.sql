-- Events that are not replayed, and why.
--
-- @needs fates
-- @column seq BIGINT the event
-- @column syscall VARCHAR name of the call
-- @column reason VARCHAR why it is dropped
SELECT seq, syscall, reason
FROM fates
WHERE fate = 'drop'
