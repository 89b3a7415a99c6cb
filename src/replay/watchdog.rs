//! Watches a replay from outside, by what its workers write to the board anyhow.
//!
//! A worker says before what it falls asleep. When all that are not done sleep for ops of each other, no time will bring any of
//! them on: then the replay is over. A call that takes long is none of that: the machine may be slow.

use super::Pace;
use crate::replay::shared::board::Board;
use crate::replay::shared::order::{TURN, Wait};
use crate::replay::shared::record::UNKNOWN;
use std::sync::atomic::Ordering::SeqCst;
use std::time::{Duration, Instant};

/// Time from one look to the next.
const EVERY: Duration = Duration::from_millis(250);
/// A call that takes longer is told of.
const LONG: Duration = Duration::from_secs(10);
/// Sleepers that a message names.
const NAMED: usize = 4;

/// What is known of a worker from the look before.
#[derive(Clone, Copy, Debug)]
struct Seen {
    /// The op before which it slept, and what for.
    asleep: Option<(i64, Wait)>,
    /// The call it had begun.
    call: Option<Call>,
}

/// A call that was under way at a look.
#[derive(Clone, Copy, Debug)]
struct Call {
    op_id: i64,
    /// The first look that saw it.
    since: Instant,
    /// Was it told of?
    told: bool,
}

/// Who watches.
#[derive(Debug)]
pub struct Watchdog {
    looked: Instant,
    pace: Pace,
    seen: Vec<Seen>,
}

impl Watchdog {
    /// Of so many workers that keep a pace.
    pub fn new(workers: usize, pace: Pace) -> Watchdog {
        Watchdog { looked: Instant::now(), pace, seen: vec![Seen { asleep: None, call: None }; workers] }
    }

    /// Looks, if the last look was long enough ago. Says who waits for what when nobody will ever go on.
    pub fn look(&mut self, board: &Board) -> Option<String> {
        if self.looked.elapsed() < EVERY || board.head().go.load(SeqCst) == 0 {
            return None;
        }
        self.looked = Instant::now();
        let left: Vec<usize> = (0..self.seen.len()).filter(|worker| !board.slot(*worker).counter.over()).collect();
        // One look does not tell: while it goes from worker to worker, somebody may wake, go on and sleep again. But who
        // slept before this look began and is still not free to go has not moved, and who moves first must be free before.
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

    /// Tells, once, of a call that takes long.
    fn long(&mut self, board: &Board, worker: usize) -> Option<String> {
        let seen = &mut self.seen[worker];
        // What has no turn or no time yet has not begun.
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

/// The op before which a worker sleeps and what for, if that is still not done.
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

    /// Workers that wait before their ops; what the watchdog says of that, for which it has so much time.
    fn watched(strict: bool, time: Duration, waits: [&[(i64, Wait)]; 2]) -> Option<String> {
        let (board, _) = Board::create(Shape { workers: 2, blocks: 4 }).unwrap();
        board.head().go.store(1, SeqCst);
        let counters: Vec<&Counter> = (0..2).map(|worker| &board.slot(worker).counter).collect();
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
            // Whoever still waits is let go.
            counters.iter().for_each(|counter| counter.end());
            board.head().turn.lose();
            said
        })
    }

    #[test]
    fn workers_that_wait_for_each_other_are_found() {
        let wait = |after, worker| Wait { after, worker };
        let time = Duration::from_secs(60);
        let said = watched(false, time, [&[(1, wait(0, 1))], &[(2, wait(1, 0))]]).unwrap();
        assert_eq!(said, "op 1 waits for op 0 of worker 1, op 2 waits for op 1 of worker 0");
        // Op 0 is nobody's.
        let said = watched(true, time, [&[(1, wait(0, 1))], &[(2, wait(1, 0))]]).unwrap();
        assert_eq!(said, "op 1 waits for op 0, op 2 waits for op 1");
    }

    #[test]
    fn a_call_that_takes_long_is_told_of_once() {
        let (board, _) = Board::create(Shape { workers: 1, blocks: 4 }).unwrap();
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
            let wait = |op: i64| Wait { after: op - 1, worker: 1 - worker as u32 };
            (0..20_000).filter(|op| op % 2 == worker).map(|op| (op, wait(op))).collect()
        };
        for strict in [false, true] {
            assert_eq!(watched(strict, EVERY * 4, [&turns(0), &turns(1)]), None);
        }
    }
}
