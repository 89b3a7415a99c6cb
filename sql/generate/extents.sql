-- Ranges of files of the fileset that calls read or found to be data, known holes, and what was in the page cache when it was read first.
--
-- In a file the ranges of one kind are disjoint and ascend.
--
-- @needs chosen
-- @from extents
SELECT at_path AS path, kind AS what, at_offset AS offset, size AS length
FROM chosen
WHERE tag = 'extent'
ORDER BY pos
