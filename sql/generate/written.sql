-- What the content of a file is like that is written by an open file description.
--
-- One row for each description that is opened for writing, if anything is known of the content of files.
--
-- @needs chosen content
-- @from written
WITH
opened AS (
    SELECT
        ofd, at_path, regexp_replace(at_path, '^.*/[^/]+(\.[^./]+)$', '\1') AS suffix, CASE WHEN at_path IS NOT NULL THEN '*' END AS star
    FROM chosen
    WHERE ofd IS NOT NULL AND (op IN ('open', 'openat', 'openat2') AND flags & 3 <> 0 OR op = 'creat') AND fate = 'op'
)
SELECT
    ofd,
    coalesce(own.sampled, alike.sampled, every.sampled) AS sampled,
    coalesce(own.compressed, alike.compressed, every.compressed) AS compressed,
    coalesce(own.incompressible, alike.incompressible, every.incompressible) AS incompressible,
    coalesce(own.zeroes, alike.zeroes, every.zeroes) AS zeroes,
    coalesce(own.repeated, alike.repeated, every.repeated) AS repeated,
    own.profile AS profile, own.profile_size AS profile_size
FROM opened
LEFT JOIN content AS own ON at_path = own.key AND own.what = 'file'
LEFT JOIN content AS alike ON suffix = alike.key AND alike.what = 'suffix'
LEFT JOIN content AS every ON star = every.key AND every.what = 'all'
WHERE coalesce(own.sampled, alike.sampled, every.sampled) IS NOT NULL
ORDER BY ofd
