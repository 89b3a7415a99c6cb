-- How the replayed calls went beside the captured ones.
--
-- @title Outcomes
-- @part fidelity
-- @plot table
-- @needs outcomes
-- @from results outcome kind
-- @column ops BIGINT replayed calls
-- @column share DOUBLE of all replayed calls, 0 to 1
SELECT outcome, kind, ops, share
FROM outcomes
ORDER BY ops DESC, outcome, kind
LIMIT 20
