-- An op uses an open file description that no op before it opens.
--
-- @title Descriptor used before it is open
-- @severity error
-- @advice Keep the open of the descriptor, too: choose by a predicate that holds for it, or leave the choice to generate, which keeps
-- @advice opens and closes of what chosen ops use.
-- @source open(2), EBADF
-- @needs ops syscall_def
-- @from measures subject evidence
WITH
uses AS (
    SELECT ofd, op_id FROM ops
    UNION ALL SELECT ofd2 AS ofd, op_id FROM ops
    UNION ALL SELECT dir AS ofd, op_id FROM ops
    UNION ALL SELECT dir2 AS ofd, op_id FROM ops
),
firsts AS (SELECT ofd, min(op_id) AS op_id FROM uses WHERE ofd IS NOT NULL GROUP BY ofd)
SELECT
    coalesce(ops.path, concat('description ', firsts.ofd)) AS subject,
    concat('op ', ops.op_id, ' (', ops.op, ') is the first on description ', firsts.ofd, ' and does not open it') AS evidence
FROM firsts
JOIN ops ON ops.op_id = firsts.op_id
LEFT JOIN syscall_def AS def ON def.syscall = ops.op
WHERE coalesce(def.class, 'rest') <> 'opens' OR ops.ofd IS DISTINCT FROM firsts.ofd
ORDER BY ops.op_id
