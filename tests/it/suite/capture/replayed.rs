//! Live captures, held against strace and their own replay.

use super::*;
use crate::tool::csv_text;

/// Replays a capture with every outcome compared; its match and coverage in percent.
pub fn replay(dir: &Path, capture: &Path, threads: &str) -> (f64, f64) {
    let [workload, root, run] = ["workload", "root", "run"].map(|name| dir.join(format!("{name}-{threads}")));
    let [c, w, r, o] = [capture, &workload, &root, &run].map(|path| path.to_str().unwrap());
    expect(0, &["generate", c, "-o", w]);
    expect(0, &["init", w, "--root", r]);
    expect(0, &["replay", w, "--root", r, "-o", o, "--threads", threads, "--min-match", "0"]);
    let matched = "SELECT 100.0 * avg(CASE outcome WHEN 'same' THEN 1.0 ELSE 0.0 END) FROM results WHERE origin = 'event' AND outcome <> 'uncompared'";
    let covered = "SELECT 100.0 * avg(CASE fate WHEN 'op' THEN 1.0 ELSE 0.0 END) FROM fates WHERE on_file";
    let differences = rows(&[&run], "SELECT syscall, kind, count(*) FROM results WHERE outcome = 'different' GROUP BY 1, 2");
    if !differences.is_empty() {
        eprintln!("{differences:#?}");
    }
    let dropped = "SELECT syscall, reason, count(*), min(seq), max(seq) FROM fates WHERE on_file AND fate = 'drop' GROUP BY 1, 2";
    let dropped = rows(&[&workload], dropped);
    if !dropped.is_empty() {
        eprintln!("{dropped:#?}");
    }
    let result = (number(&[&run], matched), number(&[&workload], covered));
    [workload, root, run].iter().for_each(|dir| std::fs::remove_dir_all(dir).unwrap());
    result
}

/// What both must say of each call. Addresses and process ids differ from run to run; strace leaves out fields of
/// `struct open_how` that are 0, of stat owners and times, and does not know the newest calls. Threads are in the order in which
/// they were made: ids begin anew when there are no higher ones. What comes into the page cache is no call.
pub const CALLS: &str = "SELECT events.syscall, errno, fd, fd2, dirfd, dirfd2, offset, offset2, count, whence, iovcnt, resolve, \
    atime, path, path2, name, \
    CASE WHEN def.syscall LIKE '%stat%' THEN '' ELSE concat(uid, ' ', gid, ' ', mtime) END AS o, \
    CASE WHEN returns IN ('Addr', 'Pid') THEN 0 ELSE ret END AS r, \
    CASE WHEN def.syscall IN ('clone', 'clone3', 'openat2') THEN coalesce(flags, 0) & 3 ELSE flags END AS f, \
    CASE WHEN def.syscall = 'openat2' THEN coalesce(mode, 0) ELSE mode END AS m, \
    CASE WHEN def.syscall IN ('ioctl', 'madvise') THEN 0 ELSE cmd END AS c \
    FROM events JOIN syscall_def AS def ON def.syscall = events.syscall \
    WHERE support <> 'drop' AND def.syscall NOT IN ('execve', 'fchmodat2', 'page_cache_add') AND coalesce(path, '') NOT LIKE '/proc/%' \
    ORDER BY tid < (SELECT tid FROM events ORDER BY seq LIMIT 1), tid, seq";

#[test]
fn the_matrix_is_captured_call_by_call_as_strace_shows_it() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/syscall_matrix.c");
    let Some(matrix) = compile(dir.path(), "matrix", &source) else { return };
    let base = dir.path().join("base");
    let out = dir.path().join("ebpf");
    let summary = capture(0, &out, &["--", matrix.to_str().unwrap(), base.to_str().unwrap()]);
    closes(&summary);
    assert_eq!((int(&summary, "/sum/unfinished"), summary["losses"].as_array().map(Vec::len)), (0, Some(0)));
    let (matched, covered) = replay(dir.path(), &out, "1");
    assert_eq!((matched, covered), (100.0, 100.0));

    std::fs::remove_dir_all(&base).unwrap();
    let text = dir.path().join("matrix.strace");
    let mut strace = Command::new("strace");
    strace.args(["-f", "-ttt", "-T", "-y", "-yy", "-s", "4096", "-o"]).args([&text, &matrix, &base]);
    match strace.status() {
        Ok(status) if status.success() => {}
        _ => return skip(Need::Strace, "strace does not run"),
    }
    let ingested = dir.path().join("strace");
    expect(0, &["ingest", text.to_str().unwrap(), "-o", ingested.to_str().unwrap()]);
    let [ours, theirs] = [&out, &ingested].map(|capture| rows(&[capture], CALLS));
    for (line, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
        assert_eq!(ours, theirs, "call {line}");
    }
    assert_eq!(ours.len(), theirs.len());
}

/// Needs no rights, so it is never skipped where there is a compiler.
#[test]
fn ptrace_captures_what_ebpf_captures() {
    let dir = scratch();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/syscall_matrix.c");
    let Some(matrix) = compile(dir.path(), "matrix", &source) else { return };
    let base = dir.path().join("base");
    let captured = |backend: &str| {
        let out = dir.path().join(backend);
        let command = ["--backend", backend, "--", matrix.to_str().unwrap(), base.to_str().unwrap()];
        let summary = capture(0, &out, &command);
        closes(&summary);
        assert_eq!(summary["backend"], backend);
        std::fs::remove_dir_all(&base).unwrap();
        out
    };
    let ptrace = captured("ptrace");
    assert_eq!(replay(dir.path(), &ptrace, "1"), (100.0, 100.0));
    if allowed() {
        let [ours, theirs] = [&captured("ebpf"), &ptrace].map(|capture| rows(&[capture], CALLS));
        for (line, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours, theirs, "call {line}");
        }
        assert_eq!(ours.len(), theirs.len());
    }
    let (out, home) = (dir.path().join("script"), dir.path().to_str().unwrap());
    let script = "cd \"$0\" && mkdir y && for i in 1 2 3; do echo $i | cat > y/$i; done && cp -r y z && rm -r y";
    closes(&capture(0, &out, &["--backend", "ptrace", "--", "sh", "-c", script, home]));
    let (matched, covered) = replay(dir.path(), &out, "4");
    assert!(matched == 100.0 && covered > 99.9, "match {matched}, coverage {covered}");
}

#[test]
fn a_shell_script_replays_with_every_outcome_the_same() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let script = "cd \"$0\" && mkdir x && cd x && for i in 1 2 3 4 5; do echo $i > f$i; cat f$i >> all; mv f$i g$i; done && \
        sort -r all > sorted && ln -s sorted link && cat link | wc -l > lines && cp -r . ../y && ls -l ../y > ../list && \
        rm -r ../y && (cd .. && tar cf t.tar x && tar tf t.tar > /dev/null)";
    let out = dir.path().join("capture");
    let summary = capture(0, &out, &["--", "sh", "-c", script, dir.path().to_str().unwrap()]);
    closes(&summary);
    let repairs = number(&[&out], "SELECT count(DISTINCT pid) FROM events");
    assert!(repairs > 10.0, "{repairs} processes");
    for threads in ["1", "8"] {
        let (matched, covered) = replay(dir.path(), &out, threads);
        assert_eq!(matched, 100.0);
        assert!(covered > 99.9, "{covered}");
    }
}

/// Opens what it will use, forks, and waits for a file before it goes on; see the test.
const SERVER: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
int main(int count, char **args) {
	char buffer[4096];
	struct stat st;
	if (count != 2 || chdir(args[1]))
		return 1;
	int data = open("data", O_RDWR | O_CREAT, 0644), log = open("log", O_WRONLY | O_CREAT | O_APPEND, 0600);
	for (int i = 0; i < 100; i++)
		write(data, buffer, 4096);
	lseek(data, 1234, SEEK_SET);
	write(log, "begin\n", 6);
	int gone = open("gone", O_RDWR | O_CREAT, 0600), dir = open(".", O_RDONLY | O_DIRECTORY);
	write(gone, buffer, 3000);
	unlink("gone");
	int twin = dup(data);
	pid_t child = fork();
	close(open(child ? "parent" : "child", O_CREAT | O_WRONLY, 0600));
	while (access("go", F_OK))
		usleep(10000);
	for (int i = 0; i < 200; i++) {
		char name[32];
		snprintf(name, sizeof name, "new-%d-%d", child != 0, i % 7);
		read(data, buffer, 77);
		write(log, "line\n", 5);
		pread(twin, buffer, 4096, i * 1000);
		pwrite(gone, buffer, 100, i * 50);
		int fd = openat(dir, name, O_RDWR | O_CREAT, 0644);
		write(fd, "abc", 3);
		fstat(fd, &st);
		close(fd);
		stat("data", &st);
		lseek(twin, -50, SEEK_CUR);
	}
	if (child) {
		wait(NULL);
		fsync(log);
		rename("log", "log.1");
		lseek(gone, 0, SEEK_END);
	}
	return 0;
}
"#;

#[test]
fn a_program_that_runs_already_is_captured_without_stopping_it() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(server) = compile_text(dir.path(), "server", SERVER) else { return };
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let mut running = Running(Command::new(&server).arg(&home).spawn().unwrap());
    wait_for(|| home.join("parent").exists() && home.join("child").exists());
    let out = dir.path().join("capture");
    let children = std::fs::read_to_string(format!("/proc/{0}/task/{0}/children", running.0.id())).unwrap();
    let pids = format!("{},{}", running.0.id(), children.trim());
    let mut started = command(&["capture", "-o", out.to_str().unwrap(), "--pid", &pids]).stdout(Stdio::null()).spawn().unwrap();
    let unfinished = dir.path().join(".capture.unfinished");
    wait_for(|| unfinished.exists());
    std::fs::write(home.join("go"), "").unwrap();
    running.0.wait().unwrap();
    assert!(started.wait().unwrap().success());

    let shared = rows(
        &[&out],
        "SELECT path, position, st_size, count(DISTINCT ofd), count(*) FROM open_files WHERE path LIKE '%/data' GROUP BY 1, 2, 3",
    );
    assert_eq!(shared.len(), 1);
    assert!(shared[0].ends_with("/data,1234,409600,1,4"), "{shared:?}");
    let (matched, covered) = replay(dir.path(), &out, "1");
    assert!(matched >= 99.9 && covered >= 99.9, "match {matched}, coverage {covered}");
}

/// Nothing but the open shows that this is a directory.
#[test]
fn what_was_opened_is_of_the_kind_that_the_kernel_shows() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let (lonely, out, workload) = (dir.path().join("lonely"), dir.path().join("capture"), dir.path().join("workload"));
    std::fs::create_dir(&lonely).unwrap();
    capture(0, &out, &["--", "sync", lonely.to_str().unwrap()]);
    expect(0, &["generate", out.to_str().unwrap(), "-o", workload.to_str().unwrap()]);
    assert_eq!(rows(&[&workload], "SELECT kind FROM fileset WHERE path LIKE '%/lonely'"), ["dir"]);
}

/// What the kernel showed of a file is what stat(2) says.
#[test]
fn observed_facts_are_those_of_stat() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let out = dir.path().join("capture");
    let file = dir.path().join("file");
    std::fs::write(&file, vec![1; 10_000]).unwrap();
    std::os::unix::fs::symlink("file", dir.path().join("link")).unwrap();
    capture(0, &out, &["--", "cat", dir.path().join("link").to_str().unwrap()]);
    let meta = file.metadata().unwrap();
    let found =
        rows(&[&out], "SELECT dev, ino, st_mode, st_size, fd_path FROM events WHERE syscall = 'openat' AND path LIKE '%/link'");
    use std::os::unix::fs::MetadataExt;
    let path = std::fs::canonicalize(&file).unwrap();
    assert_eq!(found, [format!("{},{},{},10000,{}", meta.dev(), meta.ino(), meta.mode(), csv_text(&path))]);
    let ends = rows(
        &[&out],
        "SELECT position FROM events WHERE syscall = 'read' AND ret > 0 AND ino = (SELECT ino FROM events WHERE path LIKE '%/link') ORDER BY seq DESC LIMIT 1",
    );
    assert_eq!(ends, ["10000"]);
}
