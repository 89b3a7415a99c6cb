-- The events of several captures as those of one, in the order of the ends of calls; inside a capture their order stays.
--
-- @needs parts
-- @order seq
-- @from events
SELECT
    host, CAST(row_number() OVER (ORDER BY moment, part, seq) - 1 AS BIGINT) AS seq, syscall, ts, dur, pid, tid, fd, fd2,
    dirfd, dirfd2, offset, offset2, count, ret, errno, flags, mode, whence, cmd, arg, uid, gid, iovcnt, resolve, atime,
    mtime, st_mode, st_size, dev, ino, position, line, cpu, ring, inflight, behind, path, path2, fd_path, fd2_path,
    dir_path, dir2_path, name
FROM parts
ORDER BY seq
