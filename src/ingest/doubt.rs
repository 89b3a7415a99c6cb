//! Counts what an ingest read without being sure of it, for the summary.

use crate::event::{Col, Event, Text};
use crate::syscall::{Op, Ret, Syscall, flag};
use crate::words::words;
use serde::Serialize;
use std::collections::BTreeMap;

words! {
    /// Kind of doubt: a guess that was made, or something that the log does not have.
    Doubt {
        Foreign   "foreign"   "calls that x86_64 does not have: made by 32-bit programs or on another architecture, and issued as their like";
        Numbered  "numbered"  "calls that the log has by number only, read as those of x86_64";
        Nameless  "nameless"  "calls that the log has by number only, and it does not show of which architecture: they stay unknown";
        Before    "before"    "calls on descriptors whose opening the log does not have: strace -y tells what they are open on";
        Unprinted "unprinted" "arguments that the log does not have whole (an address, or cut short): they are absent";
        Injected  "injected"  "results that strace made up (-e inject): these calls did not happen";
        Pages     "pages"     "positions of mmap2 that can only be pages, and were read as such";
        Zone      "zone"      "times without their zone, read as UTC";
        Mended    "mended"    "calls read from lines that the output of a program stands in";
        Flagless  "flagless"  "new threads or processes, the log does not show which: read as processes with descriptors of their own";
        Unended   "unended"   "last lines without their end: they may be cut, and say less than they did";
        Backwards "backwards" "lines that stand below others with later times: a clock was set, logs were put together, or strace -z wrote calls when they returned; the order is that of the lines of a log, or of a thread where logs are merged";
        Clocks    "clocks"    "lines with a time of another clock than the first: logs were put together; those of strace have no time";
        Inside    "inside"    "calls that a thread began while it was in another one: lines of two threads under one number, or in another order";
        After     "after"     "calls of a thread whose end stands above them: its number came again and the log does not have the call that made the new thread, logs were put together, or lines are in another order";
        Requests  "requests"  "calls that hand over requests (io_uring_enter, io_submit), which the log does not have";
    }
}

impl Serialize for Doubt {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

/// Number of doubts by kind.
#[derive(Clone, Debug, Default)]
pub struct Doubts([u64; Doubt::ALL.len()]);

impl Doubts {
    /// Adds to the count of one kind.
    pub fn add(&mut self, doubt: Doubt, count: u64) {
        self.0[doubt as usize] += count;
    }

    /// Adds the doubts that were counted elsewhere, kind by kind.
    pub fn merge(&mut self, other: &Doubts) {
        for (sum, count) in self.0.iter_mut().zip(other.0) {
            *sum += count;
        }
    }

    /// The kinds of doubt that occurred, with their counts.
    pub fn found(&self) -> BTreeMap<Doubt, u64> {
        Doubt::ALL.iter().map(|doubt| (*doubt, self.0[*doubt as usize])).filter(|(_, count)| *count > 0).collect()
    }
}

/// Descriptor numbers below this are watched for an open; higher ones count as opened.
const NUMBERS: usize = 4096;

/// Watches the events of a strace log, in order, for doubts that only earlier events can settle.
#[derive(Debug)]
pub struct Witness {
    /// For each descriptor number: was it returned to any process so far?
    opened: [bool; NUMBERS],
    doubts: Doubts,
}

impl Default for Witness {
    fn default() -> Witness {
        Witness { opened: [false; NUMBERS], doubts: Doubts::default() }
    }
}

impl Witness {
    /// Looks at the next event and counts its doubts.
    pub fn note(&mut self, event: &Event) {
        let Some(result) = event.success() else { return };
        if let Some(fd) = event.int(Col::Fd)
            && event.text(Text::FdPath).is_none()
            && !matches!(event.syscall.op(), Some(Op::Special | Op::CloseRange))
            && self.slot(fd).is_some_and(|opened| !*opened)
        {
            self.doubts.add(Doubt::Before, 1);
        }
        match event.syscall {
            Syscall::clone | Syscall::clone3 if result > 0 && event.int(Col::Flags).is_none() => {
                self.doubts.add(Doubt::Flagless, 1)
            }
            Syscall::io_uring_enter | Syscall::io_submit if result > 0 => self.doubts.add(Doubt::Requests, 1),
            _ => {}
        }
        let copied =
            event.syscall.op() == Some(Op::Fcntl) && matches!(event.int(Col::Cmd), Some(flag::F_DUPFD | flag::F_DUPFD_CLOEXEC));
        let pair = event.syscall.op() == Some(Op::Special) && event.syscall.def().ret == Ret::Status;
        if event.syscall.def().ret == Ret::NewFd || copied {
            self.open(Some(result));
        } else if pair {
            self.open(event.int(Col::Fd));
            self.open(event.int(Col::Fd2));
        }
    }

    fn open(&mut self, fd: Option<i64>) {
        if let Some(opened) = fd.and_then(|fd| self.slot(fd)) {
            *opened = true;
        }
    }

    fn slot(&mut self, fd: i64) -> Option<&mut bool> {
        self.opened.get_mut(usize::try_from(fd).ok()?)
    }

    /// The doubts counted so far.
    pub fn doubts(&self) -> &Doubts {
        &self.doubts
    }
}
