-- The walk: what each event means, once the model has followed every call before it.
--
-- The one stage that has state. It runs once, and the tables are made while it streams by. Options that choose or change something
-- have stage `chosen` in its place. Rows are in order of effect: an event, ops the model inserted before or after it (they
-- repeat its seq), and at the end the facts that only the whole capture tells, told apart by `tag`.
--
-- @needs events
-- @order pos
-- @from ops seq syscall
-- @from events pid tid cpu offset {arguments} inflight path path2 name
-- @from ops changed
-- @from walk
SELECT
    seq, syscall, pid, tid, cpu, offset, {arguments}, inflight, path, path2, name, CAST(NULL AS BIGINT) AS changed, pos, tag,
    origin, fate, reason, op, vpid, vtid, comm, exe, user_id,
    command_line, cgroup, rank, job, ofd, direct, synced, append, ofd2, dir, dir2, file, file2, at_path, at_path2, cwd,
    at_offset, at_offset2, shared, shared2, on_file, route, bytes, moves, elsewhere, touches, kind, size, exact, perm, owner, grp, modified,
    target, xattrs
FROM virtualize(events)
