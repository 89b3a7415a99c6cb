-- Edges whose ends were issued in the wrong order: none, when a replay keeps the resource order.
--
-- Each row is an op that began before an op that it must follow was done. Needs the workload and a run of it. Runs with
-- `--order thread` promise nothing and may have some. Where syncs of a file were left out (`--syncs regroup`), nobody had to wait for one
-- of them, and none counts.
--
-- @needs edges results ops syscall_def
-- @column op_id BIGINT the op that should have waited
-- @from edges lane after after_lane resource
-- @column begin BIGINT when the op began, ns since the start of the replay
-- @column done BIGINT when the op it must follow was done, ns since the start of the replay
WITH regrouped AS (
    SELECT DISTINCT ops.file
    FROM results
    JOIN ops ON ops.op_id = results.op_id
    WHERE results.kind = 'regrouped'
),
needless AS (
    SELECT ops.op_id
    FROM ops
    JOIN regrouped ON regrouped.file = ops.file
    JOIN syscall_def AS def ON def.syscall = ops.op
    WHERE def.class = 'syncs'
)
SELECT
    edges.op_id, edges.lane, edges.after, edges.after_lane, edges.resource, later.begin,
    earlier.begin + coalesce(earlier.dur, 0) AS done
FROM edges
JOIN results AS later ON later.op_id = edges.op_id
JOIN results AS earlier ON earlier.op_id = edges.after
LEFT JOIN needless ON needless.op_id = edges.after
WHERE later.begin < earlier.begin + coalesce(earlier.dur, 0) AND needless.op_id IS NULL
ORDER BY op_id, after
