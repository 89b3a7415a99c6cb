-- Captured threads by the time that their calls took, the 20 that took most.
--
-- @title Lanes
-- @part order
-- @plot table
-- @needs lanes
-- @from lanes lane vpid ops edges
-- @column busy_ns BIGINT how long its calls took, ns
SELECT lane, vpid, ops, edges, busy AS busy_ns
FROM lanes
ORDER BY busy_ns DESC NULLS LAST, lane
LIMIT 20
