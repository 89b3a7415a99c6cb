-- Logs of I/O that fio writes and reads (`--write_iolog`, `--read_iolog`), versions 2 and 3.
--
-- A line is `FILE ACTION [OFFSET LENGTH]`, in version 3 with the time in front: microseconds since the job began, although
-- the documentation says nothing of the unit (fio 3.33 was asked to wait 100 ms between writes). `add` and `wait` are no calls.
--
-- @reader lines
-- @clock relative
-- @made after files of fio 3.25 (version 2) and fio 3.33 (version 3)
-- @absent results and durations of calls, threads and processes, in version 2 times
-- @invented ret: what was asked for, as if every call had succeeded
-- @invented fd: a number for each file
-- @invented flags of openat: reading and writing with O_CREAT for files that are written, else reading only
-- @invented path: a relative name is taken to be below /
-- @invented pid, tid: 1
-- @inserted an openat before the first line of a file that is used without being opened
WITH version AS (
    SELECT max(text) AS head FROM input WHERE line = 1
),
parts AS (
    SELECT line, CASE head
        WHEN 'fio version 2 iolog' THEN
            regexp_match(text, '^()(.+) (add|open|close|wait|read|write|sync|datasync|trim)((?: [0-9]{1,19} [0-9]{1,19})?)$')
        WHEN 'fio version 3 iolog' THEN
            regexp_match(text, '^([0-9]{1,15}) (.+) (add|open|close|wait|read|write|sync|datasync|trim)((?: [0-9]{1,19} [0-9]{1,19})?)$')
        END AS part
    FROM input CROSS JOIN version
    WHERE line > 1
),
actions AS (
    SELECT
        line,
        TRY_CAST(part[1] AS BIGINT) * 1000 AS ts,
        CASE WHEN part[2] LIKE '/%' THEN part[2] ELSE '/' || part[2] END AS path,
        part[3] AS action,
        nullif(split_part(part[4], ' ', 2), '') AS at,
        nullif(split_part(part[4], ' ', 3), '') AS length
    FROM parts
    WHERE part IS NULL OR part[3] NOT IN ('add', 'wait')
),
files AS (
    SELECT
        path AS file,
        bool_or(action IN ('write', 'trim')) AS writes,
        min(line) AS first,
        first_value(action ORDER BY line) AS first_action,
        first_value(ts ORDER BY line) AS first_ts,
        2 + CAST(row_number() OVER (ORDER BY path) AS BIGINT) AS fd
    FROM actions
    WHERE path IS NOT NULL
    GROUP BY path
)
SELECT
    line,
    ts,
    CASE action
        WHEN 'open' THEN 'openat' WHEN 'close' THEN 'close' WHEN 'read' THEN 'pread64' WHEN 'write' THEN 'pwrite64'
        WHEN 'sync' THEN 'fsync' WHEN 'datasync' THEN 'fdatasync' WHEN 'trim' THEN 'fallocate' END AS syscall,
    CASE WHEN action <> 'open' THEN fd END AS fd,
    CASE action WHEN 'open' THEN -100 END AS dirfd,
    CASE action WHEN 'open' THEN path END AS path,
    CASE action
        WHEN 'open' THEN CASE WHEN writes THEN 'O_RDWR|O_CREAT' ELSE 'O_RDONLY' END
        WHEN 'trim' THEN '3' -- FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
        END AS flags,
    CASE WHEN action = 'open' AND writes THEN 420 END AS mode,
    CASE WHEN action IN ('read', 'write', 'trim') THEN at END AS offset,
    CASE WHEN action IN ('read', 'write', 'trim') THEN length END AS count,
    CASE action WHEN 'open' THEN CAST(fd AS VARCHAR) WHEN 'read' THEN length WHEN 'write' THEN length ELSE '0' END AS ret,
    CASE
        WHEN action IS NULL THEN 'not_event'
        WHEN action IN ('read', 'write', 'trim') AND length IS NULL THEN 'cut'
        END AS reject,
    NULL AS inserted
FROM files
RIGHT JOIN actions ON file = path
UNION ALL
SELECT
    first AS line,
    first_ts AS ts,
    'openat' AS syscall,
    NULL AS fd,
    -100 AS dirfd,
    file AS path,
    CASE WHEN writes THEN 'O_RDWR|O_CREAT' ELSE 'O_RDONLY' END AS flags,
    CASE WHEN writes THEN 420 END AS mode,
    NULL AS offset,
    NULL AS count,
    CAST(fd AS VARCHAR) AS ret,
    NULL AS reject,
    'before' AS inserted
FROM files
WHERE first_action <> 'open'
