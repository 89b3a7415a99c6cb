-- Files that were opened at least 100 times, with fewer than four reads and writes for each.
--
-- @title Files opened again and again
-- @severity low
-- @advice Keep the file open: opening and closing cost more than the access in between.
-- @source open(2), close(2)
-- @needs io
-- @from measures subject evidence cost_ns
SELECT
    path AS subject,
    concat(opens, ' times, ', accesses, ' reads and writes') AS evidence,
    open_ns AS cost_ns
FROM (
    SELECT
        path,
        count(*) FILTER (WHERE class = 'opens' AND errno = 0) AS opens,
        count(*) FILTER (WHERE class IN ('reads', 'writes')) AS accesses,
        CAST(coalesce(sum(dur_ns) FILTER (WHERE class = 'opens'), 0) AS BIGINT) AS open_ns
    FROM io
    WHERE path IS NOT NULL
    GROUP BY path
)
WHERE opens >= 100 AND accesses < opens * 4
ORDER BY opens DESC, subject
LIMIT 5
