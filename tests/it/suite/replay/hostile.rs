//! Workloads that want out.

use super::work::{Row, Work, op, run};
use ioriot::replay::{Conditions, Limit, Options};
use libc::*;
use serde_json::json;
use std::fs;

/// A workload's directory with something beside the root that must stay as it is.
fn witness(work: &Work) -> impl Fn() + use<> {
    let place = work.place("witness");
    fs::create_dir(&place).unwrap();
    fs::write(place.join("file"), "untouched").unwrap();
    move || {
        assert_eq!(fs::read_to_string(place.join("file")).unwrap(), "untouched");
        assert_eq!(fs::read_dir(&place).unwrap().count(), 1);
    }
}

#[test]
fn no_path_leads_out_of_the_tree() {
    let mut work = Work::new();
    let check = witness(&work);
    let host = work.place("witness").display().to_string();
    let up = format!("/{}", "../".repeat(40));
    work.need("/d", "dir", 0);
    for (index, path) in [format!("{up}{host}/file"), format!("{host}/file"), format!("/d/out{host}/file")].iter().enumerate() {
        work.op(op("symlink", 0).raw(format!("/d/l{index}")).raw2(path))
            .op(op("stat", -2).raw(path))
            .op(op("open", -2).raw(format!("/d/l{index}")).flags(O_RDWR | O_TRUNC))
            .op(op("unlink", -2).raw(path))
            .op(op("rename", -2).raw("/d").raw2(path));
    }
    // `..` of the root is the root, also by descriptor.
    work.op(op("open", 3).raw("/").flags(O_RDONLY | O_DIRECTORY).ofd(0))
        .op(op("openat", 4).set("dir", 0).set("dirfd", 3).raw("../../..").flags(O_RDONLY | O_DIRECTORY).ofd(1))
        .op(op("newfstatat", 0).set("dir", 1).set("dirfd", 4).raw("d").flags(0))
        .op(op("newfstatat", -2).set("dir", 1).set("dirfd", 4).raw("etc").flags(0))
        .op(op("chdir", 0).raw("/../../.."))
        .op(op("stat", -2).raw("/proc/self/root").set("cwd", "/"));
    let summary = work.run(None);
    assert_eq!(summary.different, 0, "{summary}");
    check();
}

#[test]
fn devices_are_not_made_and_root_rights_are_gone() {
    let mut work = Work::new();
    work.op(op("mknod", 0).raw("/null").set("mode", S_IFCHR | 0o666))
        .op(op("setxattr", 0).raw("/").set("name", "trusted.x").count(1).flags(0))
        .op(op("mkdir", 0).raw("/d").set("mode", 0o755));
    let summary = work.run(None);
    assert_eq!(summary.uncompared_kinds[0].kind, "withheld", "{summary}");
    assert_eq!(summary.differences[0].count, 1, "{summary}");
    assert!(!work.tree().join("null").exists());
}

#[test]
fn what_the_captured_kernel_did_not_know_is_not_done_here() {
    let mut work = Work::new();
    let flags = O_WRONLY | O_CREAT | O_EXCL;
    work.op(op("openat2", -38).raw("/new").flags(flags).set("mode", 0o600).set("resolve", 0))
        .op(op("openat", 3).raw("/new").flags(flags).set("mode", 0o600).ofd(0))
        .op(op("renameat2", -38).raw("/new").raw2("/old").flags(1))
        .op(op("rename", 0).raw("/new").raw2("/old"));
    let summary = work.run(None);
    assert_eq!((summary.different, summary.uncompared_kinds[0].count), (0, 2), "{summary}");
    assert_eq!(summary.uncompared_kinds[0].kind, "withheld", "{summary}");
}

#[test]
fn init_makes_nothing_outside() {
    let mut work = Work::new();
    let check = witness(&work);
    work.need("/../witness/evil", "file", 1).need("/a/../../../witness/file", "file", 1).need("/ok", "file", 3);
    work.fileset.push(
        Row::default()
            .set("path", "/out")
            .set("kind", "link")
            .set("size", 0)
            .set("size_exact", true)
            .set("target", "../../witness"),
    );
    work.need("/out/evil", "file", 1);
    work.write();
    let summary = work.init().unwrap();
    assert_eq!((summary.errors, summary.files, summary.links), (3, 1, 1), "{summary}");
    check();
    // An incomplete tree is not replayed by mistake.
    let error = run(&work.options()).unwrap_err().to_string();
    assert!(error.contains("incomplete"), "{error}");
}

#[test]
fn a_workload_that_makes_no_sense_is_refused() {
    let refused = |work: Work, word: &str| {
        work.write();
        work.init().unwrap();
        let error = format!("{:#}", run(&work.options()).unwrap_err());
        assert!(error.contains(word), "{error}");
        assert!(!work.place("run").exists());
        let left: Vec<_> = fs::read_dir(work.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!left.iter().any(|name| name.to_string_lossy().contains("unfinished")), "{left:?}");
    };
    let mut work = Work::new();
    work.op(op("fork", 0));
    refused(work, "fork");
    let mut work = Work::new();
    work.op(op("read", 0).ofd(5)).manifest.insert("ofds".into(), 2.into());
    refused(work, "ofd is 5");
    let mut work = Work::new();
    work.op(op("sync", 0).set("op_id", 1)).op(op("sync", 0).set("op_id", 1));
    refused(work, "row 0 of lanes: first_op is 1 and last_op 1, and it has 2 of 2 ops");
    let mut work = Work::new();
    work.op(op("sync", 0).set("op_id", 7));
    refused(work, "row 0 of lanes: first_op is 7");
}

#[test]
fn a_machine_of_thousands_of_mounts_is_replayed() {
    let mut work = Work::new();
    let mounts = (0..20_000).map(|at| json!({ "path": format!("/srv/containers/{at}/merged/of/a/layer"), "fs": "overlay" }));
    work.manifest.insert("mounts".into(), mounts.collect());
    work.op(op("mkdir", 0).raw("/d").set("mode", 0o755));
    let summary = work.run(None);
    assert_eq!((summary.same, summary.different), (1, 0), "{summary}");
}

#[test]
fn a_full_table_of_descriptors_is_an_outcome_and_not_a_crash() {
    let mut work = Work::new();
    work.need("/f", "file", 1);
    for ofd in 0..30_000 {
        work.op(op("open", 3).raw("/f").flags(O_RDONLY).ofd(ofd));
    }
    work.write();
    work.init().unwrap();
    // As many as are needed are asked for, and root gets them; who says how many gets those.
    let limits = vec![Limit::parse("nofile=5000").unwrap()];
    let conditions = Conditions { limits, ..Conditions::default() };
    let summary = run(&Options { min_match: 0.0, conditions, ..work.options() }).unwrap();
    assert!(summary.different > 25_000 && summary.same > 4900, "{summary}");
    let summary = run(&Options { min_match: 0.0, dirty: true, out: work.place("run2"), ..work.options() }).unwrap();
    assert!(summary.different == 0 || summary.notes.iter().any(|note| note.contains("nofile")), "{summary}");
}
