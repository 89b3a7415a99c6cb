-- What `sysdig -j` prints: JSON objects, one per line, two for each call.
--
-- A call is the line of its return (`evt.dir` is `<`), with the arguments on the line of its entry. Calls on files are read: open,
-- openat, creat, close, read, write, pread, pwrite, lseek, fsync, fdatasync, ftruncate. Lines of other calls have no row.
--
-- @reader ndjson
-- @field time VARCHAR evt.outputtime
-- @field side VARCHAR evt.dir
-- @field type VARCHAR evt.type
-- @field info VARCHAR evt.info
-- @field tid BIGINT thread.tid
-- @clock unix
-- @made after the documentation; no real file was seen
-- @absent processes of threads, other calls; times, unless they are ns since 1970
WITH joined AS (
    SELECT
        *,
        lag(side) OVER thread = '>' AND lag(type) OVER thread = type AS begun,
        lag(info) OVER thread AS asked,
        lag(time) OVER thread AS entry
    FROM input
    WINDOW thread AS (PARTITION BY tid ORDER BY line)
),
calls AS (
    SELECT
        *,
        CASE WHEN begun THEN asked || ' ' || info ELSE info END AS args,
        type IN ('open', 'openat', 'creat') AS opens,
        CASE WHEN entry ~ '^[0-9]{18,19}$' THEN CAST(entry AS BIGINT) END AS ts,
        CASE WHEN time ~ '^[0-9]{18,19}$' THEN CAST(time AS BIGINT) END AS done
    FROM joined
    WHERE side = '<' AND type IN ('open', 'openat', 'creat', 'close', 'read', 'write', 'pread', 'pwrite', 'lseek', 'fsync',
        'fdatasync', 'ftruncate') OR side IS NULL OR type IS NULL OR info IS NULL
),
parts AS (
    SELECT
        *,
        regexp_match(args, '(?:^| )fd=(-?[0-9]{1,10})')[1] AS fd,
        regexp_match(args, '(?:^| )res=(-?[0-9]{1,19})')[1] AS res,
        regexp_match(args, '(?:^| )name=(.*?)(?:\([^()]*\))? flags=[0-9]+\(([A-Z_|]*)\)')  AS opened,
        regexp_match(args, '(?:^| )(?:size|length)=([0-9]{1,19})')[1] AS size,
        regexp_match(args, '(?:^| )(?:pos|offset)=(-?[0-9]{1,19})')[1] AS offset,
        regexp_match(args, '(?:^| )whence=[0-9]+\((SEEK_[A-Z]+)\)')[1] AS whence
    FROM calls
)
SELECT
    line,
    coalesce(ts, done) AS ts,
    CASE WHEN done >= ts THEN done - ts END AS dur,
    tid,
    CASE WHEN type IN ('pread', 'pwrite') THEN type || '64' ELSE type END AS syscall,
    CASE WHEN NOT opens THEN fd END AS fd,
    CASE WHEN type = 'openat' THEN -100 END AS dirfd,
    CASE WHEN opens THEN opened[1] END AS path,
    CASE WHEN opens AND opened[2] <> '' THEN opened[2] END AS flags,
    CASE WHEN opens AND opened[2] LIKE '%O_CREAT%' THEN 420 END AS mode,
    CASE WHEN type IN ('pread', 'pwrite', 'lseek') THEN offset END AS offset,
    CASE WHEN type IN ('read', 'write', 'pread', 'pwrite', 'ftruncate') THEN size END AS count,
    CASE WHEN type = 'lseek' THEN whence END AS whence,
    CASE WHEN opens THEN fd ELSE res END AS ret,
    CASE
        WHEN side IS NULL OR type IS NULL OR info IS NULL OR tid IS NULL THEN 'key'
        WHEN NOT opens AND NOT begun THEN 'resumed'
        WHEN fd IS NULL OR NOT opens AND res IS NULL THEN 'argument'
        WHEN opens AND opened IS NULL THEN 'argument'
        END AS reject
FROM parts
