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
-- @column user_id BIGINT effective user behind its last call, where the capture knows it
-- @column command_line VARCHAR first words of its command line behind its last call, as in column command_line of the walk
-- @column cgroup VARCHAR its control group at its last exec; live captures alone know it
-- @column rank BIGINT its rank in a parallel program, where its environment told one
-- @column job VARCHAR the id of its job of a batch system, likewise
-- @column threads BIGINT threads with calls
-- @column calls BIGINT captured calls, also those that are not on files
-- @from measures start_s end_s
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
        -- What an exec tells holds behind it.
        last_value(coalesce(CASE WHEN def.op = 'exec' AND w.errno = 0 THEN w.uid END, w.user_id) ORDER BY w.seq) AS user_id,
        last_value(CASE WHEN def.op = 'exec' AND w.errno = 0 THEN w.name ELSE w.command_line END ORDER BY w.seq) AS command_line,
        last_value(
            CASE WHEN def.op = 'exec' AND w.errno = 0 AND w.uid IS NOT NULL THEN w.dir2_path
                WHEN def.op = 'exec' AND w.errno = 0 THEN coalesce(w.dir2_path, w.cgroup) ELSE w.cgroup END ORDER BY w.seq) AS cgroup,
        last_value(coalesce(CASE WHEN def.op = 'exec' AND w.errno = 0 THEN w.arg END, w.rank) ORDER BY w.seq) AS rank,
        last_value(coalesce(CASE WHEN def.op = 'exec' AND w.errno = 0 THEN w.fd2_path END, w.job) ORDER BY w.seq) AS job,
        count(DISTINCT w.vtid) AS threads,
        count(*) AS calls,
        min(w.ts) AS start_ts,
        max(w.ts + coalesce(w.dur, 0)) AS end_ts,
        bool_or(def.returns = 'Never') AS exited
    FROM (SELECT seq, ts, dur, pid, vpid, vtid, syscall, errno, path, at_path, comm, user_id, command_line, cgroup, rank, job, uid, arg,
        name, dir2_path, fd2_path, tag FROM virtualize(events)) AS w
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
    lives.user_id, lives.command_line, lives.cgroup, lives.rank, lives.job, lives.threads, lives.calls,
    CAST(lives.start_ts - began.ts AS DOUBLE) / 1e9 AS start_s,
    CAST(lives.end_ts - began.ts AS DOUBLE) / 1e9 AS end_s,
    coalesce(lives.exited, FALSE) AS exited
FROM lives
CROSS JOIN began
LEFT JOIN parents ON parents.vpid = lives.vpid
ORDER BY vpid
