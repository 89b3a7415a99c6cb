-- Files read by at least 100 accesses of less than 128 KiB on average, most of which jump, and which together have as many bytes as 90 % of the file up to the last one.
--
-- @title Random reads of a file that is read whole
-- @severity medium
-- @advice Read the file once from its beginning, or ask for it in advance (posix_fadvise(2), POSIX_FADV_WILLNEED): in
-- @advice order it is read ahead.
-- @source readahead(2), posix_fadvise(2)
-- @needs accesses
-- @from measures subject evidence cost_ns
SELECT
    path AS subject,
    concat(reads, ' reads, ', jumps, ' of them not where the one before ended, ', read, ' bytes of ', extent) AS evidence,
    read_ns AS cost_ns
FROM (
    SELECT
        path,
        count(*) AS reads,
        count(*) FILTER (WHERE gap <> 0) AS jumps,
        CAST(sum(bytes) AS BIGINT) AS read,
        max(offset + bytes) AS extent,
        CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS read_ns
    FROM accesses
    WHERE class = 'reads' AND path IS NOT NULL
    GROUP BY path
)
WHERE reads >= 100 AND jumps * 2 > reads AND read / reads < 131072 AND read >= CAST(extent AS DOUBLE) * 0.9
ORDER BY cost_ns DESC, subject
LIMIT 5
