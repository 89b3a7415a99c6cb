//! Servers and coordinators as processes, and what they leave.

use crate::suite::replay::parts::relay;
use crate::suite::replay::work::Work;
use crate::tool::{command, expect, rows};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// Longest time for any replay here. Nothing takes as long that does not hang.
pub const LIMIT: Duration = Duration::from_secs(120);
const SECRET: &str = "sixteen bytes at least";

/// A server, which is killed when this is dropped.
pub struct Server {
    pub child: Child,
    /// Address and port at which it listens.
    pub at: String,
}

impl Server {
    /// Starts one, which says where it listens.
    ///
    /// # Errors
    /// What it says when it ends at once.
    pub fn start(mut command: Command) -> Result<Server, String> {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let mut errors = child.stderr.take().unwrap();
        match line.trim().split_once(" at ") {
            Some((_, at)) => {
                // It must never wait for somebody who reads.
                std::thread::spawn(move || std::io::copy(&mut errors, &mut std::io::stderr()));
                Ok(Server { at: at.to_owned(), child })
            }
            None => {
                let mut said = String::new();
                errors.read_to_string(&mut said).unwrap();
                Err(format!("{:?}: {said}", child.wait().unwrap().code()))
            }
        }
    }

    /// Kills it as nothing else does.
    pub fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A workload of many lanes that wait for each other, its tree, and a token.
pub struct Shared {
    pub work: Work,
    pub root: PathBuf,
    pub token: PathBuf,
    spools: PathBuf,
}

impl Shared {
    pub fn new(rounds: i64, lanes: i64) -> Shared {
        let work = relay(rounds, lanes);
        work.write();
        let (root, token, spools) = (work.place("root"), work.place("token"), work.place("spools"));
        fs::write(&token, SECRET).unwrap();
        fs::create_dir(&spools).unwrap();
        let shared = Shared { work, root, token, spools };
        shared.init();
        shared
    }

    /// Makes the tree as new.
    pub fn init(&self) {
        let (work, root) = (self.work.place("work"), self.root.to_str().unwrap());
        if self.root.exists() {
            fs::remove_dir_all(&self.root).unwrap();
        }
        expect(0, &["init", work.to_str().unwrap(), "--root", root]);
    }

    /// The command of a server with these arguments.
    pub fn server(&self, more: &[&str]) -> Command {
        let [root, token, spools] = [&self.root, &self.token, &self.spools].map(|path| path.to_str().unwrap());
        let mut server = command(&["serve", "--root", root, "--token", token, "--spool", spools]);
        server.args(if more.contains(&"--bind") { &[][..] } else { &["--bind", "127.0.0.1:0"] }).args(more);
        server
    }

    pub fn servers(&self, count: usize) -> Vec<Server> {
        (0..count).map(|_| Server::start(self.server(&[])).unwrap()).collect()
    }

    /// The command of a coordinator.
    pub fn replay(&self, on: &[&str], out: &str, more: &[&str]) -> Command {
        let [work, out] = [self.work.place("work"), self.work.place(out)].map(|path| path.to_str().unwrap().to_owned());
        let (on, token) = (on.join(","), self.token.to_str().unwrap());
        let mut replay = command(&["replay", &work, "--on", &on, "--token", token, "-o", &out, "--format", "json"]);
        replay.args(more);
        replay
    }

    /// What a replay on this machine alone gives.
    pub fn alone(&self) -> Vec<String> {
        self.init();
        let [work, out] = [self.work.place("work"), self.work.place("alone")].map(|path| path.to_str().unwrap().to_owned());
        expect(0, &["replay", &work, "--root", self.root.to_str().unwrap(), "-o", &out]);
        self.init();
        outcomes(&[Path::new(&out).to_owned()])
    }

    /// The runs of a replay.
    pub fn runs(&self, out: &str) -> Vec<PathBuf> {
        ioriot::fleet::hosts(&self.work.place(out))
    }

    /// Nothing of a replay is left: no process that works in its tree, and nothing that a server kept.
    pub fn nothing_left(&self) {
        let began = Instant::now();
        loop {
            let (left, kept) = (self.processes(), self.kept());
            if left.is_empty() && kept == 0 {
                return;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "left: {left:?}, {kept} in the spools");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Replay processes of its tree.
    pub fn processes(&self) -> Vec<String> {
        let tree = self.root.to_str().unwrap();
        let lines = fs::read_dir("/proc").unwrap().flatten().filter_map(|entry| fs::read(entry.path().join("cmdline")).ok());
        let lines = lines.map(|line| String::from_utf8_lossy(&line).replace('\0', " "));
        lines.filter(|line| line.contains("replay-child") && line.contains(tree)).collect()
    }

    /// Entries in the directories of servers that live.
    fn kept(&self) -> usize {
        let lives = |pid: &str| fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| !stat.contains(") Z "));
        let pid = |name: String| name.rsplit('-').next().map(str::to_owned).unwrap();
        let spools = fs::read_dir(&self.spools).unwrap().flatten();
        let spools = spools.filter(|spool| lives(&pid(spool.file_name().into_string().unwrap())));
        spools.map(|spool| fs::read_dir(spool.path()).map_or(0, Iterator::count)).sum()
    }
}

/// Outcomes of all ops of some runs.
pub fn outcomes(runs: &[PathBuf]) -> Vec<String> {
    let mut all = BTreeMap::new();
    for run in runs {
        for row in rows(&[run], "SELECT op_id, syscall, ret, errno, outcome, kind FROM results") {
            let op: u64 = row.split(',').next().unwrap().parse().unwrap();
            assert!(all.insert(op, row).is_none(), "op {op} was issued twice");
        }
    }
    all.into_values().collect()
}

/// Runs a command to its end, which must come in time.
pub fn within(limit: Duration, mut command: Command) -> Output {
    finish(limit, command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap())
}

/// Waits for a process to end, which must be in time.
pub fn finish(limit: Duration, child: Child) -> Output {
    let pid = child.id();
    let (done, waits) = std::sync::mpsc::channel();
    std::thread::spawn(move || done.send(child.wait_with_output()));
    match waits.recv_timeout(limit) {
        Ok(output) => output.unwrap(),
        Err(_) => {
            // SAFETY: kill(2) of a child that was not waited for.
            unsafe { libc::kill(pid as i32, libc::SIGKILL) };
            panic!("no end after {limit:?}");
        }
    }
}

/// The summary of a replay that ended with this exit code.
pub fn summary(output: &Output, code: i32) -> Value {
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{error}\n{}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The error of a command that must fail.
pub fn refused(output: &Output) -> String {
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{}{error}", String::from_utf8_lossy(&output.stdout));
    error
}
