/*
 * The floor of a replay: issues a list of calls from memory, in one thread per worker, and does nothing else.
 *
 *     cc -O2 -pthread -o replay_floor scripts/replay_floor.c
 *     replay_floor calls TREE WORKERS bare|stamps|filter|clock
 *
 * "bare" issues the calls; "stamps" takes the time before and after each and keeps both and the outcome, as a replay
 * must; "filter" does so behind a seccomp filter that allows everything, which is what any filter costs; "clock" takes the
 * times without the calls. The list is made by benches/replay.rs: the number of calls, then for each
 * its lane, name, description, file, offset and count, 8 bytes each; then the files' names, one in a line. They are absolute,
 * and TREE becomes the root directory: the very calls that a replay makes.
 * Prints one line: operations, ns from the first to the last, CPU ns of the workers.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum { OPEN, CLOSE, FSTAT, PREAD, PWRITE, STAT };
enum mode { BARE, STAMPS, CLOCK };

struct call {
	long lane, name, ofd, file, offset, count;
};

struct stamp {
	long begin, end, ret;
};

struct worker {
	struct call *calls;
	struct stamp *stamps;
	long count, cpu;
	pthread_t thread;
};

static enum mode mode;
static char **files;
static int *fds;
static pthread_barrier_t start;

static long now(clockid_t clock)
{
	struct timespec time;
	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000 + time.tv_nsec;
}

static long issue(const struct call *call, char *buffer, struct stat *st)
{
	switch (call->name) {
	case OPEN:
		return fds[call->ofd] = (int)syscall(SYS_open, files[call->file], O_RDWR | O_NONBLOCK, 0666);
	case CLOSE:
		return syscall(SYS_close, fds[call->ofd]);
	case FSTAT:
		return syscall(SYS_fstat, fds[call->ofd], st);
	case PREAD:
		return syscall(SYS_pread64, fds[call->ofd], buffer, call->count, call->offset);
	case PWRITE:
		return syscall(SYS_pwrite64, fds[call->ofd], buffer, call->count, call->offset);
	default:
		return syscall(SYS_stat, files[call->file], st);
	}
}

static int allow_everything(void)
{
	struct sock_filter allow = BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW);
	struct sock_fprog program = {1, &allow};
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program);
}

static void *work(void *arg)
{
	struct worker *worker = arg;
	struct stat st;
	char *buffer = aligned_alloc(4096, 65536);
	memset(buffer, 1, 65536);
	/* Descriptors of its own: a table that threads share costs two atomic operations a call. */
	if (unshare(CLONE_FILES | CLONE_FS) != 0)
		perror("unshare");
	pthread_barrier_wait(&start);
	long cpu = now(CLOCK_THREAD_CPUTIME_ID);
	for (long at = 0; at < worker->count; at++) {
		struct call *call = &worker->calls[at];
		struct stamp *stamp = &worker->stamps[at];
		switch (mode) {
		case BARE:
			issue(call, buffer, &st);
			break;
		case STAMPS:
			stamp->begin = now(CLOCK_MONOTONIC);
			stamp->ret = issue(call, buffer, &st);
			stamp->end = now(CLOCK_MONOTONIC);
			break;
		case CLOCK:
			stamp->begin = now(CLOCK_MONOTONIC);
			stamp->ret = call->name;
			stamp->end = now(CLOCK_MONOTONIC);
			break;
		}
	}
	worker->cpu = now(CLOCK_THREAD_CPUTIME_ID) - cpu;
	return NULL;
}

int main(int argc, char **argv)
{
	if (argc != 5)
		return fprintf(stderr, "usage: replay_floor CALLS TREE WORKERS bare|stamps|filter|clock\n"), 2;
	FILE *in = fopen(argv[1], "r");
	long total, workers = atol(argv[3]);
	mode = *argv[4] == 'b' ? BARE : *argv[4] == 'c' ? CLOCK : STAMPS;
	if (*argv[4] == 'f' && allow_everything() != 0)
		return perror("seccomp"), 2;
	if (!in || fread(&total, sizeof(total), 1, in) != 1 || workers < 1)
		return perror(argv[1]), 2;
	struct call *calls = calloc(total, sizeof(*calls));
	if (fread(calls, sizeof(*calls), total, in) != (size_t)total)
		return perror(argv[1]), 2;
	files = calloc(1 << 16, sizeof(*files));
	fds = calloc(1 << 20, sizeof(*fds));
	char line[4096];
	for (long file = 0; file < 1 << 16 && fgets(line, sizeof(line), in); file++)
		files[file] = strndup(line, strcspn(line, "\n"));
	if ((geteuid() != 0 && unshare(CLONE_NEWUSER) != 0) || chroot(argv[2]) != 0 || chdir("/") != 0)
		return perror(argv[2]), 2;

	struct worker *all = calloc(workers, sizeof(*all));
	for (long at = 0; at < total; at++)
		all[calls[at].lane % workers].count++;
	for (long w = 0; w < workers; w++) {
		all[w].calls = calloc(all[w].count, sizeof(struct call));
		all[w].stamps = calloc(all[w].count, sizeof(struct stamp));
		/* Touched before, as memory that goes round is. */
		memset(all[w].stamps, 1, all[w].count * sizeof(struct stamp));
		all[w].count = 0;
	}
	for (long at = 0; at < total; at++) {
		struct worker *worker = &all[calls[at].lane % workers];
		worker->calls[worker->count++] = calls[at];
	}
	pthread_barrier_init(&start, NULL, workers + 1);
	for (long w = 0; w < workers; w++)
		pthread_create(&all[w].thread, NULL, work, &all[w]);
	pthread_barrier_wait(&start);
	long begin = now(CLOCK_MONOTONIC), cpu = 0;
	for (long w = 0; w < workers; w++) {
		pthread_join(all[w].thread, NULL);
		cpu += all[w].cpu;
	}
	printf("%ld %ld %ld\n", total, now(CLOCK_MONOTONIC) - begin, cpu);
	return 0;
}
