-- What is replayed: one row per op, by lane, inside a lane in order.
--
-- Op ids are dense in order of effect over all lanes. The stage gives the ops in this order, and the writer puts those of a
-- lane together as they come. `offset` is the argument where the call has one, else the shared position of its descriptor at
-- that moment. Calls with two descriptors pass positions by pointer, and NULL there has a meaning of its own. What an op waits
-- for in a lane with requests (reaped, settled) `numbered` works out.
--
-- @needs chosen
-- @from ops
SELECT op_id, {op}, think, compute, unexplained, timer, {arguments}, reaped, settled, changed
FROM numbered(chosen)
ORDER BY pos
