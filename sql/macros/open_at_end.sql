-- Open file descriptions that were made in the capture and that no call closed: leaks, or files of programs that were still at work.
--
-- The end of a process closes what it has open without a call: its descriptions are listed too.
--
-- @parameter most BIGINT 100 rows, at most
-- @needs io
-- @example SELECT * FROM open_at_end()
-- @column path VARCHAR path that was opened
-- @column pid BIGINT process that opened it
-- @column open BIGINT descriptions that no call closed
-- @column opens BIGINT descriptions that it made of the file
-- @column first_s DOUBLE when it opened the first of those left open, seconds since the first call of the capture
-- @column unused BIGINT of those left open the ones that no other call used
WITH
closes AS (SELECT syscall FROM syscall_def WHERE op = 'close'),
calls AS (
    SELECT io.ofd, io.pid, io.path, io.time_s, io.class = 'opens' AND io.errno = 0 AS opens, closes.syscall IS NOT NULL AS closed
    FROM io
    LEFT JOIN closes ON closes.syscall = io.syscall
    WHERE io.ofd IS NOT NULL
),
descriptions AS (
    SELECT
        ofd,
        min(pid) FILTER (WHERE opens) AS pid,
        min(path) FILTER (WHERE opens) AS path,
        min(time_s) FILTER (WHERE opens) AS opened_s,
        count(*) FILTER (WHERE NOT opens AND NOT closed) AS uses,
        count(*) FILTER (WHERE closed) = 0 AS left_open
    FROM calls
    GROUP BY ofd
    HAVING count(*) FILTER (WHERE opens) > 0
)
SELECT
    path, pid,
    count(*) FILTER (WHERE left_open) AS open,
    count(*) AS opens,
    min(opened_s) FILTER (WHERE left_open) AS first_s,
    count(*) FILTER (WHERE left_open AND uses = 0) AS unused
FROM descriptions
GROUP BY path, pid
HAVING count(*) FILTER (WHERE left_open) > 0
ORDER BY open DESC, path, pid
LIMIT $most
