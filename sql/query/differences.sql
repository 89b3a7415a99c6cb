-- Ops whose outcome differs from the captured one, with the path they were about.
--
-- @needs results ops
-- @column op_id BIGINT the op
-- @column seq BIGINT its event
-- @column syscall VARCHAR name of the captured call
-- @column kind VARCHAR how it differs
-- @column captured_ret BIGINT return value in the capture
-- @column captured_errno BIGINT error in the capture
-- @column ret BIGINT return value in the replay
-- @column errno BIGINT error in the replay
-- @column path VARCHAR absolute path
SELECT
    results.op_id, results.seq, results.syscall, results.kind, captured_ret, captured_errno,
    results.ret, results.errno, ops.path
FROM results
JOIN ops ON ops.op_id = results.op_id
WHERE outcome = 'different'
ORDER BY op_id
