-- What is replayed: one row per op, by lane, inside a lane in order.
--
-- Op ids are dense in order of effect over all lanes. The stage gives the ops in this order, and the writer puts those
-- of a lane together as they come. A position is the argument where the call has one, else where the shared position
-- of its descriptor was. Calls with two descriptors take positions by pointer, and having none means something.
--
-- @needs chosen
-- @column op_id BIGINT dense, in order of effect, from 0
-- @column seq BIGINT the captured event, or the one that caused an inserted op
-- @column origin VARCHAR event for a captured call, else why the op was inserted
-- @column lane BIGINT the lane the op runs in: its vtid
-- @column vpid BIGINT process, dense, never reused
-- @column vtid BIGINT thread, dense, never reused
-- @column syscall VARCHAR name of the captured call
-- @column op VARCHAR syscall that is issued
-- @column ofd BIGINT open file description the call uses or makes, never reused
-- @column ofd2 BIGINT second open file description
-- @column dir BIGINT open file description of dirfd, or of a removed working directory, when a relative path starts at it
-- @column dir2 BIGINT the same for the second path
-- @column file BIGINT identity of the file
-- @column file2 BIGINT identity of the second file
-- @column path VARCHAR absolute path at this moment, symlinks on the way resolved
-- @column path2 VARCHAR the same for the second path; content of a symlink
-- @column cwd VARCHAR working directory, when a relative path starts at it
-- @column raw VARCHAR path argument as issued
-- @column raw2 VARCHAR second path argument as issued
-- @column name VARCHAR name of an extended attribute
-- @column ts BIGINT start of the call, ns (the manifest's clock says since when); absent when the capture lost the entry
-- @column dur BIGINT duration of the call, ns
-- @column fd BIGINT file descriptor argument; of open, creat and dup the descriptor they returned is in ret
-- @column fd2 BIGINT second descriptor: the new number of dup2 and dup3, where copy_file_range and sendfile read from is fd, where they write to fd2
-- @column dirfd BIGINT directory descriptor a relative path starts at, -100 (AT_FDCWD) for the working directory
-- @column dirfd2 BIGINT the same for the second path
-- @column offset BIGINT file position argument, bytes
-- @column offset2 BIGINT second position argument: of copy_file_range where it writes
-- @column count BIGINT bytes asked for; of truncate, ftruncate and fallocate the length, of mmap the size
-- @column ret BIGINT return value; -1 when the call failed
-- @column errno BIGINT 0, or the error of a failed call (errno(3))
-- @column flags BIGINT flags argument as the kernel numbers it: O_, AT_, RENAME_, CLONE_, MAP_, POSIX_FADV_ ...
-- @column mode BIGINT mode argument: permission bits; of mmap the protection, of access the mode asked
-- @column whence BIGINT origin of a seek (lseek(2)): 0 SET, 1 CUR, 2 END, 3 DATA, 4 HOLE
-- @column cmd BIGINT command of fcntl(2) and flock(2), request of ioctl(2)
-- @column arg BIGINT argument of fcntl(2)
-- @column uid BIGINT owner argument
-- @column gid BIGINT group argument
-- @column iovcnt BIGINT number of buffers of a vectored call
-- @column resolve BIGINT resolve flags of openat2(2)
-- @column atime BIGINT access time argument, ns since 1970; see TIME_NOW and TIME_OMIT
-- @column mtime BIGINT modification time argument, ns since 1970
SELECT
    op_id, seq, origin, vtid AS lane, vpid, vtid, syscall, op, ofd, ofd2, dir, dir2, file, file2, at_path AS path,
    at_path2 AS path2, cwd, path AS raw, path2 AS raw2, name,
    ts, dur, fd, fd2, dirfd, dirfd2, coalesce(offset, CASE WHEN ofd2 IS NULL THEN at_offset END) AS offset,
    offset2, count, ret, errno, flags, mode, whence, cmd, arg, uid, gid, iovcnt, resolve, atime, mtime
FROM numbered(chosen)
ORDER BY pos
