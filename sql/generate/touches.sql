-- Who touches what: from which op to which a lane touches a resource in one way, while no other lane touches it in another.
--
-- A resource is a number: its id, times 16, and its kind. Touches of ops that are not replayed do not count, but what such rows
-- say of the start and the end of processes and threads does, for the op of that lane before or after. Open file descriptions
-- that only one lane used are left out: no other lane waits for them.
--
-- @needs chosen
-- @from measures resource access
-- @from lanes lane
-- @from measures first last ops_before ns_before ops_through ns_through
SELECT resource, access, lane, first, last, ops_before, ns_before, ops_through, ns_through
FROM touched(chosen)
