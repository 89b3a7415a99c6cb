-- What each worker (replay thread) did, and how long it waited between calls: for its order, for its pace, or for its next ops
-- to be read.
--
-- @needs results
-- @column worker BIGINT the worker
-- @column lanes BIGINT captured threads whose ops it issued
-- @column ops BIGINT ops it issued
-- @column span_ns BIGINT from the start of its first call to the end of its last, ns
-- @column call_ns BIGINT in calls, ns
-- @column wait_ns BIGINT between calls, ns
-- @column busy DOUBLE share of the span in calls, 0 to 1
-- @column p50_wait_ns BIGINT half of its waits were at most this, ns
-- @column p99_wait_ns BIGINT 99 of 100 were at most this, ns
-- @column max_wait_ns BIGINT the longest, ns
WITH calls AS (
    SELECT
        worker, lane, begin, dur, issued,
        begin - lag(begin + dur) OVER (PARTITION BY worker ORDER BY begin, op_id) AS wait
    FROM (SELECT worker, lane, op_id, begin, coalesce(dur, 0) AS dur, dur IS NOT NULL AS issued FROM results) AS of_workers
)
SELECT
    worker,
    count(DISTINCT lane) AS lanes,
    count(*) FILTER (WHERE issued) AS ops,
    max(begin + dur) - min(begin) AS span_ns,
    CAST(sum(dur) AS BIGINT) AS call_ns,
    CAST(coalesce(sum(wait), 0) AS BIGINT) AS wait_ns,
    CAST(sum(dur) AS DOUBLE) / nullif(max(begin + dur) - min(begin), 0) AS busy,
    percentile(wait, 0.5) AS p50_wait_ns,
    percentile(wait, 0.99) AS p99_wait_ns,
    max(wait) AS max_wait_ns
FROM calls
GROUP BY worker
ORDER BY worker
