-- Captured calls by the time that they took, the 20 that took most.
--
-- @title Captured calls
-- @part latency
-- @plot table
-- @needs calls
-- @from events syscall
-- @from measures calls
-- @column failed BIGINT those that had an error
-- @column moved_bytes BIGINT bytes of files that they moved
-- @from measures total_ns p50_ns p99_ns max_ns
SELECT syscall, calls, failed, bytes AS moved_bytes, total_ns, p50_ns, p99_ns, max_ns
FROM calls
ORDER BY total_ns DESC, calls DESC, syscall
LIMIT 20
