//! A decoded op and the batches that carry them from the loader to a worker.

use crate::event::Col;
use crate::fate::Origin;
use crate::schema::tables::ARGUMENTS;
use crate::syscall::{Op, Syscall};
use std::ffi::CStr;

/// Ops in a batch: enough to forget the cost of handing it over, few enough for 64 workers to have several.
pub const BATCH: usize = 256;

/// No descriptor, no text.
pub const NONE: u32 = u32::MAX;

/// The texts a call needs to be issued, in the order of [`Call::texts`].
pub const TEXTS: [&str; 4] = ["raw", "raw2", "name", "cwd"];
const RAW: usize = 0;
const RAW2: usize = 1;
const NAME: usize = 2;
const CWD: usize = 3;

/// Slot of each event column in [`Call::args`].
const SLOTS: [u8; Col::ALL.len()] = {
    let mut slots = [u8::MAX; Col::ALL.len()];
    let mut slot = 0;
    while slot < ARGUMENTS.len() {
        slots[ARGUMENTS[slot] as usize] = slot as u8;
        slot += 1;
    }
    slots
};

/// One op, ready to be issued.
#[derive(Clone, Debug)]
pub struct Call {
    /// Row in the table of ops.
    pub row: i64,
    /// The op.
    pub op_id: i64,
    /// Its event.
    pub seq: i64,
    /// Its lane.
    pub lane: i64,
    /// What is issued.
    pub op: Op,
    /// What was captured.
    pub syscall: Syscall,
    /// Why it is there.
    pub origin: Origin,
    /// Open file description it uses or makes, or [`NONE`].
    pub ofd: u32,
    /// The second one.
    pub ofd2: u32,
    /// That of its dirfd.
    pub dir: u32,
    /// That of its second dirfd.
    pub dir2: u32,
    /// Where its texts begin in the batch, or [`NONE`].
    pub texts: [u32; TEXTS.len()],
    /// Which arguments are there.
    pub has: u32,
    /// The arguments, in the order of [`ARGUMENTS`].
    pub args: [i64; ARGUMENTS.len()],
}

impl Call {
    /// An argument, if the capture has it.
    #[inline]
    pub fn get(&self, col: Col) -> Option<i64> {
        let slot = usize::from(SLOTS[col as usize]);
        if self.has & (1 << slot) != 0 { Some(self.args[slot]) } else { None }
    }

    /// An argument, or 0.
    #[inline]
    pub fn arg(&self, col: Col) -> i64 {
        self.get(col).unwrap_or(0)
    }

    /// The captured outcome as the kernel gives it (`-errno` for a failure), if the capture has it.
    #[inline]
    pub fn captured(&self) -> Option<i64> {
        match (self.get(Col::Ret), self.get(Col::Errno)) {
            (_, Some(errno)) if errno != 0 => Some(-errno),
            (ret, _) => ret,
        }
    }

    /// What the call transferred when it was captured, if it succeeded.
    #[inline]
    pub fn bytes(&self) -> Option<i64> {
        self.captured().filter(|ret| *ret >= 0)
    }
}

/// Calls of one worker, in order, and their texts.
#[derive(Debug, Default)]
pub struct Batch {
    /// The calls.
    pub calls: Vec<Call>,
    /// Their texts, each ended by NUL.
    pub arena: Vec<u8>,
}

impl Batch {
    /// An empty batch that holds its calls without growing.
    pub fn new() -> Batch {
        Batch { calls: Vec::with_capacity(BATCH), arena: Vec::with_capacity(BATCH * 128) }
    }

    /// Empties the batch, keeping its memory.
    pub fn clear(&mut self) {
        self.calls.clear();
        self.arena.clear();
    }

    /// Stores a text; a NUL inside ends it, as it would for the kernel.
    pub fn store(&mut self, bytes: &[u8]) -> u32 {
        let start = self.arena.len() as u32;
        self.arena.extend_from_slice(bytes);
        self.arena.push(0);
        start
    }

    /// First path argument.
    #[inline]
    pub fn path(&self, call: &Call) -> Option<&CStr> {
        self.text(call.texts[RAW])
    }

    /// Second path argument, or the content of a symlink.
    #[inline]
    pub fn path2(&self, call: &Call) -> Option<&CStr> {
        self.text(call.texts[RAW2])
    }

    /// Name of an extended attribute.
    #[inline]
    pub fn name(&self, call: &Call) -> Option<&CStr> {
        self.text(call.texts[NAME])
    }

    /// Working directory that a relative path starts at.
    #[inline]
    pub fn cwd(&self, call: &Call) -> Option<&CStr> {
        self.text(call.texts[CWD])
    }

    fn text(&self, start: u32) -> Option<&CStr> {
        if start == NONE {
            return None;
        }
        CStr::from_bytes_until_nul(self.arena.get(start as usize..)?).ok()
    }
}

const _: () = assert!(ARGUMENTS.len() <= 32, "Call::has has a bit for every argument");
