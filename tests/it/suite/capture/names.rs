//! Names and inodes: a program that finds none in memory reads them from the device, and so does its replay.

use super::*;
use crate::alone::alone;
use crate::suite::replay::targets::Disk;

/// Directories of the tree, and files in each.
const DIRS: u64 = 80;
const FILES: u64 = 40;

/// Reads for metadata in the devices of a summary.
fn meta_reads(devices: &Value) -> u64 {
    let devices = devices.as_array().map(Vec::as_slice).unwrap_or_default();
    devices.iter().filter_map(|device| device["tasks"]["meta_reads"].as_u64()).sum()
}

/// Tries again what finds names in memory: a test beside this one may drop the caches of the whole system in between.
fn undisturbed(fs: &str, mut once: impl FnMut() -> Result<(), String>) {
    let mut said = String::new();
    for _ in 0..4 {
        match once() {
            Ok(()) => return,
            Err(fault) => said = fault,
        }
    }
    panic!("{fs}: {said}");
}

#[test]
fn names_are_as_cold_as_the_program_found_them() {
    alone();
    if !allowed() {
        return;
    }
    for fs in ["ext4", "xfs", "btrfs"] {
        let dir = scratch();
        let [here, there] = ["here", "there"].map(|name| dir.path().join(name));
        [&here, &there].into_iter().for_each(|place| std::fs::create_dir(place).unwrap());
        let (Some(source), Some(target)) = (Disk::below(&here, fs), Disk::below(&there, fs)) else { continue };
        for sub in 0..DIRS {
            let sub = source.at.join(format!("dir-{sub}"));
            std::fs::create_dir(&sub).unwrap();
            (0..FILES).for_each(|file| std::fs::write(sub.join(format!("file-{file}")), "").unwrap());
        }
        let list = ["--", "ls", "-lR", source.at.to_str().unwrap()];
        let [cold, warm] = ["cold", "warm"].map(|name| dir.path().join(name));
        source.again();
        let summary = capture(0, &cold, &list);
        let captured = meta_reads(&summary["device"]);
        // An inode of ext4 takes 256 bytes, and a directory a block; those of xfs have 512 bytes, 64 of them in a read; those of btrfs less.
        let least = if fs == "ext4" { DIRS } else { DIRS * FILES / 64 / 2 };
        assert!(captured >= least, "{fs}: {captured} reads, {}", summary["device"]);
        undisturbed(fs, || {
            let _ = std::fs::remove_dir_all(&warm);
            let found = capture(0, &warm, &list);
            if meta_reads(&found["device"]) < least / 4 { Ok(()) } else { Err(found["device"].to_string()) }
        });

        let root = target.at.join("root");
        let r = root.to_str().unwrap();
        let replayed = |capture: &Path, name: &str, options: &[&str]| {
            let [work, run] = ["work", "run"].map(|part| dir.path().join(format!("{name}-{part}")));
            [&work, &run].into_iter().for_each(|old| drop(std::fs::remove_dir_all(old)));
            let [c, w, o] = [capture, &work, &run].map(|path| path.to_str().unwrap());
            expect(0, &["generate", c, "-o", w]);
            expect(0, &["init", w, "--root", r, "--force"]);
            let said = expect(0, &[&["replay", w, "--root", r, "-o", o, "--min-match", "100"], options].concat());
            let manifest: Value = serde_json::from_slice(&std::fs::read(run.join("manifest.json")).unwrap()).unwrap();
            (meta_reads(&manifest["summary"]["device"]), manifest["summary"].clone(), said)
        };
        let (reads, summary, said) = replayed(&cold, "cold", &[]);
        assert_eq!(summary["cache"]["dropped"], true, "{fs}: {said}");
        assert!((captured * 7 / 10..captured * 13 / 10).contains(&reads), "{fs}: {reads} reads, captured {captured}\n{said}");
        let names = |summary: &Value| summary["time"]["caveats"].as_array().unwrap().contains(&Value::from("names"));
        assert!(!names(&summary), "{said}");
        // Whoever leaves them in memory is told.
        undisturbed(fs, || {
            let (reads, summary, said) = replayed(&cold, "asis", &["--cache", "as-is"]);
            assert!(names(&summary) && said.contains("names and inodes"), "{fs}: {said}");
            if reads < least / 4 { Ok(()) } else { Err(format!("{reads} reads\n{said}")) }
        });
        // A program that found its names in memory costs others nothing.
        undisturbed(fs, || {
            let (reads, summary, said) = replayed(&warm, "warm", &[]);
            assert_eq!((&summary["cache"]["dropped"], names(&summary)), (&Value::from(false), false), "{fs}: {said}");
            if reads < least / 4 { Ok(()) } else { Err(format!("{reads} reads\n{said}")) }
        });
    }
}
