//! Ingest: real captures, hand-made trouble, random order.
#![allow(clippy::unwrap_used, reason = "a test may fail")]

mod closes;
mod turns;

use crate::skip::{Need, skip};
use crate::tool::asked;
use arrow::array::{AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use ioriot::ingest::{Captured, Input, Ledger, Options, run, synth};
use ioriot::progress::Progress;
use ioriot::schema::Dataset;
use ioriot::text;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use proptest::prelude::*;
use std::fs;
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};
use tempfile::TempDir;

mod arity;
mod ends;
mod flavours;
mod lines;
mod possible;
mod stepped;

/// A capture made in a directory of its own.
struct Made {
    _dir: TempDir,
    out: PathBuf,
    captured: Captured,
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(name)
}

fn ingest_with(paths: &[PathBuf], change: impl FnOnce(&mut Options)) -> anyhow::Result<Made> {
    let dir = tempfile::tempdir()?;
    let out = dir.path().join("capture");
    let inputs = paths.iter().map(|path| Input::parse(path)).collect();
    let mut options = Options::new(inputs, &out);
    change(&mut options);
    let summary = run(&options, &Progress::default());
    if summary.is_err() {
        assert_eq!(fs::read_dir(dir.path())?.count(), 0, "a failed ingest leaves something behind");
    }
    let mut summary = summary?;
    assert!(summary.ledger.closes());
    Ok(Made { out, captured: summary.captures.remove(0), _dir: dir })
}

fn ingest_text(text: impl AsRef<[u8]>) -> anyhow::Result<Made> {
    let mut file = tempfile::NamedTempFile::new()?;
    file.write_all(text.as_ref())?;
    ingest_with(&[file.path().to_owned()], |_| {})
}

fn table(out: &Path, name: &str) -> RecordBatch {
    Dataset::open(out).unwrap();
    let file = fs::File::open(out.join(format!("{name}.parquet"))).unwrap();
    let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let schema = std::sync::Arc::clone(reader.schema());
    let batches: Vec<RecordBatch> = reader.build().unwrap().map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

fn ints(batch: &RecordBatch, name: &str) -> Vec<Option<i64>> {
    batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().iter().collect()
}

fn texts(batch: &RecordBatch, name: &str) -> Vec<Option<String>> {
    batch.column_by_name(name).unwrap().as_string::<i32>().iter().map(|text| text.map(str::to_owned)).collect()
}

/// `syscall path ret` of every event, in order.
fn story(made: &Made) -> Vec<String> {
    let events = table(&made.out, "events");
    let (calls, paths, rets) = (texts(&events, "syscall"), texts(&events, "path"), ints(&events, "ret"));
    let word = |ret: &Option<i64>| ret.map_or("?".into(), |ret| ret.to_string());
    let path = |path: &Option<String>| path.clone().unwrap_or("-".into());
    (0..calls.len()).map(|i| format!("{} {} {}", calls[i].as_ref().unwrap(), path(&paths[i]), word(&rets[i]))).collect()
}

#[test]
fn the_ledger_closes_on_every_real_capture() {
    let pinned = [
        ("matrix.capture", [63, 1, 0, 0, 0, 62, 0]),
        ("matrix.fixed-mkdirat.capture", [63, 1, 0, 0, 0, 62, 0]),
        ("matrix.strace", [121, 0, 0, 1, 0, 120, 0]),
        ("compat32.capture", [16, 1, 0, 0, 0, 15, 0]),
        ("compat32.strace", [72, 0, 0, 1, 0, 71, 0]),
        ("a-sqlite.capture.gz", [9598, 1, 0, 0, 0, 9597, 0]),
        ("a-sqlite.bpftrace.capture.gz", [38766, 1, 0, 6, 0, 38759, 0]),
        ("a-sqlite.strace.gz", [130362, 0, 0, 9, 12, 130341, 0]),
        ("d-files.capture.gz", [56787, 1, 0, 0, 0, 56786, 0]),
        ("d-files.strace.gz", [145235, 0, 0, 41, 21749, 123445, 0]),
        ("e-fio.capture.gz", [13026, 1, 0, 0, 0, 13025, 0]),
        ("e-fio.lossy.capture.gz", [10579, 1, 0, 0, 0, 10578, 0]),
        ("e-fio.strace.gz", [20080, 0, 0, 34, 6296, 13750, 0]),
    ];
    for (name, [lines, headers, comments, notes, halves, events, rejects]) in pinned {
        let made = ingest_with(&[data(name)], |_| {}).unwrap();
        let expected = Ledger { lines, headers, comments, notes, halves, events, rejects };
        assert_eq!(made.captured.ledger, expected, "{name}");
        let seqs = ints(&table(&made.out, "events"), "seq");
        assert!(seqs.iter().enumerate().all(|(i, seq)| *seq == Some(i as i64)), "{name}: seq is not dense");
        let manifest = Dataset::open(&made.out).unwrap().manifest;
        assert_eq!(manifest["ledger"]["events"], events, "{name}");
    }
}

/// Probes fill a buffer per processor, which are printed one after the other: a thousand lines of this capture stand in
/// front of earlier ones. By seq each thread still makes one call after the other.
#[test]
fn a_thread_makes_one_call_after_the_other_whatever_the_order_of_lines() {
    let made = ingest_with(&[data("d-files.capture.gz")], |_| {}).unwrap();
    let events = table(&made.out, "events");
    let [lines, tids, starts, durs] = ["line", "tid", "ts", "dur"].map(|column| ints(&events, column));
    assert!(!lines.is_sorted(), "the capture is no longer what this test is about");
    let mut ends = std::collections::HashMap::new();
    for i in 0..lines.len() {
        // A few have lost their entry.
        let (Some(begin), Some(dur)) = (starts[i], durs[i]) else { continue };
        let before = ends.insert(tids[i], begin + dur).unwrap_or(i64::MIN);
        assert!(begin >= before, "line {:?} begins before the call before it in its thread has returned", lines[i]);
    }
}

#[test]
fn a_child_never_comes_before_its_fork() {
    for name in ["a-sqlite.strace.gz", "d-files.strace.gz", "e-fio.strace.gz"] {
        let made = ingest_with(&[data(name)], |_| {}).unwrap();
        let events = table(&made.out, "events");
        let (calls, tids, rets) = (texts(&events, "syscall"), ints(&events, "tid"), ints(&events, "ret"));
        let mut forks = 0;
        for i in 0..calls.len() {
            let call = calls[i].as_deref().unwrap();
            if !["fork", "vfork", "clone", "clone3"].contains(&call) || rets[i].is_none_or(|ret| ret <= 0) {
                continue;
            }
            forks += 1;
            let first = tids.iter().position(|tid| *tid == rets[i]);
            assert!(first.is_none_or(|first| first > i), "{name}: thread {:?} acts at {first:?}, is made at {i}", rets[i]);
        }
        assert!(forks >= 4, "{name}: {forks}");
    }
}

#[test]
fn threads_belong_to_their_process() {
    let made = ingest_with(&[data("e-fio.strace.gz")], |_| {}).unwrap();
    let events = table(&made.out, "events");
    let (pids, tids) = (ints(&events, "pid"), ints(&events, "tid"));
    assert!(tids.iter().zip(&pids).any(|(tid, pid)| tid != pid));
    assert!(pids.iter().all(|pid| pid.is_some_and(|pid| tids.contains(&Some(pid)))));
}

#[test]
fn lost_names_are_absent_and_fstats_have_empty_paths() {
    let made = ingest_with(&[data("matrix.capture")], |_| {}).unwrap();
    let events = table(&made.out, "events");
    let (calls, paths, flags) = (texts(&events, "syscall"), texts(&events, "path"), ints(&events, "flags"));
    for i in 0..calls.len() {
        match calls[i].as_deref().unwrap() {
            "mkdirat" => assert_eq!(paths[i], None),
            "newfstatat" if flags[i] == Some(4096) => assert_eq!(paths[i].as_deref(), Some("")),
            _ => {}
        }
    }
    let last = calls.len() - 1;
    assert_eq!((calls[last].as_deref(), ints(&events, "ts")[last]), (Some("exit_group"), None));
}

#[test]
fn trouble_in_a_capture_is_counted_rejects() {
    let long = "x".repeat(2 << 20);
    let mut text = b"#|capture_version=4|\n\n# a word\nt=2000;:,D=1000;:,i=7:8;:,o=close;:,d=3;:,s=0;:,\n".to_vec();
    text.extend_from_slice(b"t=2000;:,D=1000;:,i=7:8;:,o=close;:,d=3;:,t=2000;:,D=1;:,i=7:8;:,o=close;:,d=3;:,s=0;:,\n");
    text.extend_from_slice(b"t=2000;:,D=1000;:,i=7:8;:,o=clo\0\0;:,d=3;:,s=0;:,\n");
    text.extend_from_slice(format!("t=2000;:,D=1000;:,i=7:8;:,o=stat;:,p={long};:,s=0;:,\n").as_bytes());
    text.extend_from_slice(b"t=3000;:,D=1000;:,i=7:8;:,o=stat;:,p=/caf\xe9\xff;:,s=-2;:,\n");
    text.extend_from_slice(b"t=3000;:,D=1000;:,i=7:8;:,o=stat;:,p=/cut");
    let made = ingest_text(&text).unwrap();
    let Ledger { lines, headers, comments, notes, events, rejects, .. } = made.captured.ledger;
    assert_eq!([lines, headers, comments, notes, events, rejects], [9, 1, 1, 1, 2, 4]);
    let rejects = table(&made.out, "rejects");
    assert_eq!(ints(&rejects, "line"), [5, 6, 7, 9].map(Some));
    assert_eq!(texts(&rejects, "reason"), ["glued", "nul", "long", "cut"].map(|word| Some(word.into())));
    assert!(texts(&rejects, "text").iter().all(|text| text.as_ref().is_some_and(|text| text.len() < 600)));
    let path = texts(&table(&made.out, "events"), "path")[1].clone().unwrap();
    assert_eq!(text::decode(&path).as_ref(), b"/caf\xe9\xff");
}

#[test]
fn what_is_no_capture_is_refused() {
    let error = |text: &[u8]| format!("{:#}", ingest_text(text).err().unwrap());
    assert!(error(b"").contains("is empty"));
    assert!(error(b"#|capture_version=4|\n").contains("no events"));
    assert!(error(b"\x7fELF\0\0\0\x01binary\0").contains("binary data"));
    assert!(error(b"hello\nworld\n").contains("known format"));
    assert!(error(&b"z".repeat(3 << 20)).contains("known format"));
    let missing = ingest_with(&["/nowhere/at/all".into()], |_| {}).err().unwrap();
    assert!(format!("{missing:#}").contains("cannot open /nowhere/at/all"));
}

#[test]
fn compressed_inputs_are_recognised_and_cut_ones_refused() {
    let dir = tempfile::tempdir().unwrap();
    let packed = fs::read(data("e-fio.capture.gz")).unwrap();
    let mut plain = Vec::new();
    flate2::read::GzDecoder::new(&packed[..]).read_to_end(&mut plain).unwrap();

    let zst = dir.path().join("named-wrongly.gz");
    fs::write(&zst, zstd::encode_all(&plain[..], 1).unwrap()).unwrap();
    let two = dir.path().join("two-members.gz");
    fs::write(&two, [&packed[..], &packed[..]].concat()).unwrap();
    assert_eq!(ingest_with(&[zst], |_| {}).unwrap().captured.ledger.events, 13025);
    assert_eq!(ingest_with(&[two], |_| {}).unwrap().captured.ledger.events, 2 * 13025);

    let cut = dir.path().join("cut.gz");
    fs::write(&cut, &packed[..packed.len() - 1000]).unwrap();
    let error = format!("{:#}", ingest_with(&[cut], |_| {}).err().unwrap());
    assert!(error.contains("cut.gz") && error.contains("truncated"), "{error}");
    let cut = dir.path().join("cut.zst");
    let packed = zstd::encode_all(&plain[..], 1).unwrap();
    fs::write(&cut, &packed[..packed.len() - 1000]).unwrap();
    assert!(ingest_with(&[cut], |_| {}).is_err());
}

#[test]
fn halves_join_and_what_never_returns_has_no_outcome() {
    let made = ingest_text(
        "10 read(3</a>,  <unfinished ...>\n\
         11 close(4) = 0\n\
         10 <... read resumed>\"x\", 10) = 1\n\
         10 <... read resumed>\"x\", 10) = 1\n\
         11 read(5, \"\", 3) = ? ERESTARTSYS (To be restarted if SA_RESTART is set)\n\
         11 --- SIGTERM {si_signo=SIGTERM} ---\n\
         10 fsync(3</a> <unfinished ...>\n\
         11 +++ killed by SIGTERM +++\n",
    )
    .unwrap();
    let Ledger { lines, notes, halves, events, rejects, .. } = made.captured.ledger;
    assert_eq!([lines, notes, halves, events, rejects], [8, 1, 1, 5, 1]);
    assert_eq!(story(&made), ["read - 1", "close - 0", "read - ?", "fsync - ?", "exit_group - ?"]);
    assert_eq!(made.captured.rejects.get("resumed"), Some(&1));
}

#[test]
fn without_pids_the_first_process_is_told_apart() {
    let made = ingest_text(
        "execve(\"/bin/sh\", [\"sh\"], 0x7ff /* 3 vars */) = 0\n\
         clone(child_stack=NULL, flags=SIGCHLDstrace: Process 124 attached\n\
         \x20<unfinished ...>\n\
         [pid   124] close(3) = 0\n\
         [pid   123] <... clone resumed>, child_tidptr=0x7) = 124\n\
         [pid   123] close(4) = 0\n\
         [pid   124] +++ exited with 0 +++\n\
         close(5) = 0\n",
    )
    .unwrap();
    let events = table(&made.out, "events");
    assert_eq!(texts(&events, "syscall"), ["execve", "clone", "close", "close", "close"].map(|name| Some(name.into())));
    assert_eq!(ints(&events, "tid"), [0, 0, 124, 0, 0].map(Some));
    assert_eq!(ints(&events, "fd"), [None, None, Some(3), Some(4), Some(5)]);
}

#[test]
fn clocks_of_every_flavour() {
    let ts = |text: &str| {
        let made = ingest_text(text).unwrap();
        (made.captured.clock.name(), ints(&table(&made.out, "events"), "ts"))
    };
    let s = 1_000_000_000;
    assert_eq!(ts("23:59:59 close(3) = 0\n00:00:01 close(4) = 0\n"), ("day", vec![Some(86399 * s), Some(86401 * s)]));
    assert_eq!(ts("     0.000000 close(3) = 0\n     1.500000 close(4) = 0\n"), ("relative", vec![Some(0), Some(3 * s / 2)]));
    assert_eq!(ts("close(3) = 0\nclose(4) = 0\n"), ("none", vec![None, None]));
    assert_eq!(ts("t=5000;:,D=1000;:,i=1:1;:,o=close;:,d=3;:,s=0;:,\n"), ("boot", vec![Some(4000)]));
}

#[test]
fn overlapping_calls_are_put_right_by_their_results() {
    // An open meets the directory before its mkdir returned.
    let made = ingest_text(
        "1 mkdir(\"/d\", 0777 <unfinished ...>\n\
         2 open(\"/d\", O_RDONLY) = 3\n\
         1 <... mkdir resumed>) = 0\n",
    )
    .unwrap();
    assert_eq!(story(&made), ["mkdir /d 0", "open /d 3"]);
    assert_eq!(made.captured.repairs.get("name_made"), Some(&1));

    // EEXIST, too; and a name still met after its unlink began.
    let made = ingest_text(
        "1 mkdir(\"/d\", 0777 <unfinished ...>\n\
         2 mkdir(\"/d\", 0777) = -1 EEXIST (File exists)\n\
         1 <... mkdir resumed>) = 0\n\
         1 unlink(\"/f\" <unfinished ...>\n\
         2 stat(\"/f\", {st_mode=S_IFREG|0644, st_size=0, ...}) = 0\n\
         1 <... unlink resumed>) = 0\n",
    )
    .unwrap();
    assert_eq!(story(&made), ["mkdir /d 0", "mkdir /d -1", "stat /f 0", "unlink /f 0"]);
    assert_eq!((made.captured.repairs.get("name_made"), made.captured.repairs.get("name_gone")), (Some(&1), Some(&1)));

    // A descriptor read by another thread while its close has begun.
    let line = |t: i64, d: i64, tid: i64, rest: &str| format!("t={t};:,D={d};:,i=5:{tid};:,o={rest}\n");
    let made = ingest_text(
        line(2000, 100, 5, "read;:,d=3;:,b=1;:,")
            + &line(2900, 100, 6, "read;:,d=3;:,b=1;:,")
            + &line(3000, 500, 5, "close;:,d=3;:,s=0;:,"),
    )
    .unwrap();
    assert_eq!(story(&made), ["read - 1", "read - 1", "close - 0"]);
    assert_eq!(made.captured.repairs.get("fd_gone"), Some(&1));

    // However many meet it.
    let made = ingest_text(
        "1 unlink(\"/f\" <unfinished ...>\n\
         2 stat(\"/f\", {st_mode=S_IFREG|0644, st_size=0, ...}) = 0\n\
         3 stat(\"/f\", {st_mode=S_IFREG|0644, st_size=0, ...}) = 0\n\
         1 <... unlink resumed>) = 0\n",
    )
    .unwrap();
    assert_eq!(story(&made), ["stat /f 0", "stat /f 0", "unlink /f 0"]);

    // Nothing is moved where nothing overlaps.
    let made = ingest_text("2 open(\"/d\", O_RDONLY) = 3\n1 mkdir(\"/d\", 0777) = 0\n").unwrap();
    assert_eq!((story(&made).len(), made.captured.repairs.len()), (2, 0));
}

#[test]
fn overlapping_calls_are_put_right_by_the_locks_they_were_refused() {
    let lock = |thread: u32, kind: &str, start: u32, after: &str| {
        format!("{thread} fcntl(3</f>, F_SETLK, {{l_type=F_{kind}, l_whence=SEEK_SET, l_start={start}, l_len=10}}{after}\n")
    };
    let (begins, had, refused) = (" <unfinished ...>", ") = 0", ") = -1 EAGAIN (Resource temporarily unavailable)");
    // Refused before another that overlaps has returned with the lock, or after that began to let go of it.
    let text = [
        lock(1, "WRLCK", 0, begins),
        lock(2, "RDLCK", 5, refused),
        "1 <... fcntl resumed>) = 0\n".into(),
        lock(1, "UNLCK", 0, begins),
        lock(2, "WRLCK", 9, refused),
        "1 <... fcntl resumed>) = 0\n".into(),
        // Another range, and a lock that is shared: no proof.
        lock(1, "WRLCK", 100, begins),
        lock(2, "WRLCK", 110, refused),
        "1 <... fcntl resumed>) = 0\n".into(),
        lock(1, "RDLCK", 50, begins),
        lock(2, "RDLCK", 50, had),
        "1 <... fcntl resumed>) = 0\n".into(),
    ];
    let made = ingest_text(text.concat()).unwrap();
    let events = table(&made.out, "events");
    let columns = ["tid", "mode", "offset", "count", "errno"].map(|name| ints(&events, name));
    let locks: Vec<_> = (0..columns[0].len()).map(|row| columns.each_ref().map(|column| column[row].unwrap_or(-1))).collect();
    assert_eq!(
        locks,
        [
            [1, 1, 0, 10, 0],
            [2, 0, 5, 10, 11],
            [2, 1, 9, 10, 11],
            [1, 2, 0, 10, 0],
            [2, 1, 110, 10, 11],
            [1, 1, 100, 10, 0],
            [2, 0, 50, 10, 0],
            [1, 0, 50, 10, 0]
        ]
    );
    assert_eq!((made.captured.repairs.get("lock_taken"), made.captured.repairs.get("lock_held")), (Some(&1), Some(&2)));
}

#[test]
fn who_had_a_lock_knows_that_it_was_free() {
    let lock = |thread: u32, kind: &str, after: &str| {
        format!("{thread} fcntl(3</f>, F_SETLKW, {{l_type=F_{kind}, l_whence=SEEK_SET, l_start=0, l_len=10}}{after}\n")
    };
    let begins = " <unfinished ...>";
    let text = [
        // It lets go, and only returns when the other has had the lock in between, and is refused it for the second time.
        lock(1, "UNLCK", begins),
        lock(2, "WRLCK", ") = 0"),
        lock(2, "UNLCK", ") = 0"),
        lock(2, "WRLCK", begins),
        "1 <... fcntl resumed>) = 0\n".into(),
        lock(1, "WRLCK", begins),
        "2 <... fcntl resumed>) = -1 EAGAIN (Resource temporarily unavailable)\n".into(),
        "1 <... fcntl resumed>) = 0\n".into(),
    ];
    let made = ingest_text(text.concat()).unwrap();
    let events = table(&made.out, "events");
    let [threads, modes] = ["tid", "mode"].map(|name| ints(&events, name).into_iter().flatten().collect::<Vec<_>>());
    assert_eq!((threads, modes), (vec![1, 2, 2, 1, 2], vec![2, 1, 2, 1, 1]));
    assert_eq!((made.captured.repairs.get("lock_taken"), made.captured.repairs.get("lock_held")), (Some(&1), None));
}

#[test]
fn who_closes_or_ends_lets_go_of_locks_after_others_were_refused() {
    let lock = |thread: u32, refused: bool| {
        let outcome = if refused { "-1 EAGAIN (Resource temporarily unavailable)" } else { "0" };
        format!("{thread} fcntl(3</f>, F_SETLK, {{l_type=F_WRLCK, l_whence=SEEK_SET, l_start=0, l_len=0}}) = {outcome}\n")
    };
    let text = [
        lock(1, false),
        "1 close(4</f> <unfinished ...>\n".into(),
        lock(2, true),
        "1 <... close resumed>) = 0\n".into(),
        lock(2, false),
        "2 exit_group(0) = ?\n".into(),
        lock(1, true),
        lock(1, true),
        lock(1, false),
        // Who never had it, and who ended before others had it, has nothing to do with this.
        "3 close(3</f> <unfinished ...>\n".into(),
        lock(4, true),
        "3 <... close resumed>) = 0\n".into(),
    ];
    let made = ingest_text(text.concat()).unwrap();
    let events = table(&made.out, "events");
    let threads: Vec<_> = ints(&events, "tid").into_iter().flatten().collect();
    assert_eq!(threads, [1, 2, 1, 2, 1, 1, 2, 1, 3, 4]);
    assert_eq!(made.captured.repairs.get("lock_held"), Some(&3));
}

/// A lock that somebody else shares is not free when one lets go of it, nor is one of which a part was released.
#[test]
fn a_refusal_is_explained_by_whoever_holds_the_lock_still() {
    let lock = |thread: u32, kind: &str, start: u32, after: &str| {
        format!("{thread} fcntl(3</f>, F_SETLK, {{l_type=F_{kind}, l_whence=SEEK_SET, l_start={start}, l_len=10}}{after}\n")
    };
    let (begins, had, refused) = (" <unfinished ...>", ") = 0", ") = -1 EAGAIN (Resource temporarily unavailable)");
    let resumed = || "1 <... fcntl resumed>) = 0\n".to_owned();
    let text = [
        lock(1, "RDLCK", 0, had),
        lock(2, "RDLCK", 0, had),
        lock(1, "UNLCK", 0, begins),
        lock(3, "WRLCK", 0, refused),
        resumed(),
        // What is left of a range is held.
        lock(2, "UNLCK", 0, had),
        lock(1, "WRLCK", 100, had),
        lock(1, "UNLCK", 95, begins),
        lock(3, "WRLCK", 100, refused),
        resumed(),
        lock(1, "UNLCK", 105, begins),
        lock(3, "WRLCK", 100, refused),
        resumed(),
    ];
    let made = ingest_text(text.concat()).unwrap();
    // Only the last one came before the other let go: both calls are moved.
    assert_eq!(made.captured.repairs.get("lock_held"), Some(&2));
}

#[test]
fn overlapping_calls_are_put_right_by_the_sizes_they_saw() {
    // A page is added while others ask for the end: two still find the old one, a fourth overlaps and finds the new one.
    let made = ingest_text(
        "4 lseek(3</f>, 0, SEEK_END <unfinished ...>\n\
         1 pwrite64(3</f>, \"\"..., 100, 1000 <unfinished ...>\n\
         2 lseek(3</f>, 0, SEEK_END) = 1000\n\
         3 pread64(3</f>, \"\"..., 500, 900) = 100\n\
         3 lseek(3</f>, 0, SEEK_END) = 1100\n\
         1 <... pwrite64 resumed>) = 100\n\
         4 <... lseek resumed>) = 1100\n",
    )
    .unwrap();
    assert_eq!(story(&made), ["lseek - 1000", "pread64 - 100", "pwrite64 - 100", "lseek - 1100", "lseek - 1100"]);
    assert_eq!((made.captured.repairs.get("size_old"), made.captured.repairs.get("size_new")), (Some(&1), Some(&1)));

    // Another file, or what is no file at all, proves nothing.
    let made = ingest_text(
        "1 pwrite64(3</f>, \"\"..., 100, 1000 <unfinished ...>\n\
         2 lseek(3</g>, 0, SEEK_END) = 1000\n\
         2 read(4<pipe:[1]>, \"\"..., 500) = 100\n\
         1 <... pwrite64 resumed>) = 100\n",
    )
    .unwrap();
    assert_eq!(made.captured.repairs.len(), 0);
}

#[test]
fn several_inputs_are_hosts_or_parts_of_one_capture() {
    let dir = tempfile::tempdir().unwrap();
    let line = |t: u64, fd: u64| format!("t={};:,D=10;:,i=1:1;:,o=close;:,d={fd};:,s=0;:,\n", 1_795_000_000_000_000_000 + t);
    let (a, b) = (dir.path().join("a.capture"), dir.path().join("b.capture"));
    fs::write(&a, (0..100).map(|i| line(i * 200, 2 * i)).collect::<String>()).unwrap();
    fs::write(&b, (0..100).map(|i| line(i * 200 + 100, 2 * i + 1)).collect::<String>()).unwrap();
    let both = [a.clone(), b];
    let merged = ingest_with(&both, |options| options.merge = true).unwrap();
    assert_eq!(ints(&table(&merged.out, "events"), "fd"), (0..200).map(Some).collect::<Vec<_>>());

    let hosts = ingest_with(&both, |_| {}).unwrap();
    for host in ["a", "b"] {
        let events = table(&hosts.out.join(format!("host={host}")), "events");
        assert_eq!((events.num_rows(), texts(&events, "host")[0].as_deref()), (100, Some(host)));
    }
    // What fails leaves nothing, which would be in the way of the next attempt.
    let bad = dir.path().join("bad.capture");
    fs::write(&bad, "nothing\n").unwrap();
    let fleet = dir.path().join("fleet");
    let try_with = |second: &Path| {
        let inputs = [both[0].as_path(), second].map(|file: &Path| Input::parse(file)).to_vec();
        run(&Options::new(inputs, &fleet), &Progress::default())
    };
    try_with(&bad).unwrap_err();
    assert!(!fleet.exists());
    try_with(&both[1]).unwrap();
    assert!(format!("{:#}", try_with(&both[1]).unwrap_err()).contains("exists already"));
    let error = |result: anyhow::Result<Made>| format!("{:#}", result.err().unwrap());
    assert!(error(ingest_with(&[a.clone(), a.clone()], |_| {})).contains("--merge"));
    assert!(error(ingest_with(&both, |options| options.host = Some("x".into()))).contains("names one"));
    let c = dir.path().join("c.strace");
    fs::write(&c, "close(3) = 0\n").unwrap();
    assert!(error(ingest_with(&[a, c], |options| options.merge = true)).contains("cannot be merged"));
}

#[test]
fn files_of_one_thread_each_tell_it_by_their_names() {
    let dir = tempfile::tempdir().unwrap();
    let (parent, child) = (dir.path().join("t.100"), dir.path().join("t.101"));
    let clone = "clone(child_stack=NULL, flags=CLONE_CHILD_SETTID|SIGCHLD, child_tidptr=0x7f) = 101 <0.000100>";
    fs::write(&parent, format!("1795384896.000100 {clone}\n1795384896.000300 close(3) = 0 <0.000010>\n")).unwrap();
    fs::write(&child, "1795384896.000150 close(4) = 0 <0.000010>\n1795384896.000400 +++ exited with 0 +++\n").unwrap();
    let made = ingest_with(&[parent, child.clone()], |options| options.merge = true).unwrap();
    let events = table(&made.out, "events");
    assert_eq!(texts(&events, "syscall"), ["clone", "close", "close"].map(|name| Some(name.into())));
    assert_eq!(ints(&events, "tid"), [100, 101, 100].map(Some));
    assert_eq!(ints(&events, "fd"), [None, Some(4), Some(3)]);

    // A line that names its thread is believed, whatever the file is called.
    let part = dir.path().join("part.1");
    fs::write(&part, "7 1795384896.000120 close(5) = 0 <0.000010>\n").unwrap();
    let made = ingest_with(&[child, part], |options| options.merge = true).unwrap();
    assert_eq!(ints(&table(&made.out, "events"), "tid"), [7, 101].map(Some));
}

/// `strace -ff` of a program that makes threads early and late, each file many windows long, the threads' files first.
#[test]
fn files_of_one_thread_each_are_merged_line_by_line() {
    const CALLS: i64 = 30_000;
    let dir = tempfile::tempdir().unwrap();
    let stamp = |us: i64| format!("{}.{:06}", 1_795_384_896 + us / 1_000_000, us % 1_000_000);
    // Each thread closes descriptors that tell when: at 10 us, 20 us ... plus its number.
    let calls = |number: i64, from: i64| -> String {
        (from..CALLS).map(|i| format!("{} close({}) = 0 <0.000002>\n", stamp(10 * i + number), 10 * i + number)).collect()
    };
    let clone = |at: i64, tid: i64| {
        let flags = "flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD";
        format!("{} clone(child_stack=0x7f, {flags}) = {tid} <0.000001>\n", stamp(at))
    };
    let leader = clone(0, 101) + &calls(0, 1);
    let late = 10 * (CALLS - 2) + 3;
    let (before, after) = leader.split_at(leader.len() - calls(0, CALLS - 1).len());
    let leader = format!("{before}{}{after}", clone(late, 102));
    let files = [(102, calls(5, CALLS - 2)), (101, calls(1, 1)), (100, leader)];
    let paths = files.map(|(tid, text)| {
        let path = dir.path().join(format!("t.{tid}"));
        fs::write(&path, text).unwrap();
        path
    });
    let made = ingest_with(&paths, |options| options.merge = true).unwrap();
    let events = table(&made.out, "events");
    assert_eq!(made.captured.stragglers, 0);
    assert!(ints(&events, "pid").iter().all(|pid| *pid == Some(100)), "a thread was taken for a process");
    let closed: Vec<i64> = ints(&events, "fd").into_iter().flatten().collect();
    assert!(closed.is_sorted() && closed.len() as i64 == 2 * (CALLS - 1) + 2, "{}", closed.len());
}

#[test]
fn what_comes_late_goes_by_way_of_the_disk_to_its_place() {
    // Reads of 3, 30, 300 ... lines among closes, and a window of 64 events.
    let mut lines: Vec<(i64, String)> = Vec::new();
    for i in 0..20_000i64 {
        let (t, d) = if i % 7 == 0 {
            (1_000_000 + i * 10, [30, 300, 3000, 30_000, 150_000][i as usize / 7 % 5])
        } else {
            (1_000_000 + i * 10, 5)
        };
        lines.push((t, format!("t={t};:,D={d};:,i=1:{};:,o=read;:,d=3;:,b=1;:,\n", i % 100 + 1)));
    }
    let text: String = lines.iter().map(|(_, line)| line.as_str()).collect();
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), text).unwrap();
    let small = ingest_with(&[file.path().to_owned()], |options| options.window = 32).unwrap();
    let large = ingest_with(&[file.path().to_owned()], |options| options.window = 100_000).unwrap();
    assert!(small.captured.stragglers > 1000 && large.captured.stragglers == 0);
    let ts = ints(&table(&small.out, "events"), "ts");
    assert!(ts.is_sorted());
    assert_eq!(table(&small.out, "events"), table(&large.out, "events"));
    let mut files: Vec<_> = fs::read_dir(&small.out).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, ["events.parquet", "losses.parquet", "manifest.json", "rejects.parquet"]);
}

#[test]
fn synthetic_captures_come_through_whole() {
    for format in ioriot::ingest::Format::ALL {
        let mut text = Vec::new();
        let expected = synth::write(&synth::Options::new(*format, 30_000), &mut text).unwrap();
        let made = ingest_text(&text).unwrap();
        let ledger = made.captured.ledger;
        assert_eq!((ledger.lines, ledger.events, ledger.rejects), (expected.lines, expected.calls, 0), "{format:?}");
        assert_eq!(made.captured.repairs.values().sum::<u64>(), 0, "{format:?}: threads share nothing that changes");
        assert!(!expected.final_files.is_empty() && !expected.need_before.is_empty() && !expected.gone.is_empty());
    }
}

#[test]
fn a_full_disk_is_said_and_nothing_stays() {
    let dir = tempfile::tempdir().unwrap();
    let place = std::ffi::CString::new(dir.path().to_str().unwrap()).unwrap();
    let (kind, size) = (c"tmpfs", c"size=256k");
    // SAFETY: the strings end in NUL and live through the calls; mount(2) reads them only.
    let mounted = unsafe { libc::mount(kind.as_ptr(), place.as_ptr(), kind.as_ptr(), 0, size.as_ptr().cast()) };
    if mounted != 0 {
        return skip(Need::Root, "a small file system cannot be mounted");
    }
    let out = dir.path().join("capture");
    let error = run(&Options::new(vec![Input::parse(&data("d-files.strace.gz"))], &out), &Progress::default());
    let left = fs::read_dir(dir.path()).unwrap().count();
    // SAFETY: as above.
    unsafe { libc::umount2(place.as_ptr(), libc::MNT_DETACH) };
    let error = format!("{:#}", error.unwrap_err());
    assert!(error.contains("No space left"), "{error}");
    assert_eq!(left, 0);
}

/// The formats, and a real file of each.
const FORMATS: [(&str, &str); 7] = [
    ("version 2", "matrix.capture"),
    ("version 3", "matrix.capture"),
    ("version 4", "compat32.capture"),
    ("version 5", "v5-matrix.capture"),
    ("bpftrace", "a-sqlite.bpftrace.capture.gz"),
    ("strace", "matrix.strace"),
    ("strace with halves", "e-fio.strace.gz"),
];

/// Some lines of a real file, as seeds of damage; the first ones, by which the format is known, stay whole.
fn seeds((format, name): (&str, &str)) -> Vec<Vec<u8>> {
    const SOME: usize = 400;
    let mut bytes = fs::read(data(name)).unwrap();
    if name.ends_with(".gz") {
        let mut text = Vec::new();
        flate2::read::MultiGzDecoder::new(&bytes[..]).take(1 << 20).read_to_end(&mut text).unwrap();
        bytes = text;
    }
    let mut lines: Vec<Vec<u8>> = bytes.split(|c| *c == b'\n').take(SOME).map(<[u8]>::to_vec).collect();
    if format == "version 2" {
        lines.iter_mut().for_each(|line| *line = in_millis(line));
        lines[0] = b"#|capture_version=2|".to_vec();
    }
    if format == "version 3" {
        lines[0] = b"#|capture_version=3|".to_vec();
    }
    lines
}

/// A line of version 4 as one of version 2.
fn in_millis(line: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(line);
    let Some((time, rest)) = text.strip_prefix("t=").and_then(|text| text.split_once(";:,D=")) else { return line.to_vec() };
    let rest = rest.split_once(";:,").map_or("", |(_, rest)| rest);
    format!("t={};:,{rest}", &time[..time.len() - 6]).into_bytes()
}

const WHOLE: usize = 12;

proptest! {
    #![proptest_config(ProptestConfig { cases: asked("IORIOT_GARBLED").unwrap_or(48), ..ProptestConfig::default() })]

    /// Whatever happens to the lines, nothing panics and every one is accounted for.
    #[test]
    fn damaged_lines_are_accounted_for(
        format in prop::sample::select(&FORMATS[..]),
        edits in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), 0..5u8, any::<u8>()), 1..200),
    ) {
        let seeds = seeds(format);
        let mut lines = seeds.clone();
        for (line, at, kind, byte) in edits {
            let line = line.get_mut(&mut lines[WHOLE..]);
            if line.is_empty() { continue }
            let at = at.index(line.len());
            match kind {
                0 => line[at] = byte,
                1 => line.truncate(at),
                2 => { line.remove(at); }
                3 => line.insert(at, byte),
                _ => { let tail = line[at..].to_vec(); line.extend(tail); }
            }
        }
        let text = lines.join(&b'\n');
        let made = ingest_text(&text).unwrap();
        prop_assert!(made.captured.ledger.closes());
        if format.0 == "version 5" {
            // Its lines say of themselves whether they are whole.
            let whole = text.split(|byte| *byte == b'\n').filter(|line| line.starts_with(b"n=") && seeds.iter().any(|seed| seed == line));
            prop_assert_eq!(made.captured.ledger.events, whole.count() as u64);
        }
    }

    /// Random intervals, in the order in which they end, come out in the order of their beginnings, whatever the window.
    #[test]
    fn any_order_is_sorted(spans in proptest::collection::vec((1..5000i64, 1..5000i64), 1..400), window in 1..40usize) {
        let mut calls: Vec<(i64, i64)> = spans.into_iter().map(|(start, dur)| (10_000 + start, dur)).collect();
        calls.sort_by_key(|(start, dur)| start + dur);
        // Each of a thread of its own: calls of one do not overlap.
        let line = |(tid, (start, dur)): (usize, &(i64, i64))| {
            format!("t={};:,D={dur};:,i={tid}:{tid};:,o=read;:,d=3;:,b=1;:,\n", start + dur)
        };
        let file = tempfile::NamedTempFile::new().unwrap();
        fs::write(file.path(), calls.iter().enumerate().map(line).collect::<String>()).unwrap();
        let made = ingest_with(&[file.path().to_owned()], |options| options.window = window).unwrap();
        let ts: Vec<i64> = ints(&table(&made.out, "events"), "ts").into_iter().flatten().collect();
        calls.sort();
        prop_assert_eq!(ts, calls.iter().map(|(start, _)| *start).collect::<Vec<_>>());
    }
}

#[test]
fn files_of_strace_ff_belong_to_the_process_in_their_name() {
    let dir = tempfile::tempdir().unwrap();
    let (parent, child) = (dir.path().join("trace.100"), dir.path().join("trace.101"));
    fs::write(
        &parent,
        "1795000000.000001 chdir(\"/a\") = 0 <0.000001>\n\
         1795000000.000010 fork() = 101 <0.000005>\n\
         1795000000.000030 wait4(101, NULL, 0, NULL) = 101 <0.000050>\n\
         1795000000.000090 exit_group(0) = ?\n1795000000.000091 +++ exited with 0 +++\n",
    )
    .unwrap();
    let other = "1795000000.000013 unlink(\"x\") = 0 <0.000001>\n1795000000.000040 +++ killed by SIGKILL +++\n";
    fs::write(&child, other).unwrap();
    let made = ingest_with(&[parent, child], |options| options.merge = true).unwrap();
    let events = table(&made.out, "events");
    assert_eq!(made.captured.host, "trace");
    assert_eq!(ints(&events, "tid"), [100, 100, 101, 101, 100, 100].map(Some));
    assert_eq!(ints(&events, "pid"), ints(&events, "tid"));
}

#[test]
fn an_error_does_not_wait_for_standard_input() {
    let scratch = tempfile::tempdir().unwrap();
    let line = |t: u64| format!("t={};:,D=5;:,i=7:7;:,o=stat;:,p=/{};:,s=0;:,\n", 1_760_000_000_000_000_000 + t, "x".repeat(200));
    let lines: String = (0..20_000).map(line).collect();
    let (cut, out) = (scratch.path().join("cut.zst"), scratch.path().join("capture"));
    let packed = zstd::encode_all(lines.as_bytes(), 0).unwrap();
    fs::write(&cut, &packed[..packed.len() / 2]).unwrap();
    let mut child = crate::tool::command(&["ingest", "-", cut.to_str().unwrap(), "--merge", "-o", out.to_str().unwrap()])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // The pipe stays open.
    let mut stdin = child.stdin.take().unwrap();
    let feed = std::thread::spawn(move || {
        let _ = stdin.write_all(lines.as_bytes());
        stdin
    });
    let end = Instant::now() + Duration::from_secs(60);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > end {
            child.kill().unwrap();
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let status = child.wait().unwrap();
    drop(feed.join().unwrap());
    assert_eq!(status.code(), Some(2));
    assert!(!out.exists());
}
