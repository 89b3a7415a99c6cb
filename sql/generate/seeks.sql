-- The seeks that `--where` needs: an lseek before each call that starts from the shared position of its descriptor, when the
-- call that moved this position last was left out.
--
-- The `pos` of the lseek is that of the call less 1, or less 2 for the call's second descriptor. Only the positions of the
-- calls are sorted by descriptor; the rest is looked up in the walk, which keeps its order.
--
-- @needs walk wanted
-- @order pos
-- @from walk pos
-- @column seq BIGINT the event whose call follows
-- @from events pid tid
-- @column fd BIGINT file descriptor argument
-- @from ops vpid vtid ofd file
-- @from walk at_path
-- @column goal BIGINT the position
WITH
-- Calls that start from the shared position of their descriptor and move it. Only seeks have a whence: with any but SEEK_CUR
-- (1) they do not depend on where the position was.
moves AS (
    SELECT pos, 0 AS side, ofd, coalesce(whence <> 1, false) AS anywhere
    FROM walk
    WHERE shared AND fate = 'op' AND errno = 0 AND at_offset IS NOT NULL
    UNION ALL
    SELECT pos, 1 AS side, ofd2 AS ofd, false AS anywhere
    FROM walk
    WHERE shared2 AND fate = 'op' AND errno = 0 AND at_offset2 IS NOT NULL
),
marked AS (
    SELECT moves.*, wanted IS NOT NULL AS stays FROM wanted RIGHT JOIN moves ON moves.pos = wanted.wanted
),
lost AS (
    SELECT pos, side
    FROM (SELECT pos, side, stays, anywhere, lag(stays) OVER (PARTITION BY ofd ORDER BY pos, side) AS before FROM marked)
    WHERE stays AND NOT before AND NOT anywhere
)
SELECT before - 1 - side AS pos, seq, pid, tid, fd, vpid, vtid, ofd, file, at_path, goal
FROM (
    SELECT
        walk.pos AS before, side, seq, pid, tid, vpid, vtid,
        CASE side WHEN 0 THEN fd ELSE fd2 END AS fd,
        CASE side WHEN 0 THEN ofd ELSE ofd2 END AS ofd,
        CASE side WHEN 0 THEN file ELSE file2 END AS file,
        CASE side WHEN 0 THEN at_path ELSE at_path2 END AS at_path,
        CASE WHEN side = 1 THEN at_offset2 WHEN whence IS NOT NULL THEN at_offset - offset ELSE at_offset END AS goal
    FROM lost
    JOIN walk ON walk.pos = lost.pos
)
ORDER BY pos
