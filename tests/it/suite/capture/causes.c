// Two parties, of which one waits for the other: the first writes its file through to the device and says so, the second then
// writes its own. The first argument says by which means, the second is the directory with the files. Where the first one is done
// before the second one asks, as here on a fast device, nobody ever sleeps.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { ROUNDS = 20, BLOCK = 4096 };
static char block[BLOCK];
static const char *directory;

static void need(int held, const char *what)
{
	if (!held) {
		perror(what);
		exit(1);
	}
}

static int file(const char *name)
{
	char path[4096];
	snprintf(path, sizeof path, "%s/%s", directory, name);
	int made = open(path, O_WRONLY | O_CREAT | O_DSYNC, 0600);
	need(made >= 0, path);
	return made;
}

static void work(int made, int round)
{
	need(pwrite(made, block, BLOCK, (off_t)round * BLOCK) == BLOCK, "pwrite");
}

static void nap(long ms)
{
	struct timespec time = { ms / 1000, ms % 1000 * 1000000 };
	nanosleep(&time, NULL);
}

// Waits until all was sent: how much of it is there a pipe or a socket tells; of a counter nobody knows.
static void until_sent(int from)
{
	for (int there = 0; there < ROUNDS; nap(5))
		if (ioctl(from, FIONREAD, &there) != 0) {
			nap(500);
			return;
		}
}

// The child writes and sends; the parent begins when all was sent.
static void sends(int from, int to, size_t size)
{
	char token[8] = { 1 };
	int a = file("a"), b = file("b");
	fflush(stdout);
	if (fork() == 0) {
		for (int round = 0; round < ROUNDS; round++) {
			work(a, round);
			need(write(to, token, size) == (ssize_t)size, "write");
		}
		_exit(0);
	}
	until_sent(from);
	for (int round = 0; round < ROUNDS; round++) {
		need(read(from, token, size) == (ssize_t)size, "read");
		work(b, round);
	}
	wait(NULL);
}

// Waits until a child has ended, without waiting for it.
static void until_ended(pid_t child)
{
	char path[64], state = 0;
	snprintf(path, sizeof path, "/proc/%d/stat", child);
	while (state != 'Z') {
		nap(5);
		FILE *stat = fopen(path, "r");
		need(stat && fscanf(stat, "%*d (%*[^)]) %c", &state) == 1, path);
		fclose(stat);
	}
}

// Each round has a child of its own, which has ended when the parent asks.
static void children(void)
{
	int a = file("a"), b = file("b");
	for (int round = 0; round < ROUNDS; round++) {
		pid_t child = fork();
		if (child == 0) {
			work(a, round);
			_exit(0);
		}
		until_ended(child);
		need(waitpid(child, NULL, 0) == child, "waitpid");
		work(b, round);
	}
}

// Threads that sleep for each other.
static int turn;

static void until(int mine)
{
	int seen;
	while ((seen = __atomic_load_n(&turn, __ATOMIC_ACQUIRE)) != mine)
		syscall(SYS_futex, &turn, FUTEX_WAIT_PRIVATE, seen, NULL, NULL, 0);
}

static void over_to(int next)
{
	__atomic_store_n(&turn, next, __ATOMIC_RELEASE);
	syscall(SYS_futex, &turn, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
}

static void *second(void *unused)
{
	int b = file("b");
	for (int round = 0; round < ROUNDS; round++) {
		until(1);
		work(b, round);
		over_to(0);
	}
	return unused;
}

static void threads(void)
{
	pthread_t thread;
	int a = file("a");
	need(pthread_create(&thread, NULL, second, NULL) == 0, "pthread_create");
	for (int round = 0; round < ROUNDS; round++) {
		nap(2); // so that the other one is asleep
		work(a, round);
		over_to(1);
		until(0);
	}
	pthread_join(thread, NULL);
}

// Who was told by a signal.
static void signals(void)
{
	sigset_t set;
	int got;
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, NULL);
	int a = file("a"), b = file("b");
	pid_t parent = getpid();
	if (fork() == 0) {
		for (int round = 0; round < ROUNDS; round++) {
			nap(5);
			work(a, round);
			kill(parent, SIGUSR1);
		}
		_exit(0);
	}
	for (int round = 0; round < ROUNDS; round++) {
		need(sigwait(&set, &got) == 0, "sigwait");
		work(b, round);
	}
	wait(NULL);
}

// Who reads what comes through the network from its own machine.
static void network(void)
{
	struct sockaddr_in place = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof place;
	int door = socket(AF_INET, SOCK_STREAM, 0), near = socket(AF_INET, SOCK_STREAM, 0);
	need(bind(door, (void *)&place, size) == 0 && listen(door, 1) == 0 && getsockname(door, (void *)&place, &size) == 0, "listen");
	need(connect(near, (void *)&place, size) == 0, "connect");
	int far = accept(door, NULL, NULL), a = file("a"), b = file("b");
	char token = 1;
	if (fork() == 0) {
		for (int round = 0; round < ROUNDS; round++) {
			nap(5);
			work(a, round);
			need(send(near, &token, 1, 0) == 1, "send");
		}
		_exit(0);
	}
	for (int round = 0; round < ROUNDS; round++) {
		need(recv(far, &token, 1, 0) == 1, "recv");
		work(b, round);
	}
	wait(NULL);
}

// Computes for 10 ms before each write.
static void computes(void)
{
	int a = file("a");
	for (int round = 0; round < ROUNDS; round++) {
		struct timespec used;
		long until = -1, now;
		do {
			clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
			now = used.tv_sec * 1000000000L + used.tv_nsec;
			until = until < 0 ? now + 10000000 : until;
		} while (now < until);
		work(a, round);
	}
}

// Writes at moments of its own, on time also on a busy machine.
static void ticks(void)
{
	int a = file("a");
	struct timespec due;
	struct sched_param first = { .sched_priority = 1 };
	need(sched_setscheduler(0, SCHED_FIFO, &first) == 0, "sched_setscheduler");
	clock_gettime(CLOCK_MONOTONIC, &due);
	for (int round = 0; round < ROUNDS; round++) {
		work(a, round);
		due.tv_nsec += 50000000;
		if (due.tv_nsec >= 1000000000) {
			due.tv_nsec -= 1000000000;
			due.tv_sec++;
		}
		while (clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &due, NULL) == EINTR)
			;
	}
}

int main(int count, char **args)
{
	int pair[2];
	if (count != 3)
		return 2;
	directory = args[2];
	if (!strcmp(args[1], "pipe")) {
		need(pipe(pair) == 0, "pipe");
		sends(pair[0], pair[1], 1);
	} else if (!strcmp(args[1], "socketpair")) {
		need(socketpair(AF_UNIX, SOCK_STREAM, 0, pair) == 0, "socketpair");
		sends(pair[0], pair[1], 1);
	} else if (!strcmp(args[1], "eventfd")) {
		int counter = eventfd(0, EFD_SEMAPHORE);
		need(counter >= 0, "eventfd");
		sends(counter, counter, 8);
	} else if (!strcmp(args[1], "children"))
		children();
	else if (!strcmp(args[1], "futex"))
		threads();
	else if (!strcmp(args[1], "signal"))
		signals();
	else if (!strcmp(args[1], "network"))
		network();
	else if (!strcmp(args[1], "compute"))
		computes();
	else if (!strcmp(args[1], "timer"))
		ticks();
	else
		return 2;
	return 0;
}
