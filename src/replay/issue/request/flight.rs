//! The requests that a worker has in flight: handed over, and not done.
//!
//! A worker with requests publishes the lowest of its ops that is not finished, so requests are kept in the order in which they
//! were handed over, and a result block goes to the supervisor when all its ops are stamped. All memory is there before the first
//! op: places for requests, each with a buffer to read into, and the counts of rings and lanes.

use super::port::{Code, Port, Request};
use crate::replay::shared::board::{Block, Board};
use crate::replay::shared::call::{Ask, Packed};
use crate::replay::shared::memory::Pages;
use crate::syscall::Interface;
use std::collections::VecDeque;
use std::io::Result;

/// Bytes of the buffer of a request, at most; what reads more reads into the buffer that all share.
pub const BUFFER: usize = 1 << 20;
/// Most requests of a worker in flight.
pub const PLACES: usize = 4096;
/// Time for which a worker waits at one port, ns, when it waits for two, or for something else meanwhile.
const GLANCE: i64 = 100_000;

/// What the requests of a worker need, made before they are handed over.
#[derive(Debug)]
pub struct Ports {
    /// A way to the kernel for each [`Interface`]; `None` where it has no requests, or where the kernel gives none.
    pub ports: [Option<Port>; 2],
    /// Number of (lane, ring) pairs, and of lanes.
    pub rings: usize,
    /// Number of lanes of the worker.
    pub lanes: usize,
    /// Bytes that a request reads at most.
    pub largest: usize,
}

/// A request in flight.
#[derive(Clone, Copy, Debug)]
struct Place<'a> {
    block: &'a Block,
    /// Number of the block, and of the op in it.
    number: u64,
    at: usize,
    /// Number in the order in which requests were handed over.
    turn: u64,
    lane: u32,
    ring: u16,
    begin: i64,
    captured: i64,
    request: Request,
    port: usize,
    /// It has been handed over a second time, to be done apart.
    apart: bool,
}

/// A result block that is not finished: how many of its ops have no stamp.
#[derive(Debug)]
struct Opened {
    left: usize,
}

/// The requests of a worker in flight, and what it has to say of them.
#[derive(Debug)]
pub struct Flight<'a> {
    ports: [Option<Port>; 2],
    /// How many are in flight at each port.
    flying: [usize; 2],
    places: Vec<Option<Place<'a>>>,
    free: Vec<u16>,
    /// Tags of requests that are queued and were not handed over.
    queued: Vec<u16>,
    memory: Pages,
    room: usize,
    /// By (lane, ring): how many were handed over and how many are done; by lane: how many are done.
    handed: Vec<i64>,
    rings: Vec<i64>,
    lanes: Vec<i64>,
    /// Requests in the order in which they were handed over, from the first that is not done: op and whether it is.
    line: VecDeque<(i64, bool)>,
    first_turn: u64,
    /// The last op that was handed over or made.
    last: i64,
    blocks: VecDeque<Opened>,
    first_block: u64,
    /// Sums over all requests, of those in flight when each was handed over, itself included: in the capture, and here.
    depths: [i64; 2],
    requests: i64,
}

impl<'a> Flight<'a> {
    /// Makes room for what these ports may have in flight; the board has this many blocks for a worker.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new(mut ports: Ports, blocks: usize) -> Result<Flight<'a>> {
        let places = ports.ports.iter().flatten().map(Port::entries).sum::<usize>().clamp(1, PLACES);
        ports.ports.iter_mut().flatten().for_each(|port| port.tags(places));
        let room = ports.largest.clamp(1, BUFFER).next_multiple_of(4096);
        Ok(Flight {
            ports: ports.ports,
            flying: [0; 2],
            places: vec![None; places],
            free: (0..places as u16).rev().collect(),
            queued: Vec::with_capacity(places),
            memory: Pages::new(places * room)?,
            room,
            handed: vec![0; ports.rings],
            rings: vec![0; ports.rings],
            lanes: vec![0; ports.lanes],
            line: VecDeque::with_capacity(4 * places),
            first_turn: 0,
            last: -1,
            blocks: VecDeque::with_capacity(blocks + 1),
            first_block: 0,
            depths: [0; 2],
            requests: 0,
        })
    }

    /// Begins the next result block, of this many ops.
    pub fn open(&mut self, board: &'a Board, worker: usize, ops: usize) -> &'a Block {
        let block = board.to_write_ahead(worker, self.blocks.len() as u32);
        self.blocks.push_back(Opened { left: ops });
        block
    }

    /// Is a request handed over by this interface?
    pub fn takes(&self, interface: Interface) -> bool {
        self.ports[interface as usize].is_some()
    }

    /// Number of requests in flight, queued ones included.
    pub fn flying(&self) -> usize {
        self.flying[0] + self.flying[1]
    }

    /// Are as many requests done as an op asks for, and all that it must follow? True too when nothing is in flight: nothing
    /// more would come.
    pub fn allows(&self, lane: u32, ask: &Ask) -> bool {
        let done = match ask.ring {
            Some((_, ring)) => self.rings[usize::from(ring)],
            None => self.lanes[lane as usize],
        };
        self.flying() == 0 || done >= ask.reaped && self.line.front().is_none_or(|(op, _)| *op > ask.settled)
    }

    /// Is there room for another request by this interface?
    pub fn room(&self, interface: Interface) -> bool {
        let port = self.ports[interface as usize].as_ref();
        let room = port.is_some_and(|port| self.flying[interface as usize] < port.entries());
        room && !self.free.is_empty() && self.line.len() < self.line.capacity()
    }

    /// Queues the request of an op, number `at` of the block that was opened last. There must be room. `reaped` is what the op
    /// asks for ([`Ask::reaped`]).
    pub fn push(
        &mut self,
        (block, at): (&'a Block, usize),
        op: &Packed,
        (interface, ring): (Interface, u16),
        reaped: i64,
        mut request: Request,
    ) {
        let Some(tag) = self.free.pop() else { return };
        let Packed { op_id, captured, lane, .. } = *op;
        self.last = op_id;
        if request.code == Code::Read && request.length as usize <= self.room {
            request.address = self.memory.start().wrapping_add(usize::from(tag) * self.room);
        }
        let port = interface as usize;
        if let Some(way) = &mut self.ports[port] {
            way.push(tag, &request, false);
        }
        let number = self.first_block + self.blocks.len() as u64 - 1;
        let turn = self.first_turn + self.line.len() as u64;
        self.line.push_back((op_id, false));
        let place = Place { block, number, at, turn, lane, ring, begin: 0, captured, request, port, apart: false };
        self.places[usize::from(tag)] = Some(place);
        self.queued.push(tag);
        self.flying[port] += 1;
        let ring = usize::from(ring);
        self.handed[ring] += 1;
        self.requests += 1;
        self.depths[0] += self.handed[ring] - reaped.clamp(0, self.handed[ring] - 1);
        self.depths[1] += self.handed[ring] - self.rings[ring];
    }

    /// Notes that a request was done as a call, and waited for.
    pub fn called(&mut self, lane: u32, ring: u16) {
        self.handed[usize::from(ring)] += 1;
        self.rings[usize::from(ring)] += 1;
        self.lanes[lane as usize] += 1;
    }

    /// Notes that an op of the block that was opened last was made as a call, and has its stamp.
    pub fn stamped(&mut self, op_id: i64) {
        self.last = op_id;
        if let Some(last) = self.blocks.back_mut() {
            last.left -= 1;
        }
    }

    /// Hands over what is queued at `now`, ns since the start of the replay.
    #[inline]
    pub fn flush(&mut self, now: impl FnOnce() -> i64) {
        if self.queued.is_empty() {
            return;
        }
        self.begun(now());
        for port in 0..2 {
            if let Some(Err(errno)) = self.ports[port].as_mut().map(Port::flush) {
                self.broken(port, errno);
            }
        }
    }

    fn begun(&mut self, now: i64) {
        for tag in self.queued.drain(..) {
            if let Some(place) = &mut self.places[usize::from(tag)] {
                place.begin = now;
            }
        }
    }

    /// Waits for a result, up to `limit` ns (`None`: without end), after it has handed over what is queued. Not at all when
    /// nothing is in flight.
    pub fn wait(&mut self, limit: Option<i64>, now: impl FnOnce() -> i64) {
        if !self.queued.is_empty() {
            self.begun(now());
        }
        let both = self.flying.iter().all(|flying| *flying > 0);
        for port in 0..2 {
            if self.flying[port] > 0 {
                let limit = if both { Some(limit.unwrap_or(GLANCE).min(GLANCE)) } else { limit };
                if let Some(Err(errno)) = self.ports[port].as_mut().map(|way| way.wait(limit)) {
                    self.broken(port, errno);
                }
            }
        }
    }

    /// Longest wait, ns, of somebody who waits for something else too.
    pub const fn glance() -> i64 {
        GLANCE
    }

    /// Takes one result that is there, stamps its op with the end `now` and returns its lane and op; `None` when there is none.
    pub fn reap(&mut self, now: &mut Option<i64>, clock: impl Fn() -> i64) -> Option<(u32, i64)> {
        for port in 0..2 {
            while self.flying[port] > 0
                && let Some((tag, ret)) = self.ports[port].as_mut().and_then(Port::pop)
            {
                if let Some(done) = self.done(tag, ret, *now.get_or_insert_with(&clock)) {
                    return Some(done);
                }
            }
        }
        None
    }

    /// A request is done; its lane and op, `None` when it has to be handed over again.
    fn done(&mut self, tag: u16, ret: i64, end: i64) -> Option<(u32, i64)> {
        let place = self.places.get_mut(usize::from(tag))?;
        let request = place.as_mut()?;
        // A file whose file system cannot try without waiting refuses a request at a descriptor with O_NONBLOCK, which the
        // replay gives all of them. A thread of the kernel can wait.
        if ret == -i64::from(libc::EAGAIN)
            && ret != request.captured
            && !request.apart
            && request.port == Interface::Uring as usize
        {
            request.apart = true;
            let again = request.request;
            if let Some(way) = &mut self.ports[Interface::Uring as usize] {
                way.push(tag, &again, true);
                let _ = way.flush();
            }
            return None;
        }
        let Place { block, number, at, turn, lane, ring, begin, port, .. } = place.take()?;
        block.stamp(at, begin, end, ret);
        self.free.push(tag);
        self.flying[port] -= 1;
        self.rings[usize::from(ring)] += 1;
        self.lanes[lane as usize] += 1;
        let in_line = self.line.get_mut((turn - self.first_turn) as usize)?;
        in_line.1 = true;
        let op = in_line.0;
        while self.line.front().is_some_and(|(_, done)| *done) {
            self.line.pop_front();
            self.first_turn += 1;
        }
        if let Some(opened) = self.blocks.get_mut((number - self.first_block) as usize) {
            opened.left -= 1;
        }
        Some((lane, op))
    }

    /// A port takes nothing any more: what is in flight there fails with this errno.
    #[cold]
    fn broken(&mut self, port: usize, errno: i32) {
        self.ports[port] = None;
        for tag in 0..self.places.len() as u16 {
            if let Some(place) = self.places[usize::from(tag)].as_mut().filter(|place| place.port == port) {
                (place.apart, place.begin) = (true, place.begin.max(0));
                let begin = place.begin;
                self.done(tag, -i64::from(errno), begin);
            }
        }
    }

    /// Removes the finished result blocks at the front; their number.
    pub fn finished(&mut self) -> usize {
        let mut count = 0;
        while self.blocks.front().is_some_and(|block| block.left == 0) {
            self.blocks.pop_front();
            self.first_block += 1;
            count += 1;
        }
        count
    }

    /// The last op up to which all of the worker are finished.
    pub fn passed(&self) -> i64 {
        self.line.front().map_or(self.last, |(op, _)| op - 1)
    }

    /// Number of requests handed over, and the sums of those in flight then: in the capture, and here.
    pub fn depths(&self) -> (i64, [i64; 2]) {
        (self.requests, self.depths)
    }
}
