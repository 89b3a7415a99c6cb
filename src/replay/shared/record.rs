//! What happened to an op, as it travels from a worker to the supervisor; and what else a replay tells its supervisor.
//!
//! A [`Fact`] is what is known of an op before it is issued; the loader writes it. A [`Stamp`] is what its worker adds.
//! Both travel in blocks of shared memory ([`super::board`]). The pipe carries the rare rest: a [`Frame`] header and its
//! text. A pipe that closes without [`DONE`] belonged to a replay that died.

use crate::fate::Origin;
use crate::syscall::{Op, Syscall};
use std::io::{Read, Result, Write};

/// All ops were issued, or cannot be any more.
pub const DONE: u32 = 1;
/// A part of the replay is lost, the rest goes on; the text says what.
pub const LOST: u32 = 2;
/// The replay gave up; the text says why.
pub const ERROR: u32 = 3;

/// Value of a number that is not there.
pub const UNKNOWN: i64 = i64::MIN;

/// The lock commands of fcntl(2), and flock(2).
pub const LOCK: u8 = 1;
/// SEEK_DATA or SEEK_HOLE.
pub const SPARSE: u8 = 2;
/// Not issued: the working directory could not be entered.
pub const CWD: u8 = 4;
/// Not issued: the engine does not do this on purpose (devices, leases, calls that were unknown to the captured kernel).
pub const WITHHELD: u8 = 8;
/// Issued without MAP_POPULATE.
pub const UNPOPULATED: u8 = 16;

/// What is known of an op before it is issued.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fact {
    /// The op.
    pub op_id: i64,
    /// Its event.
    pub seq: i64,
    /// Its row in the table of ops.
    pub row: i64,
    /// Captured outcome as the kernel gives it, or [`UNKNOWN`].
    pub captured: i64,
    /// Captured duration, ns, or [`UNKNOWN`].
    pub captured_dur: i64,
    /// Its lane.
    pub lane: u32,
    /// [`Syscall`] by number.
    pub syscall: u8,
    /// [`Op`] by number.
    pub op: u8,
    /// [`Origin`] by number.
    pub origin: u8,
    /// What the comparison must know: [`LOCK`], [`SPARSE`], [`CWD`], [`WITHHELD`], [`UNPOPULATED`].
    pub notes: u8,
}

/// What a worker says of an op; times are ns since the start of the replay.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamp {
    /// Start of the call, or [`UNKNOWN`] as long as it was not issued.
    pub begin: i64,
    /// End of the call.
    pub end: i64,
    /// Outcome as the kernel gave it: `-errno` for a failure.
    pub ret: i64,
    /// When the pace wanted it, or [`UNKNOWN`].
    pub scheduled: i64,
}

/// What happened to one op.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// What was known of it.
    pub fact: Fact,
    /// What came of it.
    pub stamp: Stamp,
    /// The worker that issued it.
    pub worker: u32,
}

impl Record {
    /// The captured call.
    pub fn syscall(&self) -> Syscall {
        Syscall::ALL.get(usize::from(self.fact.syscall)).copied().unwrap_or(Syscall::other)
    }

    /// What was issued.
    pub fn op(&self) -> Option<Op> {
        Op::ALL.get(usize::from(self.fact.op)).copied()
    }

    /// Why the op is there.
    pub fn origin(&self) -> Origin {
        Origin::ALL.get(usize::from(self.fact.origin)).copied().unwrap_or(Origin::Event)
    }

    /// The captured outcome, if there is one.
    pub fn captured(&self) -> Option<i64> {
        Some(self.fact.captured).filter(|ret| *ret != UNKNOWN)
    }

    /// The outcome of the replay.
    pub fn ret(&self) -> i64 {
        self.stamp.ret
    }

    /// When the pace wanted it issued, ns since the start of the replay.
    pub fn scheduled(&self) -> Option<i64> {
        Some(self.stamp.scheduled).filter(|time| *time != UNKNOWN)
    }

    /// How much later than the pace wanted it was issued, ns.
    pub fn lag(&self) -> Option<i64> {
        self.scheduled().map(|time| self.stamp.begin.saturating_sub(time))
    }
}

/// The error in an outcome, 0 for a success.
pub fn errno(ret: i64) -> i32 {
    if (-4095..0).contains(&ret) { -ret as i32 } else { 0 }
}

/// Header of a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What follows.
    pub kind: u32,
    /// Bytes of text that follow.
    pub count: u32,
}

impl Frame {
    /// Reads a header; `None` when the other side is gone.
    ///
    /// # Errors
    /// When it is gone in the middle of a header.
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

/// Sends a frame in one write, so that those of several processes do not mix (pipe(7): up to 4096 bytes).
///
/// # Errors
/// When the other side is gone.
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
