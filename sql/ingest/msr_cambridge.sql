-- Block traces of Microsoft Research Cambridge (SNIA IOTTA, 2008): CSV without a header.
--
-- The columns are Timestamp (Windows filetime: 100 ns since 1601), Hostname, DiskNumber, Type, Offset, Size and ResponseTime (100 ns).
-- A disk becomes one big file.
--
-- @reader csv
-- @field filetime BIGINT
-- @field hostname VARCHAR
-- @field disk BIGINT
-- @field type VARCHAR
-- @field offset BIGINT
-- @field size BIGINT
-- @field response BIGINT
-- @clock unix
-- @made after the documentation; no real file was seen
-- @absent files, processes, results
-- @invented path: /block/HOST-DISK, one file for each disk
-- @invented fd: a number for each disk
-- @invented pid: 1
-- @invented tid: requests are dealt to 32 threads in turn, so that they can overlap
-- @invented ret: what was asked for
-- @inserted an openat before the first request to a disk
WITH judged AS (
    SELECT
        *,
        (filetime - 116444736000000000) * 100 AS ts,
        CASE type WHEN 'Read' THEN 'pread64' WHEN 'Write' THEN 'pwrite64' END AS call,
        '/block/' || replace(hostname, '/', '_') || '-' || disk AS path,
        CASE
            WHEN filetime IS NULL OR offset IS NULL OR size IS NULL OR disk IS NULL THEN 'cut'
            WHEN type NOT IN ('Read', 'Write') THEN 'unknown'
            WHEN filetime NOT BETWEEN 116444736000000000 AND 160000000000000000 OR response NOT BETWEEN 0 AND 10000000000000000
                OR offset < 0 OR size < 0 THEN 'number'
            END AS reject
    FROM input
),
disks AS (
    SELECT
        path AS file,
        min(line) AS first,
        first_value(ts ORDER BY line) AS first_ts,
        2 + CAST(row_number() OVER (ORDER BY path) AS BIGINT) AS fd
    FROM judged
    WHERE reject IS NULL
    GROUP BY path
)
SELECT
    line,
    ts,
    response * 100 AS dur,
    1 AS pid,
    2 + line % 32 AS tid,
    call AS syscall,
    fd,
    NULL AS dirfd,
    NULL AS path,
    NULL AS flags,
    offset,
    size AS count,
    size AS ret,
    reject,
    NULL AS inserted
FROM disks
RIGHT JOIN judged ON file = path
UNION ALL
SELECT
    first AS line,
    first_ts AS ts,
    NULL AS dur,
    1 AS pid,
    1 AS tid,
    'openat' AS syscall,
    NULL AS fd,
    -100 AS dirfd,
    file AS path,
    2 AS flags, -- O_RDWR
    NULL AS offset,
    NULL AS count,
    fd AS ret,
    NULL AS reject,
    'before' AS inserted
FROM disks
