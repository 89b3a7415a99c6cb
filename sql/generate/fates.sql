-- What became of each event: the ledger in rows.
--
-- Every event has exactly one row, so `op + model + drop` is the number of events.
--
-- @needs chosen
-- @column seq BIGINT the event
-- @column fate VARCHAR op, model or drop
-- @column reason VARCHAR why it is dropped
-- @column syscall VARCHAR name of the call
-- @column on_file BOOLEAN does coverage count it: a call on a regular file, directory or symlink outside pseudo file systems, or one that nobody knows?
SELECT seq, fate, reason, syscall, on_file
FROM chosen
WHERE tag = 'event'
ORDER BY pos
