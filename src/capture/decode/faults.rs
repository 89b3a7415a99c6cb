//! The part of the decoder for page faults on mapped files: one event for a fault and what came of it, and for faults on pages that
//! follow each other.
//!
//! What a thread does next tells whether its fault is over. So the last fault of each thread is held back until then: the page may
//! become dirty in the same fault, the thread may sleep in it (which says how long it took), and the next fault may be on the next
//! page.

use super::{Decoder, device};
use crate::capture::kernel::record::{Record, at, fault};
use crate::event::{Col, Event};
use crate::events::order::{Key, Placed};
use crate::syscall::{Syscall, flag};
use hashbrown::HashMap;

/// Bytes of a page in page faults: that of x86_64, and the smallest of other architectures.
const PAGE: i64 = 4096;
/// Most pages of one event.
const PAGES: i64 = 256;
/// Longest time between two faults that become one event, ns.
const NEAR: i64 = 50_000;
/// Longest time from the begin of a fault, or of a sleep in it, to the next sleep in it, ns: a device is asked before.
const ASKED: i64 = 1_000_000;

/// A fault, or several on pages that follow each other.
#[derive(Debug)]
struct Held {
    first: i64,
    last: i64,
    /// What they did ([`fault`]).
    did: i32,
    /// Begin of the first and end of the last one, ns since 1970.
    begin: i64,
    end: i64,
    event: Event,
    /// Breaks ties in the order of events.
    tie: u64,
}

impl Held {
    fn new(record: &Record<'_>, [first, last]: [i64; 2], did: i32, [begin, end]: [i64; 2], tie: u64) -> Held {
        let mut event = Event::new(Syscall::mmap_fault);
        event.set(Col::Pid, i64::from(record.u32(at::PID)));
        event.set(Col::Tid, i64::from(record.u32(at::TID)));
        event.set(Col::StMode, i64::from(record.u16(at::MODE)));
        event.set(Col::Dev, device(record.u32(at::DEV)));
        event.set(Col::Ino, record.i64(at::INO));
        event.set_outcome(0);
        Held { first, last, did, begin, end: end.max(begin), event, tie }
    }

    fn same_file(&self, record: &Record<'_>) -> bool {
        self.event.int(Col::Ino) == Some(record.i64(at::INO)) && self.event.int(Col::Dev) == Some(device(record.u32(at::DEV)))
    }

    /// The event.
    fn placed(self) -> Placed {
        let Held { first, last, did, begin, end, mut event, tie } = self;
        let protection = match did {
            fault::READ => flag::PROT_READ,
            fault::WRITTEN => flag::PROT_READ | flag::PROT_WRITE,
            _ => 0,
        };
        for (col, value) in [
            (Col::Ts, begin),
            (Col::Dur, end.saturating_sub(begin)),
            (Col::Offset, first.saturating_mul(PAGE)),
            (Col::Count, last.saturating_sub(first).saturating_add(1).saturating_mul(PAGE)),
            (Col::Mode, protection),
        ] {
            event.set(col, value);
        }
        Placed { key: Key::new(begin, 0, tie), entry: begin, exit: end, killed: false, moved: None, event }
    }
}

/// The faults that are held back, by thread id.
#[derive(Debug, Default)]
pub struct Faults(HashMap<u32, Held>);

impl Faults {
    /// Is none held back?
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The fault of a thread is over, if it was in one.
    pub fn over(&mut self, tid: u32) -> Option<Placed> {
        self.0.remove(&tid).map(Held::placed)
    }

    /// All that are held back.
    pub fn rest(&mut self) -> impl Iterator<Item = Placed> + '_ {
        self.0.drain().map(|(_, held)| held.placed())
    }

    /// Takes a FAULT record, which came at `begin`; gives the event of the fault before it, if that is another one.
    fn take(&mut self, record: &Record<'_>, begin: i64, tie: u64) -> Option<Placed> {
        let (tid, first, last, did) = (record.u32(at::TID), record.arg(0) as i64, record.arg(1) as i64, record.arg(2) as i32);
        if did == fault::AROUND {
            let over = self.over(tid);
            self.0.insert(tid, Held::new(record, [first, last], did, [begin; 2], tie));
            return over;
        }
        if let Some(held) = self.0.get_mut(&tid).filter(|held| held.same_file(record) && held.did != fault::AROUND) {
            // The page that was read becomes dirty, or is tried again.
            if held.last == first && (held.first == first || held.did == did) {
                held.did = held.did.max(did);
                held.end = held.end.max(begin);
                return None;
            }
            let near = begin.saturating_sub(held.end) <= NEAR;
            if near && held.did == did && held.last.saturating_add(1) == first && first - held.first < PAGES {
                (held.last, held.end) = (last, held.end.max(begin));
                return None;
            }
        }
        let over = self.over(tid);
        self.0.insert(tid, Held::new(record, [first, last], did, [begin; 2], tie));
        over
    }

    /// Takes a sleep of a thread outside of calls, from `begin` until it ran again at `end`: is it in a fault on a mapped file? Gives the event of another
    /// fault that is over, too.
    fn slept(&mut self, record: &Record<'_>, [begin, end]: [i64; 2], clock: i64, tie: u64) -> (bool, Option<Placed>) {
        let tid = record.u32(at::TID);
        if let Some(held) = self.0.get_mut(&tid).filter(|held| begin.saturating_sub(held.end) <= ASKED) {
            held.end = held.end.max(end);
            return (true, None);
        }
        let over = self.over(tid);
        if record.arg(2) == 0 {
            return (false, over);
        }
        let (since, page) = (clock.wrapping_add(record.arg(2) as i64), record.arg(3) as i64);
        // A fault of long ago is over; what the thread sleeps in is one that found its page in memory.
        let since = if begin.saturating_sub(since) <= ASKED { since } else { begin };
        self.0.insert(tid, Held::new(record, [page; 2], fault::READ, [since, end], tie));
        (true, over)
    }
}

impl Decoder<'_> {
    /// Decodes a page fault.
    pub(super) fn fault(&mut self, record: &Record<'_>, begin: i64) {
        let over = self.faults.take(record, begin, self.seen.records);
        self.more.extend(over);
    }

    /// Was this sleep of a thread in a page fault on a mapped file? Then it belongs to the event of that.
    pub(super) fn slept_in_fault(&mut self, record: &Record<'_>, begin: i64, woken: i64) -> bool {
        if record.u16(at::NUMBER) != 0 || (self.faults.is_empty() && record.arg(2) == 0) {
            return false;
        }
        let span = [begin, woken.saturating_add(record.i64(at::RET).max(0))];
        let (inside, over) = self.faults.slept(record, span, self.clock, self.seen.records);
        self.more.extend(over);
        inside
    }

    /// The thread of this record does something else: its fault is over.
    pub(super) fn fault_over(&mut self, record: &Record<'_>) {
        if !self.faults.is_empty() {
            let over = self.faults.over(record.u32(at::TID));
            self.more.extend(over);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::decode::table::Calls;
    use crate::capture::kernel::record::{Maker, flag as said};

    /// A FAULT record of thread 8 on a page of inode `ino`.
    fn fault_at(ts: u64, ino: u64, page: u64, did: i32) -> Vec<u8> {
        let mut maker = Maker::default();
        maker.begin(7, 8, said::FAULT);
        for (at, value) in [(at::TS, ts), (at::ARGS, page), (at::ARGS + 8, page), (at::ARGS + 16, did as u64), (at::INO, ino)] {
            maker.put(at, &value.to_ne_bytes());
        }
        maker.bytes().to_vec()
    }

    /// A WAITED record of thread 8; `since` and `page` of the fault that the kernel takes it to be in, on inode 5.
    fn slept(ts: u64, dur: u64, since: u64, page: u64) -> Vec<u8> {
        let mut maker = Maker::default();
        maker.begin(7, 8, said::WAITED);
        for (at, value) in [(at::TS, ts), (at::DUR, dur), (at::ARGS + 16, since), (at::ARGS + 24, page), (at::INO, 5)] {
            maker.put(at, &value.to_ne_bytes());
        }
        maker.bytes().to_vec()
    }

    /// Name, begin, duration, offset in pages, number of pages and protection of the events of these records.
    fn decode(records: &[Vec<u8>]) -> Vec<(&'static str, i64, i64, i64, i64, i64)> {
        let calls = Calls::new(|_| true);
        let mut decoder = Decoder::new(&calls, 0, None);
        let (mut placed, mut events) = (Placed::room(), Vec::new());
        for record in records {
            let mut came = decoder.take(record, &mut placed);
            while came {
                events.push(placed.event.clone());
                came = decoder.more(&mut placed);
            }
        }
        decoder.finish();
        while decoder.more(&mut placed) {
            events.push(placed.event.clone());
        }
        let all = events.into_iter().map(|event| {
            let [ts, dur, offset, count, mode] =
                [Col::Ts, Col::Dur, Col::Offset, Col::Count, Col::Mode].map(|col| event.int(col).unwrap_or(-1));
            (event.syscall.name(), ts, dur, offset / PAGE, count / PAGE, mode)
        });
        all.collect()
    }

    const FAULT: &str = "mmap_fault";

    #[test]
    fn a_fault_with_its_sleeps_and_its_write_is_one_event() {
        let records = [
            fault_at(100, 5, 3, fault::READ),
            slept(110, 500, 100, 3),
            fault_at(700, 5, 3, fault::WRITTEN),
            slept(710, 90, 0, 0),
        ];
        assert_eq!(decode(&records), [(FAULT, 100, 700, 3, 1, 3)]);
    }

    #[test]
    fn pages_that_follow_each_other_at_once_are_one_event() {
        let read = |ts, page| fault_at(ts, 5, page, fault::READ);
        assert_eq!(decode(&[read(100, 3), read(200, 4), read(300, 5)]), [(FAULT, 100, 200, 3, 3, 1)]);
        assert_eq!(decode(&[read(100, 3), read(200, 5)]).len(), 2);
        assert_eq!(decode(&[read(100, 3), read(90_000, 4)]).len(), 2);
        assert_eq!(decode(&[read(100, 3), fault_at(110, 6, 4, fault::READ)]).len(), 2);
        // The last page of several is written: an event of its own.
        let expected = [(FAULT, 100, 10, 3, 2, 1), (FAULT, 120, 0, 4, 1, 3)];
        assert_eq!(decode(&[read(100, 3), read(110, 4), fault_at(120, 5, 4, fault::WRITTEN)]), expected);
        let many: Vec<_> = (0..1000).map(|page| read(100 + page, page)).collect();
        let events = decode(&many);
        assert_eq!((events.len(), events.iter().map(|event| event.4).sum::<i64>()), (4, 1000));
    }

    #[test]
    fn a_sleep_on_a_page_that_is_on_its_way_is_a_fault() {
        assert_eq!(decode(&[slept(110, 500, 100, 9)]), [(FAULT, 100, 510, 9, 1, 1)]);
        // The fault that the kernel remembers was long before.
        assert_eq!(decode(&[slept(9_000_000, 500, 100, 9)]), [(FAULT, 9_000_000, 500, 9, 1, 1)]);
        assert_eq!(decode(&[slept(110, 500, 0, 0)]), [("waited", 110, 500, 0, 0, -1)]);
    }

    /// Numbers of pages come from the kernel, but nothing may overflow.
    #[test]
    fn no_number_is_too_large() {
        let records = [
            fault_at(u64::MAX, 5, u64::MAX, 9),
            slept(u64::MAX, u64::MAX, u64::MAX, u64::MAX),
            fault_at(1, 5, i64::MAX as u64, 0),
        ];
        assert!(decode(&records).len() >= 2);
    }
}
