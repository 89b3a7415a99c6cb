-- An edge makes an op follow one that is not before it, or that is not in the lane that it names: ops would wait for each other without
-- end.
--
-- @title Op that follows itself or a later one
-- @severity error
-- @advice Take the edge out: an op follows earlier ops of other lanes only.
-- @source docs/ARCHITECTURE.md, Order
-- @needs edges lanes
-- @from measures subject evidence
SELECT concat('op ', op_id) AS subject, concat('of lane ', edges.lane, ' follows op ', after, ' of lane ', after_lane) AS evidence
FROM lanes
RIGHT JOIN edges ON edges.after_lane = lanes.lane
WHERE after >= op_id OR after_lane = edges.lane OR lanes.lane IS NULL OR after < lanes.first_op OR after > lanes.last_op
ORDER BY op_id
