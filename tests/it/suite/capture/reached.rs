//! Files that are reached by other ways than their names: through /proc, from directories that threads do not share any more,
//! by descriptors that came in messages. A replay leaves the tree that the program left.

use super::*;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;

/// Puts files where they belong only for who follows the names through /proc.
const MAGIC: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static int made(const char *path, int bytes) {
	char data[1000] = "";
	int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	return fd < 0 || write(fd, data, bytes) != bytes || close(fd);
}
int main(int count, char **args) {
	char path[300], other[300], data[1000] = "";
	struct stat st;
	if (count != 2 || chdir(args[1]) || mkdir("sub", 0755) || mkdir("other", 0755))
		return 1;
	int sub = open("sub", O_RDONLY | O_DIRECTORY);
	if (made("/proc/self/cwd/a", 100))
		return 2;
	sprintf(path, "/proc/self/fd/%d/b", sub);
	if (made(path, 200))
		return 3;
	sprintf(path, "/proc/%d/root%s/c", getpid(), args[1]);
	if (made(path, 300))
		return 4;
	int a = open("a", O_RDONLY);
	sprintf(path, "/dev/fd/%d", a);
	int again = open(path, O_WRONLY);
	if (again < 0 || pwrite(again, data, 50, 150) != 50 || close(again) || truncate(path, 180))
		return 5;
	sprintf(path, "/proc/self/fd/%d/renamed", sub);
	if (rename("/proc/self/cwd/c", path) || stat(path, &st) || st.st_size != 300 || chmod(path, 0600))
		return 6;
	sprintf(path, "/proc/self/fd/%d", sub);
	if (chdir(path) || mkdir("in-sub", 0755))
		return 7;
	/* The link itself is none of this. */
	if (readlink(path, other, sizeof other) < 1 || lstat(path, &st) || !S_ISLNK(st.st_mode))
		return 8;
	int ready[2], status;
	pipe(ready);
	pid_t child = fork();
	if (!child) {
		chdir("../other");
		write(ready[1], "x", 1);
		pause();
	}
	read(ready[0], data, 1);
	sprintf(path, "/proc/%d/cwd/by-parent", child);
	if (made(path, 400) || kill(child, 9) || wait(&status) != child)
		return 9;
	/* A file that is none but a name: nothing is left of it. */
	int gone = open("gone", O_RDWR | O_CREAT, 0600);
	sprintf(path, "/proc/self/fd/%d", gone);
	if (unlink("gone") || made(path, 10))
		return 10;
	return 0;
}
"#;

/// Threads that give up sharing descriptors and directories, and as root one that enters a namespace of mounts.
const UNSHARED: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static int shared, failed;
static void *apart(void *none) {
	if (unshare(CLONE_FS | CLONE_FILES) || chdir("thread") || mkdir("in-thread", 0755) || close(shared))
		failed = 1;
	/* The number is free here, and taken by another file. */
	int own = open("own", O_WRONLY | O_CREAT, 0644);
	if (own != shared || write(own, "1234567", 7) != 7)
		failed = 2;
	return none;
}
int main(int count, char **args) {
	pthread_t thread;
	if (count != 2 || chdir(args[1]) || mkdir("thread", 0755))
		return 1;
	shared = open("shared", O_WRONLY | O_CREAT, 0644);
	if (write(shared, "12", 2) != 2 || pthread_create(&thread, 0, apart, 0) || pthread_join(thread, 0) || failed)
		return 2;
	if (write(shared, "345", 3) != 3 || mkdir("in-main", 0755))
		return 3;
	if (!geteuid()) {
		int status;
		pid_t child = fork();
		if (!child) {
			char path[300];
			int mounts = open("/proc/self/ns/mnt", O_RDONLY);
			if (chdir("thread") || unshare(CLONE_NEWNS) || mkdir("after-unshare", 0755) || setns(mounts, CLONE_NEWNS))
				_exit(1);
			/* At the root now. */
			snprintf(path, sizeof path, "%s/after-setns", args[1] + 1);
			_exit(mkdir(path, 0755) != 0);
		}
		if (wait(&status) != child || status)
			return 4;
	}
	return 0;
}
"#;

/// A child opens a directory and hands it over; so it does with a file, of which it has read a part.
const SENT: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static void hand_over(int by, int *fd, int send) {
	char byte = 'x', control[CMSG_SPACE(sizeof(int))];
	struct iovec data = { &byte, 1 };
	struct msghdr message = { .msg_iov = &data, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control };
	memset(control, 0, sizeof control);
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	if (send) {
		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), fd, sizeof(int));
		sendmsg(by, &message, 0);
	} else {
		recvmsg(by, &message, 0);
		memcpy(fd, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof(int));
	}
}
int main(int count, char **args) {
	int pair[2], dir, file, again;
	char data[1000] = "";
	if (count != 2 || chdir(args[1]) || mkdir("sent", 0755) || mkdir("again", 0755) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 1;
	if (!fork()) {
		dir = open("sent", O_RDONLY | O_DIRECTORY);
		again = open("again", O_RDONLY | O_DIRECTORY);
		file = open("file", O_RDWR | O_CREAT, 0644);
		write(file, data, 300);
		hand_over(pair[1], &dir, 1);
		hand_over(pair[1], &again, 1);
		hand_over(pair[1], &file, 1);
		_exit(0);
	}
	hand_over(pair[0], &dir, 0);
	hand_over(pair[0], &again, 0);
	hand_over(pair[0], &file, 0);
	wait(0);
	int made = openat(dir, "made", O_WRONLY | O_CREAT, 0644);
	if (made < 0 || write(made, data, 40) != 40 || mkdirat(dir, "below", 0755))
		return 2;
	if (write(file, data, 500) != 500)
		return 3;
	return fchdir(again) || mkdir("here", 0755) ? 4 : 0;
}
"#;

/// Takes descriptors of its child, a file and a directory, and goes on where the child had written.
const TAKEN: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **args) {
	int ready[2], on[2];
	char data[1000] = "";
	if (count != 2 || chdir(args[1]) || mkdir("taken", 0755) || pipe(ready) || pipe(on))
		return 1;
	pid_t child = fork();
	if (!child) {
		int dir = open("taken", O_RDONLY | O_DIRECTORY), file = open("file", O_RDWR | O_CREAT, 0644);
		write(file, data, 300);
		int fds[2] = { dir, file };
		write(ready[1], fds, sizeof fds);
		read(on[0], data, 1);
		write(file, data, 50);
		_exit(0);
	}
	int fds[2], process = syscall(SYS_pidfd_open, child, 0);
	read(ready[0], fds, sizeof fds);
	process = dup(process);
	int dir = syscall(SYS_pidfd_getfd, process, fds[0], 0), file = syscall(SYS_pidfd_getfd, process, fds[1], 0);
	if (dir < 0 || file < 0)
		return kill(child, 9) || 2;
	/* One position: the child writes behind this. */
	if (write(file, data, 500) != 500 || write(on[1], "x", 1) != 1 || wait(0) != child)
		return 3;
	if (write(file, data, 7) != 7 || lseek(file, 0, SEEK_CUR) != 857)
		return 4;
	return mkdirat(dir, "below", 0755) || fchdir(dir) || mkdir("here", 0755) ? 5 : 0;
}
"#;

/// What is below a directory: kinds, sizes of files, permissions.
fn tree(top: &Path) -> BTreeMap<PathBuf, String> {
    let (mut found, mut next) = (BTreeMap::new(), vec![top.to_owned()]);
    while let Some(dir) = next.pop() {
        for entry in std::fs::read_dir(&dir).unwrap().map(Result::unwrap) {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let size = if meta.is_file() { meta.len() } else { 0 };
            found.insert(path.strip_prefix(top).unwrap().to_owned(), format!("{:o} {size}", meta.mode()));
            if meta.is_dir() {
                next.push(path);
            }
        }
    }
    found
}

/// Captures a program that works in an empty directory, replays it, and compares the trees.
fn leaves_the_same_tree(name: &str, source: &str, backends: &[&str]) {
    let dir = scratch();
    let dir = dir.path().canonicalize().unwrap();
    let Some(program) = compile_text(&dir, name, source) else { return };
    for backend in backends.iter().filter(|backend| **backend != "ebpf" || allowed()) {
        let place = |what: &str| dir.join(format!("{backend}-{what}"));
        let [home, out, work, root, run] = ["home", "capture", "work", "root", "run"].map(place);
        std::fs::create_dir(&home).unwrap();
        let [h, c, w, r, o] = [&home, &out, &work, &root, &run].map(|path| path.to_str().unwrap());
        let summary = capture(0, &out, &["--backend", backend, "--", program.to_str().unwrap(), h]);
        assert_eq!(summary["status"], "exit status: 0", "{summary}");
        expect(0, &["generate", c, "-o", w]);
        expect(0, &["init", w, "--root", r]);
        expect(0, &["replay", w, "--root", r, "-o", o]);
        let there = root.join("tree").join(h.trim_start_matches('/'));
        assert_eq!(tree(&there), tree(&home), "{name} by {backend}");
    }
}

#[test]
fn names_through_proc_lead_where_they_led() {
    leaves_the_same_tree("magic", MAGIC, &["ebpf", "ptrace"]);
}

#[test]
fn threads_that_share_no_more_have_directories_and_descriptors_of_their_own() {
    leaves_the_same_tree("unshared", UNSHARED, &["ebpf", "ptrace"]);
}

/// By ptrace nothing shows what was handed over.
#[test]
fn directories_that_came_in_messages_are_known_by_what_they_are() {
    leaves_the_same_tree("sent", SENT, &["ebpf"]);
}

#[test]
fn descriptors_that_were_taken_from_a_process_share_its_positions() {
    leaves_the_same_tree("taken", TAKEN, &["ebpf", "ptrace"]);
}
