-- Time, calls and bytes by path and call.
--
-- `ioriot export --to folded` makes a stack of each row: a frame for each directory, one for the file, one for the call.
--
-- @needs io
-- @from ops path syscall
-- @from measures calls bytes total_ns
-- @column untimed BIGINT of them without a duration
SELECT
    path,
    syscall,
    count(*) AS calls,
    CAST(sum(bytes) AS BIGINT) AS bytes,
    CAST(coalesce(sum(dur_ns), 0) AS BIGINT) AS total_ns,
    count(*) FILTER (WHERE dur_ns IS NULL) AS untimed
FROM io
GROUP BY path, syscall
ORDER BY path NULLS LAST, syscall
