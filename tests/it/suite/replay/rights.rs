//! What the processes of a running replay are allowed, thread by thread, as the kernel says it (proc_pid_status(5)).

use super::work::{Work, op, run};
use crate::skip::{Need, skip};
use crate::tool;
use ioriot::replay::{Conditions, Named, Options};
use libc::*;
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// CHOWN, DAC_OVERRIDE, FOWNER and FSETID: what docs/SECURITY.md lists.
const LISTED: u64 = 1 << 0 | 1 << 1 | 1 << 3 | 1 << 4;

/// A replay that runs for a while on several threads.
fn long() -> Work {
    let mut work = Work::new();
    work.need("/f", "file", 1 << 20).need("/g", "file", 1 << 20);
    for lane in 0..3 {
        work.op(op("open", 3).raw("/f").flags(O_RDWR).ofd(lane).lane(lane));
    }
    for at in 0..20_000 {
        let lane = at % 3;
        work.op(op("pwrite64", 4096).ofd(lane).count(4096).set("offset", 0).lane(lane));
        work.op(op("fdatasync", 0).ofd(lane).lane(lane));
    }
    work.row_group = 16 * 1024;
    work.write();
    work.init().unwrap();
    work
}

/// Processes of the replay in this tree.
fn processes(tree: &str) -> Vec<PathBuf> {
    let of_replay = |dir: &PathBuf| {
        let line = fs::read(dir.join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("replay-child") && line.contains(tree)
    };
    fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path()).filter(of_replay).collect()
}

type Status = HashMap<String, String>;

/// What the kernel says of every thread of a process.
fn threads(process: &Path) -> Vec<Status> {
    let tasks = fs::read_dir(process.join("task")).into_iter().flatten().flatten();
    let status = |task: fs::DirEntry| {
        let text = fs::read_to_string(task.path().join("status")).ok()?;
        let fields = text.lines().filter_map(|line| line.split_once(':'));
        Some(fields.map(|(key, value)| (key.to_owned(), value.trim().to_owned())).collect())
    };
    tasks.filter_map(status).collect()
}

/// The threads of the replay once its filter stands, and the namespaces it is in.
fn caught(options: &Options, tree: &Path) -> (Vec<Status>, HashMap<&'static str, PathBuf>) {
    let tree = tree.display().to_string();
    std::thread::scope(|scope| {
        let replay = scope.spawn(|| run(options));
        let until = Instant::now() + Duration::from_secs(60);
        let mut seen = None;
        while seen.is_none() && Instant::now() < until && !replay.is_finished() {
            std::thread::sleep(Duration::from_millis(2));
            let processes = processes(&tree);
            let all: Vec<Status> = processes.iter().flat_map(|process| threads(process)).collect();
            // The leader, two processes with a loader each, three workers; and the filter of all.
            if all.len() > 7 && all.iter().all(|status| status.get("Seccomp").is_some_and(|mode| mode == "2")) {
                let name = |name| fs::read_link(processes[0].join(name)).unwrap_or_default();
                seen = Some((all, HashMap::from([("mnt", name("ns/mnt")), ("root", name("root")), ("cwd", name("cwd"))])));
            }
        }
        for process in processes(&tree) {
            let pid: i32 = process.file_name().unwrap().to_str().unwrap().parse().unwrap();
            // SAFETY: a signal to a process of this test.
            unsafe { kill(pid, SIGKILL) };
        }
        let ended = replay.join().unwrap();
        seen.unwrap_or_else(|| panic!("no replay was seen: {ended:?}"))
    })
}

#[test]
fn no_thread_has_a_right_that_is_not_listed() {
    let work = long();
    let (threads, names) = caught(&Options { processes: 2, ..work.options() }, &work.tree());
    let number = |status: &Status, key: &str| u64::from_str_radix(&status[key], 16).unwrap();
    for status in &threads {
        let name = &status["Name"];
        for key in ["CapEff", "CapPrm"] {
            assert_eq!(number(status, key) & !LISTED, 0, "{name}: {key} {}", status[key]);
        }
        assert_eq!(number(status, "CapBnd") & !LISTED, 0, "{name}: CapBnd {}", status["CapBnd"]);
        assert_eq!((number(status, "CapInh"), number(status, "CapAmb")), (0, 0), "{name}");
        assert_eq!((&*status["NoNewPrivs"], &*status["Seccomp"]), ("1", "2"), "{name}");
    }
    if tool::root() {
        assert_eq!(number(&threads[0], "CapEff"), LISTED);
    }
    assert_ne!(names["mnt"], fs::read_link("/proc/self/ns/mnt").unwrap());
}

#[test]
fn another_user_has_no_right_at_all() {
    if !tool::root() {
        return skip(Need::Root, "another user");
    }
    let work = long();
    for name in ["f", "g"] {
        std::os::unix::fs::chown(work.tree().join(name), Some(65534), Some(65534)).unwrap();
    }
    let user = Some(Named::find("65534:65533").unwrap());
    let conditions = Conditions { user, ..Conditions::default() };
    let (threads, _) = caught(&Options { conditions, processes: 2, ..work.options() }, &work.tree());
    for status in &threads {
        for key in ["CapEff", "CapPrm", "CapBnd", "CapInh", "CapAmb"] {
            assert_eq!(status[key], "0000000000000000", "{key}");
        }
        let ids = |key: &str| status[key].split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(ids("Uid"), ["65534"; 4]);
        assert_eq!(ids("Gid"), ["65533"; 4]);
        assert!(ids("Groups").is_empty(), "{:?}", ids("Groups"));
    }
}

#[test]
fn the_supervisor_takes_the_replay_with_it() {
    // Also as another user, for whom the kernel forgets the wish to die with the parent.
    let work = long();
    let mut arguments = vec!["replay".to_owned()];
    for (option, value) in [("", work.place("work")), ("--root", work.place("root")), ("-o", work.place("run"))] {
        arguments.extend([option.to_owned(), value.display().to_string()].into_iter().filter(|word| !word.is_empty()));
    }
    if tool::root() {
        arguments.extend(["--user".into(), "65534:65534".into()]);
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let mut supervisor = tool::command(&arguments).spawn().unwrap();
    let tree = work.tree().display().to_string();
    let wait = |wanted: &dyn Fn(usize) -> bool| {
        (0..30_000).any(|_| {
            std::thread::sleep(Duration::from_millis(2));
            wanted(processes(&tree).iter().map(|process| threads(process).len()).sum())
        })
    };
    assert!(wait(&|threads| threads > 3), "no replay was seen");
    supervisor.kill().unwrap();
    supervisor.wait().unwrap();
    assert!(wait(&|threads| threads == 0), "the replay goes on alone");
}
