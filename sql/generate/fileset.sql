-- What must exist, and what must not, before the replay.
--
-- One row per path, parents before children.
--
-- @needs chosen layouts content
-- @from fileset
WITH
facts AS (
    SELECT
        *, kind = 'file' AND size > 0 AS filled, regexp_replace(at_path, '^.*/[^/]+(\.[^./]+)$', '\1') AS suffix,
        CASE WHEN kind = 'file' AND size > 0 THEN '*' END AS star
    FROM chosen
    WHERE tag = 'fileset'
)
SELECT
    at_path AS path, kind, facts.size, exact AS size_exact, perm AS mode, owner AS uid, grp AS gid, modified AS mtime, target, xattrs,
    pieces, created,
    coalesce(own.sampled, alike.sampled, every.sampled) AS sampled,
    coalesce(own.compressed, alike.compressed, every.compressed) AS compressed,
    coalesce(own.incompressible, alike.incompressible, every.incompressible) AS incompressible,
    coalesce(own.zeroes, alike.zeroes, every.zeroes) AS zeroes,
    coalesce(own.repeated, alike.repeated, every.repeated) AS repeated
FROM facts
LEFT JOIN layouts ON at_path = layouts.path AND kind = 'file'
LEFT JOIN content AS own ON at_path = own.key AND own.what = 'file' AND filled
LEFT JOIN content AS alike ON suffix = alike.key AND alike.what = 'suffix' AND filled
LEFT JOIN content AS every ON star = every.key AND every.what = 'all'
ORDER BY pos
