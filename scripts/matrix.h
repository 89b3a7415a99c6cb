/* What the syscall matrix and its 32-bit form share: raw calls, held against what they must return. */
#ifndef MATRIX_H
#define MATRIX_H

#include <errno.h>
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

static int failures;

/* Issues a call and complains when it does not return what it should: a number, or -errno. */
static long check(const char *name, int line, long want, long got)
{
	if (got == -1)
		got = -errno;
	if (want != got) {
		fprintf(stderr, "line %d: %s returned %ld, not %ld\n", line, name, got, want);
		failures++;
	}
	return got;
}

#define CALL(name, ...) syscall(SYS_##name, ##__VA_ARGS__)
#define IS(want, name, ...) check(#name, __LINE__, want, CALL(name, ##__VA_ARGS__))
#define OK(name, ...) IS(0, name, ##__VA_ARGS__)
/* A call that returns a number the kernel chooses (a descriptor, a pid), or one that file systems may refuse. */
#define ANY(name, ...) CALL(name, ##__VA_ARGS__)

enum { PAGE = 4096 };

#endif
