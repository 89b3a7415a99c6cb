-- The walk as it was captured, on which a what-if is decided: events as they are in the capture, and what the model says of them.
--
-- It runs only with options that choose or change something (`--where`, `--from`, `--set`, `--scale` ...), and stages that choose read
-- it as `walk`. What it decides becomes stage `revised`, which the model follows anew.
--
-- @needs events
-- @order pos
-- @from ops seq syscall
-- @from events pid tid cpu offset {arguments} inflight path path2 name dev ino st_mode st_size position fd_path fd2_path
-- @from events dir_path dir2_path
-- @from walk pos tag origin fate op vpid vtid ofd ofd2 dir dir2 file file2 at_path at_path2 cwd at_offset at_offset2
-- @from walk shared shared2 on_file route bytes moves
SELECT
    seq, syscall, pid, tid, cpu, offset, {arguments}, inflight, path, path2, name, dev, ino, st_mode, st_size, position,
    fd_path, fd2_path, dir_path, dir2_path, pos, tag, origin, fate, op, vpid, vtid, ofd, ofd2, dir, dir2, file, file2, at_path,
    at_path2, cwd, at_offset, at_offset2, shared, shared2, on_file, route, bytes, moves
FROM followed(events)
WHERE tag IN ('event', 'insert')
