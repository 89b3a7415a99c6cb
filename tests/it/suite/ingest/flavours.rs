//! One job (tests/data/flavours/job.c) under three versions of strace with many options: every log gives the same events,
//! as far as it carries them.

use super::{data, ingest_with, ints, table, texts};
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

/// What a log does not have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Lacks {
    /// Texts behind these calls' arguments: only their addresses were printed.
    Texts(&'static [&'static str]),
    /// These columns of these calls.
    Columns(&'static [&'static str], &'static [&'static str]),
    /// These calls: some are rejects.
    Calls(&'static [&'static str]),
    /// Calls that were not traced.
    Untraced,
    /// Calls that failed, or those that did not.
    Failed,
    Succeeded,
    /// All threads but one.
    Threads(usize),
    /// The result of the calls that strace did not let happen.
    Results(&'static [&'static str]),
}

use Lacks::{Calls, Columns, Failed, Results, Succeeded, Texts, Threads, Untraced};

/// The reference: `-f -ttt`, strace 6.1.
const REFERENCE: &str = "s61/f-ttt.log.gz";

/// The logs (several files of `-ff` are one) with what they lack; all others lack nothing.
#[rustfmt::skip]
const LACKING: &[(&str, &[Lacks])] = &[
    // Version 4.13 knows some calls by their numbers only.
    ("s413/e-f.log.gz", BY_NUMBER), ("s413/e-fC.log.gz", BY_NUMBER), ("s413/e-ftt.log.gz", BY_NUMBER),
    ("s413/f-T.log.gz", BY_NUMBER), ("s413/f-a1.log.gz", BY_NUMBER), ("s413/f-i.log.gz", BY_NUMBER),
    ("s413/f-r.log.gz", BY_NUMBER), ("s413/f-s4096.log.gz", BY_NUMBER), ("s413/f-t.log.gz", BY_NUMBER),
    ("s413/f-ttt.log.gz", BY_NUMBER), ("s413/f-tttT.log.gz", BY_NUMBER), ("s413/f-x.log.gz", BY_NUMBER),
    ("s413/f-xx.log.gz", BY_NUMBER), ("s413/f-y.log.gz", BY_NUMBER), ("s413/f-yy.log.gz", BY_NUMBER), ("s413/ff", BY_NUMBER),
    ("s413/plain.log.gz", &[BY_NUMBER[0], BY_NUMBER[1], BY_NUMBER[2], Threads(0)]),
    // -e trace=file,desc
    ("s413/f-efile.log.gz", &[BY_NUMBER[0], BY_NUMBER[1], BY_NUMBER[2], Untraced]), ("s61/f-efile.log.gz", &[Untraced]),
    ("s61/f-seccbpf.log.gz", &[Untraced]), ("s72/f-seccbpf.log.gz", &[Untraced]),
    // No -f
    ("s61/plain.log.gz", &[Threads(0)]),
    // -s 0
    ("s61/f-s0.log.gz", CUT), ("s72/f-s0.log.gz", CUT),
    // -e raw=all
    ("s61/f-rawopen.log.gz", RAW), ("s72/f-rawopen.log.gz", RAW),
    // -z, -Z
    ("s61/f-z.log.gz", &[Failed]), ("s72/f-z.log.gz", &[Failed]), ("s61/f-Z.log.gz", &[Succeeded]),
    // -e inject=fsync
    ("s61/f-inj.log.gz", &[Results(&["fsync"])]), ("s72/f-inj.log.gz", &[Results(&["fsync"])]),
    // One file of -ff
    ("s72/ff", &[Threads(1)]),
];
const BY_NUMBER: &[Lacks] =
    &[Texts(&["faccessat2", "statx"]), Columns(&["statx"], &["st_mode", "st_size"]), Columns(&["clone3"], &["flags"])];
const CUT: &[Lacks] = &[
    Texts(&["fsetxattr", "fgetxattr", "fremovexattr"]),
    Columns(&["readlink"], &["path2"]),
    Columns(&["execve"], &["name"]),
    Columns(&["readv", "writev", "preadv", "pwritev", "preadv2"], &["count"]),
    Columns(&["pipe2"], &["fd", "fd2"]),
    Calls(&["utimensat"]),
];
const RAW: &[Lacks] = &[
    Texts(&[]),
    Columns(&["readv", "writev", "preadv", "pwritev", "preadv2"], &["count"]),
    Columns(&[], &["st_mode", "st_size"]),
    Columns(&["pipe2"], &["fd", "fd2"]),
    Columns(&["clone3"], &["flags"]),
    Columns(&["openat"], &["mode"]),
    Calls(&["utimensat", "sendfile", "copy_file_range", "fcntl"]),
];

/// The logs of other jobs: one that strace was attached to, one of a 32-bit program, one that an error was injected into, one
/// with an exec in a thread, one of the calls on one file.
const OTHERS: &[&str] = &[
    "s61/attftt.err.log.gz",
    "s61/attftt.log.gz",
    "s61/attftttTy.err.log.gz",
    "s61/attftttTy.log.gz",
    "s61/f-injret.log.gz",
    "s61/i386-y.log.gz",
    "s61/thexec-y.log.gz",
    "s72/f-P.log.gz",
    "s72/f-injret.log.gz",
];

/// Words of strace alone: it did not know an option.
const WORDS: &[&str] = &["s61/f-injret.err.gz", "s61/f-secc.err.gz", "s72/e-fk.log.gz", "s72/f-k.err.gz"];

fn logs() -> Vec<(String, Vec<PathBuf>)> {
    let mut logs: BTreeMap<String, Vec<PathBuf>> = BTreeMap::new();
    for version in ["s413", "s61", "s72"] {
        for entry in std::fs::read_dir(data("flavours").join(version)).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap().to_string_lossy().into_owned();
            // ff.23355.gz is a part of ff.
            let name = match name.split('.').nth(1) {
                Some(part) if part.parse::<u32>().is_ok() => name.split('.').next().unwrap().to_owned(),
                _ => name,
            };
            logs.entry(format!("{version}/{name}")).or_default().push(path);
        }
    }
    logs.into_iter().collect()
}

type Row = BTreeMap<&'static str, String>;

/// Numbers and texts of an event that are the same in each run. Not: addresses, ids of processes, times.
const NUMBERS: &[&str] = &[
    "fd", "fd2", "dirfd", "dirfd2", "offset", "offset2", "count", "ret", "errno", "flags", "mode", "whence", "cmd", "arg", "uid",
    "gid", "iovcnt", "resolve", "atime", "mtime", "st_mode", "st_size",
];
const TEXTS: &[&str] = &["syscall", "path", "path2", "name"];
/// The linker's cache was made anew between two recordings.
const CACHE: [&str; 2] = ["45499", "52343"];

/// The events of each thread, in the order of the threads' first ones.
fn events(files: &[PathBuf]) -> Result<Vec<Vec<Row>>, String> {
    let made = ingest_with(files, |options| options.merge = files.len() > 1).map_err(|error| format!("{error:#}"))?;
    let batch = table(&made.out, "events");
    let tids = ints(&batch, "tid");
    let mut threads: Vec<(Option<i64>, Vec<Row>)> = Vec::new();
    let mut rows: Vec<Row> = vec![Row::new(); tids.len()];
    for column in TEXTS {
        for (row, text) in rows.iter_mut().zip(texts(&batch, column)) {
            text.map(|text| row.insert(column, text));
        }
    }
    for column in NUMBERS {
        for (row, number) in rows.iter_mut().zip(ints(&batch, column)) {
            let Some(number) = number.map(|number| number.to_string()) else { continue };
            row.insert(column, if CACHE.contains(&&number[..]) { "cache".into() } else { number });
        }
    }
    for (tid, mut row) in tids.iter().zip(rows) {
        let call = row["syscall"].clone();
        if ["mmap", "mmap2", "brk", "clone", "clone3", "wait4", "rt_sigreturn", "set_tid_address"].contains(&&call[..]) {
            row.remove("ret");
        }
        let at = threads.iter().position(|(known, _)| known == tid).unwrap_or_else(|| {
            threads.push((*tid, Vec::new()));
            threads.len() - 1
        });
        threads[at].1.push(row);
    }
    // Whether a thread waits for another depends on which is faster.
    threads.iter_mut().for_each(|(_, rows)| rows.retain(|row| row["syscall"] != "futex"));
    Ok(threads.into_iter().map(|(_, rows)| rows).collect())
}

fn without(threads: &[Vec<Row>], lacks: &[Lacks]) -> Vec<Vec<Row>> {
    let mut threads = threads.to_vec();
    for lack in lacks {
        if let Threads(only) = lack
            && threads.len() > 1
        {
            threads = vec![threads.swap_remove(*only)];
        }
        for rows in &mut threads {
            rows.retain(|row| {
                let call = &&row["syscall"][..];
                let errno = row.get("errno").map(String::as_str);
                match lack {
                    Calls(calls) => !calls.contains(call),
                    Failed => errno == Some("0"),
                    Succeeded => errno.is_some_and(|errno| errno != "0"),
                    _ => true,
                }
            });
            for row in rows {
                let call = row["syscall"].clone();
                let of = |calls: &[&str]| calls.is_empty() || calls.contains(&&call[..]);
                match lack {
                    Texts(calls) if of(calls) => {
                        row.retain(|column, _| !["path", "path2", "name"].contains(column));
                    }
                    Columns(calls, columns) if of(calls) => row.retain(|column, _| !columns.contains(column)),
                    Results(calls) if of(calls) => row.retain(|column, _| !["ret", "errno"].contains(column)),
                    _ => {}
                }
            }
        }
    }
    threads.retain(|rows| !rows.is_empty());
    threads
}

#[test]
fn every_flavour_gives_the_same_events() {
    let reference = events(&[data("flavours").join(REFERENCE)]).unwrap();
    assert_eq!(reference.iter().map(Vec::len).collect::<Vec<_>>(), [143, 14, 41]);
    let mut faults = Vec::new();
    for (name, files) in logs().iter().filter(|(name, _)| !OTHERS.contains(&&name[..]) && !WORDS.contains(&&name[..])) {
        let lacks = LACKING.iter().find(|(log, _)| log == name).map_or(&[][..], |(_, lacks)| lacks);
        let found = match events(files) {
            Ok(found) => without(&found, lacks),
            Err(error) => {
                faults.push(format!("{name}: {error}"));
                continue;
            }
        };
        let mut expected = without(&reference, lacks);
        if lacks.contains(&Untraced) {
            let traced: BTreeSet<&String> = found.iter().flatten().map(|row| &row["syscall"]).collect();
            expected.iter_mut().for_each(|rows| rows.retain(|row| traced.contains(&row["syscall"])));
            expected.retain(|rows| !rows.is_empty());
        }
        if found.len() != expected.len() {
            faults.push(format!("{name}: {} threads, not {}", found.len(), expected.len()));
        }
        for (thread, (found, expected)) in found.iter().zip(&expected).enumerate() {
            if let Some(at) = (0..found.len().max(expected.len())).find(|at| found.get(*at) != expected.get(*at)) {
                faults.push(format!(
                    "{name}: thread {thread}, event {at}:\n  {:?}\nnot\n  {:?}",
                    found.get(at),
                    expected.get(at)
                ));
            }
        }
    }
    assert!(faults.is_empty(), "{} faults\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn no_line_of_another_job_is_a_reject() {
    for (name, files) in logs().iter().filter(|(name, _)| OTHERS.contains(&&name[..])) {
        let made = ingest_with(files, |_| {}).unwrap();
        assert_eq!(made.captured.ledger.rejects, 0, "{name}: {:?}", texts(&table(&made.out, "rejects"), "text"));
        let foreign = made.captured.doubts.contains_key(&ioriot::ingest::Doubt::Foreign);
        assert_eq!(foreign, name.contains("i386"), "{name}");
    }
    for (name, files) in logs().iter().filter(|(name, _)| WORDS.contains(&&name[..])) {
        assert!(ingest_with(files, |_| {}).is_err(), "{name} has events");
    }
}
