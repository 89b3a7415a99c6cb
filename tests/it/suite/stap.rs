//! `capture --backend stap`, with a `staprun` that plays a recorded session: whole, with losses, cut short, refused.
//! The real one runs in an emulated machine (scripts/vm-capture.sh).

use crate::tool::{command, data};
use serde_json::{Value, json};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A directory with a `staprun` in it and a module that it does not load.
struct Scene(TempDir);

impl Scene {
    /// Lines of the real capture in tests/data, header and end included, changed; `end` is what the player does then.
    fn new(change: impl Fn(&mut Vec<String>), end: &str) -> Scene {
        let dir = tempfile::tempdir().unwrap();
        let mut lines: Vec<String> = fs::read_to_string(data("v5-matrix.capture")).unwrap().lines().map(str::to_owned).collect();
        lines.insert(1, "#|capture_ready|".into());
        change(&mut lines);
        let ended = lines.last().is_some_and(|line| line.starts_with("#|capture_end"));
        let last = if ended { lines.pop().unwrap() } else { String::new() };
        fs::write(dir.path().join("session"), lines.join("\n") + "\n").unwrap();
        // As staprun(8) does, it gives all that it has before it ends, whenever it is asked to.
        let script = format!(
            "#!/bin/sh\ncd \"${{0%/*}}\"\nprintf '%s\\n' \"$@\" > arguments\nover=\ntrap 'over=1' TERM\n\
             head -n 2 session\nsleep 0.1\ntail -n +3 session\n{end}\n\
             while [ -z \"$over\" ]; do sleep 0.02; done\necho \"{last}\"\n"
        );
        let player = dir.path().join("staprun");
        fs::write(&player, script).unwrap();
        fs::set_permissions(&player, fs::Permissions::from_mode(0o755)).unwrap();
        fs::write(dir.path().join("a module.ko"), "no ELF").unwrap();
        Scene(dir)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    /// Captures a command; the exit code, the summary (null when there is none) and what was said.
    fn capture(&self, arguments: &[&str]) -> (Option<i32>, Value, String) {
        let (module, out) = (self.path("a module.ko"), self.path("capture"));
        let mut args = vec!["capture", "--backend", "stap", "--format", "json"];
        args.extend(["--module", module.to_str().unwrap(), "-o", out.to_str().unwrap()]);
        args.extend(arguments);
        if !arguments.iter().any(|argument| argument.starts_with("--comm") || *argument == "--all") {
            args.extend(["--", "sleep", "0.05"]);
        }
        let path = format!("{}:{}", self.0.path().display(), std::env::var("PATH").unwrap());
        let output = command(&args).env("PATH", path).output().unwrap();
        let summary = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
        (output.status.code(), summary, String::from_utf8_lossy(&output.stderr).into_owned())
    }

    fn nothing_is_left(&self) -> bool {
        fs::read_dir(self.0.path()).unwrap().flatten().all(|entry| !entry.file_name().to_string_lossy().contains("capture"))
    }
}

const IDLE: &str = "echo '#|capture_idle|'";

/// Kind, count and whether there is a time, of each loss.
fn losses(summary: &Value) -> Vec<(String, u64, bool)> {
    let losses = summary["losses"].as_array().unwrap().iter();
    losses
        .map(|loss| {
            let between = loss["between"].as_array().map(|times| times[0].as_i64() <= times[1].as_i64());
            assert_ne!(between, Some(false), "{loss}");
            (loss["kind"].as_str().unwrap().to_owned(), loss["count"].as_u64().unwrap(), between.is_some())
        })
        .collect()
}

#[test]
fn a_session_becomes_a_capture() {
    let scene = Scene::new(|_| (), IDLE);
    let (code, summary, said) = scene.capture(&[]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(summary["sum"], json!({"issued": 168, "written": 168, "filtered": 0, "lost": 0, "unfinished": 0}));
    assert_eq!((&summary["backend"], &summary["ended"]), (&json!("stap"), &json!("target")));
    assert_eq!((losses(&summary), summary["syscalls"]["pwrite64"].as_u64()), (vec![], Some(1)));
    let arguments = fs::read_to_string(scene.path("arguments")).unwrap();
    let words: Vec<&str> = arguments.lines().collect();
    let module = scene.path("a module.ko");
    assert_eq!(words[..4], ["-R", "-b", "64", module.to_str().unwrap()], "a name with a blank stays one word");
    assert!(words[4].starts_with("reader=") && words[5].starts_with("pids=") && words.len() == 6, "{words:?}");
    let manifest: Value = serde_json::from_slice(&fs::read(scene.path("capture/manifest.json")).unwrap()).unwrap();
    assert_eq!((&manifest["source"], &manifest["clock"], &manifest["events"]), (&json!("stap"), &json!("unix"), &json!(168)));
    for table in ["events", "processes", "open_files", "mounts", "losses"] {
        assert!(scene.path("capture").join(table).with_extension("parquet").exists(), "{table}");
    }
    #[cfg(feature = "sql")]
    {
        let [capture, workload] = ["capture", "workload"].map(|name| scene.path(name).to_str().unwrap().to_owned());
        crate::tool::expect(0, &["generate", &capture, "-o", &workload]);
    }
}

#[test]
fn what_does_not_arrive_is_a_loss_with_a_time() {
    let warning =
        format!("echo 'WARNING: There were 2 transport failures. Try stap -s to increase the buffer size.' >&2\n{IDLE}");
    let holes = |lines: &mut Vec<String>| {
        drop(lines.drain(60..63));
        let half = lines[100].len() / 2;
        lines[100].truncate(half);
    };
    let scene = Scene::new(holes, &warning);
    let (code, summary, said) = scene.capture(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!(losses(&summary), [("transport".into(), 3, true), ("transport".into(), 1, true)]);
    assert_eq!(summary["sum"], json!({"issued": 168, "written": 164, "filtered": 0, "lost": 4, "unfinished": 0}));
    assert!(said.contains("transport failures") && said.contains("is damaged (the line ends before"), "{said}");
    #[cfg(feature = "sql")]
    {
        let rows = |sql| crate::tool::rows(&[&scene.path("capture")], sql);
        let holes = rows("SELECT count FROM events WHERE syscall = 'ioriot:hole' ORDER BY seq");
        assert_eq!(holes, ["3", "1"], "the holes are marked among the events");
        assert_eq!(rows("SELECT count(*) FROM losses WHERE event AND first <= last"), ["2"]);
    }
    fs::remove_dir_all(scene.path("capture")).unwrap();
    assert_eq!(scene.capture(&["--on-drop", "report"]).0, Some(0));
    fs::remove_dir_all(scene.path("capture")).unwrap();
    let (code, _, said) = scene.capture(&["--on-drop", "fail"]);
    assert!(code == Some(2) && said.contains("4 transport") && scene.nothing_is_left(), "{said}");
}

#[test]
fn an_early_end_is_seen() {
    let scene = Scene::new(|lines| lines.truncate(100), "exit 1");
    let (code, summary, said) = scene.capture(&[]);
    assert_eq!(code, Some(1), "{said}");
    assert_eq!((losses(&summary), &summary["ended"]), (vec![("no_end".into(), 1, true)], &json!("tracer")));
    assert_eq!(summary["sum"]["written"], 98);
    assert!(said.contains("staprun ended with exit status: 1"), "{said}");
}

#[test]
fn limits_and_filters_count_what_they_leave_out() {
    let scene = Scene::new(|_| (), "");
    let (code, summary, said) = scene.capture(&["--max-events", "50"]);
    assert_eq!((code, &summary["ended"], &summary["sum"]["written"]), (Some(0), &json!("events"), &json!(50)), "{said}");
    assert_eq!(summary["sum"]["filtered"], 118);
    fs::remove_dir_all(scene.path("capture")).unwrap();
    let (code, summary, said) = scene.capture(&["--duration", "300ms", "--syscalls", "close,pwrite64"]);
    assert_eq!(
        (code, &summary["ended"], summary["losses"].as_array().map(Vec::len)),
        (Some(0), &json!("duration"), Some(0)),
        "{said}"
    );
    let kept = summary["syscalls"].as_object().unwrap();
    assert_eq!(kept.keys().collect::<Vec<_>>(), ["close", "pwrite64"]);
    assert_eq!(summary["sum"]["filtered"].as_u64().unwrap() + summary["sum"]["written"].as_u64().unwrap(), 168);
}

#[test]
fn what_cannot_work_says_why() {
    let refused = "echo \"ERROR: Couldn't insert module 'a module.ko': Invalid module format\" >&2; exit 1";
    let scene = Scene::new(|lines| lines.truncate(0), refused);
    let (code, _, said) = scene.capture(&[]);
    assert!(code == Some(2) && said.contains("Invalid module format") && scene.nothing_is_left(), "{said}");
    let scene = Scene::new(|_| (), IDLE);
    let (code, _, said) = scene.capture(&["--all"]);
    assert!(code == Some(2) && said.contains("the module is targetedioriot.ko, and this scope needs ioriot.ko"), "{said}");
    let (code, _, said) = scene.capture(&["--comm", "java"]);
    assert!(code == Some(2) && said.contains("this scope needs namedioriot.ko"), "{said}");
    let words = fs::read_to_string(scene.path("arguments")).unwrap();
    assert!(words.lines().any(|word| word == "name=java"), "{words}");
    let (code, _, said) = scene.capture(&["--max-events", "1", "--user", "root"]);
    assert!(code == Some(2) && said.contains("choose one"), "{said}");
    assert!(scene.nothing_is_left());
}

#[test]
fn without_systemtap_it_says_what_to_install() {
    let (dir, module) = (tempfile::tempdir().unwrap(), data("v5-matrix.capture"));
    let out = dir.path().join("capture");
    let args = ["capture", "--backend", "stap", "--module", &module, "-o", out.to_str().unwrap(), "--", "/bin/true"];
    let output = command(&args).env("PATH", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(2) && said.contains("apt install systemtap-runtime"), "{said}");
    let output = command(&["capture", "--check", "--backend", "stap"]).env("PATH", dir.path()).output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.lines().any(|line| line.starts_with("stap: not here: ")), "{said}");
    let output = command(&["capture", "--module", &module, "-o", out.to_str().unwrap(), "--", "true"]).output().unwrap();
    assert!(String::from_utf8_lossy(&output.stderr).contains("--backend stap"));
    assert!(!Path::new(&out).exists());
}

#[test]
fn until_exit_ends_a_session_with_its_command() {
    let scene = Scene::new(|_| (), ":");
    let (code, summary, said) = scene.capture(&["--until-exit"]);
    assert_eq!((code, &summary["ended"]), (Some(0), &json!("target")), "{said}");
    assert_eq!(summary["sum"]["written"], 168, "{summary}");
}
