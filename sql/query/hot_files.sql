-- The files that the workload uses: one row per path, those that move most bytes first.
--
-- @needs ops
-- @column path VARCHAR absolute path
-- @column ops BIGINT ops on it
-- @column read_bytes BIGINT bytes read from it
-- @column written_bytes BIGINT bytes written to it
-- @column failed BIGINT ops that failed in the capture
SELECT
    path,
    count(*) AS ops,
    CAST(coalesce(sum(ret) FILTER (WHERE ret > 0 AND op IN ('read', 'readv', 'pread64', 'preadv', 'preadv2')), 0) AS BIGINT) AS read_bytes,
    CAST(coalesce(sum(ret) FILTER (WHERE ret > 0 AND op IN ('write', 'writev', 'pwrite64', 'pwritev', 'pwritev2')), 0) AS BIGINT) AS written_bytes,
    count(*) FILTER (WHERE errno <> 0) AS failed
FROM ops
WHERE path IS NOT NULL
GROUP BY path
ORDER BY read_bytes + written_bytes DESC, ops DESC, path
