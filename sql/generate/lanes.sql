-- Where the ops of each lane are.
--
-- Ops are sorted by lane, so a lane is a run of rows: its first row is the number of ops of the lanes before it.
--
-- @needs ops
-- @column lane BIGINT the lane
-- @column vpid BIGINT its process
-- @column first_row BIGINT number of its first row in ops, from 0
-- @column ops BIGINT number of its ops
-- @column first_op BIGINT its first op_id
-- @column last_op BIGINT its last op_id
SELECT lane, vpid, CAST(sum(ops) OVER (ORDER BY lane) - ops AS BIGINT) AS first_row, ops, first_op, last_op
FROM (
    SELECT lane, min(vpid) AS vpid, count(*) AS ops, min(op_id) AS first_op, max(op_id) AS last_op
    FROM ops
    GROUP BY lane
)
ORDER BY lane
