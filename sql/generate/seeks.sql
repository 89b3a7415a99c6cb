-- Where `--where` puts a descriptor back in its place: an lseek before the next call that starts from a position which a
-- call that was left out had moved.
--
-- The lseek takes the odd number before that call's position. Only the positions of the calls are sorted by descriptor;
-- the rest is looked up in the walk, which keeps its order.
--
-- @needs walk wanted
-- @order pos
-- @column pos BIGINT order of effect
-- @column seq BIGINT the event whose call follows
-- @column pid BIGINT process (thread group) id
-- @column tid BIGINT thread id
-- @column fd BIGINT file descriptor argument
-- @column vpid BIGINT process, dense, never reused
-- @column vtid BIGINT thread, dense, never reused
-- @column ofd BIGINT open file description
-- @column file BIGINT identity of the file
-- @column at_path VARCHAR absolute path at this moment
-- @column goal BIGINT the position
WITH
-- Calls that start from the position of their descriptor and move it.
moves AS (
    SELECT pos, ofd, op = 'lseek' AND whence <> 1 AS anywhere
    FROM walk
    WHERE fate = 'op' AND errno = 0 AND op IN ('read', 'readv', 'write', 'writev', 'lseek') AND at_offset IS NOT NULL
),
marked AS (
    SELECT moves.*, wanted IS NOT NULL AS stays FROM wanted RIGHT JOIN moves ON moves.pos = wanted.wanted
),
lost AS (
    SELECT pos
    FROM (SELECT pos, stays, anywhere, lag(stays) OVER (PARTITION BY ofd ORDER BY pos) AS before FROM marked)
    WHERE stays AND NOT before AND NOT anywhere
)
SELECT before - 1 AS pos, seq, pid, tid, fd, vpid, vtid, ofd, file, at_path, goal
FROM (
    SELECT
        walk.pos AS before, seq, pid, tid, fd, vpid, vtid, ofd, file, at_path,
        CASE op WHEN 'lseek' THEN ret - offset ELSE at_offset END AS goal
    FROM lost
    JOIN walk ON walk.pos = lost.pos
)
ORDER BY before
