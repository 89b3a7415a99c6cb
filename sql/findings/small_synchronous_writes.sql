-- Files that were opened with O_SYNC or O_DSYNC and got at least 100 writes of less than 64 KiB on average.
--
-- @title Many small synchronous writes
-- @severity high
-- @advice Write more at once, or open without O_SYNC and sync where it matters.
-- @source open(2), O_SYNC and O_DSYNC: each write waits until its data is stored
-- @needs io
-- @from measures subject evidence cost_ns
WITH synchronous AS (
    -- O_DSYNC is a part of O_SYNC (asm-generic/fcntl.h).
    SELECT DISTINCT ofd FROM io WHERE class = 'opens' AND ofd IS NOT NULL AND flags & 4096 <> 0
)
SELECT
    path AS subject,
    concat(writes, ' writes of ', written / writes, ' bytes on average') AS evidence,
    write_ns AS cost_ns
FROM (
    SELECT path, count(*) AS writes, CAST(sum(bytes) AS BIGINT) AS written, CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS write_ns
    FROM synchronous
    JOIN io ON io.ofd = synchronous.ofd
    WHERE class = 'writes' AND path IS NOT NULL AND errno = 0
    GROUP BY path
)
WHERE writes >= 100 AND written / writes < 65536
ORDER BY cost_ns DESC, subject
LIMIT 5
