//! The processes of a cluster, and questions to it that end in time.

use crate::tool::command;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Longest time for anything that a cluster is asked. Nothing takes as long that does not hang.
pub const LIMIT: Duration = Duration::from_secs(120);

/// A process that is killed when this is dropped.
pub struct Process {
    pub child: Child,
    /// Address and port at which it listens.
    pub at: String,
}

impl Process {
    /// Starts a scheduler or an executor, which says where it listens.
    ///
    /// # Errors
    /// What it says when it ends at once.
    pub fn start(mut command: Command) -> Result<Process, String> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        lines.read_line(&mut line).unwrap();
        match line.trim().split_once(" at ") {
            Some((_, at)) => {
                // It must never wait for somebody who reads.
                let mut errors = child.stderr.take().unwrap();
                std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::stderr()));
                Ok(Process { at: at.to_owned(), child })
            }
            None => {
                let mut said = String::new();
                child.stderr.take().unwrap().read_to_string(&mut said).unwrap();
                let code = child.wait().unwrap().code();
                Err(format!("{code:?}: {said}"))
            }
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A scheduler and its executors.
pub struct Cluster {
    pub scheduler: Process,
    pub executors: Vec<Process>,
    /// Where executors keep rows.
    pub rows: TempDir,
}

impl Cluster {
    /// Starts so many executors of two tasks each, which may read below this directory.
    pub fn start(executors: usize, allow: &Path) -> Cluster {
        let scheduler = Process::start(command(&["cluster", "scheduler", "--bind", "127.0.0.1:0"])).unwrap();
        let mut cluster = Cluster { scheduler, executors: Vec::new(), rows: tempfile::tempdir().unwrap() };
        for _ in 0..executors {
            let started = Process::start(cluster.executor(allow)).unwrap();
            cluster.executors.push(started);
        }
        cluster
    }

    /// The command of one more executor.
    pub fn executor(&self, allow: &Path) -> Command {
        let allow = allow.to_str().unwrap();
        let mut executor = command(&["cluster", "executor", "--scheduler", &self.scheduler.at, "--allow", allow, "--slots", "2"]);
        // One of its own each, so that none looks whether those of others are left.
        let place = self.rows.path().join(self.executors.len().to_string());
        std::fs::create_dir_all(&place).unwrap();
        executor.env("TMPDIR", place);
        executor
    }

    /// Asks, as `ioriot query --cluster` does.
    pub fn ask(&self, datasets: &[&Path], sql: &str) -> Output {
        within(LIMIT, self.query(datasets, sql))
    }

    /// The command that asks.
    pub fn query(&self, datasets: &[&Path], sql: &str) -> Command {
        let mut query = command(&["query", "--cluster", &self.scheduler.at, "--format", "csv"]);
        query.args(datasets).arg(sql);
        query
    }
}

/// Runs a command to its end, which must come in time.
pub fn within(limit: Duration, command: Command) -> Output {
    fed(limit, command, String::new())
}

/// As [`within`], with this on standard input.
pub fn fed(limit: Duration, mut command: Command, input: String) -> Output {
    let began = Instant::now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let pid = child.id();
    let mut stdin = child.stdin.take().unwrap();
    // Who ends early reads no more of it.
    std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let (done, waits) = mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match waits.recv_timeout(limit) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            // SAFETY: kill(2) of a child that was not waited for.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
            panic!("no end after {:?}: {command:?}", began.elapsed());
        }
    }
}

/// What a command that must succeed has written to standard output.
pub fn said(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(0), "{error}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// The error of a command that must fail.
pub fn refused(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{}{error}", String::from_utf8_lossy(&output.stdout));
    error
}
