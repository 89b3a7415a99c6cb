/*
 * Four threads that do nothing but read and write, as fast as they can: what a tracer loses, it loses here.
 * The argument is a directory to make. For vm-capture.sh:
 *
 *     cc -O2 -static -pthread -o target/storm scripts/storm.c && scripts/vm-capture.sh target/storm
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#define THREADS 4
#define CALLS 26560
#define BLOCK 512

/* Returns the number of calls that failed. */
static void *storm(void *fd)
{
	char block[BLOCK] = "storm";
	long failed = 0;
	for (long call = 0; call < CALLS; call++) {
		off_t at = call / 2 % 64 * BLOCK;
		ssize_t done = call % 2 ? pread((long)fd, block, BLOCK, at) : pwrite((long)fd, block, BLOCK, at);
		failed += done != BLOCK;
	}
	return (void *)failed;
}

int main(int count, char **args)
{
	static const char *names[THREADS] = {"one", "two", "three", "four"};
	pthread_t threads[THREADS];
	int failures = 0;
	if (count != 2 || mkdir(args[1], 0700) || chdir(args[1])) {
		perror(args[0]);
		return 2;
	}
	/* Here and not by each thread, whose numbers would then differ from run to run. */
	for (int i = 0; i < THREADS; i++) {
		long fd = open(names[i], O_RDWR | O_CREAT | O_TRUNC, 0600);
		failures += pthread_create(&threads[i], NULL, storm, (void *)fd) != 0;
	}
	for (int i = 0; i < THREADS; i++) {
		void *failed = NULL;
		failures += pthread_join(threads[i], &failed) != 0 || failed;
	}
	return failures != 0;
}
