-- Files on which calls of several lanes never overlapped in the capture, and do in the run: the program kept them apart by means
-- that the capture does not show (shared memory, a connection), and the time of the run is not the program's.
--
-- Needs the workload and a run of it. Requests to io_submit and io_uring are left out: they overlap by themselves.
--
-- @needs ops results
-- @from fileset path
-- @column lanes BIGINT lanes with calls on it
-- @column overlaps BIGINT calls that began before an earlier one on the same file had ended
WITH
calls AS (
    SELECT ops.file, ops.path, ops.lane, ops.ts, ops.dur AS took, results.begin, results.dur
    FROM ops
    JOIN results ON results.op_id = ops.op_id
    WHERE ops.file IS NOT NULL AND ops.origin = 'event' AND ops.ts IS NOT NULL AND ops.ring IS NULL AND results.dur IS NOT NULL
),
sides AS (
    SELECT
        file, path, lane,
        ts < max(ts + took) OVER (PARTITION BY file ORDER BY ts ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS captured,
        begin < max(begin + dur) OVER (PARTITION BY file ORDER BY begin ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS replayed
    FROM calls
)
SELECT min(path) AS path, count(DISTINCT lane) AS lanes, count(*) FILTER (WHERE replayed) AS overlaps
FROM sides
GROUP BY file
HAVING min(lane) < max(lane) AND count(*) FILTER (WHERE captured) = 0 AND count(*) FILTER (WHERE replayed) > 0
ORDER BY overlaps DESC, path
