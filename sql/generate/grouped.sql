-- Files that the program wrote back for several threads at once (group commit): who finds nobody at it does so for all who wait.
--
-- That is taken from what the capture shows: at least 20 syncs of the file, by several lanes, never two of them under way at once, and
-- each after a write that no sync before it has covered. At most 1024 files, those with most syncs.
--
-- @needs ops syscall_def
-- @from ops file
WITH timed AS (
    SELECT ops.file, ops.op_id, ops.lane, ops.ring, ops.ts, ops.ts + ops.dur AS over, ops.ret, def.class = 'syncs' AS syncs
    FROM ops
    JOIN syscall_def AS def ON def.syscall = ops.op
    WHERE ops.file IS NOT NULL AND def.class IN ('writes', 'syncs')
),
shared AS (
    SELECT file
    FROM timed
    WHERE syncs
    GROUP BY file
    HAVING min(lane) < max(lane) AND count(*) >= 20 AND count(ring) = 0 AND count(*) = count(over) AND count(*) = count(ret) FILTER (WHERE ret = 0)
),
calls AS (SELECT timed.* FROM timed JOIN shared ON shared.file = timed.file),
turns AS (
    SELECT
        file, ts, syncs,
        lag(syncs) OVER (PARTITION BY file ORDER BY op_id) AS synced,
        max(CASE WHEN syncs THEN over END) OVER (PARTITION BY file ORDER BY op_id ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS before
    FROM calls
),
judged AS (
    SELECT file, count(*) AS syncs
    FROM turns
    WHERE syncs
    GROUP BY file
    HAVING count(*) FILTER (WHERE ts < before) = 0 AND count(*) FILTER (WHERE synced) = 0
),
most AS (SELECT file FROM judged ORDER BY syncs DESC, file LIMIT 1024)
SELECT file FROM most ORDER BY file
