-- The ops that are replayed with `--where`.
--
-- The ops it picks (relation picked), and what they cannot do without: the opens and closes of every descriptor they
-- use, and of the directories those opens start at. The first op on a description is its open, and the last its close: what
-- no call closes is closed by an op that the model inserts.
--
-- @needs walk picked
-- @column wanted BIGINT position of an op that stays
WITH RECURSIVE
opens AS (
    SELECT walk.ofd, walk.pos, walk.dir, ends.last
    FROM (SELECT ofd, min(pos) AS first, max(pos) AS last FROM walk WHERE fate = 'op' GROUP BY ofd) AS ends
    JOIN walk ON walk.pos = ends.first
),
picked_ofds AS (
    SELECT ofd FROM picked
    UNION ALL SELECT ofd2 FROM picked
    UNION ALL SELECT dir FROM picked
    UNION ALL SELECT dir2 FROM picked
),
used AS (
    SELECT DISTINCT ofd FROM picked_ofds WHERE ofd IS NOT NULL
    UNION ALL
    SELECT opens.dir AS ofd FROM used JOIN opens ON used.ofd = opens.ofd WHERE opens.dir IS NOT NULL
)
SELECT pos AS wanted FROM picked
UNION
SELECT opens.pos AS wanted FROM used JOIN opens ON opens.ofd = used.ofd
UNION
SELECT opens.last AS wanted FROM used JOIN opens ON opens.ofd = used.ofd
