-- File systems in memory of the capture: a replay by root makes them anew, where nothing speaks against it.
--
-- @needs chosen
-- @column path VARCHAR mount point
-- @column stays VARCHAR why it stays on disk (fate.rs); absent when it can be made
SELECT at_path AS path, nullif(kind, '') AS stays
FROM chosen
WHERE tag = 'memory'
ORDER BY pos
