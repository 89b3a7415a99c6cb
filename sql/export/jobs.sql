-- Reads, writes and syncs by thread, call, way of opening and size, for the job files of fio.
--
-- @needs io
-- @from events pid tid
-- @from ops syscall
-- @from measures class
-- @column direct BOOLEAN through descriptions that were opened with O_DIRECT?
-- @column synchronous BOOLEAN through descriptions that were opened with O_SYNC or O_DSYNC?
-- @column size BIGINT bytes that each moved
-- @from measures calls total_ns
-- @column known BIGINT of them with an earlier one of their class through their description, behind which they may have begun
-- @column random BIGINT of these the ones that began elsewhere
-- @column first_s DOUBLE start of the first, seconds since the first call of the capture
-- @column last_s DOUBLE end of the last, likewise
WITH marked AS (
    -- O_DIRECT, and O_DSYNC, which is a part of O_SYNC (asm-generic/fcntl.h).
    SELECT ofd, bool_or(flags & 16384 <> 0) AS direct, bool_or(flags & 4096 <> 0) AS synchronous
    FROM io
    WHERE class = 'opens' AND ofd IS NOT NULL
    GROUP BY ofd
),
moved AS (
    SELECT
        time_s, dur_ns, pid, tid, syscall, class, ofd, "offset", bytes,
        lag("offset" + bytes) OVER (PARTITION BY ofd, class ORDER BY seq) AS behind
    FROM io
    WHERE class = 'syncs' OR (class IN ('reads', 'writes') AND bytes > 0 AND path IS NOT NULL)
)
SELECT
    pid, tid, syscall, class,
    coalesce(direct, false) AS direct,
    coalesce(synchronous, false) AS synchronous,
    bytes AS size,
    count(*) AS calls,
    CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS total_ns,
    count(behind) AS known,
    count(*) FILTER (WHERE "offset" <> behind) AS random,
    min(time_s) AS first_s,
    max(time_s + coalesce(dur_ns, 0) / 1e9) AS last_s
FROM moved
LEFT JOIN marked ON marked.ofd = moved.ofd
GROUP BY pid, tid, syscall, class, coalesce(direct, false), coalesce(synchronous, false), bytes
