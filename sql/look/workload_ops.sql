-- Ops of a workload in the order of their effects.
--
-- @needs ops
-- @from ops op_id
-- @from measures time_s
-- @from ops lane op path path2 offset count ret errno dur flags origin ofd file seq
SELECT
    op_id, CAST(ops.ts - began.ts AS DOUBLE) / 1e9 AS time_s, lane, op, path, path2, "offset", count, ret, errno, dur, flags,
    origin, ofd, file, seq
FROM ops
CROSS JOIN (SELECT min(ts) AS ts FROM ops) AS began
ORDER BY op_id
