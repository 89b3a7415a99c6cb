//! The process that sees samples of files, and tells numbers of them.
//!
//! It reads them from its standard input and answers on its standard output; it has no other descriptor, no rights, a filter
//! that lets it read, write, allocate and end, and memory that nobody else may look into. Of a file it tells the five numbers of a
//! [`Content`] and a letter for each of its samples; nothing else leaves it.

use super::measure::{self, Measure, SAMPLE};
use crate::process::{reserve, seccomp, stdio};
use crate::schema::contents::Content;
use crate::schema::profile::SAMPLES;
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::mem::ManuallyDrop;
use std::os::fd::FromRawFd;
use std::process::ExitCode;

/// First argument by which this program is started as the process that measures samples.
pub const VERB: &str = "sample-contents";

/// In place of the length of a sample: the file ends here, and its numbers are wanted.
pub const END: u32 = u32::MAX;
/// Bytes of the numbers of a file.
pub const NUMBERS: usize = 5 * size_of::<i64>();
/// Bytes of what is told of a file: its numbers and the letters of its samples, with NULs behind them.
pub const ANSWER: usize = NUMBERS + SAMPLES;

/// Memory that it allocates for samples and their compression, bytes, at most.
const LOCKED: u64 = 8 << 20;

/// The calls that it may make: to read, to write, to allocate, to end.
#[rustfmt::skip]
const CALLS: &[i64] = &[
    libc::SYS_read, libc::SYS_write, libc::SYS_brk, libc::SYS_mmap, libc::SYS_munmap, libc::SYS_mremap, libc::SYS_madvise, libc::SYS_futex,
    libc::SYS_rt_sigreturn, libc::SYS_sigaltstack, libc::SYS_exit, libc::SYS_exit_group,
];

/// Entry point of the process. Exits with 0 when its input ends.
pub fn main() -> ExitCode {
    match measure_all() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            stdio::complain(format_args!("error: samples of files cannot be measured: {error:#}"));
            ExitCode::from(2)
        }
    }
}

fn measure_all() -> Result<()> {
    // SAFETY: the standard streams stay open until the process ends. Not through std's buffers, which would keep samples.
    let [mut input, mut output] = [0, 1].map(|fd| ManuallyDrop::new(unsafe { File::from_raw_fd(fd) }));
    let mut key = [0; 32];
    File::open("/dev/urandom").and_then(|mut random| random.read_exact(&mut key)).context("no random key")?;
    // Before the rest: hashes need not be kept from being swapped out.
    let seen = measure::room();
    reserve::keep_to_itself(LOCKED)?;
    seccomp::set(&mut seccomp::program(CALLS.iter().copied()))?;
    let mut measure = Measure::new(key, seen).context("no memory for a compressor")?;
    reserve::wipe(&mut key);
    let mut sample = vec![0; SAMPLE];
    let (mut content, mut letters) = (Content::default(), Vec::with_capacity(SAMPLES));
    // The first answer says that all walls stand.
    output.write_all(&[0; ANSWER])?;
    loop {
        let Some(length) = word(&mut input)? else { return Ok(()) };
        if length == END {
            let mut answer = content.to_bytes();
            answer.append(&mut letters);
            answer.resize(ANSWER, 0);
            output.write_all(&answer)?;
            content = Content::default();
            continue;
        }
        ensure!(length as usize <= SAMPLE, "a sample of {length} bytes is too long");
        let sample = &mut sample[..length as usize];
        let read =
            input.read_exact(sample).context("a sample was cut").and_then(|()| word(&mut input).context("a sample was cut"));
        let measured = read.and_then(|valid| {
            let valid = valid.filter(|valid| *valid <= length).context("a sample has no length")?;
            if valid > 0 {
                letters.push(measure.add(&sample[..valid as usize], &mut content).context("cannot compress")?.letter());
            }
            Ok(())
        });
        reserve::wipe(sample);
        measured?;
    }
}

/// The next number; `None` where the input ends.
fn word(input: &mut File) -> std::io::Result<Option<u32>> {
    let mut word = [0; 4];
    match input.read_exact(&mut word) {
        Ok(()) => Ok(Some(u32::from_le_bytes(word))),
        Err(error) if error.kind() == ErrorKind::UnexpectedEof => Ok(None),
        Err(error) => Err(error),
    }
}
