//! What files hold, what writes send, and trees that are made as new again.

use super::witness::{Look, look, same};
use super::work::{Row, Work, op, run};
use ioriot::init::{self, Data, Fill, Map};
use ioriot::progress::Progress;
use ioriot::replay::Options;
use libc::*;
use std::collections::HashSet;
use std::fs;
use std::path::Path;

/// Size / size after zstd.
fn ratio(file: &Path) -> f64 {
    let bytes = fs::read(file).unwrap();
    bytes.len() as f64 / zstd::bulk::compress(&bytes, 3).unwrap().len() as f64
}

/// Blocks that deduplication would save / blocks.
fn saved(file: &Path) -> f64 {
    let bytes = fs::read(file).unwrap();
    let blocks: Vec<&[u8]> = bytes.chunks(4096).collect();
    1.0 - blocks.iter().collect::<HashSet<_>>().len() as f64 / blocks.len() as f64
}

#[test]
fn files_and_writes_hold_data_of_the_chosen_kind() {
    let mut work = Work::new();
    work.need("/filled", "file", 20 << 20).need("/small", "file", 64 << 10);
    work.op(op("open", 3).raw("/written").flags(O_CREAT | O_RDWR).ofd(0));
    for at in 0..100 {
        work.op(op("pwrite64", 128 << 10).ofd(0).count(128 << 10).set("offset", at * (128 << 10)));
    }
    work.write();
    for (at, text) in ["zero", "random", "compress=2.5", "compress=8", "dedupe=25%", "compress=2,dedupe=50%"].iter().enumerate() {
        let root = work.place(&format!("root{at}"));
        let data = Data { fill: Fill::parse(text).unwrap(), seed: 3 };
        let made = init::run(&init::Options { data, root: root.clone(), ..work.init_options() }, &Progress::default()).unwrap();
        assert_eq!((made.ok(), made.data.as_str()), (true, *text));
        let out = work.place(&format!("run{at}"));
        let summary = run(&Options { root: root.clone(), out: out.clone(), ..work.options() }).unwrap();
        assert_eq!(summary.different, 0, "{summary}");
        let manifest = fs::read_to_string(out.join("manifest.json")).unwrap();
        assert!(manifest.contains(&format!("\"fill\": \"{text}\"")) && manifest.contains("\"seed\": 3"), "{manifest}");

        for name in ["filled", "written", "small"] {
            let file = root.join("tree").join(name);
            match data.fill {
                Fill::Captured => unreachable!("not in the list"),
                Fill::Zero => assert!(fs::read(&file).unwrap().iter().all(|byte| *byte == 0)),
                Fill::Noise { ratio: wanted, dedupe } => {
                    // Repeated blocks compress too, so the ratio alone says nothing when both are asked for.
                    let found = ratio(&file);
                    assert!(dedupe > 0.0 || (found / wanted - 1.0).abs() < 0.1, "{text}: {name} has ratio {found}");
                    let found = saved(&file);
                    assert!(name == "small" || (found - dedupe).abs() < 0.01, "{text}: {name} has share {found}");
                }
            }
        }
    }
}

/// A tree with everything in it, and a replay that changes what it can.
fn busy() -> Work {
    let mut work = Work::new();
    let modes = |work: &mut Work, path: &str, mode: i64| {
        let row = work.fileset.iter_mut().find(|row| row.text("path") == path).unwrap();
        *row = row.clone().set("mode", mode);
    };
    for dir in ["/d", "/e", "/swap1", "/swap2", "/locked", "/m/in"] {
        work.need(dir, "dir", 0);
    }
    for (file, size) in [
        ("/kept", 5_000_000),
        ("/written", 100_000),
        ("/short", 9000),
        ("/gone", 1),
        ("/d/moved", 10),
        ("/swap1/f", 4097),
        ("/swap2/f", 4097),
        ("/locked/f", 3),
        ("/linked", 12),
        ("/chmod", 1),
        ("/m/in/f", 70_000),
        ("/m/in/kept", 7),
        ("/implicit/dir/f", 1),
        ("/wasfile", 6),
    ] {
        work.need(file, "file", size);
    }
    work.need("/fifo", "fifo", 0);
    for (link, target) in [("/link", "kept"), ("/relinked", "kept")] {
        let row = Row::default().set("path", link).set("kind", "link").set("size", 0).set("size_exact", true);
        work.fileset.push(row.set("target", target));
    }
    modes(&mut work, "/locked", 0o500);
    modes(&mut work, "/locked/f", 0o400);
    work.op(op("open", 3).raw("/written").flags(O_RDWR).ofd(0))
        .op(op("pwrite64", 10).ofd(0).count(10).set("offset", 50_000))
        .op(op("truncate", 0).raw("/short").count(100))
        .op(op("unlink", 0).raw("/gone"))
        .op(op("rename", 0).raw("/d/moved").raw2("/e/moved"))
        .op(op("rename", 0).raw("/swap1").raw2("/swap3"))
        .op(op("rename", 0).raw("/swap2").raw2("/swap1"))
        .op(op("rename", 0).raw("/swap3").raw2("/swap2"))
        .op(op("link", 0).raw("/linked").raw2("/linked2"))
        .op(op("chmod", 0).raw("/chmod").set("mode", 0o777))
        .op(op("chmod", 0).raw("/d").set("mode", 0o700))
        .op(op("chmod", 0).raw("/e").set("mode", 0))
        .op(op("setxattr", 0).raw("/d").set("name", "user.x").count(5).flags(0))
        .op(op("unlink", 0).raw("/relinked"))
        .op(op("symlink", 0).raw("/relinked").raw2("/etc/passwd"))
        .op(op("unlink", 0).raw("/wasfile"))
        .op(op("mkdir", 0).raw("/wasfile").set("mode", 0o755))
        .op(op("mkdir", 0).raw("/wasfile/sub").set("mode", 0))
        .op(op("rename", 0).raw("/implicit").raw2("/explicit"))
        .op(op("unlink", 0).raw("/m/in/f"))
        .op(op("open", 4).raw("/m/in/new").flags(O_CREAT | O_WRONLY).ofd(1));
    work
}

#[test]
fn a_reset_tree_is_the_one_that_was_made() {
    for mapped in [false, true] {
        let mut work = busy();
        work.write();
        let target = work.place("target");
        fs::create_dir(&target).unwrap();
        let maps = if mapped { vec![Map { captured: "/m".into(), target: target.clone() }] } else { Vec::new() };
        let data = Data { fill: Fill::parse("compress=2").unwrap(), seed: 9 };
        let options = init::Options { maps, data, ..work.init_options() };
        init::run(&options, &Progress::default()).unwrap();
        let all = || {
            let mut tree = look(&work.tree(), Look::Tree, &[]);
            tree.extend(look(&target, Look::Tree, &[]).into_iter().filter(|(path, _)| !path.ends_with(".ioriot-root.json")));
            tree
        };
        let before = all();
        for round in 0..3 {
            let summary = run(&Options { out: work.place(&format!("run{round}")), ..work.options() }).unwrap();
            assert_eq!(summary.different, 0, "{summary}");
            assert_ne!(all(), before);
            let reset = init::reset(&work.init_options(), &Progress::default()).unwrap();
            assert!(reset.ok(), "{reset}");
            same("the tree after a reset", &before, &all());
            let counts = reset.reset.unwrap();
            assert!(counts.kept >= 6 && reset.bytes < 1_000_000, "{reset}");
        }
        // Nothing to do: nothing is done.
        let reset = init::reset(&work.init_options(), &Progress::default()).unwrap();
        assert_eq!((reset.files, reset.dirs, reset.links, reset.reset.unwrap().removed), (0, 0, 0, 0), "{reset}");
        // And it is as a tree made anew.
        init::run(&init::Options { force: true, ..options }, &Progress::default()).unwrap();
        let mut anew = all();
        anew.retain(|path, _| !path.to_string_lossy().contains(".old-"));
        same("the tree made anew", &before, &anew);
        work.dir = tempfile::tempdir().unwrap();
    }
}

#[test]
fn only_a_whole_root_of_the_workload_is_reset() {
    let mut work = Work::new();
    work.need("/f", "file", 1);
    work.write();
    let reset = || init::reset(&work.init_options(), &Progress::default()).map(drop).unwrap_err().to_string();
    assert!(reset().contains("is not a root"));
    work.init().unwrap();
    let stamp = work.place("root/.ioriot-root.json");
    let text = fs::read_to_string(&stamp).unwrap();
    fs::write(&stamp, text.replace("fresh", "incomplete")).unwrap();
    assert!(reset().contains("incomplete"));
    fs::write(&stamp, text.replace("1234", "4321")).unwrap();
    assert!(reset().contains("another workload"));
    fs::write(&stamp, text).unwrap();
    fs::write(work.place("root/.ioriot-inodes"), "").unwrap();
    assert!(reset().contains("does not fit"));
}

#[test]
#[ignore = "a measurement, not a test"]
fn a_reset_is_quicker_than_a_new_tree() {
    let files = 100_000;
    let mut work = Work::new();
    for file in 0..files {
        work.need(&format!("/d{}/f{file}", file % 500), "file", 4096);
    }
    for file in 0..100 {
        work.op(op("truncate", 0).raw(format!("/d{}/f{file}", file % 500)).count(1));
    }
    work.write();
    let made = work.init().unwrap();
    run(&work.options()).unwrap();
    let reset = init::reset(&work.init_options(), &Progress::default()).unwrap();
    assert_eq!(reset.files, 100, "{reset}");
    eprintln!("{files} files: made in {:.2} s, reset in {:.2} s", made.wall as f64 / 1e9, reset.wall as f64 / 1e9);
}
