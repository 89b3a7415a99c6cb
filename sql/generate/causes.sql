-- What ops waited for beside resources: bytes that somebody else wrote to a pipe or a pair of sockets, a thread that woke theirs,
-- the start of their own task or the end of another.
--
-- A row says that an op began `delay` after the end of an op of another lane, all waiting left out. A lane that issues no ops
-- hands on what it waited for itself.
--
-- @needs chosen
-- @order op_id
-- @from edges op_id lane after after_lane
-- @from measures kind
-- @from edges delay
-- @from measures ops_before ns_before ops_through ns_through
SELECT op_id, lane, after, after_lane, kind, delay, ops_before, ns_before, ops_through, ns_through
FROM caused(chosen)
