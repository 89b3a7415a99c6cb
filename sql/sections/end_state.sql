-- The tree after the replay: predicted against found.
--
-- @title End state
-- @part state
-- @plot table
-- @needs state
-- @from state verdict
-- @column paths BIGINT how many paths
-- @column example VARCHAR one of them
SELECT verdict, count(*) AS paths, min(path) AS example
FROM state
GROUP BY verdict
ORDER BY paths DESC, verdict
