//! fio runs what is exported for it.

use super::{export, hostile, ingested};
use crate::skip::{Need, skip};
use crate::tool::{expect, ioriot, number};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Command;

/// The commands of docs/EXPORT.md that make what a log reads; the log is `../cap.iolog`.
fn recipe() -> String {
    let page = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/EXPORT.md")).unwrap();
    let from = page.find("awk '$3 == \"add\"").unwrap();
    page[from..].split("```").next().unwrap().replace("fio --name", "exit 0\nfio --name")
}

/// Runs fio in a directory; its answer. `None` where there is no fio.
fn fio(dir: &Path, args: &[&str]) -> Option<Value> {
    let output = match Command::new("fio").args(args).args(["--output-format=json"]).current_dir(dir).output() {
        Ok(output) => output,
        Err(error) => {
            skip(Need::Fio, error);
            return None;
        }
    };
    let (said, text) = (String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout));
    assert!(output.status.success() && said.is_empty(), "{said}\n{text}");
    let answer: Value = serde_json::from_str(&text[text.find('{').unwrap()..]).unwrap();
    assert_eq!(answer["jobs"][0]["error"], 0, "{text}");
    Some(answer)
}

/// Exports a log, makes the files, and lets fio replay it: calls and bytes read, calls and bytes written.
fn replayed(dir: &Path, cap: &Path) -> Option<[f64; 4]> {
    export(cap, "fio-iolog", &["-o", dir.join("cap.iolog").to_str().unwrap()]);
    let tree = dir.join("tree");
    fs::create_dir(&tree).unwrap();
    let made = Command::new("sh").arg("-ec").arg(recipe()).current_dir(&tree).output().unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let answer = fio(&tree, &["--name=cap", "--read_iolog=../cap.iolog", "--ioengine=psync", "--replay_no_stall=1"])?;
    let job = &answer["jobs"][0];
    let of = |way: &str, what: &str| job[way][what].as_f64().unwrap();
    Some([of("read", "total_ios"), of("read", "io_bytes"), of("write", "total_ios"), of("write", "io_bytes")])
}

#[test]
fn fio_replays_a_log() {
    for trace in ["a-sqlite.capture.gz", "d-files.strace.gz", "e-fio.strace.gz"] {
        let dir = tempfile::tempdir().unwrap();
        let cap = ingested(dir.path(), trace);
        let Some(done) = replayed(dir.path(), &cap) else { return };
        let all = |what: &str, class: &str| {
            number(&[&cap], &format!("SELECT {what} FROM io WHERE class = '{class}' AND bytes > 0 AND \"offset\" IS NOT NULL"))
        };
        let asked =
            [all("count(*)", "reads"), all("sum(bytes)", "reads"), all("count(*)", "writes"), all("sum(bytes)", "writes")];
        assert_eq!(done, asked, "{trace}");
    }
}

#[test]
fn a_workload_gives_the_same_log() {
    let dir = tempfile::tempdir().unwrap();
    let cap = ingested(dir.path(), "d-files.strace.gz");
    let work = dir.path().join("work");
    expect(0, &["generate", cap.to_str().unwrap(), "-o", work.to_str().unwrap()]);
    // Its times count from the first op.
    let lines = |dataset: &Path| {
        let log = export(dataset, "fio-iolog", &[]);
        let lines = log.lines().skip(1).map(|line| line.split_once(' ').unwrap().1.to_owned());
        lines.filter(|line| !line.ends_with("add") && !line.ends_with("open") && !line.ends_with("close")).collect::<Vec<_>>()
    };
    let (one, two) = (lines(&cap), lines(&work));
    assert!(one.len() > 1000 && one == two, "{} and {}", one.len(), two.len());
}

#[test]
fn a_log_has_no_name_that_fio_cannot_read() {
    let dir = tempfile::tempdir().unwrap();
    let cap = hostile(dir.path());
    let output = ioriot(&["export", cap.to_str().unwrap(), "--to", "fio-iolog"]);
    let (log, said) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert!(said.contains("6 files have a name that fio cannot read"), "{said}");
    assert!(log.is_ascii() && log.contains("\n2 d/a%3Bb%207%0Ac write 9 5\n4 d/a%3Bb%207%0Ac read 0 4\n"), "{log}");
    let lines: Vec<_> = log.lines().collect();
    assert_eq!((lines[0], lines.len()), ("fio version 3 iolog", 1 + 6 * 5));
    assert_eq!(lines.iter().filter(|line| line.ends_with(" close")).count(), 6);
    assert_eq!(replayed(dir.path(), &cap).unwrap_or([6.0, 24.0, 6.0, 30.0]), [6.0, 24.0, 6.0, 30.0]);
}

#[test]
fn a_log_waits_as_the_program_did() {
    use super::super::generate::{call, capture};
    use ioriot::event::Col;
    use ioriot::syscall::Syscall;
    let dir = tempfile::tempdir().unwrap();
    let at = |time: i64, fd: i64| [(Col::Ts, 5_000_000_000 + time), (Col::Fd, fd), (Col::Count, 5), (Col::Offset, 0)];
    let events = [
        call(Syscall::open, 7, 3, &[(Col::Ts, 5_000_000_000), (Col::Flags, 2)], Some("/a")),
        call(Syscall::pwrite64, 7, 5, &at(1_000_000, 3), None),
        call(Syscall::pwrite64, 7, 5, &at(301_000_000, 3), None),
    ];
    let cap = capture(dir.path(), &events);
    export(&cap, "fio-iolog", &["-o", dir.path().join("cap.iolog").to_str().unwrap()]);
    let Some(answer) = fio(dir.path(), &["--name=cap", "--read_iolog=cap.iolog", "--ioengine=psync"]) else { return };
    let took = answer["jobs"][0]["write"]["runtime"].as_u64().unwrap();
    assert!((290..2000).contains(&took), "{took} ms");
}
