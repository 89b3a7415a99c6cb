-- A description is opened with O_DIRECT, and a read or write on it is to succeed with a position or size that is no multiple of 512
-- bytes: most devices and file systems refuse that (EINVAL).
--
-- @title Direct I/O that will be refused
-- @severity error
-- @advice Round as well, as in --set 'count = (count + 4095) / 4096 * 4096', or set O_DIRECT for files with aligned calls only, as in
-- @advice --set "flags = CASE WHEN path LIKE '%.ibd' THEN flags | O_DIRECT END".
-- @source open(2), O_DIRECT
-- @needs ops syscall_def
-- @from measures subject evidence
WITH direct AS (
    -- O_DIRECT of x86 (asm-generic/fcntl.h).
    SELECT DISTINCT ops.ofd
    FROM ops
    JOIN syscall_def AS def ON def.syscall = ops.op
    WHERE ops.ofd IS NOT NULL AND ops.flags & 16384 <> 0 AND def.class = 'opens'
)
SELECT
    coalesce(min(ops.path), concat('description ', ops.ofd)) AS subject,
    concat(count(*), ' calls, the first is op ', min(op_id), ': ', min(ops.count), ' bytes at least, at ', min(ops.offset)) AS evidence
FROM direct
JOIN ops ON ops.ofd = direct.ofd
JOIN syscall_def AS def ON def.syscall = ops.op
WHERE def.class IN ('reads', 'writes') AND ops.errno = 0 AND (ops.count % 512 <> 0 OR ops.offset % 512 <> 0) AND ops.count > 0
GROUP BY ops.ofd
ORDER BY min(op_id)
