-- What the workers of the replay did, and how long they waited between calls.
--
-- @title Workers
-- @part order
-- @plot table
-- @needs workers
-- @column worker BIGINT number of the worker
-- @column lanes BIGINT lanes that it issued ops of
-- @column ops BIGINT ops that it issued
-- @column call_ns BIGINT time in calls, ns
-- @column wait_ns BIGINT time between calls, ns
-- @column busy_share DOUBLE of the time from its first call to its last, in calls, 0 to 1
-- @column p99_wait_ns BIGINT 99 of 100 waits were at most this, ns
SELECT worker, lanes, ops, call_ns, wait_ns, busy AS busy_share, p99_wait_ns
FROM workers
ORDER BY worker
LIMIT 64
