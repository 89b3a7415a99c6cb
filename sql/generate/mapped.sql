-- How much of files was mapped that were never mapped to be executed: data, other than the code of programs and libraries, of which
-- most is in memory. What of it a program reads is seen in no call.
--
-- A file counts once, from the first to the last byte of its mappings.
--
-- @needs chosen
-- @column bytes BIGINT bytes of such files
SELECT CAST(coalesce(sum(span), 0) AS BIGINT) AS bytes
FROM (
    SELECT max(at_offset + bytes) - min(at_offset) AS span
    FROM chosen
    WHERE tag = 'event' AND route LIKE 'mapped%' AND file IS NOT NULL
    GROUP BY file
    HAVING max(coalesce(mode, 0) & 4) = 0
) AS data
