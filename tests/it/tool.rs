//! Runs the built program, as a user would.

#![cfg_attr(not(feature = "sql"), allow(dead_code, reason = "most of what the program does needs the engine"))]

use crate::alone::beside_others;
use proptest::test_runner::{Config, RngSeed};
use std::fs::Permissions;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use tempfile::TempDir;

/// What in the environment of whoever tests would change what the program does or says.
const ELSEWHERE: [&str; 6] = ["RUST_LOG", "SUDO_UID", "SUDO_GID", "COLUMNS", "XDG_CONFIG_HOME", "HOME"];

/// The program with these arguments, not yet started.
pub fn command(args: &[&str]) -> Command {
    beside_others();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ioriot"));
    for variable in ELSEWHERE {
        command.env_remove(variable);
    }
    command.args(args).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

/// Runs the program to its end.
pub fn ioriot(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
}

/// Runs the program with this on standard input.
pub fn piped(args: &[&str], input: &str) -> Output {
    let child =
        command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the program starts");
    piped_to(child, input)
}

/// The same for one that runs.
pub fn piped_to(mut child: Child, input: &str) -> Output {
    // It may have ended before it read everything.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    child.wait_with_output().unwrap()
}

/// Runs the program, which must end with this exit code; what it wrote to standard output.
pub fn expect(code: i32, args: &[&str]) -> String {
    let output = ioriot(args);
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "ioriot {}\n{stdout}\n{stderr}", args.join(" "));
    stdout
}

/// Rows of a query over datasets, each as CSV.
pub fn rows(datasets: &[&Path], sql: &str) -> Vec<String> {
    let mut args = vec!["query"];
    args.extend(datasets.iter().map(|dir| dir.to_str().expect("a UTF-8 path")));
    args.extend([sql, "--format", "csv"]);
    expect(0, &args).lines().skip(1).map(str::to_owned).collect()
}

/// The one number a query gives.
pub fn number(datasets: &[&Path], sql: &str) -> f64 {
    let rows = rows(datasets, sql);
    rows[0].parse().unwrap_or_else(|_| panic!("{sql} gave {rows:?}"))
}

/// A path as a text of SQL.
pub fn sql_text(path: &Path) -> String {
    format!("'{}'", path.to_str().expect("a UTF-8 path").replace('\'', "''"))
}

/// A path as a field of CSV (RFC 4180).
pub fn csv_text(path: &Path) -> String {
    let text = path.to_str().expect("a UTF-8 path");
    if text.contains([',', '"', '\n']) { format!("\"{}\"", text.replace('"', "\"\"")) } else { text.to_owned() }
}

/// A path as one word of a shell script.
pub fn shell_text(path: &Path) -> String {
    format!("'{}'", path.to_str().expect("a UTF-8 path").replace('\'', r"'\''"))
}

/// A scratch directory that every user may enter. That of the build may lie where they may not.
pub fn open_scratch() -> TempDir {
    let dir = tempfile::tempdir().expect("a scratch directory");
    std::fs::set_permissions(dir.path(), Permissions::from_mode(0o755)).expect("it is ours");
    dir
}

/// Copies a program to where other users may run it, whoever may run the one that was built.
pub fn copy_program(from: &Path, to: &Path) {
    std::fs::copy(from, to).expect("there is room");
    std::fs::set_permissions(to, Permissions::from_mode(0o755)).expect("it is ours");
}

/// A file of tests/data.
pub fn data(name: &str) -> String {
    format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// How many cases of a random test the environment asks for.
pub fn asked(variable: &str) -> Option<u32> {
    std::env::var(variable).ok().map(|number| number.parse().expect("a number of cases"))
}

/// The same cases at every run, so that a change is judged by what it changes; other ones when more are asked for.
pub fn cases(variable: &str, usual: u32, seed: u64) -> Config {
    let asked = asked(variable);
    let rng_seed = if asked.is_some() { RngSeed::Random } else { RngSeed::Fixed(seed) };
    Config { cases: asked.unwrap_or(usual), rng_seed, ..Config::default() }
}

/// Takes the names of the tables out of the manifest of a dataset: earlier versions had none there.
pub fn name_no_files(dataset: &Path) {
    let manifest = dataset.join("manifest.json");
    let mut said: serde_json::Value = serde_json::from_slice(&std::fs::read(&manifest).unwrap()).unwrap();
    assert!(said.as_object_mut().unwrap().remove("files").is_some());
    std::fs::write(&manifest, said.to_string()).unwrap();
}

/// Is the test run as root?
pub fn root() -> bool {
    // SAFETY: geteuid(2) has no preconditions.
    unsafe { libc::geteuid() == 0 }
}
