-- Block traces of CloudPhysics as CSV, as they are handed on with libCacheSim: a header `version,time,op,size,lbn`.
--
-- op is a SCSI command in hexadecimal digits: reads (08, 28, 88, a8), writes (0a, 2a, 8a, aa) and SYNCHRONIZE CACHE (35, 91); other
-- commands have no row. size is in bytes, lbn in blocks of 512 bytes. The disk becomes one big file.
--
-- @reader csv header
-- @field time BIGINT
-- @field op VARCHAR
-- @field size BIGINT
-- @field lbn BIGINT
-- @clock relative
-- @made after the documentation; no file of the tool itself was seen
-- @absent files, processes, durations, results; the unit of time, which is taken to be a second
-- @invented path: /block/disk
-- @invented fd: 3
-- @invented pid: 1
-- @invented tid: requests are dealt to 32 threads in turn, so that they can overlap
-- @invented ret: what was asked for
-- @inserted an openat before the first request
WITH requests AS (
    SELECT
        *,
        time * 1000000000 AS ts,
        CASE
            WHEN lower(op) IN ('8', '08', '28', '88', 'a8') THEN 'pread64'
            WHEN lower(op) IN ('a', '0a', '2a', '8a', 'aa') THEN 'pwrite64'
            WHEN lower(op) IN ('35', '91') THEN 'fdatasync'
            END AS call
    FROM input
),
known AS (
    SELECT
        *,
        CASE
            WHEN time IS NULL OR op = '' OR call <> 'fdatasync' AND (size IS NULL OR lbn IS NULL) THEN 'cut'
            WHEN NOT op ~ '^[0-9A-Fa-f]{1,2}$' THEN 'unknown'
            WHEN time NOT BETWEEN 0 AND 4000000000 OR size < 0 OR lbn NOT BETWEEN 0 AND 18014398509481983 THEN 'number'
            END AS reject
    FROM requests
)
SELECT
    line,
    ts,
    1 AS pid,
    2 + line % 32 AS tid,
    call AS syscall,
    3 AS fd,
    NULL AS dirfd,
    NULL AS path,
    NULL AS flags,
    CASE WHEN call <> 'fdatasync' THEN lbn * 512 END AS offset,
    CASE WHEN call <> 'fdatasync' THEN size END AS count,
    CASE WHEN call = 'fdatasync' THEN 0 ELSE size END AS ret,
    reject,
    NULL AS inserted
FROM known
WHERE call IS NOT NULL OR reject IS NOT NULL
UNION ALL
SELECT
    line,
    ts,
    1 AS pid,
    1 AS tid,
    'openat' AS syscall,
    NULL AS fd,
    -100 AS dirfd,
    '/block/disk' AS path,
    2 AS flags, -- O_RDWR
    NULL AS offset,
    NULL AS count,
    3 AS ret,
    NULL AS reject,
    'before' AS inserted
FROM known
WHERE reject IS NULL AND line = (SELECT min(line) FROM known WHERE reject IS NULL AND call IS NOT NULL)
