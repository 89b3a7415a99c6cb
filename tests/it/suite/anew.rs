//! `run --force`: the old datasets are there until all of them are there anew.

use super::ended::wait_for;
use super::replay::witness::{Look, look, same};
use crate::tool::{command, data, expect, ioriot};
use libc::{LOCK_NB, LOCK_SH, SIGTERM, flock, kill};
use std::fs::{self, File, Permissions};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Stdio;

/// A directory that `run` has made, with what a killed writer left in it.
struct Made(tempfile::TempDir);

impl Made {
    fn new() -> Made {
        let made = Made(tempfile::tempdir().unwrap());
        expect(0, &["run", &data("matrix.strace"), "-o", &made.arg("m")]);
        let left = made.at("m/.run.unfinished");
        fs::create_dir(&left).unwrap();
        fs::set_permissions(&left, Permissions::from_mode(0o700)).unwrap();
        fs::write(left.join("begun.json"), r#"{"ioriot": "0", "kind": "run", "format": 1}"#).unwrap();
        made
    }

    fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn arg(&self, name: &str) -> String {
        self.at(name).to_str().unwrap().to_owned()
    }

    /// Runs it anew with these arguments, which must be refused and change nothing.
    fn refused(&self, args: &[&str], says: &str) {
        let before = look(&self.at("m"), Look::Tree, &[]);
        let output = ioriot(&[&["run", "-o", &self.arg("m"), "--force"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
        assert!(said.contains(says), "{args:?}: {says} is not in {said}");
        same(&format!("{args:?}"), &before, &look(&self.at("m"), Look::Tree, &[]));
    }

    fn names(&self) -> Vec<String> {
        let mut names: Vec<_> =
            fs::read_dir(self.at("m")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

#[test]
fn a_run_that_is_refused_leaves_all_as_it_was() {
    let (made, matrix) = (Made::new(), data("matrix.strace"));
    fs::write(made.at("no.strace"), "this is no trace\n").unwrap();
    fs::create_dir(made.at("open")).unwrap();
    fs::set_permissions(made.at("open"), Permissions::from_mode(0o777)).unwrap();
    made.refused(&[&made.arg("typo.strace")], "cannot open");
    for inside in ["run", "capture", "root/tree"] {
        made.refused(&[&matrix, "--map", &format!("/x={}", made.arg(&format!("m/{inside}")))], "choose another");
    }
    made.refused(&[&made.arg("open")], "is a directory");
    made.refused(&[&made.arg("no.strace")], "no.strace");
    made.refused(&[&matrix, "--mounts", "/no/such/file"], "/no/such/file");
    made.refused(&[&matrix, "--user", "no-such-user-here"], "no-such-user-here");
    made.refused(&[&matrix, "--map", "/usr=/no/such/place"], "/no/such/place");
    made.refused(&[&matrix, "--map", &format!("/usr={}", made.arg("open"))], "lets others replace");
    made.refused(&[&matrix, "--layout", "mounts", "--name", "a/b"], "is no name");
    made.refused(&[&matrix, "--ignore", "tmp"], "is relative");
    made.refused(&[&matrix, "--sql-dir", "/no/such/place"], "is no directory");
    made.refused(&[&matrix, "--where", "fd ="], "is no predicate");
    made.refused(&[&matrix, "--where", "no_such_column = 1"], "is no predicate");
    fs::create_dir(made.at("stages")).unwrap();
    fs::write(made.at("stages/edges.sql"), "SELECT wrong FROM touches").unwrap();
    made.refused(&[&matrix, "--sql-dir", &made.arg("stages")], "wrong");
    made.refused(&["--", "/no/such/command"], "cannot execute /no/such/command");
    made.refused(&["--", "no-such-command-here"], "there is no program");
    made.refused(&["--", &matrix], "is no program");
    // The command is found, and its interpreter is not.
    fs::write(made.at("script"), "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(made.at("script"), Permissions::from_mode(0o755)).unwrap();
    made.refused(&["--", &made.arg("script")], "cannot execute");
}

#[test]
fn what_somebody_works_with_keeps_all_the_rest() {
    let (made, matrix) = (Made::new(), data("matrix.strace"));
    for name in ["capture", "workload", "run", ".run.unfinished", "root/.ioriot-lock"] {
        let held = File::open(made.at("m").join(name)).unwrap();
        // SAFETY: a descriptor of ours.
        assert_eq!(unsafe { flock(held.as_raw_fd(), LOCK_SH | LOCK_NB) }, 0);
        made.refused(&[&matrix], &format!("process {}", std::process::id()));
        let plan = ["run", &matrix, "-o", &made.arg("m"), "--force", "--dry-run"];
        assert_eq!(ioriot(&plan).status.code(), Some(2), "{name}");
    }
    let said = expect(0, &["run", &matrix, "-o", &made.arg("m"), "--force"]);
    assert!(said.contains("all the same"), "{said}");
    assert_eq!(made.names(), ["capture", "root", "root.old-1", "run", "workload"]);
}

/// Tables are deleted before the manifest: who cleans up, or makes it anew, knows what a killed delete has left.
#[test]
fn a_dataset_that_somebody_began_to_delete_can_be_deleted() {
    let (made, matrix) = (Made::new(), data("matrix.strace"));
    fs::remove_file(made.at("m/run/results.parquet")).unwrap();
    let asked = ioriot(&["query", &made.arg("m/run"), "SELECT 1"]);
    assert!(String::from_utf8_lossy(&asked.stderr).contains("results.parquet is not there"), "{asked:?}");
    let listed = expect(0, &["clean", &made.arg("m")]);
    assert!(listed.contains("m/run"), "{listed}");
    let said = expect(0, &["run", &matrix, "-o", &made.arg("m"), "--force"]);
    assert!(said.contains("all the same"), "{said}");
}

#[test]
fn a_run_that_is_ended_in_its_ingest_puts_the_old_back() {
    let made = Made::new();
    let before = look(&made.at("m"), Look::Tree, &[]);
    let args = ["run", "-", "-o", &made.arg("m"), "--force"];
    let mut child = command(&args).stdin(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    child.stdin.as_mut().unwrap().write_all(&fs::read(data("matrix.strace")).unwrap()).unwrap();
    wait_for("the draft", || made.at("m/.capture.unfinished/begun.json").exists());
    assert_eq!(made.names()[1..4], [".run.old-1.unfinished", "capture.old-1", "root"]);
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { kill(child.id() as i32, SIGTERM) };
    assert_eq!(child.wait().unwrap().code(), Some(143));
    same("ended", &before, &look(&made.at("m"), Look::Tree, &[]));
}

#[test]
fn a_run_that_fails_on_its_way_puts_the_old_back_and_keeps_the_new() {
    let made = Made::new();
    let before = look(&made.at("m"), Look::Tree, &[]);
    let input = made.arg("other.strace");
    fs::write(&input, "1 openat(AT_FDCWD, \"/etc/hostname\", O_RDONLY) = 3\n1 close(3) = 0\n").unwrap();
    // Only a row shows what is wrong with this.
    let args = ["run", &input, "-o", &made.arg("m"), "--force", "--where", "1 / (fd - fd) = 1"];
    let output = ioriot(&args);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("the new capture is "), "{said}");
    let new = made.at("m/capture.new-1");
    let said = expect(0, &["query", new.to_str().unwrap(), "SELECT count(*) AS n FROM events", "--format", "csv"]);
    assert_eq!(said, "n\n2\n");
    fs::remove_dir_all(&new).unwrap();
    same("failed", &before, &look(&made.at("m"), Look::Tree, &[]));
    // And when it succeeds, nothing of the old is left.
    expect(0, &["run", &input, "-o", &made.arg("m"), "--force"]);
    assert_eq!(made.names(), ["capture", "root", "root.old-1", "run", "workload"]);
    let said = expect(0, &["query", &made.arg("m/capture"), "SELECT count(*) AS n FROM events", "--format", "csv"]);
    assert_eq!(said, "n\n2\n");
}
