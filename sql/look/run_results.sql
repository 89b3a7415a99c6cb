-- Results of a run in the order of the effects of its ops.
--
-- @needs results
-- @from results op_id
-- @from measures begin_s
-- @from results lane op dur captured_dur ret captured_ret errno captured_errno outcome kind lag worker process origin seq
SELECT
    op_id, CAST(begin AS DOUBLE) / 1e9 AS begin_s, lane, op, dur, captured_dur, ret, captured_ret, errno, captured_errno, outcome, kind,
    lag, worker, process, origin, seq
FROM results
ORDER BY op_id
