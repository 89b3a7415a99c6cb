-- What darshan-dxt-parser prints of Darshan's extended traces (DXT): each read and write of each rank, file by file.
--
-- Rows of module X_POSIX are calls; those of X_MPIIO have no row, since MPI-IO makes the calls of X_POSIX. Times have four digits
-- behind the point, and calls of one time are in the order of the lines.
--
-- @reader lines
-- @clock relative
-- @made after what dxt_log_print_posix_file and dxt_log_print_mpiio_file of libdarshan-util print, the functions of darshan-dxt-parser,
-- @made as they are in the Python package darshan 3.5.0, of a log in that package
-- @absent opens, closes and all other calls, threads of ranks, calls that failed
-- @invented pid, tid: the rank and 1
-- @invented fd: a number for each file of each rank
-- @invented count: what was moved
-- @invented path: /unnamed/NUMBER for files whose name the log does not have
-- @inserted an openat before the first call of a rank on a file: O_RDWR|O_CREAT if it writes, else O_RDONLY
WITH parts AS (
    SELECT
        line,
        text,
        regexp_match(text, '^# DXT, file_id: ([0-9]+), file_name: (.*)$') AS file,
        regexp_match(
            text,
            '^ *(X_POSIX|X_MPIIO) +([0-9]{1,9}) +(read|write) +[0-9]+ +([0-9]{1,18}) +([0-9]{1,18}) +([0-9]{1,9})\.([0-9]{4}) +'
            || '([0-9]{1,9})\.([0-9]{4})(?: .*)?$'
        ) AS part
    FROM input
    WHERE text <> ''
),
counted AS (
    SELECT *, count(file) OVER (ORDER BY line ROWS UNBOUNDED PRECEDING) AS number FROM parts
),
names AS (
    SELECT number AS nth, CASE WHEN file[2] LIKE '/%' THEN file[2] ELSE '/unnamed/' || file[1] END AS path
    FROM counted
    WHERE file IS NOT NULL
),
moves AS (
    SELECT
        line,
        path,
        part[1] AS module,
        CAST(part[2] AS BIGINT) + 1 AS pid,
        part[3] AS kind,
        part[4] AS offset,
        part[5] AS length,
        CAST(part[6] AS BIGINT) * 1000000000 + CAST(part[7] AS BIGINT) * 100000 AS ts,
        CAST(part[8] AS BIGINT) * 1000000000 + CAST(part[9] AS BIGINT) * 100000 AS done,
        CASE WHEN part IS NULL OR number = 0 THEN 'not_event' END AS reject
    FROM names
    RIGHT JOIN counted ON nth = number
    WHERE part IS NULL AND text NOT LIKE '#%' OR part[1] = 'X_POSIX'
),
files AS (
    SELECT
        pid AS rank,
        path AS file,
        bool_or(kind = 'write') AS writes,
        first_value(line ORDER BY ts, line) AS first,
        min(ts) AS first_ts,
        2 + CAST(row_number() OVER (ORDER BY path, pid) AS BIGINT) AS fd
    FROM moves
    WHERE reject IS NULL
    GROUP BY pid, path
)
SELECT
    line,
    ts,
    CASE WHEN done >= ts THEN done - ts END AS dur,
    pid,
    pid AS tid,
    CASE kind WHEN 'read' THEN 'pread64' WHEN 'write' THEN 'pwrite64' END AS syscall,
    fd,
    NULL AS dirfd,
    NULL AS path,
    NULL AS flags,
    NULL AS mode,
    offset,
    length AS count,
    length AS ret,
    reject,
    NULL AS inserted
FROM files
RIGHT JOIN moves ON rank = pid AND file = path
UNION ALL
SELECT
    first AS line,
    first_ts AS ts,
    NULL AS dur,
    rank AS pid,
    rank AS tid,
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
