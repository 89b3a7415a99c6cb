// A process that ends before the one it made has run. `orphan CPU hog` spins on that processor for half a minute, in the class of real
// time. `orphan CPU DIR` does its work there in that class too, but its child is of the ordinary class: it runs when the other one
// spins no more, and makes and removes the directory.
#define _GNU_SOURCE
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static void real_time(int processor, int priority)
{
	struct sched_param param = { .sched_priority = priority };
	cpu_set_t set;
	CPU_ZERO(&set);
	CPU_SET(processor, &set);
	if (sched_setaffinity(0, sizeof set, &set) || sched_setscheduler(0, SCHED_FIFO | SCHED_RESET_ON_FORK, &param))
		_exit(3);
}

int main(int count, char **args)
{
	if (count != 3)
		return 2;
	int hog = !strcmp(args[2], "hog");
	real_time(atoi(args[1]), hog ? 1 : 2);
	struct timespec begun, now;
	clock_gettime(CLOCK_MONOTONIC, &begun);
	if (hog) {
		do
			clock_gettime(CLOCK_MONOTONIC, &now);
		while (now.tv_sec < begun.tv_sec + 30);
	} else if (fork() == 0) {
		_exit(mkdir(args[2], 0700) || rmdir(args[2]) || mkdir(args[2], 0700));
	}
	return 0;
}
