-- Calls on files: who made them, of which class, on which file, where in it, how many bytes, for how long; one row per call, in
-- the order of their effects.
--
-- The model follows every call of the capture (`virtualize`), so paths are absolute and positions are known also where a call
-- has none. Over several captures of one host nothing is known of what was open when they began.
--
-- @needs events clock
-- @from events seq
-- @from measures time time_s dur_ns
-- @from events pid tid
-- @from ops syscall
-- @from measures class
-- @from ops ofd file path path2 offset
-- @from measures bytes
-- @from ops errno flags
-- @column comm VARCHAR name of the calling process: of what it executed last or, before that, as the capture noted it
-- @column exe VARCHAR path of what it executed last in the capture, as execve named it, also before it was forked
-- @from walk user_id rank
-- @from measures directory
-- @from events dev
-- @from walk direct synced append
WITH w AS (
    SELECT
        seq, ts, dur, pid, tid, syscall, coalesce(CAST(op AS VARCHAR), syscall) AS does, ofd, file, at_path, at_path2, at_offset,
        ret, errno, flags, comm, exe, user_id, rank, dev, direct, synced, append
    FROM virtualize(events)
    WHERE tag = 'event' AND on_file
),
began AS (SELECT min(ts) AS ts, (SELECT max(clock) FROM clock) = 'unix' AS unix FROM events)
SELECT
    w.seq,
    CASE WHEN began.unix THEN to_timestamp_nanos(w.ts) END AS time,
    CAST(w.ts - began.ts AS DOUBLE) / 1e9 AS time_s,
    w.dur AS dur_ns, w.pid, w.tid, w.syscall,
    coalesce(def.class, 'rest') AS class,
    w.ofd, w.file,
    w.at_path AS path,
    w.at_path2 AS path2,
    w.at_offset AS offset,
    CASE WHEN def.moves IS NULL OR def.moves = 'nothing' OR w.ret <= 0 THEN 0 ELSE coalesce(w.ret, 0) END AS bytes,
    w.errno, w.flags, w.comm, w.exe, w.user_id, w.rank,
    coalesce(nullif(regexp_replace(w.at_path, '/[^/]*$', ''), ''), CASE WHEN w.at_path LIKE '/%' THEN '/' END) AS directory,
    w.dev, w.direct, w.synced, w.append
FROM began
CROSS JOIN w
LEFT JOIN syscall_def AS def ON def.syscall = w.does
