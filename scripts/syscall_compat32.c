/* The 32-bit form of the syscall matrix: calls that only a 32-bit program makes, with known results, and those whose
 * arguments look different there (positions in two registers, small structs).
 *
 *     cc -m32 -static -Wall -Wextra -O2 scripts/syscall_compat32.c -o compat32 && ./compat32 DIR
 *
 * Raw syscalls by their numbers of i386, so that libc chooses nothing; where it names a call after its 64-bit form, the
 * number is what counts.
 */
#define _GNU_SOURCE
#include "matrix.h"
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <termios.h>

#ifndef __i386__
#error "compile with -m32"
#endif

/* A 64-bit number in two registers. */
#define WIDE(value) (uint32_t)(uint64_t)(value), (uint32_t)((uint64_t)(value) >> 32)

static char buf[1 << 15] __attribute__((aligned(PAGE)));
/* Larger than any struct that a call here fills in. */
static uint64_t room[64];

static const int64_t FAR = 5LL << 30; /* does not fit into one register */

static void data(void)
{
	struct iovec iov[2] = { { buf, 100 }, { buf + 100, 200 } };
	int64_t from = 0, to = 0, result = 0;
	int32_t start = 0;
	int fd = CALL(open, "data", O_CREAT | O_RDWR | O_TRUNC | O_LARGEFILE, 0644);
	int copy = CALL(openat, AT_FDCWD, "copy", O_CREAT | O_EXCL | O_RDWR, 0640);

	IS(10000, write, fd, buf, 10000);
	IS(300, writev, fd, iov, 2);
	IS(500, pwrite64, fd, buf, 500, WIDE(20000));
	IS(300, pwritev, fd, iov, 2, WIDE(30000));
	IS(300, pwritev2, fd, iov, 2, WIDE(40000), 0);
	IS(5, lseek, fd, 5, SEEK_SET);
	IS(1000, read, fd, buf, 1000);
	IS(300, readv, fd, iov, 2);
	IS(100, pread64, fd, buf, 100, WIDE(100));
	IS(300, preadv, fd, iov, 2, WIDE(200));
	IS(300, preadv2, fd, iov, 2, WIDE(300), 0);
	IS(0, pread64, fd, buf, 100, WIDE(FAR));
	OK(_llseek, fd, 0, 1000, &result, SEEK_SET);
	IS(10, read, fd, buf, 10);
	OK(_llseek, fd, (uint32_t)(FAR >> 32), (uint32_t)FAR, &result, SEEK_SET);
	OK(_llseek, fd, -1, -1000, &result, SEEK_END);
	IS(1000, read, fd, buf, sizeof buf);
	IS(-EINVAL, lseek, fd, -1, SEEK_SET);
	IS(5000, copy_file_range, fd, &from, copy, &to, 5000, 0);
	IS(5000, sendfile, copy, fd, &start, 5000);
	from = 100;
	IS(50, sendfile64, copy, fd, &from, 50);

	OK(ftruncate64, fd, WIDE(FAR));
	IS(10, pwrite64, fd, buf, 10, WIDE(FAR));
	OK(ftruncate, fd, 15000);
	OK(truncate64, "copy", WIDE(100));
	OK(truncate, "copy", 200);
	IS(-ENOENT, truncate64, "nothing", WIDE(1));
	OK(fallocate, copy, 0, WIDE(0), WIDE(8192));
	OK(fallocate, copy, FALLOC_FL_KEEP_SIZE, WIDE(4096), WIDE(16384));
	OK(sync_file_range, fd, WIDE(0), WIDE(4096), SYNC_FILE_RANGE_WRITE);
	OK(readahead, fd, WIDE(0), 4096);
	OK(fadvise64, fd, WIDE(0), 4096, POSIX_FADV_WILLNEED);
	OK(fadvise64_64, fd, WIDE(4096), WIDE(8192), POSIX_FADV_SEQUENTIAL);
	long map = ANY(mmap2, NULL, PAGE, 1 /* PROT_READ */, 1 /* MAP_SHARED */, fd, 2 /* pages */);
	if (map != -1)
		OK(munmap, map, PAGE);

	ANY(fcntl64, fd, F_GETFL);
	OK(fcntl64, fd, F_SETFD, FD_CLOEXEC);
	OK(fcntl, fd, F_SETFL, O_APPEND);
	IS(60, fcntl64, fd, F_DUPFD, 60);
	struct { int16_t type, whence; int32_t start, length, pid; } lock = { 1 /* F_WRLCK */, 0, 100, 50, 0 };
	struct { int16_t type, whence; int64_t start, length; int32_t pid; } __attribute__((packed)) lock64 = { 0, 0, FAR, 7, 0 };
	OK(fcntl, fd, 6 /* F_SETLK */, &lock);
	OK(fcntl64, fd, 13 /* F_SETLK64 */, &lock64);
	OK(fcntl64, fd, 12 /* F_GETLK64 */, &lock64);
	OK(flock, fd, 2 | 4 /* LOCK_EX | LOCK_NB */);
	IS(-ENOTTY, ioctl, fd, TCGETS, buf);
	IS(10, write, 60, buf, 10);
	OK(close, 60);
	OK(close, fd);
	OK(close, copy);
	IS(-EBADF, close, copy);
}

static void names(void)
{
	OK(mkdir, "dir", 0755);
	int dir = CALL(open, "dir", O_DIRECTORY);
	OK(mkdirat, dir, "sub", 0750);
	int made = CALL(creat, "dir/made", 0600);
	OK(close, made);
	OK(link, "dir/made", "dir/hard");
	OK(symlink, "made", "dir/soft");
	IS(4, readlink, "dir/soft", buf, sizeof buf);
	OK(rename, "dir/hard", "dir/renamed");
	OK(renameat, dir, "made", AT_FDCWD, "moved");
	OK(unlinkat, dir, "renamed", 0);
	IS(-ENOENT, open, "dir/soft", O_RDONLY);
	IS(1, readdir, dir, room, 1);
	OK(_llseek, dir, 0, 0, room, SEEK_SET);
	ANY(getdents, dir, buf, sizeof buf);
	ANY(getdents64, dir, buf, sizeof buf);
	OK(fchdir, dir);
	ANY(getcwd, buf, sizeof buf);
	OK(rmdir, "sub");
	OK(chdir, "..");
	OK(close, dir);
}

static void metadata(void)
{
	/* 16-bit owners: the 32-bit ones are cut off. */
	unsigned uid = getuid() & 0xffff, gid = getgid() & 0xffff;
	int32_t times[4] = { 1000, 5, 0, (1 << 30) - 2 /* UTIME_OMIT */ }, tv[4] = { 2000, 7, 3000, 0 }, ut[2] = { 4000, 5000 };
	int fd = CALL(open, "data", O_RDWR);

	OK(stat, "data", room);
	OK(stat64, "data", room);
	OK(lstat, "dir/soft", room);
	OK(lstat64, "dir/soft", room);
	OK(fstat, fd, room);
	OK(fstat64, fd, room);
	OK(fstatat64, AT_FDCWD, "dir/soft", room, AT_SYMLINK_NOFOLLOW);
	OK(fstatat64, fd, "", room, AT_EMPTY_PATH);
	IS(-ENOENT, stat64, "nothing", room);
	OK(statx, AT_FDCWD, "data", 0, 0x7ff, room);
	OK(statfs, ".", room);
	OK(statfs64, ".", 84, room);
	OK(fstatfs, fd, room);
	OK(fstatfs64, fd, 84, room);
	OK(access, "data", R_OK | W_OK);
	OK(faccessat, AT_FDCWD, "data", F_OK);
	OK(chmod, "data", 0600);
	OK(fchmod, fd, 0640);
	OK(fchmodat, AT_FDCWD, "data", 0644);
	OK(chown, "data", uid, gid);
	OK(lchown, "dir/soft", uid, 0xffff /* leaves the group */);
	OK(fchown, fd, uid, gid);
	OK(chown32, "data", uid, gid);
	OK(lchown32, "dir/soft", uid, -1);
	OK(fchown32, fd, uid, gid);
	OK(fchownat, AT_FDCWD, "data", uid, gid, 0);
	OK(utimensat, AT_FDCWD, "data", times, 0);
	OK(utimes, "data", tv);
	OK(futimesat, AT_FDCWD, "data", tv);
	OK(utime, "data", ut);
	OK(utime, "data", NULL);
	OK(close, fd);
}

static void processes(void)
{
	int fd = CALL(open, "shared", O_CREAT | O_RDWR, 0644);
	int ends[2] = { -1, -1 }, status = -1;

	OK(pipe, ends);
	long child = CALL(fork);
	if (child == 0) {
		CALL(write, fd, buf, 50);
		CALL(write, ends[1], buf, 1);
		CALL(exit_group, 0);
	}
	waitpid(child, &status, 0);
	check("child", __LINE__, 0, status);
	IS(1, read, ends[0], buf, 1);
	IS(50, lseek, fd, 0, SEEK_CUR);
	OK(close, ends[0]);
	OK(close, ends[1]);
	OK(close, fd);
}

int main(int argc, char **argv)
{
	int code = start(argc, argv);
	if (code)
		return code;
	data();
	names();
	metadata();
	processes();
	return failures != 0;
}
