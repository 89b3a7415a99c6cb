-- Which ops must follow which: every edge that a resource asks for.
--
-- All of a phase comes after all of the one before it. Inside a lane that is so anyway, so it is enough that the first op
-- of each lane in a phase follows the last op of every other lane in the phase before; earlier phases follow from that.
--
-- @needs phases
-- @column op_id BIGINT the op that waits
-- @column lane BIGINT its lane
-- @column after BIGINT the op it must follow, always an earlier one
-- @column after_lane BIGINT the lane of that op, always another one
-- @column kind BIGINT kind of the resource
-- @column ops_before BIGINT ops of the lane before the op that waits
-- @column ns_before BIGINT their captured time, ns
-- @column ops_through BIGINT ops of the other lane up to the one that it waits for
-- @column ns_through BIGINT their captured time, ns
SELECT
    later.first AS op_id, later.lane, earlier.last AS after, earlier.lane AS after_lane, later.resource % 16 AS kind,
    later.ops_before, later.ns_before, earlier.ops_through, earlier.ns_through
FROM phases AS earlier
JOIN phases AS later
    ON later.resource = earlier.resource AND later.phase = earlier.phase + 1 AND later.lane <> earlier.lane
