//! Processes that come into the scope while it is captured, live: what they bring.

use super::*;
use crate::suite::live::Group;
use crate::suite::live::with_root;
use crate::tool::{csv_text, sql_text};
use replayed::replay;
use std::os::unix::process::CommandExt;

/// A process of a name: it brings its working directory and its standard streams, however short it lives.
#[test]
fn who_comes_into_the_scope_brings_where_it_is_and_what_it_has_open() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let home = dir.path().canonicalize().unwrap();
    let late = home.join("ioriot-late");
    std::fs::copy("/bin/cat", &late).unwrap();
    let out = home.join("capture");
    let mut started = command(&["capture", "-o", out.to_str().unwrap(), "--comm", "ioriot-late"]);
    let mut started = Running(started.stdout(Stdio::null()).spawn().unwrap());
    attached(&out);
    std::fs::create_dir(home.join("deep")).unwrap();
    std::fs::write(home.join("deep/file"), "text").unwrap();
    let said = std::fs::File::create(home.join("said")).unwrap();
    let mut cat = Command::new(&late);
    assert!(cat.arg("file").current_dir(home.join("deep")).stdout(said).status().unwrap().success());
    interrupt(&started.0);
    assert!(started.0.wait().unwrap().success());
    let row = rows(&[&out], "SELECT cwd, root, comm FROM processes");
    assert_eq!(row, [format!("{},/,ioriot-late", csv_text(&home.join("deep")))]);
    assert!(number(&[&out], "SELECT count(*) FROM mounts WHERE mount_space = (SELECT mount_space FROM processes)") > 0.0);
    assert_eq!(replay(&home, &out, "1"), (100.0, 100.0));
    let workload = home.join("workload");
    expect(0, &["generate", out.to_str().unwrap(), "-o", workload.to_str().unwrap()]);
    for name in ["deep/file", "said"] {
        let there = format!("SELECT count(*) FROM fileset WHERE path = {} AND kind = 'file'", sql_text(&home.join(name)));
        assert_eq!(number(&[&workload], &there), 1.0, "{name}");
    }
}

/// Opens files, shares descriptors with a child, then comes into the scope and goes on with what it has. Arguments:
/// directory; a file to write its id to and so move itself, or `-` and a user to become.
const JOINER: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static void join(char **args) {
	if (args[2][0] == '-') {
		if (setresgid(atoi(args[3]), atoi(args[3]), atoi(args[3])) || setresuid(atoi(args[3]), atoi(args[3]), atoi(args[3])))
			_exit(3);
		return;
	}
	char id[16];
	int fd = open(args[2], O_WRONLY);
	snprintf(id, sizeof id, "%d", getpid());
	if (write(fd, id, strlen(id)) < 0)
		_exit(3);
	close(fd);
}
int main(int count, char **args) {
	char buffer[4096] = {0};
	struct stat st;
	if (count < 3 || chdir(args[1]))
		return 1;
	mkdir("sub", 0777);
	chmod("sub", 0777);
	int data = open("data", O_RDWR | O_CREAT, 0666), log = open("log", O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
	for (int i = 0; i < 100; i++)
		write(data, buffer, 4096);
	lseek(data, 1234, SEEK_SET);
	write(log, "begin\n", 6);
	int gone = open("gone", O_RDWR | O_CREAT, 0666), dir = open("sub", O_RDONLY | O_DIRECTORY);
	write(gone, buffer, 3000);
	unlink("gone");
	int twin = dup(data), ends[2];
	if (pipe(ends) || chdir("sub"))
		return 2;
	pid_t child = fork();
	if (child) /* One comes after the other. */
		read(ends[0], buffer, 1);
	join(args);
	for (int i = 0; i < 50; i++) {
		char name[32];
		snprintf(name, sizeof name, "new-%d-%d", child != 0, i % 7);
		read(data, buffer, 77);
		write(log, "line\n", 5);
		pread(twin, buffer, 4096, i * 1000);
		pwrite(gone, buffer, 100, i * 50);
		int fd = openat(i % 2 ? dir : AT_FDCWD, name, O_RDWR | O_CREAT, 0644);
		write(fd, "abc", 3);
		close(fd);
		stat("../data", &st);
		fstat(gone, &st);
		lseek(twin, -50, SEEK_CUR);
	}
	if (!child) {
		write(ends[1], "", 1);
		return 0;
	}
	wait(NULL);
	rename("../log", "../log.1");
	lseek(gone, 0, SEEK_END);
	execl("/bin/cat", "cat", "../log.1", NULL);
	return 4;
}
"#;

/// Has the program come into a scope that is captured meanwhile, and replays that.
fn joins(dir: &Path, scope: [&str; 2], how: &[&str]) {
    let Some(program) = compile_text(dir, "joiner", JOINER) else { return };
    let home = dir.join("home");
    std::fs::create_dir(&home).unwrap();
    std::fs::set_permissions(&home, std::os::unix::fs::PermissionsExt::from_mode(0o777)).unwrap();
    let out = dir.join("capture");
    let started = command(&["capture", "-o", out.to_str().unwrap(), "--format", "json", scope[0], scope[1]])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    attached(&out);
    let said = std::fs::File::create(dir.join("said")).unwrap();
    // Where cargo has programs look for libraries the other user may not look, and what was refused is not replayed.
    let ran = Command::new(&program).arg(&home).args(how).env_remove("LD_LIBRARY_PATH").stdout(said).status().unwrap();
    assert!(ran.success(), "{ran}");
    interrupt(&started);
    let said = started.wait_with_output().unwrap();
    assert!(said.status.success());
    let summary: Value = serde_json::from_slice(&said.stdout).unwrap();
    closes(&summary);
    assert_eq!(summary["losses"].as_array().map(Vec::len), Some(0), "{summary}");

    let home = home.canonicalize().unwrap();
    let brought = format!(
        "SELECT fd_path, count(DISTINCT arg), count(*), count(DISTINCT pid) FROM events \
        WHERE syscall = 'joined_fd' AND starts_with(fd_path, {}) GROUP BY 1 ORDER BY 1",
        sql_text(&home)
    );
    let path = |name: &str| csv_text(&home.join(name));
    let expected = [("data", 4), ("gone (deleted)", 2), ("log", 2), ("sub", 2)];
    let expected = expected.map(|(name, count)| format!("{},1,{count},2", path(name)));
    assert_eq!(rows(&[&out], &brought), expected, "each is one description, which both processes share");
    let cwds = rows(&[&out], "SELECT DISTINCT cwd, root FROM processes");
    assert_eq!(cwds, [format!("{},/", path("sub"))]);
    for threads in ["1", "4"] {
        assert_eq!(replay(dir, &out, threads), (100.0, 100.0));
    }
}

#[test]
fn a_process_that_moves_into_a_captured_control_group_goes_on_with_what_it_has() {
    if !with_root() {
        return;
    }
    let Some(group) = Group::new(&format!("ioriot-joined-{}", std::process::id())) else { return };
    let dir = scratch();
    let place = group.0.to_str().unwrap();
    joins(dir.path(), ["--cgroup", place], &[&format!("{place}/cgroup.procs")]);
}

#[test]
fn a_process_that_becomes_a_captured_user_goes_on_with_what_it_has() {
    if !with_root() {
        return;
    }
    const NOBODY: &str = "54322";
    let dir = open_scratch();
    joins(dir.path(), ["--user", NOBODY], &["-", NOBODY]);
}

/// Whoever captures a user that is its own does not capture itself: else each event would make the next.
#[test]
fn a_capture_is_no_part_of_itself() {
    if !with_root() {
        return;
    }
    let dir = scratch();
    let out = dir.path().join("capture");
    let args = ["capture", "-o", out.to_str().unwrap(), "--user", "root", "--on-drop", "report"];
    let mut started = command(&args).stdout(Stdio::null()).spawn().unwrap();
    attached(&out);
    assert!(Command::new("true").uid(0).status().unwrap().success());
    interrupt(&started);
    assert!(started.wait().unwrap().success());
    assert_eq!(number(&[&out], &format!("SELECT count(*) FROM events WHERE pid = {}", started.id())), 0.0);
}

/// Sends a descriptor of the file that is its argument to a child, which goes on where it was left; and one of a socket.
const SENDER: &str = r#"
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **args) {
	int pair[2], fds[2], status;
	char text[8], control[CMSG_SPACE(sizeof fds)] = {0};
	struct iovec vector = {text, 1};
	struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control};
	if (count != 2 || socketpair(AF_UNIX, SOCK_STREAM, 0, pair)) return 2;
	pid_t child = fork();
	if (child == 0) {
		close(pair[0]);
		if (recvmsg(pair[1], &message, 0) != 1) _exit(3);
		memcpy(fds, CMSG_DATA(CMSG_FIRSTHDR(&message)), sizeof fds);
		_exit(read(fds[0], text, 3) != 3 || write(fds[1], text, 3) != 3 || close(fds[0]) || close(fds[1]) ? 4 : 0);
	}
	fds[0] = open(args[1], O_RDONLY);
	fds[1] = pair[0];
	if (read(fds[0], text, 2) != 2) return 5;
	struct cmsghdr *head = CMSG_FIRSTHDR(&message);
	head->cmsg_level = SOL_SOCKET;
	head->cmsg_type = SCM_RIGHTS;
	head->cmsg_len = CMSG_LEN(sizeof fds);
	memcpy(CMSG_DATA(head), fds, sizeof fds);
	if (sendmsg(pair[0], &message, 0) != 1) return 6;
	close(fds[0]);
	wait(&status);
	return status != 0;
}
"#;

/// No call of the receiver says what it is open on, but the kernel does.
#[test]
fn descriptors_that_come_in_messages_are_known() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let home = dir.path().canonicalize().unwrap();
    let Some(sender) = compile_text(&home, "sender", SENDER) else { return };
    std::fs::write(home.join("file"), "0123456789").unwrap();
    let out = home.join("capture");
    capture(0, &out, &["--", sender.to_str().unwrap(), home.join("file").to_str().unwrap()]);
    assert_eq!(replay(&home, &out, "1"), (100.0, 100.0));
    let workload = home.join("workload");
    expect(0, &["generate", out.to_str().unwrap(), "-o", workload.to_str().unwrap()]);
    let read =
        "SELECT \"offset\", count FROM ops WHERE syscall = 'read' AND path LIKE '%/file' AND origin = 'event' ORDER BY seq";
    assert_eq!(rows(&[&workload], read), ["0,2", "2,3"]);
}
