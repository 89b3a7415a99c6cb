-- A call that is to succeed has a negative size or position, or an op no number of its own.
--
-- @title Argument that no call can have
-- @severity error
-- @advice Set sizes and positions that are not negative.
-- @source read(2), pread(2), EINVAL
-- @needs ops syscall_def
-- @from measures subject evidence
WITH wrong AS (
    SELECT op_id, ops.op, count, offset, ofd, path
    FROM syscall_def AS def
    JOIN ops ON ops.op = def.syscall
    WHERE errno = 0 AND def.class IN ('reads', 'writes') AND (count < 0 OR offset < -1)
),
numbers AS (SELECT count(*) AS ops, min(op_id) AS first, max(op_id) AS last FROM ops)
SELECT coalesce(path, concat('description ', ofd)) AS subject, concat('op ', op_id, ' (', op, ') of ', count, ' bytes at ', offset) AS evidence
FROM wrong
UNION ALL
SELECT 'all ops' AS subject, concat(ops, ' ops have numbers from ', first, ' to ', last) AS evidence
FROM numbers
WHERE ops > 0 AND (first <> 0 OR last <> ops - 1)
