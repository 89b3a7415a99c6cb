-- Which ops of other lanes an op must follow in resource order.
--
-- The stage gives them in the order of the ops that wait, and the writer puts those of a lane together.
--
-- @needs pruned
-- @from edges
SELECT op_id, lane, after, after_lane, resource, delay
FROM pruned
WHERE kept
ORDER BY op_id
