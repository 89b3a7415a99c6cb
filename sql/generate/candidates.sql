-- The ops that could be replayed, under the names that `--where` knows: those of table ops, and `pid` and `tid`.
--
-- One row per event or inserted op of fate op.
--
-- @needs walk
-- @from walk pos
-- @from ops seq origin lane vpid vtid syscall op ofd ofd2 dir dir2 file file2 path path2 cwd raw raw2 name
-- @from ops offset {arguments}
-- @from events pid tid
SELECT pos, {op}, {arguments}, pid, tid
FROM walk
WHERE fate = 'op'
