-- How often the model had to infer what the capture does not say.
--
-- @needs chosen
-- @column guess VARCHAR what was inferred
-- @column times BIGINT how often
SELECT kind AS guess, size AS times
FROM chosen
WHERE tag = 'guess'
ORDER BY pos
