//! File systems in memory that a replay makes: what a workload may say of them, and what is left of them.

use super::work::{Work, op, run};
use crate::skip::{Need, skip};
use crate::tool::{self, root};
use ioriot::replay::Summary;
use libc::{O_CREAT, O_RDWR};
use serde_json::{Value, json};
use std::fs;
use std::time::{Duration, Instant};

/// A workload with these file systems in memory that writes a file in `/m` over and over.
fn work(memory: Value, times: i64) -> Work {
    let mut work = Work::new();
    work.manifest.insert("memory".into(), memory);
    work.row_group = 16 * 1024;
    work.need("/m", "dir", 0).need("/m/f", "file", 100_000).need("/link", "link", 0).need("/m/deep", "dir", 0);
    work.fileset[2] = work.fileset[2].clone().set("target", "/m");
    work.op(op("open", 3).raw("/m/f").flags(O_RDWR).ofd(0));
    for _ in 0..times {
        work.op(op("pread64", 65536).ofd(0).count(65536).set("offset", 0));
    }
    work.op(op("open", 4).raw("/m/new").flags(O_RDWR | O_CREAT).ofd(1));
    work.expect("/m/new", "file", Some(0)).expect("/m/f", "file", Some(100_000));
    work
}

fn one(path: &str, size: Option<u64>) -> Value {
    json!({ "path": path, "size": size, "stays": null })
}

/// What became of them: path, and whether it is in memory.
fn seats(summary: &Summary) -> Vec<(&str, bool)> {
    summary.memory.iter().map(|seat| (seat.path.as_str(), seat.on_disk.is_none())).collect()
}

fn states(summary: &Summary) -> u64 {
    summary.state.as_ref().unwrap().verdicts.iter().filter(|(verdict, _)| **verdict != "same").map(|(_, count)| count).sum()
}

#[test]
fn what_a_workload_says_of_memory_is_checked() {
    if !root() {
        return skip(Need::Root, "file systems in memory");
    }
    // One in another, and one without files.
    let nested = json!([one("/m/deep", Some(1 << 20)), one("/m", None), one("/none", None)]);
    let mut work_ = work(nested, 1);
    work_.need("/m/deep/x", "file", 10).op(op("open", 5).raw("/m/deep/x").flags(O_RDWR).ofd(2));
    work_.op(op("rename", -i64::from(libc::EXDEV)).raw("/m/deep/x").raw2("/m/x"));
    let summary = work_.run(None);
    assert_eq!(
        (seats(&summary), summary.different, states(&summary)),
        (vec![("/m", true), ("/m/deep", true)], 0, 0),
        "{summary}"
    );
    assert!(!work_.tree().join("m/new").exists() && work_.tree().join("m/f").exists());

    // It has the size that the workload says; the kernel would take 0 for no limit, and a captured one without limit has what is left.
    let mut endless = work(json!([one("/m", Some(0))]), 1);
    endless.op(op("ftruncate", 0).ofd(0).set("count", i64::MAX >> 1));
    endless.op(op("fallocate", -i64::from(libc::ENOSPC)).ofd(0).set("mode", 0).set("offset", 0).set("count", 1_i64 << 40));
    let summary = endless.run(None);
    assert_eq!((seats(&summary), summary.different), (vec![("/m", true)], 0), "{summary}");
    let mut full = work(json!([one("/m", Some(200_000))]), 1);
    full.op(op("pwrite64", 1 << 20).ofd(0).count(1 << 20).set("offset", 0));
    let summary = full.run(None);
    assert_eq!((seats(&summary), summary.different), (vec![("/m", true)], 1), "{summary}");

    // Too small for what is in it; through a symlink; where no directory is; where no path can be.
    for (memory, on_disk) in [
        (one("/m", Some(50_000)), "its files need 100 KiB"),
        (json!({ "path": "/m", "size": null, "stays": "unmounted" }), "it was unmounted"),
    ] {
        let work = work(json!([memory]), 1);
        let summary = work.run(None);
        assert_eq!((seats(&summary), summary.different, states(&summary)), (vec![("/m", false)], 0, 0), "{summary}");
        assert!(summary.to_string().contains(on_disk), "{summary}");
        assert!(work.tree().join("m/new").exists());
    }
    for path in ["/link/deep", "/m/f"] {
        let mut work = work(json!([one(path, None)]), 1);
        work.fileset.push(work.fileset[1].clone().set("path", format!("{path}/x")).set("kind", "absent"));
        let summary = work.run(None);
        assert_eq!((seats(&summary), states(&summary)), (vec![(path, false)], 0), "{summary}");
    }
    for path in ["/", "/../m", "m", "/m/"] {
        let work = work(json!([one(path, None)]), 1);
        work.write();
        work.init().unwrap();
        let error = format!("{:#}", run(&work.options()).unwrap_err());
        assert!(error.contains("invalid workload: memory"), "{error}");
    }
}

#[test]
fn a_kill_leaves_nothing_mounted() {
    if !root() {
        return skip(Need::Root, "file systems in memory");
    }
    let work = work(json!([one("/m", None)]), 400_000);
    let place = work.write().display().to_string();
    work.init().unwrap();
    let [tree, out] = ["root", "run"].map(|name| work.place(name).display().to_string());
    let before = fs::read_to_string("/proc/self/mountinfo").unwrap();
    let mut child = tool::command(&["replay", &place, "--root", &tree, "-o", &out]).spawn().unwrap();
    // The processes of the replay have it mounted, in their namespace.
    let marker = work.tree().display().to_string();
    let inside = || -> Vec<String> {
        let processes = fs::read_dir("/proc").unwrap().flatten().map(|entry| entry.path());
        let of_replay = processes.filter(|path| {
            let line = fs::read(path.join("cmdline")).unwrap_or_default();
            let line = String::from_utf8_lossy(&line);
            line.contains("replay-child") && line.contains(&marker)
        });
        of_replay.map(|path| fs::read_to_string(path.join("mountinfo")).unwrap_or_default()).collect()
    };
    let begun = Instant::now();
    let mounted = |text: &String| text.lines().any(|line| line.contains(" / /m ") && line.contains("tmpfs"));
    while !inside().iter().any(mounted) {
        assert!(child.try_wait().unwrap().is_none() && begun.elapsed() < Duration::from_secs(60), "it was to run longer");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before, "nothing is mounted outside");
    child.kill().unwrap();
    child.wait().unwrap();
    let begun = Instant::now();
    while !inside().is_empty() {
        assert!(begun.elapsed() < Duration::from_secs(60), "its processes end with it");
        std::thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(fs::read_to_string("/proc/self/mountinfo").unwrap(), before);
}
