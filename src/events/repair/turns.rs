//! Calls of one thread come one after the other. Text that says otherwise was written by a clock that was set, or by one for
//! each processor: then a write may seem to come before its open.
//!
//! A call that begins before its thread's call on an earlier line had returned is begun later: the order of lines is right
//! there, and a time is wrong. A call that was over before that one began may be one whose line was written late (tracers keep
//! a buffer for each processor, and empty one after the other): its time is believed, but of strace, which writes the lines of
//! a thread in turn. Both are counted.

use super::Kind;
use crate::event::Col;
use crate::events::order::Placed;
use crate::syscall::Op;
use std::collections::HashMap;

/// How a tracer writes its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Lines {
    /// Those of a thread in the order of its calls.
    InTurn,
    /// By way of a buffer for each processor.
    Buffered,
}

/// When the last call of each thread began and returned, in the order of lines.
#[derive(Debug, Default)]
pub struct Turns(HashMap<i64, (i64, i64)>);

impl Turns {
    /// The next line's call of its thread: moves its instants, if they overlap.
    pub fn take(&mut self, placed: &mut Placed, lines: Lines) {
        let event = &mut placed.event;
        // Requests and page faults are no calls: they go on while their thread does something else.
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

    /// A thread has ended: its number may come again.
    pub fn end(&mut self, tid: i64) {
        self.0.remove(&tid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Event;
    use crate::syscall::Syscall;

    /// How the last of these calls of one thread, each with its begin and end, was moved.
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

    /// A number may come again, and requests go on while their thread does something else.
    #[test]
    fn what_is_no_call_of_this_thread_may_overlap() {
        let read = (Syscall::read, 5, 20);
        assert_eq!(last(&[(Syscall::exit_group, 0, 10), read], Lines::Buffered), (None, 5, 20));
        assert_eq!(last(&[(Syscall::aio_pread, 0, 10), read], Lines::Buffered), (None, 5, 20));
        assert_eq!(last(&[(Syscall::read, 0, 10), (Syscall::uring_read, 5, 20)], Lines::Buffered), (None, 5, 20));
    }
}
