-- Logs of DFTracer (`.pfw`, `.pfw.gz`): JSON objects, one per line.
--
-- Events of category POSIX are calls: open, openat, close, read, write, pread, pwrite, lseek, fsync, fdatasync, ftruncate, mkdir,
-- rename, unlink, rmdir. Metadata gives files their names and has no rows; neither have events of other categories (STDIO, Python).
--
-- @reader ndjson
-- @field name VARCHAR
-- @field cat VARCHAR
-- @field pid BIGINT
-- @field tid BIGINT
-- @field ts BIGINT
-- @field dur BIGINT
-- @field file VARCHAR /args/fhash
-- @field other VARCHAR /args/newpath_hash
-- @field said VARCHAR /args/name
-- @field value VARCHAR /args/value
-- @field ret BIGINT /args/ret
-- @field count BIGINT /args/count
-- @field length BIGINT /args/length
-- @field offset BIGINT /args/offset
-- @field whence BIGINT /args/whence
-- @field flags BIGINT /args/flags
-- @field mode BIGINT /args/mode
-- @clock unix
-- @made after files of dftracer 2.2.0 with pydftracer 2.0.6
-- @absent results of open, mkdir, rename, unlink and rmdir, so that these last four are not replayed; errors; forks
-- @invented fd: a number for each file
-- @invented ret of open: fd, when the next call on the file uses it; else unknown
-- @invented ret of fsync and fdatasync: 0
WITH names AS (
    SELECT value AS hash, max(said) AS path, 2 + CAST(row_number() OVER (ORDER BY value) AS BIGINT) AS number
    FROM input
    WHERE name = 'FH'
    GROUP BY value
),
unit AS (
    SELECT CASE max(value) WHEN 'NS' THEN 1 WHEN 'MS' THEN 1000000 ELSE 1000 END AS ns
    FROM input WHERE name = 'CM' AND said = 'time_metric'
),
calls AS (
    SELECT
        *,
        regexp_replace(name, '64$', '') AS call,
        CASE WHEN name IN ('open', 'open64', 'openat', 'openat64') THEN 1 ELSE 0 END AS opens
    FROM input
    WHERE cat = 'POSIX' OR cat IS NULL
),
followed AS (
    SELECT
        *,
        lead(call) OVER (PARTITION BY pid, file ORDER BY line)
            IN ('read', 'write', 'pread', 'pwrite', 'lseek', 'close', 'fsync', 'fdatasync', 'ftruncate') AS used
    FROM calls
)
SELECT
    line,
    ts * ns AS ts,
    dur * ns AS dur,
    pid,
    tid,
    CASE WHEN opens = 1 THEN 'openat' WHEN call IN ('pread', 'pwrite') THEN call || '64' ELSE call END AS syscall,
    CASE WHEN call IN ('close', 'read', 'write', 'pread', 'pwrite', 'lseek', 'fsync', 'fdatasync', 'ftruncate') THEN names.number END AS fd,
    CASE WHEN opens = 1 THEN -100 END AS dirfd,
    CASE WHEN opens = 1 OR call IN ('mkdir', 'rename', 'unlink', 'rmdir') THEN names.path END AS path,
    others.path AS path2,
    CASE WHEN opens = 1 THEN coalesce(flags, 0) END AS flags,
    mode,
    CASE WHEN call IN ('pread', 'pwrite', 'lseek') THEN offset END AS offset,
    CASE WHEN call = 'ftruncate' THEN length WHEN call IN ('read', 'write', 'pread', 'pwrite') THEN count END AS count,
    CASE WHEN call = 'lseek' THEN whence END AS whence,
    CASE WHEN opens = 1 THEN CASE WHEN used THEN names.number END WHEN call IN ('fsync', 'fdatasync') THEN coalesce(ret, 0) ELSE ret END AS ret,
    CASE
        WHEN cat IS NULL OR name IS NULL THEN 'not_event'
        WHEN ts IS NULL OR pid IS NULL THEN 'key'
        WHEN ts NOT BETWEEN 0 AND 4000000000000000 OR dur NOT BETWEEN 0 AND 4000000000000000 THEN 'number'
        WHEN names.path IS NULL THEN 'key'
        END AS reject
FROM names
RIGHT JOIN (followed CROSS JOIN unit) ON names.hash = file
LEFT JOIN names AS others ON others.hash = other
WHERE cat IS NULL
    OR opens = 1
    OR call IN ('close', 'read', 'write', 'pread', 'pwrite', 'lseek', 'fsync', 'fdatasync', 'ftruncate', 'mkdir', 'rename', 'unlink', 'rmdir')
