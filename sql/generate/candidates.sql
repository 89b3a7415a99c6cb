-- The ops that could be replayed, under the names that `--where` knows: those of table ops.
--
-- One row per event or inserted op of fate op. `offset` is the argument where the call has one, else the shared position of its
-- descriptor at that moment. Calls with two descriptors pass positions by pointer, and NULL there has a meaning of its own.
--
-- @needs walk
-- @from walk pos
-- @from ops seq origin lane vpid vtid syscall op ofd ofd2 dir dir2 file file2 path path2 cwd raw raw2 name
-- @from ops offset {arguments}
SELECT
    pos,
    seq, origin, vtid AS lane, vpid, vtid, syscall, op, ofd, ofd2, dir, dir2, file, file2, at_path AS path,
    at_path2 AS path2, cwd, path AS raw, path2 AS raw2, name,
    coalesce(offset, CASE WHEN ofd2 IS NULL THEN at_offset END) AS offset, {arguments}
FROM walk
WHERE fate = 'op'
