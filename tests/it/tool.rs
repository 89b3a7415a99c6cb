//! Runs the built program, as a user would.

#![cfg_attr(not(feature = "sql"), allow(dead_code, reason = "most of what the program does needs the engine"))]

use proptest::test_runner::{Config, RngSeed};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// The program with these arguments, not yet started.
pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ioriot"));
    command.args(args).stdin(Stdio::null()).env("NO_COLOR", "1");
    command
}

/// Runs the program to its end.
pub fn ioriot(args: &[&str]) -> Output {
    command(args).output().expect("the program starts")
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

/// Is the test run as root?
pub fn root() -> bool {
    // SAFETY: geteuid(2) has no preconditions.
    unsafe { libc::geteuid() == 0 }
}
