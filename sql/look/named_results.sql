-- The same with the files that the ops are about, where the workload is there, too.
--
-- @needs results ops
-- @from results op_id
-- @from measures begin_s
-- @from results lane op
-- @from ops path path2 offset
-- @from results dur captured_dur ret captured_ret errno captured_errno outcome kind lag worker process origin seq
SELECT
    r.op_id, CAST(r.begin AS DOUBLE) / 1e9 AS begin_s, r.lane, r.op, o.path, o.path2, o."offset", r.dur, r.captured_dur, r.ret,
    r.captured_ret, r.errno, r.captured_errno, r.outcome, r.kind, r.lag, r.worker, r.process, r.origin, r.seq
FROM results AS r
LEFT JOIN ops AS o ON o.op_id = r.op_id
ORDER BY r.op_id
