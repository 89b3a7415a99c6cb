-- What must exist, and what must not, before the replay.
--
-- One row per path, parents before children.
--
-- @needs chosen layouts content
-- @from fileset
WITH
filled AS (
    SELECT *, kind = 'file' AND size > 0 AS filled
    FROM chosen
    WHERE tag = 'fileset'
),
-- Tables of a capture from elsewhere may have a path several times.
once AS (SELECT path, max(pieces) AS pieces, max(created) AS created FROM layouts GROUP BY path),
facts AS (
    SELECT
        *, CASE WHEN filled THEN regexp_replace(at_path, '^.*/[^/]+(\.[^./]+)$', '\1') END AS suffix, CASE WHEN filled THEN '*' END AS star
    FROM filled
)
SELECT
    at_path AS path, kind, facts.size, exact AS size_exact, perm AS mode, owner AS uid, grp AS gid, modified AS mtime, target, xattrs,
    pieces, created,
    coalesce(own.sampled, alike.sampled, every.sampled) AS sampled,
    coalesce(own.compressed, alike.compressed, every.compressed) AS compressed,
    coalesce(own.incompressible, alike.incompressible, every.incompressible) AS incompressible,
    coalesce(own.zeroes, alike.zeroes, every.zeroes) AS zeroes,
    coalesce(own.repeated, alike.repeated, every.repeated) AS repeated,
    own.profile AS profile, own.profile_size AS profile_size
-- The facts stand at the right, past which the others are held: paths may be long, and many.
FROM content AS every
RIGHT JOIN (
    content AS alike
    RIGHT JOIN (
        content AS own
        RIGHT JOIN (once RIGHT JOIN facts ON at_path = once.path AND kind = 'file')
        ON at_path = own.key AND own.what = 'file' AND filled
    ) ON suffix = alike.key AND alike.what = 'suffix'
) ON star = every.key AND every.what = 'all'
ORDER BY pos
