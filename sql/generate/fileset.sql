-- What must exist, and what must not, before the replay.
--
-- One row per path, parents before children.
--
-- @needs walk
-- @from fileset
SELECT at_path AS path, kind, size, exact AS size_exact, perm AS mode, owner AS uid, grp AS gid, modified AS mtime, target, xattrs
FROM walk
WHERE tag = 'fileset'
ORDER BY pos
