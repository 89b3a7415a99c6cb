-- Each event under the names that `--set` knows, those of table ops, and whether it stays.
--
-- `length` is the `count` of calls that set the size of a file. Beside them the columns of events that the model reads.
--
-- @needs survey wanted
-- @order pos
-- @from walk pos fate
-- @from ops seq origin lane vpid vtid syscall op ofd ofd2 dir dir2 file file2 path path2 cwd raw raw2 name
-- @from ops offset {arguments}
-- @column length BIGINT the size that a call gives a file, bytes
-- @from events pid tid cpu inflight dev ino st_mode st_size position fd_path fd2_path dir_path dir2_path
-- @column asked BIGINT position argument, bytes
-- @from walk on_file route bytes moves
-- @column stays BOOLEAN is it an op that is replayed?
SELECT
    pos, fate, {op}, {arguments}, count AS length, pid, tid, cpu, inflight, dev, ino, st_mode, st_size, position, fd_path,
    fd2_path, dir_path, dir2_path, offset AS asked, on_file, route, bytes, moves, wanted IS NOT NULL AS stays
FROM wanted
RIGHT JOIN survey ON survey.pos = wanted.wanted
WHERE tag = 'event'
