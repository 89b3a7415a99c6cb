-- Calls on files by class: how many, how long, how many bytes.
--
-- @title Calls by class
-- @part sizes
-- @plot bars x=class y=calls
-- @needs io
-- @from measures class calls
-- @column share DOUBLE of all calls on files, 0 to 1
-- @column time_share DOUBLE of the time in them, 0 to 1
-- @column total_bytes BIGINT bytes that they moved
-- @column failed BIGINT of them that failed
SELECT
    class,
    count(*) AS calls,
    count(*) / CAST(sum(count(*)) OVER () AS DOUBLE) AS share,
    coalesce(CAST(sum(dur_ns) AS DOUBLE) / nullif(CAST(sum(sum(dur_ns)) OVER () AS DOUBLE), 0), 0) AS time_share,
    CAST(sum(bytes) AS BIGINT) AS total_bytes,
    count(*) FILTER (WHERE errno <> 0) AS failed
FROM io
GROUP BY class
ORDER BY calls DESC, class
