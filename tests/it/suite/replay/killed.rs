//! Replays that are killed, in part or as a whole: seen, said, and what was done is kept.

use super::work::{Work, op, run};
use crate::tool;
use ioriot::replay::{self, Options, Order, Summary};
use ioriot::schema::{Dataset, Table, read};
use libc::{O_RDWR, SIGKILL, kill};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, SystemTime};

/// A replay of some lanes that runs for some seconds.
fn long(lanes: i64) -> Work {
    let mut work = Work::new();
    work.row_group = 16 * 1024;
    for lane in 0..lanes {
        work.need(&format!("/f{lane}"), "file", 1 << 20);
        work.op(op("open", 3).raw(format!("/f{lane}")).flags(O_RDWR).ofd(lane).lane(lane));
    }
    for _ in 0..60_000 / lanes {
        for lane in 0..lanes {
            work.op(op("pwrite64", 1 << 18).ofd(lane).count(1 << 18).set("offset", 0).lane(lane));
        }
    }
    work.write();
    work.init().unwrap();
    work
}

/// Processes of the replay in this workload's tree: the leader first.
fn processes(work: &Work) -> Vec<i32> {
    let marker = work.tree().display().to_string();
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").unwrap().flatten() {
        let line = fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        if line.contains("replay-child") && line.contains(&marker) {
            found.push(entry.file_name().to_str().unwrap().parse().unwrap());
        }
    }
    found.sort_by_key(|pid| (started(*pid), *pid));
    found
}

/// When a process started (proc_pid_stat(5)): its number alone may be one from the beginning again.
fn started(pid: i32) -> Option<u64> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    stat.rsplit(')').next()?.split_whitespace().nth(19)?.parse().ok()
}

/// Has a process a seccomp filter?
fn filtered(pid: i32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/status")).is_ok_and(|status| status.contains("Seccomp:\t2"))
}

/// When the file of each lane was last written.
fn written(work: &Work, lanes: usize) -> Vec<SystemTime> {
    (0..lanes).map(|lane| fs::metadata(work.tree().join(format!("f{lane}"))).unwrap().modified().unwrap()).collect()
}

/// Replays, and kills process number `victim` (0 is the leader) in the middle.
fn replay_and_kill(work: &Work, lanes: usize, options: Options, victim: usize) -> Summary {
    let (expected, before) = (options.processes + 1, written(work, lanes));
    std::thread::scope(|scope| {
        scope.spawn(move || {
            for _ in 0..6000 {
                std::thread::sleep(Duration::from_millis(10));
                let found = processes(work);
                // Each has closed its sandbox, and each lane has done its first ops.
                let at_work = || written(work, lanes).iter().zip(&before).all(|(now, before)| now != before);
                if found.len() == expected && found.iter().all(|pid| filtered(*pid)) && at_work() {
                    // SAFETY: a signal to a process of this test.
                    unsafe { kill(found[victim], SIGKILL) };
                    return;
                }
            }
            panic!("the replay was not seen");
        });
        run(&options).unwrap()
    })
}

fn results(work: &Work, run: &str) -> i64 {
    let run = Dataset::open(&work.place(run)).unwrap();
    read::builder(&run.table(Table::Results), &["op_id", "process"]).unwrap().rows() as i64
}

#[test]
fn a_process_that_is_killed_does_not_take_the_others_with_it() {
    let mut work = long(4);
    // Everybody would wait for ever for an op of the victim.
    work.in_a_row();
    fs::remove_dir_all(work.place("work")).unwrap();
    work.write();
    for order in [Order::Thread, Order::Resource, Order::Strict] {
        let out = work.place(order.name());
        let options = Options { processes: 2, order, out, dirty: true, ..work.options() };
        let summary = replay_and_kill(&work, 4, options, 2);
        assert!(!summary.complete, "{summary}");
        assert_eq!(summary.lost, ["process 1 of the replay was killed by signal 9"]);
        // The other one has done all its ops.
        let done = summary.same + summary.different;
        assert!((30_002..60_004).contains(&done), "{order:?}: {done}: {summary}");
        assert_eq!(results(&work, order.name()), done as i64);
        let manifest = Dataset::open(&work.place(order.name())).unwrap().manifest;
        assert_eq!(manifest["complete"], json!(false));
        let workers = manifest["workers"].as_array().unwrap();
        assert_eq!(workers.len(), 4);
        let ops: i64 = workers.iter().map(|worker| worker["ops"].as_i64().unwrap()).sum();
        assert_eq!(ops, done as i64);
    }
}

#[test]
fn a_killed_leader_ends_the_replay_and_its_results_are_kept() {
    let work = long(1);
    let summary = replay_and_kill(&work, 1, work.options(), 0);
    assert!(!summary.complete && summary.lost[0].contains("killed by signal 9"), "{summary}");
    assert!((1..60_001).contains(&summary.same), "{summary}");
    assert_eq!(results(&work, "run"), summary.same as i64);
    let again = run(&Options { out: work.place("run2"), ..work.options() }).unwrap_err().to_string();
    assert!(again.contains("is used"), "{again}");
    assert!(processes(&work).is_empty());
}

#[test]
fn a_killed_supervisor_leaves_what_can_be_recovered() {
    let mut work = Work::new();
    work.row_group = 16 * 1024;
    work.need("/f", "file", 1 << 20).op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0));
    for _ in 0..400_000 {
        work.op(op("pread64", 65536).ofd(0).count(65536).set("offset", 0));
    }
    let place = work.write();
    work.init().unwrap();
    let (place, out) = (place.display().to_string(), work.place("run"));
    let out_name = out.display().to_string();
    let root = work.place("root").display().to_string();
    let error = replay::recover(&out).unwrap_err().to_string();
    assert!(error.contains("no results"), "{error}");

    let mut child = tool::command(&["replay", &place, "--root", &root, "-o", &out_name]).spawn().unwrap();
    let aside = work.place(".run.unfinished");
    let whole = || {
        let names = fs::read_dir(&aside).into_iter().flatten().flatten().map(|entry| entry.file_name());
        let whole = |name: &str| name.starts_with("results") && name.ends_with(".parquet");
        names.filter(|name| whole(&name.to_string_lossy())).count()
    };
    while whole() < 2 {
        std::thread::sleep(Duration::from_millis(5));
        assert!(child.try_wait().unwrap().is_none(), "it was to run longer");
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!out.exists());
    // Another replay there does not delete them.
    let refused = run(&Options { dirty: true, ..work.options() }).unwrap_err().to_string();
    assert!(refused.contains("--recover"), "{refused}");

    let told: Value = serde_json::from_str(&tool::expect(0, &["replay", "--recover", &out_name, "--format", "json"])).unwrap();
    let rows = told["results"].as_i64().unwrap();
    assert!((2 * 128 * 1024..400_001).contains(&rows), "{rows}");
    assert_eq!(results(&work, "run"), rows);
    let run = Dataset::open(&out).unwrap();
    assert_eq!((&run.manifest["complete"], &run.manifest["recovered"]), (&json!(false), &json!(true)));
    assert_eq!(run.manifest["options"]["order"], json!("resource"));
    let mut files: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["manifest.json", "results.parquet"]);
    // The first ops are all there, in order.
    let first = read::batches(&run.table(Table::Results), &["op_id"]).unwrap().next().unwrap().unwrap();
    let ids = read::ints(&first, "op_id").unwrap().values().to_vec();
    assert!(ids.iter().zip(0..).all(|(id, at)| *id == at));
    assert!(processes(&work).is_empty());
}
