-- The walk after a what-if: the model follows the revised events. No later stage can tell the difference.
--
-- Without options that choose or change something this stage is not run and the walk is taken as it is. A call that is not replayed has
-- fate drop with reason filtered.
--
-- @needs revised
-- @order pos
-- @from ops seq syscall
-- @from events pid tid cpu offset {arguments} inflight path path2 name
-- @from ops changed
-- @from walk
SELECT
    seq, coalesce(called, syscall) AS syscall, pid, tid, cpu, offset, {arguments}, inflight, path, path2, name, changed, pos, tag,
    origin, fate, reason, op, vpid, vtid, comm, exe, user_id,
    command_line, cgroup, rank, job, ofd, direct, synced, append, ofd2, dir, dir2, file, file2, at_path, at_path2, cwd,
    at_offset, at_offset2, shared, shared2, CASE WHEN treat = 'hide' THEN hidden_on_file ELSE on_file END AS on_file,
    CASE WHEN treat = 'hide' THEN arrow_cast(hidden_route, 'Utf8') ELSE arrow_cast(route, 'Utf8') END AS route,
    CASE WHEN treat = 'hide' THEN hidden_bytes ELSE bytes END AS bytes,
    CASE WHEN treat = 'hide' THEN arrow_cast(hidden_moves, 'Utf8') ELSE arrow_cast(moves, 'Utf8') END AS moves, elsewhere, touches, kind, size, exact, perm, owner, grp,
    modified, target, xattrs
FROM virtualize(revised)
