-- What the script `scripts/calls.bt` prints under bpftrace: `ENTRY DURATION PID TID CALL RETURNED ARGUMENT...`, times in ns since boot.
--
-- The format of a script of yours is a copy of this one with other patterns.
--
-- @reader lines
-- @clock boot
-- @made after files of bpftrace 0.17.0 (Linux 6.18)
-- @absent calls other than openat, close, read, write, pread64, pwrite64, lseek, ftruncate, fsync, fdatasync
-- @absent processes that begin and end
-- @absent names of files that were not in memory when the call began
WITH parts AS (
    SELECT
        line,
        regexp_match(
            text,
            '^([0-9]{1,18}) ([0-9]{1,18}) ([0-9]{1,10}) ([0-9]{1,10}) ([a-z0-9]+) (-?[0-9]{1,19}) (-?[0-9]{1,19})((?: -?[0-9]{1,19}){0,2})$'
        ) AS part,
        regexp_match(
            text,
            '^([0-9]{1,18}) ([0-9]{1,18}) ([0-9]{1,10}) ([0-9]{1,10}) (openat) (-?[0-9]{1,19}) (-?[0-9]{1,19}) ([0-9]{1,19}) ([0-9]{1,19}) (.*)$'
        ) AS opened
    FROM input
    WHERE text <> '' AND text NOT LIKE 'Attaching %'
),
calls AS (
    SELECT
        line,
        opened,
        coalesce(opened, part) AS part,
        CASE WHEN opened IS NULL THEN part[5] END AS call,
        CASE WHEN opened IS NULL THEN nullif(split_part(part[8], ' ', 2), '') END AS second,
        CASE WHEN opened IS NULL THEN nullif(split_part(part[8], ' ', 3), '') END AS third
    FROM parts
)
SELECT
    line,
    part[1] AS ts,
    part[2] AS dur,
    part[3] AS pid,
    part[4] AS tid,
    part[5] AS syscall,
    CASE WHEN opened IS NULL THEN part[7] END AS fd,
    CASE opened[7] WHEN '4294967196' THEN '-100' ELSE opened[7] END AS dirfd,
    nullif(opened[10], '') AS path,
    opened[8] AS flags,
    opened[9] AS mode,
    CASE WHEN call IN ('read', 'write', 'pread64', 'pwrite64', 'ftruncate') THEN second END AS count,
    CASE WHEN call IN ('pread64', 'pwrite64') THEN third WHEN call = 'lseek' THEN second END AS offset,
    CASE WHEN call = 'lseek' THEN third END AS whence,
    part[6] AS ret,
    CASE
        WHEN part IS NULL THEN 'not_event'
        WHEN call IN ('close', 'fsync', 'fdatasync') AND second IS NOT NULL
            OR call IN ('read', 'write', 'ftruncate') AND (second IS NULL OR third IS NOT NULL)
            OR call IN ('pread64', 'pwrite64', 'lseek') AND third IS NULL
            OR call = 'openat' THEN 'argument'
        WHEN call NOT IN ('close', 'read', 'write', 'pread64', 'pwrite64', 'lseek', 'ftruncate', 'fsync', 'fdatasync') THEN 'unknown'
        END AS reject
FROM calls
