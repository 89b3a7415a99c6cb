//! Records that tell of no call: processes that come, requests, page faults. What the decoder makes of them.

use super::decode::{Decoder, file, path};
use super::record::{Record, at, flag};
use super::requests::{self, ENTRY};
use super::snapshot::Process;
use crate::event::{Col, Event};
use crate::ingest::order::{Key, Placed};
use crate::syscall::Syscall;

/// Bytes of a page as faults count them (of x86_64; of others, the smallest).
const PAGE: i64 = 4096;

/// What is no event, and must be known to understand events.
#[derive(Clone, Debug)]
pub enum News {
    /// A process made another one.
    Forked {
        /// The one.
        parent: u32,
        /// The other.
        child: u32,
    },
    /// A process came into the scope.
    Joined(Process),
}

impl Decoder<'_> {
    /// Takes a record that tells of no call.
    pub(super) fn aside(&mut self, record: &Record<'_>) {
        let (pid, tid, begin) = (record.u32(at::PID), record.u32(at::TID), self.clock.wrapping_add(record.i64(at::TS)));
        if record.is(flag::FORKED) {
            self.news.push(News::Forked { parent: pid, child: tid });
        } else if record.is(flag::JOINED) {
            let comm = record.string(0).unwrap_or_default();
            self.news.push(News::Joined(Process {
                pid: i64::from(pid),
                parent: record.arg(0) as i64,
                uid: record.arg(1) as i64,
                gid: record.arg(2) as i64,
                comm: comm.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
                cwd: record.is(flag::WHERE).then(|| path(record.names())),
                root: None,
                mounts: None,
            }));
        } else if record.is(flag::ASKED) {
            match self.rings.and_then(|rings| requests::through_ring(&rings, record)) {
                Some(event) => self.more.extend(self.requests.asked((0, record.arg(0)), event, (pid, tid), begin)),
                None => self.seen.unknown += 1,
            }
        } else if record.is(flag::DONE) {
            let result = i64::from(record.i64(at::RET) as i32);
            self.more.extend(self.requests.done((0, record.arg(0)), begin, result).map(counted));
        } else {
            let mut event = Event::new(Syscall::mmap_fault);
            let (first, last) = (record.arg(0) as i64, record.arg(1) as i64);
            for (col, value) in [
                (Col::Ts, begin),
                (Col::Dur, 0),
                (Col::Pid, i64::from(pid)),
                (Col::Tid, i64::from(tid)),
                (Col::Offset, first.saturating_mul(PAGE)),
                (Col::Count, last.saturating_sub(first).saturating_add(1).saturating_mul(PAGE)),
            ] {
                event.set(col, value);
            }
            event.set_outcome(0);
            file(&mut event, record);
            event.put(Col::Pos, None);
            let key = Key::new(begin, 0, self.seen.records);
            self.more.push_back(Placed { key, entry: begin, exit: begin, killed: false, event });
        }
    }

    /// The requests that a call handed over, or that it tells to be done.
    pub(super) fn requested(&mut self, syscall: Syscall, record: &Record<'_>) {
        let (pid, tid, ret) = (record.u32(at::PID), record.u32(at::TID), record.i64(at::RET));
        let begin = self.clock.wrapping_add(record.i64(at::TS));
        if ret <= 0 {
            return;
        }
        match syscall {
            Syscall::io_submit => {
                let entries = record.behind().chunks_exact(ENTRY);
                self.seen.unknown += (ret as u64).saturating_sub(entries.len() as u64);
                for (address, event) in entries.filter_map(requests::submitted) {
                    match event {
                        Some(event) => self.more.extend(self.requests.asked((pid, address), event, (pid, tid), begin)),
                        None => self.seen.unknown += 1,
                    }
                }
            }
            Syscall::io_getevents => {
                let end = begin.wrapping_add(record.i64(at::DUR));
                for done in record.behind().chunks_exact(32) {
                    let word = |at: usize| done[at..].first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes));
                    self.more.extend(self.requests.done((pid, word(8) as u64), end, word(16)).map(counted));
                }
            }
            _ => {}
        }
    }

    /// Makes `placed` the next event that came with what was taken last; false when there is none.
    pub fn more(&mut self, placed: &mut Placed) -> bool {
        let next = self.more.pop_front();
        let came = next.is_some();
        if let Some(next) = next {
            *placed = next;
        }
        came
    }

    /// The capture ends: requests that are still under way are events without a result.
    pub fn finish(&mut self) {
        let rest = self.requests.rest();
        self.more.extend(rest);
    }
}

/// A vectored request asks for what it got, since nothing else is known of it.
fn counted(mut placed: Placed) -> Placed {
    let event = &mut placed.event;
    if event.int(Col::IovCnt).is_some() && event.int(Col::Count).is_none() {
        event.put(Col::Count, event.success());
        event.put(Col::IovCnt, None);
    }
    placed
}
