-- Ops whose outcome differs from the captured one, with the path they were about.
--
-- @needs results ops
-- @from results op_id seq syscall kind captured_ret captured_errno ret errno
-- @from fileset path
SELECT
    results.op_id, results.seq, results.syscall, results.kind, captured_ret, captured_errno,
    results.ret, results.errno, ops.path
FROM results
JOIN ops ON ops.op_id = results.op_id
WHERE outcome = 'different'
ORDER BY op_id
