//! Asynchronous requests, which are submitted to the kernel and completed later: those of io_submit(2) and io_uring(7).
//!
//! A request becomes an event when it completes; the event begins at the submission, in the thread that submitted it. A request
//! whose completion is never seen becomes an event without a result when its address is reused, or at the end of the capture.

use crate::event::{Col, Event};
use crate::events::order::{Key, Placed};
use crate::syscall::polled::{Polled, Polling};
use crate::syscall::{At, Ret, Role, Syscall, lock};
use hashbrown::{HashMap, HashSet};
use std::collections::{BTreeMap, VecDeque};

/// Results of one ring, at most, that the program has not taken: more than the longest completion queue has room for
/// (IORING_MAX_CQ_ENTRIES, io_uring/io_uring.h of the kernel).
const UNTAKEN: usize = 1 << 16;

/// Polled rings of which is told, at most.
const POLLED: usize = 1024;

/// The requests that are under way, and the rings that they go through.
#[derive(Debug, Default)]
pub struct Requests {
    /// Requests by process id (0 when the address is one of the kernel) and address of the request.
    pending: HashMap<(u32, u64), Pending>,
    asked: u64,
    /// Rings by process id (0 when the address is one of the kernel) and address of the ring.
    rings: HashMap<(u32, u64), Ring>,
    /// Number that the next ring gets.
    next: i64,
    /// Rings that are polled, those too that there are no more, by number.
    polled: BTreeMap<i64, Polled>,
}

#[derive(Debug)]
struct Pending {
    event: Event,
    begin: i64,
    /// Number of the request in the order of submission.
    number: u64,
    /// Key of its ring, and the thread that handed it over.
    ring: (u32, u64),
    thread: u32,
    slot: Option<u32>,
    user_data: u64,
}

/// A ring of io_uring(7), or a context of io_setup(2).
#[derive(Debug, Default)]
struct Ring {
    number: i64,
    /// For each thread how many of its requests were handed over and their results not taken yet.
    untaken: HashMap<u32, i64>,
    /// Requests that are done and whose results nobody has taken, in the order of the completion queue: the place behind each
    /// in the queue, and its thread.
    done: VecDeque<(u32, u32)>,
    /// How many results the program had taken from the queue, modulo 2^32, when it was last looked at.
    head: u32,
    /// Threads whose next request begins when their last one is done.
    linked: HashSet<u32>,
    /// Entries of its own table of files that requests have opened files into.
    direct: HashSet<u32>,
}

impl Ring {
    fn taken(&mut self, thread: u32) {
        if let Some(untaken) = self.untaken.get_mut(&thread) {
            *untaken = (*untaken - 1).max(0);
        }
    }

    /// The program has taken the results before this place in the completion queue.
    fn take(&mut self, head: u32) {
        while let Some((place, thread)) = self.done.front().copied()
            && head.wrapping_sub(place) as i32 >= 0
        {
            self.done.pop_front();
            self.taken(thread);
        }
        self.head = head;
    }
}

/// Where a request goes: its ring, and what is known of the results that the program took from that.
#[derive(Clone, Copy, Debug)]
pub struct Route {
    /// Process id (0 when the address is one of the kernel) and address of the ring.
    pub ring: (u32, u64),
    /// How many results the program had taken from the completion queue, modulo 2^32; `None` where that cannot be seen.
    pub head: Option<u32>,
    /// How many requests the program hands over behind this one in the same call.
    pub behind: u32,
    /// The entry of the ring's own table of files that the request is about in place of a descriptor, `u32::MAX` for one that the
    /// kernel chooses; `None` for none.
    pub slot: Option<u32>,
    /// What the program calls the request.
    pub user_data: u64,
    /// Flags that the ring was made with (io_uring_setup(2)).
    pub setup: u32,
    /// Does the next request begin when this one is done (IOSQE_IO_LINK, IOSQE_IO_HARDLINK)?
    pub links: bool,
    /// Does this one begin when all before it are done (IOSQE_IO_DRAIN)?
    pub drains: bool,
}

/// Value of [`Col::Arg`] of a request that begins when the one before it is done.
const AFTER: i64 = 1;

/// First of the numbers that stand for entries of the rings' own tables of files: no descriptor is as large.
const DIRECT: i64 = 1 << 40;
/// Entries of such a table, at most (IORING_MAX_FIXED_FILES, io_uring/rsrc.c of the kernel).
const TABLE: i64 = 1 << 20;

/// The number that stands for an entry of a ring's own table of files, as if it were a descriptor of the process.
fn direct(ring: i64, slot: u32) -> i64 {
    DIRECT.saturating_add(ring.saturating_mul(TABLE)).saturating_add(i64::from(slot))
}

impl Pending {
    fn placed(self, end: i64) -> Placed {
        let Pending { event, begin, number, .. } = self;
        let instant = match lock::instant(&event) {
            At::Entry => begin,
            At::Return => end,
        };
        Placed { key: Key::new(instant, 0, number), entry: begin, exit: end, killed: false, moved: None, event }
    }
}

impl Requests {
    /// Notes a submitted request. `key`: process (0 for kernel addresses) and address; `thread`: process and thread id; `begin`:
    /// ns since 1970. Returns the event of an older request with the same key, whose completion was missed.
    pub fn asked(&mut self, key: (u32, u64), route: Route, mut event: Event, thread: (u32, u32), begin: i64) -> Option<Placed> {
        let old = self.pending.remove(&key);
        if let Some(ring) = old.as_ref().and_then(|old| self.rings.get_mut(&old.ring)) {
            ring.taken(old.as_ref().map_or(0, |old| old.thread));
        }
        let next = &mut self.next;
        let mut fresh = || {
            *next += 1;
            Ring { number: *next - 1, head: route.head.unwrap_or(0), ..Ring::default() }
        };
        let ring = self.rings.entry(route.ring).or_insert_with(&mut fresh);
        // The head of a queue never goes back: where it does, another ring has got the address.
        if route.head.is_some_and(|head| (head.wrapping_sub(ring.head) as i32) < 0) {
            *ring = fresh();
        }
        if let Some(head) = route.head {
            ring.take(head);
        }
        if let Some(slot) = route.slot.filter(|slot| ring.direct.contains(slot)) {
            if event.syscall.def().has(Role::Fd) {
                event.set(Col::Fd, direct(ring.number, slot));
            }
            if event.syscall == Syscall::uring_close {
                ring.direct.remove(&slot);
            }
        }
        if ring.linked.remove(&thread.1) || route.drains {
            event.set(Col::Arg, AFTER);
        }
        if route.links {
            ring.linked.insert(thread.1);
        }
        let polling: Vec<Polling> = Polling::ALL.iter().copied().filter(|how| route.setup & how.flag() != 0).collect();
        if !polling.is_empty() && (self.polled.len() < POLLED || self.polled.contains_key(&ring.number)) {
            let fresh = Polled { ring: ring.number, polling, requests: 0 };
            self.polled.entry(ring.number).or_insert(fresh).requests += 1;
        }
        let untaken = ring.untaken.entry(thread.1).or_default();
        event.set(Col::Pid, i64::from(thread.0));
        event.set(Col::Tid, i64::from(thread.1));
        event.set(Col::Ts, begin);
        event.set(Col::Ring, ring.number);
        event.set(Col::Flight, *untaken);
        event.set(Col::Behind, i64::from(route.behind));
        *untaken += 1;
        self.asked += 1;
        let Route { ring, slot, user_data, .. } = route;
        let pending = Pending { event, begin, number: self.asked, ring, thread: thread.1, slot, user_data };
        self.pending.insert(key, pending);
        old.map(|old| old.placed(begin))
    }

    /// The rings that are polled, by number.
    pub fn polled(&self) -> Vec<Polled> {
        self.polled.values().cloned().collect()
    }

    /// Notes that a request completed at time `end` (ns since 1970) with this result, and returns its event; `None` when its
    /// submission was not seen. `place`: the place behind its result in the completion queue of its ring, from where the program
    /// takes it later; `None` when it has it by then.
    pub fn done(&mut self, key: (u32, u64), end: i64, result: i64, place: Option<u32>) -> Option<Placed> {
        let mut pending = self.pending.remove(&key)?;
        if let Some(ring) = self.rings.get_mut(&pending.ring) {
            match place {
                Some(place) if ring.done.len() < UNTAKEN => ring.done.push_back((place, pending.thread)),
                _ => ring.taken(pending.thread),
            }
        }
        pending.event.set_outcome(result);
        // An open into the ring's own table returns 0, or the entry that the kernel has chosen.
        let opened = pending.event.success().filter(|_| pending.event.syscall.def().ret == Ret::NewFd);
        if let (Some(slot), Some(ret), Some(ring)) = (pending.slot, opened, self.rings.get_mut(&pending.ring)) {
            let slot = if slot == u32::MAX { ret as u32 } else { slot };
            ring.direct.insert(slot);
            pending.event.set(Col::Ret, direct(ring.number, slot));
        }
        pending.event.set(Col::Dur, (end - pending.begin).max(0));
        Some(pending.placed(end))
    }

    /// Notes the result of a request that found no room in the completion queue: it is known by the address of its ring and what
    /// the program calls it. The oldest of that name is meant.
    pub fn overflowed(&mut self, ring: (u32, u64), user_data: u64, end: i64, result: i64) -> Option<Placed> {
        let named = self.pending.iter().filter(|(_, pending)| pending.ring == ring && pending.user_data == user_data);
        let key = named.min_by_key(|(_, pending)| pending.number).map(|(key, _)| *key)?;
        // It gets its place when there is room: behind all others.
        let place = self.rings.get(&ring).map(|ring| ring.done.back().map_or(ring.head, |(place, _)| *place).wrapping_add(1));
        self.done(key, end, result, place)
    }

    /// Removes and returns the requests whose completion was never seen, as events without a result, in order of submission.
    pub fn rest(&mut self) -> Vec<Placed> {
        let mut rest: Vec<Pending> = self.pending.drain().map(|(_, pending)| pending).collect();
        rest.sort_by_key(|pending| pending.number);
        rest.into_iter().map(|pending| (pending.begin, pending)).map(|(begin, pending)| pending.placed(begin)).collect()
    }
}

/// The event of a request, still without times: call, descriptor (`None` if unknown), count and offset in bytes (`None` if the
/// call transfers no data).
pub fn request(syscall: Syscall, fd: Option<i64>, transfer: Option<(i64, i64)>) -> Event {
    let mut event = Event::new(syscall);
    event.put(Col::Fd, fd);
    if let Some((count, offset)) = transfer {
        event.set(Col::Count, count);
        event.set(Col::Offset, offset);
    }
    event
}

/// Bytes of a request in the record of an io_submit call: 8 of its address, then the first 56 of its `struct iocb`.
pub const ENTRY: usize = 64;

/// Decodes a request of io_submit (`struct iocb`, linux/aio_abi.h): its address, and its event, `None` for an opcode that is
/// not decoded. `None` for both when the bytes are too few.
pub fn submitted(entry: &[u8]) -> Option<(u64, Option<Event>)> {
    let word = |at: usize| entry.get(at..at + 8)?.first_chunk().map(|bytes| i64::from_ne_bytes(*bytes));
    let half = |at: usize| entry.get(at..at + 4)?.first_chunk().map(|bytes| i64::from(i32::from_ne_bytes(*bytes)));
    let address = word(0)? as u64;
    let (opcode, fd) = (half(8 + 16)? & 0xffff, Some(half(8 + 20)?));
    let transfer = Some((word(8 + 32)?, word(8 + 40)?));
    let event = match opcode {
        0 => request(Syscall::aio_pread, fd, transfer),
        1 => request(Syscall::aio_pwrite, fd, transfer),
        2 => request(Syscall::aio_fsync, fd, None),
        3 => request(Syscall::aio_fdsync, fd, None),
        // Vectored: the bytes are known only at completion.
        7 => vectored(request(Syscall::aio_pread, fd, transfer)),
        8 => vectored(request(Syscall::aio_pwrite, fd, transfer)),
        _ => return Some((address, None)),
    };
    Some((address, Some(event)))
}

/// Changes the event of a request from a count of bytes to a count of vectors.
pub fn vectored(mut event: Event) -> Event {
    let vectors = event.int(Col::Count);
    event.put(Col::Count, None);
    event.put(Col::IovCnt, vectors);
    event
}

#[cfg(test)]
mod tests {
    use super::*;

    fn iocb(opcode: u16, fd: u32, count: u64, offset: u64) -> Vec<u8> {
        let mut bytes = vec![0; ENTRY];
        bytes[..8].copy_from_slice(&0x1000_u64.to_ne_bytes());
        bytes[24..26].copy_from_slice(&opcode.to_ne_bytes());
        bytes[28..32].copy_from_slice(&fd.to_ne_bytes());
        bytes[40..48].copy_from_slice(&count.to_ne_bytes());
        bytes[48..56].copy_from_slice(&offset.to_ne_bytes());
        bytes
    }

    const CONTEXT: Route =
        Route { ring: (7, 0x7000), head: None, behind: 0, slot: None, user_data: 0, setup: 0, links: false, drains: false };

    #[test]
    fn what_the_program_has_not_taken_is_in_flight() {
        let mut requests = Requests::default();
        let ask = |requests: &mut Requests, key: u64, ring: u64, head: Option<u32>, thread: u32| {
            let event = request(Syscall::uring_read, Some(3), Some((10, 0)));
            requests.asked((0, key), Route { ring: (0, ring), head, ..CONTEXT }, event, (7, thread), 100);
            let event = &requests.pending[&(0, key)].event;
            (event.int(Col::Ring).unwrap(), event.int(Col::Flight).unwrap())
        };
        // The queue had 2^32 - 2 results before: places wrap.
        let head = u32::MAX - 1;
        assert_eq!(ask(&mut requests, 1, 70, Some(head), 8), (0, 0));
        assert_eq!(ask(&mut requests, 2, 70, Some(head), 8), (0, 1));
        assert_eq!(ask(&mut requests, 3, 70, Some(head), 9), (0, 0), "another thread");
        assert_eq!(ask(&mut requests, 4, 71, Some(0), 8), (1, 0), "another ring");
        requests.done((0, 2), 150, 10, Some(u32::MAX)).unwrap();
        requests.done((0, 3), 150, 10, Some(0)).unwrap();
        // Done, and not taken; then the first of the two is.
        assert_eq!(ask(&mut requests, 5, 70, Some(head), 8), (0, 2));
        assert_eq!(ask(&mut requests, 6, 70, Some(u32::MAX), 8), (0, 2));
        assert_eq!(ask(&mut requests, 7, 70, Some(0), 9), (0, 0));
        // A ring that was made anew at the same address.
        assert_eq!(ask(&mut requests, 8, 70, Some(u32::MAX - 9), 8), (2, 0));
        // Where the queue cannot be seen, what is done is taken.
        assert_eq!(ask(&mut requests, 9, 72, None, 8), (3, 0));
        requests.done((0, 9), 150, 10, None).unwrap();
        assert_eq!(ask(&mut requests, 10, 72, None, 8), (3, 0));
    }

    #[test]
    fn it_is_told_which_rings_are_polled() {
        let mut requests = Requests::default();
        for (key, ring, setup) in [(1, 70, 2), (2, 71, 0), (3, 70, 2), (4, 72, 1 | 2 | 64)] {
            let event = request(Syscall::uring_read, Some(3), Some((10, 0)));
            requests.asked((0, key), Route { ring: (0, ring), setup, ..CONTEXT }, event, (7, 8), 100);
        }
        let told: Vec<_> = requests.polled().into_iter().map(|ring| (ring.ring, ring.polling, ring.requests)).collect();
        assert_eq!(told, [(0, vec![Polling::Sqpoll], 2), (2, vec![Polling::Sqpoll, Polling::Iopoll], 1)]);
    }

    #[test]
    fn entries_of_the_rings_own_table_are_as_descriptors() {
        let mut requests = Requests::default();
        let mut done = |slot: Option<u32>, syscall: Syscall, fd: Option<i64>, result: i64| {
            requests.asked((0, 1), Route { slot, ..CONTEXT }, request(syscall, fd, None), (7, 7), 100);
            let event = requests.done((0, 1), 150, result, None).unwrap().event;
            (event.int(Col::Fd), event.int(Col::Ret).unwrap())
        };
        let (_, first) = done(Some(5), Syscall::uring_openat, None, 0);
        let (_, second) = done(Some(u32::MAX), Syscall::uring_openat, None, 9);
        assert!(first != second && first > i64::from(u32::MAX));
        assert_eq!(done(Some(5), Syscall::uring_read, None, 10), (Some(first), 10));
        assert_eq!(done(Some(9), Syscall::uring_close, Some(0), 0), (Some(second), 0));
        // What was registered, or is not there any more, is known by its file only.
        assert_eq!(done(Some(9), Syscall::uring_read, None, -9), (None, -1));
        assert_eq!(done(Some(6), Syscall::uring_openat, None, -2), (None, -1));
        assert_eq!(done(None, Syscall::uring_openat, None, 6), (None, 6), "a descriptor");
    }

    #[test]
    fn a_link_binds_the_next_request_of_the_thread() {
        let mut requests = Requests::default();
        let mut ask = |thread: u32, links: bool, drains: bool| {
            let event = request(Syscall::uring_fsync, Some(3), None);
            requests.asked((0, 1), Route { links, drains, ..CONTEXT }, event, (7, thread), 100);
            requests.pending[&(0, 1)].event.int(Col::Arg)
        };
        let asked =
            [(7, true, false), (8, false, false), (7, true, false), (7, false, false), (7, false, false), (7, false, true)];
        assert_eq!(
            asked.map(|(thread, links, drains)| ask(thread, links, drains)),
            [None, None, Some(1), Some(1), None, Some(1)]
        );
    }

    #[test]
    fn a_result_without_room_is_found_by_its_name() {
        let mut requests = Requests::default();
        for (key, user_data) in [(1, 70), (2, 71), (3, 70)] {
            requests.asked(
                (0, key),
                Route { user_data, ..CONTEXT },
                request(Syscall::uring_fsync, Some(3), None),
                (7, 7),
                key as i64,
            );
        }
        let mut ts = |ring, user_data| requests.overflowed(ring, user_data, 150, 0).map(|placed| placed.entry);
        assert_eq!((ts(CONTEXT.ring, 70), ts((7, 1), 70), ts(CONTEXT.ring, 99)), (Some(1), None, None));
        assert_eq!((ts(CONTEXT.ring, 70), ts(CONTEXT.ring, 70), ts(CONTEXT.ring, 71)), (Some(3), None, Some(2)));
    }

    #[test]
    fn a_request_is_an_event_from_its_submission_to_its_end() {
        let (address, event) = submitted(&iocb(1, 5, 4096, 8192)).unwrap();
        let mut requests = Requests::default();
        assert!(requests.asked((7, address), CONTEXT, event.unwrap(), (7, 8), 100).is_none());
        assert!(requests.done((7, 1), 150, 0, None).is_none() && requests.done((9, address), 150, 0, None).is_none());
        let done = requests.done((7, address), 150, 4096, None).unwrap();
        let event = &done.event;
        assert_eq!((event.syscall, event.success(), event.int(Col::Dur)), (Syscall::aio_pwrite, Some(4096), Some(50)));
        assert_eq!((event.int(Col::Fd), event.int(Col::Offset), event.int(Col::Tid)), (Some(5), Some(8192), Some(8)));
        assert!(requests.rest().is_empty());
    }

    #[test]
    fn what_is_never_done_has_no_result() {
        let mut requests = Requests::default();
        for (opcode, begin) in [(0, 100), (2, 200)] {
            let (address, event) = submitted(&iocb(opcode, 5, 10, 0)).unwrap();
            let old = requests.asked((7, address), CONTEXT, event.unwrap(), (7, 7), begin);
            assert_eq!(old.map(|old| (old.entry, old.event.int(Col::Ret))), (begin == 200).then_some((100, None)));
        }
        assert_eq!(requests.rest()[0].event.syscall, Syscall::aio_fsync);
    }

    #[test]
    fn vectors_and_what_is_unknown() {
        let (_, event) = submitted(&iocb(7, 5, 3, 4096)).unwrap();
        let event = event.unwrap();
        assert_eq!((event.int(Col::Count), event.int(Col::IovCnt)), (None, Some(3)));
        assert!(submitted(&iocb(5, 5, 0, 0)).unwrap().1.is_none() && submitted(&[0; 20]).is_none());
    }
}
