//! Sorts the events of a capture into the order of their effects, in bounded memory.
//!
//! Lines stand in the order in which calls *returned*; events are stored in the order in which they took *effect*. Most
//! are late by a few lines, but a read that blocked for an hour is written an hour late, so no fixed window suffices.
//!
//! Events are gathered in a window. When it is full it is sorted and repaired (see [`super::repair`]), and all of it
//! but the last eighth is written out. What is written is in order, except for an event that came after later ones had
//! been written. Such stragglers go to a second window, which is written as sorted *runs*. At the end:
//!
//! - no straggler: the main stream is the final file, written once;
//! - else the main stream and the runs are merged into the final file.
//!
//! Every stream that may have to be merged is a Parquet file with a file of its sort keys beside it, 16 bytes each.
//! When there are many runs they are merged among themselves first, so a merge never has more than [`FAN_IN`] streams
//! open.
//!
//! Sorting a window is also when it is learned which thread belongs to which process: now the fork stands before the
//! child's first event, whatever the order of their lines was.

use super::repair::{self, Kind, Repairs, locks};
use super::write::{Sink, Stream};
use crate::event::{Col, Event};
use crate::syscall::{Op, Syscall, flag};
use anyhow::Result;
use std::collections::HashMap;

/// Number of runs of stragglers that are merged into one as soon as there are so many.
pub const FAN_IN: usize = 8;

/// Events that the ordering window holds by default. For synthetic captures (`benches/ingest.rs`), twice as many cost a
/// tenth more CPU time and eight times as many a sixth more, since events leave the caches; half as many save a
/// twentieth, a quarter makes stragglers and costs half as much again.
pub const WINDOW: usize = 8 * 1024;

/// Sort key of an event: its place in the order of effects.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Instant at which the event takes effect: a line number (one strace log), or a time in ns.
    pub at: i64,
    /// Tie breaker at equal instants: number of the input and line in it, with room for repairs between two lines.
    pub tie: u64,
}

/// Distance between the ties of two consecutive lines: half of it is room for events that repairs move before or after
/// a line.
const ROOM: u64 = 256;

impl Key {
    /// The key of a line (by number) of an input (by number) at an instant.
    pub fn new(at: i64, input: u64, line: u64) -> Key {
        Key { at, tie: (input << 52) | ((line.wrapping_mul(ROOM) & ((1 << 52) - 1)) + ROOM / 2) }
    }

    /// The key just before this one, for an event that a repair puts there.
    pub fn before(self) -> Key {
        Key { tie: self.tie - 1, ..self }
    }

    /// The key just after this one, for an event that a repair puts there.
    pub fn after(self) -> Key {
        Key { tie: self.tie + 1, ..self }
    }

    /// The key as 16 bytes, as in the file of keys beside a stream.
    pub fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.at.to_le_bytes());
        bytes[8..].copy_from_slice(&self.tie.to_le_bytes());
        bytes
    }

    /// The key that [`Key::bytes`] encoded.
    pub fn from_bytes(bytes: [u8; 16]) -> Key {
        let [mut at, mut tie] = [[0; 8]; 2];
        at.copy_from_slice(&bytes[..8]);
        tie.copy_from_slice(&bytes[8..]);
        Key { at: i64::from_le_bytes(at), tie: u64::from_le_bytes(tie) }
    }
}

/// An event with its place in the order, and the interval in which it may have taken effect.
#[derive(Debug)]
pub struct Placed {
    /// Its place in the order: the entry or the return of the call, as the syscall table says, unless it was repaired.
    pub key: Key,
    /// Instant at which the call was entered, in the unit of [`Key::at`].
    pub entry: i64,
    /// Instant at which the call returned, in the unit of [`Key::at`].
    pub exit: i64,
    /// Is it the end of a thread that a signal killed, so that no exit call was seen?
    pub killed: bool,
    /// The repair by which its instants were moved before it was ordered, if any.
    pub moved: Option<Kind>,
    /// The captured event.
    pub event: Event,
}

impl Placed {
    /// An empty slot for an event, to be filled: its values mean nothing.
    pub fn room() -> Placed {
        Placed { key: Key { at: 0, tie: 0 }, entry: 0, exit: 0, killed: false, moved: None, event: Event::new(Syscall::other) }
    }
}

/// The few values of an event that sorting and looking for overlaps need. The event itself is too large to be moved
/// about, or even read, by them.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// The event's place in the order.
    pub key: Key,
    /// Instant at which the call was entered, in the unit of [`Key::at`].
    pub entry: i64,
    /// Instant at which the call returned, in the unit of [`Key::at`].
    pub exit: i64,
    /// Captured id of the thread that made the call.
    pub tid: i64,
    /// Is it a call that was refused a lock (EAGAIN or EACCES)?
    pub refused: bool,
    slot: u32,
    /// Is the process (`pid`) of the event known?
    settled: bool,
}

/// Events held in memory to be sorted: slots that stay where they are, and a list of [`Ticket`]s that is sorted.
#[derive(Debug, Default)]
pub struct Window {
    slots: Vec<Placed>,
    free: Vec<u32>,
    order: Vec<Ticket>,
}

impl Window {
    /// The slot for the next event, which is filled in place so that it need not be moved.
    fn room(&mut self) -> &mut Placed {
        if self.free.is_empty() {
            self.free.push(self.slots.len() as u32);
            self.slots.push(Placed::room());
        }
        &mut self.slots[self.free[self.free.len() - 1] as usize]
    }

    /// Makes an event of what is in the slot that [`Window::room`] gave.
    fn add(&mut self) {
        let Some(slot) = self.free.pop() else { return };
        let Placed { key, entry, exit, event, .. } = &self.slots[slot as usize];
        let (tid, settled) = (event.int(Col::Tid).unwrap_or_default(), event.int(Col::Pid).is_some());
        let refused = locks::refused(event);
        self.order.push(Ticket { key: *key, entry: *entry, exit: *exit, tid, refused, slot, settled });
    }

    fn push(&mut self, placed: Placed) {
        *self.room() = placed;
        self.add();
    }

    /// Number of events in the window.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    fn sort(&mut self) {
        // Stable, and fast on nearly sorted input.
        self.order.sort_by_key(|ticket| ticket.key);
    }

    /// The tickets of the events; in order after a sort.
    pub fn tickets(&self) -> &[Ticket] {
        &self.order
    }

    /// The event at this place (index) of the sorted window.
    pub fn event(&self, place: usize) -> &Event {
        &self.slots[self.order[place].slot as usize].event
    }

    /// Gives the event at this place a new key; the window must be sorted again.
    pub fn shift(&mut self, place: usize, key: Key) {
        self.order[place].key = key;
    }

    /// Sets the process (`pid`) of events that lack it, in order.
    fn settle(&mut self, groups: &mut Groups) {
        for ticket in self.order.iter_mut().filter(|ticket| !ticket.settled) {
            groups.settle(&mut self.slots[ticket.slot as usize]);
            ticket.settled = true;
        }
    }

    /// Drops the first events. Their slots are used again from the lowest on: then a walk along the sorted window is
    /// nearly a walk along the memory, however often the order was shuffled a little.
    fn discard(&mut self, count: usize) {
        self.order.drain(..count);
        let mut used = vec![false; self.slots.len()];
        self.order.iter().for_each(|ticket| used[ticket.slot as usize] = true);
        self.free.clear();
        self.free.extend((0..self.slots.len() as u32).rev().filter(|slot| !used[*slot as usize]));
    }
}

/// Sorts the events of one capture into the order of their effects and writes them.
pub struct Orderer<'a> {
    sink: &'a Sink,
    room: usize,
    window: Window,
    late: Window,
    main: Stream,
    runs: Vec<Stream>,
    gone: Option<Key>,
    groups: Groups,
    /// Number of events that came after later events had been written; they are merged in at the end.
    pub stragglers: u64,
    /// Number of events whose instants were moved, by kind of repair.
    pub repairs: Repairs,
}

impl<'a> Orderer<'a> {
    /// An orderer with a window for `room` events (at least 8), and one for as many stragglers.
    ///
    /// # Errors
    /// When the main stream cannot be created.
    pub fn new(sink: &'a Sink, room: usize) -> Result<Orderer<'a>> {
        Ok(Orderer {
            sink,
            room: room.max(8),
            window: Window::default(),
            late: Window::default(),
            main: sink.main()?,
            runs: Vec::new(),
            gone: None,
            groups: Groups::default(),
            stragglers: 0,
            repairs: Repairs::default(),
        })
    }

    /// Takes the next event; when the window is full its first events are written.
    ///
    /// # Errors
    /// When events cannot be written.
    pub fn push(&mut self, placed: Placed) -> Result<()> {
        *self.window.room() = placed;
        self.add()
    }

    /// The slot for the next event, to be filled before [`Orderer::add`].
    pub fn next(&mut self) -> &mut Placed {
        self.window.room()
    }

    /// Takes the event that was filled in by way of [`Orderer::next`].
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn add(&mut self) -> Result<()> {
        let next = self.window.room();
        if let Some(kind) = next.moved {
            *self.repairs.entry(kind.name()).or_default() += 1;
        }
        if self.gone.is_some_and(|gone| next.key < gone) {
            let mut placed = std::mem::replace(next, Placed::room());
            self.stragglers += 1;
            self.groups.settle(&mut placed);
            self.late.push(placed);
            return if self.late.len() >= self.room { self.spill() } else { Ok(()) };
        }
        self.window.add();
        if self.window.len() >= self.room { self.emit(self.room - self.room / 8) } else { Ok(()) }
    }

    /// Sorts and repairs the window, and writes its first `count` events to the main stream.
    fn emit(&mut self, count: usize) -> Result<()> {
        self.window.sort();
        self.window.settle(&mut self.groups);
        if repair::run(&mut self.window, self.gone, &mut self.repairs) {
            self.window.sort();
        }
        if count > 0 {
            self.gone = Some(self.window.tickets()[count - 1].key);
            self.main.write(&self.window, count)?;
            self.window.discard(count);
        }
        Ok(())
    }

    /// Sorts the stragglers and writes them as a run.
    fn spill(&mut self) -> Result<()> {
        self.late.sort();
        let mut run = self.sink.run()?;
        let count = self.late.len();
        run.write(&self.late, count)?;
        self.late.discard(count);
        run.close()?;
        self.runs.push(run);
        if self.runs.len() >= FAN_IN {
            let merged = self.sink.merge(std::mem::take(&mut self.runs))?;
            self.runs.push(merged);
        }
        Ok(())
    }

    /// Writes all events before an instant, and makes what has been written survive a kill of this process.
    ///
    /// # Errors
    /// When events cannot be written.
    pub fn keep(&mut self, before: i64) -> Result<()> {
        self.window.sort();
        let old = self.window.tickets().partition_point(|ticket| ticket.key.at < before);
        self.emit(old)?;
        if self.late.len() > 0 {
            self.spill()?;
        }
        self.main.keep()
    }

    /// Writes the remaining events and makes the final table of the streams. Returns its number of rows, the number of
    /// stragglers, and the repairs.
    ///
    /// # Errors
    /// When events cannot be written.
    pub fn finish(mut self) -> Result<(u64, u64, Repairs)> {
        self.emit(self.window.len())?;
        if self.late.len() > 0 {
            self.spill()?;
        }
        self.main.close()?;
        let rows = self.sink.finish(self.main, self.runs)?;
        Ok((rows, self.stragglers, self.repairs))
    }
}

/// Which process each thread belongs to (thread id to process id), where the capture does not say it (strace).
#[derive(Debug, Default)]
struct Groups(HashMap<i64, i64>);

impl Groups {
    /// Sets the event's process, and learns from forks and exits.
    fn settle(&mut self, placed: &mut Placed) {
        let event = &mut placed.event;
        let Some(tid) = event.int(Col::Tid) else { return };
        if event.int(Col::Pid).is_some() {
            return;
        }
        let pid = self.0.get(&tid).copied().unwrap_or(tid);
        event.set(Col::Pid, pid);
        match event.syscall.op() {
            Some(Op::Fork) => {
                if let Some(child) = event.success().filter(|child| *child > 0) {
                    if event.int(Col::Flags).is_some_and(|flags| flags & flag::CLONE_THREAD != 0) {
                        self.0.insert(child, pid);
                    } else {
                        self.0.remove(&child);
                    }
                }
            }
            Some(Op::Exit) => {
                self.0.remove(&tid);
            }
            // A signal kills all threads of a process, and each is logged as killed: only the leader's end is the end
            // of the process.
            Some(Op::ExitGroup) if placed.killed && tid != pid => {
                event.syscall = Syscall::exit;
                self.0.remove(&tid);
            }
            _ => {}
        }
    }
}
