-- Who touches what: the spans of ops in which a lane touches a resource in one way, and nobody in another.
--
-- A resource is a number: its id, times 16, and its kind. Touches of ops that are not replayed do not count, but what
-- such rows say of the start and the end of processes and threads does, for the op of that lane before or after. Open
-- file descriptions that one lane had to itself are left out: nobody waits for it.
--
-- @needs chosen
-- @column resource BIGINT the resource
-- @column access BIGINT 0 reads it, 1 adds to it, 2 writes it
-- @column lane BIGINT the lane
-- @column first BIGINT the first op_id of the span
-- @column last BIGINT the last op_id of the span
-- @column ops_before BIGINT ops of the lane before the first
-- @column ns_before BIGINT their captured time, ns
-- @column ops_through BIGINT ops of the lane up to the last
-- @column ns_through BIGINT their captured time, ns
SELECT resource, access, lane, first, last, ops_before, ns_before, ops_through, ns_through
FROM touched(chosen)
