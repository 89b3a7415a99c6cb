//! Tests of the command line: help, exit codes, summaries, and what it says about bad input.

use crate::tool::{command, expect, ioriot};
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn code(args: &[&str]) -> Option<i32> {
    ioriot(args).status.code()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn verbs() -> Vec<&'static str> {
    let mut verbs = vec!["ingest", "init", "replay", "syscalls", "clean", "completions", "man", "docs"];
    if cfg!(feature = "sql") {
        verbs.extend(["generate", "run", "predict", "query", "report", "compare"]);
    }
    verbs
}

/// One file cannot hold both, by whatever name.
#[test]
fn a_synthetic_capture_and_what_is_expected_of_it_are_two_files() {
    let dir = tempfile::tempdir().unwrap();
    let name = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(name("there"), "kept").unwrap();
    std::os::unix::fs::symlink("there", name("link")).unwrap();
    for (out, other) in [("new", "./new"), ("there", "link"), ("there", "../NAME/there")] {
        let top = dir.path().file_name().unwrap().to_str().unwrap();
        let other = format!("{}/{}", dir.path().display(), other.replace("NAME", top));
        expect(2, &["synth", "--lines", "10", "-o", &name(out), "--expect", &other]);
        assert_eq!(fs::read_to_string(name("there")).unwrap(), "kept");
        assert!(!Path::new(&name("new")).exists());
    }
    expect(0, &["synth", "--lines", "10", "-o", &name("new"), "--expect", &name("there")]);
}

#[test]
fn every_verb_helps_with_examples() {
    for verb in verbs() {
        let help = ioriot(&[verb, "--help"]);
        assert_eq!(help.status.code(), Some(0), "{verb}");
        assert!(text(&help.stdout).contains("\nExamples:\n"), "{verb}");
    }
}

/// Other features bring other verbs.
#[test]
fn the_first_page_of_help() {
    if cfg!(all(feature = "sql", not(any(feature = "s3", feature = "cluster", feature = "serve")))) {
        insta::assert_snapshot!(text(&ioriot(&["--help"]).stdout));
    }
}

#[test]
fn bad_usage_is_exit_code_2() {
    for args in [
        &[][..],
        &["dance"],
        &["ingest"],
        &["ingest", "x"],
        &["ingest", "x", "-o", "y", "--format", "dtrace"],
        &["ingest", "x", "-o", "y", "--threads", "0"],
        &["replay", "w", "-o", "r", "--min-match", "101"],
        &["syscalls", "--format", "xml"],
    ] {
        let output = ioriot(args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty() && !output.stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn help_and_version_are_exit_code_0() {
    for args in [["--help"], ["--version"], ["help"]] {
        assert_eq!(code(&args), Some(0), "{args:?}");
    }
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(text(&ioriot(&["--version"]).stdout), format!("ioriot {version}\n"));
    let changes = fs::read_to_string(home().join("CHANGELOG.md")).unwrap();
    assert!(changes.lines().any(|line| line.starts_with(&format!("## {version}"))), "CHANGELOG.md does not know {version}");
}

#[test]
fn what_is_no_dataset_is_named_and_explained() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().to_string_lossy();
    fs::create_dir(dir.path().join("empty")).unwrap();
    for (name, why) in [("absent", "there is no such directory"), ("empty", "no manifest.json")] {
        let place = format!("{path}/{name}");
        for verb in ["init", "replay"] {
            let out = format!("{path}/out");
            let mut args = vec![verb, &place, "--dry-run"];
            if verb == "replay" {
                args.extend(["-o", &out]);
            }
            let output = ioriot(&args);
            let error = text(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{args:?}");
            assert!(error.starts_with("error: ") && error.contains(&place) && error.contains(why), "{args:?}: {error}");
        }
    }
}

#[test]
fn a_capture_is_no_workload() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("manifest.json"), r#"{"format": 1, "kind": "capture"}"#).unwrap();
    let error = text(&ioriot(&["init", &dir.path().to_string_lossy(), "--dry-run"]).stderr);
    assert!(error.contains("is a capture, and a workload is needed here: `ioriot generate` makes one"), "{error}");
}

#[test]
fn a_dry_run_says_what_it_would_do_and_does_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cap").to_string_lossy().into_owned();
    let input = home().join("tests/data/matrix.strace").to_string_lossy().into_owned();
    let output = ioriot(&["ingest", &input, "-o", &out, "--dry-run", "--format", "json"]);
    assert_eq!(output.status.code(), Some(0));
    let plan: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(plan["would"][1], format!("write a capture to {out}"));
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0);
    assert_eq!(code(&["ingest", "/nowhere/x", "-o", &out, "--dry-run"]), Some(2));
}

#[test]
fn the_syscall_table_prints_in_every_format() {
    let json: Value = serde_json::from_slice(&ioriot(&["syscalls", "--format", "json"]).stdout).unwrap();
    let rows = json.as_array().unwrap();
    assert_eq!(rows.len(), ioriot::syscall::TABLE.len());
    let pread = rows.iter().find(|row| row["syscall"] == "pread64").unwrap();
    assert_eq!((&pread["support"], &pread["arguments"]), (&"full".into(), &"Fd, Buf, Count, Offset".into()));

    let csv = text(&ioriot(&["syscalls", "--format", "csv"]).stdout);
    assert_eq!(csv.lines().count(), rows.len() + 1);
    assert!(csv.starts_with("syscall,arguments,returns,instant,support,op,note\n"));
    assert!(text(&ioriot(&["syscalls"]).stdout).contains("| pread64 "));

    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("s.parquet");
    assert_eq!(code(&["syscalls", "--format", "parquet", "-o", &file.to_string_lossy()]), Some(0));
    assert!(fs::read(&file).unwrap().starts_with(b"PAR1"));
}

#[test]
fn a_reader_that_stops_early_is_no_failure() {
    let mut child = command(&["syscalls"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), text(&output.stderr)), (Some(0), String::new()));
}

#[test]
fn a_full_disk_is_exit_code_2() {
    let full = fs::OpenOptions::new().write(true).open("/dev/full").unwrap();
    let status = command(&["syscalls"]).stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(2));
}

#[test]
fn completions_and_manual_pages_are_made() {
    for shell in ["bash", "zsh", "fish"] {
        let script = text(&ioriot(&["completions", shell]).stdout);
        assert!(script.contains("ioriot") && script.contains("syscalls") && script.contains("verbose"), "{shell}");
        for hidden in ["synth", "calibrate"] {
            assert!(!script.contains(hidden), "{shell} completes {hidden}");
        }
    }
    let dir = tempfile::tempdir().unwrap();
    assert_eq!(code(&["man", &dir.path().to_string_lossy()]), Some(0));
    for page in ["ioriot.1", "ioriot-ingest.1"] {
        assert!(fs::read_to_string(dir.path().join(page)).unwrap().contains(".TH"), "{page}");
    }
}

// ---- the whole way; needs the right to make a sandbox, as CI has ----

/// The JSON summary of a verb that must end with this code.
#[cfg(feature = "sql")]
fn summary(expected: i32, args: &[&str]) -> Value {
    let output = ioriot(&[args, &["--format", "json"]].concat());
    assert_eq!(output.status.code(), Some(expected), "{args:?}: {}", text(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", text(&output.stdout)))
}

/// Paths in a scratch directory, and an input.
#[cfg(feature = "sql")]
struct Scratch(tempfile::TempDir);

#[cfg(feature = "sql")]
impl Scratch {
    fn new() -> Scratch {
        Scratch(tempfile::tempdir().unwrap())
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).to_string_lossy().into_owned()
    }

    fn matrix() -> String {
        home().join("tests/data/matrix.strace").to_string_lossy().into_owned()
    }
}

#[test]
#[cfg(feature = "sql")]
fn every_verb_has_a_json_summary_and_the_ledgers_close() {
    let scratch = Scratch::new();
    let [cap, work, root, run] = ["cap", "work", "root", "run"].map(|name| scratch.path(name));

    let ingest = summary(0, &["ingest", &Scratch::matrix(), "-o", &cap]);
    let lines = |key: &str| ingest["ledger"][key].as_u64().unwrap();
    assert_eq!(lines("lines"), ["headers", "comments", "notes", "halves", "events", "rejects"].map(lines).iter().sum::<u64>());

    let generate = summary(0, &["generate", &cap, "-o", &work]);
    let drops: u64 = generate["drops"].as_object().unwrap().values().filter_map(Value::as_u64).sum();
    let [ops, model] = [&generate["ops_by_origin"]["event"], &generate["model"]].map(|count| count.as_u64().unwrap());
    assert_eq!(generate["events"].as_u64().unwrap(), ops + model + drops);
    assert_eq!(generate["events"].as_u64().unwrap(), lines("events"));

    let init = summary(0, &["init", &work, "--root", &root]);
    assert_eq!(init["errors"], 0);
    let replay = summary(0, &["replay", &work, "--root", &root, "-o", &run, "--min-match", "100"]);
    assert!(replay.is_object());

    // A used root is refused, an old one is moved aside, and clean deletes that one only.
    assert_eq!(code(&["replay", &work, "--root", &root, "-o", &scratch.path("run2")]), Some(2));
    assert_eq!(code(&["init", &work, "--root", &root]), Some(2));
    summary(0, &["init", &work, "--root", &root, "--force"]);
    let plan = summary(0, &["clean", &scratch.path(""), "--dry-run"]);
    let would = plan["would"].as_array().unwrap();
    assert!(would.len() == 1 && would[0].as_str().unwrap().contains("root.old-1"), "{plan}");
    let clean = summary(0, &["clean", &scratch.path("")]);
    assert_eq!(clean["deleted"].as_array().unwrap().len(), 1);
    assert!(Path::new(&root).exists() && Path::new(&run).exists());

    let rows = ioriot(&["query", &run, "SELECT count(*) AS n FROM results WHERE origin = 'event'", "--format", "json"]);
    let rows: Value = serde_json::from_slice(&rows.stdout).unwrap();
    assert_eq!(rows[0]["n"].as_u64().unwrap(), ops);
}

#[test]
#[cfg(feature = "sql")]
fn run_goes_the_whole_way() {
    let scratch = Scratch::new();
    let dir = scratch.path("out");
    let story = summary(0, &["run", &Scratch::matrix(), "-o", &dir]);
    for part in ["ingest", "generate", "init", "replay"] {
        assert!(story[part].is_object(), "{part} of {story}");
    }
    for part in ["capture", "workload", "run"] {
        assert!(Path::new(&dir).join(part).join("manifest.json").exists(), "{part}");
    }
    let again = ioriot(&["run", &Scratch::matrix(), "-o", &dir]);
    assert_eq!(again.status.code(), Some(2));
    assert!(text(&again.stderr).contains("--force makes it anew"));
    let told = ioriot(&["run", &Scratch::matrix(), "-o", &dir, "--force"]);
    assert_eq!(told.status.code(), Some(0), "{}", text(&told.stderr));
    for part in ["ingest: ", "generate: ", "init: ", "replay: "] {
        assert!(text(&told.stdout).lines().any(|line| line.starts_with(part)), "{part} of {}", text(&told.stdout));
    }
}

#[test]
#[cfg(feature = "sql")]
fn rejects_fail_only_the_strict() {
    let scratch = Scratch::new();
    let input = scratch.path("in.strace");
    let mut lines = fs::read_to_string(Scratch::matrix()).unwrap();
    lines.push_str("this is no syscall\n");
    fs::write(&input, lines).unwrap();
    assert_eq!(summary(0, &["ingest", &input, "-o", &scratch.path("a")])["ledger"]["rejects"], 1);
    assert_eq!(summary(1, &["ingest", &input, "-o", &scratch.path("b"), "--strict"])["ledger"]["rejects"], 1);
    assert!(Path::new(&scratch.path("b/manifest.json")).exists());
}

#[test]
#[cfg(feature = "sql")]
fn bad_sql_and_bad_datasets_are_named() {
    let scratch = Scratch::new();
    let cap = scratch.path("cap");
    summary(0, &["ingest", &Scratch::matrix(), "-o", &cap]);
    for (args, says) in [
        (vec!["query", &cap, "SELECT nothing FROM events"], "nothing"),
        (vec!["query", &cap, "SELEC 1"], "SELEC"),
        (vec!["query", "/nowhere", "SELECT 1"], "/nowhere is not a dataset"),
        (vec!["query", "SELECT 1"], "name a dataset"),
        (vec!["query", &cap, "SELECT 1", "--format", "parquet"], "-o FILE"),
        (vec!["generate", &cap, "--explain", "no_such_stage"], "no_such_stage"),
    ] {
        let output = ioriot(&args);
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(text(&output.stderr).contains(says), "{args:?}: {}", text(&output.stderr));
    }
    let work = scratch.path("work");
    let output = ioriot(&["generate", &cap, "-o", &work, "--where", "path LIKE"]);
    assert_eq!(output.status.code(), Some(2));
    assert!(text(&output.stderr).contains("path LIKE"), "{}", text(&output.stderr));
    assert_eq!(fs::read_dir(scratch.0.path()).unwrap().count(), 1, "only the capture is there");
}
