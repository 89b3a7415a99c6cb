-- How many files of the fileset there are whose content is known by samples, and what they would take compressed.
--
-- One row.
--
-- @needs fileset contents
-- @column files BIGINT files of whose content something is known
-- @column bytes BIGINT their sizes
-- @column compressed BIGINT bytes that they would take, compressed as their samples
-- @column own BIGINT how many of the files were sampled themselves
SELECT
    count(*) AS files,
    CAST(coalesce(sum(fileset.size), 0) AS BIGINT) AS bytes,
    -- Samples of a capture from elsewhere may say anything.
    CAST(greatest(least(coalesce(sum(fileset.size * (CAST(fileset.compressed AS DOUBLE) / fileset.sampled)), 0), 1e18), -1e18) AS BIGINT) AS compressed,
    count(own.path) AS own
FROM fileset LEFT JOIN (SELECT DISTINCT path FROM contents) AS own ON fileset.path = own.path
WHERE fileset.sampled > 0 AND coalesce(target, '') = ''
