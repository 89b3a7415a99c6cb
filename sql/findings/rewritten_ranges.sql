-- Files that got at least 1000 writes, and four times as many bytes as they reach from the first to the last one written.
--
-- @title The same ranges written again and again
-- @severity low
-- @advice Keep changes in memory for longer, or append them to a log. What is synced in between reaches the device each
-- @advice time.
-- @source write(2); each byte is written to the page cache, and to the device at each sync
-- @needs accesses
-- @from measures subject evidence cost_ns
SELECT
    path AS subject,
    concat(writes, ' writes of ', written, ' bytes in a range of ', extent) AS evidence,
    write_ns AS cost_ns
FROM (
    SELECT
        path,
        count(*) AS writes,
        CAST(sum(bytes) AS BIGINT) AS written,
        max(offset + bytes) - min(offset) AS extent,
        CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS write_ns
    FROM accesses
    WHERE class = 'writes' AND path IS NOT NULL AND offset IS NOT NULL
    GROUP BY path
)
WHERE writes >= 1000 AND extent > 0 AND CAST(written AS DOUBLE) >= 4.0 * extent
ORDER BY cost_ns DESC, subject
LIMIT 5
