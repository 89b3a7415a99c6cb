-- What must exist, and what must not, before the replay.
--
-- One row per path, parents before children.
--
-- @needs chosen layouts
-- @from fileset
SELECT
    at_path AS path, kind, chosen.size, exact AS size_exact, perm AS mode, owner AS uid, grp AS gid, modified AS mtime, target, xattrs,
    pieces, created
FROM chosen LEFT JOIN layouts ON at_path = layouts.path AND kind = 'file'
WHERE tag = 'fileset'
ORDER BY pos
