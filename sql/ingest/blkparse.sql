-- What blkparse prints of requests to block devices, in its default form.
--
-- A request is a line `D`, the moment at which it goes to the device; of a device that has none (device mapper, md) a line `Q`, the
-- moment at which it is queued. The next line `C` of the same sectors is its completion. Other lines have no row, and neither has
-- the summary at the end. A device becomes one big file; a discard punches a hole in it.
--
-- @reader lines
-- @clock relative
-- @made after files of blkparse 1.2.0, of what the kernel's tracer blk wrote (Linux 6.18, a loop device)
-- @absent files, and the threads that wait for requests; how many requests were merged
-- @invented path: /block/MAJOR-MINOR, one file for each device
-- @invented fd: a number for each device
-- @invented pid: 1
-- @invented tid: requests are dealt to 32 threads in turn, so that they can overlap
-- @invented ret: all bytes, or the error on the line of the completion
-- @inserted an openat before the first request to a device
WITH ends AS (
    SELECT coalesce(min(line), 9223372036854775807) AS last FROM input WHERE text LIKE 'CPU% (%):' OR text LIKE 'Total (%):'
),
parts AS (
    SELECT line, regexp_match(
        text,
        '^ *([0-9]{1,4},[0-9]{1,7}) +[0-9]+ +[0-9]+ +([0-9]{1,9})\.([0-9]{9}) +[0-9]{1,10} +([A-Za-z]{1,2}) +([A-Z]+)'
        || '((?: [0-9]{1,15})?)((?: \+ [0-9]{1,9})?)((?: \[-?[0-9]{1,4}\])?)(?: .*)?$'
    ) AS part
    FROM input CROSS JOIN ends
    WHERE line < last AND text <> ''
),
steps AS (
    SELECT
        line,
        part[1] AS device,
        CAST(part[2] AS BIGINT) * 1000000000 + CAST(part[3] AS BIGINT) AS ts,
        part[4] AS action,
        part[5] AS kind,
        CAST(nullif(trim(part[6]), '') AS BIGINT) AS sector,
        CAST(nullif(trim(part[7], ' +'), '') AS BIGINT) AS sectors,
        CASE WHEN part[8] LIKE ' [-%' THEN trim(part[8], ' []') END AS error,
        CASE WHEN part IS NULL THEN 'not_event' END AS reject
    FROM parts
),
devices AS (
    SELECT
        device AS name,
        CASE WHEN bool_or(action = 'D') THEN 'D' ELSE 'Q' END AS begins,
        2 + CAST(row_number() OVER (ORDER BY device) AS BIGINT) AS fd,
        '/block/' || replace(device, ',', '-') AS file
    FROM steps
    WHERE device IS NOT NULL
    GROUP BY device
),
chosen AS (
    SELECT * FROM devices RIGHT JOIN steps ON name = device
),
paired AS (
    SELECT
        *,
        lead(action) OVER same AS next,
        lead(ts) OVER same AS done,
        lead(error) OVER same AS failed
    FROM chosen
    WHERE action = begins OR action = 'C' OR reject IS NOT NULL
    WINDOW same AS (PARTITION BY device, sector, sectors ORDER BY line)
),
requests AS (
    SELECT
        *,
        CASE WHEN kind LIKE '%R%' THEN 'pread64' WHEN kind LIKE '%D%' THEN 'fallocate' WHEN sectors > 0 THEN 'pwrite64'
            WHEN kind LIKE 'F%' THEN 'fdatasync' END AS call,
        CAST(row_number() OVER (ORDER BY line) AS BIGINT) AS number
    FROM paired
    WHERE action = begins AND (sectors > 0 OR kind LIKE 'F%') OR reject IS NOT NULL
)
SELECT
    line,
    ts,
    CASE WHEN next = 'C' AND done >= ts THEN done - ts END AS dur,
    1 AS pid,
    2 + number % 32 AS tid,
    call AS syscall,
    fd,
    NULL AS dirfd,
    NULL AS path,
    CASE call WHEN 'fallocate' THEN 3 END AS flags, -- FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE
    CASE WHEN call <> 'fdatasync' THEN sector * 512 END AS offset,
    CASE WHEN call <> 'fdatasync' THEN sectors * 512 END AS count,
    CASE
        WHEN next = 'C' AND failed IS NOT NULL THEN CAST(failed AS BIGINT)
        WHEN call IN ('pread64', 'pwrite64') THEN sectors * 512
        ELSE 0
        END AS ret,
    reject,
    NULL AS inserted
FROM requests
UNION ALL
SELECT
    min(line) AS line,
    first_value(ts ORDER BY line) AS ts,
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
FROM requests
WHERE reject IS NULL
GROUP BY fd, file
