-- Sums over directory trees: each directory down to a depth, with all that lies below it.
--
-- @parameter depth BIGINT 2 names in the path of the deepest directories
-- @needs io
-- @example SELECT * FROM directory_sums(1)
-- @column directory VARCHAR path of the directory
-- @column depth BIGINT names in its path; 0 for /
-- @from measures calls
-- @column files BIGINT different files below it
-- @from measures read_bytes written_bytes
-- @from measures failed
-- @from measures total_ns
WITH
split AS (
    SELECT string_to_array(regexp_replace(path, '/[^/]*$', ''), '/') AS names, file, class, bytes, errno, dur_ns
    FROM io
    WHERE path LIKE '/%'
),
levels AS (
    SELECT unnest(generate_series(0, least($depth, greatest(CAST(coalesce(array_length(names), 1) AS BIGINT) - 1, 0)))) AS depth, names, file, class, bytes, errno, dur_ns FROM split
)
SELECT
    CASE depth WHEN 0 THEN '/' ELSE array_to_string(array_slice(names, 1, depth + 1), '/') END AS directory,
    depth,
    count(*) AS calls,
    count(DISTINCT file) AS files,
    coalesce(sum(bytes) FILTER (WHERE class = 'reads'), 0) AS read_bytes,
    coalesce(sum(bytes) FILTER (WHERE class = 'writes'), 0) AS written_bytes,
    count(*) FILTER (WHERE errno <> 0) AS failed,
    coalesce(sum(dur_ns), 0) AS total_ns
FROM levels
GROUP BY CASE depth WHEN 0 THEN '/' ELSE array_to_string(array_slice(names, 1, depth + 1), '/') END, depth
ORDER BY depth, total_ns DESC, directory
