-- Files that were made and deleted in the capture: how long they lived, and how much was written to them; a histogram.
--
-- A file is made by an open with O_CREAT that is the first call on it, and deleted by a call that takes a name of it away; one with
-- several names lives until the last such call.
--
-- @parameter bits BIGINT 0 binary digits behind the highest that a bucket keeps: with 0 buckets are powers of two
-- @needs io
-- @example SELECT * FROM file_lifetimes()
-- @column from_ns BIGINT lower end of the bucket: from the call that made the file to the one that deleted it, ns
-- @column files BIGINT how many lived so long
-- @column read_bytes BIGINT bytes read from them
-- @column written_bytes BIGINT bytes written to them
-- @column example VARCHAR path of one of them
WITH
deletes AS (SELECT syscall FROM syscall_def WHERE op IN ('unlink', 'unlinkat')),
calls AS (
    SELECT
        io.file, io.path, io.time_s, io.class, io.bytes,
        io.class = 'opens' AND io.flags & 64 <> 0 AS makes,
        deletes.syscall IS NOT NULL AND io.errno = 0 AS ends,
        row_number() OVER (PARTITION BY io.file ORDER BY io.seq) AS nth
    FROM io
    LEFT JOIN deletes ON deletes.syscall = io.syscall
    WHERE io.file IS NOT NULL AND io.time_s IS NOT NULL
),
lives AS (
    SELECT
        file,
        min(path) AS path,
        CAST(round((max(time_s) FILTER (WHERE ends) - min(time_s) FILTER (WHERE makes AND nth = 1)) * 1e9) AS BIGINT) AS lived,
        sum(bytes) FILTER (WHERE class = 'reads') AS read_bytes,
        sum(bytes) FILTER (WHERE class = 'writes') AS written_bytes
    FROM calls
    GROUP BY file
)
SELECT
    bucket(lived, $bits) AS from_ns,
    count(*) AS files,
    coalesce(sum(read_bytes), 0) AS read_bytes,
    coalesce(sum(written_bytes), 0) AS written_bytes,
    min(path) AS example
FROM lives
WHERE lived IS NOT NULL
GROUP BY bucket(lived, $bits)
ORDER BY from_ns
