//! What makes a replay not good enough, whatever share of the outcomes is the same.

use super::work::{Work, op};
use crate::skip::{Need, skip};
use crate::tool::{expect, root};
use libc::{O_RDWR, SIGHUP, SIGINT, SIGTERM, kill};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

/// What `ioriot replay` says of a workload, however little of it has to be the same.
fn replay(code: i32, work: &Work, root: &Path, more: &[&str]) -> Value {
    let [work_dir, run] = ["work", "run"].map(|name| work.place(name).display().to_string());
    let root = root.display().to_string();
    let args = ["replay", &work_dir, "--root", &root, "-o", &run, "--min-match", "0", "--format", "json"];
    serde_json::from_str(&expect(code, &[&args, more].concat())).unwrap()
}

/// Writes of 64 KiB each, one behind the other, one each 10 ms.
fn writes(count: i64) -> Work {
    let mut work = Work::new();
    work.need("/f", "file", 0).op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0).set("ts", 0).set("dur", 1000));
    for at in 0..count {
        let write = op("pwrite64", 1 << 16).ofd(0).count(1 << 16).set("offset", at << 16);
        work.op(write.set("ts", 10_000_000 * at).set("dur", 1000));
    }
    work.write();
    work
}

#[test]
fn a_full_disk_is_not_good_enough_at_any_match() {
    if !root() {
        return skip(Need::Root, "mounts a small file system");
    }
    let work = writes(100);
    let disk = work.place("disk");
    fs::create_dir(&disk).unwrap();
    let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", "size=4m", "tmpfs"]).arg(&disk).status();
    if !mounted.is_ok_and(|status| status.success()) {
        return skip(Need::Root, "a small file system cannot be mounted");
    }
    let (root, work_dir) = (disk.join("root"), work.place("work"));
    expect(0, &["init", work_dir.to_str().unwrap(), "--root", root.to_str().unwrap()]);
    let said = replay(1, &work, &root, &[]);
    assert!(Command::new("umount").arg(&disk).status().unwrap().success());
    let full = said["hindrances"]["ENOSPC"].as_u64().unwrap();
    assert!((30..100).contains(&full), "{said}");
    // The last one that fitted may have fitted in part.
    let short = said["hindrances"]["short"].as_u64().unwrap_or(0);
    assert!(short <= 1 && said["different"] == full + short, "{said}");
    assert_eq!(said["flaws"], json!(["hindered"]));
    let manifest: Value = serde_json::from_slice(&fs::read(work.place("run/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["summary"]["hindrances"], said["hindrances"]);
}

#[test]
fn a_write_that_is_cut_short_is_not_good_enough_at_any_match() {
    let mut work = Work::new();
    work.need("/f", "file", 0).op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0));
    work.op(op("pwrite64", 1 << 16).ofd(0).count(1 << 16).set("offset", (1 << 30) - 4096));
    work.write();
    work.init().unwrap();
    let said = replay(1, &work, &work.place("root"), &["--rlimit", "fsize=1073741824"]);
    assert_eq!((&said["flaws"], &said["hindrances"]), (&json!(["hindered"]), &json!({ "short": 1 })));
}

#[test]
fn a_full_disk_that_was_captured_is_no_fault_of_this_one() {
    let mut work = Work::new();
    work.need("/f", "file", 0).op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0));
    work.op(op("pwrite64", -i64::from(libc::ENOSPC)).ofd(0).count(1 << 16).set("offset", 0));
    let summary = work.run(None);
    assert!(summary.ok() && summary.hindrances.is_empty() && summary.uncompared == 1, "{summary}");
}

#[test]
fn what_the_capture_lost_is_missing_in_the_replay() {
    let mut work = writes(2);
    fs::remove_dir_all(work.place("work")).unwrap();
    work.manifest.insert("losses".into(), json!({ "ring_full": 7, "unreadable": 2 }));
    work.manifest.insert("lost_events".into(), json!(7));
    work.write();
    work.init().unwrap();
    let said = replay(1, &work, &work.place("root"), &[]);
    assert_eq!((&said["flaws"], &said["lost_events"]), (&json!(["lost_events"]), &json!(7)));
    assert_eq!((&said["losses"]["ring_full"], &said["different"]), (&json!(7), &json!(0)));
}

/// Starts a replay that takes 20 s, sends a signal after the first half second, to all its processes as a terminal does.
fn ended_by(signal: i32) -> (Work, Option<i32>, String) {
    let work = writes(2000);
    work.init().unwrap();
    let [work_dir, root, run] = ["work", "root", "run"].map(|name| work.place(name).display().to_string());
    let args = ["replay", &work_dir, "--root", &root, "-o", &run, "--pace", "realtime"];
    let child = crate::tool::command(&args).process_group(0).stdout(Stdio::piped()).spawn().unwrap();
    let grows = || fs::metadata(work.tree().join("f")).is_ok_and(|meta| meta.len() > 20 << 16);
    while !grows() {
        std::thread::sleep(Duration::from_millis(10));
    }
    // SAFETY: a signal to a process group that this test has made.
    unsafe { kill(-(child.id() as i32), signal) };
    let output = child.wait_with_output().unwrap();
    (work, output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn a_signal_ends_a_replay_with_a_run_that_says_so() {
    for (signal, name) in [(SIGINT, "SIGINT"), (SIGTERM, "SIGTERM"), (SIGHUP, "SIGHUP")] {
        let (work, code, said) = ended_by(signal);
        assert_eq!(code, Some(128 + signal), "{said}");
        assert!(said.contains(&format!("Not complete: {name} ended the replay.")) && said.contains("pwrite64"), "{said}");
        let manifest: Value = serde_json::from_slice(&fs::read(work.place("run/manifest.json")).unwrap()).unwrap();
        assert_eq!((&manifest["complete"], &manifest["signal"]), (&json!(false), &json!(name)));
        assert_eq!(manifest["summary"]["flaws"], json!(["incomplete"]));
        let same = manifest["summary"]["same"].as_u64().unwrap();
        assert!((20..1000).contains(&same), "{same}");
        assert!(!work.place(".run.unfinished").exists());
    }
}
