//! Two commands in one place: the second one is refused and told who is there, and what the first one does is not lost.

use super::ended::{endless_ingest, wait_for};
use super::replay::work::{Work, op};
use crate::skip::{Need, skip};
use crate::tool::{command, data, expect, ioriot};
use libc::{O_RDWR, SIGINT, SIGKILL, SIGTERM, kill};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Stdio};

/// Runs the program, which must refuse and say all this.
fn refused(args: &[&str], says: &[&str]) {
    let output = ioriot(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    says.iter().for_each(|word| assert!(said.contains(word), "{args:?}: {word} is not in {said}"));
}

/// Lets an ingest that waits for input come to its end.
fn let_end(mut child: Child) {
    drop(child.stdin.take());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_dataset_that_is_being_written_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let (here, out) = (dir.path().to_str().unwrap(), dir.path().join("cap"));
    let child = endless_ingest(dir.path());
    let who = format!("process {} (ioriot ingest)", child.id());
    let out = out.to_str().unwrap();
    refused(&["ingest", &data("matrix.strace"), "-o", out], &["is being written", &who]);
    refused(&["capture", "--recover", "-o", out], &["is being written", &who]);
    assert!(expect(0, &["clean", here, "--yes"]).contains(&who));
    let_end(child);
    assert!(Path::new(out).join("manifest.json").exists());
}

#[test]
fn who_is_killed_holds_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cap");
    for args in
        [["ingest", &data("matrix.strace"), "-o", out.to_str().unwrap()], ["clean", dir.path().to_str().unwrap(), "--yes", "-v"]]
    {
        let mut child = endless_ingest(dir.path());
        child.kill().unwrap();
        child.wait().unwrap();
        expect(0, &args);
        assert!(!dir.path().join(".cap.unfinished").exists());
        let _ = fs::remove_dir_all(&out);
    }
}

#[test]
fn a_directory_of_somebody_elses_is_no_draft() {
    let dir = tempfile::tempdir().unwrap();
    let (here, theirs) = (dir.path().to_str().unwrap(), dir.path().join(".thesis.unfinished"));
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("chapter"), "1").unwrap();
    let out = dir.path().join("thesis").display().to_string();
    refused(&["ingest", &data("matrix.strace"), "-o", &out], &[".thesis.unfinished", "is not ioriot's"]);
    refused(&["capture", "--recover", "-o", &out], &[".thesis.unfinished"]);
    refused(&["replay", "--recover", &out], &["no results"]);
    expect(0, &["clean", here, "--yes"]);
    assert_eq!(fs::read(theirs.join("chapter")).unwrap(), b"1");
}

#[test]
fn a_capture_that_runs_is_not_recovered() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cap").display().to_string();
    let args = ["capture", "--backend", "ptrace", "-o", &out, "--", "sh", "-c", "while :; do cat /etc/hostname; done"];
    let mut child = command(&args).process_group(0).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the capture", || dir.path().join(".cap.unfinished/events.parquet").exists());
    let who = format!("process {} (ioriot capture)", child.id());
    refused(&["capture", "--recover", "-o", &out], &["is being written", &who]);
    refused(&["capture", "--backend", "ptrace", "-o", &out, "--", "true"], &["is being written", &who]);
    assert!(expect(0, &["clean", dir.path().to_str().unwrap(), "--yes"]).contains(&who));
    // SAFETY: signals to a process group that this test has made.
    unsafe {
        kill(child.id() as i32, SIGINT);
        std::thread::sleep(std::time::Duration::from_millis(300));
        kill(-(child.id() as i32), SIGTERM); // its command
    }
    assert_eq!(child.wait().unwrap().code(), Some(0));
    assert!(Path::new(&out).join("manifest.json").exists());
}

/// A replay that has written some pages and waits for the time of the next.
fn slow() -> (Work, Child) {
    let mut work = Work::new();
    work.need("/f", "file", 0).op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0).set("ts", 0).set("dur", 1000));
    for at in 0..8_i64 {
        let write = op("pwrite64", 4096).ofd(0).count(4096).set("offset", at << 12);
        // The last one an hour later.
        let ts = if at < 7 { at } else { 360_000 } * 10_000_000;
        work.op(write.set("ts", ts).set("dur", 1000));
    }
    work.write();
    work.init().unwrap();
    let [place, root, run] = ["work", "root", "run"].map(|name| work.place(name).display().to_string());
    let args = ["replay", &place, "--root", &root, "-o", &run, "--pace", "realtime"];
    let child = command(&args).stdout(Stdio::null()).spawn().unwrap();
    wait_for("the replay", || fs::metadata(work.tree().join("f")).is_ok_and(|meta| meta.len() > 5 << 12));
    (work, child)
}

#[test]
fn a_root_that_is_worked_in_is_left_alone() {
    let (work, mut child) = slow();
    let [place, root, run, other] = ["work", "root", "run", "other"].map(|name| work.place(name).display().to_string());
    let who = format!("process {} (ioriot replay)", child.id());
    refused(&["init", &place, "--root", &root, "--reset"], &[&who]);
    refused(&["init", &place, "--root", &root, "--force"], &[&who]);
    refused(&["replay", &place, "--root", &root, "-o", &other, "--dirty"], &[&who]);
    refused(&["replay", &place, "-o", &run, "--engine", "null"], &["is being written", &who]);
    refused(&["replay", "--recover", &run], &["is being written", &who]);
    let said = expect(0, &["clean", work.dir.path().to_str().unwrap(), "--roots", "--runs", "--yes"]);
    assert!(said.matches(&who).count() == 2, "{said}");
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { kill(child.id() as i32, SIGINT) };
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(work.place("run/manifest.json").exists());
    expect(0, &["init", &place, "--root", &root, "--reset"]);
}

#[test]
fn a_killed_replay_frees_its_root() {
    let (work, mut child) = slow();
    let [place, root] = ["work", "root"].map(|name| work.place(name).display().to_string());
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { kill(child.id() as i32, SIGKILL) };
    child.wait().unwrap();
    // Its processes hold it for the moment that they need to die.
    wait_for("the root", || ioriot(&["init", &place, "--root", &root, "--reset"]).status.success());
}

#[cfg(feature = "sql")]
#[test]
fn a_run_that_is_read_is_not_deleted() {
    use std::io::{BufRead, BufReader, Write};
    let mut work = Work::new();
    work.need("/f", "file", 0).op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0));
    work.run(None);
    let (here, run) = (work.dir.path().to_str().unwrap(), work.place("run"));
    let mut reader = command(&["query", run.to_str().unwrap()]);
    let mut reader = reader.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut asks = reader.stdin.take().unwrap();
    writeln!(asks, "SELECT count(*) FROM results;").unwrap();
    let mut answer = BufReader::new(reader.stdout.take().unwrap());
    assert!(answer.read_line(&mut String::new()).unwrap() > 0);
    let said = expect(0, &["clean", here, "--runs", "--yes"]);
    assert!(said.contains(&format!("process {} (ioriot query)", reader.id())), "{said}");
    assert!(run.join("manifest.json").exists());
    drop(asks);
    reader.wait().unwrap();
    expect(0, &["clean", here, "--runs", "--yes"]);
    assert!(!run.exists());
}

#[test]
fn another_users_dataset_that_may_only_be_read_is_read() {
    if !crate::tool::root() {
        return skip(Need::Root, "is a second user");
    }
    let mut work = Work::new();
    work.need("/f", "file", 0).op(op("open", 3).raw("/f").flags(O_RDWR).ofd(0));
    let place = work.write();
    let mode = |path: &Path, mode| fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(mode)).unwrap();
    mode(work.dir.path(), 0o755);
    mode(&place, 0o555);
    fs::read_dir(&place).unwrap().for_each(|entry| mode(&entry.unwrap().path(), 0o444));
    let args = ["init", place.to_str().unwrap(), "--root", "/tmp/nowhere", "--dry-run"];
    let output = match command(&args).uid(65534).gid(65534).output() {
        Err(error) => return skip(Need::Root, format!("user 65534 may not execute the program: {error}")),
        Ok(output) => output,
    };
    assert!(output.status.success(), "{output:?}");
}

#[test]
fn what_was_put_into_a_dataset_is_not_deleted_with_it() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let arg = |name: &str| at(name).to_str().unwrap().to_owned();
    expect(0, &["run", &data("matrix.strace"), "-o", &arg("m")]);
    fs::create_dir(at("m/run/thesis")).unwrap();
    let kept = ["m/run/thesis/chapter", "m/capture/latency.csv", ".left.unfinished/notes"];
    fs::create_dir(at(".left.unfinished")).unwrap();
    fs::set_permissions(at(".left.unfinished"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    fs::write(at(".left.unfinished/begun.json"), r#"{"ioriot": "0", "kind": "capture", "format": 1}"#).unwrap();
    kept.iter().for_each(|file| fs::write(at(file), "mine").unwrap());

    let found = expect(0, &["clean", &arg(""), "--runs", "--roots", "--yes"]);
    assert!(!found.contains("thesis") && !found.contains("left"), "{found}");
    refused(&["run", &data("matrix.strace"), "-o", &arg("m"), "--force"], &["latency.csv is not ioriot's"]);
    refused(&["ingest", &data("matrix.strace"), "-o", &arg("left")], &["notes is not ioriot's"]);
    kept.iter().for_each(|file| assert!(at(file).exists(), "{file}"));
    assert!(at("m/workload").exists() && !at("m/root").exists());

    // Without them it is all ioriot's.
    kept.iter().for_each(|file| fs::remove_file(at(file)).unwrap());
    fs::remove_dir(at("m/run/thesis")).unwrap();
    expect(0, &["run", &data("matrix.strace"), "-o", &arg("m"), "--force"]);
    expect(0, &["clean", &arg(""), "--runs", "--roots", "--yes"]);
    assert!(!at("m/run").exists() && !at(".left.unfinished").exists());
}
