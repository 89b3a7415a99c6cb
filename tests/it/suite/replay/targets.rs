//! Where the parts of a tree lie: mapped directories, captured mount points, the old layout; and cleaning up after them.

use super::witness::{Look, look, same};
use super::work::{Row, Work, op, run};
use crate::skip::{Need, skip};
use crate::tool;
use ioriot::init::{self, Map, Thing};
use ioriot::progress::Progress;
use ioriot::replay::Options;
use ioriot::schema::Dataset;
use libc::*;
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A file system of its own in a file, mounted by loop device.
pub struct Disk {
    pub at: PathBuf,
}

impl Disk {
    /// `None` where that is not possible.
    pub fn new(work: &Work, fs: &'static str) -> Option<Disk> {
        Disk::below(&work.place(""), fs)
    }

    /// In this directory.
    pub fn below(dir: &Path, fs: &'static str) -> Option<Disk> {
        let (image, at) = (dir.join(format!("{fs}.img")), dir.join(format!("{fs}.mnt")));
        fs::create_dir(&at).unwrap();
        // btrfs and xfs refuse to be smaller.
        fs::File::create(&image).unwrap().set_len(320 << 20).unwrap();
        let force = if fs == "ext4" { "-F" } else { "-f" };
        let done = |command: &mut Command| {
            let output = command.output();
            output.as_ref().is_ok_and(|output| output.status.success())
        };
        let made = tool::root()
            && done(Command::new(format!("mkfs.{fs}")).args(["-q", force]).arg(&image))
            && done(Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&at));
        if !made {
            let need = if tool::root() { Need::Disk(fs) } else { Need::Root };
            skip(need, format_args!("no {fs} on a loop device (mkfs.{fs}, /dev/loop-control)"));
            return None;
        }
        Some(Disk { at })
    }

    /// Mounts it anew: nothing of it is in memory then.
    #[cfg(feature = "sql")]
    pub fn again(&self) {
        let image = self.at.with_extension("img");
        for command in
            [Command::new("umount").arg(&self.at), Command::new("mount").args(["-o", "loop"]).arg(&image).arg(&self.at)]
        {
            assert!(command.status().unwrap().success(), "{command:?}");
        }
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.at).output();
    }
}

fn map(captured: &str, target: &Path) -> Map {
    Map { captured: captured.into(), target: target.to_owned() }
}

/// A workload with files in /data/db, one of which is moved to /other.
fn database() -> Work {
    let mut work = Work::new();
    work.need("/data/db", "dir", 0).need("/data/db/file", "file", 100_000).need("/data/db/a", "file", 1).need("/other", "dir", 0);
    work.fileset[0] = work.fileset[0].clone().set("mode", 0o750);
    work.op(op("open", 3).raw("/data/db/file").flags(O_RDWR).ofd(0))
        .op(op("pwrite64", 8192).ofd(0).count(8192).set("offset", 100_000))
        .op(op("fsync", 0).ofd(0))
        .op(op("open", 4).raw("/data/db/new").flags(O_CREAT | O_EXCL | O_WRONLY).set("mode", 0o600).ofd(1))
        .op(op("stat", 0).raw("/data/db/../../other"))
        .op(op("open", 5).raw("/data/db").flags(O_DIRECTORY).ofd(2))
        .op(op("newfstatat", 0).set("dir", 2).set("dirfd", 5).raw("../db/../../other").flags(0))
        .op(op("rename", 0).raw("/data/db/a").raw2("/other/a").set("path", "/data/db/a").set("path2", "/other/a"));
    work.expect("/data/db/file", "file", Some(108_192)).expect("/data/db/new", "file", Some(0));
    work
}

#[test]
fn a_mapped_directory_is_a_file_system_of_its_own() {
    for fs in ["ext4", "xfs", "btrfs"] {
        let mut work = database();
        let Some(disk) = Disk::new(&work, fs) else { continue };
        work.manifest.insert("mounts".into(), json!([{ "path": "/", "fs": "ext4" }]));
        work.write();
        fs::write(disk.at.join("mine"), "mine").unwrap();
        let before = look(&disk.at, Look::All, &["root.data-db"]);
        let options = init::Options { maps: vec![map("/data/db", &disk.at)], ..work.init_options() };
        let outline = init::outline(&options).unwrap();
        assert_eq!(outline.parts.len(), 2, "{outline}");
        assert!(outline.parts[1].bytes > 100_000 && outline.parts[1].free < 320 << 20 && outline.refused.is_none(), "{outline}");
        assert!(!work.place("root").exists());

        let made = init::run(&options, &Progress::default()).unwrap();
        assert!(made.ok() && made.notes.iter().any(|note| note.contains("1 captured renames")), "{made}");
        let place = disk.at.join("root.data-db");
        let file = fs::metadata(place.join("tree/file")).unwrap();
        assert_eq!((file.dev(), file.len()), (disk.at.metadata().unwrap().dev(), 100_000));
        assert_eq!(fs::metadata(place.join("tree")).unwrap().mode() & 0o7777, 0o750);
        assert_eq!(fs::read_dir(work.tree().join("data/db")).unwrap().count(), 0);

        let summary = run(&work.options()).unwrap();
        assert_eq!((summary.same, summary.different), (7, 1), "{fs}: {summary}");
        assert!(summary.differences[0].examples[0].replayed.contains("cross-device"), "{summary}");
        assert_eq!(summary.state.as_ref().unwrap().verdicts.get("same"), Some(&2), "{summary}");
        assert!(place.join("tree/new").exists());
        same("the neighbours", &before, &look(&disk.at, Look::All, &["root.data-db"]));

        // A reset makes it as it was, and cleaning the root takes the part along and nothing else.
        let reset = init::reset(&work.init_options(), &Progress::default()).unwrap();
        assert!(reset.ok() && !place.join("tree/new").exists(), "{reset}");
        assert_eq!(reset.files, 1, "{reset}");
        assert_eq!(run(&Options { out: work.place("run2"), ..work.options() }).unwrap().same, 7);
        let found = init::find(&disk.at).unwrap();
        assert_eq!(found.iter().map(|found| found.thing).collect::<Vec<_>>(), [Thing::Mapped]);
        let root = init::find(&work.place("root")).unwrap();
        assert_eq!(root[0].places, std::slice::from_ref(&place));
        init::remove(&root[0]).unwrap();
        assert!(!place.exists() && !work.place("root").exists() && disk.at.join("mine").exists());
    }
}

#[test]
fn mappings_move_aside_with_their_root_and_outlive_it_as_orphans() {
    let work = database();
    work.write();
    let target = work.place("target");
    fs::create_dir(&target).unwrap();
    let options = init::Options { maps: vec![map("/data", &target)], ..work.init_options() };
    init::run(&options, &Progress::default()).unwrap();
    let error = init::run(&options, &Progress::default()).unwrap_err().to_string();
    assert!(error.contains("--force"), "{error}");
    init::run(&init::Options { force: true, ..options.clone() }, &Progress::default()).unwrap();
    assert!(target.join("root.data/tree/db/file").exists() && target.join("root.data.old-1/tree/db/file").exists());

    let wrong = Options { maps: vec![map("/data/db", &target)], ..work.options() };
    assert!(run(&wrong).unwrap_err().to_string().contains("was not made with /data/db"));
    assert_eq!(run(&Options { maps: options.maps, ..work.options() }).unwrap().same, 7);
    let known = Dataset::open(&work.place("run")).unwrap().manifest["machine"]["targets"].clone();
    let known: Vec<_> =
        known.as_array().unwrap().iter().map(|known| (&known["path"], known["file_system"].is_string())).collect();
    let trees = [work.place("root/tree"), target.join("root.data/tree")].map(|tree| Value::from(tree.to_str().unwrap()));
    assert_eq!(known, [(&trees[0], true), (&trees[1], true)]);

    // The old root knows where its part went.
    let old = init::find(&work.place("root.old-1")).unwrap();
    assert_eq!((old[0].thing, old[0].places.len()), (Thing::Old, 1));
    init::remove(&old[0]).unwrap();
    assert!(!target.join("root.data.old-1").exists() && target.join("root.data").exists());
    fs::remove_dir_all(work.place("root")).unwrap();
    assert_eq!(init::find(&target).unwrap()[0].thing, Thing::Orphan);
    let error = run(&Options { out: work.place("run2"), ..work.options() }).unwrap_err().to_string();
    assert!(error.contains("is not a root"), "{error}");
}

#[test]
fn mappings_nest() {
    let mut work = Work::new();
    work.need("/a/f", "file", 1).need("/a/b/f", "file", 2).need("/a/bc", "file", 3).need("/a/b/c/f", "file", 4);
    for (size, path) in [(1, "/a/f"), (2, "/a/b/f"), (3, "/a/bc"), (4, "/a/b/c/f")] {
        work.op(op("open", 3).raw(path).flags(O_RDWR | O_APPEND).ofd(size)).op(op("read", size).ofd(size).count(100));
    }
    work.op(op("rename", -EXDEV as i64).raw("/a/b/f").raw2("/a/x"))
        .op(op("rename", -EXDEV as i64).raw("/a/b/c/f").raw2("/a/b/x"));
    work.op(op("rename", -EBUSY as i64).raw("/a/b").raw2("/a/z")).op(op("rmdir", -EBUSY as i64).raw("/a/b/c"));
    work.op(op("rename", 0).raw("/a").raw2("/moved")).op(op("stat", 0).raw("/moved/b/f"));
    work.write();
    let targets = ["t1", "t2"].map(|name| work.place(name));
    targets.iter().for_each(|target| fs::create_dir(target).unwrap());
    // Two of them in one target, and the outer one named last.
    let maps = vec![map("/a/b/c", &targets[0]), map("/a/b", &targets[0])];
    let made = init::run(&init::Options { maps, ..work.init_options() }, &Progress::default()).unwrap();
    assert!(made.ok(), "{made}");
    assert!(targets[0].join("root.a-b/tree/f").exists() && targets[0].join("root.a-b-c/tree/f").exists());
    let summary = run(&work.options()).unwrap();
    assert_eq!(summary.different, 0, "{summary}");
    // All of the tree elsewhere.
    let maps = vec![map("/", &targets[1])];
    let elsewhere = init::Options { maps, root: work.place("root2"), ..work.init_options() };
    assert!(init::run(&elsewhere, &Progress::default()).unwrap().ok());
    assert!(targets[1].join("root2.all/tree/a/b/c/f").exists());
    run(&Options { root: work.place("root2"), out: work.place("run2"), ..work.options() }).unwrap();
}

#[test]
fn what_cannot_be_mapped_is_said_before_anything_is_made() {
    let mut work = Work::new();
    work.need("/d", "dir", 0).need("/f", "file", 1).need("/later", "absent", 0);
    work.fileset
        .push(Row::default().set("path", "/link").set("kind", "link").set("size", 0).set("size_exact", true).set("target", "d"));
    work.write();
    let target = work.place("target");
    fs::create_dir(&target).unwrap();
    let refused = |maps: Vec<Map>, word: &str| {
        let error = format!("{:#}", init::run(&init::Options { maps, ..work.init_options() }, &Progress::default()).unwrap_err());
        assert!(error.contains(word), "{error}");
        assert!(!work.place("root").exists() && fs::read_dir(&target).unwrap().next().is_none());
    };
    refused(vec![map("/f", &target)], "is a file");
    refused(vec![map("/link/x", &target)], "symlink");
    refused(vec![map("/later", &target)], "not there before the replay");
    refused(vec![map("/d", &work.place("nowhere"))], "cannot map to");
    refused(vec![map("/d", &target), map("/d", &target)], "twice");
    // A place that is taken: whatever was made before it is gone again.
    fs::create_dir_all(target.join("root.d/mine")).unwrap();
    let maps = vec![map("/", &target), map("/d", &target)];
    let error = init::run(&init::Options { maps, ..work.init_options() }, &Progress::default()).unwrap_err().to_string();
    assert!(error.contains("did not make"), "{error}");
    assert!(!work.place("root").exists() && fs::read_dir(&target).unwrap().count() == 1);
}

#[test]
fn captured_mount_points_are_mount_points_again() {
    let exdev = -i64::from(EXDEV);
    let mut work = Work::new();
    let mounts =
        [("/", "ext4"), ("/m", "xfs"), ("/m/n", "xfs"), ("/proc", "proc"), ("/not/used", "ext4"), ("/etc/hosts", "ext4")];
    let list: Vec<_> = mounts.iter().map(|(path, fs)| json!({ "path": path, "fs": fs })).collect();
    work.manifest.insert("mounts".into(), json!(list));
    for path in ["/a", "/m/a", "/m/n/a", "/etc/hosts"] {
        work.need(path, "file", 1);
    }
    work.op(op("rename", exdev).raw("/m/a").raw2("/b"))
        .op(op("rename", exdev).raw("/a").raw2("/m/b"))
        .op(op("link", exdev).raw("/m/n/a").raw2("/m/b"))
        .op(op("rename", 0).raw("/m/a").raw2("/m/b"))
        .op(op("rename", 0).raw("/m/n/a").raw2("/m/n/b"))
        .op(op("rmdir", -i64::from(EBUSY)).raw("/m/n"))
        .op(op("unlink", -i64::from(EBUSY)).raw("/etc/hosts"));
    assert_eq!(work.run(None).different, 0);
    let text = init::outline(&init::Options { force: true, ..work.init_options() }).unwrap().to_string();
    assert!(text.contains("/m/n (xfs): a mount point of its own") && !text.contains("/not/used"), "{text}");
}

#[test]
fn the_old_layout_has_a_tree_on_every_mount() {
    let mut work = Work::new();
    let Some(disk) = Disk::new(&work, "ext4") else { return };
    let captured = disk.at.to_str().unwrap().to_owned();
    let [inside, beside] = [format!("{captured}/x/f"), format!("{captured}2/f")];
    work.need(&inside, "file", 5).need(&beside, "file", 6);
    work.manifest.insert("mounts".into(), json!([{ "path": captured, "fs": "ext4" }]));
    work.op(op("open", 3).raw(&inside).flags(O_RDWR).ofd(0)).op(op("rename", -i64::from(EXDEV)).raw(&inside).raw2(&beside));
    work.write();
    let options = init::Options { layout: Some("test1".into()), ..work.init_options() };
    assert!(init::run(&options, &Progress::default()).unwrap().ok());
    assert!(disk.at.join(".ioriot/test1/tree/x/f").exists() && work.tree().join(&beside[1..]).exists());
    assert_eq!(run(&work.options()).unwrap().different, 0);
    for name in ["", "a/b", ".."] {
        assert!(init::outline(&init::Options { layout: Some(name.into()), ..options.clone() }).is_err(), "{name}");
    }
}

#[test]
fn another_user_issues_the_ops() {
    if !tool::root() {
        return skip(Need::Root, "another user");
    }
    let mut work = Work::new();
    work.need("/open", "dir", 0).need("/secret", "file", 1);
    work.fileset[0] = work.fileset[0].clone().set("mode", 0o777);
    work.fileset[1] = work.fileset[1].clone().set("mode", 0o600);
    work.op(op("open", -i64::from(EACCES)).raw("/secret").flags(O_RDONLY))
        .op(op("open", 3).raw("/open/f").flags(O_CREAT | O_WRONLY).set("mode", 0o600).ofd(0))
        .op(op("write", 10).ofd(0).count(10))
        .op(op("chown", -i64::from(EPERM)).raw("/open/f").set("uid", 0).set("gid", 0));
    work.write();
    work.init().unwrap();
    let user = Some(ioriot::replay::Named::find("65534:65533").unwrap());
    let conditions = ioriot::replay::Conditions { user, sync_before: true, nice: Some(3), ..Default::default() };
    let summary = run(&Options { conditions, ..work.options() }).unwrap();
    assert_eq!((summary.different, summary.notes.len()), (0, 0), "{summary}");
    let file = fs::metadata(work.tree().join("open/f")).unwrap();
    assert_eq!((file.uid(), file.gid(), file.len()), (65534, 65533, 10));
}
