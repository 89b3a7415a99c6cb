/* Calls with arguments at the edges of what they may be, and threads and processes that end in the middle of them. What comes of
 * each call is for two captures of one run to tell alike (tests/it/suite/capture/both.rs); most of them fail.
 *
 *     cc -Wall -Wextra -O2 scripts/syscall_edges.c -o edges -lpthread && ./edges DIR
 *
 * DIR must not exist; it is left behind.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define CALL(name, ...) syscall(SYS_##name, __VA_ARGS__)

static char buf[1 << 16], longer[PATH_MAX + 200];
static struct iovec many[1025];

static void names(void)
{
	const char *odd[] = { "plain", "new\nline", "quo\"te", "back\\slash", "tab\t", "\xff\xfe", "\x01\x7f", "u\xc3\xa4", "...", "a, b) = 3",
		"<unfinished ...>", "\"...", "{x=1}", "0 /* c */", "[1]", "a</b>", "12", "\033[31m", "a\\377", "tail\\" };
	for (unsigned i = 0; i < sizeof odd / sizeof *odd; i++) {
		int fd = CALL(openat, AT_FDCWD, odd[i], O_CREAT | O_RDWR, 0600);
		CALL(write, fd, odd[i], strlen(odd[i]));
		CALL(newfstatat, AT_FDCWD, odd[i], buf, AT_SYMLINK_NOFOLLOW);
		CALL(newfstatat, fd, "", buf, AT_EMPTY_PATH);
		CALL(close, fd);
		CALL(mkdir, "sub", 0700);
		CALL(symlink, odd[i], "sub/link");
		CALL(readlink, "sub/link", buf, 3);
		CALL(rename, odd[i], "other");
		CALL(rename, "other", odd[i]);
		CALL(link, odd[i], "sub/hard");
		CALL(setxattr, "sub/hard", "user.x", odd[i], 3, 0);
		CALL(unlink, "sub/hard");
		CALL(unlink, "sub/link");
	}
	memset(longer, 'x', sizeof longer);
	for (int len = PATH_MAX + 1; len >= PATH_MAX - 1; len--) {
		longer[len] = 0;
		CALL(open, longer, O_RDONLY);
		CALL(stat, longer, buf);
	}
	for (int i = 0; i < PATH_MAX; i += 2)
		memcpy(longer + i, "./", 2);
	strcpy(longer + PATH_MAX - 6, "plain");
	CALL(access, longer, R_OK);
	memset(longer, 'y', 256);
	for (int len = 256; len >= 255; len--) {
		longer[len] = 0;
		CALL(close, CALL(open, longer, O_CREAT | O_WRONLY, 0600));
	}
	CALL(open, "", O_RDONLY);
	CALL(open, NULL, O_RDONLY);
	CALL(open, (char *)1, O_RDONLY);
	CALL(rename, "plain", NULL);
	CALL(stat, "plain", NULL);
	CALL(openat, -1, "plain", O_RDONLY);
	CALL(openat, 9999, "/dev/null", O_RDONLY);
	CALL(openat, AT_FDCWD, "plain/", O_RDONLY);
	CALL(openat, AT_FDCWD, "/", O_TMPFILE | O_RDWR, 0600);
	int tmp = CALL(openat, AT_FDCWD, ".", O_TMPFILE | O_RDWR, 0600);
	char self[40];
	sprintf(self, "/proc/self/fd/%d", tmp);
	CALL(linkat, AT_FDCWD, self, AT_FDCWD, "linked", AT_SYMLINK_FOLLOW);
	CALL(close, tmp);
	int dir = CALL(open, "sub", O_PATH | O_DIRECTORY);
	CALL(openat, dir, "../plain", O_RDONLY);
	CALL(openat, dir, "made", O_CREAT | O_EXCL | O_WRONLY | O_DSYNC | O_NOFOLLOW, 07777);
	CALL(openat, dir, "made", O_CREAT | O_EXCL | O_WRONLY, 0);
	CALL(openat, dir, "made", 0x3, 0);
	CALL(openat, dir, "made", ~0, 0);
	CALL(fchdir, dir);
	CALL(mkdirat, dir, "deep", 01777);
	CALL(renameat2, dir, "deep", dir, "made", RENAME_EXCHANGE);
	CALL(renameat2, dir, "deep", dir, "made", 0x80);
	CALL(unlinkat, dir, "made", AT_REMOVEDIR);
	CALL(unlinkat, AT_FDCWD, "deep", 0);
	CALL(chdir, "..");
	struct open_how how = { .flags = O_RDWR | O_CREAT, .mode = 0640, .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS };
	CALL(close, CALL(openat2, dir, "how", &how, sizeof how));
	CALL(openat2, dir, "../plain", &how, sizeof how);
	CALL(openat2, dir, "how", &how, 3);
	CALL(openat2, dir, "how", NULL, sizeof how);
	how.mode = 1ull << 40;
	CALL(openat2, dir, "how", &how, sizeof how);
	CALL(fchmodat, dir, "how", 04755);
	CALL(fchownat, dir, "how", -1, -1, AT_SYMLINK_NOFOLLOW);
	CALL(chown, "plain", 4000000000u, 7);
	CALL(faccessat, dir, "how", X_OK);
	CALL(faccessat2, dir, "how", X_OK, AT_EACCESS);
	CALL(getcwd, buf, 3);
	CALL(getcwd, buf, sizeof buf);
	CALL(close, dir);
}

static void numbers(void)
{
	int fd = CALL(open, "data", O_CREAT | O_RDWR | O_TRUNC, 0644), copy = CALL(open, "copy", O_CREAT | O_RDWR, 0644);
	loff_t at = 3, far = INT64_MAX, before = -5;
	long page = sysconf(_SC_PAGESIZE);
	CALL(write, fd, buf, 10000);
	CALL(write, fd, buf, 0);
	CALL(write, fd, NULL, 100);
	CALL(write, fd, (char *)1, SIZE_MAX);
	CALL(read, fd, buf, SIZE_MAX);
	CALL(read, fd, buf, 1ul << 31);
	CALL(read, -1, buf, 1);
	CALL(read, INT_MIN, buf, 1);
	CALL(read, (1l << 32) + fd, buf, 10);
	CALL(pread64, fd, buf, 10, -1L);
	CALL(pread64, fd, buf, 10, INT64_MAX);
	CALL(pread64, fd, buf, 10, 1L << 33);
	CALL(pwrite64, fd, buf, 10, (1L << 33) + 7);
	CALL(pwrite64, fd, buf, 10, INT64_MIN);
	CALL(lseek, fd, -1L, SEEK_END);
	CALL(lseek, fd, 1L << 40, SEEK_SET);
	CALL(lseek, fd, 0, SEEK_HOLE);
	CALL(lseek, fd, 20000, SEEK_DATA);
	CALL(lseek, fd, 0, 77);
	CALL(lseek, fd, (long)0xffffffff80000000, SEEK_CUR);
	CALL(ftruncate, fd, -1L);
	CALL(ftruncate, fd, INT64_MAX);
	CALL(ftruncate, fd, 9000);
	CALL(truncate, "data", 1L << 34);
	CALL(ftruncate, fd, 9000);
	CALL(fallocate, fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 4096, 4096);
	CALL(fallocate, fd, 0, -1L, 10);
	CALL(fallocate, fd, 0, 0, 0);
	CALL(fallocate, fd, 0x1000, 0, 10);
	for (int i = 0; i < 1025; i++)
		many[i] = (struct iovec) { buf + i, i % 7 };
	CALL(lseek, fd, 0, SEEK_SET);
	CALL(readv, fd, many, 1024);
	CALL(readv, fd, many, 1025);
	CALL(readv, fd, many, -1);
	CALL(writev, fd, many, 0);
	CALL(writev, fd, many, 40);
	CALL(writev, fd, NULL, 2);
	CALL(preadv, fd, many, 3, 5, 0);
	CALL(preadv, fd, many, 3, -1L, -1L);
	CALL(preadv2, fd, many, 3, -1L, -1L, 0);
	CALL(preadv2, fd, many, 3, 1L << 33, 0, 0);
	CALL(pwritev2, fd, many, 3, -1L, -1L, RWF_APPEND);
	CALL(pwritev2, fd, many, 3, 0, 0, 0x4000);
	CALL(pwritev, fd, many, 40, (1L << 32) + 1, 0);
	many[1].iov_len = SIZE_MAX;
	CALL(readv, fd, many, 2);
	CALL(copy_file_range, fd, &at, copy, NULL, 100, 0);
	CALL(copy_file_range, fd, NULL, copy, &at, SIZE_MAX, 0);
	CALL(copy_file_range, fd, &far, copy, &at, 100, 0);
	CALL(copy_file_range, fd, &before, copy, &at, 100, 0);
	CALL(copy_file_range, fd, &at, copy, NULL, 100, 8);
	at = 11;
	CALL(sendfile, copy, fd, &at, 30);
	CALL(sendfile, copy, fd, NULL, 30);
	CALL(sendfile, copy, fd, &before, 30);
	CALL(sendfile, copy, fd, (loff_t *)1, 30);
	CALL(sync_file_range, fd, -1L, 10, 7);
	CALL(sync_file_range, fd, 1L << 33, 1L << 33, 0);
	CALL(fadvise64, fd, 1L << 33, -1L, 4);
	CALL(fadvise64, fd, 0, 0, 99);
	CALL(readahead, fd, -1L, 10);
	void *map = (void *)CALL(mmap, NULL, 3 * page, PROT_READ | PROT_WRITE, MAP_SHARED, fd, page);
	CALL(msync, map, page, MS_SYNC);
	CALL(mremap, map, 3 * page, page, MREMAP_MAYMOVE);
	CALL(munmap, map, page);
	CALL(mmap, NULL, page, PROT_READ, MAP_PRIVATE, fd, 5L);
	CALL(mmap, NULL, page, PROT_READ, MAP_PRIVATE, fd, 1L << 40);
	CALL(mmap, NULL, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	CALL(mmap, NULL, 0, PROT_READ, MAP_PRIVATE, fd, 0);
	CALL(dup, fd);
	CALL(dup2, fd, 50);
	CALL(dup2, fd, fd);
	CALL(dup3, fd, 51, O_CLOEXEC);
	CALL(dup3, fd, fd, 0);
	CALL(dup2, fd, -1);
	CALL(fcntl, fd, F_DUPFD, 60);
	CALL(fcntl, fd, F_DUPFD_CLOEXEC, 61);
	CALL(fcntl, fd, F_DUPFD, -1);
	CALL(fcntl, fd, F_SETFD, 1);
	CALL(fcntl, fd, F_GETFL);
	CALL(fcntl, fd, F_SETFL, O_APPEND | O_NONBLOCK);
	CALL(fcntl, fd, 9999, 3);
	CALL(fcntl, -1, F_GETFL);
	CALL(close_range, 60, 61, 0);
	CALL(close_range, 50, ~0u, 4);
	CALL(close_range, 3, 2, 0);
	CALL(close, 12345);
	CALL(close, -1);
	CALL(getdents64, fd, buf, 100);
	CALL(statfs, ".", buf);
	CALL(fstatfs, fd, buf);
	CALL(statx, fd, "", AT_EMPTY_PATH, 0x7ff, buf);
	CALL(statx, AT_FDCWD, "data", AT_STATX_FORCE_SYNC, 0, buf);
	CALL(statx, AT_FDCWD, NULL, 0, 0x7ff, buf);
	CALL(statx, 0, NULL, 0, 0x7ff, NULL);
	CALL(flock, fd, LOCK_EX | LOCK_NB);
	CALL(flock, fd, 77);
	CALL(umask, 0177777);
	CALL(umask, 022);
	CALL(fsync, -1);
	CALL(fchmod, fd, 0177777);
	CALL(fchown, fd, -1, 12);
	CALL(ioctl, fd, 0x80086601, buf);
	CALL(ioctl, copy, 0x40049409, fd);
	CALL(ioctl, fd, 0x5401, buf);
	CALL(mknod, "fifo", S_IFIFO | 0600, 0);
	CALL(mknod, "zero", 0600, 0);
	CALL(mknodat, AT_FDCWD, "bad", 0160600, 0);
	CALL(fsetxattr, fd, "user.a\nb", "1", 1, XATTR_CREATE);
	CALL(fsetxattr, fd, "user.a\nb", "1", 1, XATTR_CREATE);
	CALL(fgetxattr, fd, "user.a\nb", buf, 0);
	CALL(getxattr, "data", "user.none", buf, 10);
	CALL(flistxattr, fd, buf, 0);
	CALL(lremovexattr, "data", "user.a\nb");
	memset(longer, 'n', 300), memcpy(longer, "user.", 5), longer[300] = 0;
	CALL(setxattr, "data", longer, "1", 1, 0);
	CALL(setxattr, "data", NULL, "1", 1, 0);
}

static void locks_and_times(void)
{
	int fd = CALL(open, "data", O_RDWR);
	struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = 10, .l_len = 0 };
	CALL(fcntl, fd, F_SETLK, &lock);
	lock.l_type = F_UNLCK, lock.l_start = 1L << 40, lock.l_len = -7;
	CALL(fcntl, fd, F_SETLKW, &lock);
	lock.l_type = F_RDLCK, lock.l_whence = SEEK_END, lock.l_start = -100, lock.l_len = 20;
	CALL(fcntl, fd, F_SETLK, &lock);
	CALL(fcntl, fd, F_GETLK, &lock);
	lock = (struct flock) { .l_type = F_WRLCK, .l_start = INT64_MAX, .l_len = 2 };
	CALL(fcntl, fd, F_OFD_SETLK, &lock);
	lock.l_start = -1;
	CALL(fcntl, fd, F_OFD_SETLK, &lock);
	lock.l_type = 77;
	CALL(fcntl, fd, F_SETLK, &lock);
	CALL(fcntl, fd, F_SETLK, NULL);
	struct timespec times[2] = { { 1300000000, 7 }, { -3, 999999999 } };
	CALL(utimensat, AT_FDCWD, "data", times, 0);
	CALL(utimensat, fd, NULL, times, 0);
	CALL(utimensat, AT_FDCWD, "data", NULL, 0);
	times[0].tv_nsec = UTIME_NOW, times[1].tv_nsec = UTIME_OMIT;
	CALL(utimensat, AT_FDCWD, "data", times, AT_SYMLINK_NOFOLLOW);
	times[0].tv_nsec = 1000000000;
	CALL(utimensat, AT_FDCWD, "data", times, 0);
	times[0] = (struct timespec) { 1L << 40, 3 };
	CALL(utimensat, AT_FDCWD, "data", times, 0);
	struct timeval old[2] = { { 1200000000, 5 }, { 1200000001, 999999 } };
	CALL(utimes, "data", old);
	CALL(futimesat, AT_FDCWD, "data", old);
	old[0].tv_usec = 1000000;
	CALL(utimes, "data", old);
	CALL(utimes, "data", NULL);
	long seconds[2] = { 1100000000, -1 };
	CALL(utime, "data", seconds);
	CALL(utime, "data", NULL);
	CALL(close, fd);
}

static void nothing(int signal)
{
	(void)signal;
}

static void *thread(void *arg)
{
	char name[20];
	sprintf(name, "t%ld", (long)arg);
	for (int i = 0; i < 20; i++) {
		int fd = CALL(open, name, O_CREAT | O_RDWR, 0600);
		CALL(write, fd, buf, 100 * (long)arg + i);
		CALL(close, fd);
	}
	return NULL;
}

static void *execs(void *arg)
{
	execl("/bin/true", "true", NULL);
	return arg;
}

static void processes(void)
{
	pthread_t threads[3];
	for (long i = 0; i < 3; i++)
		pthread_create(threads + i, NULL, thread, (void *)i);
	for (int i = 0; i < 3; i++)
		pthread_join(threads[i], NULL);
	struct sigaction act = { .sa_handler = nothing }, restart = { .sa_handler = nothing, .sa_flags = SA_RESTART };
	sigaction(SIGUSR1, &act, NULL);
	sigaction(SIGUSR2, &restart, NULL);
	for (int kind = 0; kind < 4; kind++) {
		int ends[2], signals[] = { SIGUSR1, SIGUSR2, SIGKILL, 0 };
		CALL(pipe2, ends, O_CLOEXEC);
		int pid = fork();
		if (!pid) {
			if (kind == 3) {
				pthread_create(threads, NULL, execs, NULL);
				pause();
			}
			CALL(read, ends[0], buf, 10); /* interrupted, taken up again, or never over */
			_exit(0);
		}
		usleep(50000);
		if (signals[kind])
			kill(pid, signals[kind]);
		usleep(50000);
		CALL(write, ends[1], buf, 5);
		waitpid(pid, NULL, 0);
		CALL(close, ends[0]);
		CALL(close, ends[1]);
	}
	if (!vfork()) {
		execl("/nowhere", "nowhere", NULL);
		_exit(0);
	}
	if (!fork()) {
		CALL(chroot, "sub");
		CALL(chdir, "/");
		CALL(close, CALL(open, "/in", O_CREAT | O_WRONLY, 0600));
		_exit(0);
	}
	wait(NULL);
}

int main(int count, char **args)
{
	if (count != 2 || mkdir(args[1], 0755) || chdir(args[1]))
		return 1;
	names();
	numbers();
	locks_and_times();
	processes();
	return 0;
}
