//! Data as samples of captured files say (`init --data captured`): held against the files themselves.

use super::targets::Disk;
use super::work::{Row, Work, op, run};
use crate::alone::alone;
use crate::skip::{Need, skip};
use ioriot::dice::Dice;
use ioriot::init::{self, Data, Fill};
use ioriot::progress::Progress;
use ioriot::replay::Options;
use ioriot::schema::profile::{SAMPLE, SAMPLES, places};
use libc::*;
use std::fs;
use std::io::{Read, Write};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// What samples of a file say: sampled, compressed, incompressible, zeroes, repeated.
fn numbers(bytes: &[u8]) -> [i64; 5] {
    known(bytes).0
}

/// What samples of a file say: numbers, and a letter for each.
fn known(bytes: &[u8]) -> ([i64; 5], String) {
    let mut child = Command::new(env!("CARGO_BIN_EXE_ioriot"));
    let mut child = child.arg(ioriot::capture::child::VERB).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let (mut input, mut output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
    let mut answer = [0; 40 + SAMPLES];
    output.read_exact(&mut answer).unwrap();
    for start in places(bytes.len() as u64) {
        let rest = &bytes[start as usize..];
        let sample = &rest[..rest.len().min(SAMPLE as usize)];
        let length = (sample.len() as u32).to_le_bytes();
        input.write_all(&[&length[..], sample, &length].concat()).unwrap();
    }
    input.write_all(&u32::MAX.to_le_bytes()).unwrap();
    output.read_exact(&mut answer).unwrap();
    drop(input);
    assert!(child.wait().unwrap().success());
    let mut numbers = [0; 5];
    numbers.iter_mut().zip(answer.as_chunks::<8>().0).for_each(|(number, word)| *number = i64::from_le_bytes(*word));
    let letters = answer[40..].iter().take_while(|letter| **letter != 0).map(|letter| char::from(*letter)).collect();
    (numbers, letters)
}

fn with(mut row: Row, numbers: [i64; 5]) -> Row {
    for (column, number) in ["sampled", "compressed", "incompressible", "zeroes", "repeated"].into_iter().zip(numbers) {
        row = row.set(column, number);
    }
    row
}

/// Sources, noise, zeroes, and a file that has some of each, like a database.
fn originals() -> Vec<(&'static str, Vec<u8>)> {
    let mut sources = Vec::new();
    let mut dirs = vec![Path::new(env!("CARGO_MANIFEST_DIR")).join("src")];
    while let Some(dir) = dirs.pop() {
        let mut entries: Vec<_> = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() { dirs.push(path) } else { sources.extend(fs::read(path).unwrap()) }
        }
    }
    sources.truncate(2 << 20);
    let mut noise = vec![0; 3 << 20];
    Dice::new(5).fill(&mut noise);
    let mut mixed = Vec::new();
    for (at, piece) in noise.chunks(300).take(400).enumerate() {
        mixed.extend_from_slice(&sources[at * 900..][..5000]);
        mixed.extend_from_slice(piece);
        mixed.resize(mixed.len().next_multiple_of(4096) + if at % 2 == 0 { 4096 } else { 0 }, 0);
    }
    vec![("sources", sources), ("noise", noise), ("zeroes", vec![0; 1 << 20]), ("mixed", mixed)]
}

/// A workload that has such files, and writes others like them, in pieces of 64 KiB and of 100 bytes less.
fn like(originals: &[(&'static str, Vec<u8>)]) -> Work {
    let mut work = Work::new();
    for (ofd, (name, bytes)) in originals.iter().enumerate() {
        let (ofd, (numbers, profile)) = (ofd as i64, known(bytes));
        let with = |row| with(row, numbers).set("profile", profile.as_str()).set("profile_size", bytes.len());
        let row =
            Row::default().set("path", format!("/{name}")).set("kind", "file").set("size", bytes.len()).set("size_exact", true);
        work.fileset.push(with(row));
        work.written.push(with(Row::default().set("ofd", ofd)));
        work.op(op("open", 3).raw(format!("/new-{name}")).flags(O_CREAT | O_WRONLY).set("mode", 0o600).ofd(ofd));
        let mut at = 0;
        while at < bytes.len() {
            let count = (bytes.len() - at).min(if ofd % 2 == 0 { 64 << 10 } else { (64 << 10) - 100 }) as i64;
            let (name, offset) = if ofd < 2 { ("write", at) } else { ("pwrite64", at) };
            work.op(op(name, count).ofd(ofd).count(count).set("offset", offset));
            at += count as usize;
        }
        work.op(op("fsync", 0).ofd(ofd));
    }
    work.write();
    work
}

fn captured() -> Data {
    Data { fill: Fill::Captured, seed: 4 }
}

#[test]
fn files_and_writes_hold_data_as_the_samples_say() {
    let originals = originals();
    let work = like(&originals);
    let made = init::run(&init::Options { data: captured(), ..work.init_options() }, &Progress::default()).unwrap();
    assert_eq!((made.ok(), made.data.as_str()), (true, "captured"));
    for threads in [1, 3] {
        let summary =
            run(&Options { threads: Some(threads), out: work.place(&format!("run{threads}")), dirty: true, ..work.options() })
                .unwrap();
        assert_eq!(summary.different, 0, "{summary}");
    }
    for (name, bytes) in &originals {
        let wanted = numbers(bytes);
        for made in [(*name).to_owned(), format!("new-{name}")] {
            let found = numbers(&fs::read(work.tree().join(&made)).unwrap());
            let near = |at: usize, part: i64| (found[at] - wanted[at]).abs() <= wanted[0] / part;
            assert_eq!(found[0], wanted[0]);
            assert!(near(1, 20) && near(3, 20) && near(2, 8), "{made}: {found:?}, and {wanted:?} wanted");
        }
    }
    // A reset makes what was there.
    let before = fs::read(work.tree().join("mixed")).unwrap();
    fs::write(work.tree().join("mixed"), "changed").unwrap();
    init::reset(&work.init_options(), &Progress::default()).unwrap();
    assert!(fs::read(work.tree().join("mixed")).unwrap() == before);
}

#[test]
fn without_samples_there_is_no_such_data() {
    let mut work = Work::new();
    work.need("/file", "file", 10).op(op("stat", 0).raw("/file"));
    work.write();
    let made = init::run(&init::Options { data: captured(), ..work.init_options() }, &Progress::default());
    let error = made.unwrap_err().to_string();
    assert!(error.contains("--content-samples"), "{error}");
    assert!(!work.place("root").exists());
}

/// Bytes of data that a file system of btrfs has on its device.
fn stored(at: &Path) -> Option<u64> {
    let synced = Command::new("sync").arg("-f").arg(at).status();
    assert!(synced.unwrap().success());
    let told = Command::new("btrfs").args(["filesystem", "df", "-b"]).arg(at).output().ok()?;
    let told = String::from_utf8(told.stdout).unwrap();
    told.lines().find(|line| line.starts_with("Data"))?.split_once("used=")?.1.trim().parse().ok()
}

#[test]
fn btrfs_compresses_what_is_made_as_it_does_the_files() {
    compresses_alike(&originals(), 8);
}

/// btrfs leaves the rest of 512 KiB as it is behind a piece that does not compress, so that much depends on which piece is which.
#[test]
fn btrfs_compresses_a_file_of_parts_as_it_does_the_file() {
    let parts = originals();
    let whole: Vec<u8> = parts.iter().take(3).flat_map(|(_, bytes)| bytes.clone()).collect();
    compresses_alike(&[("parts", whole)], 8);
}

/// Holds what init and the replay write on a compressing btrfs against the files themselves, which take fewer tenths than these there.
fn compresses_alike(originals: &[(&'static str, Vec<u8>)], tenths: u64) {
    let work = like(originals);
    let Some(disk) = Disk::new(&work, "btrfs") else { return };
    let compressing = Command::new("mount").args(["-o", "remount,compress=zstd"]).arg(&disk.at).status();
    if !compressing.is_ok_and(|status| status.success()) {
        return skip(Need::Disk("btrfs"), "it does not compress with zstd here");
    }
    let Some(empty) = stored(&disk.at) else { return skip(Need::Program("btrfs"), "btrfs does not tell what is stored") };
    fs::create_dir(disk.at.join("real")).unwrap();
    for (name, bytes) in originals {
        fs::write(disk.at.join("real").join(name), bytes).unwrap();
    }
    let real = stored(&disk.at).unwrap();
    let root = disk.at.join("root");
    let made =
        init::run(&init::Options { data: captured(), root: root.clone(), ..work.init_options() }, &Progress::default()).unwrap();
    assert!(made.ok(), "{made}");
    let made = stored(&disk.at).unwrap();
    let summary = run(&Options { root, ..work.options() }).unwrap();
    assert_eq!(summary.different, 0, "{summary}");
    let replayed = stored(&disk.at).unwrap();
    let plain: usize = originals.iter().map(|(_, bytes)| bytes.len()).sum();
    let [real, made, replayed] = [(empty, real), (real, made), (made, replayed)].map(|(before, after)| after - before);
    assert!(real < plain as u64 * tenths / 10, "{real} of {plain}");
    for (what, found) in [("init", made), ("replay", replayed)] {
        assert!((found as f64 / real as f64 - 1.0).abs() < 0.1, "{what}: {found} bytes, and the files {real}");
    }
}

/// What a replay does to the device is what its ops do: what is dirty before the start is not theirs, and ioriot's own looks at the
/// tree set no access times, which the file system would have to write.
#[test]
fn the_device_sees_nothing_but_the_ops() {
    alone();
    let mut work = Work::new();
    for at in 0..60 {
        work.need(&format!("/d{at}"), "dir", 0).need(&format!("/d{at}/file"), "file", 200_000);
        work.op(op("stat", 0).raw(format!("/d{at}/file")));
    }
    work.write();
    let Some(disk) = Disk::new(&work, "btrfs") else { return };
    let root = disk.at.join("root");
    let made = init::run(&init::Options { root: root.clone(), ..work.init_options() }, &Progress::default()).unwrap();
    assert!(made.ok(), "{made}");
    // Dirty when the replay begins.
    fs::write(disk.at.join("other"), vec![7; 30 << 20]).unwrap();
    let summary = run(&Options { root: root.clone(), ..work.options() }).unwrap();
    assert_eq!(summary.different, 0, "{summary}");
    let device = summary.samples.devices.iter().find(|(name, _)| name.starts_with("loop")).unwrap().1;
    assert!(device.written_bytes < 1 << 20, "{device:?}");
    let looked_at = |at: usize| fs::metadata(root.join(format!("tree/d{at}"))).unwrap();
    for at in 0..60 {
        let dir = looked_at(at);
        assert!((dir.atime(), dir.atime_nsec()) <= (dir.ctime(), dir.ctime_nsec()), "d{at}");
    }
}

/// A workload comes from somebody else.
#[test]
fn numbers_that_cannot_be_are_as_if_nothing_were_known() {
    let mut work = Work::new();
    let most = i64::MAX;
    let odd =
        [[most, -1, 0, 0, 0], [0; 5], [most, most, most, most, most], [-1, -1, -1, -1, -1], [10, 5, 6, 0, 0], [1, 0, 0, 1, 1]];
    work.op(op("open", 3).raw("/new").flags(O_CREAT | O_WRONLY).set("mode", 0o600).ofd(0));
    for (at, numbers) in odd.into_iter().enumerate() {
        let row = Row::default().set("path", format!("/f{at}")).set("kind", "file").set("size", 300_000).set("size_exact", true);
        let profile = ["", "Z", "AX", "ZZZ", "\u{1f4a5}", "ABCDEFGHIJKLMNOPQRSTUVW"][at];
        let with = |row, size: i64| with(row, numbers).set("profile", profile).set("profile_size", size);
        work.fileset.push(with(row, [300_000, -1, 0, 300_000, most, i64::MIN][at]));
        for ofd in [-5, 0, 1 << 40, most] {
            work.written.push(with(Row::default().set("ofd", ofd), most));
        }
        work.op(op("pwrite64", 5000).ofd(0).count(5000).set("offset", most - 6000));
        work.op(op("pwrite64", 5_000_000).ofd(0).count(5_000_000).set("offset", 77));
    }
    work.write();
    let made = init::run(&init::Options { data: captured(), ..work.init_options() }, &Progress::default()).unwrap();
    assert!(made.ok(), "{made}");
    let summary = run(&work.options()).unwrap();
    // No file of an ordinary file system is so long (EFBIG).
    assert_eq!((summary.different, summary.lost.len()), (odd.len() as u64, 0), "{summary}");
    assert_eq!(fs::metadata(work.tree().join("new")).unwrap().len(), 5_000_077);
    assert_eq!(fs::metadata(work.tree().join("f2")).unwrap().len(), 300_000);
}
