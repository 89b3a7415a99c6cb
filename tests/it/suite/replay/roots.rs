//! Roots: stamps, refusals, moving aside, cleaning.

use super::work::{Row, Work, op, run};
use crate::skip::{Need, skip};
use crate::tool::{copy_program, expect};
use ioriot::init::{self, Thing};
use ioriot::progress::Progress;
use ioriot::replay::Options;
use libc::*;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Stdio};

#[test]
fn a_used_root_is_refused() {
    let mut work = Work::new();
    work.need("/f", "file", 1).op(op("unlink", 0).raw("/f"));
    assert!(work.run(None).ok());
    let again = Options { out: work.place("run2"), ..work.options() };
    let error = run(&again).unwrap_err().to_string();
    assert!(error.contains("is used") && error.contains("--force"), "{error}");
    let summary = run(&Options { dirty: true, ..again }).unwrap();
    assert_eq!(summary.different, 1);
    let error = work.init().unwrap_err().to_string();
    assert!(error.contains("--force"), "{error}");
    let made = init::run(&init::Options { force: true, ..work.init_options() }, &Progress::default()).unwrap();
    assert_eq!(made.moved, Some(work.place("root.old-1")));
    assert!(run(&Options { out: work.place("run3"), ..work.options() }).unwrap().ok());

    let found = init::find(work.dir.path()).unwrap();
    let things: Vec<Thing> = found.iter().map(|found| found.thing).collect();
    assert_eq!(things, [Thing::Root, Thing::Old, Thing::Run, Thing::Run, Thing::Run]);
    for found in found.iter().filter(|found| found.thing == Thing::Old) {
        init::remove(found).unwrap();
    }
    assert!(!work.place("root.old-1").exists() && work.place("root").exists());
}

/// What is moved aside is the directory that the name leads to; the symlink stays and leads to the new one.
#[test]
fn a_root_by_a_symlink_is_made_anew_like_any_other() {
    let mut work = Work::new();
    work.need("/f", "file", 1).op(op("unlink", 0).raw("/f"));
    work.write();
    let (real, name) = (work.place("real"), work.place("name"));
    fs::create_dir(&real).unwrap();
    std::os::unix::fs::symlink("real", &name).unwrap();
    let options = init::Options { root: name.clone(), ..work.init_options() };
    init::run(&options, &Progress::default()).unwrap();
    fs::write(real.join("tree/more"), "").unwrap();
    let made = init::run(&init::Options { force: true, ..options }, &Progress::default()).unwrap();
    let old = real.with_file_name("real.old-1");
    assert_eq!(made.moved.map(|path| path.canonicalize().unwrap()), Some(old.canonicalize().unwrap()));
    assert!(old.join("tree/more").exists() && !real.join("tree/more").exists() && real.join("tree/f").exists());
    assert_eq!(fs::read_link(&name).unwrap(), Path::new("real"));
}

#[test]
fn what_ioriot_did_not_make_is_left_alone() {
    let work = Work::new();
    work.write();
    fs::create_dir(work.place("root")).unwrap();
    fs::write(work.place("root/mine"), "mine").unwrap();
    for force in [false, true] {
        let error = init::run(&init::Options { force, ..work.init_options() }, &Progress::default()).unwrap_err().to_string();
        assert!(error.contains("mine") && error.contains("did not make"), "{error}");
    }
    assert!(run(&work.options()).unwrap_err().to_string().contains("is not a root"));
    assert_eq!(fs::read_to_string(work.place("root/mine")).unwrap(), "mine");
}

#[test]
fn too_little_space_is_said_before_anything_is_made() {
    let mut work = Work::new();
    work.need("/huge", "file", 1 << 60);
    work.write();
    let error = work.init().unwrap_err().to_string();
    assert!(error.contains(" left: choose"), "{error}");
    assert!(!work.place("root").exists());
}

#[test]
fn the_fileset_is_made_as_it_is_described() {
    let mut work = Work::new();
    work.need("/d", "dir", 0).need("/d/data", "file", 3_000_001).need("/d/holes", "file", 10 << 20).need("/p", "fifo", 0);
    work.need("/s", "socket", 0).need("/deep/in/the/tree", "file", 7).need("/gone", "absent", 0);
    let row = |path: &str, kind: &str| Row::default().set("path", path).set("kind", kind).set("size", 1).set("size_exact", true);
    work.fileset.push(row("/d/link", "link").set("target", "data"));
    work.fileset.push(row("/locked", "dir").set("mode", 0o500).set("uid", 12).set("gid", 34));
    work.fileset.push(row("/locked/f", "file").set("mode", 0o4711).set("uid", 12).set("xattrs", "user.one,trusted.two"));
    let extent = |what: &str, offset: i64, length: i64| {
        Row::default().set("path", "/d/holes").set("what", what).set("offset", offset).set("length", length)
    };
    work.extents.extend([extent("hole", 1 << 20, 8 << 20), extent("read", 0, 4096)]);
    work.write();
    let summary = work.init().unwrap();
    assert_eq!((summary.errors, summary.files, summary.links, summary.nodes), (0, 4, 1, 2), "{summary}");
    assert_eq!(summary.bytes, 3_000_001 + (2 << 20) + 7 + 1);
    let tree = work.tree();
    let data = fs::read(tree.join("d/data")).unwrap();
    assert!(data.len() == 3_000_001 && data.chunks_exact(64).all(|chunk| chunk.iter().any(|byte| *byte != 0)));
    let holes = fs::metadata(tree.join("d/holes")).unwrap();
    assert!(holes.len() == 10 << 20 && holes.blocks() * 512 < 3 << 20, "{}", holes.blocks());
    assert_eq!(fs::read_link(tree.join("d/link")).unwrap().to_str(), Some("data"));
    assert!(fs::symlink_metadata(tree.join("p")).unwrap().file_type().is_fifo());
    assert!(fs::symlink_metadata(tree.join("s")).unwrap().file_type().is_socket());
    // SAFETY: no arguments.
    if unsafe { geteuid() } == 0 {
        let (dir, file) = (fs::metadata(tree.join("locked")).unwrap(), fs::metadata(tree.join("locked/f")).unwrap());
        assert_eq!((dir.mode() & 0o7777, dir.uid(), dir.gid()), (0o500, 12, 34));
        assert_eq!((file.mode() & 0o7777, file.uid()), (0o4711, 12));
        assert_eq!((summary.skipped.owners, summary.skipped.xattrs), (0, 1));
    }
    let sparse = init::Options { root: work.place("sparse"), sparse_unread: true, ..work.init_options() };
    assert_eq!(init::run(&sparse, &Progress::default()).unwrap().bytes, 4096);
}

/// A read at 900 GB says that the file is so long, and nothing of what lies before: there are holes, and the summary says so. Where a
/// size is known there is data.
#[test]
fn nothing_is_written_far_from_all_reads() {
    let (far, mut work) = (900_i64 << 30, Work::new());
    let file = |path: &str, size: i64, exact: bool| {
        Row::default().set("path", path).set("kind", "file").set("size", size).set("size_exact", exact)
    };
    work.fileset.extend([file("/disk", far + 4096, false), file("/known", 70 << 20, true)]);
    let extent =
        |path: &str, offset: i64| Row::default().set("path", path).set("what", "read").set("offset", offset).set("length", 4096);
    work.extents.extend([extent("/disk", 0), extent("/disk", far), extent("/known", 0)]);
    work.op(op("open", 3).raw("/disk").flags(O_RDWR).ofd(0))
        .op(op("pread64", 4096).ofd(0).count(8192).set("offset", far))
        .op(op("close", 0).ofd(0));
    work.expect("/disk", "file", Some(far + 4096));
    work.write();
    let summary = work.init().unwrap();
    let made = 4096 + (1 << 20) + (1 << 20) + 4096;
    assert_eq!(summary.bytes, made + (70 << 20));
    assert!(summary.notes.iter().any(|note| note.contains(" GiB of 1 file are holes")), "{summary}");
    let disk = fs::metadata(work.tree().join("disk")).unwrap();
    assert!(disk.len() == far as u64 + 4096 && disk.blocks() * 512 < 3 << 20, "{disk:?}");
    let summary = run(&work.options()).unwrap();
    assert_eq!((summary.same, summary.different), (3, 0), "{summary}");
}

#[test]
fn an_unprivileged_user_gets_a_sandbox_too() {
    // SAFETY: no arguments.
    if unsafe { geteuid() } != 0 {
        return skip(Need::Root, "nobody else becomes another user; every other test is this one then");
    }
    let mut work = Work::new();
    work.need("/d", "dir", 0).need("/d/f", "file", 10);
    work.op(op("open", 3).raw("/d/f").flags(O_RDWR).ofd(0))
        .op(op("read", 10).ofd(0).count(20))
        .op(op("stat", -2).raw("/etc/passwd"))
        .op(op("chown", 0).raw("/d/f").set("uid", 0).set("gid", 0))
        .op(op("close", 0).ofd(0));
    work.expect("/d/f", "file", Some(10));
    work.write();
    // The test runs itself as nobody, from a copy of the workload that nobody may read.
    let place = work.dir.path();
    for path in [place.to_owned(), work.place("work")] {
        std::os::unix::fs::chown(&path, Some(65534), Some(65534)).unwrap();
    }
    for entry in fs::read_dir(work.place("work")).unwrap() {
        std::os::unix::fs::chown(entry.unwrap().path(), Some(65534), Some(65534)).unwrap();
    }
    let program = place.join("ioriot-tests");
    copy_program(&std::env::current_exe().unwrap(), &program);
    let child = place.join("ioriot");
    copy_program(Path::new(env!("CARGO_BIN_EXE_ioriot")), &child);
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&program)
        .args(["--ignored", "--exact", "--nocapture", "suite::replay::roots::as_nobody"])
        .env("IORIOT_TEST_PLACE", place)
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else { return skip(Need::Setpriv, "setpriv does not run") };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Run by the test above, as another user.
#[test]
#[ignore = "run by an_unprivileged_user_gets_a_sandbox_too"]
fn as_nobody() {
    let Some(place) = std::env::var_os("IORIOT_TEST_PLACE").map(std::path::PathBuf::from) else { return };
    let options = init::Options::new(place.join("work"), place.join("root"));
    assert!(init::run(&options, &Progress::default()).unwrap().ok());
    let work = Work::new();
    let options = Options { workload: place.join("work"), root: place.join("root"), out: place.join("run"), ..work.options() };
    match ioriot::replay::run_with(&options, &place.join("ioriot"), &Progress::default()) {
        Ok(summary) => {
            assert_eq!((summary.same, summary.different), (4, 0), "{summary}");
            assert_eq!(summary.uncompared_kinds[0].kind, "credentials", "{summary}");
        }
        // A system without user namespaces says so.
        Err(error) => assert!(format!("{error:#}").contains("no sandbox"), "{error:#}"),
    }
}

/// A name may have 2,000 directories (PATH_MAX): each is made once.
#[test]
fn a_deep_path_is_soon_made() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let deep = "/d".repeat(1000);
    let log = format!("1 openat(AT_FDCWD, \"{deep}/f\", O_RDONLY) = 3\n1 close(3) = 0\n");
    fs::write(at("log"), log).unwrap();
    expect(0, &["ingest", &at("log"), "-o", &at("cap")]);
    expect(0, &["generate", &at("cap"), "-o", &at("work")]);
    let mut init = Command::new("timeout");
    let init = init.args(["60", env!("CARGO_BIN_EXE_ioriot"), "init", &at("work"), "--root", &at("root")]).output().unwrap();
    assert!(init.status.success(), "{init:?}");
    assert!(dir.path().join("root/tree").join(&deep[1..]).join("f").is_file());
}
