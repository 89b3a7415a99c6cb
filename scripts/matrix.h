/* What the syscall matrix and its 32-bit form share: raw calls, held against what they must return, and how they start.
 *
 *     matrix DIR                              at once
 *     matrix PID_FILE GO_FILE DIR USER        paused: as USER, with its number in PID_FILE, until there is a GO_FILE
 *
 * DIR must not exist; it is left behind, for its end state to be compared.
 */
#ifndef MATRIX_H
#define MATRIX_H

#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <string.h>
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

/* Becomes a user, by name. Reads the file itself: a static program has no getpwnam. */
static int become(const char *user)
{
	FILE *users = fopen("/etc/passwd", "re");
	struct passwd *entry = NULL;

	while (users && (entry = fgetpwent(users)) && strcmp(entry->pw_name, user))
		;
	if (users)
		fclose(users);
	if (!entry) {
		fprintf(stderr, "there is no user %s\n", user);
		return -1;
	}
	return entry->pw_uid == geteuid() ? 0 : setgid(entry->pw_gid) || setuid(entry->pw_uid) ? -1 : 0;
}

/* Waits for the word to go, if told to, and enters a new DIR, where the calls begin. 0, or an exit code. */
static int start(int argc, char **argv)
{
	const char *dir = argv[argc == 5 ? 3 : 1];

	if (argc != 2 && argc != 5) {
		fprintf(stderr, "usage: %s DIR, or %s PID_FILE GO_FILE DIR USER\n", argv[0], argv[0]);
		return 2;
	}
	if (argc == 5) {
		FILE *pid = fopen(argv[1], "we");

		if (!pid || fprintf(pid, "%d\n", getpid()) < 0 || fclose(pid)) {
			perror(argv[1]);
			return 2;
		}
		if (become(argv[4])) {
			perror(argv[4]);
			return 2;
		}
		while (access(argv[2], F_OK))
			usleep(10000);
	}
	if (CALL(mkdir, dir, 0755) || CALL(chdir, dir)) {
		perror(dir);
		return 2;
	}
	CALL(umask, 022);
	return 0;
}

#endif
