-- Ranges of files of the fileset that calls read, and known holes.
--
-- In a file the ranges of one kind are disjoint and ascend.
--
-- @needs walk
-- @column path VARCHAR absolute path
-- @column what VARCHAR read: calls read it; hole: the captured file had a hole
-- @column offset BIGINT first byte
-- @column length BIGINT bytes
SELECT at_path AS path, kind AS what, at_offset AS offset, size AS length
FROM walk
WHERE tag = 'extent'
ORDER BY pos
