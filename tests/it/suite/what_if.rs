//! What-ifs: workloads that are other than their captures, replayed for real.

use super::generate::{call, capture, capture_with};
use crate::tool::{cases, data, expect, ioriot, name_no_files, number, rows};
use ioriot::event::{Col, Event, Text};
use ioriot::schema::contents::{self, Content, Sampled};
use ioriot::schema::dataset::Kind;
use ioriot::schema::profile::Profile;
use ioriot::schema::{Draft, Manifest};
use ioriot::syscall::Syscall;
use proptest::prelude::*;
use std::fs;
use std::path::{Path, PathBuf};

/// Makes a workload with these options; what the program says where it refuses to.
fn generated(capture: &Path, out: &Path, options: &[&str]) -> Result<(), String> {
    let mut args = vec!["generate", capture.to_str().unwrap(), "-o", out.to_str().unwrap()];
    args.extend(options);
    let output = ioriot(&args);
    match output.status.code() {
        Some(0) => Ok(()),
        Some(2) => Err(String::from_utf8_lossy(&output.stderr).into_owned()),
        code => panic!("{args:?} ended with {code:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

/// Makes the tree of a workload and replays it; the run. Nothing may be different, and the tree must be as predicted.
pub fn replayed(workload: &Path) -> PathBuf {
    let (root, run) = (workload.with_extension("root"), workload.with_extension("run"));
    let [work, root, run_] = [workload, &root, &run].map(|path| path.to_str().unwrap());
    expect(0, &["lint", work]);
    expect(0, &["init", work, "--root", root]);
    let output = ioriot(&["replay", work, "--root", root, "-o", run_]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code().is_some_and(|code| code <= 1), "{said}");
    let bad = "SELECT op_id, op, captured_ret, captured_errno, ret, errno, kind FROM results WHERE outcome = 'different'";
    assert_eq!(rows(&[&run], bad), Vec::<String>::new(), "{said}");
    let bad = "SELECT path, expected, found FROM state WHERE verdict <> 'same'";
    assert_eq!(rows(&[&run], bad), Vec::<String>::new(), "{said}");
    run
}

/// Events of one thread, a millisecond apart.
fn timed(mut events: Vec<Event>) -> Vec<Event> {
    for (at, event) in (0_i64..).zip(&mut events) {
        event.set(Col::Ts, 1_700_000_000_000_000_000 + at * 1_000_000);
        event.set(Col::Errno, if event.int(Col::Ret).unwrap_or(0) < 0 { event.int(Col::Errno).unwrap_or(0) } else { 0 });
    }
    events
}

fn open(path: &str, fd: i64, flags: i32) -> Event {
    call(Syscall::openat, 1, fd, &[(Col::DirFd, -100), (Col::Flags, flags.into()), (Col::Mode, 0o644)], Some(path))
}

fn data_call(syscall: Syscall, fd: i64, bytes: i64) -> Event {
    call(syscall, 1, bytes, &[(Col::Fd, fd), (Col::Count, bytes)], None)
}

fn close(fd: i64) -> Event {
    call(Syscall::close, 1, 0, &[(Col::Fd, fd)], None)
}

/// A program that makes a directory, goes there, writes files, removes one that it has open, and goes on.
fn program() -> Vec<Event> {
    let new = libc::O_CREAT | libc::O_EXCL | libc::O_RDWR;
    timed(vec![
        call(Syscall::mkdir, 1, 0, &[(Col::Mode, 0o755)], Some("/data")),
        call(Syscall::chdir, 1, 0, &[], Some("/data")),
        open("/data/log", 3, new),
        data_call(Syscall::write, 3, 1000),
        open("/data/gone", 4, new),
        data_call(Syscall::write, 4, 5000),
        call(Syscall::unlink, 1, 0, &[], Some("/data/gone")),
        open("/data/old", 5, new),
        close(5),
        call(Syscall::rename, 1, 0, &[], Some("/data/old")),
        // Here the window begins.
        data_call(Syscall::write, 3, 500),
        call(Syscall::pread64, 1, 1500, &[(Col::Fd, 3), (Col::Count, 4096), (Col::Offset, 0)], None),
        data_call(Syscall::write, 4, 100),
        call(Syscall::pread64, 1, 5100, &[(Col::Fd, 4), (Col::Count, 8192), (Col::Offset, 0)], None),
        open("here", 5, new),
        data_call(Syscall::write, 5, 10),
        call(Syscall::stat, 1, 0, &[], Some("new")),
        open("log", 6, libc::O_RDONLY),
        data_call(Syscall::read, 6, 1500),
        close(6),
        close(3),
        // Here it ends.
        close(4),
        call(Syscall::unlink, 1, 0, &[], Some("log")),
    ])
    .into_iter()
    .map(|mut event| {
        if event.syscall == Syscall::rename {
            event.set_text(Text::Path2, "/data/new");
        }
        event
    })
    .collect()
}

#[test]
fn a_window_begins_with_what_is_there_and_open() {
    let dir = tempfile::tempdir().unwrap();
    let cap = capture(dir.path(), &program());
    let work = dir.path().join("work");
    generated(&cap, &work, &["--from", "10ms", "--to", "21ms"]).unwrap();
    let files = rows(&[&work], "SELECT path, kind, size, size_exact FROM fileset WHERE path LIKE '/data%' ORDER BY path");
    assert_eq!(
        files,
        [
            "/data,dir,0,true",
            "/data/gone,absent,0,false",
            "/data/here,absent,0,false",
            "/data/log,file,1000,true",
            "/data/new,file,0,true",
            "/data/old,absent,0,false"
        ]
        .map(|row| row
            .replace("/data,dir,0,true", &files[0])
            .replace(",absent,0,false", if files[1].ends_with("true") { ",absent,0,true" } else { ",absent,0,false" }))
    );
    let begins = rows(&[&work], "SELECT op, path, offset, count FROM ops WHERE origin = 'initial' ORDER BY op_id");
    assert_eq!(
        begins,
        [
            "openat,/data/log,,",
            "lseek,/data/log,1000,",
            "openat,/data/(unnamed),,",
            "ftruncate,/data/(unnamed),,5000",
            "lseek,/data/(unnamed),5000,"
        ]
        .map(|row| {
            let gone = begins[2].split(',').nth(1).unwrap();
            row.replace("/data/(unnamed)", gone)
        })
    );
    let run = replayed(&work);
    assert_eq!(number(&[&run], "SELECT count(*) FROM results WHERE origin = 'event' AND outcome = 'same'"), 11.0);
    // What was before and after is in the ledger.
    assert_eq!(number(&[&work], "SELECT count(*) FROM fates"), 23.0);
    assert_eq!(number(&[&work], "SELECT count(*) FROM fates WHERE reason = 'filtered'"), 12.0);
}

#[test]
fn moments_are_told_in_several_ways_and_must_be_there() {
    let dir = tempfile::tempdir().unwrap();
    let cap = capture(dir.path(), &program());
    // 2023-11-14T22:13:20Z
    let ops = |name: &str, options: &[&str]| -> Result<f64, String> {
        let work = dir.path().join(name);
        generated(&cap, &work, options)?;
        Ok(number(&[&work], "SELECT count(*) FROM ops WHERE origin = 'event'"))
    };
    assert_eq!(ops("a", &["--to", "2023-11-14T22:13:20.003"]), Ok(3.0));
    assert_eq!(ops("b", &["--from", "22:13:20", "--to", "22:13:20.003"]), Ok(3.0));
    for (options, fault) in [
        (vec!["--from", "1h"], "no event in that time"),
        (vec!["--from", "5ms", "--to", "5ms"], "--from is not before --to"),
        (vec!["--from", "2023-13-14T22:13:20"], "is no date and time"),
    ] {
        let said = ops("c", &options).unwrap_err();
        assert!(said.contains(fault), "{said}");
    }
}

#[test]
fn changed_arguments_are_replayed_and_what_nobody_knows_is_not_compared() {
    let dir = tempfile::tempdir().unwrap();
    let cap = capture(dir.path(), &program());
    let work = dir.path().join("half");
    generated(&cap, &work, &["--set", "count = count / 2"]).unwrap();
    let counts = rows(&[&work], "SELECT count, ret, offset FROM ops WHERE op = 'write' AND path = '/data/log' ORDER BY op_id");
    assert_eq!(counts, ["500,500,0", "250,250,500"]);
    let run = replayed(&work);
    let kinds = rows(&[&run], "SELECT DISTINCT op, kind FROM results ORDER BY 1, 2");
    assert!(kinds.contains(&"write,changed".to_owned()) && kinds.contains(&"mkdir,".to_owned()), "{kinds:?}");
    // Flags that only say how data gets to its place change no result.
    let work = dir.path().join("sync");
    generated(&cap, &work, &["--set", "flags = flags | O_SYNC"]).unwrap();
    assert_eq!(number(&[&work], "SELECT count(*) FROM ops WHERE op = 'openat' AND flags & 1052672 = 1052672"), 5.0);
    assert_eq!(number(&[&work], "SELECT count(changed) FROM ops"), 0.0);
    replayed(&work);
    // What a device would refuse is said before.
    let direct = dir.path().join("direct");
    let said = generated(&cap, &direct, &["--set", "flags = flags | O_DIRECT"]).unwrap_err();
    assert!(
        said.contains("the replay of this workload would fail") && said.contains("/data/log") && said.contains("Round as well"),
        "{said}"
    );
    assert!(!direct.exists());
    let aligned = ["--set", "flags = flags | O_DIRECT", "--set", "count = (count + 4095) / 4096 * 4096"];
    generated(&cap, &direct, &aligned).unwrap();
    replayed(&direct);
    // A name.
    let named = dir.path().join("named");
    generated(&cap, &named, &["--set", "path = replace(path, '/data/here', '/data/there')"]).unwrap();
    let run = replayed(&named);
    assert_eq!(rows(&[&run], "SELECT found FROM state WHERE path = '/data/there'").len(), 1);
    for (set, fault) in [
        ("count = nothing", "no expression over the columns of ops"),
        ("count = count - 100000", "and no call can have it"),
        ("path = 'relative'", "and no call can have it"),
        ("count = count * 4611686018427387904", "overflow"),
        ("ret = 1", "cannot be set"),
    ] {
        let said = generated(&cap, &dir.path().join("none"), &["--set", set]).unwrap_err();
        assert!(said.contains(fault), "{said}");
    }
}

#[test]
fn tenants_run_side_by_side_in_places_of_their_own() {
    let dir = tempfile::tempdir().unwrap();
    let cap = capture(dir.path(), &program());
    let (one, four) = (dir.path().join("one"), dir.path().join("four"));
    generated(&cap, &one, &[]).unwrap();
    generated(&cap, &four, &["--scale", "4", "--scale-shift", "5ms"]).unwrap();
    let count = |work: &Path, what: &str| number(&[work], &format!("SELECT count({what}) FROM ops"));
    assert_eq!(count(&four, "*"), 4.0 * count(&one, "*"));
    assert_eq!((count(&four, "DISTINCT lane"), count(&four, "DISTINCT ofd")), (4.0, 4.0 * count(&one, "DISTINCT ofd")));
    // No lane waits for another, and each begins later than the one before.
    assert_eq!(number(&[&four], "SELECT count(*) FROM edges"), 0.0);
    let starts = rows(&[&four], "SELECT (min(ts) - 1700000000000000000) / 1000000 FROM ops GROUP BY lane ORDER BY lane");
    assert_eq!(starts, ["0", "5", "10", "15"]);
    let run = replayed(&four);
    assert_eq!(number(&[&run], "SELECT count(*) FROM results WHERE outcome = 'same' AND origin = 'event'"), 4.0 * 23.0);
    assert_eq!(number(&[&run], "SELECT count(*) FROM state WHERE path LIKE '/tenant-_/data/new'"), 3.0);
}

#[test]
fn times_between_calls_are_stretched() {
    let dir = tempfile::tempdir().unwrap();
    let cap = capture(dir.path(), &program());
    let (one, slow) = (dir.path().join("one"), dir.path().join("slow"));
    generated(&cap, &one, &[]).unwrap();
    generated(&cap, &slow, &["--stretch", "2.5"]).unwrap();
    let span = |work: &Path| number(&[work], "SELECT max(ts) - min(ts) FROM ops");
    assert_eq!(span(&slow), 2.5 * span(&one));
    let think = |work: &Path| number(&[work], "SELECT sum(think) FROM ops");
    assert!((think(&slow) - 2.5 * think(&one)).abs() < 100.0);
    replayed(&slow);
}

/// What a real capture says of its times holds for the workload that was made of it, whatever that was made to be.
#[test]
fn times_that_were_moved_are_replayed_at_every_pace() {
    let dir = tempfile::tempdir().unwrap();
    let cap = dir.path().join("cap");
    expect(0, &["ingest", &data("matrix.strace"), "-o", cap.to_str().unwrap()]);
    for (name, args) in [("slow", &["--stretch", "2"][..]), ("four", &["--scale", "4", "--scale-shift", "900ms"])] {
        let [work, root] = ["work", "root"].map(|what| dir.path().join(format!("{name}-{what}")));
        let [work, root] = [&work, &root].map(|path| path.to_str().unwrap());
        expect(0, &[&["generate", cap.to_str().unwrap(), "-o", work], args].concat());
        for pace in ["realtime", "think"] {
            let run = dir.path().join(format!("{name}-{pace}"));
            expect(0, &["init", work, "--root", root, "--force"]);
            let args = ["--pace", pace, "--speed", "100", "--min-match", "100"];
            expect(0, &[&["replay", work, "--root", root, "-o", run.to_str().unwrap()], &args[..]].concat());
        }
    }
}

/// Events of a process, with a name by exec and a child.
fn two_programs() -> Vec<Event> {
    let of = |mut event: Event, pid: i64| {
        event.set(Col::Pid, pid);
        event.set(Col::Tid, pid);
        event
    };
    timed(vec![
        call(Syscall::execve, 1, 0, &[], Some("/usr/bin/server")),
        open("/data/a", 3, libc::O_RDONLY),
        data_call(Syscall::read, 3, 100),
        call(Syscall::fork, 1, 2, &[], None),
        of(call(Syscall::execve, 2, 0, &[], Some("/usr/bin/helper")), 2),
        of(open("/data/b", 4, libc::O_RDONLY), 2),
        of(data_call(Syscall::read, 4, 200), 2),
        // The child reads on where its parent was.
        of(data_call(Syscall::read, 3, 50), 2),
        data_call(Syscall::read, 3, 25),
    ])
}

#[test]
fn processes_and_paths_are_chosen_by_name() {
    let dir = tempfile::tempdir().unwrap();
    let cap = capture(dir.path(), &two_programs());
    let reads = |name: &str, options: &[&str]| {
        let work = dir.path().join(name);
        generated(&cap, &work, options).unwrap();
        replayed(&work);
        rows(&[&work], "SELECT path, offset, ret FROM ops WHERE op = 'read' ORDER BY op_id")
    };
    assert_eq!(reads("helper", &["--process", "helper"]), ["/data/b,0,200", "/data/a,100,50"]);
    assert_eq!(reads("server", &["--process", "1"]), ["/data/a,0,100", "/data/a,150,25"]);
    assert_eq!(reads("path", &["--path", "/data/[b-z]*"]), ["/data/b,0,200"]);
    assert_eq!(reads("all", &["--process", "server", "--process", "2"]).len(), 4);
    let said = generated(&cap, &dir.path().join("none"), &["--process", "nobody"]).unwrap_err();
    assert!(said.contains("no process nobody made a call: there are helper, server"), "{said}");
    let said = generated(&cap, &dir.path().join("none"), &["--user", "0"]).unwrap_err();
    assert!(said.contains("does not tell users"), "{said}");
    // A sample is of whole files, the same each time.
    let files = |name: &str| {
        let work = dir.path().join(name);
        generated(&cap, &work, &["--sample", "0.5"]).unwrap();
        rows(&[&work], "SELECT path, count(*) FROM ops WHERE op = 'read' GROUP BY 1 ORDER BY 1")
    };
    let some = files("some");
    assert_eq!(some, files("again"));
    assert!(some.iter().all(|row| ["/data/a,3", "/data/b,1"].contains(&row.as_str())), "{some:?}");
}

/// A predicate that leaves out what makes a file: it is there from the start.
#[test]
fn what_is_left_out_counts_as_done_by_somebody_else() {
    let dir = tempfile::tempdir().unwrap();
    let cap = capture(dir.path(), &program());
    let work = dir.path().join("work");
    generated(&cap, &work, &["--where", "op IN ('read', 'stat')"]).unwrap();
    assert_eq!(rows(&[&work], "SELECT kind, size FROM fileset WHERE path = '/data/log'"), ["file,1500"]);
    replayed(&work);
}

/// Has a capture know what the content of a file of 1,000 bytes is like.
fn tell(scratch: &Path, capture: &Path, path: &str, letter: &str, compressed: i64) {
    let profile = Profile::of(letter, 1000);
    let content = Content { sampled: 1000, compressed, profile, ..Content::default() };
    let draft = Draft::create(scratch, Kind::Capture).unwrap();
    contents::write(&draft, &[Sampled { path: path.into(), size: 1000, content }]).unwrap();
    draft.commit(Manifest::new()).unwrap();
    fs::rename(scratch.join("contents.parquet"), capture.join("contents.parquet")).unwrap();
    name_no_files(capture);
    fs::remove_dir_all(scratch).unwrap();
}

#[test]
fn captures_of_one_clock_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let manifest = |clock: &str, host: &str| {
        let mut manifest = Manifest::new();
        manifest.insert("clock".into(), clock.into());
        manifest.insert("host".into(), host.into());
        manifest
    };
    let mut other: Vec<Event> = program();
    for event in &mut other {
        event.set(Col::Pid, 7);
        event.set(Col::Tid, 7);
        event.set(Col::Ts, event.int(Col::Ts).unwrap() + 500_000);
        for text in [Text::Path, Text::Path2] {
            let path = event.text(text).map(|path| String::from_utf8(path.to_vec()).unwrap().replace("/data", "/other"));
            if let Some(path) = path {
                event.set_text(text, path.as_bytes());
            }
        }
    }
    let place = |name: &str| dir.path().join(name);
    let one = capture_with(place("one"), &program(), manifest("unix", "here"));
    let two = capture_with(place("two"), &other, manifest("unix", "here"));
    for (capture, path, letter, compressed) in [(&one, "/data/log", "E", 500), (&two, "/other/log", "I", 250)] {
        tell(&place("told"), capture, path, letter, compressed);
    }
    let work = place("work");
    generated(&one, &work, &["--merge", two.to_str().unwrap()]).unwrap();
    assert_eq!(number(&[&work], "SELECT count(*) FROM fates"), 46.0);
    // What is known of the content of files is that of both.
    let known = "SELECT compressed, profile FROM written WHERE profile IS NOT NULL ORDER BY compressed";
    assert_eq!(rows(&[&work], known), ["250,I", "500,E"]);
    assert_eq!(rows(&[&work], "SELECT path FROM ops ORDER BY op_id LIMIT 3"), ["/data", "/other", "/data"]);
    let run = replayed(&work);
    assert_eq!(number(&[&run], "SELECT count(*) FROM results WHERE outcome = 'same' AND origin = 'event'"), 46.0);
    for (name, events, clock, host, fault) in [
        ("same", program(), "unix", "here", "process 1 is in"),
        ("clock", other.clone(), "boot", "here", "have different clocks"),
        ("host", other.clone(), "unix", "there", "are of different machines"),
    ] {
        let third = capture_with(place(name), &events, manifest(clock, host));
        let said = generated(&one, &place("none"), &["--merge", third.to_str().unwrap()]).unwrap_err();
        assert!(said.contains(fault), "{said}");
    }
    assert!(!place("none").exists());
}

/// A call of a hostile capture that ends after the last moment there is comes last.
#[test]
fn moments_of_merged_captures_do_not_wrap() {
    let dir = tempfile::tempdir().unwrap();
    let made = |name: &str, pid: i64, ts: i64, dur: i64| {
        let path = format!("/{name}");
        let event = call(Syscall::mkdir, pid, 0, &[(Col::Ts, ts), (Col::Dur, dur)], Some(&path));
        let mut manifest = Manifest::new();
        manifest.insert("clock".into(), "unix".into());
        capture_with(dir.path().join(name), &[event], manifest)
    };
    let (late, early) = (made("late", 7, i64::MAX - 10, 1000), made("early", 8, 5, 10));
    let work = dir.path().join("work");
    generated(&late, &work, &["--merge", early.to_str().unwrap()]).unwrap();
    assert_eq!(rows(&[&work], "SELECT path FROM ops ORDER BY op_id"), ["/early", "/late"]);
}

#[test]
fn a_workload_that_would_fail_is_found_out() {
    let dir = tempfile::tempdir().unwrap();
    let cap = capture(dir.path(), &program());
    let (stages, work) = (dir.path().join("sql"), dir.path().join("work"));
    fs::create_dir(&stages).unwrap();
    // A stage of one's own that forgets files.
    let own =
        include_str!("../../../sql/generate/fileset.sql").replace("tag = 'fileset'", "tag = 'fileset' AND at_path <> '/data'");
    fs::write(stages.join("fileset.sql"), own).unwrap();
    let cap_of_two = capture_with(dir.path().join("two"), &two_programs(), Manifest::new());
    let own = ["--sql-dir", stages.to_str().unwrap()];
    generated(&cap, &work, &own).unwrap();
    expect(0, &["lint", work.to_str().unwrap()]);
    let sql =
        include_str!("../../../sql/generate/fileset.sql").replace("tag = 'fileset'", "tag = 'fileset' AND at_path <> '/data/a'");
    fs::write(stages.join("fileset.sql"), sql).unwrap();
    let bad = dir.path().join("bad");
    generated(&cap_of_two, &bad, &own).unwrap();
    let said = expect(1, &["lint", bad.to_str().unwrap()]);
    assert!(said.contains("no_path") && said.contains("/data/a"), "{said}");
    assert!(expect(1, &["lint", bad.to_str().unwrap(), "--format", "json"]).contains("\"severity\": \"error\""));
}

/// Options of a random what-if.
fn what_ifs() -> impl Strategy<Value = Vec<String>> {
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    let choose = prop_oneof![
        3 => Just(vec![]),
        1 => (2..5_u32, 0..5_u32).prop_map(|(of, at)| vec!["--where".into(), format!("seq % {of} = {}", at % of)]),
        1 => prop::sample::select(vec!["read", "write", "openat", "rename", "close", "unlink", "mkdir"])
            .prop_map(|op| vec!["--where".into(), format!("op <> '{op}'")]),
        1 => prop::sample::select(vec!["/tmp", "*a*", "/home/*", "*/[a-f]*"]).prop_map(move |path| words(&["--path", path])),
        1 => (0.1..0.9_f64, prop::bool::ANY).prop_map(|(share, file)| {
            vec!["--sample".into(), format!("{share:.2}"), "--sample-by".into(), if file { "file" } else { "process" }.into()]
        }),
    ];
    let window = prop_oneof![
        2 => Just(vec![]),
        1 => (0..1100_u32).prop_map(|from| vec!["--from".into(), format!("{from}ms")]),
        1 => (0..1000_u32, 20..600_u32).prop_map(|(from, span)| {
            vec!["--from".into(), format!("{from}ms"), "--to".into(), format!("{}ms", from + span)]
        }),
    ];
    let set = prop_oneof![
        2 => Just(vec![]),
        4 => prop::sample::subsequence(
            vec![
                "count = count / 2",
                "length = length * 2",
                "offset = offset + 512",
                "flags = flags | O_SYNC",
                "path = replace(path, '/tmp/', '/tmp/deep/er/')",
                "path2 = concat(path2, '.x')",
            ],
            1..3
        )
        .prop_map(|sets| sets.into_iter().flat_map(|set| ["--set".to_owned(), set.to_owned()]).collect()),
        1 => prop::sample::select(vec!["count = count * 3", "count = CASE WHEN seq % 2 = 0 THEN 4096 END", "flags = flags | O_DIRECT", "flags = flags | O_APPEND"])
            .prop_map(|set| vec!["--set".to_owned(), set.to_owned()]),
    ];
    let scale = prop_oneof![
        2 => Just(vec![]),
        1 => (2..4_u32, 0..50_u32).prop_map(|(tenants, shift)| {
            vec!["--scale".into(), tenants.to_string(), "--scale-shift".into(), format!("{shift}ms")]
        }),
    ];
    (choose, window, set, scale).prop_map(|(a, b, c, d)| [a, b, c, d].concat())
}

/// Either the linter refuses a what-if, or its replay has nothing that is not explained.
#[test]
fn random_what_ifs_of_real_captures_are_refused_or_replayed() {
    let dir = tempfile::tempdir().unwrap();
    let captures: Vec<PathBuf> = ["matrix.strace", "matrix.capture", "v5-matrix.capture", "compat32.strace"]
        .iter()
        .map(|name| {
            let out = dir.path().join(format!("{name}.cap"));
            expect(0, &["ingest", &data(name), "-o", out.to_str().unwrap()]);
            out
        })
        .collect();
    let mut runner = proptest::test_runner::TestRunner::new(cases("IORIOT_WHAT_IFS", 8, 1));
    let strategy = (prop::sample::select(captures), what_ifs());
    let result = runner.run(&strategy, |(capture, options)| {
        let scratch = tempfile::tempdir().unwrap();
        let work = scratch.path().join("work");
        let words: Vec<&str> = options.iter().map(String::as_str).collect();
        match generated(&capture, &work, &words) {
            Ok(()) => drop(replayed(&work)),
            Err(said) => prop_assert!(
                ["would fail", "no event in that time", "no call can have it"].iter().any(|fault| said.contains(fault)),
                "{said}"
            ),
        }
        Ok(())
    });
    if let Err(error) = result {
        panic!("{error}");
    }
}
