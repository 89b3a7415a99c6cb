//! Makes synthetic captures of any length, for benchmarks and end-to-end tests.
//!
//! Threads of several processes work in sessions: create, write and rename a file; read a shared file in order or at
//! random; read back, stat or unlink one of their own; make, list and remove a directory. Their calls overlap in time
//! as real ones do. A thread changes only its own files, and shared files are only read, so what must exist before a
//! replay and what it must leave behind are known exactly and returned.

use super::Format;
use crate::dice::Dice;
use serde::Serialize;
use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, BinaryHeap, VecDeque};
use std::io::{self, Write};

/// What synthetic capture to make.
#[derive(Clone, Debug)]
pub struct Options {
    /// Number of lines to write, about.
    pub lines: u64,
    /// Number of processes.
    pub processes: usize,
    /// Number of threads of each process.
    pub threads: usize,
    /// Directory in which all files of the capture lie.
    pub base: String,
    /// Seed of the random choices: the same seed gives the same capture.
    pub seed: u64,
    /// Format of the lines.
    pub format: Format,
}

impl Options {
    /// Options for about `lines` lines of this format, by four processes of four threads.
    pub fn new(format: Format, lines: u64) -> Options {
        Options { lines, processes: 4, threads: 4, base: "/home/synth".into(), seed: 1, format }
    }
}

/// What must exist before a replay of the synthetic capture, and what it must leave behind.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Expected {
    /// Files that are read and that no call makes, with the least size (bytes) that explains every read.
    pub need_before: BTreeMap<String, u64>,
    /// Directories that must exist before.
    pub dirs_before: BTreeSet<String>,
    /// Files below the threads' directories at the end, with their sizes in bytes.
    pub final_files: BTreeMap<String, u64>,
    /// Some paths that existed in between and are gone at the end (at most about 10,000).
    pub gone: BTreeSet<String>,
    /// Number of lines written.
    pub lines: u64,
    /// Number of calls written.
    pub calls: u64,
}

/// Number of shared files.
const POOL: u64 = 2048;
/// Most files that a thread keeps.
const KEEP: usize = 32;
/// Time of the start of the capture, ns since 1970.
const START: u64 = 1_795_000_000_000_000_000;

/// A call of a thread that is planned or under way. Those on a descriptor are on the thread's one open file.
#[derive(Clone, Debug)]
enum Call {
    Open { path: String, create: bool, dir: bool },
    Read(u64),
    Write(u64),
    Seek(u64),
    Sync(&'static str),
    Fstat(u64),
    Getdents(u64),
    Close,
    Stat(String),
    Mkdir(String),
    Rmdir(String),
    Unlink(String),
    Rename(String, String),
}

struct Thread {
    process: usize,
    tid: u64,
    home: String,
    plan: VecDeque<Call>,
    now: Option<(Call, u64, u64)>,
    fd: usize,
    path: String,
    files: VecDeque<(String, u64)>,
    serial: u64,
}

struct Process {
    pid: u64,
    used: Vec<bool>,
}

impl Process {
    /// Takes the lowest free descriptor number, as the kernel does.
    fn open(&mut self) -> usize {
        let fd = (3..self.used.len()).find(|fd| !self.used[*fd]).unwrap_or(self.used.len());
        self.used.resize(self.used.len().max(fd + 1), false);
        self.used[fd] = true;
        fd
    }
}

/// Writes a synthetic capture to `out`, and returns what it must need and leave.
///
/// # Errors
/// When `out` cannot be written.
pub fn write(options: &Options, out: &mut impl Write) -> io::Result<Expected> {
    Synth::new(options).run(out)
}

struct Synth<'a> {
    options: &'a Options,
    dice: Dice,
    threads: Vec<Thread>,
    processes: Vec<Process>,
    expected: Expected,
}

impl<'a> Synth<'a> {
    fn new(options: &'a Options) -> Synth<'a> {
        let mut threads = Vec::new();
        let mut processes = Vec::new();
        for process in 0..options.processes {
            let pid = 2000 + 1000 * process as u64;
            processes.push(Process { pid, used: vec![true; 3] });
            for thread in 0..options.threads {
                let home = format!("{}/p{process:03}/t{thread:03}", options.base);
                let plan = VecDeque::from([Call::Mkdir(home.clone())]);
                threads.push(Thread {
                    process,
                    tid: pid + thread as u64,
                    home,
                    plan,
                    now: None,
                    fd: 0,
                    path: String::new(),
                    files: VecDeque::new(),
                    serial: 0,
                });
            }
        }
        let mut expected = Expected::default();
        expected.dirs_before.extend((0..options.processes).map(|process| format!("{}/p{process:03}", options.base)));
        Synth { options, dice: Dice::new(options.seed.wrapping_mul(2).wrapping_add(0x9E37_79B9)), threads, processes, expected }
    }

    fn run(mut self, out: &mut impl Write) -> io::Result<Expected> {
        match self.options.format {
            Format::Capture => self.line(out, format_args!("#|capture_version=4|"))?,
            Format::Strace => self.births(out)?,
        }
        // Entries and returns in the order of their times.
        let mut heap = BinaryHeap::new();
        for i in 0..self.threads.len() {
            heap.push(Reverse((START + 1_000_000 + i as u64, false, i)));
        }
        while let Some(Reverse((at, returns, i))) = heap.pop() {
            if returns {
                self.returned(i, false, out)?;
                heap.push(Reverse((at + 500 + self.dice.below(200_000), false, i)));
                continue;
            }
            let Some((call, dur)) = self.next_call(i) else { continue };
            self.entered(i, &call);
            self.threads[i].now = Some((call, at, dur));
            let alone = heap.peek().is_none_or(|Reverse((next, ..))| *next > at + dur);
            if alone {
                self.returned(i, true, out)?;
                heap.push(Reverse((at + dur + 500 + self.dice.below(200_000), false, i)));
            } else {
                if self.options.format == Format::Strace {
                    self.half(i, out)?;
                }
                heap.push(Reverse((at + dur, true, i)));
            }
        }
        for thread in &self.threads {
            self.expected.final_files.extend(thread.files.iter().cloned());
        }
        let there = &self.expected.final_files;
        self.expected.gone.retain(|path| !there.contains_key(path));
        Ok(self.expected)
    }

    fn line(&mut self, out: &mut impl Write, text: std::fmt::Arguments<'_>) -> io::Result<()> {
        self.expected.lines += 1;
        out.write_fmt(text)?;
        out.write_all(b"\n")
    }

    /// Writes the clone calls that made the processes and threads, as strace shows them.
    fn births(&mut self, out: &mut impl Write) -> io::Result<()> {
        let tids: Vec<(u64, u64)> = self.threads.iter().map(|t| (self.processes[t.process].pid, t.tid)).collect();
        let time = START / 1_000_000_000;
        for (pid, tid) in tids {
            self.expected.calls += 1;
            if pid == tid {
                self.line(out, format_args!("1000  {time}.000001 clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|SIGCHLD, child_tidptr=0x7f0000000000) = {pid} <0.000100>"))?;
            } else {
                self.line(out, format_args!("{pid}  {time}.000001 clone3({{flags=CLONE_VM|CLONE_FS|CLONE_FILES|CLONE_SIGHAND|CLONE_THREAD, child_tid=0x7f0000000000, exit_signal=0}} => {{parent_tid=[{tid}]}}, 88) = {tid} <0.000050>"))?;
            }
        }
        Ok(())
    }

    fn next_call(&mut self, i: usize) -> Option<(Call, u64)> {
        while self.threads[i].plan.is_empty() {
            if self.expected.lines >= self.options.lines {
                return None;
            }
            self.session(i);
        }
        let call = self.threads[i].plan.pop_front()?;
        let dur = match call {
            Call::Sync(_) => 200_000 + self.dice.below(3_000_000),
            _ => 800 + self.dice.below(30_000),
        };
        Some((call, dur))
    }

    /// Plans the next session of a thread.
    fn session(&mut self, i: usize) {
        let dice = &mut self.dice;
        let thread = &mut self.threads[i];
        let kind = if thread.files.is_empty() { 0 } else { dice.below(100) };
        let pool = |dice: &mut Dice| {
            let n = dice.below(POOL);
            let size = [4096, 8192, 20480, 65536, 131072][n as usize % 5];
            (format!("{}/pool/d{:02}/f{n:05}.dat", self.options.base, n % 64), size)
        };
        let plan = &mut thread.plan;
        match kind {
            0..34 => {
                thread.serial += 1;
                let path = format!("{}/file{:07}.tmp", thread.home, thread.serial);
                plan.push_back(Call::Open { path: path.clone(), create: true, dir: false });
                let mut size = 0;
                for _ in 0..1 + dice.below(8) {
                    let n = dice.pick(&[128, 512, 1024, 4096]);
                    size += n;
                    plan.push_back(Call::Write(n));
                }
                if dice.below(10) < 3 {
                    plan.push_back(Call::Sync(dice.pick(&["fsync", "fdatasync"])));
                }
                plan.extend([Call::Fstat(size), Call::Close]);
                let mut name = path;
                if dice.below(2) == 0 {
                    let new = name.replace(".tmp", ".dat");
                    self.expected.gone.insert(name.clone());
                    plan.push_back(Call::Rename(name, new.clone()));
                    name = new;
                }
                thread.files.push_back((name, size));
                if thread.files.len() > KEEP
                    && let Some((old, _)) = thread.files.pop_front()
                {
                    plan.push_back(Call::Unlink(old));
                }
            }
            34..58 => {
                let (path, size) = pool(dice);
                let need = self.expected.need_before.entry(path.clone()).or_default();
                plan.extend([Call::Open { path, create: false, dir: false }, Call::Fstat(size)]);
                let block = dice.pick(&[4096, 8192, 16384]);
                let end = if dice.below(2) == 0 { size } else { size.min(block * (1 + dice.below(3))) };
                let mut at = 0;
                while at < end {
                    let n = block.min(size - at);
                    plan.push_back(Call::Read(n));
                    at += n;
                }
                *need = at.max(*need);
                if at == size {
                    plan.push_back(Call::Read(0));
                }
                plan.push_back(Call::Close);
            }
            58..70 => {
                let (path, size) = pool(dice);
                let need = self.expected.need_before.entry(path.clone()).or_default();
                plan.push_back(Call::Open { path, create: false, dir: false });
                for _ in 0..1 + dice.below(5) {
                    let at = dice.below(size / 4096) * 4096;
                    *need = (at + 4096).max(*need);
                    plan.extend([Call::Seek(at), Call::Read(4096)]);
                }
                plan.push_back(Call::Close);
            }
            70..78 => {
                let (path, size) = thread.files[dice.below(thread.files.len() as u64) as usize].clone();
                plan.extend([Call::Open { path, create: false, dir: false }, Call::Read(size), Call::Read(0), Call::Close]);
            }
            78..88 => {
                let (path, _) = thread.files[dice.below(thread.files.len() as u64) as usize].clone();
                plan.push_back(Call::Stat(path));
            }
            88..93 => {
                if let Some((path, _)) = thread.files.pop_front() {
                    self.expected.gone.insert(path.clone());
                    plan.push_back(Call::Unlink(path));
                }
            }
            _ => {
                let path = format!("{}/sub{:03}", thread.home, dice.below(100));
                plan.extend([
                    Call::Mkdir(path.clone()),
                    Call::Open { path: path.clone(), create: false, dir: true },
                    Call::Getdents(48),
                    Call::Getdents(0),
                    Call::Close,
                    Call::Rmdir(path),
                ]);
            }
        }
        // A long capture must not need memory for all it ever removed.
        while self.expected.gone.len() > 10_000 {
            self.expected.gone.pop_first();
        }
    }

    /// What a call does at its entry: a close frees its descriptor number.
    fn entered(&mut self, i: usize, call: &Call) {
        if let Call::Close = call {
            let thread = &self.threads[i];
            self.processes[thread.process].used[thread.fd] = false;
        }
    }

    fn half(&mut self, i: usize, out: &mut impl Write) -> io::Result<()> {
        let thread = &self.threads[i];
        let Some((call, at, _)) = &thread.now else { return Ok(()) };
        let (text, _) = strace(thread, call, 0);
        let cut = text.rfind(')').unwrap_or(text.len());
        let (seconds, micros) = (at / 1_000_000_000, at / 1000 % 1_000_000);
        let line = format!("{}  {seconds}.{micros:06} {} <unfinished ...>", thread.tid, &text[..cut]);
        self.line(out, format_args!("{line}"))
    }

    /// Writes the line of a call that returns, or the second half of it.
    fn returned(&mut self, i: usize, whole: bool, out: &mut impl Write) -> io::Result<()> {
        let Some((call, at, dur)) = self.threads[i].now.take() else { return Ok(()) };
        self.expected.calls += 1;
        if let Call::Open { path, .. } = &call {
            self.threads[i].fd = self.processes[self.threads[i].process].open();
            self.threads[i].path.clone_from(path);
        }
        let thread = &self.threads[i];
        let fd = thread.fd;
        let line = match self.options.format {
            Format::Capture => {
                let pid = self.processes[thread.process].pid;
                format!("t={};:,D={dur};:,i={pid}:{};:,o={}", at + dur, thread.tid, captured(&call, fd))
            }
            Format::Strace => {
                let (text, ret) = strace(thread, &call, fd);
                let began = if whole { at } else { at + dur };
                let (seconds, micros) = (began / 1_000_000_000, began / 1000 % 1_000_000);
                let text = if whole {
                    text
                } else {
                    let name = text.split('(').next().unwrap_or_default();
                    format!("<... {name} resumed>)")
                };
                let (whole, part) = (dur / 1_000_000_000, dur / 1000 % 1_000_000);
                format!("{}  {seconds}.{micros:06} {text} = {ret} <{whole}.{part:06}>", thread.tid)
            }
        };
        self.line(out, format_args!("{line}"))
    }
}

/// The call in the grammar of `.capture` files, from its name on.
fn captured(call: &Call, fd: usize) -> String {
    match call {
        Call::Open { path, create: true, .. } => format!("openat;:,d={fd};:,p={path};:,f=577;:,m=420;:,"),
        Call::Open { path, dir: true, .. } => format!("openat;:,d={fd};:,p={path};:,f=65536;:,m=0;:,"),
        Call::Open { path, .. } => format!("openat;:,d={fd};:,p={path};:,f=524288;:,m=0;:,"),
        Call::Read(n) => format!("read;:,d={fd};:,b={n};:,"),
        Call::Write(n) => format!("write;:,d={fd};:,b={n};:,"),
        Call::Seek(at) => format!("lseek;:,d={fd};:,O={at};:,W=0;:,b={at};:,"),
        Call::Sync(name) => format!("{name};:,d={fd};:,s=0;:,"),
        Call::Fstat(_) => format!("fstat;:,d={fd};:,s=0;:,"),
        Call::Getdents(n) => format!("getdents;:,d={fd};:,c=32768;:,b={n};:,"),
        Call::Close => format!("close;:,d={fd};:,s=0;:,"),
        Call::Stat(path) => format!("stat;:,p={path};:,s=0;:,"),
        Call::Mkdir(path) => format!("mkdir;:,p={path};:,m=493;:,s=0;:,"),
        Call::Rmdir(path) => format!("rmdir;:,p={path};:,s=0;:,"),
        Call::Unlink(path) => format!("unlink;:,p={path};:,s=0;:,"),
        Call::Rename(path, new) => format!("rename;:,p={path};:,P={new};:,s=0;:,"),
    }
}

/// The call as strace prints it, up to the closing parenthesis, and what it returns.
fn strace(thread: &Thread, call: &Call, new: usize) -> (String, String) {
    let Thread { fd, path: on, .. } = thread;
    let ok = || "0".to_owned();
    match call {
        Call::Open { path, create, dir } => {
            let flags = match (create, dir) {
                (true, _) => "O_WRONLY|O_CREAT|O_TRUNC, 0644",
                (_, true) => "O_RDONLY|O_DIRECTORY",
                _ => "O_RDONLY|O_CLOEXEC",
            };
            (format!("openat(AT_FDCWD</home>, \"{path}\", {flags})"), format!("{new}<{path}>"))
        }
        Call::Read(n) => (format!("read({fd}<{on}>, \"\\0\\1\\2\\3\\4\\5\\6\\7\"..., {})", n.max(&16384)), n.to_string()),
        Call::Write(n) => (format!("write({fd}<{on}>, \"\\0\\1\\2\\3\\4\\5\\6\\7\"..., {n})"), n.to_string()),
        Call::Seek(at) => (format!("lseek({fd}<{on}>, {at}, SEEK_SET)"), at.to_string()),
        Call::Sync(name) => (format!("{name}({fd}<{on}>)"), ok()),
        Call::Fstat(n) => (format!("fstat({fd}<{on}>, {{st_mode=S_IFREG|0644, st_size={n}, ...}})"), ok()),
        Call::Getdents(n) => (format!("getdents64({fd}<{on}>, 0x5561fa87eb00 /* {} entries */, 32768)", n / 24), n.to_string()),
        Call::Close => (format!("close({fd}<{on}>)"), ok()),
        Call::Stat(path) => (format!("stat(\"{path}\", {{st_mode=S_IFREG|0644, ...}})"), ok()),
        Call::Mkdir(path) => (format!("mkdir(\"{path}\", 0755)"), ok()),
        Call::Rmdir(path) => (format!("rmdir(\"{path}\")"), ok()),
        Call::Unlink(path) => (format!("unlink(\"{path}\")"), ok()),
        Call::Rename(path, new) => (format!("rename(\"{path}\", \"{new}\")"), ok()),
    }
}
