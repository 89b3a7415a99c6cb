-- How often the model had to infer what the capture does not say.
--
-- @needs walk
-- @column guess VARCHAR what was inferred
-- @column times BIGINT how often
SELECT kind AS guess, size AS times
FROM walk
WHERE tag = 'guess'
ORDER BY pos
