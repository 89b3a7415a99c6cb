-- What became of each event: the ledger in rows.
--
-- Every event has exactly one row, so `op + model + drop` is the number of events.
--
-- @needs chosen
-- @from fates
SELECT seq, fate, reason, syscall, on_file
FROM chosen
WHERE tag = 'event'
ORDER BY pos
