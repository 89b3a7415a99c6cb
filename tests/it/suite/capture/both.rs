//! One run, seen by two: strace's log of programs, and what eBPF captured of them meanwhile, tell the same of each call.
//!
//! Calls are compared by thread, in order: names, paths, numbers and outcomes as captured, then what a workload makes of them.
//! What one of the two cannot tell is named in [`untold`], and nothing else may differ.

use super::{allowed, capture, closes, compile, scratch};
use crate::skip::{Need, skip};
use crate::tool::{expect, shell_text};
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;
use std::process::Command;

type Row = Map<String, Value>;

/// As captured, then as replayed.
const CALLS: &str = "SELECT e.tid, e.line, e.syscall, e.pid, e.errno, e.ret, e.fd, e.fd2, e.dirfd, e.dirfd2, e.path, e.path2, e.name, \
    e.count, e.iovcnt, e.offset, e.offset2, e.whence, e.flags, e.mode, e.cmd, e.arg, e.resolve, e.uid, e.gid, e.atime, e.mtime, \
    e.st_mode, e.st_size, e.fd_path, f.fate, f.reason, o.op, o.path AS resolved, o.path2 AS resolved2, o.cwd, o.offset AS at, \
    o.offset2 AS at2, o.count AS asked \
    FROM events e JOIN syscall_def d ON d.syscall = e.syscall JOIN fates f ON f.seq = e.seq \
    LEFT JOIN ops o ON o.seq = e.seq AND o.origin = 'event' ORDER BY e.seq";

/// A column of a row: absent ones are left out of JSON.
fn value<'r>(row: &'r Row, column: &str) -> &'r Value {
    row.get(column).unwrap_or(&Value::Null)
}

fn text<'r>(row: &'r Row, column: &str) -> &'r str {
    value(row, column).as_str().unwrap_or_default()
}

fn int(row: &Row, column: &str) -> Option<i64> {
    value(row, column).as_i64()
}

/// The calls of each thread.
fn threads(dir: &Path, name: &str) -> BTreeMap<i64, Vec<Row>> {
    let [captured, workload] = [dir.join(name), dir.join(format!("{name}.work"))];
    let [captured, workload] = [captured.to_str().unwrap(), workload.to_str().unwrap()];
    expect(0, &["generate", captured, "-o", workload]);
    let rows: Vec<Row> = serde_json::from_str(&expect(0, &["query", captured, workload, CALLS, "--format", "json"])).unwrap();
    let mut threads: BTreeMap<i64, Vec<Row>> = BTreeMap::new();
    for row in rows {
        threads.entry(int(&row, "tid").unwrap()).or_default().push(row);
    }
    threads
}

/// Is what the two say of one column something that one of them cannot know?
fn untold(column: &str, strace: &Row, live: &Row) -> bool {
    let (call, none, unseen) = (text(strace, "syscall"), value(strace, column).is_null(), value(live, column).is_null());
    let kind = |row: &Row| int(row, column).map(|mode| mode & i64::from(libc::S_IFMT));
    match column {
        // Of calls on memory that is mapped the text keeps neither address nor advice.
        "arg" | "cmd" if matches!(call, "munmap" | "mremap" | "msync" | "madvise") => none,
        // strace says what a descriptor is open on; the kernel shows it where path and directory do not say it.
        "fd_path" => none || unseen,
        // Neither users nor control groups of what is executed are in a log.
        "uid" | "dir2_path" if matches!(call, "execve" | "execveat") => none,
        // Of what a descriptor is open on strace knows the kind, and only of devices, pipes and the like. close has ended it.
        "st_mode" => none || unseen && call == "close" || int(strace, column) == kind(live),
        // Without -v strace prints neither owner nor times of what a stat found; and no size of what a descriptor is open on.
        "st_size" => none,
        "uid" | "gid" | "mtime" if call.contains("stat") => none,
        // A call that is begun again, or whose thread was killed in it: -ERESTARTSYS and its kin, a `?` in the log.
        // What would have been printed behind what it reads is not there.
        "ret" | "errno" | "count" if int(strace, "errno").is_none() && matches!(int(live, "errno"), Some(512..=516)) => none,
        // Addresses, and arguments of commands that nobody knows.
        "arg" => unseen && (call == "ioctl" || int(strace, "errno") == Some(libc::EINVAL.into())),
        // openat2 has always a mode; strace leaves out that of an open that makes nothing.
        "mode" if call == "openat2" => none && int(live, column) == Some(0),
        // The kernel does not read more than IOV_MAX of them.
        "count" | "asked" if int(strace, "iovcnt") > Some(1024) => unseen,
        _ => false,
    }
}

/// Are the names of this call not in the log? Then all that follows from them may differ.
fn nameless(strace: &Row, live: &Row) -> bool {
    // strace reads no more than PATH_MAX of a path: a call for which one was too long.
    int(live, "errno") == Some(i64::from(libc::ENAMETOOLONG)) && text(strace, "path").is_empty() && text(live, "path").len() >= 4095
    // Older than the call, it shows it by number.
    || text(strace, "syscall") == "fchmodat2" && text(strace, "path").is_empty()
}

/// What the notes of a log say of the ends of threads.
#[derive(Default)]
struct Ends {
    /// Lines of notes that ingest makes an exit of.
    killed: Vec<i64>,
    /// Leaders, each with the thread that became it by exec.
    superseded: Vec<(i64, i64)>,
}

impl Ends {
    fn of(log: &str) -> Ends {
        let mut ends = Ends::default();
        for (line, number) in log.lines().zip(1..) {
            if line.contains(" +++ killed by ") {
                ends.killed.push(number);
            } else if let Some((leader, by)) = line.split_once(" +++ superseded by execve in pid ") {
                let leader = leader.split(' ').next().unwrap().parse().unwrap();
                ends.superseded.push((leader, by.split(' ').next().unwrap().parse().unwrap()));
            }
        }
        ends
    }
}

/// Both captures of a run, as `log` and `live` below a directory.
fn watch(dir: &Path, program: &[&str]) {
    let log = dir.join("run.strace");
    let strace = ["--", "strace", "-q", "-f", "-ttt", "-T", "-y", "-yy", "-s", "4096", "-o", log.to_str().unwrap()];
    // What strace itself does most, wait4 and process_vm_readv, is in neither of these.
    // Nor does it see page faults, so of its log no mappings are followed.
    let options = ["--backend", "ebpf", "--syscalls", "@io,@fd,@meta,@proc", "--no-waits", "--no-faults"];
    let live = capture(0, &dir.join("live"), &[&options[..], &strace, program].concat());
    closes(&live);
    assert_eq!((&live["status"], &live["losses"]), (&"exit status: 0".into(), &Value::Array(Vec::new())));
    expect(0, &["ingest", log.to_str().unwrap(), "-o", dir.join("log").to_str().unwrap()]);
}

/// Compares both captures of a run; calls whose lines were rejected by this name and reason are there live only. How many calls
/// were the same.
fn compare(dir: &Path, rejected: &[(&str, &str)]) -> usize {
    let text_of_log = std::fs::read(dir.join("run.strace")).unwrap();
    let ends = Ends::of(&String::from_utf8_lossy(&text_of_log));
    let sql = "SELECT line, reason, text FROM rejects ORDER BY line";
    let rejects: Vec<Row> =
        serde_json::from_str(&expect(0, &["query", dir.join("log").to_str().unwrap(), sql, "--format", "json"])).unwrap();
    let named: Vec<_> = rejects
        .iter()
        .map(|row| (text(row, "text").split_whitespace().nth(2).unwrap().split('(').next().unwrap(), text(row, "reason")))
        .collect();
    assert_eq!(named, rejected);
    let (log, mut live) = (threads(dir, "log"), threads(dir, "live"));
    let execs: HashMap<i64, Row> = ends
        .superseded
        .iter()
        .map(|(_, by)| (*by, live.get_mut(by).and_then(Vec::pop).filter(|row| text(row, "syscall") == "execve").unwrap()))
        .collect();
    for (leader, by) in &ends.superseded {
        // The log has the exec as a call of the leader, whose end is in a note.
        let exit = live.get_mut(leader).unwrap().iter_mut().find(|row| text(row, "syscall") == "exit").unwrap();
        *exit = execs[by].clone();
        exit.insert("tid".into(), (*leader).into());
    }
    let (mut same, mut wrong) = (0, Vec::new());
    for (tid, calls) in &log {
        let mut seen = live.remove(tid).unwrap_or_default();
        // The child of strace does more before it is traced.
        if text(&calls[0], "syscall") == "execve" {
            seen.drain(..seen.iter().position(|row| text(row, "syscall") == "execve").unwrap());
        }
        let mut told: Vec<Option<&Row>> =
            calls.iter().filter(|row| !ends.killed.contains(&int(row, "line").unwrap())).map(Some).collect();
        for row in rejects.iter().filter(|row| text(row, "text").starts_with(&format!("{tid} "))) {
            told.insert(
                told.iter().take_while(|call| call.is_none_or(|call| int(call, "line") < int(row, "line"))).count(),
                None,
            );
        }
        // The end of a thread that made no call of it.
        if seen.len() == told.len() + 1 && text(seen.last().unwrap(), "syscall") == "exit" {
            seen.pop();
        }
        if seen.len() != told.len() {
            wrong.push(format!("thread {tid}: {} calls in the log, {} live", told.len(), seen.len()));
        }
        for (strace, live) in told.iter().zip(&seen) {
            let Some(strace) = strace else { continue };
            let at = int(strace, "line").unwrap();
            if strace["syscall"] != live["syscall"] {
                wrong.push(format!("line {at}: {} and {}", strace["syscall"], live["syscall"]));
                break;
            }
            let mut columns: BTreeSet<&str> = strace.keys().chain(live.keys()).map(String::as_str).collect();
            if nameless(strace, live) {
                columns = ["tid", "pid", "ret", "errno"].into();
            }
            columns.retain(|column| *column != "line" && value(strace, column) != value(live, column));
            columns.retain(|column| !untold(column, strace, live));
            let call = text(strace, "syscall");
            let tell = |column| format!("line {at}: {call} {column}: {} and {}", value(strace, column), value(live, column));
            wrong.extend(columns.iter().map(|column| tell(column)));
            same += usize::from(columns.is_empty());
        }
    }
    assert!(wrong.is_empty(), "{} differ, strace and live:\n{}", wrong.len(), wrong[..wrong.len().min(40)].join("\n"));
    same
}

fn able() -> bool {
    let strace = Command::new("strace").arg("-V").output().is_ok();
    if !strace {
        skip(Need::Strace, "there is none");
    }
    strace && allowed()
}

/// Programs of these sources below scripts/.
fn compiled(dir: &Path, name: &str) -> Option<String> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("scripts/syscall_{name}.c"));
    compile(dir, name, &source).map(|program| program.to_str().unwrap().to_owned())
}

#[test]
fn strace_and_ebpf_tell_the_same_of_every_kind_of_call() {
    if !able() {
        return;
    }
    let dir = scratch();
    let Some(matrix) = compiled(dir.path(), "matrix") else { return };
    watch(dir.path(), &[&matrix, dir.path().join("base").to_str().unwrap()]);
    assert!(compare(dir.path(), &[]) > 100);
}

#[test]
fn strace_and_ebpf_tell_the_same_of_calls_at_the_edges() {
    if !able() {
        return;
    }
    let dir = scratch();
    let Some(edges) = compiled(dir.path(), "edges") else { return };
    watch(dir.path(), &[&edges, dir.path().join("base").to_str().unwrap()]);
    // A structure that is smaller than the smallest: strace does not look into it, and the kernel neither.
    assert!(compare(dir.path(), &[("openat2", "address")]) > 600);
}

/// What a developer's machine does all day; a line for each program.
const PROGRAMS: [(&str, &str); 5] = [
    ("tar", "mkdir u; tar -cf t.tar tree; tar -xf t.tar -C u; rm -r u"),
    (
        "dd",
        "dd if=tree/a of=out bs=1000 count=7 seek=3 conv=notrunc,fsync status=none; cp -a tree copy; mv copy/a copy/e; ls -lR .; \
        mkfifo p; cat p & echo hi >p; wait",
    ),
    (
        "sqlite3",
        "for mode in delete wal; do sqlite3 $mode.db \"PRAGMA journal_mode=$mode; CREATE TABLE t(a); INSERT INTO t VALUES(1),(2); \
        UPDATE t SET a=a+1; SELECT sum(a) FROM t\"; done",
    ),
    (
        "git",
        "git init -q r; cp tree/a r; cd r; git add a; git -c user.name=a -c user.email=a@b commit -qm x; git status -s; cd ..",
    ),
    ("fio", "fio --name=j --filename=f --size=128k --rw=randrw --bs=4k --fsync=4 --ioengine=psync --thread --output=fio.out"),
];

#[test]
fn strace_and_ebpf_tell_the_same_of_real_programs() {
    if !able() {
        return;
    }
    let dir = scratch();
    let mut script = format!(
        "set -e; cd {}; exec >out.txt 2>&1; mkdir -p tree/b/c; seq 3000 >tree/a; ln -s ../a tree/b/l; ln tree/a tree/b/c/h\n",
        shell_text(dir.path())
    );
    for (program, line) in PROGRAMS {
        match Command::new("sh").args(["-c", &format!("command -v {program}")]).output().unwrap().status.success() {
            true => script += &format!("{line}\n"),
            false => skip(Need::Program(program), "it is not installed"),
        }
    }
    watch(dir.path(), &["sh", "-c", &script]);
    assert!(compare(dir.path(), &[]) > 500);
}
