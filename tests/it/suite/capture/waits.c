// Programs whose threads wait for a known reason, or compute for a known time. The first argument says which; what each thread
// is, and what it measured, goes to standard output as lines "name number".
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <net/if.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static long tid(void)
{
	return syscall(SYS_gettid);
}

static long now(clockid_t clock)
{
	struct timespec at;
	clock_gettime(clock, &at);
	return at.tv_sec * 1000000000L + at.tv_nsec;
}

static void spin(clockid_t clock, long ns)
{
	for (long end = now(clock) + ns; now(clock) < end;)
		;
}

static void on_processor(int cpu)
{
	cpu_set_t one;
	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	if (sched_setaffinity(0, sizeof one, &one))
		exit(3);
}

static void one_processor(void)
{
	cpu_set_t all;
	int cpu = 0;
	sched_getaffinity(0, sizeof all, &all);
	while (!CPU_ISSET(cpu, &all))
		cpu++;
	on_processor(cpu);
}

enum { ROUNDS = 200, MOMENT = 100000 };
static int turn, never;

static void take_turns(int mine)
{
	for (int round = 0; round < ROUNDS; round++) {
		while (__atomic_load_n(&turn, __ATOMIC_ACQUIRE) != mine)
			syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, 1 - mine, NULL, NULL, 0);
		spin(CLOCK_MONOTONIC, MOMENT); // so that the other one sleeps
		__atomic_store_n(&turn, 1 - mine, __ATOMIC_RELEASE);
		syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
}

static void *other(void *unused)
{
	printf("second %ld\n", tid());
	take_turns(1);
	return unused;
}

static void *sleeper(void *unused)
{
	for (;;)
		syscall(SYS_futex, &never, FUTEX_WAIT_PRIVATE, 0, NULL, NULL, 0);
	return unused;
}

static void with_futex(void)
{
	pthread_t thread, asleep;
	printf("first %ld\n", tid());
	pthread_create(&asleep, NULL, sleeper, NULL);
	pthread_create(&thread, NULL, other, NULL);
	take_turns(0);
	pthread_join(thread, NULL);
}

static void pass(int from, int to, int begin)
{
	char token = 'x';
	if (begin && write(to, &token, 1) != 1)
		exit(1);
	for (int round = 0; round < ROUNDS; round++) {
		if (read(from, &token, 1) != 1)
			exit(1);
		spin(CLOCK_MONOTONIC, MOMENT);
		if (!(begin && round == ROUNDS - 1) && write(to, &token, 1) != 1)
			exit(1);
	}
}

static void with_pair(int (*pair)[2])
{
	printf("first %ld\n", tid());
	fflush(stdout);
	pid_t child = fork();
	if (child == 0) {
		pass(pair[0][0], pair[1][1], 0);
		_exit(0);
	}
	printf("second %d\n", child);
	pass(pair[1][0], pair[0][1], 1);
	waitpid(child, NULL, 0);
}

static void with_pipes(void)
{
	int pair[2][2];
	if (pipe(pair[0]) || pipe(pair[1]))
		exit(1);
	with_pair(pair);
}

static void with_tcp(void)
{
	struct sockaddr_in place = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof place;
	int door = socket(AF_INET, SOCK_STREAM, 0), near = socket(AF_INET, SOCK_STREAM, 0);
	if (bind(door, (void *)&place, size) || listen(door, 1) || getsockname(door, (void *)&place, &size) ||
		connect(near, (void *)&place, size))
		exit(1);
	int far = accept(door, NULL, NULL);
	int pair[2][2] = { { far, near }, { near, far } };
	with_pair(pair);
}

enum { PACKETS = 2000 };
static int packets;

static void *receives(void *unused)
{
	char token;
	printf("second %ld\n", tid());
	for (int round = 0; round < PACKETS && recv(packets, &token, 1, 0) == 1; round++)
		;
	return unused;
}

static void *sends(void *unused)
{
	struct timespec moment = { 0, 200000 };
	printf("third %ld\n", tid());
	on_processor(0);
	for (int round = 0; round < PACKETS; round++) {
		nanosleep(&moment, NULL);
		if (send(packets, "x", 1, 0) != 1)
			exit(1);
	}
	return unused;
}

static void *writes(void *name)
{
	static char block[1 << 20];
	int file = open(name, O_RDWR | O_CREAT, 0600);
	printf("first %ld\n", tid());
	on_processor(1);
	while (!__atomic_load_n(&never, __ATOMIC_ACQUIRE))
		if (lseek(file, 0, SEEK_SET) || write(file, block, sizeof block) != sizeof block)
			exit(1);
	return NULL;
}

// One thread sends to another on processor 0. What it sends is received on processor 1, in an interrupt of a third thread, which writes a file:
// in a network of its own, where the kernel is told so (Documentation/networking/scaling.rst, RPS). Exits with 3 where that cannot be.
static void with_packets(char *name)
{
	struct ifreq lo = { .ifr_name = "lo", .ifr_flags = IFF_UP };
	struct sockaddr_in place = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof place;
	pthread_t them[3];
	if (unshare(CLONE_NEWNET | CLONE_NEWNS) || mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
		mount("sysfs", "/sys", "sysfs", 0, NULL))
		exit(3);
	packets = socket(AF_INET, SOCK_DGRAM, 0);
	int steer = open("/sys/class/net/lo/queues/rx-0/rps_cpus", O_WRONLY);
	if (ioctl(packets, SIOCSIFFLAGS, &lo) || steer < 0 || write(steer, "2", 1) != 1 || bind(packets, (void *)&place, size) ||
		getsockname(packets, (void *)&place, &size) || connect(packets, (void *)&place, size))
		exit(3);
	pthread_create(&them[0], NULL, receives, NULL);
	pthread_create(&them[1], NULL, writes, name);
	pthread_create(&them[2], NULL, sends, NULL);
	pthread_join(them[2], NULL);
	__atomic_store_n(&never, 1, __ATOMIC_RELEASE);
	pthread_join(them[1], NULL);
	pthread_join(them[0], NULL);
}

static void with_timers(void)
{
	struct timespec moment = { 0, 5000000 };
	struct itimerspec each = { moment, moment };
	int timer = timerfd_create(CLOCK_MONOTONIC, 0);
	uint64_t count;
	printf("first %ld\n", tid());
	for (int round = 0; round < 20; round++)
		nanosleep(&moment, NULL);
	for (int round = 0; round < 20; round++)
		poll(NULL, 0, 5);
	timerfd_settime(timer, 0, &each, NULL);
	for (int round = 0; round < 20; round++)
		if (read(timer, &count, 8) != 8)
			exit(1);
}

// Reads a block of a file past the cache, again and again.
static void with_file(const char *name)
{
	void *block;
	int file = open(name, O_RDWR | O_CREAT | O_DIRECT, 0600);
	if (posix_memalign(&block, 4096, 4096) || pwrite(file, block, 4096, 0) != 4096)
		exit(1);
	printf("first %ld\n", tid());
	for (int round = 0; round < ROUNDS; round++)
		if (pread(file, block, 4096, 0) != 4096)
			exit(1);
}

// Computes between calls, beside so many others who want the same processor. The calls tell the round by their position.
static void computes(int others)
{
	enum { CHUNK = 20000000, CHUNKS = 10 };
	long took[CHUNKS];
	char byte;
	int file = open("/dev/zero", O_RDONLY);
	pid_t them[16];
	one_processor();
	for (int i = 0; i < others; i++)
		if ((them[i] = fork()) == 0)
			for (;;)
				;
	pread(file, &byte, 1, 1000000);
	for (int round = 0; round < CHUNKS; round++) {
		long begin = now(CLOCK_THREAD_CPUTIME_ID);
		spin(CLOCK_THREAD_CPUTIME_ID, CHUNK);
		took[round] = now(CLOCK_THREAD_CPUTIME_ID) - begin;
		pread(file, &byte, 1, 1000001 + round);
	}
	for (int i = 0; i < others; i++) {
		kill(them[i], SIGKILL);
		waitpid(them[i], NULL, 0);
	}
	for (int round = 0; round < CHUNKS; round++)
		printf("%d %ld\n", 1000001 + round, took[round]);
}

int main(int count, char **args)
{
	const char *what = args[1];
	if (!strcmp(what, "futex"))
		with_futex();
	else if (!strcmp(what, "pipe"))
		with_pipes();
	else if (!strcmp(what, "tcp"))
		with_tcp();
	else if (!strcmp(what, "packets"))
		with_packets(args[2]);
	else if (!strcmp(what, "timer"))
		with_timers();
	else if (!strcmp(what, "file"))
		with_file(args[2]);
	else if (!strcmp(what, "computes"))
		computes(count > 2 ? atoi(args[2]) : 0);
	else
		return 2;
	return 0;
}
