//! Predictions: one workload on several targets, several times; and what is said of their time.

use super::work::{Work, op};
use crate::tool::{command, expect, ioriot};
use libc::{O_CREAT, O_RDWR, SIGINT, kill};
use serde_json::{Value, json};
use std::fs;
#[cfg(feature = "sql")]
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::Stdio;
use std::time::Duration;

/// A program that makes a file and writes back what it wrote: in a tree that was not reset its first call would fail. Calls come
/// each 10 ms and take 9 ms.
fn writer(calls: i64) -> Work {
    let mut work = Work::new();
    let timed = |row: super::work::Row, at: i64| row.set("ts", 10_000_000 * at).set("dur", 9_000_000);
    work.need("/d", "dir", 0);
    work.op(timed(op("open", 3).raw("/d/f").flags(O_RDWR | O_CREAT | libc::O_EXCL).set("mode", 0o600).ofd(0), 0));
    for at in 1..calls {
        work.op(timed(op("pwrite64", 1 << 16).ofd(0).count(1 << 16).set("offset", at << 16), at));
    }
    work.op(timed(op("fsync", 0).ofd(0), calls));
    let span = 10_000_000 * calls + 9_000_000;
    work.manifest.insert("times".into(), json!({ "span": span, "in_calls": 9_000_000 * (calls + 1), "in_lanes": span }));
    work.write();
    work
}

fn at(work: &Work, name: &str) -> String {
    work.place(name).display().to_string()
}

#[cfg(feature = "sql")]
fn targets(work: &Work, names: &[&str]) -> Vec<String> {
    let make = |name: &&str| {
        fs::create_dir_all(work.place(name)).unwrap();
        ["--target".into(), at(work, name)]
    };
    names.iter().flat_map(make).collect()
}

#[cfg(feature = "sql")]
fn predict(code: i32, work: &Work, more: &[&str]) -> String {
    let (workload, out) = (at(work, "work"), at(work, "out"));
    let targets = targets(work, &["one", "two"]);
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    expect(code, &[&["predict", &workload, "-o", &out], &targets[..], more].concat())
}

fn names(dir: std::path::PathBuf) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[cfg(feature = "sql")]
#[test]
fn every_target_is_replayed_in_each_round_and_only_runs_are_left() {
    let work = writer(5);
    let said: Value = serde_json::from_str(&predict(0, &work, &["--repeat", "3", "--format", "json"])).unwrap();
    assert_eq!((&said["ops"], &said["repeat"], &said["warm_up"]), (&json!(6), &json!(3), &json!(1)), "{said}");
    assert_eq!((&said["captured"], &said["confidence"]), (&json!(59_000_000), &json!(0.75)));
    assert_eq!(names(work.place("out")), ["one-1", "one-2", "one-3", "two-1", "two-2", "two-3"]);
    assert_eq!((names(work.place("one")), names(work.place("two"))), (vec![], vec![]), "trees are deleted");
    for (at, label) in ["one", "two"].iter().enumerate() {
        let cell = &said["cells"][at];
        assert_eq!(
            (&cell["label"], &cell["match_percent"], &cell["flaws"]),
            (&json!(label), &json!(100.0), &json!([])),
            "{cell}"
        );
        assert_eq!((cell["runs"].as_array().unwrap().len(), &cell["source"]), (3, &Value::Null));
        let mut walls: Vec<i64> = (1..=3)
            .map(|run| {
                let manifest = fs::read(work.place(&format!("out/{label}-{run}/manifest.json"))).unwrap();
                let manifest: Value = serde_json::from_slice(&manifest).unwrap();
                assert_eq!(manifest["summary"]["different"], 0, "the tree was reset");
                manifest["summary"]["wall"].as_i64().unwrap()
            })
            .collect();
        walls.sort_unstable();
        assert_eq!(cell["time"], json!({ "median": walls[1], "low": walls[0], "high": walls[2] }));
        let ratio = cell["ratio"].as_f64().unwrap();
        assert!((ratio - walls[1] as f64 / 59e6).abs() < 1e-9, "{cell}");
        let write = cell["calls"].as_array().unwrap().iter().find(|call| call["syscall"] == "pwrite64").unwrap();
        assert_eq!((&write["calls"], &write["captured"]["p50"]), (&json!(4), &json!(9_000_000)));
    }
    // Its place is taken.
    let again = ioriot(&["predict", &at(&work, "work"), "--target", &at(&work, "one"), "-o", &at(&work, "out")]);
    let error = String::from_utf8_lossy(&again.stderr).into_owned();
    assert!(again.status.code() == Some(2) && error.contains("out is not empty"), "{error}");
    expect(0, &["clean", &at(&work, "out"), "--runs", "--yes"]);
    assert_eq!(names(work.place("out")), [""; 0], "clean knows the runs");
}

#[cfg(feature = "sql")]
#[test]
fn a_prediction_reads_well() {
    let work = writer(5);
    let said = predict(0, &work, &["--repeat", "2", "--no-warm-up", "--keep-trees"]);
    for part in [
        "Replayed 2 times on each of 2 targets:\n6 captured calls each, order resource, pace asap:\nthe capture does not tell what threads waited for.\n",
        "\ncaptured    59.0 ms\n",
        "time is the median; from and to hold that of any number of runs with 50.0 %\n",
        "\nTime on one, two: believable.\n",
        "  p90\n",
        " /captured ",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let path = |line: &&str| !line.starts_with("Runs are in ");
    assert!(said.lines().filter(path).all(|line| line.chars().count() <= 80), "{said}");
    assert_eq!((names(work.place("one")), names(work.place("two"))), (vec!["work.root".into()], vec!["work.root".into()]));
    let plan = ioriot(&["predict", &at(&work, "work"), "--target", &at(&work, "one"), "-o", &at(&work, "o2"), "--dry-run"]);
    let error = String::from_utf8_lossy(&plan.stderr).into_owned();
    assert!(plan.status.code() == Some(2) && error.contains("--force"), "an old tree is in the way: {error}");
    let plan =
        expect(0, &["predict", &at(&work, "work"), "--target", &at(&work, "one"), "-o", &at(&work, "o2"), "-n", "--force"]);
    assert!(plan.contains("would replay 5 times in") && plan.contains("o2/one-1 and so on"), "{plan}");
    assert!(!work.place("o2").exists());
}

#[cfg(feature = "sql")]
#[test]
fn only_what_is_mapped_lies_on_the_targets() {
    let work = writer(5);
    let args = ["--repeat", "1", "--no-warm-up", "--keep-trees", "--map", "/d", "--format", "json"];
    let said: Value = serde_json::from_str(&predict(0, &work, &args)).unwrap();
    assert_eq!((names(work.place("one")), names(work.place("two"))), (vec!["one.root.d".into()], vec!["two.root.d".into()]));
    assert_eq!(names(work.place("out")), ["one-1", "one.root", "two-1", "two.root"]);
    assert_eq!(fs::metadata(work.place("one/one.root.d/tree/f")).unwrap().len(), 5 << 16);
    assert_eq!(said["cells"][1]["match_percent"], json!(100.0), "{said}");
    for bad in [&["--map", "d"][..], &["--map", "/d=/x"], &["--map", "/d/../e"], &["--where", "true"], &["--speed", "1,1"]] {
        let [workload, out, target] = ["work", "o2", "one"].map(|name| at(&work, name));
        let args = [&["predict", &workload, "-o", &out, "--target", &target], bad].concat();
        let output = ioriot(&args);
        assert_eq!((output.status.code(), work.place("o2").exists()), (Some(2), false), "{args:?}");
    }
}

#[cfg(feature = "sql")]
#[test]
fn the_captured_time_comes_out_or_it_is_said_why_not() {
    let work = writer(20);
    // By its captured times it takes as long as it took; as fast as it can, it does not.
    let args = ["--repeat", "3", "--self", "--format", "json"];
    let said: Value = serde_json::from_str(&predict(0, &work, &[&args[..], &["--pace", "realtime"]].concat())).unwrap();
    let cell = &said["cells"][0];
    assert_eq!((&cell["source"]["within"], &cell["caveats"]), (&json!(true), &json!(["open_loop"])), "{cell}");
    fs::remove_dir_all(work.place("out")).unwrap();
    let said = predict(1, &work, &["--repeat", "3", "--self"]);
    assert!(said.contains("The captured time does not come out on one: -9"), "{said}");
}

/// No tree can be made in a file system without room: what was made before goes, and the place is free for the next one.
#[cfg(feature = "sql")]
#[test]
fn a_prediction_that_comes_to_no_run_leaves_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    expect(0, &["ingest", &crate::tool::data("matrix.strace"), "-o", &at("cap")]);
    let predict = |target: &str| ioriot(&["predict", &at("cap"), "-o", &at("out"), "--target", target, "--repeat", "1"]);
    for _ in 0..2 {
        let output = predict("/proc");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("/proc"), "{said}");
        assert_eq!(names(dir.path().into()), ["cap"]);
    }
    fs::create_dir(dir.path().join("one")).unwrap();
    assert_eq!(predict(&at("one")).status.code(), Some(0));
    assert_eq!(names(dir.path().join("out")), ["one-1", "workload"]);
    let said = String::from_utf8_lossy(&predict(&at("one")).stderr).into_owned();
    assert!(said.contains("`ioriot clean "), "{said}");
}

/// What a killed prediction left: the workload, with or without an unfinished run beside it.
#[cfg(feature = "sql")]
#[test]
fn a_killed_prediction_is_in_nobodys_way() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).display().to_string();
    expect(0, &["ingest", &crate::tool::data("matrix.strace"), "-o", &at("cap")]);
    fs::create_dir(dir.path().join("one")).unwrap();
    let args = ["predict", &at("cap"), "-o", &at("out"), "--target", &at("one"), "--repeat", "1", "--force"];
    let killed = |when: &dyn Fn() -> bool| {
        let mut child = command(&args).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        while !when() {
            assert!(child.try_wait().unwrap().is_none(), "it was to run longer");
            std::thread::sleep(Duration::from_millis(1));
        }
        child.kill().unwrap();
        child.wait().unwrap();
    };
    let out = dir.path().join("out");
    killed(&|| out.join("workload/manifest.json").exists());
    assert!(out.join("workload").exists());
    // Another one takes the place, and `clean` would.
    killed(&|| dir.path().join("one/cap.root").exists());
    expect(0, &["clean", &at("out"), "--yes"]);
    assert!(!out.exists());
    killed(&|| out.join("workload/manifest.json").exists());
    expect(0, &args);
    assert_eq!(names(out.clone()), ["one-1", "workload"]);
    // A workload that nobody began a prediction with stays.
    fs::remove_dir_all(out.join("one-1")).unwrap();
    assert_eq!(ioriot(&args).status.code(), Some(2));
    expect(0, &["clean", &at("out"), "--yes"]);
    assert_eq!(names(out), ["workload"]);
}

#[cfg(feature = "sql")]
#[test]
fn a_target_that_another_prediction_works_in_is_left_alone() {
    let work = writer(5);
    let (workload, out, target) = (at(&work, "work"), at(&work, "out"), at(&work, "one"));
    fs::create_dir(&target).unwrap();
    let held = fs::File::open(&target).unwrap();
    // SAFETY: a descriptor of ours.
    assert_eq!(unsafe { libc::flock(held.as_raw_fd(), libc::LOCK_EX | libc::LOCK_NB) }, 0);
    let args = ["predict", &workload, "-o", &out, "--target", &target, "--repeat", "1", "--force"];
    let refused = ioriot(&args);
    let said = String::from_utf8_lossy(&refused.stderr);
    let (free, who) = (format!("{target} is not free"), format!("process {}", std::process::id()));
    assert!(refused.status.code() == Some(2) && said.contains(&free) && said.contains(&who), "{said}");
    assert_eq!((names(target.clone().into()), work.place("out").exists()), (vec![], false));
    drop(held);
    expect(0, &args);
}

/// Who commits for others makes other calls on another device: the times of two bounds are said, too.
#[cfg(feature = "sql")]
#[test]
fn a_program_that_adapts_has_a_bracket() {
    let mut work = writer(5);
    fs::remove_dir_all(work.place("work")).unwrap();
    work.manifest.insert("shared_syncs".into(), json!(1));
    work.write();
    let args = ["--repeat", "1", "--no-warm-up"];
    let said: Value = serde_json::from_str(&predict(0, &work, &[&args[..], &["--format", "json"]].concat())).unwrap();
    let cells: Vec<_> = said["cells"].as_array().unwrap().iter().map(|cell| cell["label"].as_str().unwrap()).collect();
    assert_eq!(cells, ["one", "two", "one-free", "one-strict", "two-free", "two-strict"]);
    let times = ["2", "3"].map(|at| said.pointer(&format!("/cells/{at}/time/median")).and_then(Value::as_i64).unwrap());
    let bracket = &said["brackets"][0];
    let (low, high) = (times[0].min(times[1]), times[0].max(times[1]));
    assert_eq!((&bracket["label"], &bracket["low"], &bracket["high"]), (&json!("one"), &json!(low), &json!(high)), "{said}");
    let manifest = fs::read(work.place("out/one-strict-1/manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&manifest).unwrap();
    assert_eq!((&manifest["options"]["order"], &manifest["options"]["pace"]), (&json!("strict"), &json!("asap")));
    fs::remove_dir_all(work.place("out")).unwrap();
    let said = predict(0, &work, &args);
    for part in
        ["Replayed 1 time on each of 2 targets:\n", "\nBracket on one: ", "%), the times of free and strict.\n", "  adapts "]
    {
        assert!(said.contains(part), "{part}: {said}");
    }
}

/// Of who is known to do so syncs are regrouped, and the other bound is the time with all captured ones.
#[cfg(feature = "sql")]
#[test]
fn syncs_for_several_threads_are_regrouped() {
    let mut work = writer(5);
    fs::remove_dir_all(work.place("work")).unwrap();
    work.manifest.insert("shared_syncs".into(), json!(1));
    work.manifest.insert("grouped".into(), json!([6]));
    work.write();
    let args = ["--repeat", "1", "--no-warm-up"];
    let said = predict(0, &work, &args);
    assert!(said.contains("%), the times of regrouped and captured syncs.\n"), "{said}");
    assert_eq!(names(work.place("out")), ["one-1", "one-captured-1", "two-1", "two-captured-1"]);
    let syncs = |run: &str| {
        let manifest = fs::read(work.place("out").join(run).join("manifest.json")).unwrap();
        let manifest: Value = serde_json::from_slice(&manifest).unwrap();
        manifest["options"]["syncs"].as_str().unwrap().to_owned()
    };
    assert_eq!(["one-1", "one-captured-1"].map(syncs), ["regroup", "captured"]);
    // One of two is left out where both threads have written before the first sync.
    let mut both = super::regroup::commits(&[(1, 'w'), (2, 'w'), (1, 's'), (2, 's')]);
    both.edge(3, 2).edge(4, 3);
    both.write();
    let found: Value = serde_json::from_str(&predict(0, &both, &[&args[..], &["--format", "json"]].concat())).unwrap();
    let left =
        |label: &str| found["cells"].as_array().unwrap().iter().find(|cell| cell["label"] == label).unwrap()["left_out"].clone();
    assert_eq!((left("one"), left("one-captured")), (json!({ "syncs": 1, "of": 2 }), Value::Null), "{found}");
    fs::remove_dir_all(both.place("out")).unwrap();
    assert!(predict(0, &both, &args).contains("one: 1 of 2 syncs were left out, as others had done their work\n"));
    // Who asks for the captured ones has the usual bounds.
    fs::remove_dir_all(work.place("out")).unwrap();
    let said = predict(0, &work, &[&args[..], &["--syncs", "captured"]].concat());
    assert!(said.contains("%), the times of free and strict.\n"), "{said}");
}

#[cfg(feature = "sql")]
#[test]
fn speeds_are_cells_of_their_own() {
    let work = writer(20);
    let args = ["--repeat", "1", "--no-warm-up", "--pace", "realtime", "--speed", "1,4"];
    let said: Value = serde_json::from_str(&predict(0, &work, &[&args[..], &["--format", "json"]].concat())).unwrap();
    let cells: Vec<_> = said["cells"].as_array().unwrap().iter().map(|cell| cell["label"].as_str().unwrap()).collect();
    assert_eq!(cells, ["one-x1", "one-x4", "two-x1", "two-x4"]);
    assert_eq!((&said["cells"][0]["planned"], &said["cells"][1]["planned"]), (&json!(209_000_000), &json!(52_250_000)));
    assert_eq!(said["cells"][1]["caveats"], json!(["speed", "open_loop"]));
    assert_eq!(names(work.place("out")), ["one-x1-1", "one-x4-1", "two-x1-1", "two-x4-1"]);
    fs::remove_dir_all(work.place("out")).unwrap();
    let said = predict(0, &work, &args);
    // Which of the two depends on how busy the machine is.
    let found = ["one-x4 keeps its pace: no speed up to 4 was too much.\n", "one-x4 is too much: it took "];
    assert!(found.iter().any(|found| said.contains(found)) && said.contains(" /planned "), "{said}");
}

#[test]
fn a_replay_repeats_itself_in_a_tree_that_is_reset() {
    let work = writer(5);
    work.init().unwrap();
    let [workload, root, run] = ["work", "root", "run"].map(|name| at(&work, name));
    let args = ["replay", &workload, "--root", &root, "-o", &run, "--repeat", "3"];
    let said: Value = serde_json::from_str(&expect(0, &[&args[..], &["--format", "json"]].concat())).unwrap();
    assert_eq!((&said["cells"][0]["match_percent"], &said["warm_up"]), (&json!(100.0), &json!(0)), "{said}");
    for run in 1..=3 {
        assert!(work.place(&format!("run-{run}/manifest.json")).exists());
    }
    assert!(!work.place("run").exists());
    // All places are looked at before anything is done.
    fs::remove_dir_all(work.place("run-1")).unwrap();
    let taken = ioriot(&args);
    let error = String::from_utf8_lossy(&taken.stderr).into_owned();
    assert!(taken.status.code() == Some(2) && error.contains("run-2 exists already"), "{error}");
    assert!(!work.place("run-1").exists());
}

/// A signal in the second run: the first stays, nothing of the second does, and no third begins.
#[test]
fn a_signal_ends_the_rounds_and_leaves_whole_runs_only() {
    let work = writer(100);
    work.init().unwrap();
    let [workload, root, run] = ["work", "root", "run"].map(|name| at(&work, name));
    let args = ["replay", &workload, "--root", &root, "-o", &run, "--repeat", "3", "--pace", "realtime", "--format", "json"];
    let child = command(&args).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let grows = || work.place("run-1").exists() && fs::metadata(work.tree().join("d/f")).is_ok_and(|meta| meta.len() > 20 << 16);
    let begun = || {
        work.place(".run-2.unfinished").exists() && fs::metadata(work.tree().join("d/f")).is_ok_and(|meta| meta.len() < 80 << 16)
    };
    while !(grows() && begun()) {
        std::thread::sleep(Duration::from_millis(5));
    }
    // SAFETY: a signal to a process group that this test has made.
    unsafe { kill(-(child.id() as i32), SIGINT) };
    let output = child.wait_with_output().unwrap();
    let said: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((output.status.code(), &said["signal"]), (Some(128 + SIGINT), &json!("SIGINT")), "{said}");
    assert_eq!(said["cells"][0]["runs"].as_array().unwrap().len(), 1);
    assert_eq!(names(work.dir.path().into()), ["root", "run-1", "work"]);
}

#[test]
fn a_run_says_whether_its_time_can_be_believed() {
    let mut work = writer(5);
    work.init().unwrap();
    let [workload, root, run] = ["work", "root", "run"].map(|name| at(&work, name));
    let text = expect(0, &["replay", &workload, "--root", &root, "-o", &run]);
    assert!(text.contains("\nTime: believable.\n"), "{text}");
    let manifest: Value = serde_json::from_slice(&fs::read(work.place("run/manifest.json")).unwrap()).unwrap();
    let time = &manifest["summary"]["time"];
    assert_eq!(
        (&time["caveats"], &time["captured"]["span"], &time["lanes"]),
        (&json!([]), &json!(59_000_000), &json!(1)),
        "{time}"
    );
    assert!(time["in_flight"].as_f64().unwrap() <= 1.0, "{time}");

    // A capture that knows less, and says worse: the exit code is the same.
    fs::remove_dir_all(work.place("work")).unwrap();
    fs::remove_dir_all(work.place("run")).unwrap();
    work.manifest.insert("times".into(), json!({ "span": 1000, "in_calls": 8000, "in_lanes": 16_000 }));
    work.manifest.insert("critical_path".into(), json!({ "ops": 1, "ns": 2000, "parallelism": 1.0 }));
    work.manifest.insert("drops".into(), json!({ "requests": 3 }));
    work.manifest.insert("file_events".into(), json!(100));
    work.manifest.insert("shared_syncs".into(), json!(2));
    let row = |route: &str, bytes: u64| {
        json!({ "route": route, "replayed": false, "reason": null, "calls": 1, "unknown": 0, "files": 1, "bytes": bytes, "read": 0,
            "written": 0 })
    };
    work.manifest.insert("bytes".into(), json!([row("mapped_write", 4096), row("mapped", 1 << 20)]));
    work.write();
    let text = expect(0, &["replay", &workload, "--root", &root, "-o", &run, "--dirty", "--min-match", "0"]);
    for line in [
        "Time: not to be believed as the program's on this device:",
        "  coverage       more than 1 % of the calls on files were not replayed (6.000 % were)",
        "  requests       requests to io_uring or libaio are missing in the capture (3 of them)",
        "  idle           threads spent more than 10 % of their time between calls, and pace asap leaves that out (50 % of their time)",
        "  mapped         files were mapped for writing, or data of more than a tenth of the bytes that calls moved, or more than 64 MiB in all, and the capture does not tell of page faults; or faults on more than 64 MiB were not replayed (4.00 KiB for writing, 1.00 MiB for reading; of data 0 B)",
        "  critical_path  calls that wait for each other in the replay took longer than the whole capture: the program did not wait so",
        "  adapts         several threads write the same file back, or one writes back what it hears from others, now more and now less: if it is for several at once, they would make other calls on another device (2 such files)",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}\n{text}");
    }
    assert!(text.contains("\n  concurrency ") && text.contains(", captured 8.00)\n"), "{text}");
}

#[test]
fn hostile_times_of_a_workload_are_no_more_than_wrong() {
    let mut work = writer(2);
    work.init().unwrap();
    let [workload, root, run] = ["work", "root", "run"].map(|name| at(&work, name));
    for times in [
        json!({ "span": 0, "in_calls": 0, "in_lanes": 0 }),
        json!({ "span": u64::MAX, "in_calls": u64::MAX, "in_lanes": 1 }),
        json!({ "span": -1, "in_calls": [], "in_lanes": "many" }),
        json!(7),
    ] {
        fs::remove_dir_all(work.place("work")).unwrap();
        work.manifest.insert("times".into(), times.clone());
        work.manifest.insert("drops".into(), json!({ "requests": u64::MAX }));
        work.manifest.insert("losses".into(), json!({ "requests": u64::MAX }));
        let rows =
            json!([{ "route": "mapped", "bytes": u64::MAX }, { "route": "mapped", "bytes": u64::MAX }, 7, { "route": [] }]);
        work.manifest.insert("bytes".into(), rows);
        work.write();
        let text = expect(0, &["replay", &workload, "--root", &root, "-o", &run, "--repeat", "2"]);
        assert!(!text.contains("NaN") && text.contains("requests"), "{times}: {text}");
        for number in [1, 2] {
            fs::remove_dir_all(work.place(&format!("run-{number}"))).unwrap();
        }
    }
}
