//! Records: what happened to an op, as it travels from a worker to the supervisor; and the other messages of a replay.
//!
//! A [`Fact`] is what is known of an op before it is issued; the loader writes it. A [`Stamp`] is what its worker adds.
//! Both travel in blocks of shared memory ([`super::board`]). The pipe carries the rare rest: a [`Frame`] header and its
//! text. A pipe that closes without [`DONE`] belonged to a replay that died.

use crate::fate::Origin;
use crate::syscall::{Op, Syscall};
use std::io::{Read, Result, Write};

/// Kind of a frame: the replay is over, all ops were issued or cannot be any more.
pub const DONE: u32 = 1;
/// Kind of a frame: a part of the replay is lost (a process was killed) and the rest goes on; the text says what.
pub const LOST: u32 = 2;
/// Kind of a frame: the replay gave up; the text says why.
pub const ERROR: u32 = 3;

/// In place of a number: it is absent (not captured, or not measured).
pub const UNKNOWN: i64 = i64::MIN;

/// Note bit of an op: it is a lock command of fcntl(2), or flock(2).
pub const LOCK: u8 = 1;
/// Note bit of an op: an lseek(2) with SEEK_DATA or SEEK_HOLE.
pub const SPARSE: u8 = 2;
/// Note bit of an op: not issued, since its working directory could not be entered.
pub const CWD: u8 = 4;
/// Note bit of an op: not issued on purpose (devices, leases, calls that the captured kernel did not know or that failed
/// there for want of space, memory and the like).
pub const WITHHELD: u8 = 8;
/// Note bit of an op: an mmap(2) issued without its MAP_POPULATE, since the mapping is too large to be brought into memory at
/// once.
pub const UNPOPULATED: u8 = 16;

/// Note bit of an op: it is not the captured one, or depends on one that is not (column `changed` of table ops), so nobody knows
/// what it returns.
pub const CHANGED: u8 = 32;

/// Note bit of an op: a sync that was left out, since another one of its file had done its work (`--syncs regroup`).
pub const REGROUPED: u8 = 64;

/// Note bits of ops that were not issued: their call has no duration.
pub const NOT_ISSUED: u8 = CWD | WITHHELD | REGROUPED;

/// Note bit of an op: a sync of a file whose syncs are regrouped, for the end of which not everything waits that did so in the capture.
pub const GROUPED: u8 = 128;

/// What is known of an op before it is issued; the loader writes it to the board.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// Number of the op (op_id).
    pub op_id: i64,
    /// Number of its event (seq).
    pub seq: i64,
    /// Its row in the workload's table of ops, from 0.
    pub row: i64,
    /// Captured return value as the kernel gives it (`-errno` for a failure), or [`UNKNOWN`].
    pub captured: i64,
    /// Captured duration of the call, ns, or [`UNKNOWN`].
    pub captured_dur: i64,
    /// Number of its lane (captured thread).
    pub lane: u32,
    /// The captured call: its index in [`Syscall::ALL`].
    pub syscall: u8,
    /// The call that is issued: its index in [`Op::ALL`].
    pub op: u8,
    /// Why the op exists: its index in [`Origin::ALL`].
    pub origin: u8,
    /// Note bits for the comparison: [`LOCK`], [`SPARSE`], [`CWD`], [`WITHHELD`], [`UNPOPULATED`], [`CHANGED`], [`REGROUPED`],
    /// [`GROUPED`].
    pub notes: u8,
}

/// What a worker records of an op it issued; times are ns since the start of the replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Start of the call, or [`UNKNOWN`] while its outcome is not recorded.
    pub begin: i64,
    /// End of the call; valid once `begin` is set.
    pub end: i64,
    /// Return value as the kernel gave it: `-errno` for a failure.
    pub ret: i64,
    /// When the pace wanted it issued, or [`UNKNOWN`] when it had no time.
    pub scheduled: i64,
}

/// What is known of one op and what happened to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What was known of the op before it was issued.
    pub fact: Fact,
    /// Times and outcome of the op.
    pub stamp: Stamp,
    /// Number of the worker that issued it.
    pub worker: u32,
}

impl Record {
    /// The captured call; `other` for a number that is in no table.
    pub fn syscall(&self) -> Syscall {
        Syscall::ALL.get(usize::from(self.fact.syscall)).copied().unwrap_or(Syscall::other)
    }

    /// The call that was issued; `None` for a number that is no op.
    pub fn op(&self) -> Option<Op> {
        Op::ALL.get(usize::from(self.fact.op)).copied()
    }

    /// Why the op exists: captured, or the cause for which it was inserted.
    pub fn origin(&self) -> Origin {
        Origin::ALL.get(usize::from(self.fact.origin)).copied().unwrap_or(Origin::Event)
    }

    /// Captured return value, `-errno` for a failure; `None` when it is unknown.
    pub fn captured(&self) -> Option<i64> {
        Some(self.fact.captured).filter(|ret| *ret != UNKNOWN)
    }

    /// Return value in the replay, `-errno` for a failure.
    pub fn ret(&self) -> i64 {
        self.stamp.ret
    }

    /// When the pace wanted the op issued, ns since the start of the replay; `None` when it had no time.
    pub fn scheduled(&self) -> Option<i64> {
        Some(self.stamp.scheduled).filter(|time| *time != UNKNOWN)
    }

    /// How much later than the pace wanted the op was issued, ns; `None` when it had no time.
    pub fn lag(&self) -> Option<i64> {
        self.scheduled().map(|time| self.stamp.begin.saturating_sub(time))
    }
}

/// The errno in a return value of the kernel (-4095 to -1), or 0 for a success.
pub fn errno(ret: i64) -> i32 {
    if (-4095..0).contains(&ret) { -ret as i32 } else { 0 }
}

/// Header of a frame, a message through the pipe to the supervisor: two native-endian 32-bit numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Kind of the message: [`DONE`], [`LOST`] or [`ERROR`].
    pub kind: u32,
    /// Number of bytes of text that follow the header.
    pub count: u32,
}

impl Frame {
    /// Reads a header; `None` when the other side has closed the pipe.
    ///
    /// # Errors
    /// When the pipe ends in the middle of a header.
    pub fn read(input: &mut impl Read) -> Result<Option<Frame>> {
        let (mut kind, mut count) = ([0; 4], [0; 4]);
        if input.read(&mut kind[..1])? == 0 {
            return Ok(None);
        }
        input.read_exact(&mut kind[1..])?;
        input.read_exact(&mut count)?;
        Ok(Some(Frame { kind: u32::from_ne_bytes(kind), count: u32::from_ne_bytes(count) }))
    }
}

/// Sends a frame in one write, so that frames of several processes do not mix (pipe(7): up to 4096 bytes); a longer text is
/// cut.
///
/// # Errors
/// When the other side has closed the pipe.
pub fn send(mut out: impl Write, kind: u32, text: &str) -> Result<()> {
    let mut text = text.as_bytes();
    text = &text[..text.len().min(4096 - 8)];
    let mut bytes = Vec::with_capacity(8 + text.len());
    bytes.extend(kind.to_ne_bytes());
    bytes.extend((text.len() as u32).to_ne_bytes());
    bytes.extend(text);
    out.write_all(&bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_pipe_and_a_cut_one_is_an_error() {
        let mut bytes = Vec::new();
        send(&mut bytes, LOST, "gone").unwrap();
        send(&mut bytes, DONE, "").unwrap();
        let mut input = bytes.as_slice();
        assert_eq!(Frame::read(&mut input).unwrap(), Some(Frame { kind: LOST, count: 4 }));
        let mut text = [0; 4];
        input.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"gone");
        assert_eq!(Frame::read(&mut input).unwrap(), Some(Frame { kind: DONE, count: 0 }));
        assert_eq!(Frame::read(&mut input).unwrap(), None);
        let mut cut = &bytes[..5];
        assert!(Frame::read(&mut cut).is_err());
    }
}
