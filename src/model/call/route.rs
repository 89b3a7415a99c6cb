//! Which way the bytes of a call go: what the byte ledger counts.

use super::{Call, flag};
use crate::event::Col;
use crate::fate::{Reason, Route};
use crate::syscall::{Moves, Op, Syscall};

/// Most bytes that one call moves, whatever it asks for (MAX_RW_COUNT of the kernel, read(2)).
const MOST: i64 = 0x7fff_f000;
/// Most bytes that one mapping has: those of the address space of a process with four levels of page tables.
const MAPPED: i64 = 1 << 47;

impl Call<'_> {
    /// Fills in route, bytes and their direction of the step, whose fate is settled.
    pub(super) fn take_route(&mut self) {
        let Some(route) = self.route() else { return };
        self.step.route = Some(route);
        self.step.bytes = match route {
            Route::Unknown => None,
            Route::Mapped | Route::MappedWrite => self.mapped(),
            Route::Fault | Route::Msync => self.event.int(Col::Count).map(|count| count.clamp(0, MOST)),
            _ if self.event.failure().is_some() => Some(0),
            _ => self.bytes().map(|bytes| bytes.min(MOST)),
        };
        if self.step.on_file {
            self.step.moves = match route {
                Route::Fault if self.event.int(Col::Mode).unwrap_or(0) & flag::PROT_WRITE != 0 => Moves::Writes,
                Route::Fault => Moves::Reads,
                _ => self.step.op.map_or(Moves::Nothing, Op::moves),
            };
        }
    }

    fn route(&self) -> Option<Route> {
        if matches!(self.step.reason, Some(Reason::UnknownCall | Reason::Requests)) {
            return Some(Route::Unknown);
        }
        let def = self.event.syscall.def();
        Some(match (self.event.syscall, def.op()) {
            (Syscall::mmap_fault, _) => Route::Fault,
            (Syscall::msync, _) if self.event.success().is_some() => Route::Msync,
            (Syscall::vmsplice, _) => Route::Vmsplice,
            (Syscall::tee, _) => Route::Tee,
            (_, Some(Op::Mmap)) if self.step.on_file && self.event.success().is_some() => {
                if self.writes_through() {
                    Route::MappedWrite
                } else {
                    Route::Mapped
                }
            }
            (_, Some(Op::Splice)) => Route::Splice,
            (_, Some(Op::Sendfile)) => Route::Sendfile,
            (_, Some(Op::CopyFileRange)) => Route::CopyFileRange,
            _ if def.moves() == Moves::Nothing => return None,
            (syscall, _) if !syscall.is_call() => Route::Request,
            _ if self.direct() => Route::Direct,
            _ => Route::Call,
        })
    }

    /// Is the file changed by what is written into the mapping? What the capture does not show counts as if it were so.
    fn writes_through(&self) -> bool {
        let flags = self.event.int(Col::Flags).map(|flags| flags & flag::MAP_TYPE);
        let writable = self.event.int(Col::Mode).is_none_or(|prot| prot & flag::PROT_WRITE != 0);
        flags != Some(flag::MAP_PRIVATE) && writable
    }

    /// Number of mapped bytes that lie in the file, as far as its size is known.
    fn mapped(&mut self) -> Option<i64> {
        let count = self.event.int(Col::Count)?.clamp(0, MAPPED);
        let offset = self.step.offset.filter(|offset| (0..i64::MAX - MAPPED).contains(offset))?;
        let size = self.file.and_then(|ino| self.model.tree.content(ino)).and_then(|content| content.size());
        Some(size.map_or(count, |size| count.min(size.saturating_sub(offset).max(0))))
    }
}
