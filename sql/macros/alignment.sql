-- How many reads and writes begin and end at multiples of a block.
--
-- @parameter block SIZE 4K size of a block
-- @needs accesses
-- @example SELECT * FROM alignment('4K')
-- @from measures class
-- @column accesses BIGINT reads or writes whose place in the file is known
-- @column aligned BIGINT of them those that begin and end at a multiple of the block
-- @column begins_aligned BIGINT of them those that begin at one
-- @column aligned_share DOUBLE of the accesses, 0 to 1
-- @column unaligned_bytes BIGINT bytes of those that do not begin and end at one
WITH placed AS (
    SELECT
        class, bytes,
        offset % greatest($block, 1) = 0 AS begins,
        offset % greatest($block, 1) = 0 AND bytes % greatest($block, 1) = 0 AS whole
    FROM accesses
    WHERE offset IS NOT NULL
)
SELECT
    class,
    count(*) AS accesses,
    count(*) FILTER (WHERE whole) AS aligned,
    count(*) FILTER (WHERE begins) AS begins_aligned,
    count(*) FILTER (WHERE whole) / CAST(count(*) AS DOUBLE) AS aligned_share,
    coalesce(sum(bytes) FILTER (WHERE NOT whole), 0) AS unaligned_bytes
FROM placed
GROUP BY class
ORDER BY class
