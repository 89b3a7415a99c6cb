-- A read is to get bytes from beyond the end of the file: the fileset makes it shorter, and no op writes so far or makes it longer.
--
-- @title File too short for its reads
-- @severity error
-- @advice Make the file of the fileset longer, or keep the writes that fill it.
-- @source read(2)
-- @needs ops fileset syscall_def
-- @from measures subject evidence
WITH
ends AS (
    SELECT
        ops.file, ops.path, ops.op_id, ops.op, ops.changed, def.class,
        CASE
            WHEN def.class IN ('reads', 'writes') AND ops.ret > 0 THEN ops.offset + ops.ret
            WHEN def.class = 'changes' THEN coalesce(ops.offset, 0) + ops.count
        END AS ends
    FROM syscall_def AS def
    JOIN ops ON ops.op = def.syscall
    WHERE ops.file IS NOT NULL AND coalesce(ops.errno, 0) = 0
),
written AS (SELECT file, max(ends) AS ends FROM ends WHERE class <> 'reads' GROUP BY file),
-- What copies, maps or is appended to by others is not looked at.
others AS (
    SELECT file2 AS file FROM ops WHERE file2 IS NOT NULL
    UNION
    SELECT file FROM ops WHERE file2 IS NOT NULL AND file IS NOT NULL
    UNION
    SELECT file FROM ops WHERE file IS NOT NULL AND origin = 'external'
    UNION
    SELECT file FROM ends WHERE class = 'maps'
    UNION
    SELECT file FROM ops WHERE file IS NOT NULL AND flags & 1024 <> 0
),
sizes AS (
    SELECT known.file, max(fileset.size) AS size
    FROM fileset
    JOIN (SELECT DISTINCT file, path FROM ops WHERE file IS NOT NULL AND path IS NOT NULL) AS known ON known.path = fileset.path
    WHERE fileset.kind = 'file'
    GROUP BY known.file
),
-- Of a further name of a file the fileset has no size.
links AS (
    SELECT known.file
    FROM fileset
    JOIN (SELECT DISTINCT file, path FROM ops WHERE file IS NOT NULL AND path IS NOT NULL) AS known ON known.path = fileset.path
    WHERE fileset.target IS NOT NULL
),
reads AS (
    SELECT file, max(ends) AS ends, min(path) AS path, count(*) AS reads FROM ends WHERE class = 'reads' AND ends IS NOT NULL AND changed IS NULL
    GROUP BY file
)
SELECT
    reads.path AS subject,
    concat('a read ends at byte ', reads.ends, ', and the file has ', greatest(coalesce(sizes.size, 0), coalesce(written.ends, 0))) AS evidence
FROM reads
LEFT JOIN written ON written.file = reads.file
LEFT JOIN sizes ON sizes.file = reads.file
LEFT JOIN others ON others.file = reads.file
LEFT JOIN links ON links.file = reads.file
WHERE others.file IS NULL AND links.file IS NULL AND reads.ends > greatest(coalesce(sizes.size, 0), coalesce(written.ends, 0))
ORDER BY reads.path
