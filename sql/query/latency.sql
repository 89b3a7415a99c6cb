-- How long the replayed calls took beside the captured ones: one row per syscall, the most frequent first.
--
-- Inserted ops are left out: nothing was captured to set beside them.
--
-- @needs results
-- @column syscall VARCHAR name of the captured call
-- @column calls BIGINT how often
-- @column p50_ns BIGINT half of the replayed calls took at most this, ns
-- @column p99_ns BIGINT 99 of 100 took at most this, ns
-- @column max_ns BIGINT the longest, ns
-- @column captured_p50_ns BIGINT the same in the capture
-- @column captured_p99_ns BIGINT the same in the capture
-- @column captured_max_ns BIGINT the same in the capture
SELECT
    syscall,
    count(*) AS calls,
    CAST(approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY dur) AS BIGINT) AS p50_ns,
    CAST(approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY dur) AS BIGINT) AS p99_ns,
    max(dur) AS max_ns,
    CAST(approx_percentile_cont(0.5) WITHIN GROUP (ORDER BY captured_dur) AS BIGINT) AS captured_p50_ns,
    CAST(approx_percentile_cont(0.99) WITHIN GROUP (ORDER BY captured_dur) AS BIGINT) AS captured_p99_ns,
    max(captured_dur) AS captured_max_ns
FROM results
WHERE origin = 'event'
GROUP BY syscall
ORDER BY calls DESC, syscall
