-- Calls that failed: which, how, how often, and on what.
--
-- @parameter least BIGINT 1 how often at least
-- @needs io
-- @example SELECT * FROM errors()
-- @from events syscall errno
-- @column calls BIGINT calls that failed so
-- @column failed_share DOUBLE of all calls of that name, 0 to 1
-- @from measures paths
-- @column example VARCHAR one of the paths
-- @from measures total_ns
WITH
failed AS (
    SELECT
        syscall, errno, count(*) AS calls, count(DISTINCT path) AS paths, min(path) AS example,
        coalesce(sum(dur_ns), 0) AS total_ns
    FROM io
    WHERE errno <> 0
    GROUP BY syscall, errno
),
made AS (SELECT syscall, count(*) AS calls FROM io GROUP BY syscall)
SELECT
    failed.syscall, failed.errno, failed.calls,
    failed.calls / CAST(made.calls AS DOUBLE) AS failed_share,
    failed.paths, failed.example, failed.total_ns
FROM failed
JOIN made ON made.syscall = failed.syscall
WHERE failed.calls >= $least
ORDER BY calls DESC, syscall, errno
