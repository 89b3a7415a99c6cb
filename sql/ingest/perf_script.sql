-- What `perf script` prints of the tracepoints `syscalls:sys_enter_*` and `syscalls:sys_exit_*`.
--
-- A call is the line of its entry; the next line of its thread is its return, and has no row. Calls on files are read:
-- open, openat, creat, close, read, write, pread64, pwrite64, lseek, fsync, fdatasync, ftruncate, dup, dup2 and dup3. Lines of
-- other calls have no row. Record them with `perf record -e syscalls:sys_enter_openat -e syscalls:sys_exit_openat ...`.
--
-- @reader lines
-- @clock boot
-- @made after files of perf 6.1.192 (Linux 6.18)
-- @absent names of files (perf prints the address of a name), data of other calls, processes that begin and end
-- @invented path: /unnamed/LINE, a file of its own for each open that succeeded; NULL for one that failed
WITH parts AS (
    SELECT line, regexp_match(
        text,
        '^ *.+? +([0-9]{1,10})((?:/[0-9]{1,10})?) +(?:\[[0-9]+\] +)?([0-9]{1,9})\.([0-9]{6}|[0-9]{9}): +'
        || 'syscalls:sys_(enter|exit)_([a-z0-9_]+): +(.*)$'
    ) AS part
    FROM input
    WHERE text <> '' AND text NOT LIKE '#%'
),
sides AS (
    SELECT
        line,
        CASE WHEN part[2] <> '' THEN part[1] END AS pid,
        CASE WHEN part[2] <> '' THEN ltrim(part[2], '/') ELSE part[1] END AS tid,
        CAST(part[3] AS BIGINT) * 1000000000 + CAST(rpad(part[4], 9, '0') AS BIGINT) AS ts,
        part[5] AS side,
        part[6] AS call,
        part[7] AS args
    FROM parts
),
joined AS (
    SELECT
        *,
        lag(side) OVER thread AS before,
        lag(call) OVER thread AS before_call,
        lead(side) OVER thread = 'exit' AND lead(call) OVER thread = call AS returned,
        lead(ts) OVER thread AS done,
        regexp_match(lead(args) OVER thread, '^0x([0-9a-f]{1,16})$')[1] AS result
    FROM sides
    WINDOW thread AS (PARTITION BY tid ORDER BY line)
),
calls AS (
    SELECT
        *,
        regexp_match(args, '(?:^|, )(?:fd|fildes|oldfd): (0x[0-9a-f]+)')[1] AS fd,
        regexp_match(args, ', newfd: (0x[0-9a-f]+)')[1] AS fd2,
        regexp_match(args, '^dfd: (0x[0-9a-f]+)')[1] AS dfd,
        regexp_match(args, '(?:^|, )flags: (0x[0-9a-f]+)')[1] AS flags,
        regexp_match(args, ', mode: (0x[0-9a-f]+)')[1] AS mode,
        regexp_match(args, ', (?:count|length): (0x[0-9a-f]+)')[1] AS count,
        regexp_match(args, ', (?:pos|offset): (0x[0-9a-f]+)')[1] AS offset,
        regexp_match(args, ', whence: (0x[0-9a-f]+)')[1] AS whence,
        call IN ('open', 'openat', 'creat') AS opens
    FROM joined
    WHERE call IS NULL
        OR call IN ('open', 'openat', 'creat', 'close', 'read', 'write', 'pread64', 'pwrite64', 'lseek', 'fsync', 'fdatasync',
            'ftruncate', 'dup', 'dup2', 'dup3')
)
SELECT
    line,
    ts,
    CASE WHEN returned THEN done - ts END AS dur,
    pid,
    tid,
    call AS syscall,
    CASE WHEN NOT opens THEN fd END AS fd,
    fd2,
    CASE WHEN dfd = '0xffffff9c' THEN '-100' ELSE dfd END AS dirfd,
    CASE WHEN opens AND returned AND result NOT LIKE 'fffffffffffff%' THEN '/unnamed/' || line END AS path,
    CASE WHEN opens OR call = 'dup3' THEN flags END AS flags,
    CASE WHEN opens THEN mode END AS mode,
    CASE WHEN call IN ('pread64', 'pwrite64', 'lseek') THEN offset END AS offset,
    CASE WHEN call IN ('read', 'write', 'pread64', 'pwrite64', 'ftruncate') THEN count END AS count,
    whence,
    CASE WHEN returned THEN '0x' || result END AS ret,
    CASE
        WHEN call IS NULL THEN 'not_event'
        WHEN side = 'exit' THEN 'resumed'
        WHEN returned AND result IS NULL THEN 'outcome'
        WHEN NOT opens AND fd IS NULL THEN 'argument'
        END AS reject
FROM calls
WHERE side IS NULL OR side = 'enter' OR before IS NULL OR before <> 'enter' OR before_call <> call
