//! A job file made of a capture of fio: fio runs it, and a capture of that run has the same sizes, mix, order and depth.

use super::super::capture::{capture, scratch};
use super::{export, hostile, ingested};
use crate::alone::alone;
use crate::skip::{Need, skip};
use crate::tool::{number, rows};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Has fio what it needs, with these files laid out in a directory?
fn laid_out(dir: &Path, args: &[String]) -> bool {
    fs::create_dir(dir).unwrap();
    let directory = format!("--directory={}", dir.display());
    match Command::new("fio").arg(directory).args(args).args(["--create_only=1", "--output=/dev/null"]).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => panic!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr)),
        Err(error) => {
            skip(Need::Fio, error);
            false
        }
    }
}

/// Captures fio on the files in a directory.
fn captured(dir: &Path, args: &[String], out: &str) -> PathBuf {
    let out = dir.with_file_name(out);
    let directory = format!("--directory={}", dir.display());
    let mut all = vec!["--backend", "ptrace", "--", "fio", &directory, "--output=/dev/null"];
    all.extend(args.iter().map(String::as_str));
    capture(0, &out, &all);
    out
}

/// Shares of sizes, of reads, and of random accesses, by class, and calls in flight on average.
struct Found {
    sizes: Vec<(String, f64)>,
    reads: f64,
    random: f64,
    depth: f64,
}

fn found(cap: &Path, dir: &Path) -> Found {
    let of = format!(
        "(SELECT *, lag(\"offset\" + bytes) OVER (PARTITION BY ofd, class ORDER BY seq) AS behind FROM io \
         WHERE class IN ('reads', 'writes') AND bytes > 0 AND path LIKE '{}/%')",
        dir.display()
    );
    let number = |sql: &str| number(&[cap], &format!("SELECT {sql} FROM {of}"));
    let total = number("count(*)");
    assert!(total > 500.0, "{total}");
    let sizes = rows(&[cap], &format!("SELECT class, bytes, count(*) FROM {of} GROUP BY 1, 2 ORDER BY 1, 2"));
    let sizes = sizes.iter().map(|row| row.rsplit_once(',').unwrap());
    Found {
        sizes: sizes.map(|(what, count)| (what.to_owned(), count.parse::<f64>().unwrap() / total)).collect(),
        reads: number("count(*) FILTER (WHERE class = 'reads')") / total,
        random: number("CAST(count(*) FILTER (WHERE \"offset\" <> behind) AS DOUBLE) / count(behind)"),
        depth: number("sum(dur_ns) / 1e9 / (max(time_s + dur_ns / 1e9) - min(time_s))"),
    }
}

/// Runs fio with these options, exports the capture, runs that, and compares; the exported job file. `None` where there is no fio.
fn alike(name: &str, args: &[&str], depth: bool) -> Option<String> {
    let tmp = scratch();
    let (one, two) = (tmp.path().join("one"), tmp.path().join("two"));
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    if !laid_out(&one, &args) {
        return None;
    }
    let before = captured(&one, &args, "before");
    let jobs = tmp.path().join("jobs.fio");
    export(&before, "fio-jobs", &["-o", jobs.to_str().unwrap()]);
    let text = fs::read_to_string(&jobs).unwrap();
    let exported = vec![jobs.to_str().unwrap().to_owned()];
    assert!(laid_out(&two, &exported));
    let after = captured(&two, &exported, "after");
    let (before, after) = (found(&before, &one), found(&after, &two));
    for (what, share) in &before.sizes {
        let again = after.sizes.iter().find(|(other, _)| other == what).map_or(0.0, |(_, share)| *share);
        assert!((share - again).abs() < 0.05, "{name}: {what}: {share} and {again}\n{text}");
    }
    assert!((before.reads - after.reads).abs() < 0.05, "{name}: reads: {} and {}\n{text}", before.reads, after.reads);
    assert!((before.random - after.random).abs() < 0.05, "{name}: random: {} and {}\n{text}", before.random, after.random);
    if depth {
        // The middle one of three: at times the machine does something else.
        let middle = |first: &Found, dir: &Path, args: &[String]| {
            let name = dir.file_name().unwrap().to_str().unwrap();
            let more = [2, 3].map(|time| found(&captured(dir, args, &format!("{name}-{time}")), dir).depth);
            let mut depths = [first.depth, more[0], more[1]];
            depths.sort_by(f64::total_cmp);
            depths[1]
        };
        let (before, after) = (middle(&before, &one, &args), middle(&after, &two, &exported));
        assert!((before / after - 1.0).abs() < 0.05, "{name}: depth: {before} and {after}\n{text}");
    }
    Some(text)
}

#[test]
fn calls_are_as_they_were() {
    let args = ["--name=a", "--rw=randrw", "--rwmixread=70", "--percentage_random=40,80", "--bssplit=4k/60:16k/40,8k/100"];
    let more = ["--size=8M", "--io_size=12M", "--ioengine=psync", "--numjobs=2", "--thread", "--norandommap"];
    let Some(text) = alike("psync", &[&args[..], &more].concat(), false) else { return };
    assert!(text.contains("ioengine=psync\niodepth=1\nnumjobs=2\nrw=randrw\nrwmixread="), "{text}");
}

#[test]
fn requests_are_as_deep_as_they_were() {
    alone();
    let args =
        ["--name=a", "--rw=randread", "--bs=4k", "--size=8M", "--ioengine=libaio", "--iodepth=16", "--direct=1", "--thread"];
    let Some(text) = alike("libaio", &args, true) else { return };
    assert!(text.contains("ioengine=libaio\niodepth=16\nnumjobs=1\nrw=randread\n") && text.contains("\ndirect=1\n"), "{text}");
}

#[test]
fn sections_say_how_files_were_opened_and_synced() {
    let tmp = scratch();
    let dir = tmp.path().join("one");
    let args = ["--name=a", "--rw=write", "--bs=4k", "--size=1M", "--ioengine=psync", "--fdatasync=8", "--sync=1", "--thread"];
    let args: Vec<String> = args.iter().map(|arg| (*arg).to_owned()).collect();
    if !laid_out(&dir, &args) {
        return;
    }
    let text = export(&captured(&dir, &args, "before"), "fio-jobs", &[]);
    let section = text.split("\n[").find(|section| section.contains("rw=write\n")).unwrap();
    for line in
        ["ioengine=psync", "iodepth=1", "numjobs=1", "bssplit=4096/100,4096/100", "sync=1", "fdatasync=8", "io_size=1048576"]
    {
        assert!(section.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(!section.contains("direct=") && !section.contains("percentage_random"), "{text}");
}

#[test]
fn no_captured_name_is_in_a_job_file() {
    let dir = tempfile::tempdir().unwrap();
    let text = export(&hostile(dir.path()), "fio-jobs", &[]);
    let plain = |c: char| c.is_ascii_alphanumeric() || "\n =[];:/.,_-".contains(c);
    assert!(text.contains("bssplit=4/100,5/100\n") && text.lines().skip(2).all(|line| line.chars().all(plain)), "{text}");
    let other = tempfile::tempdir().unwrap();
    // Many processes, of which few are there at once.
    let text = export(&ingested(other.path(), "d-files.strace.gz"), "fio-jobs", &[]);
    let jobs = text.lines().filter_map(|line| line.strip_prefix("numjobs=")).map(|jobs| jobs.parse::<u64>().unwrap());
    assert!(jobs.clone().count() <= 32 && jobs.clone().max() < Some(20), "{text}");
}
