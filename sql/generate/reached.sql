-- What the changes of `--set` reach: of each file, from where on nobody knows what calls on it return.
--
-- A call that was changed says so of its files, and one that copies hands it on. Flags that only say how data gets to its place
-- (O_DIRECT, O_SYNC, O_DSYNC, O_NOATIME, O_NONBLOCK, O_CLOEXEC) change no result.
--
-- @needs proposals
-- @from ops file
-- @column since BIGINT position of the first such call in the order of effects
WITH RECURSIVE
altered AS (SELECT pos, file, file2 FROM proposals WHERE alters),
pairs AS (SELECT DISTINCT file, file2, pos FROM proposals WHERE file IS NOT NULL AND file2 IS NOT NULL AND file <> file2),
reach AS (
    SELECT file, pos FROM altered WHERE file IS NOT NULL
    UNION
    SELECT file2 AS file, pos FROM altered WHERE file2 IS NOT NULL
    UNION
    SELECT pairs.file2 AS file, pairs.pos
    FROM reach
    JOIN pairs ON pairs.file = reach.file
    WHERE pairs.pos >= reach.pos
)
SELECT file, min(pos) AS since
FROM reach
GROUP BY file
