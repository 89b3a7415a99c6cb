//! How files lie on their device (`init --layout captured`).

use super::targets::Disk;
use super::work::{Row, Work};
use crate::skip::{Need, skip};
use crate::tool::ioriot;
use ioriot::init::{self, Allocation};
use ioriot::os::extents;
use ioriot::progress::Progress;
use std::fs::{self, File};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

fn file(work: &mut Work, path: &str, size: i64, pieces: i64, created: i64) {
    let row = Row::default().set("path", path).set("kind", "file").set("size", size).set("size_exact", true);
    work.fileset.push(row.set("pieces", pieces).set("created", created));
}

/// Files lie in about as many pieces as they lay in, and are made in the order in which they were created.
#[test]
fn files_lie_in_as_many_pieces_as_they_lay_in() {
    for fs_kind in ["ext4", "xfs", "btrfs"] {
        let mut work = Work::new();
        let wanted = [("/many", 20_000_001, 1000), ("/some", 6 << 20, 12), ("/two", 1 << 20, 2), ("/one", 1 << 20, 1)];
        for (at, (path, size, pieces)) in wanted.into_iter().enumerate() {
            file(&mut work, path, size, pieces, at as i64);
        }
        for at in 0..50 {
            file(&mut work, &format!("/d{}/f{at:02}", at % 3), 5000, 1, 1000 - at);
        }
        // Holes stay, and what has data lies apart all the same.
        file(&mut work, "/holes", 8 << 20, 16, 2000);
        let hole = Row::default().set("path", "/holes").set("what", "hole").set("offset", 1 << 20).set("length", 4 << 20);
        work.extents.push(hole);
        let Some(disk) = Disk::new(&work, fs_kind) else { continue };
        work.write();
        let options = |allocation, name: &str| init::Options { allocation, root: disk.at.join(name), ..work.init_options() };
        let plain = init::run(&options(Allocation::Plain, "plain"), &Progress::default()).unwrap();
        assert_eq!((plain.laid, plain.errors), (None, 0));
        let made = init::run(&options(Allocation::Captured, "captured"), &Progress::default()).unwrap();
        let (laid, tree) = (made.laid.clone().unwrap(), disk.at.join("captured/tree"));
        assert_eq!((made.errors, laid.known, laid.files, laid.captured), (0, 55, 4, 1030), "{fs_kind}: {made}");
        for (path, size, pieces) in wanted {
            let at = tree.join(&path[1..]);
            let found = extents::of(&File::open(&at).unwrap(), u64::MAX).unwrap();
            assert_eq!(at.metadata().unwrap().len(), size as u64);
            assert!(found.pieces.abs_diff(pieces as u64) <= pieces as u64 / 10, "{fs_kind}, {path}: {found:?}");
            // What lies there is data, as in a file that was made in one go.
            assert!(
                fs::read(&at).unwrap() == fs::read(disk.at.join("plain/tree").join(&path[1..])).unwrap(),
                "{fs_kind}, {path}"
            );
        }
        let holes = tree.join("holes").metadata().unwrap();
        assert!(holes.len() == 8 << 20 && holes.blocks() * 512 <= (4 << 20) + (128 << 10), "{fs_kind}: {}", holes.blocks());
        let inodes: Vec<u64> =
            (0..50).rev().map(|at| tree.join(format!("d{}/f{at:02}", at % 3)).metadata().unwrap().ino()).collect();
        for dir in 0..3 {
            let of_dir: Vec<u64> =
                inodes.iter().copied().enumerate().filter(|(at, _)| (49 - at) % 3 == dir).map(|(_, ino)| ino).collect();
            assert!(of_dir.is_sorted(), "{fs_kind}: {of_dir:?}");
        }
    }
}

/// A file system that knows no extents, and numbers that no file can have, are no reason to fail.
#[test]
fn pieces_that_cannot_be_are_not_made() {
    let mut work = Work::new();
    file(&mut work, "/tiny", 100, i64::MAX, i64::MIN);
    file(&mut work, "/small", 100_000, i64::MAX, i64::MAX);
    file(&mut work, "/none", 100_000, -1, -1);
    file(&mut work, "/zero", 0, 7, 0);
    work.write();
    let options = init::Options { allocation: Allocation::Captured, ..work.init_options() };
    let made = init::run(&options, &Progress::default()).unwrap();
    assert!(made.ok() && made.laid.is_some(), "{made}");
    assert_eq!(fs::metadata(work.tree().join("small")).unwrap().len(), 100_000);
    // And again, as the stamp says.
    fs::write(work.tree().join("small"), "").unwrap();
    let reset = init::reset(&work.init_options(), &Progress::default()).unwrap();
    assert_eq!((reset.files, reset.laid.as_ref().unwrap().files), (1, 1), "{reset}");
}

/// How full a file system is, 0 to 1.
fn used(dir: &Path) -> f64 {
    let dir = File::open(dir).unwrap();
    // SAFETY: all zeroes are a value of it, and the call fills it.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor, and a structure that outlives the call.
    assert_eq!(unsafe { libc::fstatvfs(dir.as_raw_fd(), &raw mut stat) }, 0);
    (stat.f_blocks - stat.f_bfree) as f64 / stat.f_blocks as f64
}

/// The target is filled before the tree is made, what fills it goes with the root, and nothing is made where there is no room.
#[test]
fn a_file_system_is_filled_before() {
    for fs_kind in ["ext4", "xfs", "btrfs"] {
        let mut work = Work::new();
        file(&mut work, "/f", 10 << 20, 1, 0);
        let Some(disk) = Disk::new(&work, fs_kind) else { continue };
        work.write();
        let (empty, root) = (used(&disk.at), disk.at.join("root"));
        let options = |fill| init::Options { root: root.clone(), fill: Some(fill), ..work.init_options() };
        let outline = init::outline(&options(0.6)).unwrap();
        assert!(outline.parts[0].filler > 100 << 20 && outline.refused.is_none(), "{outline}");
        let refused = init::run(&options(0.99), &Progress::default()).unwrap_err().to_string();
        assert!(refused.contains("with what --fill adds"), "{fs_kind}: {refused}");
        assert!(!root.exists());
        let made = init::run(&options(0.6), &Progress::default()).unwrap();
        assert!((made.filled[0].share - 0.6).abs() < 0.02 && made.ok(), "{fs_kind}: {made}");
        assert!(used(&disk.at) > 0.6, "{fs_kind}: {}", used(&disk.at));
        // Full as it is, nothing more is added.
        let again = init::run(&init::Options { force: true, ..options(0.6) }, &Progress::default()).unwrap();
        assert_eq!(again.filled[0].bytes, 0, "{again}");
        for found in init::find(&disk.at).unwrap() {
            init::remove(&found).unwrap();
        }
        // xfs gives blocks back a while after.
        crate::suite::capture::wait_for(|| {
            sync_all();
            used(&disk.at) < empty + 0.05
        });
        assert!(!root.exists(), "{fs_kind}");
    }
}

/// Where the second of two file systems cannot be filled, the first is as it was, and the old tree is back.
#[test]
fn a_fill_that_fails_half_way_leaves_nothing() {
    let mut work = Work::new();
    file(&mut work, "/f", 1 << 20, 1, 0);
    file(&mut work, "/data/g", 1 << 20, 1, 0);
    let (Some(first), Some(second)) = (Disk::new(&work, "ext4"), Disk::new(&work, "btrfs")) else { return };
    work.write();
    // What is there already leaves less to be added than the limit below; on the second file system it is more.
    let there = File::create(first.at.join("there")).unwrap();
    // SAFETY: plain numbers.
    assert_eq!(unsafe { libc::posix_fallocate(there.as_raw_fd(), 0, 120 << 20) }, 0);
    let root = first.at.join("root");
    let maps = vec![init::Map { captured: "/data".into(), target: second.at.clone() }];
    let old = init::Options { root: root.clone(), maps: maps.clone(), ..work.init_options() };
    assert!(init::run(&old, &Progress::default()).unwrap().ok());
    let listed = |at: &Path| {
        let mut names: Vec<_> = fs::read_dir(at).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        names
    };
    sync_all();
    let look = || (listed(&first.at), listed(&second.at), listed(&root), listed(&second.at.join(&listed(&second.at)[0])));
    let (before, full) = (look(), [used(&first.at), used(&second.at)]);
    let [workload, at] = [work.place("work"), root.clone()].map(|path| path.to_str().unwrap().to_owned());
    let map = format!("/data={}", second.at.display());
    let mut command = crate::tool::command(&["init", &workload, "--root", &at, "--map", &map, "--force", "--fill", "60%"]);
    // SAFETY: setrlimit alone is called, which is async-signal-safe.
    unsafe {
        std::os::unix::process::CommandExt::pre_exec(&mut command, || {
            let limit = libc::rlimit { rlim_cur: 100 << 20, rlim_max: 100 << 20 };
            if libc::setrlimit(libc::RLIMIT_FSIZE, &limit) == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        });
    }
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("cannot fill") && said.contains("btrfs.mnt"), "{said}");
    assert_eq!(look(), before);
    crate::suite::capture::wait_for(|| {
        sync_all();
        used(&first.at) < full[0] + 0.02 && used(&second.at) < full[1] + 0.02
    });
    init::reset(&init::Options { root, ..work.init_options() }, &Progress::default()).unwrap();
}

fn sync_all() {
    // SAFETY: no arguments.
    unsafe { libc::sync() };
}

#[test]
fn only_a_target_that_was_named_is_filled_and_no_memory() {
    let mut work = Work::new();
    file(&mut work, "/f", 1, 1, 0);
    work.write();
    let place = work.place("work");
    for args in [vec!["--fill", "80%"], vec!["--fill", "99", "--root", "r"], vec!["--fill", "0", "--root", "r"]] {
        let output = ioriot(&[&["init", place.to_str().unwrap()], &args[..]].concat());
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    let memory = Path::new("/dev/shm").join(format!("ioriot-test-{}", std::process::id()));
    let options = init::Options { root: memory.clone(), fill: Some(0.5), ..work.init_options() };
    match init::run(&options, &Progress::default()) {
        Err(error) if error.to_string().contains("in memory") => {}
        other if Path::new("/dev/shm").is_dir() => panic!("{other:?}"),
        _ => skip(Need::Disk("tmpfs"), "no /dev/shm"),
    }
    assert!(!memory.exists());
}
