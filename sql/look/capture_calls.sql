-- Events of a capture with the names that the model found for them, in the order of their effects, in which the model walks over
-- them: a sort would make `ioriot head` read all.
--
-- @needs events
-- @from events seq
-- @from measures time_s
-- @from events tid syscall
-- @column path VARCHAR absolute path of the file at this moment; where the model knows none what the capture says of the descriptor, or the path argument
-- @from ops path2
-- @column offset BIGINT where in the file the call reads, writes or points, bytes
-- @from events count ret errno dur fd flags pid
SELECT
    w.seq,
    CAST(w.ts - began.ts AS DOUBLE) / 1e9 AS time_s,
    w.tid,
    w.syscall,
    coalesce(w.at_path, w.fd_path, w.path) AS path,
    coalesce(w.at_path2, w.path2) AS path2,
    w.at_offset AS offset,
    w.count, w.ret, w.errno, w.dur, w.fd, w.flags, w.pid
FROM (SELECT min(ts) AS ts FROM events) AS began
CROSS JOIN (
    SELECT seq, ts, tid, syscall, at_path, fd_path, path, at_path2, path2, at_offset, count, ret, errno, dur, fd, flags, pid
    FROM virtualize(events)
    WHERE tag = 'event'
) AS w
