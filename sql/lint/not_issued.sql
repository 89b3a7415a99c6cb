-- An op is no call that a replay issues: its word is unknown, or stands for what only the model follows.
--
-- @title Op that no replay issues
-- @severity error
-- @advice Set ops to calls that `ioriot syscalls` has in column op, and leave out those of support model.
-- @source docs/SYSCALLS.md
-- @needs ops syscall_def
-- @from measures subject evidence
SELECT concat('op ', op) AS subject, concat(count(*), ' times, first op ', min(op_id)) AS evidence
FROM ops
WHERE op NOT IN (SELECT op FROM syscall_def WHERE class IS NOT NULL)
GROUP BY op
ORDER BY min(op_id)
