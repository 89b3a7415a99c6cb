-- How long the captured calls took, over the whole capture and in their lanes: what the time of a replay is held against.
--
-- Calls without a time count for nothing; a capture without times has one row of NULLs.
--
-- @needs ops syscall_def
-- @column span BIGINT from the start of the first call to the end of the last, ns
-- @column in_calls BIGINT sum of the durations of all calls, ns: divided by the span the calls in flight on average
-- @column in_lanes BIGINT the same from the first to the last call of each lane, summed over the lanes, ns
-- @column unexplained BIGINT time between calls in which threads slept and nobody knows what woke them, ns
-- @column polled BIGINT the longest time in which a thread, each time after a timer, only looked at one name, with one outcome, at least eight times, ns
WITH
lanes AS (
    SELECT lane, min(ts) AS began, max(ts + coalesce(dur, 0)) AS ended, sum(dur) AS in_calls,
        sum(unexplained) AS unexplained
    FROM ops
    WHERE origin = 'event' AND ts IS NOT NULL
    GROUP BY lane
),
polls AS (
    SELECT sum(ops.think) AS slept
    FROM ops JOIN syscall_def USING (syscall)
    WHERE ops.timer IS NOT NULL AND syscall_def.class = 'looks'
    GROUP BY ops.lane, ops.syscall, ops.path, ops.errno
    HAVING count(*) >= 8
),
sums AS (
    SELECT
        max(ended) - min(began) AS span, CAST(sum(in_calls) AS BIGINT) AS in_calls,
        CAST(sum(ended - began) AS BIGINT) AS in_lanes, CAST(sum(unexplained) AS BIGINT) AS unexplained, CAST(NULL AS BIGINT) AS polled
    FROM lanes
    UNION ALL
    SELECT NULL, NULL, NULL, NULL, CAST(max(slept) AS BIGINT) FROM polls
)
-- One row of sums beside one row of polls, and not a join of them: with a join the ops without timers would be read too.
SELECT
    max(span) AS span, max(in_calls) AS in_calls, max(in_lanes) AS in_lanes, coalesce(max(unexplained), 0) AS unexplained,
    coalesce(max(polled), 0) AS polled
FROM sums
