-- Which edges are needed: those that do not follow from others.
--
-- An edge that follows from the order inside lanes and from other edges that are kept is not kept itself, so however lanes are
-- folded onto workers, the edges that are kept are enough. `ops_held` and `ns_held` are the longest path to the op, over lanes
-- and edges, less what its own lane has done before it. An edge with a delay is always kept: that one op follows another may
-- be no news, but by how long is.
--
-- @needs follows
-- @order op_id
-- @from edges op_id lane after after_lane resource
-- @from edges delay
-- @column kept BOOLEAN does it say something new?
-- @column ops_held BIGINT longest path before the op, ops, less those of its own lane
-- @column ns_held BIGINT longest path before the op, ns of captured calls, less those of its own lane
SELECT op_id, lane, after, after_lane, resource, delay, kept, ops_held, ns_held
FROM pruned(follows)
