-- What the captured files held, by the suffix of their names, the 20 of which most was looked at; only after a capture with
-- --content-samples.
--
-- @title What files hold
-- @part files
-- @plot table
-- @needs contents
-- @column suffix VARCHAR end of the name from its last dot on; absent for names without one
-- @column files BIGINT files that were looked at
-- @column bytes BIGINT their sizes together, bytes
-- @column compressed_percent DOUBLE what samples take compressed, each by itself (zstd level 3), of 100
-- @column incompressible_percent DOUBLE of 100 bytes those in samples that save nothing, or that btrfs takes for noise
-- @column zero_percent DOUBLE of 100 bytes those in blocks of 4 KiB that are zero
-- @column repeated_percent DOUBLE of 100 bytes those in blocks of 4 KiB that equal one before
WITH
named AS (SELECT *, regexp_replace(path, '^.*/[^/]+(\.[^./]+)$', '\1') AS last FROM contents WHERE sampled > 0)
SELECT
    CASE WHEN last <> path THEN last END AS suffix,
    count(*) AS files,
    CAST(sum(size) AS BIGINT) AS bytes,
    round(sum(compressed) * 100.0 / sum(sampled), 1) AS compressed_percent,
    round(sum(incompressible) * 100.0 / sum(sampled), 1) AS incompressible_percent,
    round(sum(zeroes) * 100.0 / sum(sampled), 1) AS zero_percent,
    round(sum(repeated) * 100.0 / sum(sampled), 1) AS repeated_percent
FROM named
GROUP BY CASE WHEN last <> path THEN last END
ORDER BY sum(sampled) DESC, suffix
LIMIT 20
