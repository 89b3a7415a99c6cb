-- Replayed calls beside the captured ones, the 20 that took most.
--
-- @title Replayed calls
-- @part latency
-- @plot table
-- @needs latency
-- @from results syscall
-- @from measures calls total_ns captured_total_ns p50_ns
-- @column captured_p50_ns BIGINT half of the captured calls took at most this, ns
-- @from measures p99_ns
-- @column captured_p99_ns BIGINT 99 of 100 captured calls took at most this, ns
-- @column slowdown DOUBLE replayed over captured time; under 1 the replay was faster
SELECT syscall, calls, total_ns, captured_total_ns, p50_ns, captured_p50_ns, p99_ns, captured_p99_ns, slowdown
FROM latency
ORDER BY total_ns DESC, syscall
LIMIT 20
