//! Content of files that is taken from elsewhere (`init --from`).

use super::targets::Disk;
use super::witness::{Look, look, same};
use super::work::{Row, Work, op, run};
use crate::skip::{Need, skip};
use ioriot::init::{self, Difference, Reflink, Source, Taken};
use ioriot::os::extents;
use ioriot::progress::Progress;
use ioriot::replay::Options;
use libc::*;
use std::fs::{self, File, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

fn options(work: &Work, from: &Path, reflink: Reflink) -> init::Options {
    init::Options { source: Some(Source { dir: from.to_owned(), reflink }), ..work.init_options() }
}

/// Bytes that repeat nowhere.
fn content(seed: u8, size: usize) -> Vec<u8> {
    (0..size).map(|at| (at as u32).wrapping_mul(2_654_435_761).to_le_bytes()[3] ^ seed).collect()
}

/// A fileset, and a directory that has some of it.
fn scene(work: &mut Work) -> PathBuf {
    let from = work.place("from");
    fs::create_dir_all(from.join("d")).unwrap();
    for (name, captured, there) in [("same", 300_001, 300_001), ("longer", 5000, 9000), ("shorter", 9000, 5000), ("one", 1, 1)] {
        work.need(&format!("/d/{name}"), "file", captured);
        fs::write(from.join("d").join(name), content(captured as u8, there)).unwrap();
    }
    work.need("/d", "dir", 0).need("/d/missing", "file", 100).need("/d/kind", "file", 100).need("/gone/f", "file", 10);
    fs::create_dir(from.join("d/kind")).unwrap();
    for link in ["/d/link", "/d/other"] {
        let row = Row::default().set("path", link).set("kind", "link").set("size", 0).set("size_exact", true);
        work.fileset.push(row.set("target", "same"));
    }
    symlink("same", from.join("d/link")).unwrap();
    symlink("one", from.join("d/other")).unwrap();
    let row = Row::default().set("path", "/d/mode").set("kind", "file").set("size", 3).set("size_exact", true);
    work.fileset.push(row.set("mode", 0o640));
    fs::write(from.join("d/mode"), "abc").unwrap();
    fs::set_permissions(from.join("d/mode"), Permissions::from_mode(0o600)).unwrap();
    from
}

/// Extended attributes have the values that they have there, and are empty where they are not.
#[test]
fn attributes_are_taken_with_their_values() {
    use std::ffi::CString;
    use std::os::unix::ffi::OsStrExt;
    let mut work = Work::new();
    let from = scene(&mut work);
    let path = |path: &Path| CString::new(path.as_os_str().as_bytes()).unwrap();
    let set = |name: &str, value: &[u8]| {
        // SAFETY: both texts end in NUL, and the value is as long as it says.
        unsafe { setxattr(path(&from.join(name)).as_ptr(), c"user.kept".as_ptr(), value.as_ptr().cast(), value.len(), 0) == 0 }
    };
    let long = content(3, 1000);
    if !(set("d/same", &long) && set("d", b"of a directory")) {
        return skip(Need::Disk("user.*"), "no extended attributes here");
    }
    for row in &mut work.fileset {
        if ["/d", "/d/same", "/d/missing", "/d/one"].contains(&row.text("path")) {
            *row = row.clone().set("xattrs", "user.kept,user.other");
        }
    }
    work.op(op("stat", 0).raw("/d"));
    work.write();
    let made = init::run(&options(&work, &from, Reflink::Auto), &Progress::default()).unwrap();
    assert_eq!((made.errors, made.skipped.xattrs), (0, 0), "{made}");
    let get = |name: &str, attribute: &std::ffi::CStr| {
        let mut value = vec![0; 5000];
        // SAFETY: both texts end in NUL, and the memory is as long as it says.
        let length = unsafe {
            getxattr(path(&work.tree().join(name)).as_ptr(), attribute.as_ptr(), value.as_mut_ptr().cast(), value.len())
        };
        usize::try_from(length).ok().map(|length| value[..length].to_vec())
    };
    assert_eq!(get("d/same", c"user.kept"), Some(long));
    assert_eq!(get("d", c"user.kept"), Some(b"of a directory".to_vec()));
    assert_eq!(get("d/missing", c"user.kept"), Some(Vec::new()));
    assert_eq!((get("d/one", c"user.kept"), get("d/same", c"user.other")), (Some(Vec::new()), Some(Vec::new())));
}

/// Is a tree what [`scene`] makes it?
fn hold(tree: &Path, taken: &Taken) {
    let read = |name: &str| fs::read(tree.join("d").join(name)).unwrap();
    assert!(read("same") == content(300_001_u32 as u8, 300_001) && read("longer") == content(5000_u32 as u8, 9000)[..5000]);
    let shorter = read("shorter");
    assert!(shorter.len() == 9000 && shorter[..5000] == content(9000_u32 as u8, 5000));
    assert!(shorter[5000..].iter().filter(|byte| **byte != 0).count() > 3000, "the rest is made up");
    assert_eq!(
        (read("missing").len(), read("kind").len(), read("one"), read("mode")),
        (100, 100, content(1, 1), b"abc".to_vec())
    );
    assert_eq!(fs::metadata(tree.join("d/mode")).unwrap().mode() & 0o7777, 0o640);
    assert_eq!(fs::read_link(tree.join("d/other")).unwrap(), Path::new("same"));
    for (difference, count) in [
        (Difference::Missing, 2),
        (Difference::Kind, 1),
        (Difference::Shorter, 1),
        (Difference::Longer, 1),
        (Difference::Mode, 1),
        (Difference::Target, 1),
        (Difference::Unreadable, 0),
    ] {
        assert_eq!(taken.count(difference), count, "{difference:?}: {taken}");
    }
    assert_eq!((taken.files, taken.bytes), (5, 300_001 + 5000 + 5000 + 1 + 3), "{taken}");
}

#[test]
fn files_hold_what_they_hold_elsewhere_and_the_rest_is_made_up() {
    for reflink in Reflink::ALL {
        let mut work = Work::new();
        let from = scene(&mut work);
        work.write();
        let before = look(&from, Look::All, &[]);
        let options = options(&work, &from, *reflink);
        let outline = init::outline(&options).unwrap();
        assert_eq!(outline.source.as_ref().unwrap().count(Difference::Missing), 2, "{outline}");
        assert!(!work.place("root").exists());
        let made = init::run(&options, &Progress::default()).unwrap();
        assert!(made.ok() && made.to_string().contains("      2 not there: made up\n"), "{made}");
        hold(&work.tree(), made.taken.as_ref().unwrap());
        same("the source", &before, &look(&from, Look::All, &[]));
        assert_eq!(fs::metadata(work.place("root")).unwrap().mode() & 0o7777, 0o700);
    }
}

/// What was taken stays as it is when files are to lie in pieces, too.
#[test]
fn a_layout_leaves_what_was_taken() {
    let mut work = Work::new();
    let from = scene(&mut work);
    work.fileset.iter_mut().for_each(|row| *row = row.clone().set("pieces", 3));
    work.write();
    let allocation = init::Allocation::Captured;
    let made = init::run(&init::Options { allocation, ..options(&work, &from, Reflink::Never) }, &Progress::default()).unwrap();
    hold(&work.tree(), made.taken.as_ref().unwrap());
}

/// What a replay has changed is taken again; without its source nothing is.
#[test]
fn a_reset_takes_content_again() {
    let mut work = Work::new();
    let from = scene(&mut work);
    work.op(op("open", 3).raw("/d/same").flags(O_RDWR).ofd(0));
    work.op(op("pwrite64", 5000).ofd(0).count(5000).set("offset", 100));
    work.op(op("unlink", 0).raw("/d/one")).op(op("truncate", 0).raw("/d/shorter").count(7));
    work.write();
    let before = look(&from, Look::All, &[]);
    init::run(&options(&work, &from, Reflink::Auto), &Progress::default()).unwrap();
    assert_eq!(run(&work.options()).unwrap().different, 0);
    let reset = init::reset(&work.init_options(), &Progress::default()).unwrap();
    assert_eq!(reset.taken.as_ref().unwrap().files, 3, "{reset}");
    let read = |name: &str| fs::read(work.tree().join("d").join(name)).unwrap();
    assert!(read("same") == content(300_001_u32 as u8, 300_001) && read("one") == content(1, 1) && read("shorter").len() == 9000);
    same("the source", &before, &look(&from, Look::All, &[]));

    fs::rename(&from, work.place("away")).unwrap();
    let error = format!("{:#}", init::reset(&work.init_options(), &Progress::default()).unwrap_err());
    assert!(error.contains("--force") && error.contains("cannot take files from"), "{error}");
    assert!(run(&Options { out: work.place("run2"), ..work.options() }).is_ok(), "nothing was begun");
}

#[test]
fn a_source_that_is_no_directory_or_would_go_is_refused() {
    let mut work = Work::new();
    work.need("/f", "file", 1).write();
    fs::write(work.place("file"), "").unwrap();
    work.init().unwrap();
    for (from, why) in
        [("none", "No such file"), ("file", "Not a directory"), ("root", "move it out"), ("root/tree", "move it out")]
    {
        let options = init::Options { force: true, ..options(&work, &work.place(from), Reflink::Auto) };
        let error = format!("{:#}", init::run(&options, &Progress::default()).unwrap_err());
        assert!(error.contains(why), "{from}: {error}");
        assert!(init::ready(&options).is_err());
    }
    assert!(work.place("root/tree/f").exists());
}

/// Holes of the source are kept, whether shared or copied; holes that were captured, and what no op reads, are left.
#[test]
fn holes_stay_holes() {
    for fs_kind in ["xfs", "btrfs", "ext4"] {
        let mut work = Work::new();
        work.need("/holes", "file", 10 << 20).need("/end", "file", 3 << 20).need("/some", "file", 3 << 20);
        let range = |what: &str, path: &str, offset: i64, length: i64| {
            Row::default().set("path", path).set("what", what).set("offset", offset).set("length", length)
        };
        work.extents.push(range("hole", "/some", 1 << 20, 1 << 20));
        let Some(disk) = Disk::new(&work, fs_kind) else { continue };
        work.write();
        let from = disk.at.join("from");
        fs::create_dir(&from).unwrap();
        let file = File::create(from.join("holes")).unwrap();
        file.write_all_at(&content(1, 10_000), 5 << 20).unwrap();
        file.set_len(10 << 20).unwrap();
        File::create(from.join("end")).unwrap().set_len(3 << 20).unwrap();
        fs::write(from.join("some"), content(3, 3 << 20)).unwrap();
        for reflink in Reflink::ALL {
            let root = disk.at.join(format!("root-{}", reflink.name()));
            let made = init::run(&init::Options { root: root.clone(), ..options(&work, &from, *reflink) }, &Progress::default());
            let taken = made.unwrap().taken.unwrap();
            let size = |name: &str| {
                let meta = fs::metadata(root.join("tree").join(name)).unwrap();
                (meta.len() >> 20, (meta.blocks() * 512).div_ceil(64 << 10))
            };
            assert_eq!((size("holes"), size("end")), ((10, 1), (3, 0)), "{fs_kind}: {taken}");
            assert_eq!(size("some"), (3, 32), "{fs_kind}: {taken}");
            let (there, made) = (fs::read(from.join("some")).unwrap(), fs::read(root.join("tree/some")).unwrap());
            assert!(there[..1 << 20] == made[..1 << 20] && there[2 << 20..] == made[2 << 20..]);
            assert!(made[1 << 20..2 << 20].iter().all(|byte| *byte == 0));
            assert_eq!(fs::read(from.join("holes")).unwrap(), fs::read(root.join("tree/holes")).unwrap());
        }
    }
}

/// A tree that shares its blocks needs no room for them, so one fits that is larger than what is left; what the replay writes
/// changes nothing in the source.
#[test]
fn files_share_blocks_with_a_source_on_the_same_file_system() {
    let size = 150 << 20;
    for (fs_kind, able) in [("btrfs", true), ("xfs", true), ("ext4", false)] {
        let mut work = Work::new();
        work.need("/a", "file", size).need("/b", "file", 70_001).need("/new", "file", 5000);
        work.op(op("open", 3).raw("/a").flags(O_RDWR).ofd(0));
        work.op(op("pwrite64", 8192).ofd(0).count(8192).set("offset", 1 << 20));
        let Some(disk) = Disk::new(&work, fs_kind) else { continue };
        work.write();
        let from = disk.at.join("from");
        fs::create_dir(&from).unwrap();
        fs::write(from.join("a"), content(9, size as usize)).unwrap();
        fs::write(from.join("b"), content(8, 70_001)).unwrap();
        // SAFETY: no arguments.
        unsafe { sync() };
        let filler = File::create(disk.at.join("filler")).unwrap();
        let stat = File::open(&disk.at).unwrap();
        while free(&stat) > 100 << 20 {
            let at = filler.metadata().unwrap().len();
            filler.write_all_at(&content(7, 1 << 20), at).unwrap();
            filler.sync_all().unwrap();
        }
        let before = look(&from, Look::All, &[]);
        let root = disk.at.join("root");
        let taking = |reflink| init::Options { root: root.clone(), ..options(&work, &from, reflink) };
        let error = init::run(&taking(Reflink::Never), &Progress::default()).unwrap_err().to_string();
        assert!(error.contains(" left: choose"), "{fs_kind}: {error}");
        let made = init::run(&taking(Reflink::Auto), &Progress::default());
        if !able {
            assert!(made.unwrap_err().to_string().contains(" left: choose"));
            continue;
        }
        let taken = made.unwrap().taken.unwrap();
        assert_eq!((taken.shared, taken.bytes), (size as u64 + 70_001, size as u64 + 70_001), "{fs_kind}: {taken}");
        let lies = |name: &str| extents::of(&File::open(root.join("tree").join(name)).unwrap(), u64::MAX).unwrap();
        assert_eq!(lies("a").shared, size as u64, "{fs_kind}");
        assert_eq!((lies("b").shared, lies("new").shared), (70_001_u64.next_multiple_of(4096), 0), "{fs_kind}");
        let summary = run(&Options { root: root.clone(), ..work.options() }).unwrap();
        assert_eq!(summary.different, 0, "{summary}");
        // SAFETY: no arguments.
        unsafe { sync() };
        assert!(lies("a").shared < size as u64 && lies("a").shared > (size as u64) / 2, "{:?}", lies("a"));
        same("the source", &before, &look(&from, Look::All, &[]));
    }
}

fn free(dir: &File) -> u64 {
    use std::os::fd::AsRawFd;
    // SAFETY: all zeroes are a value of it, and the call fills it.
    let mut stat: statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: an open descriptor, and a structure that outlives the call.
    assert_eq!(unsafe { fstatvfs(dir.as_raw_fd(), &raw mut stat) }, 0);
    stat.f_bavail * stat.f_frsize
}

/// A file that somebody shortens, lengthens and makes holes in while it is copied has its size all the same.
#[test]
fn a_file_that_changes_while_it_is_taken_has_its_size_all_the_same() {
    let size = 24 << 20;
    let mut work = Work::new();
    work.need("/f", "file", size);
    work.write();
    let from = work.place("from");
    fs::create_dir(&from).unwrap();
    let file = File::create(from.join("f")).unwrap();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0_u64.. {
                if done.load(std::sync::atomic::Ordering::Relaxed) {
                    break;
                }
                let end = round.wrapping_mul(7_654_321) % size as u64;
                file.set_len(end).unwrap();
                file.set_len(size as u64).unwrap();
                file.write_all_at(&[1; 4096], end / 2).unwrap();
            }
        });
        for _ in 0..20 {
            let made = init::run(&init::Options { force: true, ..options(&work, &from, Reflink::Never) }, &Progress::default());
            let length = fs::metadata(work.tree().join("f")).map(|meta| meta.len());
            if !made.as_ref().is_ok_and(init::Summary::ok) || length.as_ref().is_ok_and(|length| *length != size as u64) {
                done.store(true, std::sync::atomic::Ordering::Relaxed);
                panic!("{made:?} {length:?}");
            }
            fs::remove_dir_all(work.place("root.old-1")).unwrap_or_default();
        }
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    });
}
