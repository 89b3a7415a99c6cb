//! The outside of a replay: starts the child, takes its records, compares and writes them.

use super::Order;
use super::watchdog::Watchdog;
use crate::files;
use crate::progress::Progress;
use crate::replay::child::{self, Task};
use crate::replay::feed::check::Checked;
use crate::replay::feed::plan::{self, Plan};
use crate::replay::feed::timeline::Timeline;
use crate::replay::machine::samples::Sampler;
use crate::replay::outcome::compare::{Outcome, compare};
use crate::replay::outcome::measure::Measures;
use crate::replay::outcome::results::Results;
use crate::replay::outcome::tally::{Did, Helpers, Replayed};
use crate::replay::shared::board::{Block, Board, Shape};
use crate::replay::shared::clock::{clock, now};
use crate::replay::shared::record::{DONE, ERROR, Frame, LOST};
use crate::schema::{Dataset, Draft, Table};
use crate::signal::{self, Signal};
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Error, PipeReader, Read, pipe};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Bytes of text in a frame at most; more is nonsense.
const FRAME_MAX: u32 = 4096;
/// Sheets that a worker fills in a millisecond at the very most: so long the supervisor may nap that the worker does not
/// come to the end of them. To look more often would only take a processor from somebody.
const PER_MS: usize = 128;
/// The longest nap, ms: so soon a signal is heard.
const NAP: usize = 100;
/// Share of the blocks from which there is no time to nap.
const BUSY: f64 = 0.25;

/// How much nicer the supervisor is than the workers (setpriority(2)): it writes when they leave it the processor, or when
/// its blocks run out.
const NICE: i32 = 5;

/// Starts the child and takes its records to the results, in a thread of its own: the child dies with the thread that
/// started it, and being nice is for ever.
///
/// # Errors
/// When the child cannot be started, gives up, or dies before the start.
pub fn replay(
    checked: &Checked,
    task: &Task,
    program: &Path,
    draft: &Draft,
    measures: Measures,
    sampler: Sampler,
    watch: Watch,
) -> Result<Replayed> {
    let thread = || -> Result<Replayed> {
        let (supervisor, child) = begin(checked, task, program, draft, measures, sampler, watch)?;
        // SAFETY: plain numbers; 0 is the calling thread. When it is not allowed, nothing is lost.
        unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) };
        supervisor.run(child, checked.workload)
    };
    let joined = std::thread::scope(|scope| scope.spawn(thread).join());
    joined.unwrap_or_else(|_| bail!("the supervisor of the replay panicked"))
}

fn begin<'a>(
    checked: &Checked,
    task: &Task,
    program: &Path,
    draft: &Draft,
    measures: Measures,
    sampler: Sampler,
    watch: Watch<'a>,
) -> Result<(Supervisor<'a>, Child)> {
    let plan = Plan::new(&checked.lanes, task.processes, task.threads);
    let (board, file) = Board::create(Shape::new(plan.hands.len())).context("no memory for results")?;
    let (pipe, child, notes) = start(checked.workload, task, program, file)?;
    let replayed = Replayed { processes: plan.processes, workers: did(&plan), notes, ..Replayed::default() };
    let books = Books { results: Results::new(draft.dir(), plan.threads), replayed, measures, watch };
    let watchdog = Watchdog::new(plan.hands.len(), task.pace);
    Ok((Supervisor { board, pipe, books, sampler, watchdog }, child))
}

fn did(plan: &Plan) -> Vec<Did> {
    let hands = plan.hands.iter().enumerate();
    hands.map(|(worker, hand)| Did::new(worker / plan.threads, worker, hand.len(), plan::work(hand))).collect()
}

fn open(workload: &Dataset, table: Table) -> Result<File> {
    let path = workload.table(table);
    files::open(&path).with_context(|| format!("cannot open {}: make the workload again", path.display()))
}

/// Starts the child with the descriptors it gets and nothing else; says which conditions it could not get.
fn start(workload: &Dataset, task: &Task, program: &Path, board: File) -> Result<(PipeReader, Child, Vec<String>)> {
    let (ops, lanes) = (open(workload, Table::Ops)?, open(workload, Table::Lanes)?);
    let edges = match task.order {
        Order::Resource => open(workload, Table::Edges)?,
        // Nobody reads it.
        Order::Strict | Order::Thread => lanes.try_clone()?,
    };
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    // Above the places they go to, so that none is overwritten before it is moved.
    let high = |fd: RawFd| -> Result<OwnedFd> {
        // SAFETY: fd is open; the copy is owned by the OwnedFd alone.
        unsafe {
            let copy = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, task.end());
            ensure!(copy >= 0, "cannot duplicate a descriptor: {}", Error::last_os_error());
            Ok(OwnedFd::from_raw_fd(copy))
        }
    };
    let given = [
        (high(ops.as_raw_fd())?, child::OPS),
        (high(lanes.as_raw_fd())?, child::LANES),
        (high(edges.as_raw_fd())?, child::EDGES),
        (high(board.as_raw_fd())?, child::BOARD),
        (high(writer.as_raw_fd())?, child::PIPE),
        // Without a root there is none, and nobody looks at it.
        (high(task.lock.as_ref().map_or(lanes.as_raw_fd(), |lock| lock.as_fd().as_raw_fd()))?, child::LOCK),
        (high(task.tell().context("no memory for the task")?.as_raw_fd())?, child::TASK),
    ];
    let trees = (child::TREES..).zip(task.parts.iter().flat_map(|parts| parts.tops()));
    let trees = trees.map(|(to, top)| Ok((high(top.as_fd().as_raw_fd())?, to))).collect::<Result<Vec<_>>>()?;
    let moves: Vec<(RawFd, RawFd)> = given.iter().chain(&trees).map(|(from, to)| (from.as_raw_fd(), *to)).collect();

    let mut command = Command::new(program);
    // The tree is for whoever looks at the list of processes.
    command.arg(child::VERB).args(task.tree()).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    // First, so that the descriptor it tells by is not yet replaced.
    let armed = task.conditions.arm(&mut command, task.ofds)?;
    // SAFETY: between fork and exec only signal and dup2 are called, which are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            // The terminal sends them to all of a job, and it is this process that ends the replay.
            Signal::ignore_all();
            for (from, to) in &moves {
                if libc::dup2(*from, *to) < 0 {
                    return Err(Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let child = command.spawn().with_context(|| format!("cannot start {} as the replay process", program.display()))?;
    drop(command);
    Ok((reader, child, armed.notes()?))
}

/// Reads what the processes of the replay write.
struct Supervisor<'a> {
    board: Board,
    pipe: PipeReader,
    books: Books<'a>,
    sampler: Sampler,
    watchdog: Watchdog,
}

impl Supervisor<'_> {
    /// Takes everything that the child does.
    fn run(mut self, mut child: Child, workload: &Dataset) -> Result<Replayed> {
        let cpu = clock(libc::CLOCK_THREAD_CPUTIME_ID);
        let taken = self.take(&mut child);
        let cpu = clock(libc::CLOCK_THREAD_CPUTIME_ID) - cpu;
        if taken.is_err() {
            // Nobody reads its records any more.
            let _ = child.kill();
        }
        let Supervisor { board, books, sampler, .. } = self;
        let Books { results, mut replayed, measures, .. } = books;
        // Before the child is waited for: then nothing is left to be read of it.
        let samples = sampler.end();
        let status = child.wait().context("cannot wait for the replay process")?;
        match taken? {
            Taken::All => {}
            Taken::UntilAsked(signal) => {
                ensure!(board.head().go.load(SeqCst) != 0, "ended by {} before the start: there is no run", signal.name());
                replayed.lost.push(format!("{} ended the replay", signal.name()));
                replayed.signal = Some(signal);
            }
            Taken::UntilKilled => {
                let death = child::death(status.into_raw());
                ensure!(board.head().go.load(SeqCst) != 0, "the replay process {death} before the start: there is no run");
                replayed.lost.push(format!("the process that leads the replay {death}, and all others with it"));
            }
            Taken::UntilStuck(why) => replayed.lost.push(format!("the replay was ended, since nobody in it would go on: {why}")),
        }
        for (did, worker) in replayed.workers.iter_mut().zip(0..) {
            let spent = &board.slot(worker).spent;
            (did.waited, did.starved, did.cpu) = (spent.waited.load(SeqCst), spent.starved.load(SeqCst), spent.cpu.load(SeqCst));
            replayed.stalls += spent.stalls.load(SeqCst);
        }
        replayed.helpers = Helpers { loaders: board.head().loaders.load(SeqCst), supervisor: cpu };
        results.finish()?;
        replayed.samples = samples?;
        replayed.figures = measures.finish(workload)?;
        Ok(replayed)
    }

    /// Takes records until the replay is over, and every process of it gone if it ended early.
    fn take(&mut self, child: &mut Child) -> Result<Taken> {
        let nap = (self.board.blocks() / PER_MS).clamp(1, NAP) as i32;
        let mut early = None;
        let ended = loop {
            if early.is_none() {
                let stuck = || self.watchdog.look(&self.board).map(Taken::UntilStuck);
                early = signal::asked().map(Taken::UntilAsked).or_else(stuck);
                if early.is_some() {
                    child.kill().context("cannot end the replay")?;
                }
            }
            self.sample();
            let busy = self.board.load() > BUSY;
            self.read()?;
            self.books.results.tick()?;
            if self.hears(if busy { 0 } else { nap })? {
                match self.listen()? {
                    Heard::More => {}
                    Heard::Done => break Taken::All,
                    Heard::Nothing => break early.unwrap_or(Taken::UntilKilled),
                }
            }
        };
        self.sample();
        self.read()?;
        for worker in 0..self.board.workers() {
            // What is left is of workers that are gone.
            while let Some(block) = self.board.unfinished(worker) {
                self.books.enter(block, worker, self.board.head().start.load(SeqCst))?;
                self.board.read(worker);
            }
        }
        Ok(ended)
    }

    /// Begins to sample with the first op.
    fn sample(&mut self) {
        let head = self.board.head();
        if head.go.load(SeqCst) != 0 {
            self.sampler.begin(head.start.load(SeqCst));
        }
    }

    /// Takes what is there.
    fn read(&mut self) -> Result<()> {
        for worker in 0..self.board.workers() {
            while let Some(block) = self.board.to_read(worker) {
                self.books.enter(block, worker, self.board.head().start.load(SeqCst))?;
                self.board.read(worker);
            }
        }
        Ok(())
    }

    /// Waits so many milliseconds for a frame to come.
    fn hears(&self, timeout: i32) -> Result<bool> {
        let mut poll = libc::pollfd { fd: self.pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: poll is one pollfd, writable.
        let ret = unsafe { libc::poll(&mut poll, 1, timeout) };
        let error = Error::last_os_error();
        ensure!(ret >= 0 || error.kind() == std::io::ErrorKind::Interrupted, "cannot wait for the replay: {error}");
        Ok(ret > 0)
    }

    fn listen(&mut self) -> Result<Heard> {
        // A pipe cut in the middle of a frame is a child that died, not an error of ours.
        let Ok(Some(frame)) = Frame::read(&mut self.pipe) else { return Ok(Heard::Nothing) };
        let mut text = Vec::new();
        (&mut self.pipe).take(u64::from(frame.count.min(FRAME_MAX))).read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(&text).into_owned();
        match frame.kind {
            DONE => return Ok(Heard::Done),
            LOST => self.books.replayed.lost.push(text),
            ERROR => bail!(text),
            other => bail!("the replay process sent a frame of kind {other}, which there is not"),
        }
        Ok(Heard::More)
    }
}

/// How far records were taken.
enum Taken {
    /// To the last one.
    All,
    /// Until the process that leads the replay was killed.
    UntilKilled,
    /// Until a signal asked to end.
    UntilAsked(Signal),
    /// Until nobody would go on: who waits for what.
    UntilStuck(String),
}

enum Heard {
    More,
    Done,
    Nothing,
}

/// Who is told how far the replay is, and by what.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Who is told.
    pub progress: &'a Progress,
    /// What a pace goes by.
    pub timeline: &'a Timeline,
}

/// Where records are entered.
struct Books<'a> {
    results: Results,
    replayed: Replayed,
    measures: Measures,
    watch: Watch<'a>,
}

impl Books<'_> {
    /// Enters the records of a block.
    fn enter(&mut self, block: &Block, worker: usize, start: i64) -> Result<()> {
        let (mut ops, mut different, mut lag, mut last) = (0, 0, None, None);
        for record in block.records(worker as u32) {
            let (outcome, kind) = compare(&record);
            self.replayed.add(&record, outcome, kind);
            self.measures.add(&record);
            self.results.push(&record, outcome, kind)?;
            ops += 1;
            different += u64::from(outcome == Outcome::Different);
            lag = record.lag().or(lag);
            last = Some((record.fact.op_id, record.stamp.begin));
        }
        let Watch { progress, timeline } = self.watch;
        progress.add(ops);
        progress.differ(different);
        if let Some(lag) = lag {
            progress.behind(lag);
        }
        if let Some((op_id, begin)) = last
            && let Some(left) = timeline.left(op_id)
        {
            // The block may have come long after the op.
            progress.left(left.saturating_sub(Duration::from_nanos((now() - start - begin).max(0) as u64)));
        }
        Ok(())
    }
}
