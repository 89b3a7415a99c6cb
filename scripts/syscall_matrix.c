/* The syscall matrix: every call that ioriot replays, at least once, with known results. tests/it checks that no row of
 * the table is missing here. Whatever captures it, every outcome of its replay must be the same (scripts/e2e.sh).
 *
 *     cc -Wall -Wextra -O2 scripts/syscall_matrix.c -o matrix && strace -f -ttt -T -y -yy -o m.strace ./matrix DIR
 *
 * Raw syscalls, so that libc chooses nothing.
 */
#define _GNU_SOURCE
#include "matrix.h"
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <utime.h>

#ifndef SYS_fchmodat2
#define SYS_fchmodat2 452
#endif

static char buf[1 << 16] __attribute__((aligned(PAGE)));

static void data(void)
{
	struct iovec iov[2] = { { buf, 100 }, { buf + 100, 200 } };
	loff_t from = 0, to = 0;
	off_t start = 0;
	int ends[2];
	int fd = CALL(open, "data", O_CREAT | O_RDWR | O_TRUNC, 0644);
	int copy = CALL(openat, AT_FDCWD, "copy", O_CREAT | O_EXCL | O_RDWR, 0640);
	int log = CALL(open, "log", O_CREAT | O_WRONLY | O_APPEND, 0600);

	IS(10000, write, fd, buf, 10000);
	IS(300, writev, fd, iov, 2);
	IS(500, pwrite64, fd, buf, 500, 20000);
	IS(300, pwritev, fd, iov, 2, 30000, 0);
	IS(300, pwritev2, fd, iov, 2, 40000, 0, 0);
	IS(5, lseek, fd, 5, SEEK_SET);
	IS(1000, read, fd, buf, 1000);
	IS(300, readv, fd, iov, 2);
	IS(100, pread64, fd, buf, 100, 100);
	IS(300, preadv, fd, iov, 2, 200, 0);
	IS(300, preadv2, fd, iov, 2, 300, 0, 0);
	IS(0, pread64, fd, buf, 100, 1 << 20);
	IS(1305, lseek, fd, 0, SEEK_CUR);
	IS(40300, lseek, fd, 0, SEEK_END);
	IS(0, read, fd, buf, 100);
	IS(-EINVAL, lseek, fd, -1L, SEEK_SET);
	IS(5000, copy_file_range, fd, &from, copy, &to, 5000, 0);
	IS(5000, sendfile, copy, fd, &start, 5000);
	OK(pipe2, ends, 0);
	IS(500, splice, fd, &start, ends[1], NULL, 500, 0);
	IS(500, splice, ends[0], NULL, copy, NULL, 5000, SPLICE_F_MOVE);
	IS(50, sendfile, ends[1], fd, &start, 50);
	IS(50, splice, ends[0], NULL, copy, &to, 50, 0);
	IS(100, write, log, buf, 100);
	IS(100, write, log, buf, 100);
	IS(-EBADF, read, log, buf, 1);
	IS(-EBADF, read, 999, buf, 1);

	OK(ftruncate, fd, 15000);
	OK(truncate, "copy", 100);
	IS(-ENOENT, truncate, "nothing", 100);
	OK(fallocate, copy, 0, 0, 8192);
	OK(fallocate, copy, FALLOC_FL_KEEP_SIZE, 0, 16384);
	OK(fsync, fd);
	OK(fdatasync, fd);
	OK(syncfs, fd);
	OK(sync);
	OK(sync_file_range, fd, 0, 4096, SYNC_FILE_RANGE_WRITE);
	OK(readahead, fd, 0, 4096);
	OK(fadvise64, fd, 0, 0, POSIX_FADV_WILLNEED);
	long map = ANY(mmap, NULL, PAGE, PROT_READ, MAP_SHARED, fd, 0);
	if (map > 0) {
		OK(madvise, map, PAGE, MADV_WILLNEED);
		OK(msync, map, PAGE, MS_SYNC);
		OK(munmap, map, PAGE);
	}

	OK(flock, fd, LOCK_EX | LOCK_NB);
	OK(flock, fd, LOCK_UN);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 100, .l_len = 50 };
	OK(fcntl, fd, F_SETLK, &lock);
	OK(fcntl, fd, F_GETLK, &lock);
	lock = (struct flock){ .l_type = F_RDLCK, .l_whence = SEEK_END, .l_start = -10 };
	OK(fcntl, fd, F_SETLKW, &lock);
	lock = (struct flock){ .l_type = F_UNLCK };
	OK(fcntl, fd, F_SETLK, &lock);
	lock = (struct flock){ .l_type = F_WRLCK, .l_start = 1l << 40, .l_len = 1 };
	OK(fcntl, fd, F_OFD_SETLK, &lock);
	OK(fcntl, fd, F_OFD_GETLK, &lock);
	ANY(fcntl, fd, F_GETFL);
	OK(fcntl, fd, F_SETFL, O_APPEND);
	OK(fcntl, fd, F_SETFD, FD_CLOEXEC);
	IS(-ENOTTY, ioctl, fd, TCGETS, buf);
	OK(ioctl, fd, FIONREAD, buf);

	int dup1 = CALL(dup, fd);
	IS(50, dup2, fd, 50);
	IS(51, dup3, fd, 51, O_CLOEXEC);
	IS(10, write, dup1, buf, 10);
	OK(close, fd);
	IS(10, write, 50, buf, 10);
	OK(close_range, 50, 51, 0);
	OK(close, dup1);
	OK(close, copy);
	OK(close, log);
	IS(-EBADF, close, log);
}

static void names(void)
{
	struct open_how how = { .flags = O_RDWR | O_CREAT, .mode = 0644, .resolve = RESOLVE_BENEATH };

	OK(mkdir, "dir", 0755);
	IS(-EEXIST, mkdir, "dir", 0755);
	int dir = CALL(open, "dir", O_DIRECTORY);
	OK(mkdirat, dir, "sub", 0750);
	int fd = CALL(openat2, dir, "sub/file", &how, sizeof how);
	IS(4000, write, fd, buf, 4000);
	OK(close, fd);
	how.flags = O_RDONLY, how.mode = 0;
	IS(-EXDEV, openat2, dir, "../data", &how, sizeof how);
	how.resolve = RESOLVE_IN_ROOT;
	fd = CALL(openat2, dir, "/../sub/file", &how, sizeof how);
	OK(close, fd);
	int made = CALL(creat, "dir/made", 0600);
	OK(close, made);
	OK(mknod, "dir/fifo", S_IFIFO | 0600, 0);
	OK(mknodat, dir, "node", S_IFREG | 0600, 0);

	OK(link, "dir/made", "dir/hard");
	OK(linkat, dir, "made", dir, "hard2", 0);
	OK(symlink, "sub/file", "dir/soft");
	OK(symlinkat, "nowhere", dir, "dangling");
	IS(8, readlink, "dir/soft", buf, sizeof buf);
	IS(7, readlinkat, dir, "dangling", buf, sizeof buf);
	IS(-EINVAL, readlink, "dir/made", buf, sizeof buf);
	IS(-ENOENT, open, "dir/dangling", O_RDONLY);
	IS(-ELOOP, open, "dir/soft", O_RDONLY | O_NOFOLLOW);

	OK(rename, "dir/hard", "dir/renamed");
	OK(renameat, dir, "hard2", AT_FDCWD, "moved");
	OK(renameat2, dir, "node", dir, "node2", RENAME_NOREPLACE);
	IS(-EEXIST, renameat2, dir, "node2", dir, "made", RENAME_NOREPLACE);
	OK(rename, "dir/sub", "dir/sub2"); /* what is below moves too */
	fd = CALL(open, "dir/sub2/file", O_RDONLY);
	IS(4000, read, fd, buf, sizeof buf);
	OK(unlink, "dir/sub2/file"); /* still open */
	IS(0, read, fd, buf, sizeof buf);
	OK(close, fd);
	OK(unlinkat, dir, "made", 0);
	IS(-ENOTEMPTY, rmdir, "dir");
	OK(rmdir, "dir/sub2");
	IS(-ENOTDIR, rmdir, "data");
	IS(-ENOENT, unlink, "dir/sub/file");

	ANY(getdents, dir, buf, sizeof buf);
	IS(0, lseek, dir, 0, SEEK_SET);
	ANY(getdents64, dir, buf, sizeof buf);
	OK(fchdir, dir);
	ANY(getcwd, buf, sizeof buf);
	OK(access, "renamed", R_OK);
	OK(chdir, "..");
	OK(close, dir);
}

static void metadata(void)
{
	struct stat st;
	struct statfs fs;
	struct timespec times[2] = { { 1000, 5 }, { 0, UTIME_OMIT } };
	struct timeval tv[2] = { { 2000, 0 }, { 3000, 0 } };
	struct utimbuf ut = { 4000, 5000 };
	int uid = getuid(), gid = getgid();
	int fd = CALL(open, "data", O_RDWR);

	OK(stat, "data", &st);
	OK(lstat, "dir/soft", &st);
	OK(fstat, fd, &st);
	OK(newfstatat, AT_FDCWD, "dir/soft", &st, AT_SYMLINK_NOFOLLOW);
	OK(newfstatat, fd, "", &st, AT_EMPTY_PATH);
	OK(statx, AT_FDCWD, "data", 0, 0x7ff, buf);
	OK(statfs, ".", &fs);
	OK(fstatfs, fd, &fs);
	IS(-ENOENT, stat, "nothing", &st);
	IS(-ENOTDIR, stat, "data/below", &st);
	OK(access, "data", R_OK | W_OK);
	IS(-ENOENT, access, "nothing", F_OK);
	OK(faccessat, AT_FDCWD, "data", F_OK);
	OK(faccessat2, AT_FDCWD, "data", F_OK, AT_EACCESS);

	ANY(umask, 027);
	int masked = CALL(open, "masked", O_CREAT | O_WRONLY, 0666);
	OK(close, masked);
	OK(chmod, "data", 0600);
	OK(fchmod, fd, 0640);
	OK(fchmodat, AT_FDCWD, "data", 0644);
	ANY(fchmodat2, AT_FDCWD, "data", 0600, 0); /* since Linux 6.6 */
	OK(chown, "data", uid, gid);
	OK(lchown, "dir/soft", uid, gid);
	OK(fchown, fd, uid, gid);
	OK(fchownat, AT_FDCWD, "data", uid, gid, 0);
	OK(utimensat, AT_FDCWD, "data", times, 0);
	OK(utimes, "data", tv);
	OK(futimesat, AT_FDCWD, "data", tv);
	OK(utime, "data", &ut);

	/* Not every file system has extended attributes. */
	ANY(setxattr, "data", "user.a", "value", 5, 0);
	ANY(lsetxattr, "data", "user.b", "value", 5, XATTR_CREATE);
	ANY(fsetxattr, fd, "user.c", "value", 5, 0);
	ANY(getxattr, "data", "user.a", buf, sizeof buf);
	ANY(lgetxattr, "data", "user.b", buf, sizeof buf);
	ANY(fgetxattr, fd, "user.none", buf, sizeof buf);
	ANY(listxattr, "data", buf, sizeof buf);
	ANY(llistxattr, "data", buf, sizeof buf);
	ANY(flistxattr, fd, buf, sizeof buf);
	ANY(removexattr, "data", "user.a");
	ANY(lremovexattr, "data", "user.b");
	ANY(fremovexattr, fd, "user.none");
	OK(close, fd);
}

/* Children share positions and inherit descriptors; exec closes some. */
static void processes(const char *self)
{
	int fd = CALL(open, "shared", O_CREAT | O_RDWR, 0644);
	int gone = CALL(open, "data", O_RDONLY | O_CLOEXEC);
	char number[16], gone_number[16];

	IS(100, write, fd, buf, 100);
	snprintf(number, sizeof number, "%d", fd);
	snprintf(gone_number, sizeof gone_number, "%d", gone);
	long child = CALL(fork);
	if (child == 0) {
		CALL(write, fd, buf, 50);
		CALL(execve, self, ((char *[]){ "matrix", "-child", number, gone_number, NULL }), NULL);
		_exit(1);
	}
	int status = -1;
	waitpid(child, &status, 0);
	check("child", __LINE__, 0, status);
	IS(175, lseek, fd, 0, SEEK_CUR);
	OK(close, fd);
	OK(close, gone);
}

static int child(int fd, int gone)
{
	IS(25, write, fd, buf, 25);
	IS(-EBADF, close, gone);
	return failures != 0;
}

int main(int argc, char **argv)
{
	char self[PATH_MAX];

	if (argc == 4 && !strcmp(argv[1], "-child"))
		return child(atoi(argv[2]), atoi(argv[3]));
	if (!realpath("/proc/self/exe", self)) {
		perror(argv[0]);
		return 2;
	}
	int code = start(argc, argv);
	if (code)
		return code;
	data();
	names();
	metadata();
	processes(self);
	return failures != 0;
}
