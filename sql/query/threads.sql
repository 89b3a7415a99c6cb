-- Threads with calls in the capture: of which process, from when to when, and how long they were in calls and computed.
--
-- Made of the calls themselves, so also of text captures. What a thread computed behind its last call is in no figure.
--
-- @needs events
-- @from ops vtid vpid
-- @column pid BIGINT process id of its process
-- @column tid BIGINT its thread id; that of the first thread of a process is the process id
-- @column comm VARCHAR name of its process behind its last call, as in process_tree
-- @column file_calls BIGINT its calls on files
-- @column other_calls BIGINT its other captured calls
-- @from measures total_ns
-- @column cpu_ns BIGINT processor time before its calls; absent where waits were not captured
-- @from measures start_s end_s
WITH
began AS (SELECT min(ts) AS ts FROM events)
SELECT
    w.vtid,
    min(w.vpid) AS vpid,
    min(w.pid) AS pid,
    min(w.tid) AS tid,
    coalesce(
        regexp_replace(last_value(w.exe ORDER BY w.seq), '^.*/', ''),
        last_value(w.comm ORDER BY w.seq)) AS comm,
    count(*) FILTER (WHERE w.on_file) AS file_calls,
    count(*) FILTER (WHERE w.on_file IS NOT TRUE) AS other_calls,
    coalesce(sum(w.dur), 0) AS total_ns,
    sum(w.cpu) AS cpu_ns,
    CAST(min(w.ts) - min(began.ts) AS DOUBLE) / 1e9 AS start_s,
    CAST(max(w.ts + coalesce(w.dur, 0)) - min(began.ts) AS DOUBLE) / 1e9 AS end_s
FROM (SELECT seq, ts, dur, pid, tid, vpid, vtid, comm, exe, on_file, cpu, tag FROM virtualize(events)) AS w
CROSS JOIN began
WHERE w.tag = 'event' AND w.vtid IS NOT NULL
GROUP BY w.vtid
ORDER BY vtid
