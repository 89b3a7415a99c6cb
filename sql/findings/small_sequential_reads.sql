-- Files that were read from front to back in at least 1000 pieces of less than 4 KiB on average.
--
-- @title Small reads, one behind the other
-- @severity low
-- @advice Read larger pieces: each call costs about as much as reading some KiB from memory.
-- @source read(2); setvbuf(3)
-- @needs accesses
-- @from measures subject evidence cost_ns
SELECT
    path AS subject,
    concat(reads, ' reads of ', read / reads, ' bytes on average, ', in_order, ' of them where the one before ended') AS evidence,
    read_ns AS cost_ns
FROM (
    SELECT
        path,
        count(*) AS reads,
        count(*) FILTER (WHERE gap = 0) AS in_order,
        CAST(sum(bytes) AS BIGINT) AS read,
        CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS read_ns
    FROM accesses
    WHERE class = 'reads' AND path IS NOT NULL
    GROUP BY path
)
WHERE reads >= 1000 AND in_order * 5 > reads * 4 AND read / reads < 4096
ORDER BY cost_ns DESC, subject
LIMIT 5
