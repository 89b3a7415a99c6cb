//! First mistakes, and what is said to them: the next command.

use super::ended::wait_for;
use crate::skip::{Need, skip};
use crate::tool::{self, command, data, ioriot};
use libc::{SIGINT, SIGTERM, kill};
use std::fs;
use std::io::Write;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::process::{Output, Stdio};
use tempfile::TempDir;

/// A directory to work in, with the matrix as `trace.strace`.
fn scratch() -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::copy(data("matrix.strace"), dir.path().join("trace.strace")).unwrap();
    dir
}

fn within(dir: &Path, args: &[&str]) -> Output {
    command(args).current_dir(dir).output().unwrap()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn fine(dir: &Path, args: &[&str]) -> String {
    let output = within(dir, args);
    assert_eq!(output.status.code(), Some(0), "{args:?}: {}", stderr(&output));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What is said to a command that cannot be done.
fn refused(dir: &Path, args: &[&str]) -> String {
    let output = within(dir, args);
    assert_eq!(output.status.code(), Some(2), "{args:?}: {}", stderr(&output));
    stderr(&output)
}

/// Each of these is refused with this in the message.
fn each(dir: &Path, cases: &[(&[&str], &str)]) {
    for (args, says) in cases {
        let said = refused(dir, args);
        assert!(said.contains(says), "{args:?}: {said}");
    }
}

#[test]
fn the_directory_of_run_stands_for_what_is_in_it() {
    let scratch = scratch();
    let dir = scratch.path();
    fine(dir, &["run", "trace.strace"]);
    let count = |sql: &str| fine(dir, &["query", "trace.ioriot", sql, "--format", "csv"]).lines().nth(1).unwrap().to_owned();
    assert_eq!(count("SELECT count(DISTINCT kind) FROM manifests"), "3");
    assert_eq!(count("SELECT count(*) FROM ops JOIN results USING (op_id)"), count("SELECT count(*) FROM ops"));
    fine(dir, &["generate", "trace.ioriot", "-o", "again"]);
    assert!(dir.join("again/manifest.json").exists());
    fine(dir, &["init", "trace.ioriot", "--reset"]);
    fine(dir, &["replay", "trace.ioriot", "-o", "run2"]);
    assert!(dir.join("run2/manifest.json").exists() && !dir.join("trace.ioriot/workload.root").exists());
    each(
        dir,
        &[
            (&["init", "trace.ioriot"], "trace.ioriot/root holds a tree already"),
            (&["ingest", "trace.ioriot", "-o", "x"], "was made by `ioriot run` and is no trace: `ioriot query trace.ioriot "),
            (&["run", "trace.ioriot"], "was made by `ioriot run` and is no trace"),
        ],
    );
    fs::rename(dir.join("again"), dir.join("trace.ioriot/again")).unwrap();
    each(dir, &[(&["init", "trace.ioriot"], "holds more than one workload: name the one that is meant, trace.ioriot/again or ")]);
    assert_eq!(fine(dir, &["query", "trace.ioriot/run", "SELECT 1 AS one", "--format", "csv"]), "one\n1\n");
}

#[test]
fn a_trace_where_a_dataset_is_wanted_says_how_to_make_one() {
    let scratch = scratch();
    let dir = scratch.path();
    fs::write(dir.join("my log.strace"), fs::read(dir.join("trace.strace")).unwrap()).unwrap();
    fs::copy(data("matrix.capture"), dir.join("m.capture")).unwrap();
    fs::write(dir.join("notes.txt"), "milk, bread\n").unwrap();
    let strace = "trace.strace is a log of strace and no dataset: `ioriot ingest trace.strace -o trace.cap` makes a capture of it, \
                  `ioriot run trace.strace` goes the whole way";
    each(
        dir,
        &[
            (&["generate", "trace.strace", "-o", "w"], strace),
            (&["query", "trace.strace", "SELECT 1"], strace),
            (&["init", "trace.strace"], strace),
            (&["replay", "trace.strace", "-o", "r"], strace),
            (&["generate", "my log.strace", "-o", "w"], "`ioriot ingest 'my log.strace' -o 'my log.cap'`"),
            (&["generate", "m.capture", "-o", "w"], "m.capture is a .capture file and no dataset"),
            (&["generate", "notes.txt", "-o", "w"], "notes.txt is a file, and a dataset is a directory"),
        ],
    );
    assert_eq!(fs::read_dir(dir).unwrap().count(), 4);
}

#[test]
fn a_dataset_where_a_trace_is_wanted_says_what_it_is_for() {
    let scratch = scratch();
    let dir = scratch.path();
    fine(dir, &["ingest", "trace.strace", "-o", "cap"]);
    fine(dir, &["generate", "cap", "-o", "work"]);
    fs::create_dir(dir.join("empty")).unwrap();
    for verb in [&["ingest", "-o", "x"][..], &["run"]] {
        let says = |name: &str| refused(dir, &[verb, &[name]].concat());
        assert!(says("cap").contains("cap is a capture and no trace: `ioriot generate cap -o cap.work` goes on"), "{verb:?}");
        assert!(
            says("work").contains("work is a workload and no trace: `ioriot init work` and `ioriot replay work -o work.run`")
        );
        assert!(says("empty").contains("empty is a directory, and an input is a file"), "{verb:?}");
    }
}

#[test]
fn sql_that_is_nearly_right_is_put_right() {
    let scratch = scratch();
    let dir = scratch.path();
    fine(dir, &["ingest", "trace.strace", "-o", "cap"]);
    let text = "there is no column openat: a text stands in single quotes, 'openat'";
    each(
        dir,
        &[
            (&["query", "cap", "SELECT * FROM events WHERE syscall = \"openat\""], text),
            (&["query", "cap", "SELECT \"Path\" FROM events"], "there is no column Path, perhaps path"),
            (&["query", "cap", "SELECT openat FROM events"], "there is no column openat: `ioriot query"),
            (&["generate", "cap", "-o", "w", "--where", "syscall = \"openat\""], text),
            (
                &["query", "cap", "SELECT * FROM ops"],
                "ops is a table of a workload, and none is given: `ioriot generate cap -o cap.work` makes one",
            ),
            (&["query", "cap", "SELECT * FROM results"], "`ioriot replay cap.work -o cap.run` make one"),
            (&["query", "cap", "SELECT * FROM open_files"], "cap has no table open_files: not every capture has one"),
            (&["query", "cap", "SELECT * FROM evnts"], "there is no table evnts, perhaps events"),
        ],
    );
    fine(dir, &["generate", "cap", "-o", "work"]);
    each(
        dir,
        &[
            (&["query", "work", "SELECT * FROM results"], "`ioriot init work` and `ioriot replay work -o work.run` make one"),
            (&["query", "work", "SELECT * FROM events"], "name it beside the others: `ioriot query CAPTURE ... 'SQL'`"),
        ],
    );
}

#[test]
fn run_with_nothing_or_a_program_says_how_it_is_called() {
    let scratch = scratch();
    each(
        scratch.path(),
        &[
            (&["run"], "nothing to run: `ioriot run FILE` replays a trace"),
            (&["run"], "`sudo ioriot run -- COMMAND` captures a program"),
            (&["run", "true"], "there is no file true; a program is captured and replayed by `sudo ioriot run -- true ...`"),
            (&["run", "no-such-file"], "cannot open no-such-file"),
        ],
    );
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
}

#[test]
fn run_leaves_nothing_of_what_it_could_not_do_and_says_what_is_left() {
    let scratch = scratch();
    let dir = scratch.path();
    fs::write(dir.join("notes.txt"), "milk, bread\n").unwrap();
    refused(dir, &["run", "notes.txt"]);
    refused(dir, &["run", "--", "/no/such/program"]);
    assert_eq!(fs::read_dir(dir).unwrap().count(), 2);
    let said = refused(dir, &["run", "trace.strace", "--where", "1 / (fd - fd) = 1"]);
    assert!(said.contains("trace.ioriot has capture: `ioriot generate trace.ioriot -o trace.ioriot/workload` goes on"), "{said}");
    fine(dir, &["generate", "trace.ioriot", "-o", "trace.ioriot/workload"]);
    let said = refused(dir, &["run", "notes.txt", "--force", "-o", "trace.ioriot"]);
    let next =
        "trace.ioriot has capture, workload: `ioriot init trace.ioriot` and `ioriot replay trace.ioriot -o trace.ioriot/run`";
    assert!(said.contains(next), "{said}");
    let under_sudo =
        command(&["run", "notes.txt", "--force", "-o", "trace.ioriot"]).env("SUDO_UID", "0").current_dir(dir).output();
    let said = stderr(&under_sudo.unwrap());
    assert!(said.contains("`sudo ioriot init trace.ioriot` and `sudo ioriot replay"), "{said}");
    fine(dir, &["init", "trace.ioriot"]);
    fine(dir, &["replay", "trace.ioriot", "-o", "trace.ioriot/run"]);
    for (signal, at) in [(SIGINT, "d"), (SIGTERM, "trace.ioriot")] {
        let mut run = command(&["run", "-", "-o", at, "--force"]);
        let mut child = run.current_dir(dir).stdin(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.as_mut().unwrap().write_all(&fs::read(dir.join("trace.strace")).unwrap()).unwrap();
        wait_for("the draft", || dir.join(at).join(".capture.unfinished/begun.json").exists());
        // SAFETY: a signal to a child that has not been waited for.
        unsafe { kill(child.id() as i32, signal) };
        let output = child.wait_with_output().unwrap();
        assert_eq!(output.status.code(), Some(128 + signal));
        let had = "trace.ioriot has capture, workload, run: `ioriot query trace.ioriot 'SELECT * FROM latency'` looks at it";
        assert_eq!(stderr(&output).contains(had), at == "trace.ioriot", "{}", stderr(&output));
    }
    assert!(!dir.join("d").exists());
}

#[test]
fn a_capture_says_when_it_is_attached_and_what_it_got() {
    let scratch = scratch();
    let dir = scratch.path();
    let output = within(dir, &["capture", "--backend", "ptrace", "-o", "cap", "--", "cat", "trace.strace"]);
    let said = stderr(&output);
    let lines: Vec<&str> = said.lines().collect();
    assert_eq!((output.status.code(), lines.len()), (Some(0), 2), "{said}");
    assert_eq!(lines[0], "attached to command cat trace.strace by ptrace");
    assert!(lines[1].starts_with("captured ") && lines[1].ends_with(" 0 events lost: cap"), "{said}");

    let mut target = std::process::Command::new("sleep").arg("600").spawn().unwrap();
    let pid = target.id().to_string();
    let mut child = command(&["capture", "--backend", "ptrace", "-o", "cap2", "--pid", &pid]);
    let mut child = child.current_dir(dir).stderr(Stdio::piped()).stdout(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    std::io::BufRead::read_line(&mut std::io::BufReader::new(child.stderr.take().unwrap()), &mut line).unwrap();
    assert_eq!(line, format!("attached to processes {pid} by ptrace; Ctrl-C ends it\n"));
    // SAFETY: a signal to a child that has not been waited for.
    unsafe { kill(child.id() as i32, SIGINT) };
    child.wait().unwrap();
    target.kill().unwrap();
    target.wait().unwrap();
}

// ---- from the C tool ----

#[test]
fn old_options_say_the_new_commands() {
    let scratch = scratch();
    for (args, says) in [
        (&["-c", "io.capture"][..], "  sudo ioriot capture -o io.capture --all\n"),
        (&["-c", "io.capture", "-x", "4711"], "  sudo ioriot capture -o io.capture --pid 4711\n"),
        (
            &["-c", "io.capture", "-r", "io.replay"],
            "  ioriot ingest io.capture -o io.cap\n  ioriot generate io.cap -o io.replay\n",
        ),
        (&["-DR", "my io.replay"], "  ioriot init 'my io.replay' --force\n  ioriot replay 'my io.replay' -o 'my io.run'\n"),
        (&["-d"], "drop_caches"),
        (&["-P"], "  ioriot clean --roots --runs\n"),
        (&["-T"], "  ioriot init WORKLOAD --force\n"),
    ] {
        let said = refused(scratch.path(), args);
        assert!(said.starts_with("error: ") && said.contains(says) && said.contains("docs/MIGRATE.md"), "{args:?}: {said}");
    }
    assert_eq!(fs::read_dir(scratch.path()).unwrap().count(), 1);
    assert_eq!(ioriot(&["-V"]).status.code(), Some(0));
}

/// Commands in a page: in code, or in lines of code.
fn commands(page: &str) -> Vec<Vec<String>> {
    let fenced = page.split("```").skip(1).step_by(2).flat_map(str::lines).map(str::trim);
    let inline = page.split('`').skip(1).step_by(2);
    let called = fenced.chain(inline).map(|text| text.trim_start_matches("$ ").trim_start_matches("sudo "));
    called.filter_map(|text| Some(text.strip_prefix("ioriot ")?.split_whitespace().map(str::to_owned).collect())).collect()
}

#[test]
fn the_page_of_those_who_come_from_c_names_what_there_is() {
    let read = |name: &str| fs::read_to_string(data(&format!("../../{name}"))).unwrap();
    assert!(read("README.md").contains("](docs/MIGRATE.md)"));
    let page = read("docs/MIGRATE.md");
    let commands = commands(&page);
    let mut tried = 0;
    for words in commands.iter().filter(|words| !words[0].starts_with('-') && words[0] != "VERB") {
        let help = ioriot(&[&words[0], "--help"]);
        assert_eq!(help.status.code(), Some(0), "ioriot {}", words.join(" "));
        let help = String::from_utf8_lossy(&help.stdout).into_owned();
        let options = words.iter().filter(|word| word.starts_with("--"));
        let missing: Vec<_> =
            options.filter(|option| !help.split_whitespace().any(|word| word.trim_end_matches(',') == *option)).collect();
        assert!(missing.is_empty(), "ioriot {} has no {missing:?}", words.join(" "));
        tried += 1;
    }
    assert!(tried > 20, "{tried}");
    // All options of the old program have a row.
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with("| `-")).collect();
    for option in "VrRScuihwndDsptUPTxm".chars() {
        assert!(
            rows.iter()
                .any(|row| row.split(" | ").next().unwrap().contains(&format!("`-{option}"))
                    || row.contains(&format!(" -{option} "))),
            "-{option}"
        );
    }
}

#[test]
fn a_replay_file_is_called_what_it_is() {
    let scratch = scratch();
    let dir = scratch.path();
    let text = "#|replay_version=3|init_offset=300|user=nobody|name=test0|num_lines=1|####\n0|1|1|0|0|50|12|0|close@1|\n#INIT\n";
    fs::write(dir.join("io.replay"), text).unwrap();
    let says = "io.replay is a .replay file of I/O Riot in C";
    let verbs: [&[&str]; 7] = [
        &["run", "io.replay"],
        &["ingest", "io.replay", "-o", "x"],
        &["ingest", "io.replay", "-o", "x", "--format", "capture"],
        &["generate", "io.replay", "-o", "x"],
        &["init", "io.replay"],
        &["replay", "io.replay", "-o", "x"],
        &["query", "io.replay", "SELECT 1"],
    ];
    for args in verbs {
        let said = refused(dir, args);
        assert!(said.contains(says) && said.contains("`ioriot run io.capture`"), "{args:?}: {said}");
    }
    assert_eq!(fs::read_dir(dir).unwrap().count(), 2);
}

#[test]
fn a_capture_of_version_2_is_replayed() {
    let scratch = scratch();
    let dir = scratch.path();
    let line = |ms: u32, rest: &str| format!("t=15113811220{ms:02};:,i=7764:8093;:,o={rest};:,\n");
    let lines = [
        line(10, "open;:,d=162;:,p=///home/u/a;:,f=577;:,m=420"),
        line(10, "write;:,d=162;:,b=12"),
        line(10, "lseek;:,d=162;:,O=0;:,W=1;:,b=12"),
        line(12, "close;:,d=162;:,s=0"),
        line(13, "rename;:,p=/home/u/a;:,P=/home/u/b;:,s=0"),
        line(13, "stat;:,p=/home/u/a;:,s=-2"),
        line(14, "exit_group"),
    ];
    for header in ["", "#|capture_version=1|\n", "#|capture_version=2|\n"] {
        fs::write(dir.join("io.capture"), format!("{header}{}", lines.concat())).unwrap();
        fine(dir, &["run", "io.capture", "--force", "--strict"]);
        let rows = |sql: &str| fine(dir, &["query", "io.ioriot", sql, "--format", "csv"]);
        let times = "SELECT min(ts) AS a, max(ts) - min(ts) AS b, count(dur) AS c, count(ts) AS n FROM events";
        assert_eq!(rows(times).lines().nth(1), Some("1511381122010000000,4000000,0,7"), "{header}");
        let outcomes = "SELECT count(*) AS n FROM results WHERE outcome = 'same' AND origin = 'event'";
        assert_eq!(rows(outcomes).lines().nth(1), Some("6"), "{header}");
    }
}

#[test]
fn a_tree_belongs_to_the_user_who_is_named() {
    if !tool::root() {
        return skip(Need::Root, "nobody else can give a tree away");
    }
    let scratch = tool::open_scratch();
    let dir = scratch.path();
    let line = |ms: u32, rest: &str| format!("t=15113811220{ms:02};:,i=7764:8093;:,o={rest};:,\n");
    let lines = [
        line(10, "open;:,d=3;:,p=/home/u/old;:,f=0;:,m=0"),
        line(11, "read;:,d=3;:,b=100"),
        line(12, "mkdir;:,p=/home/u/new;:,m=493;:,s=0"),
        line(13, "unlink;:,p=/home/u/old;:,s=0"),
        line(14, "mkdir;:,p=/top;:,m=493;:,s=0"),
    ];
    fs::write(dir.join("io.capture"), lines.concat()).unwrap();
    fine(dir, &["ingest", "io.capture", "-o", "cap"]);
    fine(dir, &["generate", "cap", "-o", "work"]);
    fine(dir, &["init", "work", "--user", "65534:65533"]);
    let tree = dir.join("work.root/tree");
    let owners = || {
        ["", "home", "home/u", "home/u/old"]
            .map(|path| tree.join(path).symlink_metadata().map(|meta| (meta.uid(), meta.gid())).unwrap())
    };
    assert_eq!(owners(), [(65534, 65533); 4]);
    let replay = |run: &str| fine(dir, &["replay", "work", "-o", run, "--user", "65534:65533", "--min-match", "100"]);
    replay("run");
    fine(dir, &["init", "work", "--reset"]);
    assert_eq!(owners(), [(65534, 65533); 4]);
    replay("run2");
    fine(dir, &["run", "io.capture", "--user", "65534:65533", "--min-match", "100"]);
    // Without an owner that user may not do what the capture did.
    fine(dir, &["init", "work", "--force"]);
    let failed = within(dir, &["replay", "work", "-o", "run3", "--user", "65534:65533", "--min-match", "100"]);
    assert_eq!(failed.status.code(), Some(1), "{}", stderr(&failed));
    each(dir, &[(&["init", "work", "--user", "no-such-user", "--force"], "there is no user no-such-user")]);
}
