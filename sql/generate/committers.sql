-- Files that several lanes write back to the device: programs that do so may commit for each other (group commit), and how often
-- they do then depends on the device.
--
-- @needs ops
-- @column files BIGINT files with such calls in more than one lane
SELECT count(*) AS files
FROM (SELECT file FROM ops WHERE op IN ('fsync', 'fdatasync') AND file IS NOT NULL GROUP BY file HAVING min(lane) < max(lane)) AS shared
