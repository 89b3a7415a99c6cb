-- What `perf trace` prints of syscalls.
--
-- A call is a line `TIME (DURATION): COMM/THREAD CALL(NAME: VALUE, ...) = RESULT`. Arguments that are 0 are not printed. A call that
-- is printed in two parts is the second one (`... [continued]`), with the arguments of the first. Calls on files are read:
-- open, openat, creat, close, read, write, pread64, pwrite64, lseek, fsync, fdatasync, ftruncate, dup, dup2, dup3, and execve, exit,
-- exit_group. Lines of other calls have no row.
--
-- What perf says that a descriptor is open on (`4</etc/passwd>`) is not read: it looks when it prints, and by then the number may
-- be that of another file. In the file that was seen it often is.
--
-- @reader lines
-- @clock relative
-- @made after files of perf 6.1.192 (Linux 6.18); names in quotes, as newer versions have them, after the documentation
-- @absent names of files (perf prints the address of a name, unless it has BPF for that), processes of threads, forks
-- @invented path: /unnamed/LINE, a file of its own for each open without a name that succeeded; NULL for one that failed
-- @invented mode: 0644 for files that are made
WITH parts AS (
    SELECT line, regexp_match(
        text,
        '^ *([0-9]{1,12}\.[0-9]{3}|\?) \( *((?:[0-9]{1,12}\.[0-9]{3} ms)?) *\): (?:.+?/)?([0-9]{1,10}) +'
        || '((?:\.\.\. \[continued\]: )?)([a-z0-9_]+)\((.*?)\) *(\.\.\.|= (?:-?[0-9]{1,19}|0x[0-9a-f]{1,16}|\?|[A-Z][A-Z0-9_|]*))((?: [A-Z][A-Z0-9]*)?)(?: .*)?$'
    ) AS part
    FROM input
    WHERE text <> ''
),
sides AS (
    SELECT
        line,
        -- A text without its point is a number of microseconds.
        CAST(nullif(replace(part[1], '.', ''), '?') AS BIGINT) * 1000 AS ts,
        CAST(nullif(rtrim(replace(part[2], '.', ''), ' ms'), '') AS BIGINT) * 1000 AS dur,
        part[3] AS tid,
        part[4] <> '' AS continued,
        part[5] AS call,
        part[6] AS own,
        CASE WHEN part[7] LIKE '=%' THEN substr(part[7], 3) END AS result,
        nullif(ltrim(part[8]), '') AS error
    FROM parts
),
whole AS (
    SELECT
        *,
        CASE WHEN continued AND lag(call) OVER thread = call AND lag(result) OVER thread IS NULL THEN lag(own) OVER thread
            ELSE own END AS args
    FROM sides
    WINDOW thread AS (PARTITION BY tid ORDER BY line)
),
calls AS (
    SELECT
        *,
        CASE WHEN args ~ '^(?:fd|fildes|oldfd): ' THEN regexp_match(args, '^(?:fd|fildes|oldfd): ([0-9]{1,10})(?:<.*>)?(?:, [a-z]+: |$)')[1]
            ELSE '0' END AS fd,
        regexp_match(args, ', newfd: ([0-9]{1,10})')[1] AS fd2,
        regexp_match(
            args,
            '^((?:dfd: [A-Z0-9]+)?)(?:<.*>)?(?:, )?filename: (".*"|0x[0-9a-f]+)((?:, flags: [A-Z0-9_|x]+)?)(?:, mode: [A-Za-z0-9_|]+)?$'
        ) AS opened,
        coalesce(regexp_match(args, '(?:^|, )(?:count|length): ([0-9]{1,19})(?:, pos: [0-9]+)?$')[1], '0') AS count,
        coalesce(regexp_match(args, '(?:^|, )(?:pos|offset): (-?[0-9]{1,19})(?:, whence: [A-Z]+)?$')[1], '0') AS offset,
        coalesce('SEEK_' || regexp_match(args, '(?:^|, )whence: ([A-Z]+)$')[1], '0') AS whence,
        call IN ('open', 'openat', 'creat') AS opens,
        call IN ('execve', 'exit', 'exit_group') AS ends
    FROM whole
    WHERE call IS NULL
        OR call IN ('open', 'openat', 'creat', 'close', 'read', 'write', 'pread64', 'pwrite64', 'lseek', 'fsync', 'fdatasync',
            'ftruncate', 'dup', 'dup2', 'dup3', 'execve', 'exit', 'exit_group')
)
SELECT
    line,
    ts,
    dur,
    tid,
    call AS syscall,
    CASE WHEN NOT opens AND NOT ends THEN fd END AS fd,
    CASE WHEN call IN ('dup2', 'dup3') THEN fd2 END AS fd2,
    CASE WHEN call = 'openat' THEN CASE WHEN opened[1] IN ('', 'dfd: CWD') THEN '-100' ELSE split_part(opened[1], ' ', 2) END END AS dirfd,
    CASE WHEN opens THEN CASE
        WHEN opened[2] LIKE '"%' THEN substr(opened[2], 2, length(opened[2]) - 2)
        WHEN error IS NULL AND result <> '?' THEN '/unnamed/' || line END END AS path,
    CASE WHEN opens THEN CASE opened[3] WHEN '' THEN '0' ELSE 'O_' || replace(split_part(opened[3], ' ', 3), '|', '|O_') END END AS flags,
    CASE WHEN opens AND opened[3] LIKE '%CREAT%' OR call = 'creat' THEN 420 END AS mode,
    CASE WHEN call IN ('pread64', 'pwrite64', 'lseek') THEN offset END AS offset,
    CASE WHEN call IN ('read', 'write', 'pread64', 'pwrite64', 'ftruncate') THEN count END AS count,
    CASE WHEN call = 'lseek' THEN whence END AS whence,
    CASE WHEN result <> '?' AND error IS NULL THEN result END AS ret,
    error AS errno,
    CASE
        WHEN call IS NULL THEN 'not_event'
        WHEN opens AND opened IS NULL THEN 'argument'
        WHEN NOT opens AND NOT ends AND fd IS NULL THEN 'argument'
        END AS reject
FROM calls
WHERE result IS NOT NULL OR call IS NULL
