//! Sees to it that the calls of one thread follow each other. A text in which they overlap was written with a clock
//! that was set, or with one clock per processor: a write may then seem to come before its open.
//!
//! Where a call begins before the call on an earlier line of its thread returned, its start is moved to that return:
//! the order of lines is right, and a time is wrong. Where it even ended before that one began, its line may have been
//! written late (tracers keep a buffer per processor, and empty one after the other): its time is believed, except for
//! strace, which writes the lines of a thread in order. Both cases are counted.

use super::Kind;
use crate::event::Col;
use crate::events::order::Placed;
use crate::syscall::Op;
use std::collections::HashMap;

/// In which order a tracer writes the lines of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// In the order of the thread's calls (strace).
    InTurn,
    /// By way of a buffer per processor, so that lines of a thread may come out of order.
    Buffered,
}

/// For each thread (by id) when its last call began and returned, in the order of lines.
#[derive(Debug, Default)]
pub struct Turns(HashMap<i64, (i64, i64)>);

impl Turns {
    /// Takes the call on the next line: moves its instants if it overlaps the last call of its thread.
    pub fn take(&mut self, placed: &mut Placed, lines: Lines) {
        let event = &mut placed.event;
        // Requests (libaio, io_uring) and page faults are no calls: they go on while their thread does something else.
        let Some(tid) = event.int(Col::Tid).filter(|_| event.syscall.is_call()) else { return };
        if let Some((began, returned)) = self.0.get(&tid).copied().filter(|(_, returned)| placed.entry < *returned) {
            let late = lines == Lines::Buffered && placed.exit <= began;
            placed.moved = Some(if late { Kind::Late } else { Kind::Overlap });
            if !late {
                let by = returned.saturating_sub(placed.entry);
                (placed.entry, placed.exit) = (returned, placed.exit.max(returned));
                if let Some(ts) = event.int(Col::Ts) {
                    event.set(Col::Ts, ts.saturating_add(by));
                    event.set(Col::Dur, placed.exit.saturating_sub(placed.entry));
                }
            }
        }
        match placed.event.syscall.op() {
            Some(Op::Exit | Op::ExitGroup) => self.end(tid),
            _ => drop(self.0.insert(tid, (placed.entry, placed.exit))),
        }
    }

    /// Forgets a thread that has ended: its id may be used again.
    pub fn end(&mut self, tid: i64) {
        self.0.remove(&tid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::syscall::Syscall;

    /// How the last of these calls of one thread, each with its entry and return, was moved, and its entry and return
    /// afterwards.
    fn last(calls: &[(Syscall, i64, i64)], lines: Lines) -> (Option<Kind>, i64, i64) {
        let mut turns = Turns::default();
        let mut moved = (None, 0, 0);
        for (syscall, entry, exit) in calls {
            let mut event = Event::new(*syscall);
            event.set(Col::Tid, 7);
            let mut placed = Placed { entry: *entry, exit: *exit, event, ..Placed::room() };
            turns.take(&mut placed, lines);
            moved = (placed.moved, placed.entry, placed.exit);
        }
        moved
    }

    #[test]
    fn a_call_begins_behind_its_threads_last() {
        let read = |entry, exit| (Syscall::read, entry, exit);
        assert_eq!(last(&[read(0, 10), read(10, 20)], Lines::Buffered), (None, 10, 20));
        assert_eq!(last(&[read(0, 10), read(5, 20)], Lines::Buffered), (Some(Kind::Overlap), 10, 20));
        assert_eq!(last(&[read(0, 10), read(3, 6)], Lines::Buffered), (Some(Kind::Overlap), 10, 10));
        assert_eq!(last(&[read(10, 20), read(0, 10)], Lines::Buffered), (Some(Kind::Late), 0, 10));
        assert_eq!(last(&[read(10, 20), read(0, 10)], Lines::InTurn), (Some(Kind::Overlap), 20, 20));
        assert_eq!(
            last(&[read(i64::MIN, i64::MAX), read(i64::MIN, i64::MAX)], Lines::Buffered),
            (Some(Kind::Overlap), i64::MAX, i64::MAX)
        );
    }

    /// A thread id may be used again, and requests go on while their thread does something else.
    #[test]
    fn what_is_no_call_of_this_thread_may_overlap() {
        let read = (Syscall::read, 5, 20);
        assert_eq!(last(&[(Syscall::exit_group, 0, 10), read], Lines::Buffered), (None, 5, 20));
        assert_eq!(last(&[(Syscall::aio_pread, 0, 10), read], Lines::Buffered), (None, 5, 20));
        assert_eq!(last(&[(Syscall::read, 0, 10), (Syscall::uring_read, 5, 20)], Lines::Buffered), (None, 5, 20));
    }
}
