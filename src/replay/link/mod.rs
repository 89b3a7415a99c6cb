//! The link of a replay that is a part of one on several machines: says how far the own workers are, and moves the counters of the
//! ghosts.
//!
//! ```text
//! workers --counters on the board--> sender  --frames-->  coordinator (hub)  --frames-->  receivers of the other machines
//! receiver --start, counters of ghosts--> board
//! ```
//! Both are threads of the supervisor. Workers do not know of them: a ghost is a counter like any other. So the way of a remote wait
//! is as long as the sender takes to look, and the frame to come; a worker that nobody waits for loses nothing.

pub mod frame;
pub mod hub;

use crate::process::signal;
use crate::replay::Pace;
use crate::replay::feed::deal::{Part, Share};
use crate::replay::issue::pace::Sleeper;
use crate::replay::shared::board::Board;
use crate::replay::shared::clock::now;
use crate::replay::shared::futex;
use crate::replay::shared::record::UNKNOWN;
use anyhow::{Context, Result, ensure};
use frame::{BYTES, Frame};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::SeqCst;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::{Builder, JoinHandle};
use std::time::Duration;

/// Shortest and longest time between two looks of the sender at the counters, ns.
const NAPS: [i64; 2] = [40_000, 400_000];
/// For so long after something was sent or heard the sender looks again soon, ns: ops of machines that wait for each other come one
/// after the other.
const BUSY: i64 = 2_000_000;
/// Longest time from now to the agreed start.
const AHEAD: i64 = 60_000_000_000;
/// Value of a counter that is past every op, and of a time that nobody knows.
const OVER: i64 = i64::MAX;

/// What a machine is to the root of a replay on several machines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It holds the lock of the root, marks it as used, and compares the tree with the end state.
    Leads,
    /// It works in the root that another machine has checked and locked.
    Follows,
}

/// The way from a part of a replay to its coordinator.
#[derive(Debug)]
pub struct Line {
    /// Which part of the workload is replayed here.
    pub part: Part,
    /// What this machine is to the root.
    pub role: Role,
    /// Names of all machines, for messages.
    pub names: Vec<String>,
    /// Frames go in and out here.
    pub stream: UnixStream,
}

/// What both threads and the supervisor know of each other.
#[derive(Debug, Default)]
struct State {
    /// Why the replay is to stop.
    stop: Option<String>,
    /// All machines are done.
    finished: bool,
    /// The link is being closed: what ends is no news.
    closing: bool,
}

#[derive(Debug, Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
    /// Number of frames that were heard, on which the sender sleeps (futex).
    heard: AtomicU32,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stop(&self, why: String) {
        let mut state = self.state();
        if !state.closing && !state.finished {
            state.stop.get_or_insert(why);
        }
        self.changed.notify_all();
    }
}

/// The link of a replay, at work.
#[derive(Debug)]
pub struct Link {
    stream: UnixStream,
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

/// How the own part ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// All of its ops are done, or their processes have died.
    Done,
    /// It was ended early.
    Early,
}

impl Link {
    /// Begins to say how far the workers of this board are, and to hear of the others; `ops` is the number of ops of the workload.
    ///
    /// # Errors
    /// When no thread can be started.
    pub fn begin(line: &Line, board: Board, share: Share, pace: Pace, ops: u64) -> Result<Link> {
        let (board, shared) = (Arc::new(board), Arc::new(Shared::default()));
        let stream = || line.stream.try_clone().context("no descriptor for the link");
        let ops = i64::try_from(ops).unwrap_or(i64::MAX);
        let sender = Sender { board: Arc::clone(&board), stream: stream()?, processes: share.plan.processes, pace };
        let receiver = Receiver { board, share, stream: stream()?, names: line.names.clone(), ops };
        let mut link = Link { stream: stream()?, shared, threads: Vec::new() };
        link.thread("link sender", move |shared| sender.run(shared))?;
        link.thread("link receiver", move |shared| receiver.run(shared))?;
        Ok(link)
    }

    fn thread(&mut self, name: &str, run: impl FnOnce(&Shared) -> Result<()> + Send + 'static) -> Result<()> {
        let shared = Arc::clone(&self.shared);
        let run = move || {
            if let Err(error) = run(&shared) {
                shared.stop(format!("{error:#}"));
            }
        };
        self.threads.push(Builder::new().name(name.into()).spawn(run).context("cannot start a thread for the link")?);
        Ok(())
    }

    /// Why the replay is to stop; `None` while it may go on.
    pub fn stopped(&self) -> Option<String> {
        self.shared.state().stop.clone()
    }

    /// Says how the own part ended and, where that is well, waits until all others are done. Returns why that will never be.
    pub fn finish(&mut self, how: Ended) -> Option<String> {
        if how == Ended::Early {
            // Nobody may be there any more.
            let _ = self.stream.write_all(&Frame::Failed.bytes());
            return None;
        }
        let mut state = self.shared.state();
        loop {
            let asked = signal::asked().map(|signal| format!("{} ended the replay", signal.name()));
            if state.finished || state.stop.is_some() || asked.is_some() {
                return if state.finished { None } else { state.stop.clone().or(asked) };
            }
            state = self.shared.changed.wait_timeout(state, Duration::from_millis(100)).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        // Both threads find the stream at its end.
        let _ = self.stream.shutdown(Shutdown::Both);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The thread that says how far the own workers are.
struct Sender {
    board: Arc<Board>,
    stream: UnixStream,
    processes: usize,
    pace: Pace,
}

impl Sender {
    fn run(mut self, shared: &Shared) -> Result<()> {
        let gone = "the coordinator of the replay is gone";
        while self.board.head().ready.load(SeqCst) as usize != self.processes {
            if shared.state().closing {
                return Ok(());
            }
            std::thread::sleep(Duration::from_nanos(NAPS[1] as u64));
        }
        Sleeper::exact();
        self.stream.write_all(&Frame::Ready.bytes()).context(gone)?;
        let mut sent = vec![0; self.board.workers()];
        let mut bytes = Vec::with_capacity(sent.len() * BYTES);
        let (mut nap, mut busy, mut heard) = (NAPS[0], now(), 0);
        while sent.iter().any(|next| *next != OVER) {
            self.look(&mut sent, &mut bytes);
            if !bytes.is_empty() {
                self.stream.write_all(&bytes).context(gone)?;
            } else if shared.state().closing {
                return Ok(());
            }
            let news = shared.heard.load(SeqCst);
            if !bytes.is_empty() || news != heard {
                (busy, heard) = (now(), news);
            }
            nap = if now() - busy < BUSY { NAPS[0] } else { (nap * 2).min(NAPS[1]) };
            // A frame that comes ends the nap: what it lets go is soon done.
            futex::wait(&shared.heard, news, Some(nap));
        }
        self.stream.write_all(&Frame::Done.bytes()).context(gone)
    }

    /// Makes frames of the counters that have moved since they were sent.
    fn look(&self, sent: &mut [i64], bytes: &mut Vec<u8>) {
        bytes.clear();
        for (worker, sent) in sent.iter_mut().enumerate() {
            let slot = self.board.slot(worker);
            let next = slot.counter.next();
            if next == *sent {
                continue;
            }
            let end = if self.pace == Pace::App { slot.ends.of(next.wrapping_sub(1)).unwrap_or(UNKNOWN) } else { UNKNOWN };
            bytes.extend(Frame::Counter { machine: 0, worker: worker as u32, next, end }.bytes());
            *sent = next;
        }
    }
}

/// The thread that hears of the other machines. What they say is checked: it comes from outside.
struct Receiver {
    board: Arc<Board>,
    share: Share,
    stream: UnixStream,
    names: Vec<String>,
    ops: i64,
}

impl Receiver {
    fn run(mut self, shared: &Shared) -> Result<()> {
        let mut bytes = [0; BYTES];
        loop {
            self.stream.read_exact(&mut bytes).context("the coordinator of the replay is gone")?;
            shared.heard.fetch_add(1, SeqCst);
            futex::wake(&shared.heard);
            match Frame::parse(&bytes)? {
                Frame::Start { at } => self.start(at)?,
                Frame::Counter { machine, worker, next, end } => self.counter(machine as usize, worker as usize, next, end)?,
                Frame::Lost { machine } => {
                    shared.stop(match self.names.get(machine as usize) {
                        Some(name) => format!("{name} was lost, or its replay ended early"),
                        None => "the coordinator ended the replay".into(),
                    });
                }
                Frame::Finish => {
                    shared.state().finished = true;
                    shared.changed.notify_all();
                }
                frame @ (Frame::Ready | Frame::Done | Frame::Failed) => {
                    anyhow::bail!("{frame:?} is nothing for a machine to hear")
                }
            }
        }
    }

    fn start(&self, at: i64) -> Result<()> {
        let head = self.board.head();
        let ahead = at.saturating_sub(now());
        ensure!(head.agreed.load(SeqCst) == 0 && ahead < AHEAD, "the start was given twice, or {ahead} ns ahead");
        ensure!(ahead > 0, "the start came {} ns too late", ahead.saturating_neg());
        head.agreed_start.store(at, SeqCst);
        head.agreed.store(1, SeqCst);
        futex::wake(&head.agreed);
        Ok(())
    }

    fn counter(&self, machine: usize, worker: usize, next: i64, end: i64) -> Result<()> {
        let ghost = self.share.ghost(machine, worker).filter(|_| next == OVER || (0..=self.ops).contains(&next));
        let ghost = ghost.with_context(|| format!("worker {worker} of machine {machine} cannot be at op {next}"))?;
        let slot = self.board.slot(ghost);
        let before = slot.counter.next();
        ensure!(next > before, "worker {worker} of machine {machine} went from op {before} to {next}");
        if end != UNKNOWN && next != OVER {
            slot.ends.note_all(before, next, end);
        }
        match next {
            OVER => slot.counter.end(),
            next => slot.counter.advance(next),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::feed::plan::Lane;
    use crate::replay::shared::board::Shape;
    use std::time::Instant;

    /// A machine with one worker, another one with two, and what the coordinator says to the first.
    fn told(frames: &[Frame]) -> (Board, Link, UnixStream) {
        let lane = |lane| Lane { lane, vpid: lane, ops: 5, ..Lane::default() };
        let share = Share::of(&[vec![lane(0)], vec![lane(1), lane(2)]], 0, 1, None);
        let shape = Shape::new(1, share.ghosts());
        let (board, file) = Board::create(shape).unwrap();
        let (mut ours, stream) = UnixStream::pair().unwrap();
        let names = vec!["here".into(), "there".into()];
        let line = Line { part: Part { number: 0, of: 2 }, role: Role::Leads, names, stream };
        let link = Link::begin(&line, Board::open(&file, shape).unwrap(), share, Pace::App, 15).unwrap();
        frames.iter().for_each(|frame| ours.write_all(&frame.bytes()).unwrap());
        (board, link, ours)
    }

    fn until(what: impl Fn() -> bool) {
        let began = Instant::now();
        while !what() {
            assert!(began.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    fn counter(machine: u32, worker: u32, next: i64) -> Frame {
        Frame::Counter { machine, worker, next, end: next.saturating_mul(10) }
    }

    #[test]
    fn ghosts_move_by_what_is_heard_and_workers_are_told_of() {
        let (board, mut link, mut heard) = told(&[counter(1, 0, 3), counter(1, 1, 4), counter(1, 1, i64::MAX)]);
        until(|| board.slot(2).counter.over());
        assert!(board.slot(1).counter.passed(2) && !board.slot(1).counter.passed(3));
        assert_eq!((board.slot(1).ends.of(2), board.slot(2).ends.of(3)), (Some(30), Some(40)));
        // The own worker is ready, goes on, and is done.
        board.head().ready.store(1, SeqCst);
        let mut next = || {
            let mut bytes = [0; BYTES];
            heard.read_exact(&mut bytes).unwrap();
            Frame::parse(&bytes).unwrap()
        };
        assert_eq!(next(), Frame::Ready);
        board.slot(0).ends.note(6, 77);
        board.slot(0).counter.advance(7);
        assert_eq!(next(), Frame::Counter { machine: 0, worker: 0, next: 7, end: 77 });
        board.slot(0).counter.end();
        assert_eq!(next(), Frame::Counter { machine: 0, worker: 0, next: i64::MAX, end: UNKNOWN });
        assert_eq!((next(), link.stopped()), (Frame::Done, None));
        heard.write_all(&Frame::Finish.bytes()).unwrap();
        assert_eq!(link.finish(Ended::Done), None);
        // Who is gone after that is no news.
        drop(heard);
        assert_eq!(link.stopped(), None);
    }

    #[test]
    fn what_cannot_be_ends_the_replay() {
        let start = |ahead: i64| Frame::Start { at: now() + ahead };
        let soon = 5_000_000_000;
        for (frames, says) in [
            (vec![counter(0, 0, 3)], "worker 0 of machine 0 cannot be at op 3"),
            (vec![counter(1, 2, 3)], "worker 2 of machine 1 cannot"),
            (vec![counter(7, 0, 3)], "worker 0 of machine 7 cannot"),
            (vec![counter(1, 0, 16)], "at op 16"),
            (vec![counter(1, 0, -1)], "at op -1"),
            (vec![counter(1, 0, 3), counter(1, 0, 3)], "went from op 3 to 3"),
            (vec![start(soon), start(soon)], "given twice"),
            (vec![start(-1)], "too late"),
            (vec![start(AHEAD * 2)], "ns ahead"),
            (vec![Frame::Ready], "nothing for a machine to hear"),
            (vec![Frame::Lost { machine: 1 }], "there was lost"),
            (vec![Frame::Lost { machine: u32::MAX }], "the coordinator ended"),
        ] {
            let (_board, mut link, _ours) = told(&frames);
            until(|| link.stopped().is_some());
            let why = link.stopped().unwrap();
            assert!(why.contains(says), "{frames:?}: {why}");
            assert_eq!(link.finish(Ended::Done), Some(why));
        }
        let (_board, link, ours) = told(&[]);
        drop(ours);
        until(|| link.stopped().is_some());
    }
}
