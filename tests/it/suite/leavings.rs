//! What `init --force` moves aside and `clean` deletes: all of it, or nothing.

use super::replay::witness::{Look, look, same};
use super::replay::work::{Work, op};
use crate::skip::{Need, skip};
use crate::tool::{command, expect, root};
use libc::O_RDWR;
use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};

/// A workload with a file below /home.
fn workload() -> Work {
    let mut work = Work::new();
    work.need("/home", "dir", 0).need("/home/f", "file", 1).op(op("open", 3).raw("/home/f").flags(O_RDWR).ofd(0));
    work.write();
    work
}

/// Runs the program in a directory.
fn within(dir: &Path, args: &[&str]) -> Output {
    command(args).current_dir(dir).output().unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

fn done(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

#[test]
fn an_init_that_is_refused_moves_no_tree_aside() {
    let work = workload();
    let here = work.dir.path();
    let init = ["init", "work", "--root", "r", "--force"];
    assert!(within(here, &init).status.success());
    for (name, mode) in [("taken/r.home/mine", 0o755), ("open/x", 0o777), ("other/r.home/x", 0o755)] {
        fs::create_dir_all(work.place(name)).unwrap();
        let target = work.place(name.split('/').next().unwrap());
        fs::set_permissions(target, Permissions::from_mode(mode)).unwrap();
    }
    let before = look(here, Look::Tree, &[]);
    for (target, why) in [("taken", "did not make"), ("open", "lets others replace"), ("nowhere", "cannot map to")] {
        let map = format!("/home={target}");
        let output = within(here, &[&init[..], &["--map", &map]].concat());
        assert!(output.status.code() == Some(2) && said(&output).contains(why), "{target}: {}", said(&output));
        same(target, &before, &look(here, Look::Tree, &[]));
        let plan = within(here, &[&init[..], &["--map", &map, "--dry-run"]].concat());
        assert!(plan.status.code() == Some(2) && said(&plan).contains(why), "{target}: {}", said(&plan));
        same(target, &before, &look(here, Look::Tree, &[]));
    }
}

#[test]
fn a_tree_that_nothing_can_move_is_told_before() {
    let work = workload();
    let here = work.dir.path();
    fs::create_dir(work.place("r")).unwrap();
    let mounted = || done(Command::new("mount").args(["-t", "tmpfs", "-o", "mode=700", "tmpfs"]).arg(work.place("r")));
    if !root() || !mounted() {
        return skip(Need::Root, "a file system cannot be mounted");
    }
    let made = within(here, &["init", "work", "--root", "r"]);
    let before = look(here, Look::Tree, &[]);
    let refused =
        [&["--dry-run"][..], &[]].map(|args| within(here, &[&["init", "work", "--root", "r", "--force"], args].concat()));
    same("refused", &before, &look(here, Look::Tree, &[]));
    assert!(done(Command::new("umount").arg("-l").arg(work.place("r"))));
    assert!(made.status.success(), "{}", said(&made));
    for output in refused {
        assert!(output.status.code() == Some(2) && said(&output).contains("is a mount point"), "{}", said(&output));
    }
}

#[test]
fn nothing_is_made_in_a_tree_by_way_of_a_bind_mount() {
    let work = workload();
    let here = work.dir.path();
    assert!(within(here, &["init", "work", "--root", "r"]).status.success());
    fs::create_dir(work.place("bound")).unwrap();
    if !root() || !done(Command::new("mount").arg("--bind").arg(work.place("r/tree")).arg(work.place("bound"))) {
        return skip(Need::Root, "a directory cannot be mounted");
    }
    fs::create_dir(work.place("bound/sub")).unwrap();
    let trace = crate::tool::data("matrix.strace");
    let refused = ["bound/cap", "bound/sub/cap"].map(|place| within(here, &["ingest", &trace, "-o", place]));
    assert!(done(Command::new("umount").arg("-l").arg(work.place("bound"))));
    for output in refused {
        assert!(output.status.code() == Some(2) && said(&output).contains("which is a root"), "{}", said(&output));
    }
}

#[test]
fn an_init_that_fails_half_way_puts_the_old_tree_back() {
    let work = workload();
    let here = work.dir.path();
    fs::create_dir(work.place("disk")).unwrap();
    fs::create_dir(work.place("small")).unwrap();
    let init = ["init", "work", "--root", "r", "--force"];
    let mapped = [&init[..], &["--map", "/home=disk"]].concat();
    assert!(within(here, &mapped).status.success());
    // Inodes for what is to lie there, and for the top; not for all of a place: itself, its lock, its stamp, its tree.
    let options = "nr_inodes=4,mode=755";
    if !root() || !done(Command::new("mount").args(["-t", "tmpfs", "-o", options, "tmpfs"]).arg(work.place("small"))) {
        return skip(Need::Root, "a file system cannot be mounted");
    }
    let before = look(here, Look::Tree, &["small"]);
    let output = within(here, &[&init[..], &["--map", "/home=small"]].concat());
    let left = fs::read_dir(work.place("small")).unwrap().count();
    assert!(done(Command::new("umount").arg("-l").arg(work.place("small"))));
    assert!(output.status.code() == Some(2) && said(&output).contains("No space left"), "{}", said(&output));
    same("put back", &before, &look(here, Look::Tree, &["small"]));
    assert_eq!(left, 0, "of the new tree");
    assert!(within(here, &["replay", "work", "--root", "r", "-o", "run"]).status.success());
}

#[test]
fn a_tree_is_cleaned_with_its_parts_by_whatever_path() {
    for args in
        [&["clean"][..], &["clean", "."], &["clean", "r"], &["clean", "../here"], &["clean", "../there"], &["clean", "r/."]]
    {
        let work = workload();
        let [here, disk] = ["here", "disk"].map(|name| work.place(name));
        [&here, &disk].iter().for_each(|dir| fs::create_dir(dir).unwrap());
        std::os::unix::fs::symlink("here", work.place("there")).unwrap();
        let init = ["init", "../work", "--root", "../there/r", "--map", "/home=../disk"];
        let made = within(&here, &init);
        assert!(made.status.success() && disk.join("r.home").exists(), "{}", said(&made));
        let plan = within(&here, &[args, &["--roots", "--dry-run"]].concat());
        assert!(plan.status.success() && said(&plan).contains("r.home"), "{args:?}: {}", said(&plan));
        let cleaned = within(&here, &[args, &["--roots", "--yes"]].concat());
        assert!(cleaned.status.success() && said(&cleaned).contains("r.home"), "{args:?}: {}", said(&cleaned));
        assert!(!here.join("r").exists() && !disk.join("r.home").exists(), "{args:?}");
    }
    for (dir, named) in [("r", "."), (".", "link")] {
        let work = workload();
        std::os::unix::fs::symlink("r", work.place("link")).unwrap();
        assert!(within(work.dir.path(), &["init", "work", "--root", "r"]).status.success());
        let cleaned = within(&work.place(dir), &["clean", named, "--roots", "--yes"]);
        assert!(cleaned.status.success() && !work.place("r").exists(), "{named}: {}", said(&cleaned));
    }
}

#[test]
fn what_is_found_twice_is_cleaned_once() {
    let work = workload();
    assert!(within(work.dir.path(), &["init", "work", "--root", "root"]).status.success());
    assert!(within(work.dir.path(), &["replay", "work", "--root", "root", "-o", "run"]).status.success());
    let args = ["clean", ".", "run", "root", "./run", "root/../run", "--roots", "--runs", "--yes"];
    let cleaned = within(work.dir.path(), &args);
    assert_eq!(cleaned.status.code(), Some(0), "{}", said(&cleaned));
    let (text, summary) = (said(&cleaned), String::from_utf8_lossy(&cleaned.stdout).into_owned());
    assert_eq!(summary.lines().filter(|line| line.starts_with("deleted ")).count(), 2, "{text}");
    assert!(!work.place("run").exists() && !work.place("root").exists() && work.place("work").exists());
}

#[test]
fn what_cannot_be_cleaned_hides_nothing_of_the_rest() {
    let work = workload();
    let here = work.dir.path();
    for name in ["a", "b", "c"] {
        assert!(within(here, &["init", "work", "--root", name]).status.success());
    }
    // A mount point is not crossed.
    fs::create_dir(work.place("b/tree/mnt")).unwrap();
    let mount = work.place("b/tree/mnt");
    if !root() || !done(Command::new("mount").args(["-t", "tmpfs", "tmpfs"]).arg(&mount)) {
        return skip(Need::Root, "a file system cannot be mounted");
    }
    let cleaned = within(here, &["clean", "--roots", "--yes"]);
    let again = within(here, &["clean", "--roots", "--dry-run"]);
    assert!(done(Command::new("umount").arg("-l").arg(&mount)));
    let text = said(&cleaned);
    assert!(cleaned.status.code() == Some(2) && text.contains("mnt is a mount point"), "{text}");
    for word in ["deleted the tree (--roots) ./a,", "left the tree (--roots) ./b,", "deleted the tree (--roots) ./c,"] {
        assert!(text.contains(word), "{word} is not in {text}");
    }
    assert!(!work.place("a").exists() && work.place("b").exists() && !work.place("c").exists());
    // What is left is still known for what it is, and not for a whole tree.
    assert!(said(&again).contains("delete the tree (--roots) ./b,"), "{}", said(&again));
    let replayed = within(here, &["replay", "work", "--root", "b", "-o", "run"]);
    assert!(replayed.status.code() == Some(2) && said(&replayed).contains("incomplete"), "{}", said(&replayed));
    assert!(within(here, &["clean", "--roots", "--yes"]).status.success() && !work.place("b").exists());
}

#[test]
fn a_file_for_people_is_whole_or_what_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    fs::create_dir(at("man")).unwrap();
    fs::create_dir(at("docs")).unwrap();
    fs::create_dir(at("systemtap")).unwrap();
    let files = [
        (vec!["man", "man"], "man/ioriot-capture.1"),
        (vec!["docs", "."], "docs/SYSCALLS.md"),
        (vec!["syscalls", "-o", "table"], "table"),
        (vec!["syscalls", "--format", "csv", "-o", "csv"], "csv"),
        (vec!["syscalls", "--format", "json", "-o", "json"], "json"),
        (vec!["syscalls", "--format", "parquet", "-o", "parquet"], "parquet"),
        (vec!["synth", "-o", "capture"], "capture"),
        (vec!["synth", "-o", "/dev/null", "--lines", "100000", "--expect", "expected"], "expected"),
    ];
    for (args, file) in &files {
        fs::write(at(file), "old").unwrap();
        let before = look(dir.path(), Look::Tree, &["man"]);
        let program = env!("CARGO_BIN_EXE_ioriot");
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -f 4; exec \"$0\" \"$@\"", program]).args(args).current_dir(dir.path());
        let output = limited.output().unwrap();
        assert!(output.status.code() == Some(2) && said(&output).contains("File too large"), "{args:?}: {}", said(&output));
        assert_eq!(fs::read_to_string(at(file)).unwrap(), "old", "{args:?}");
        same(file, &before, &look(dir.path(), Look::Tree, &["man"]));
        let whole = within(dir.path(), args);
        assert!(whole.status.success() && fs::metadata(at(file)).unwrap().len() > 2000, "{args:?}: {}", said(&whole));
    }
    let mode = |file: &str| fs::metadata(at(file)).unwrap().permissions().mode() & 0o7777;
    assert_eq!(["man/ioriot-capture.1", "man/ioriot.1", "docs/SYSCALLS.md", "csv"].map(mode), [0o644, 0o644, 0o644, 0o600]);
    expect(0, &["man", at("man").to_str().unwrap()]);
    let names = fs::read_dir(at("man")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    assert!(names.into_iter().all(|name| name.ends_with(".1")), "nothing is left beside the pages");
}
