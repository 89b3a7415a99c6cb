-- Two runs of one workload side by side: one row per syscall, those that took longest in the first run first.
--
-- Runs of workloads with other fingerprints cannot be compared, and then this view is not there.
--
-- @needs results_1 results_2
-- @from results syscall
-- @column calls BIGINT calls in the first run
-- @column calls_2 BIGINT calls in the second
-- @column total_ns BIGINT time in them in the first run, ns
-- @column total_2_ns BIGINT the same in the second
-- @column p50_ns BIGINT half of them took at most this in the first run, ns
-- @column p50_2_ns BIGINT the same in the second
-- @column p99_ns BIGINT 99 of 100 took at most this in the first run, ns
-- @column p99_2_ns BIGINT the same in the second
-- @column ratio DOUBLE second over first time; under 1 the second run was faster
WITH one AS (
    SELECT
        syscall, count(*) AS calls, sum(dur) AS total,
        percentile(dur, 0.5) AS p50,
        percentile(dur, 0.99) AS p99
    FROM results_1 WHERE origin = 'event' AND dur IS NOT NULL GROUP BY syscall
),
two AS (
    SELECT
        syscall, count(*) AS calls, sum(dur) AS total,
        percentile(dur, 0.5) AS p50,
        percentile(dur, 0.99) AS p99
    FROM results_2 WHERE origin = 'event' AND dur IS NOT NULL GROUP BY syscall
)
SELECT
    coalesce(one.syscall, two.syscall) AS syscall,
    coalesce(one.calls, 0) AS calls,
    coalesce(two.calls, 0) AS calls_2,
    CAST(one.total AS BIGINT) AS total_ns,
    CAST(two.total AS BIGINT) AS total_2_ns,
    one.p50 AS p50_ns,
    two.p50 AS p50_2_ns,
    one.p99 AS p99_ns,
    two.p99 AS p99_2_ns,
    CAST(two.total AS DOUBLE) / nullif(one.total, 0) AS ratio
FROM one
FULL JOIN two ON two.syscall = one.syscall
ORDER BY total_ns DESC, syscall
