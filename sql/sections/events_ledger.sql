-- What became of the captured calls: replayed, bookkeeping, or dropped for one reason.
--
-- @title Ledger of calls
-- @part ledger
-- @plot table
-- @needs fates
-- @from fates fate reason
-- @column calls BIGINT captured calls
-- @column on_files BIGINT of them that coverage counts
SELECT fate, reason, count(*) AS calls, count(*) FILTER (WHERE on_file) AS on_files
FROM fates
GROUP BY fate, reason
ORDER BY calls DESC, fate, reason
