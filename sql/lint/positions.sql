-- A read or write from the shared position of its description is to begin elsewhere than where the call before it on that description
-- leaves the position.
--
-- Descriptions that append, and those whose flags a call changes, are left out, as are calls behind one that leaves the position where
-- nobody knows.
--
-- @title Position that does not follow
-- @severity error
-- @advice Keep the calls that move the position, or put a seek before the call.
-- @source read(2), lseek(2)
-- @needs ops syscall_def
-- @from measures subject evidence
WITH
appends AS (
    -- O_APPEND (1024) of x86, and F_SETFL (4).
    SELECT DISTINCT ofd FROM ops WHERE ofd IS NOT NULL AND (flags & 1024 <> 0 OR cmd = 4)
    UNION
    SELECT DISTINCT ofd2 AS ofd FROM ops WHERE ofd2 IS NOT NULL
    UNION
    SELECT DISTINCT ofd FROM ops WHERE ofd2 IS NOT NULL AND ofd IS NOT NULL
    UNION
    SELECT DISTINCT ofd FROM ops WHERE ring IS NOT NULL AND ofd IS NOT NULL
),
moving AS (
    SELECT
        ops.ofd, ops.op_id, ops.op, ops.path, ops.offset,
        def.class IN ('reads', 'writes') AND def.given = 'shared' AND ops.ret >= 0 AS follows,
        CASE
            WHEN def.class = 'opens' THEN 0
            WHEN ops.whence IS NOT NULL AND def.moves = 'nothing' THEN ops.ret
            WHEN def.class IN ('reads', 'writes') AND def.given = 'shared' THEN ops.offset + ops.ret
        END AS ends
    FROM syscall_def AS def
    JOIN ops ON ops.op = def.syscall
    WHERE ops.ofd IS NOT NULL AND coalesce(ops.errno, 0) = 0
        AND (def.class = 'opens' OR def.given IN ('shared', 'argument_or_shared', 'pointer'))
),
ordered AS (
    SELECT *, lag(ends) OVER (PARTITION BY ofd ORDER BY op_id) AS before FROM moving
)
SELECT
    coalesce(ordered.path, concat('description ', ordered.ofd)) AS subject,
    concat('op ', op_id, ' (', op, ') begins at ', ordered.offset, ', and the position is ', before) AS evidence
FROM appends
RIGHT JOIN ordered ON ordered.ofd = appends.ofd
WHERE appends.ofd IS NULL AND follows AND before IS NOT NULL AND ordered.offset IS NOT NULL AND ordered.offset <> before
ORDER BY op_id
