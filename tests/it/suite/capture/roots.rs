//! Processes with a root directory of their own (chroot(2)), captured live.

use super::replayed::replay;
use super::*;
use crate::tool::{csv_text, sql_text};

/// Makes the directory that is its argument the root of a child, which works in it; goes on there itself when that has
/// ended. With a second argument it first waits, below that root, for a name to be there.
const JAILED: &str = r#"
#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
static int work(void) {
	struct stat st;
	char text[64];
	int fd = open("/made", O_WRONLY | O_CREAT | O_EXCL, 0644);
	if (fd < 0 || write(fd, "12345", 5) != 5 || close(fd) || rename("/made", "/../named") || mkdir("/sub", 0755))
		return 3;
	if (symlink("/named", "/link") || readlink("/link", text, sizeof text) != 6 || link("/named", "sub/hard"))
		return 4;
	if (chdir("/sub") || stat("hard", &st) || st.st_nlink != 2 || access("/etc/passwd", F_OK) == 0 || unlink("/link"))
		return 5;
	fd = openat(AT_FDCWD, "relative", O_RDWR | O_CREAT, 0600);
	return fd < 0 || write(fd, "abc", 3) != 3 || close(fd) ? 6 : 0;
}
int main(int count, char **args) {
	int status = 0;
	if (count > 2) {
		if (chroot(args[1]) || chdir("/")) return 1;
		while (access(args[2], F_OK)) usleep(10000);
		return work();
	}
	if (chdir(args[1])) return 1;
	if (fork() == 0) _exit(chroot(".") ? 2 : work());
	wait(&status);
	return status || unlink("sub/relative") || truncate("named", 3);
}
"#;

/// What must have been there, and the tree as it is left, are below the jail.
fn check(dir: &Path, capture: &Path, jail: &Path) {
    assert_eq!(replay(dir, capture, "2"), (100.0, 100.0));
    let workload = dir.join("workload");
    expect(0, &["generate", capture.to_str().unwrap(), "-o", workload.to_str().unwrap()]);
    // Of what is not below the jail only the way there may be known.
    let names = format!(
        "SELECT path FROM expect WHERE kind <> 'absent' AND (path LIKE '%/named' OR path LIKE '%/hard' \
        OR starts_with(path, '/sub') AND NOT starts_with({0}, path) AND NOT starts_with(path, {0}))",
        sql_text(jail)
    );
    let expected = ["named", "sub/hard"].map(|name| csv_text(&jail.join(name)));
    assert_eq!(rows(&[&workload], &format!("{names} ORDER BY path")), expected);
    std::fs::remove_dir_all(workload).unwrap();
}

#[test]
fn what_is_done_below_another_root_is_done_there() {
    if !crate::tool::root() {
        return skip(Need::Root, "chroot");
    }
    let dir = scratch();
    let dir = dir.path().canonicalize().unwrap();
    let Some(program) = compile_text(&dir, "jailed", JAILED) else { return };
    for backend in ["ebpf", "ptrace"] {
        if backend == "ebpf" && !allowed() {
            continue;
        }
        let (jail, out) = (dir.join(format!("jail-{backend}")), dir.join(backend));
        std::fs::create_dir(&jail).unwrap();
        let command = [program.to_str().unwrap(), jail.to_str().unwrap()];
        capture(0, &out, &[&["--backend", backend, "--"], &command[..]].concat());
        check(&dir, &out, &jail);
    }
}

#[test]
fn a_process_that_had_a_root_of_its_own_before_the_capture_keeps_it() {
    if !crate::tool::root() {
        return skip(Need::Root, "chroot");
    }
    if !allowed() {
        return;
    }
    let dir = scratch();
    let dir = dir.path().canonicalize().unwrap();
    let Some(program) = compile_text(&dir, "jailed", JAILED) else { return };
    let (jail, out) = (dir.join("jail"), dir.join("capture"));
    std::fs::create_dir(&jail).unwrap();
    let running = Running(Command::new(&program).args([jail.to_str().unwrap(), "/go"]).spawn().unwrap());
    let pid = running.0.id().to_string();
    let mut command = command(&["capture", "-o", out.to_str().unwrap(), "--pid", &pid]);
    let mut started = Running(command.stdout(Stdio::null()).spawn().unwrap());
    attached(&out);
    std::fs::write(jail.join("go"), "").unwrap();
    assert!(started.0.wait().unwrap().success());
    assert_eq!(rows(&[&out], "SELECT root FROM processes"), [csv_text(&jail)]);
    check(&dir, &out, &jail);
}
