-- Calls whose outcome differs or is not compared, by how.
--
-- @title Differences
-- @part fidelity
-- @plot table
-- @needs divergences
-- @column outcome VARCHAR whether it differs or was left out of the comparison
-- @from results kind syscall captured_errno
-- @column errno BIGINT error that the replayed call had
-- @column calls BIGINT such calls
-- @column first_op BIGINT op_id of the first
SELECT outcome, kind, syscall, captured_errno, errno, calls, first_op
FROM divergences
ORDER BY outcome, calls DESC, first_op
LIMIT 20
