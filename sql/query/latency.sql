-- How long the replayed calls took beside the captured ones: one row per syscall, those that took longest first.
--
-- Inserted ops are left out: nothing was captured to set beside them; and syncs that were not issued (`--syncs regroup`).
--
-- @needs results
-- @from results syscall
-- @from measures calls total_ns
-- @column p50_ns BIGINT half of the replayed calls took at most this, ns
-- @column p90_ns BIGINT 90 of 100 took at most this, ns
-- @from measures p99_ns max_ns captured_total_ns
-- @column captured_p50_ns BIGINT the same in the capture
-- @column captured_p90_ns BIGINT the same in the capture
-- @column captured_p99_ns BIGINT the same in the capture
-- @column captured_max_ns BIGINT the same in the capture
-- @column due_p50_ns BIGINT half of them had ended this long after the pace wanted them issued, ns: with pace realtime what somebody sees who asks at the captured times and does not wait for the answer before; absent with pace asap
-- @column due_p99_ns BIGINT 99 of 100 of them had
-- @column due_max_ns BIGINT the latest
-- @column slowdown DOUBLE replayed over captured time, of the calls whose captured time is known; under 1 the replay was faster
SELECT
    syscall,
    count(*) AS calls,
    CAST(sum(dur) AS BIGINT) AS total_ns,
    percentile(dur, 0.5) AS p50_ns,
    percentile(dur, 0.9) AS p90_ns,
    percentile(dur, 0.99) AS p99_ns,
    max(dur) AS max_ns,
    CAST(sum(captured_dur) AS BIGINT) AS captured_total_ns,
    percentile(captured_dur, 0.5) AS captured_p50_ns,
    percentile(captured_dur, 0.9) AS captured_p90_ns,
    percentile(captured_dur, 0.99) AS captured_p99_ns,
    max(captured_dur) AS captured_max_ns,
    percentile(begin + dur - scheduled, 0.5) AS due_p50_ns,
    percentile(begin + dur - scheduled, 0.99) AS due_p99_ns,
    max(begin + dur - scheduled) AS due_max_ns,
    CAST(sum(dur) FILTER (WHERE captured_dur IS NOT NULL) AS DOUBLE) / nullif(sum(captured_dur), 0) AS slowdown
FROM results
WHERE origin = 'event' AND dur IS NOT NULL
GROUP BY syscall
ORDER BY total_ns DESC, syscall
