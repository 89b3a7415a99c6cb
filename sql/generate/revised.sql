-- The events after a what-if, for the model to follow: changed by `--set`, and each with how it is treated.
--
-- What was observed in the kernel (positions, sizes, identities, paths of descriptors) is left out of calls on files that a change
-- reaches. A call that is not replayed is hidden from the model, as if somebody outside the capture had made it; changes of
-- directory are followed all the same. Seeks of stage `seeks` come in between.
--
-- @needs proposals reached seeks
-- @order turn
-- @column turn BIGINT order of the events
-- @column treat VARCHAR how the walk treats it (past, follow, hide, seek); absent for an event like any other
-- @from ops seq syscall
-- @column called VARCHAR name of the captured call
-- @from ops changed
-- @from events pid tid cpu offset {arguments} inflight path path2 name dev ino st_mode st_size position fd_path fd2_path
-- @from events dir_path dir2_path
-- @column hidden_on_file BOOLEAN of a hidden call on_file of stage survey
-- @column hidden_route VARCHAR likewise
-- @column hidden_bytes BIGINT likewise
-- @column hidden_moves VARCHAR likewise
WITH
first AS (
    SELECT proposals.*, reached.since <= proposals.pos AS stale1 FROM reached RIGHT JOIN proposals ON proposals.file = reached.file
),
both AS (
    SELECT first.*, coalesce(stale1, false) OR coalesce(reached.since <= first.pos, false) AS stale
    FROM reached
    RIGHT JOIN first ON first.file2 = reached.file
),
judged AS (
    SELECT
        *,
        CASE
            WHEN seq < from_seq THEN 'past'
            WHEN seq > to_seq THEN 'hide'
            WHEN fate <> 'op' OR stays THEN NULL
            WHEN op IN ('chdir', 'fchdir', 'chroot') AND errno = 0 THEN 'follow'
            ELSE 'hide'
        END AS treat
    FROM both
)
SELECT
    turn, treat, seq, syscall, called, changed, pid, tid, cpu, offset, {arguments}, inflight, path, path2, name, dev, ino, st_mode,
    st_size, position, fd_path, fd2_path, dir_path, dir2_path, hidden_on_file, hidden_route, hidden_bytes, hidden_moves
FROM (
    SELECT
        pos AS turn, treat, seq, CASE WHEN treat = 'follow' AND op = 'fchdir' THEN 'chdir' ELSE syscall END AS syscall,
        syscall AS called, CASE WHEN stale OR alters THEN 1 END AS changed, pid, tid, cpu,
        coalesce(new_offset, asked) AS offset,
        ts, dur, fd, fd2, dirfd, dirfd2, coalesce(new_offset2, offset2) AS offset2,
        coalesce(new_count, new_length, count) AS count,
        CASE
            WHEN new_count IS NULL OR ret <= 0 THEN ret
            WHEN ret >= count THEN new_count
            ELSE least(ret, new_count)
        END AS ret,
        errno, coalesce(new_flags, flags) AS flags, mode, whence, cmd, arg, uid, gid, iovcnt, resolve, atime, mtime, ring, behind,
        inflight,
        CASE WHEN treat = 'follow' AND op = 'fchdir' THEN path ELSE coalesce(new_path, raw) END AS path,
        coalesce(new_path2, raw2) AS path2, name,
        CASE WHEN NOT stale THEN dev END AS dev, CASE WHEN NOT stale THEN ino END AS ino, st_mode,
        CASE WHEN NOT stale THEN st_size END AS st_size, CASE WHEN NOT stale THEN position END AS position,
        CASE WHEN NOT stale AND new_path IS NULL THEN fd_path END AS fd_path,
        CASE WHEN NOT stale AND new_path2 IS NULL THEN fd2_path END AS fd2_path, dir_path, dir2_path,
        on_file AS hidden_on_file, route AS hidden_route, bytes AS hidden_bytes, moves AS hidden_moves
    FROM judged
    UNION ALL BY NAME
    SELECT
        pos AS turn, 'seek' AS treat, seq, 'lseek' AS syscall, pid, tid, fd, goal AS offset, goal AS ret, 0 AS whence, 0 AS errno
    FROM seeks
)
ORDER BY turn
