//! Order, from a capture on: random programs of many threads are really executed, and replayed at many numbers of
//! processes and threads under random artificial delays. Each op must have the outcome, and the tree the end, that strict
//! order gives them.
//!
//! `IORIOT_ORDER_PROGRAMS=1000 IORIOT_ORDER_CHAINS=10000 cargo test --test it order_programs` looks longer.

use super::work::run;
use crate::suite::model::order::story;
use crate::suite::model::{errno_name, populate};
use crate::tool::{asked, cases, expect, number, rows};
use ioriot::event::{AT_FDCWD, Col, Event, Text};
use ioriot::init;
use ioriot::progress::Progress;
use ioriot::replay::{Options, Order};
use ioriot::syscall::Syscall;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Programs that run at the same time, and so share a workload.
const TOGETHER: usize = 10;
/// Processes and threads in each.
const WORKERS: [(usize, usize); 5] = [(1, 1), (1, 4), (2, 4), (3, 2), (4, 32)];

/// An event as strace prints it, flags as numbers.
fn line(event: &Event, ts: i64) -> String {
    let int = |col| event.int(col).unwrap_or(0);
    let text = |text| String::from_utf8_lossy(event.text(text).unwrap_or_default()).into_owned();
    let (fd, count, offset, flags, mode) = (int(Col::Fd), int(Col::Count), int(Col::Offset), int(Col::Flags), int(Col::Mode));
    let (one, two) = (text(Text::Path), text(Text::Path2));
    let at = |dir: i64| if dir == AT_FDCWD { "AT_FDCWD".to_owned() } else { dir.to_string() };
    let stat = || format!("{{st_mode=0{:o}, st_size={}, ...}}", int(Col::StMode), int(Col::StSize));
    let arguments = match event.syscall {
        Syscall::openat => format!("{}, \"{one}\", {flags:#x}, 0{mode:o}", at(int(Col::DirFd))),
        Syscall::read | Syscall::write => format!("{fd}, \"\"..., {count}"),
        Syscall::pread64 | Syscall::pwrite64 => format!("{fd}, \"\"..., {count}, {offset}"),
        Syscall::lseek => format!("{fd}, {offset}, {}", ["SEEK_SET", "SEEK_CUR", "SEEK_END"][int(Col::Whence) as usize]),
        Syscall::ftruncate => format!("{fd}, {count}"),
        Syscall::truncate => format!("\"{one}\", {count}"),
        Syscall::fallocate => format!("{fd}, {flags}, {offset}, {count}"),
        Syscall::copy_file_range => format!("{fd}, NULL, {}, NULL, {count}, 0", int(Col::Fd2)),
        Syscall::getdents64 => format!("{fd}, 0x7ffe0000, 4096"),
        Syscall::flock => format!("{fd}, {:#x}", int(Col::Cmd)),
        Syscall::close | Syscall::dup | Syscall::fchdir => fd.to_string(),
        Syscall::mkdir | Syscall::chmod | Syscall::access => format!("\"{one}\", 0{mode:o}"),
        Syscall::rename | Syscall::link => format!("\"{one}\", \"{two}\""),
        Syscall::symlink => format!("\"{two}\", \"{one}\""),
        Syscall::renameat2 => format!("AT_FDCWD, \"{one}\", AT_FDCWD, \"{two}\", {flags:#x}"),
        Syscall::stat if event.success().is_some() => format!("\"{one}\", {}", stat()),
        Syscall::stat => format!("\"{one}\", 0x7ffe0000"),
        Syscall::readlink if event.success().is_some() => format!("\"{one}\", \"{two}\", 4096"),
        Syscall::readlink => format!("\"{one}\", 0x7ffe0000, 4096"),
        Syscall::getcwd => "0x7ffe0000, 4096".to_owned(),
        Syscall::clone => format!("child_stack=NULL, flags={flags:#x}"),
        Syscall::vfork => String::new(),
        Syscall::unlink | Syscall::rmdir | Syscall::chdir => format!("\"{one}\""),
        syscall => panic!("{} is in no story", syscall.name()),
    };
    let outcome = match event.failure() {
        Some(errno) => format!("-1 {} (...)", errno_name(errno)),
        None => int(Col::Ret).to_string(),
    };
    let (seconds, micros) = (ts / 1_000_000, ts % 1_000_000);
    format!("{} {seconds}.{micros:06} {}({arguments}) = {outcome} <0.000001>", int(Col::Tid), event.name())
}

/// What strace would have written of these events; threads that nobody announced are cloned by their process.
fn trace(events: &[Event]) -> String {
    const THREAD: i64 = 0x10f00; // CLONE_VM, FS, FILES, SIGHAND, THREAD
    let mut known = HashSet::new();
    let (mut out, mut ts) = (String::new(), 1_700_000_000_000_000);
    let mut put = |event: &Event| {
        ts += 3;
        writeln!(out, "{}", line(event, ts)).unwrap();
    };
    for event in events {
        let (pid, tid) = (event.int(Col::Pid).unwrap(), event.int(Col::Tid).unwrap());
        if known.insert(tid) && tid != pid {
            let mut clone = Event::new(Syscall::clone);
            [(Col::Pid, pid), (Col::Tid, pid), (Col::Flags, THREAD)].iter().for_each(|(col, value)| clone.set(*col, *value));
            clone.set_outcome(tid);
            put(&clone);
        }
        put(event);
    }
    out
}

/// Makes capture and workload, and replays it: strictly, and in resource order by many workers under delays. Gives the
/// outcomes and verdicts of the strict replay.
fn same_at_any_width(text: &str, place: &Path, delays: bool) -> BTreeMap<String, usize> {
    let at = |name: &str| place.join(name);
    let (input, capture, workload) = (at("a.strace"), at("capture"), at("workload"));
    fs::write(&input, text).unwrap();
    let [input, capture_arg, workload_arg] = [&input, &capture, &workload].map(|path| path.to_str().unwrap());
    expect(0, &["ingest", input, "-o", capture_arg, "--strict"]);
    expect(0, &["generate", capture_arg, "-o", workload_arg]);
    let replay = |name: &str, options: Options| -> Vec<String> {
        let init = init::Options { force: true, threads: 4, ..init::Options::new(&workload, at("root")) };
        assert!(init::run(&init, &Progress::default()).unwrap().ok());
        let summary = run(&Options { out: at(name), min_match: 0.0, ..options }).unwrap();
        assert!(summary.complete, "{name}: {summary}");
        let mut found = rows(&[&at(name)], "SELECT op_id, syscall, outcome, kind, errno FROM results ORDER BY op_id");
        found.extend(rows(&[&at(name)], "SELECT path, expected, found, verdict FROM state ORDER BY path"));
        let violations = number(&[&workload, &at(name)], "SELECT count(*) FROM order_violations");
        assert_eq!(violations, 0.0, "{name}: {summary}");
        let _ = fs::remove_dir_all(at(name));
        found
    };
    let options = || Options::new(workload.clone(), at("root"), at("run"));
    let strict = replay("strict", Options { order: Order::Strict, threads: Some(1), ..options() });
    for ((processes, threads), seed) in WORKERS.into_iter().zip(1..) {
        let delay = delays.then_some(seed);
        let name = format!("at {processes} x {threads}");
        let found = replay(&name, Options { processes, threads: Some(threads), delay, ..options() });
        let differences: Vec<_> = strict.iter().zip(&found).filter(|(a, b)| a != b).take(20).collect();
        assert!(differences.is_empty() && strict.len() == found.len(), "{name}, strictly and so: {differences:#?}\n{text}");
    }
    let mut words = BTreeMap::new();
    strict.iter().for_each(|row| *words.entry(row.split(',').nth(2).unwrap_or_default().to_owned()).or_default() += 1);
    words
}

#[test]
fn random_programs_end_as_in_strict_order_at_any_width() {
    let config = cases("IORIOT_ORDER_PROGRAMS", 50, 4);
    let programs = config.cases;
    let mut runner = TestRunner::new(config);
    for _ in 0..programs.div_ceil(TOGETHER as u32) {
        let scratch = tempfile::tempdir().unwrap();
        let mut told = Vec::new();
        for program in 0..TOGETHER {
            let root = scratch.path().join(format!("{program}/1/2/3"));
            fs::create_dir_all(&root).unwrap();
            populate(&root);
            let mut events = story::tell(&story::program().new_tree(&mut runner).unwrap().current(), &root);
            for event in &mut events {
                let shift = 100_000 * program as i64;
                [Col::Pid, Col::Tid].iter().for_each(|col| event.set(*col, event.int(*col).unwrap() + shift));
                if matches!(event.syscall, Syscall::clone | Syscall::vfork) {
                    event.set(Col::Ret, event.int(Col::Ret).unwrap() + shift);
                }
            }
            told.push(events.into_iter());
        }
        // All at once: one call of each in turn.
        let mut events = Vec::new();
        while !told.is_empty() {
            told.retain_mut(|program| program.next().map(|event| events.push(event)).is_some());
        }
        same_at_any_width(&trace(&events), scratch.path(), true);
    }
}

/// mkdir, create inside, rename the directory, create under the new name, rename the file, unlink another: each call by
/// another of 16 threads, and chains that take a file from the one before.
#[test]
fn chains_across_names_and_threads_are_right_at_any_width() {
    let chains = asked("IORIOT_ORDER_CHAINS").unwrap_or(500);
    let mut events = Vec::new();
    let mut turn = 0;
    let mut call = |syscall, ret: i64, paths: [&str; 2], ints: &[(Col, i64)]| {
        let mut event = Event::new(syscall);
        event.set(Col::Pid, 1000);
        event.set(Col::Tid, 1000 + turn * 7 % 16);
        turn += 1;
        ints.iter().for_each(|(col, value)| event.set(*col, *value));
        for (text, path) in [Text::Path, Text::Path2].into_iter().zip(paths).filter(|(_, path)| !path.is_empty()) {
            event.set_text(text, path);
        }
        event.set_outcome(ret);
        events.push(event);
    };
    let create =
        [(Col::DirFd, AT_FDCWD), (Col::Flags, i64::from(libc::O_CREAT | libc::O_EXCL | libc::O_RDWR)), (Col::Mode, 0o644)];
    for chain in 0..chains {
        let (old, new, last) = (format!("/top/d{chain}"), format!("/top/e{chain}"), format!("/top/e{}", chain.max(1) - 1));
        let [a, b, x, c] = ["a", "b", "x", "c"].map(|name| format!("{new}/{name}"));
        call(Syscall::mkdir, 0, [&old, ""], &[(Col::Mode, 0o755)]);
        call(Syscall::openat, 3, [&format!("{old}/a"), ""], &create);
        call(Syscall::write, 10, ["", ""], &[(Col::Fd, 3), (Col::Count, 10)]);
        call(Syscall::rename, 0, [&old, &new], &[]);
        call(Syscall::stat, -2, [&format!("{old}/a"), ""], &[]);
        call(Syscall::openat, 4, [&b, ""], &create);
        call(Syscall::close, 0, ["", ""], &[(Col::Fd, 3)]);
        call(Syscall::write, 20, ["", ""], &[(Col::Fd, 4), (Col::Count, 20)]);
        call(Syscall::rename, 0, [&a, &c], &[]);
        call(Syscall::close, 0, ["", ""], &[(Col::Fd, 4)]);
        call(Syscall::openat, 3, [&x, ""], &create);
        call(Syscall::close, 0, ["", ""], &[(Col::Fd, 3)]);
        call(Syscall::unlink, 0, [&x, ""], &[]);
        if chain > 0 {
            call(Syscall::rename, 0, [&format!("{last}/b"), &format!("{new}/taken")], &[]);
        }
    }
    let scratch = tempfile::tempdir().unwrap();
    let words = same_at_any_width(&trace(&events), scratch.path(), false);
    assert_eq!(words.get("different"), None, "{words:?}");
    let tree = scratch.path().join("root/tree/top");
    for chain in 0..chains {
        let size = |name: &str| fs::metadata(tree.join(format!("e{chain}/{name}"))).map(|meta| meta.len()).ok();
        let b = if chain + 1 == chains { "b" } else { "taken" };
        let at = if b == "b" {
            size("b")
        } else {
            fs::metadata(tree.join(format!("e{}/taken", chain + 1))).map(|meta| meta.len()).ok()
        };
        assert_eq!((size("c"), at, size("x")), (Some(10), Some(20), None), "chain {chain}");
    }
}
