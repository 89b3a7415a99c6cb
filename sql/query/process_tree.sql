-- Processes with calls in the capture: who started them, what they executed, from when to when.
--
-- Made of the calls themselves, so also of text captures. A process that was there when the capture began has no parent in it
-- (a live capture has those in table `processes`); one that executed nothing since then, or since it was forked, has no `exe`.
--
-- @needs events
-- @column vpid BIGINT process, dense, never reused; in the order in which they were met
-- @column pid BIGINT its process id
-- @column parent BIGINT process id of the one that started it in the capture
-- @column exe VARCHAR path of what it executed last
-- @column comm VARCHAR the last name of that path, or its name as the capture noted it when it began
-- @column user_id BIGINT effective user at its last call, where the capture knows it
-- @column threads BIGINT threads with calls
-- @column calls BIGINT captured calls, also those that are not on files
-- @column start_s DOUBLE start of its first call, seconds since the first call of the capture
-- @column end_s DOUBLE end of its last call, seconds since the first call of the capture
-- @column exited BOOLEAN was its end captured?
WITH
began AS (SELECT min(ts) AS ts FROM events),
forks AS (
    SELECT events.ret AS pid, events.pid AS parent, events.ts
    FROM events
    JOIN syscall_def ON syscall_def.syscall = events.syscall
    WHERE syscall_def.returns = 'Pid' AND events.ret > 0
),
lives AS (
    SELECT
        w.vpid,
        min(w.pid) AS pid,
        last_value(coalesce(w.at_path, w.path) ORDER BY w.seq) FILTER (WHERE def.op = 'exec' AND w.errno = 0) AS exe,
        last_value(w.comm ORDER BY w.seq) AS comm,
        last_value(w.user_id ORDER BY w.seq) AS user_id,
        count(DISTINCT w.vtid) AS threads,
        count(*) AS calls,
        min(w.ts) AS start_ts,
        max(w.ts + coalesce(w.dur, 0)) AS end_ts,
        bool_or(def.returns = 'Never') AS exited
    FROM (SELECT seq, ts, dur, pid, vpid, vtid, syscall, errno, path, at_path, comm, user_id, tag FROM virtualize(events)) AS w
    LEFT JOIN syscall_def AS def ON def.syscall = w.syscall
    WHERE w.tag = 'event' AND w.vpid IS NOT NULL
    GROUP BY w.vpid
),
-- Process ids are used again: the parent is the one whose fork was the last before.
parents AS (
    SELECT vpid, parent
    FROM (
        SELECT lives.vpid, forks.parent, row_number() OVER (PARTITION BY lives.vpid ORDER BY forks.ts DESC) AS nth
        FROM lives
        JOIN forks ON forks.pid = lives.pid AND forks.ts <= lives.start_ts
    ) AS before
    WHERE nth = 1
)
SELECT
    lives.vpid, lives.pid, parents.parent, lives.exe,
    coalesce(regexp_replace(lives.exe, '^.*/', ''), lives.comm) AS comm,
    lives.user_id, lives.threads, lives.calls,
    CAST(lives.start_ts - began.ts AS DOUBLE) / 1e9 AS start_s,
    CAST(lives.end_ts - began.ts AS DOUBLE) / 1e9 AS end_s,
    coalesce(lives.exited, FALSE) AS exited
FROM lives
CROSS JOIN began
LEFT JOIN parents ON parents.vpid = lives.vpid
ORDER BY vpid
