-- What must exist, and what must not, before the replay.
--
-- One row per path, parents before children.
--
-- @needs walk
-- @column path VARCHAR absolute path
-- @column kind VARCHAR file, dir, link, fifo, socket, or absent for what must not exist
-- @column size BIGINT size of a regular file, bytes
-- @column size_exact BOOLEAN was the size observed, rather than inferred as the least that explains every call?
-- @column mode BIGINT permission bits, when known
-- @column uid BIGINT owner, when known
-- @column gid BIGINT group, when known
-- @column mtime BIGINT modification time, ns since 1970, when known
-- @column target VARCHAR content of a symlink; of a file with several names, the one that is made: this is a link to it
-- @column xattrs VARCHAR names of extended attributes that a call found, separated by commas
SELECT at_path AS path, kind, size, exact AS size_exact, perm AS mode, owner AS uid, grp AS gid, modified AS mtime, target, xattrs
FROM walk
WHERE tag = 'fileset'
ORDER BY pos
