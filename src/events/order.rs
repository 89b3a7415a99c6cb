//! Puts events in the order of their effects, in bounded memory.
//!
//! Lines stand in the order in which calls *returned*; events are wanted in the order in which they took *effect*. Most
//! are late by a few lines, but a read that blocked for an hour is written an hour late, so no fixed window suffices.
//!
//! Events are gathered in a window. When it is full it is sorted, repaired (see [`super::repair`]) and all of it but the
//! last eighth goes out. What goes out is in order, except for an event whose place had gone out before it came. Such stragglers go
//! to a second window, which is written as sorted *runs*. At the end:
//!
//! - no straggler: what went out is the final file, written once;
//! - else the first stream and the runs are merged into the final file.
//!
//! Every stream that may have to be merged is a Parquet file and beside it a file of its keys, 16 bytes each. When there
//! are many runs they are merged among themselves first, so a merge never has more than [`FAN_IN`] streams open.
//!
//! Sorting a window also is the moment to learn which thread belongs to which process: the fork stands before the
//! child's first event then, whatever the order of their lines was.

use super::repair::{self, Kind, Repairs, locks};
use super::write::{Sink, Stream};
use crate::event::{Col, Event};
use crate::syscall::{Op, Syscall, flag};
use anyhow::Result;
use std::collections::HashMap;

/// Streams that are merged at once.
pub const FAN_IN: usize = 8;

/// Events in the window. Of synthetic captures (`benches/ingest.rs`), twice as many cost a tenth more CPU time and eight
/// times as many a sixth more, since events leave the caches; half as many save a twentieth, a quarter makes stragglers
/// and costs half as much again.
pub const WINDOW: usize = 8 * 1024;

/// Place of an event in the order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Instant: a line number, or nanoseconds.
    pub at: i64,
    /// Input, line and room for repairs between two lines.
    pub tie: u64,
}

/// Room between the ties of two lines, half of it on either side.
const ROOM: u64 = 256;

impl Key {
    /// The key of a line of an input at an instant.
    pub fn new(at: i64, input: u64, line: u64) -> Key {
        Key { at, tie: (input << 52) | ((line.wrapping_mul(ROOM) & ((1 << 52) - 1)) + ROOM / 2) }
    }

    /// Just before this one.
    pub fn before(self) -> Key {
        Key { tie: self.tie - 1, ..self }
    }

    /// Just after this one.
    pub fn after(self) -> Key {
        Key { tie: self.tie + 1, ..self }
    }

    /// As it is stored beside a run.
    pub fn bytes(self) -> [u8; 16] {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.at.to_le_bytes());
        bytes[8..].copy_from_slice(&self.tie.to_le_bytes());
        bytes
    }

    /// The key behind [`Key::bytes`].
    pub fn from_bytes(bytes: [u8; 16]) -> Key {
        let [mut at, mut tie] = [[0; 8]; 2];
        at.copy_from_slice(&bytes[..8]);
        tie.copy_from_slice(&bytes[8..]);
        Key { at: i64::from_le_bytes(at), tie: u64::from_le_bytes(tie) }
    }
}

/// An event and its place.
#[derive(Debug)]
pub struct Placed {
    /// Its place, by default one end of its interval.
    pub key: Key,
    /// Instant of its entry, in the unit of the key.
    pub entry: i64,
    /// Instant of its return.
    pub exit: i64,
    /// Is it the end of a thread that a signal killed?
    pub killed: bool,
    /// Were its instants moved before it came here?
    pub moved: Option<Kind>,
    /// The event.
    pub event: Event,
}

impl Placed {
    /// Room for an event: what it holds means nothing yet.
    pub fn room() -> Placed {
        Placed { key: Key { at: 0, tie: 0 }, entry: 0, exit: 0, killed: false, moved: None, event: Event::new(Syscall::other) }
    }
}

/// What sorting and looking for overlaps need of an event; the event itself is too big to be moved about, or even to be
/// read, by them.
#[derive(Clone, Copy, Debug)]
pub struct Ticket {
    /// Its place.
    pub key: Key,
    /// Instant of its entry.
    pub entry: i64,
    /// Instant of its return.
    pub exit: i64,
    /// Its thread.
    pub tid: i64,
    /// Was it refused a lock?
    pub refused: bool,
    slot: u32,
    /// Is its process known?
    settled: bool,
}

/// Events in memory.
#[derive(Debug, Default)]
pub struct Window {
    slots: Vec<Placed>,
    free: Vec<u32>,
    order: Vec<Ticket>,
}

impl Window {
    /// Room for the next event: what is made here need not be moved here.
    fn room(&mut self) -> &mut Placed {
        if self.free.is_empty() {
            self.free.push(self.slots.len() as u32);
            self.slots.push(Placed::room());
        }
        &mut self.slots[self.free[self.free.len() - 1] as usize]
    }

    /// What is in the room is an event from now on.
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

    /// Number of events.
    pub fn len(&self) -> usize {
        self.order.len()
    }

    fn sort(&mut self) {
        // Stable, and fast on what is nearly sorted.
        self.order.sort_by_key(|ticket| ticket.key);
    }

    /// The tickets, sorted.
    pub fn tickets(&self) -> &[Ticket] {
        &self.order
    }

    /// The event at a place of the sorted window.
    pub fn event(&self, place: usize) -> &Event {
        &self.slots[self.order[place].slot as usize].event
    }

    /// Moves the event at a place of the sorted window; it has to be sorted again.
    pub fn shift(&mut self, place: usize, key: Key) {
        self.order[place].key = key;
    }

    /// Gives events their process, in order.
    fn settle(&mut self, groups: &mut Groups) {
        for ticket in self.order.iter_mut().filter(|ticket| !ticket.settled) {
            groups.settle(&mut self.slots[ticket.slot as usize]);
            ticket.settled = true;
        }
    }

    /// Drops the first events. Their slots are used again, from the first to the last: then a walk along the sorted
    /// window is nearly one along the memory, however often the order was shuffled a little.
    fn discard(&mut self, count: usize) {
        self.order.drain(..count);
        let mut used = vec![false; self.slots.len()];
        self.order.iter().for_each(|ticket| used[ticket.slot as usize] = true);
        self.free.clear();
        self.free.extend((0..self.slots.len() as u32).rev().filter(|slot| !used[*slot as usize]));
    }
}

/// Orders the events of one capture.
pub struct Orderer<'a> {
    sink: &'a Sink,
    room: usize,
    window: Window,
    late: Window,
    main: Stream,
    runs: Vec<Stream>,
    gone: Option<Key>,
    groups: Groups,
    /// Events that came after their place had gone out.
    pub stragglers: u64,
    /// Instants that were moved.
    pub repairs: Repairs,
}

impl<'a> Orderer<'a> {
    /// An orderer that holds `room` events, and as many stragglers.
    ///
    /// # Errors
    /// When the stream cannot be created.
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

    /// Takes the next event.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn push(&mut self, placed: Placed) -> Result<()> {
        *self.window.room() = placed;
        self.add()
    }

    /// Room for the next event, which [`Orderer::add`] takes.
    pub fn next(&mut self) -> &mut Placed {
        self.window.room()
    }

    /// Takes the event that was made in [`Orderer::next`].
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

    /// Sorts the window and lets its first events go out.
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

    /// Writes the stragglers as a run.
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

    /// Lets everything before an instant go out, and sees to it that it survives a kill.
    ///
    /// # Errors
    /// When something cannot be written.
    pub fn keep(&mut self, before: i64) -> Result<()> {
        self.window.sort();
        let old = self.window.tickets().partition_point(|ticket| ticket.key.at < before);
        self.emit(old)?;
        if self.late.len() > 0 {
            self.spill()?;
        }
        self.main.keep()
    }

    /// All events came: what remains goes out, and the streams become the final table. Returns its rows.
    ///
    /// # Errors
    /// When something cannot be written.
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

/// Which process each thread belongs to, where the capture does not say (strace).
#[derive(Debug, Default)]
struct Groups(HashMap<i64, i64>);

impl Groups {
    /// Gives the event its process, and learns from it.
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
            // A signal kills all threads of a process, and each tells of it: the leader's end is the end of the process.
            Some(Op::ExitGroup) if placed.killed && tid != pid => {
                event.syscall = Syscall::exit;
                self.0.remove(&tid);
            }
            _ => {}
        }
    }
}
