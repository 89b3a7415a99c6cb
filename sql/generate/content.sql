-- What is known of the content of files, by path, by the suffix of the name, and of all together.
--
-- A file that was not sampled (deleted before the end of the capture, or not readable) is taken to be like those that were and
-- whose name ends alike, and else like all that were.
--
-- @needs contents
-- @column what VARCHAR file, suffix or all
-- @column key VARCHAR the path; the suffix with its dot; a star
-- @from contents sampled compressed incompressible zeroes repeated
SELECT 'file' AS what, path AS key, sampled, compressed, incompressible, zeroes, repeated
FROM contents
UNION ALL
SELECT
    'suffix', regexp_replace(path, '^.*/[^/]+(\.[^./]+)$', '\1') AS suffix,
    CAST(sum(sampled) AS BIGINT), CAST(sum(compressed) AS BIGINT), CAST(sum(incompressible) AS BIGINT), CAST(sum(zeroes) AS BIGINT),
    CAST(sum(repeated) AS BIGINT)
FROM contents
GROUP BY suffix
UNION ALL
SELECT
    'all', '*',
    CAST(sum(sampled) AS BIGINT), CAST(sum(compressed) AS BIGINT), CAST(sum(incompressible) AS BIGINT), CAST(sum(zeroes) AS BIGINT),
    CAST(sum(repeated) AS BIGINT)
FROM contents
HAVING count(*) > 0
