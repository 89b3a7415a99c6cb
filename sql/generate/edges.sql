-- Which ops of other lanes an op must follow in resource order.
--
-- The stage gives them in the order of the ops that wait, and the writer puts those of a lane together.
--
-- @needs pruned
-- @column op_id BIGINT the op that waits
-- @column lane BIGINT its lane
-- @column after BIGINT the op it must follow, always an earlier one
-- @column after_lane BIGINT the lane of that op, always another one
-- @column resource VARCHAR kind of the resource that both touch
SELECT op_id, lane, after, after_lane, resource
FROM pruned
WHERE kept
ORDER BY op_id
