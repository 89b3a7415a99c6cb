-- Calls on files as a workload has them: the view `io` where no capture is given.
--
-- A process is the dense number of it here (`vpid`), a thread likewise, what it ran is not known,
-- and calls that are not replayed are missing.
--
-- @needs ops
-- @from ops seq
-- @column time TIMESTAMP absent
-- @from measures time_s dur_ns
-- @from events pid tid
-- @from ops syscall
-- @from measures class
-- @from ops ofd file path path2 offset
-- @from measures bytes
-- @from ops errno flags
-- @column comm VARCHAR absent
-- @column exe VARCHAR absent
-- @column user_id BIGINT absent
-- @column rank BIGINT absent
-- @from measures directory
-- @column dev BIGINT absent
-- @column direct BOOLEAN absent
-- @column synced BOOLEAN absent
-- @column append BOOLEAN absent
WITH began AS (SELECT min(ts) AS ts FROM ops)
SELECT
    ops.seq,
    CAST(NULL AS TIMESTAMP) AS time,
    CAST(ops.ts - began.ts AS DOUBLE) / 1e9 AS time_s,
    ops.dur AS dur_ns,
    ops.vpid AS pid,
    ops.vtid AS tid,
    ops.syscall,
    coalesce(def.class, 'rest') AS class,
    ops.ofd, ops.file, ops.path, ops.path2, ops.offset,
    CASE WHEN def.moves IS NULL OR def.moves = 'nothing' OR ops.ret <= 0 THEN 0 ELSE coalesce(ops.ret, 0) END AS bytes,
    ops.errno, ops.flags,
    CAST(NULL AS VARCHAR) AS comm,
    CAST(NULL AS VARCHAR) AS exe,
    CAST(NULL AS BIGINT) AS user_id,
    CAST(NULL AS BIGINT) AS rank,
    coalesce(nullif(regexp_replace(ops.path, '/[^/]*$', ''), ''), CASE WHEN ops.path LIKE '/%' THEN '/' END) AS directory,
    CAST(NULL AS BIGINT) AS dev,
    CAST(NULL AS BOOLEAN) AS direct,
    CAST(NULL AS BOOLEAN) AS synced,
    CAST(NULL AS BOOLEAN) AS append
FROM began
CROSS JOIN ops
LEFT JOIN syscall_def AS def ON def.syscall = ops.op
WHERE ops.origin = 'event'
