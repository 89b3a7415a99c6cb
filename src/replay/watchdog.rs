//! Detects deadlocks of a replay and calls that take long, from the supervisor, by what workers write to the board (shared
//! memory) anyhow.
//!
//! Before it sleeps, a worker notes the op it wants to issue and the op it waits for. When all workers that are not done
//! sleep for ops of each other, none of them can ever go on, and the replay is ended. A call that takes long is not that
//! case: the machine may be slow.

use super::Pace;
use crate::replay::shared::board::Board;
use crate::replay::shared::order::{TURN, Wait};
use crate::replay::shared::record::UNKNOWN;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Shortest time between two looks at the workers.
const EVERY: Duration = Duration::from_millis(250);
/// A call that takes longer than this is reported in a warning, once.
const LONG: Duration = Duration::from_secs(10);
/// Most sleeping workers that the message about a deadlock names.
const NAMED: usize = 4;

/// What the previous look saw of one worker.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The op it slept before and the op it waited for; `None` if it was awake.
    asleep: Option<(i64, Wait)>,
    /// The call it was in; `None` if it was in none.
    call: Option<Call>,
}

/// A call of a worker that had begun and not ended at a look.
#[derive(Clone, Copy, Debug)]
struct Call {
    op_id: i64,
    /// Time of the first look that saw it.
    since: Instant,
    /// Whether the warning about it was given.
    told: bool,
}

/// The watchdog: looks at all workers from time to time, and finds those that will never go on.
#[derive(Debug)]
pub struct Watchdog {
    looked: Instant,
    pace: Pace,
    seen: Vec<Seen>,
}

impl Watchdog {
    /// A watchdog for this many workers of a replay with this pace, at the moment of its start.
    pub fn new(workers: usize, pace: Pace) -> Watchdog {
        Watchdog { looked: Instant::now(), pace, seen: vec![Seen { asleep: None, call: None }; workers] }
    }

    /// Looks at all workers if the last look was at least 250 ms ago. Returns who waits for what when no worker can ever go
    /// on, else `None`.
    pub fn look(&mut self, board: &Board) -> Option<String> {
        if self.looked.elapsed() < EVERY || board.head().go.load(SeqCst) == 0 {
            return None;
        }
        self.looked = Instant::now();
        let left: Vec<usize> = (0..self.seen.len()).filter(|worker| !board.slot(*worker).counter.over()).collect();
        // One look does not prove it: while it goes from worker to worker, one may wake, issue ops and sleep again. But a
        // worker that slept before this look began and still waits for an unfinished op has not moved, and the first to move
        // must have been free before.
        let mut stuck = !left.is_empty();
        for worker in &left {
            let asleep = asleep(board, *worker);
            let seen = &mut self.seen[*worker];
            stuck &= asleep.is_some() && asleep == seen.asleep;
            seen.asleep = asleep;
            if let Some(long) = self.long(board, *worker) {
                log::warn!("{long}");
            }
        }
        stuck.then(|| self.describe(board, &left))
    }

    /// The warning about the worker's current call when it has taken longer than [`LONG`] and was not reported yet.
    fn long(&mut self, board: &Board, worker: usize) -> Option<String> {
        let seen = &mut self.seen[worker];
        // An op that waits for its turn or for its time has not begun.
        let begun = board.current(worker).filter(|op| self.pace == Pace::Asap || op.stamp.scheduled != UNKNOWN);
        let Some(op) = begun.filter(|_| board.slot(worker).counter.asleep().is_none()) else {
            seen.call = None;
            return None;
        };
        let op_id = op.fact.op_id;
        let fresh = Call { op_id, since: self.looked, told: false };
        let call = seen.call.get_or_insert(fresh);
        if call.op_id != op_id {
            *call = fresh;
        }
        if call.told || call.since.elapsed() <= LONG {
            return None;
        }
        call.told = true;
        let (name, lane) = (op.syscall().name(), op.fact.lane);
        Some(format!("op {op_id} of lane {lane}, {name}, takes more than {} s", LONG.as_secs()))
    }

    fn describe(&self, board: &Board, left: &[usize]) -> String {
        let waits = left.iter().filter_map(|worker| {
            let (op_id, wait) = self.seen[*worker].asleep?;
            let lane = board.current(*worker).map_or_else(String::new, |op| format!(" of lane {}", op.fact.lane));
            let of = if wait.worker == TURN { String::new() } else { format!(" of worker {}", wait.worker) };
            Some(format!("op {op_id}{lane} waits for op {}{of}", wait.after))
        });
        let mut text = waits.take(NAMED).collect::<Vec<_>>().join(", ");
        if left.len() > NAMED {
            text += &format!(", and {} more wait", left.len() - NAMED);
        }
        text
    }
}

/// The op a worker sleeps before and the op it waits for; `None` if it is awake, if what it waits for is finished, or if another
/// machine has it: what goes on there cannot be seen from here, and the link says when that machine is lost.
fn asleep(board: &Board, worker: usize) -> Option<(i64, Wait)> {
    board.slot(worker).counter.asleep().filter(|(op_id, wait)| match wait.worker {
        TURN => board.head().turn.waits(*op_id),
        other => (other as usize) < board.workers() && !board.slot(other as usize).counter.passed(wait.after),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::shared::board::Shape;
    use crate::replay::shared::order::{Counter, Order, Resource, Strict};
    use crate::replay::shared::record::Fact;
    use crate::syscall::Syscall;

    /// Runs a worker for each of these waits and lets the watchdog look for some time; returns what it says.
    fn watched(strict: bool, time: Duration, waits: [&[(i64, Wait)]; 2]) -> Option<String> {
        let (board, _) = Board::create(Shape { workers: 2, ghosts: 1, blocks: 4 }).unwrap();
        board.head().go.store(1, SeqCst);
        let counters: Vec<&Counter> = (0..board.slots()).map(|worker| &board.slot(worker).counter).collect();
        let mut watchdog = Watchdog::new(2, Pace::Asap);
        std::thread::scope(|scope| {
            for (worker, waits) in waits.into_iter().enumerate() {
                let (counters, board) = (&counters, &board);
                scope.spawn(move || {
                    let turn = &board.head().turn;
                    let order: &dyn Order = match strict {
                        true => &Strict { turn, counters, worker, spins: 10 },
                        false => &Resource { counters, worker, spins: 10 },
                    };
                    for (op_id, wait) in waits {
                        if !order.ready(*op_id, &[*wait]) {
                            order.wait(*op_id, &[*wait]);
                        }
                        order.pass(*op_id);
                    }
                    order.end();
                });
            }
            let began = Instant::now();
            let mut said = None;
            while said.is_none() && began.elapsed() < time {
                std::thread::sleep(Duration::from_millis(5));
                said = watchdog.look(&board);
            }
            // Workers that still wait are released.
            (0..board.slots()).for_each(|worker| board.slot(worker).end());
            board.head().turn.lose();
            said
        })
    }

    #[test]
    fn workers_that_wait_for_each_other_are_found() {
        let wait = |after, worker| Wait { after, worker, delay: 0, early: false };
        let time = Duration::from_secs(60);
        let said = watched(false, time, [&[(1, wait(0, 1))], &[(2, wait(1, 0))]]).unwrap();
        assert_eq!(said, "op 1 waits for op 0 of worker 1, op 2 waits for op 1 of worker 0");
        // Op 0 is nobody's.
        let said = watched(true, time, [&[(1, wait(0, 1))], &[(2, wait(1, 0))]]).unwrap();
        assert_eq!(said, "op 1 waits for op 0, op 2 waits for op 1");
    }

    #[test]
    fn a_worker_that_waits_for_a_ghost_is_left_alone() {
        let wait = |after, worker| Wait { after, worker, delay: 0, early: false };
        // Worker 2 is the ghost.
        assert_eq!(watched(false, EVERY * 4, [&[(1, wait(0, 2))], &[(2, wait(1, 0))]]), None);
    }

    #[test]
    fn a_call_that_takes_long_is_told_of_once() {
        let (board, _) = Board::create(Shape { workers: 1, ghosts: 0, blocks: 4 }).unwrap();
        let block = board.to_fill(0).unwrap();
        block.clear();
        block.push(&Fact { op_id: 7, lane: 3, syscall: Syscall::fsync as u8, ..Fact::default() });
        board.filled(0);
        let mut paced = Watchdog::new(1, Pace::Think);
        assert!(paced.long(&board, 0).is_none() && paced.seen[0].call.is_none(), "it is not its time yet");
        let mut watchdog = Watchdog::new(1, Pace::Asap);
        assert_eq!(watchdog.long(&board, 0), None);
        watchdog.seen[0].call.as_mut().unwrap().since = Instant::now().checked_sub(LONG * 2).unwrap();
        assert_eq!(watchdog.long(&board, 0).unwrap(), "op 7 of lane 3, fsync, takes more than 10 s");
        assert_eq!(watchdog.long(&board, 0), None);
    }

    #[test]
    fn workers_that_take_turns_are_left_alone() {
        let turns = |worker: i64| -> Vec<(i64, Wait)> {
            let wait = |op: i64| Wait { after: op - 1, worker: 1 - worker as u32, delay: 0, early: false };
            (0..20_000).filter(|op| op % 2 == worker).map(|op| (op, wait(op))).collect()
        };
        for strict in [false, true] {
            assert_eq!(watched(strict, EVERY * 4, [&turns(0), &turns(1)]), None);
        }
    }
}
