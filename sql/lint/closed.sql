-- An op uses an open file description after the op that closes it, or a second op closes it again.
--
-- @title Descriptor used after its close, or closed twice
-- @severity error
-- @advice Leave out the later op, or the close before it.
-- @source close(2), EBADF
-- @needs ops
-- @from measures subject evidence
WITH
uses AS (
    SELECT ofd, op_id FROM ops
    UNION ALL SELECT ofd2 AS ofd, op_id FROM ops
    UNION ALL SELECT dir AS ofd, op_id FROM ops
    UNION ALL SELECT dir2 AS ofd, op_id FROM ops
),
lasts AS (SELECT ofd, max(op_id) AS last FROM uses WHERE ofd IS NOT NULL GROUP BY ofd),
closes AS (SELECT ofd, min(op_id) AS op_id FROM ops WHERE op = 'close' AND ofd IS NOT NULL GROUP BY ofd)
SELECT
    concat('description ', closes.ofd) AS subject,
    concat('op ', closes.op_id, ' closes it, and op ', lasts.last, ' uses it') AS evidence
FROM closes
JOIN lasts ON lasts.ofd = closes.ofd
WHERE lasts.last > closes.op_id
ORDER BY closes.op_id
