//! What captures tell of what processes execute: command lines, control groups, set-user-ID programs, ranks and jobs.

use super::*;
use crate::suite::live::with_root;
use std::os::unix::fs::PermissionsExt;

/// What `process_tree` says of the last process with this name.
fn told(capture: &Path, comm: &str, columns: &str) -> Vec<String> {
    rows(&[capture], &format!("SELECT {columns} FROM process_tree WHERE comm = '{comm}' ORDER BY vpid"))
}

/// Where control groups of version 2 are mounted, and the group that this process is in.
fn own_group() -> Option<(PathBuf, String)> {
    let dirs = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"].map(PathBuf::from);
    let dir = dirs.into_iter().find(|dir| dir.join("cgroup.controllers").exists())?;
    let text = std::fs::read_to_string("/proc/self/cgroup").ok()?;
    let own = text.lines().find_map(|line| line.strip_prefix("0::"))?.to_owned();
    Some((dir, own))
}

/// The backends of this machine that may capture.
fn backends() -> Vec<&'static str> {
    if allowed() { vec!["ebpf", "ptrace"] } else { vec!["ptrace"] }
}

#[test]
fn command_lines_groups_ranks_and_jobs_are_told() {
    let dir = open_scratch();
    let long = "x".repeat(200);
    // Variables that are too long, or of another name, tell nothing; the rest of a long one is no variable.
    let padding = format!("{}PMI_RANK=9", "y".repeat(63));
    for backend in backends() {
        let out = dir.path().join(backend);
        let script =
            "PMI_RANK=3 SLURM_JOB_ID=4711 XPMI_RANK=5 FILL=\"$1\" cat /dev/null; stat \"$0\" >/dev/null 2>&1; head -c1 /dev/null";
        let command = ["--", "env", "-u", "PMI_RANK", "sh", "-c", script, &long, &padding];
        capture(0, &out, &[&["--backend", backend], &command[..]].concat());
        assert_eq!(told(&out, "cat", "command_line, rank, job"), ["cat /dev/null,3,4711"], "{backend}");
        assert_eq!(told(&out, "stat", "command_line, rank, job"), [format!("stat {}...,,", &long[..123])], "{backend}");
        assert_eq!(told(&out, "head", "command_line"), ["head -c1 /dev/null"], "{backend}");
        if let Some((_, group)) = own_group() {
            assert_eq!(told(&out, "cat", "cgroup"), [group], "{backend}");
        }
        let ranks = rows(&[&out], "SELECT DISTINCT rank FROM io WHERE comm = 'cat'");
        assert_eq!(ranks, ["3"], "{backend}");

        let none = dir.path().join(format!("{backend}-none"));
        capture(0, &none, &[&["--backend", backend, "--no-command-lines"], &command[..]].concat());
        assert_eq!(told(&none, "cat", "command_line, rank"), [",3"], "{backend}");
        assert_eq!(
            number(&[&none], "SELECT count(*) FROM events WHERE syscall = 'execve' AND name IS NOT NULL"),
            0.0,
            "{backend}"
        );
        assert_eq!(number(&[&none], "SELECT count(command_line) FROM processes"), 0.0, "{backend}");
    }
}

/// A copy of `cat` that runs as another user, since its file says so.
#[test]
fn a_set_user_id_program_changes_the_user() {
    if !with_root() {
        return;
    }
    let dir = open_scratch();
    let program = dir.path().join("own-cat");
    std::fs::copy("/bin/cat", &program).unwrap();
    std::os::unix::fs::chown(&program, Some(54_324), None).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o4755)).unwrap();
    let out = dir.path().join("out");
    capture(0, &out, &["--backend", "ebpf", "--", "sh", "-c", "\"$0\" /dev/null; true", program.to_str().unwrap()]);
    // Some file systems are mounted so that the bit says nothing.
    let honoured = Command::new("findmnt").args(["-no", "OPTIONS", "-T"]).arg(&program).output();
    if honoured.is_ok_and(|found| String::from_utf8_lossy(&found.stdout).contains("nosuid")) {
        return skip(Need::Root, "set-user-ID files mean nothing on this file system");
    }
    assert_eq!(told(&out, "own-cat", "user_id"), ["54324"]);
    assert_eq!(told(&out, "sh", "user_id"), ["0"]);
}

/// A process that was there before: what it was started with is in table `processes`.
#[test]
fn what_was_there_has_its_command_line() {
    let dir = open_scratch();
    for backend in backends() {
        let mut child = Command::new("sh")
            .args(["-c", "while :; do cat /dev/null; sleep 0.05; done", "a name"])
            .env("PMIX_RANK", "7")
            .spawn()
            .unwrap();
        let (pid, out) = (child.id().to_string(), dir.path().join(backend));
        capture(0, &out, &["--backend", backend, "--pid", &pid, "--duration", "1s"]);
        child.kill().unwrap();
        child.wait().unwrap();
        let line = "sh -c while :; do cat /dev/null; sleep 0.05; done a name,7";
        assert_eq!(rows(&[&out], &format!("SELECT command_line, rank FROM processes WHERE pid = {pid}")), [line], "{backend}");
        assert_eq!(rows(&[&out], &format!("SELECT command_line, rank FROM process_tree WHERE pid = {pid}")), [line], "{backend}");
        assert!(number(&[&out], "SELECT count(*) FROM process_tree WHERE command_line = 'cat /dev/null'") >= 1.0, "{backend}");
    }
}

/// A process that moves itself to a group of its own and executes something there.
#[test]
fn a_control_group_is_told_by_its_path() {
    if !with_root() {
        return;
    }
    let place = own_group().map(|(dir, _)| dir.join(format!("ioriot-test-{}", std::process::id())));
    let Some(place) = place.filter(|place| std::fs::create_dir(place).is_ok()) else {
        return skip(Need::Groups, "no group of version 2 can be made");
    };
    let (dir, inner) = (open_scratch(), place.join("a name"));
    std::fs::create_dir(&inner).unwrap();
    let mut told_by = Vec::new();
    for backend in backends() {
        let out = dir.path().join(backend);
        let script = "sh -c 'echo $$ > \"$1/cgroup.procs\"; exec cat /dev/null' sh \"$1\"; true";
        capture(0, &out, &["--backend", backend, "--", "sh", "-c", script, "sh", inner.to_str().unwrap()]);
        told_by.push((backend, told(&out, "cat", "cgroup")));
    }
    std::fs::remove_dir(&inner).unwrap();
    std::fs::remove_dir(&place).unwrap();
    let path = format!("/{}/a name", place.file_name().unwrap().to_str().unwrap());
    assert!(told_by.iter().all(|(_, told)| *told == [path.clone()]), "{told_by:?}");
}
