//! The frames that the machines of a replay send each other: 32 bytes each, four little-endian numbers.

use anyhow::{Result, bail};

/// Length of a frame, bytes.
pub const BYTES: usize = 32;

/// A frame, of a machine or for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame {
    /// Of a machine: all of its processes are ready to begin.
    Ready,
    /// To a machine: when the replay begins, on its CLOCK_MONOTONIC, ns.
    Start {
        /// That time.
        at: i64,
    },
    /// Both ways: how far a worker is.
    Counter {
        /// Number of its machine; what a machine says of itself is not believed.
        machine: u32,
        /// Number of the worker on its machine.
        worker: u32,
        /// Every op of it below this one is finished; `i64::MAX` when it is over.
        next: i64,
        /// When the last of those ended, ns since the start; `i64::MIN` when nobody knows.
        end: i64,
    },
    /// Of a machine: all of its ops are done.
    Done,
    /// Of a machine: its replay ended early.
    Failed,
    /// To a machine: another one was lost, or its replay ended early; or the coordinator wants to end it.
    Lost {
        /// Its number; of the coordinator `u32::MAX`.
        machine: u32,
    },
    /// To a machine: all machines are done.
    Finish,
}

impl Frame {
    /// The frame as it is sent.
    pub fn bytes(self) -> [u8; BYTES] {
        let (kind, from, one, two) = match self {
            Frame::Ready => (0, 0, 0, 0),
            Frame::Start { at } => (1, 0, at, 0),
            Frame::Counter { machine, worker, next, end } => (2, u64::from(machine) << 32 | u64::from(worker), next, end),
            Frame::Done => (3, 0, 0, 0),
            Frame::Failed => (4, 0, 0, 0),
            Frame::Lost { machine } => (5, u64::from(machine), 0, 0),
            Frame::Finish => (6, 0, 0, 0),
        };
        let mut bytes = [0; BYTES];
        for (place, word) in bytes.as_chunks_mut().0.iter_mut().zip([kind, from, one as u64, two as u64]) {
            *place = word.to_le_bytes();
        }
        bytes
    }

    /// The frame that was sent so.
    ///
    /// # Errors
    /// When there is no such frame.
    pub fn parse(bytes: &[u8; BYTES]) -> Result<Frame> {
        let word = |at: usize| u64::from_le_bytes(std::array::from_fn(|byte| bytes[at * 8 + byte]));
        let (from, one, two) = (word(1), word(2) as i64, word(3) as i64);
        Ok(match word(0) {
            0 => Frame::Ready,
            1 => Frame::Start { at: one },
            2 => Frame::Counter { machine: (from >> 32) as u32, worker: from as u32, next: one, end: two },
            3 => Frame::Done,
            4 => Frame::Failed,
            5 => Frame::Lost { machine: from as u32 },
            6 => Frame::Finish,
            kind => bail!("there is no frame of kind {kind}"),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_come_back() {
        for frame in [
            Frame::Ready,
            Frame::Start { at: -5 },
            Frame::Counter { machine: 63, worker: u32::MAX, next: i64::MAX, end: i64::MIN },
            Frame::Done,
            Frame::Failed,
            Frame::Lost { machine: 7 },
            Frame::Finish,
        ] {
            assert_eq!(Frame::parse(&frame.bytes()).unwrap(), frame);
        }
        assert!(Frame::parse(&[255; BYTES]).is_err());
    }
}
