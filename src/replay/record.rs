//! What happened to an op, as it travels from a worker to the supervisor: fixed size, plain numbers, no pointers.
//!
//! The pipe carries frames: a [`Frame`] header and what it announces. A stream that ends without [`DONE`] is a replay
//! that died.

use crate::fate::Origin;
use crate::syscall::{Op, Syscall};
use std::io::{Read, Result, Write};

/// The sandbox stands; nothing follows.
pub const READY: u32 = 1;
/// `count` records follow.
pub const RECORDS: u32 = 2;
/// All ops were issued; two numbers follow as bytes: wall time in ns, workers.
pub const DONE: u32 = 3;
/// The child gave up; `count` bytes of text follow.
pub const ERROR: u32 = 4;

/// Value of a captured number that the capture does not have.
pub const UNKNOWN: i64 = i64::MIN;

/// The lock commands of fcntl(2), and flock(2).
pub const LOCK: u8 = 1;
/// SEEK_DATA or SEEK_HOLE.
pub const SPARSE: u8 = 2;
/// Not issued: the working directory could not be entered.
pub const CWD: u8 = 4;
/// Not issued: the engine does not do this on purpose (devices, leases).
pub const WITHHELD: u8 = 8;

/// What happened to one op.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// The op.
    pub op_id: i64,
    /// Its event.
    pub seq: i64,
    /// Its lane.
    pub lane: i64,
    /// Its row in the table of ops.
    pub row: i64,
    /// Start, ns since the start of the replay.
    pub begin: i64,
    /// Duration, ns.
    pub dur: i64,
    /// Outcome as the kernel gave it: `-errno` for a failure.
    pub ret: i64,
    /// The captured one, or [`UNKNOWN`].
    pub captured: i64,
    /// Captured duration, ns, or [`UNKNOWN`].
    pub captured_dur: i64,
    /// The worker that issued it.
    pub worker: u32,
    /// [`Syscall`] by number.
    pub syscall: u8,
    /// [`Op`] by number.
    pub op: u8,
    /// [`Origin`] by number.
    pub origin: u8,
    /// What the comparison must know: [`LOCK`], [`SPARSE`], [`CWD`], [`WITHHELD`].
    pub notes: u8,
}

const SIZE: usize = size_of::<Record>();
const _: () = assert!(SIZE == 9 * 8 + 4 + 4, "a record has no padding");

impl Record {
    /// The captured call.
    pub fn syscall(&self) -> Syscall {
        Syscall::ALL.get(usize::from(self.syscall)).copied().unwrap_or(Syscall::other)
    }

    /// What was issued.
    pub fn op(&self) -> Option<Op> {
        Op::ALL.get(usize::from(self.op)).copied()
    }

    /// Why the op is there.
    pub fn origin(&self) -> Origin {
        Origin::ALL.get(usize::from(self.origin)).copied().unwrap_or(Origin::Event)
    }

    /// The captured outcome, if there is one.
    pub fn captured(&self) -> Option<i64> {
        Some(self.captured).filter(|ret| *ret != UNKNOWN)
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
    /// How much of it.
    pub count: u32,
}

impl Frame {
    /// Writes a header.
    ///
    /// # Errors
    /// When the other side is gone.
    pub fn write(self, out: &mut impl Write) -> Result<()> {
        let mut bytes = [0; 8];
        bytes[..4].copy_from_slice(&self.kind.to_ne_bytes());
        bytes[4..].copy_from_slice(&self.count.to_ne_bytes());
        out.write_all(&bytes)
    }

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

/// Writes a frame of records.
///
/// # Errors
/// When the other side is gone.
pub fn write(out: &mut impl Write, records: &[Record]) -> Result<()> {
    Frame { kind: RECORDS, count: records.len() as u32 }.write(out)?;
    // SAFETY: a record is plain numbers without padding, so all its bytes are initialised.
    out.write_all(unsafe { std::slice::from_raw_parts(records.as_ptr().cast(), size_of_val(records)) })
}

/// Reads the records of a frame.
///
/// # Errors
/// When the other side is gone in the middle of them.
pub fn read(input: &mut impl Read, count: u32, records: &mut Vec<Record>) -> Result<()> {
    records.clear();
    records.resize(count as usize, Record::default());
    // SAFETY: as above, and any bytes are a valid record: it is plain numbers.
    input.read_exact(unsafe { std::slice::from_raw_parts_mut(records.as_mut_ptr().cast(), records.len() * SIZE) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_the_pipe_and_a_cut_one_is_an_error() {
        let records = [Record { op_id: 1, ret: -2, ..Record::default() }, Record { op_id: 2, notes: LOCK, ..Record::default() }];
        let mut bytes = Vec::new();
        write(&mut bytes, &records).unwrap();
        let mut input = bytes.as_slice();
        let frame = Frame::read(&mut input).unwrap().unwrap();
        let mut back = Vec::new();
        read(&mut input, frame.count, &mut back).unwrap();
        assert_eq!(back, records);
        assert_eq!(Frame::read(&mut input).unwrap(), None);
        let mut cut = &bytes[..bytes.len() - 1];
        Frame::read(&mut cut).unwrap();
        assert!(read(&mut cut, frame.count, &mut back).is_err());
    }
}
