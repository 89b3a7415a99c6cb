-- Where the time of a run went: one row per path, those that took longest first.
--
-- A copy is a call on both of its files: it reads the one and writes the other. What was issued says which: sendfile to a
-- socket is a read.
--
-- @needs results ops syscall_def
-- @from fileset path
-- @column calls BIGINT captured calls on it that were replayed
-- @column total_ns BIGINT time in them, all together, ns
-- @from measures captured_total_ns p99_ns max_ns read_bytes written_bytes
-- @column failed BIGINT of them failed
-- @from measures different
WITH sides AS (
    SELECT path, results.*, moves IN ('reads', 'copies') AS reads, moves = 'writes' AS writes
    FROM results
    JOIN ops ON ops.op_id = results.op_id
    JOIN syscall_def AS def ON def.syscall = ops.op
    UNION ALL
    SELECT path2 AS path, results.*, false AS reads, true AS writes
    FROM results
    JOIN ops ON ops.op_id = results.op_id
    JOIN syscall_def AS def ON def.syscall = ops.op
    WHERE moves = 'copies'
)
SELECT
    path,
    count(dur) AS calls,
    CAST(coalesce(sum(dur), 0) AS BIGINT) AS total_ns,
    CAST(sum(captured_dur) FILTER (WHERE dur IS NOT NULL) AS BIGINT) AS captured_total_ns,
    percentile(dur, 0.99) AS p99_ns,
    max(dur) AS max_ns,
    CAST(coalesce(sum(ret) FILTER (WHERE ret > 0 AND reads), 0) AS BIGINT) AS read_bytes,
    CAST(coalesce(sum(ret) FILTER (WHERE ret > 0 AND writes), 0) AS BIGINT) AS written_bytes,
    count(dur) FILTER (WHERE errno <> 0) AS failed,
    count(*) FILTER (WHERE outcome = 'different') AS different
FROM sides
WHERE origin = 'event' AND path IS NOT NULL
GROUP BY path
ORDER BY total_ns DESC, path
