-- A call on a name is to succeed, and neither is its file in the fileset nor does an op before it make the name or that of a directory
-- above it.
--
-- @title Path that does not exist when it is used
-- @severity error
-- @advice Keep the call that makes the name (open with O_CREAT, mkdir, rename, link, symlink), or add the file to the fileset.
-- @source path_resolution(7), ENOENT
-- @needs ops fileset syscall_def
-- @from measures subject evidence
WITH
known AS (
    SELECT ops.op_id, ops.op, ops.path, ops.path2, ops.raw, ops.flags, def.class, def.makes, def.returns
    FROM syscall_def AS def
    JOIN ops ON ops.op = def.syscall
    WHERE ops.errno = 0
),
made AS (
    -- O_CREAT (64) of x86 (asm-generic/fcntl.h).
    SELECT path, op_id FROM known WHERE path IS NOT NULL AND (makes = 'path' OR class = 'opens' AND flags & 64 <> 0)
    UNION ALL
    SELECT path2 AS path, op_id FROM known WHERE path2 IS NOT NULL AND makes = 'path2'
),
names AS (
    SELECT path, min(op_id) AS op_id
    FROM (
        SELECT path, op_id FROM made
        UNION ALL
        SELECT path, -1 AS op_id FROM fileset WHERE kind <> 'absent'
    )
    GROUP BY path
),
used AS (
    SELECT path, min(op_id) AS op_id
    FROM known
    -- With O_TMPFILE (4194304) the file has no name; calls that return a path tell one.
    WHERE path IS NOT NULL AND raw IS NOT NULL AND path <> '/' AND returns <> 'Len'
        AND NOT coalesce(class = 'opens' AND flags & 4194304 <> 0, false)
    GROUP BY path
),
-- Whole trees come with a directory that is renamed.
moved AS (SELECT path2 AS path, min(op_id) AS op_id FROM known WHERE makes = 'path2' AND path2 IS NOT NULL GROUP BY path2),
missing AS (
    SELECT used.path, used.op_id
    FROM names
    RIGHT JOIN used ON used.path = names.path
    WHERE names.op_id IS NULL OR names.op_id > used.op_id
)
SELECT
    missing.path AS subject,
    concat('op ', missing.op_id, ' (', ops.op, ') succeeded in the capture, and nothing makes the name before it') AS evidence
FROM missing
JOIN ops ON ops.op_id = missing.op_id
WHERE NOT EXISTS (
    SELECT 1 FROM moved WHERE moved.op_id < missing.op_id AND starts_with(missing.path, concat(moved.path, '/'))
)
ORDER BY missing.op_id
