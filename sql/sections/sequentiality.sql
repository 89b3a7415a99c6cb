-- How far reads and writes of a file follow each other, the 20 files with most accesses.
--
-- @title Sequential accesses
-- @part offsets
-- @plot table
-- @needs accesses
-- @from fileset path
-- @from measures class
-- @column accesses BIGINT accesses of that class
-- @column mean_bytes BIGINT bytes of an access, on average
-- @column sequential_share DOUBLE of those with one before them, those that began where that ended, 0 to 1
-- @column median_gap_bytes BIGINT half of the others began at most this far from there, forwards or backwards, bytes
SELECT
    path,
    class,
    count(*) AS accesses,
    TRY_CAST(avg(bytes) AS BIGINT) AS mean_bytes,
    CAST(count(*) FILTER (WHERE gap = 0) AS DOUBLE) / nullif(count(gap), 0) AS sequential_share,
    percentile(CASE WHEN gap > 0 THEN gap WHEN gap < 0 THEN -gap END, 0.5) AS median_gap_bytes
FROM accesses
WHERE path IS NOT NULL
GROUP BY path, class
ORDER BY accesses DESC, path, class
LIMIT 20
