-- Which processes there were: the names that each had (comm), and its user.
--
-- A process has the name that the capture shows for it at the start, and one for each exec: the last part of the path, cut to 15 bytes
-- as the kernel does. One that calls no exec has the names of its parent. The user is that of the start, and its children's; a
-- change of user is not followed.
--
-- @needs walk processes
-- @from ops vpid
-- @from events pid
-- @column comm VARCHAR a name
-- @column uid BIGINT its user; absent where the capture does not tell
WITH RECURSIVE
seen AS (SELECT vpid, min(pid) AS pid, min(pos) AS first FROM walk WHERE vpid IS NOT NULL AND tag = 'event' GROUP BY vpid),
born AS (
    SELECT vpid, parent
    FROM (
        SELECT
            seen.vpid, walk.vpid AS parent,
            row_number() OVER (PARTITION BY seen.vpid ORDER BY abs(walk.pos - seen.first)) AS nearest
        FROM seen
        JOIN walk ON walk.ret = seen.pid
        JOIN syscall_def AS def ON def.syscall = walk.syscall AND def.op = 'fork'
        WHERE walk.vpid <> seen.vpid
    )
    WHERE nearest = 1
),
called AS (
    SELECT DISTINCT walk.vpid, substr(regexp_replace(walk.path, '^.*/', ''), 1, 15) AS comm
    FROM syscall_def AS def
    JOIN walk ON walk.syscall = def.syscall
    WHERE def.op = 'exec' AND walk.errno = 0 AND walk.path IS NOT NULL
),
began AS (
    SELECT vpid, comm, uid
    FROM (
        SELECT seen.vpid, processes.comm, processes.uid, row_number() OVER (PARTITION BY seen.pid ORDER BY seen.first) AS life
        FROM processes
        JOIN seen ON seen.pid = processes.pid
    )
    WHERE life = 1
),
known AS (
    SELECT vpid, comm, uid, 0 AS depth FROM began
    UNION ALL
    SELECT born.vpid, known.comm, known.uid, known.depth + 1 AS depth
    FROM known
    JOIN born ON born.parent = known.vpid
    WHERE known.depth < 100
),
named AS (
    SELECT vpid, comm FROM called
    UNION
    SELECT vpid, comm FROM began
),
handed AS (
    SELECT vpid, comm, 0 AS depth FROM named
    UNION ALL
    SELECT born.vpid, handed.comm, handed.depth + 1 AS depth
    FROM handed
    JOIN born ON born.parent = handed.vpid
    LEFT JOIN named AS own ON own.vpid = born.vpid
    WHERE own.vpid IS NULL AND handed.depth < 100
)
SELECT DISTINCT seen.vpid, seen.pid, handed.comm, known.uid
FROM seen
LEFT JOIN handed ON handed.vpid = seen.vpid
LEFT JOIN known ON known.vpid = seen.vpid
