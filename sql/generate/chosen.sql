-- The walk after `--where`: an op that was not chosen has fate drop with reason filtered, and no later stage can tell the
-- difference.
--
-- Without `--where` this stage is not run and the walk is taken as it is. The seeks of stage `seeks` come in between, as ops of
-- origin seek. Both inputs are in order, and are merged: nothing is sorted. A seek reads its open file description and writes its
-- shared position.
--
-- @needs walk wanted seeks
-- @order pos
-- @from ops seq syscall
-- @from events pid tid cpu offset {arguments} inflight path path2 name
-- @from walk pos tag origin fate reason op vpid vtid ofd ofd2 dir dir2 file file2 at_path at_path2 cwd at_offset
-- @from walk on_file route bytes moves elsewhere touches kind size exact perm owner grp modified target xattrs
WITH
marked AS (
    SELECT walk.*, wanted IS NOT NULL AS stays FROM wanted RIGHT JOIN walk ON walk.pos = wanted.wanted
)
SELECT
    seq, syscall, pid, tid, cpu, offset, {arguments}, inflight, path, path2, name, pos, tag, origin,
    CASE WHEN fate = 'op' AND NOT stays THEN 'drop' ELSE fate END AS fate,
    CASE WHEN fate = 'op' AND NOT stays THEN 'filtered' ELSE reason END AS reason, op, vpid, vtid, ofd, ofd2, dir,
    dir2, file, file2, at_path, at_path2, cwd, at_offset, on_file, route, bytes, moves, elsewhere, touches, kind, size,
    exact, perm, owner, grp, modified, target, xattrs
FROM marked
WHERE tag NOT IN ('insert', 'expect') OR stays
UNION ALL BY NAME
SELECT
    pos, seq, pid, tid, fd, vpid, vtid, ofd, file, at_path, goal AS offset, goal AS at_offset, goal AS ret,
    'lseek' AS syscall, 'lseek' AS op, 'insert' AS tag, 'seek' AS origin, 'op' AS fate, false AS on_file, 0 AS whence,
    0 AS errno, make_array(touch('ofd', ofd, 'read'), touch('position', ofd, 'write')) AS touches
FROM seeks
ORDER BY pos
