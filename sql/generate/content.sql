-- What is known of the content of files, by path, by the suffix of the name, and of all together.
--
-- A file that was not sampled (deleted before the end of the capture, or not readable) is taken to be like those that were and
-- whose name ends alike, and else like all that were.
--
-- A path stands in table `contents` once; where a capture from elsewhere has it several times, it is one file here all the same.
--
-- @needs contents
-- @column what VARCHAR file, suffix or all
-- @column key VARCHAR the path; the suffix with its dot; a star
-- @from contents sampled compressed incompressible zeroes repeated profile
-- @from written profile_size
SELECT
    'file' AS what, path AS key, max(sampled) AS sampled, max(compressed) AS compressed, max(incompressible) AS incompressible,
    max(zeroes) AS zeroes, max(repeated) AS repeated, max(profile) AS profile, max(size) AS profile_size
FROM contents
GROUP BY path
UNION ALL
SELECT
    'suffix', regexp_replace(path, '^.*/[^/]+(\.[^./]+)$', '\1') AS suffix,
    CAST(sum(sampled) AS BIGINT), CAST(sum(compressed) AS BIGINT), CAST(sum(incompressible) AS BIGINT), CAST(sum(zeroes) AS BIGINT),
    CAST(sum(repeated) AS BIGINT), NULL, NULL
FROM contents
GROUP BY suffix
UNION ALL
SELECT
    'all', '*',
    CAST(sum(sampled) AS BIGINT), CAST(sum(compressed) AS BIGINT), CAST(sum(incompressible) AS BIGINT), CAST(sum(zeroes) AS BIGINT),
    CAST(sum(repeated) AS BIGINT), NULL, NULL
FROM contents
HAVING count(*) > 0
