-- Files that were opened with O_DIRECT and, before their last part, read or written at offsets or in sizes that are no multiple of 4096 bytes, in at least 10 accesses and one of 20.
--
-- @title Direct I/O that is not aligned
-- @severity medium
-- @advice Align offsets and sizes to the block size of the file system: what is not aligned fails, or the file system
-- @advice reads, changes and writes whole blocks.
-- @source open(2), O_DIRECT; statx(2), STATX_DIOALIGN
-- @needs io
-- @from measures subject evidence cost_ns
WITH direct AS (
    -- O_DIRECT of x86 (asm-generic/fcntl.h).
    SELECT DISTINCT ofd FROM io WHERE class = 'opens' AND ofd IS NOT NULL AND flags & 16384 <> 0
),
accessed AS (
    SELECT path, errno, dur_ns, offset, bytes
    FROM direct
    JOIN io ON io.ofd = direct.ofd
    WHERE class IN ('reads', 'writes') AND path IS NOT NULL
),
reached AS (SELECT path, max(offset + bytes) AS extent FROM accessed GROUP BY path),
judged AS (
    -- The last part of a file is rarely a whole block, and a read of it moves no more than there is.
    SELECT
        accessed.path, errno, dur_ns,
        errno = 22 OR offset % 4096 <> 0 OR (bytes % 4096 <> 0 AND offset + bytes < extent) AS odd
    FROM accessed
    JOIN reached ON reached.path = accessed.path
)
SELECT
    path AS subject,
    concat(unaligned, ' of ', accesses, ' reads and writes, ', failed, ' of them failed') AS evidence,
    unaligned_ns AS cost_ns
FROM (
    SELECT
        path,
        count(*) AS accesses,
        count(*) FILTER (WHERE odd) AS unaligned,
        count(*) FILTER (WHERE errno = 22) AS failed,
        CAST(coalesce(sum(dur_ns) FILTER (WHERE odd), 0) AS BIGINT) AS unaligned_ns
    FROM judged
    GROUP BY path
)
WHERE unaligned >= 10 AND unaligned * 20 >= accesses
ORDER BY cost_ns DESC, subject
LIMIT 5
