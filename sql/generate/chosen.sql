-- The walk after `--where`: what was not chosen is dropped as filtered, and no later stage can tell the difference.
--
-- Without `--where` this stage is not run and the walk is taken as it is. Seeks come in between, as ops of origin seek.
-- Both inputs are in order, and are merged: nothing is sorted. A seek reads its descriptor (kind 0) and writes its shared
-- position (kind 1).
--
-- @needs walk wanted seeks
-- @order pos
-- @column seq BIGINT the captured event, or the one that caused an inserted op
-- @column syscall VARCHAR name of the captured call
-- @column ts BIGINT start of the call, ns (the manifest's clock says since when); absent when the capture lost the entry
-- @column dur BIGINT duration of the call, ns
-- @column pid BIGINT process (thread group) id
-- @column tid BIGINT thread id
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
-- @column mtime BIGINT modification time argument, ns since 1970; of the stat family the time that was found
-- @column path VARCHAR path argument as captured: relative to dirfd or the working directory unless it starts with /
-- @column path2 VARCHAR second path: new name of a rename or link, content of a symlink, what readlink returned
-- @column name VARCHAR name of an extended attribute (xattr(7))
-- @column pos BIGINT order of effect, a multiple of 4; the others are left free for what a stage inserts before a row
-- @column tag VARCHAR event; insert: an op the model inserted; fileset, extent, expect, guess, evidence: known when all events have been seen
-- @column origin VARCHAR why the op is there
-- @column fate VARCHAR op, model or drop
-- @column reason VARCHAR why it is dropped
-- @column op VARCHAR syscall that is issued
-- @column vpid BIGINT process, dense, never reused
-- @column vtid BIGINT thread, dense, never reused
-- @column ofd BIGINT open file description the call uses or makes
-- @column ofd2 BIGINT second open file description
-- @column dir BIGINT open file description of dirfd, or of a removed working directory, when a relative path starts at it
-- @column dir2 BIGINT the same for the second path
-- @column file BIGINT identity of the file
-- @column file2 BIGINT identity of the second file
-- @column at_path VARCHAR absolute path at this moment; of a fact the path it is about
-- @column at_path2 VARCHAR the same for the second path; content of a symlink
-- @column cwd VARCHAR working directory, when a relative path starts at it
-- @column at_offset BIGINT where in the file the call reads, writes or points; of an extent its first byte; of evidence how many answers were observed
-- @column on_file BOOLEAN does coverage count it: a call on a regular file, directory or symlink outside pseudo file systems, or one that nobody knows?
-- @column touches BIGINT[] what the call touches: numbers of resources, times 4, and 0 for read, 1 for add, 2 for write, 3 for the write that ends it; a number is an id, times 16, and a kind
-- @column kind VARCHAR of a fact: kind of file; of an extent read or hole; of a guess what was guessed, of evidence kind of answer
-- @column size BIGINT of a fact: bytes; of a guess how often, of evidence how many answers
-- @column exact BOOLEAN of a fileset row: was the size observed?
-- @column perm BIGINT of a fileset row: permission bits
-- @column owner BIGINT of a fileset row: owner
-- @column grp BIGINT of a fileset row: group
-- @column modified BIGINT of a fileset row: modification time, ns since 1970
-- @column target VARCHAR of a fact: content of a symlink
-- @column xattrs VARCHAR of a fileset row: names of extended attributes, separated by commas
WITH
marked AS (
    SELECT walk.*, wanted IS NOT NULL AS stays FROM wanted RIGHT JOIN walk ON walk.pos = wanted.wanted
)
SELECT
    seq, syscall, ts, dur, pid, tid, fd, fd2, dirfd, dirfd2, offset, offset2, count, ret, errno, flags, mode,
    whence, cmd, arg, uid, gid, iovcnt, resolve, atime, mtime, path, path2, name, pos, tag, origin,
    CASE WHEN fate = 'op' AND NOT stays THEN 'drop' ELSE fate END AS fate,
    CASE WHEN fate = 'op' AND NOT stays THEN 'filtered' ELSE reason END AS reason, op, vpid, vtid, ofd, ofd2, dir,
    dir2, file, file2, at_path, at_path2, cwd, at_offset, on_file, touches, kind, size, exact, perm, owner, grp,
    modified, target, xattrs
FROM marked
WHERE tag NOT IN ('insert', 'expect') OR stays
UNION ALL BY NAME
SELECT
    pos, seq, pid, tid, fd, vpid, vtid, ofd, file, at_path, goal AS offset, goal AS at_offset, goal AS ret,
    'lseek' AS syscall, 'lseek' AS op, 'insert' AS tag, 'seek' AS origin, 'op' AS fate, false AS on_file, 0 AS whence,
    0 AS errno, make_array(ofd * 64, (ofd * 16 + 1) * 4 + 2) AS touches
FROM seeks
ORDER BY pos
