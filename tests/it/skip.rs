//! Tests that cannot run here: named, counted when all are over, and written down for `.ci/run`, where they are failures.

#![allow(dead_code, reason = "unit tests need other things of a machine than tests/it, and that less without the engine")]

use std::collections::BTreeSet;
use std::fmt::Display;
use std::fs::File;
use std::io::Write as _;
use std::sync::{Mutex, PoisonError};

/// What a machine may lack. `.ci/run` installs what packages bring, and names those that a kernel may not have.
#[derive(Clone, Copy, PartialEq)]
pub enum Need {
    /// The right to be another user, to mount, to change the root directory.
    Root,
    /// Live capture by eBPF.
    Ebpf,
    /// A C compiler, `cc`.
    Compiler,
    /// Programs of 32 bits, made (Debian: gcc-multilib) and run.
    Bits32,
    /// Numbers of system calls in C headers (Debian: linux-libc-dev).
    Headers,
    Strace,
    Fio,
    Setpriv,
    /// io_setup(2), which a kernel may not have.
    Aio,
    /// io_uring, which a kernel or a container may forbid.
    IoUring,
    /// Control groups of version 2 that may be made.
    Groups,
    /// A time stamp counter that the kernel trusts.
    Counter,
    /// Python with what reads Parquet.
    Readers,
    /// A second processor.
    Processors,
    /// A program that a test runs.
    Program(&'static str),
    /// A file system on a loop device.
    Disk(&'static str),
}

impl Need {
    fn name(self) -> &'static str {
        match self {
            Need::Root => "root",
            Need::Ebpf => "ebpf",
            Need::Compiler => "cc",
            Need::Bits32 => "32-bit",
            Need::Headers => "headers",
            Need::Strace => "strace",
            Need::Fio => "fio",
            Need::Setpriv => "setpriv",
            Need::Aio => "aio",
            Need::IoUring => "io_uring",
            Need::Groups => "cgroup2",
            Need::Counter => "tsc",
            Need::Readers => "python",
            Need::Processors => "processors",
            Need::Disk(name) | Need::Program(name) => name,
        }
    }
}

/// A line for each test and what it needs.
static SKIPPED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Says that the calling test does not run, or not all of it, because this machine lacks something.
pub fn skip(need: Need, why: impl Display) {
    // libtest names the thread of a test.
    let thread = std::thread::current();
    let test = thread.name().unwrap_or("?").trim_start_matches("suite::").to_owned();
    let mut skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    if skipped.is_empty() {
        // SAFETY: registers a function that takes nothing and unwinds never.
        unsafe { libc::atexit(report) };
    }
    let why = why.to_string();
    skipped.insert(format!("{test}: {}: {}", need.name(), why.lines().next().unwrap_or_default()));
}

/// When all tests are over. The harness, which has no hook for that, shows nothing of tests that pass.
extern "C" fn report() {
    let skipped = SKIPPED.lock().unwrap_or_else(PoisonError::into_inner);
    let lines: String = skipped.iter().map(|line| line.clone() + "\n").collect();
    let mut stderr = std::io::stderr();
    let _ = writeln!(stderr, "\nskipped, in whole or in part, {}:\n{lines}", skipped.len());
    let Some(file) = std::env::var_os("IORIOT_SKIPPED") else { return };
    let file = File::options().create(true).append(true).open(file);
    if let Err(error) = file.and_then(|mut file| file.write_all(lines.as_bytes())) {
        let _ = writeln!(stderr, "IORIOT_SKIPPED: {error}");
    }
}
