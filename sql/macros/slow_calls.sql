-- Which calls make the tail: the slowest calls of all, by what they did and to which file.
--
-- @parameter above DOUBLE 0.999 share of all calls that are faster, 0 to 1: 0.999 asks for those beyond the 99.9th percentile
-- @parameter most BIGINT 100 rows, at most
-- @needs io
-- @example SELECT * FROM slow_calls(0.5)
-- @from events syscall
-- @column path VARCHAR path of the file; absent where the call has none
-- @column calls BIGINT slow calls
-- @column call_share DOUBLE of all slow calls, 0 to 1
-- @column slow_ns BIGINT time in them, all together, ns
-- @from measures max_ns
WITH
tail AS (SELECT percentile(dur_ns, $above) AS least FROM io),
slow AS (SELECT io.syscall, io.path, io.dur_ns FROM io CROSS JOIN tail WHERE io.dur_ns > tail.least)
SELECT
    syscall, path,
    count(*) AS calls,
    count(*) / CAST(sum(count(*)) OVER () AS DOUBLE) AS call_share,
    sum(dur_ns) AS slow_ns,
    max(dur_ns) AS max_ns
FROM slow
GROUP BY syscall, path
ORDER BY slow_ns DESC, syscall, path
LIMIT $most
