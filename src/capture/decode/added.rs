//! The part of the decoder for what is added to the page cache: one event for pages of a file that follow each other.
//!
//! The pages are added before the call returns that they are for, or while the thread is in a page fault. Their event stands where that
//! began, so before the event of the call or the fault: what this read and nobody had added was in memory before.

use super::{Decoder, device};
use crate::capture::kernel::record::{Record, at};
use crate::event::{Col, Event};
use crate::events::order::{Key, Placed};
use crate::syscall::Syscall;
use hashbrown::HashMap;

/// Bytes of a page: those of x86_64, for which the programs count.
const PAGE: i64 = 4096;

/// Pages of a file that one thread added one after the other, for one call or fault.
#[derive(Debug)]
struct Run {
    first: i64,
    last: i64,
    /// Number plus one of the call that added them; 0 outside of calls.
    call: u16,
    /// When the call or the fault began, and the first and the last addition; ns since 1970.
    since: i64,
    begin: i64,
    end: i64,
    dev: i64,
    ino: i64,
    mode: i64,
    pid: i64,
    tid: i64,
    /// Breaks ties in the order of events.
    tie: u64,
}

impl Run {
    /// The event.
    fn placed(self) -> Placed {
        let mut event = Event::new(Syscall::page_cache_add);
        for (col, value) in [
            (Col::Ts, self.begin),
            (Col::Dur, self.end.saturating_sub(self.begin)),
            (Col::Pid, self.pid),
            (Col::Tid, self.tid),
            (Col::StMode, self.mode),
            (Col::Dev, self.dev),
            (Col::Ino, self.ino),
            (Col::Offset, self.first.saturating_mul(PAGE)),
            (Col::Count, self.last.saturating_sub(self.first).saturating_add(1).saturating_mul(PAGE)),
        ] {
            event.set(col, value);
        }
        event.set_outcome(0);
        let key = Key::new(self.since, 0, self.tie);
        Placed { key, entry: self.since, exit: self.end.max(self.since), killed: false, moved: None, event }
    }
}

/// The runs that may go on, by thread id.
#[derive(Debug, Default)]
pub struct Added(HashMap<u32, Run>);

impl Added {
    /// Takes a record of an addition at `begin`, for what began `since`; gives the event of the run before it, if this is another one.
    fn take(&mut self, record: &Record<'_>, begin: i64, since: i64, tie: u64) -> Option<Placed> {
        let (tid, first, last) = (record.u32(at::TID), record.arg(0) as i64, record.arg(1) as i64);
        let (dev, ino, call) = (device(record.u32(at::DEV)), record.i64(at::INO), record.u16(at::NUMBER));
        if let Some(run) = self.0.get_mut(&tid)
            && (run.dev, run.ino, run.call) == (dev, ino, call)
            // Faults on pages that follow each other are one event, and so is what they add.
            && (run.since == since || call == 0)
            && run.last.checked_add(1) == Some(first)
        {
            (run.last, run.end) = (last.max(first), run.end.max(begin));
            return None;
        }
        let run = Run {
            first,
            last: last.max(first),
            call,
            since: since.min(begin),
            begin,
            end: begin,
            dev,
            ino,
            mode: i64::from(record.u16(at::MODE)),
            pid: i64::from(record.u32(at::PID)),
            tid: i64::from(tid),
            tie,
        };
        self.0.insert(tid, run).map(Run::placed)
    }
}

impl Decoder<'_> {
    /// Decodes an addition of pages to the page cache.
    pub(super) fn added(&mut self, record: &Record<'_>, begin: i64) {
        let since = self.clock.wrapping_add(record.arg(3) as i64);
        let over = self.added.take(record, begin, since, self.seen.records);
        self.more.extend(over);
    }

    /// The thread of this record does something else: its run of additions is over.
    pub(super) fn added_over(&mut self, record: &Record<'_>) {
        let over = self.added.0.remove(&record.u32(at::TID));
        self.more.extend(over.map(Run::placed));
    }

    /// Gives the events of all runs that may have gone on.
    pub(super) fn added_rest(&mut self) {
        let rest: Vec<_> = self.added.0.drain().map(|(_, run)| run.placed()).collect();
        self.more.extend(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::decode::table::Calls;
    use crate::capture::kernel::record::{Maker, fault, flag};
    use crate::syscall::number::Abi;

    /// A record of thread 8 that these pages of inode `ino` were added, for what began `since`.
    fn added(ts: u64, ino: u64, first: u64, last: u64, since: u64) -> Vec<u8> {
        let mut maker = Maker::default();
        maker.begin(7, 8, flag::FAULT);
        let did = fault::ADDED as u64;
        for (at, value) in [(at::ARGS, first), (at::ARGS + 8, last), (at::ARGS + 16, did), (at::ARGS + 24, since)] {
            maker.put(at, &value.to_ne_bytes());
        }
        maker.put(at::TS, &ts.to_ne_bytes());
        maker.put(at::INO, &ino.to_ne_bytes());
        maker.put(at::NUMBER, &7u16.to_ne_bytes());
        maker.bytes().to_vec()
    }

    /// A call of pread by thread 8.
    fn read(ts: u64, dur: u64) -> Vec<u8> {
        let mut maker = Maker::default();
        maker.begin(7, 8, 0);
        maker.put(at::TS, &ts.to_ne_bytes());
        maker.put(at::DUR, &dur.to_ne_bytes());
        maker.put(at::NUMBER, &Syscall::pread64.number(Abi::NATIVE).unwrap_or(0).to_ne_bytes());
        maker.bytes().to_vec()
    }

    /// Name, begin, duration, first page and number of pages of the events of these records, in the order of their keys.
    fn decode(records: &[Vec<u8>]) -> Vec<(&'static str, i64, i64, i64, i64)> {
        let calls = Calls::new(|_| true);
        let mut decoder = Decoder::new(&calls, 0, None);
        let (mut placed, mut all) = (Placed::room(), Vec::new());
        for record in records {
            let mut came = decoder.take(record, &mut placed);
            while came {
                all.push((placed.key, placed.event.clone()));
                came = decoder.more(&mut placed);
            }
        }
        decoder.finish();
        while decoder.more(&mut placed) {
            all.push((placed.key, placed.event.clone()));
        }
        all.sort_by_key(|(key, _)| *key);
        let all = all.into_iter().map(|(_, event)| {
            let [ts, dur, offset, count] = [Col::Ts, Col::Dur, Col::Offset, Col::Count].map(|col| event.int(col).unwrap_or(-1));
            (event.syscall.name(), ts, dur, offset / PAGE, count / PAGE)
        });
        all.collect()
    }

    const ADD: &str = "page_cache_add";

    #[test]
    fn pages_that_follow_each_other_are_one_event_before_their_call() {
        let records = [added(120, 5, 0, 0, 100), added(130, 5, 1, 4, 100), added(140, 5, 5, 5, 100), read(100, 90)];
        let events = decode(&records);
        assert_eq!(events[0], (ADD, 120, 20, 0, 6));
        assert_eq!((events.len(), events[1].0, events[1].1), (2, "pread64", 100));
    }

    #[test]
    fn other_pages_files_and_calls_are_other_events() {
        for other in [added(130, 5, 2, 2, 100), added(130, 6, 1, 1, 100), added(130, 5, 1, 1, 125), added(130, 5, 0, 0, 100)] {
            assert_eq!(decode(&[added(120, 5, 0, 0, 100), other]).len(), 2);
        }
        assert_eq!(decode(&[added(120, 5, 0, 0, 100), read(100, 30), added(140, 5, 1, 1, 100)]).len(), 3);
    }

    #[test]
    fn faults_on_pages_that_follow_each_other_add_one_run() {
        let outside = |mut record: Vec<u8>| {
            let number = at::NUMBER as usize;
            record[number..number + 2].fill(0);
            record
        };
        let records = [added(120, 5, 0, 0, 100), added(230, 5, 1, 1, 200), added(330, 5, 3, 3, 300)].map(outside);
        assert_eq!(decode(&records), [(ADD, 120, 110, 0, 2), (ADD, 330, 0, 3, 1)]);
    }

    /// Numbers of pages come from the kernel, but nothing may overflow.
    #[test]
    fn no_number_is_too_large() {
        let most = u64::MAX;
        let records = [added(most, 5, most, most, most), added(1, 5, i64::MAX as u64, 0, 0), added(1, 5, 0, i64::MAX as u64, 0)];
        assert_eq!(decode(&records).len(), 3);
    }
}
