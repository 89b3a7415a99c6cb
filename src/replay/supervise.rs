//! The supervisor, the side of a replay outside the sandbox: starts the child, takes its records, compares and writes them.

use super::link::{Ended, Line, Link};
use super::watchdog::Watchdog;
use super::{Engine, Order};
use crate::capture::BlockWatch;
use crate::files;
use crate::init::Fill;
use crate::os::task_io::TaskIo;
use crate::os::user::is_root;
use crate::process::signal::{self, Signal};
use crate::progress::Progress;
use crate::replay::child::{self, Task};
use crate::replay::feed::check::Checked;
use crate::replay::feed::deal::Share;
use crate::replay::feed::plan::{self, Plan};
use crate::replay::feed::source::Source;
use crate::replay::feed::timeline::Timeline;
use crate::replay::issue::burn::Computing;
use crate::replay::machine::samples::Sampler;
use crate::replay::outcome::compare::{Outcome, compare};
use crate::replay::outcome::measure::Measures;
use crate::replay::outcome::results::Results;
use crate::replay::outcome::tally::{Did, Helpers, Replayed};
use crate::replay::shared::board::{Block, Board, Shape};
use crate::replay::shared::clock::{clock, now};
use crate::replay::shared::record::{DONE, ERROR, Frame, LOST};
use crate::schema::{Dataset, Draft, Table};
use crate::store;
use anyhow::{Context, Result, bail, ensure};
use std::fs::File;
use std::io::{Error, PipeReader, Read, pipe};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering::SeqCst;
use std::time::Duration;

/// Most bytes of text read of one frame (a message of the child through the pipe); more is an error of the sender.
const FRAME_MAX: u32 = 4096;
/// Upper bound of result blocks that a worker fills per millisecond. The supervisor's nap is computed from it, so that a
/// worker does not run out of blocks meanwhile; looking more often would only take processor time from others.
const PER_MS: usize = 128;
/// Longest time the supervisor sleeps between two looks at the board, ms; a signal is noticed within it.
const NAP: usize = 100;
/// Share of unread result blocks of the board (shared memory), 0 to 1, of the worker with most, above which the supervisor
/// does not sleep between two looks.
const BUSY: f64 = 0.25;

/// Nice value of the supervisor's thread (setpriority(2)); the workers keep 0. It runs when they leave it a processor, and
/// they wait for it when the result blocks run out.
const NICE: i32 = 5;

/// Starts the child and writes its records to the results, in a thread of its own: the child dies with the thread that
/// started it (PR_SET_PDEATHSIG), and a raised nice value cannot be lowered again.
///
/// # Errors
/// When the child cannot be started, reports an error, or dies before the start.
pub fn replay(
    checked: &Checked,
    task: &Task,
    program: &Path,
    draft: &Draft,
    measures: Measures,
    sampler: Sampler,
    (watch, line): (Watch, Option<&Line>),
) -> Result<Replayed> {
    let thread = || -> Result<Replayed> {
        let watched = (is_root() && task.engine == Engine::Sys).then(BlockWatch::begin);
        let device =
            watched.and_then(|watch| watch.inspect_err(|error| log::debug!("what devices do is not counted: {error:#}")).ok());
        let (mut supervisor, child) = begin(checked, task, program, draft, measures, sampler, (watch, line))?;
        supervisor.device = device.filter(|watch| watch.add(child.id()).is_ok());
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
    (watch, line): (Watch<'a>, Option<&Line>),
) -> Result<(Supervisor<'a>, Child)> {
    let ops = |columns: &[&str]| Source::open("ops", open(checked.workload, Table::Ops)?, columns);
    let share = Share::new(ops, task.ofds, &checked.lanes, task.part, task.processes, task.threads)?;
    let plan = share.plan.clone();
    let shape = Shape::new(plan.hands.len(), share.ghosts());
    let (board, file) = Board::create(shape).context("no memory for results")?;
    let link = line.map(|line| Link::begin(line, Board::open(&file, shape)?, share, task.pace, checked.ops)).transpose()?;
    let (pipe, child, notes) = start(checked.workload, task, program, file)?;
    let replayed = Replayed { processes: plan.processes, workers: did(&plan), notes, ..Replayed::default() };
    let books = Books { results: Results::new(draft.dir(), plan.threads), replayed, measures, watch };
    let watchdog = Watchdog::new(plan.hands.len(), task.pace);
    Ok((Supervisor { board, pipe, books, sampler, watchdog, link, device: None }, child))
}

fn did(plan: &Plan) -> Vec<Did> {
    let hands = plan.hands.iter().enumerate();
    hands.map(|(worker, hand)| Did::new(worker / plan.threads, worker, hand.len(), plan::work(hand))).collect()
}

fn open(workload: &Dataset, table: Table) -> Result<File> {
    let path = workload.table(table);
    ensure!(!store::is(&path), "{} is in a store: `ioriot copy` brings it here", workload.dir.display());
    files::open(&path).with_context(|| format!("cannot open {}: make the workload again", path.display()))
}

/// Starts the child with exactly the descriptors it needs; returns the read end of its pipe, the child, and notes on the
/// conditions that could not be met.
fn start(workload: &Dataset, task: &Task, program: &Path, board: File) -> Result<(PipeReader, Child, Vec<String>)> {
    let (ops, lanes) = (open(workload, Table::Ops)?, open(workload, Table::Lanes)?);
    let edges = match task.order {
        Order::Resource => open(workload, Table::Edges)?,
        // The child does not read edges in these orders; any descriptor fills the place.
        Order::Strict | Order::Thread => lanes.try_clone()?,
    };
    let written = match task.house.data.fill {
        Fill::Captured => open(workload, Table::Written)?,
        Fill::Zero | Fill::Noise { .. } => lanes.try_clone()?,
    };
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    // Duplicated above the numbers they are moved to, so that none is overwritten before it is moved.
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
        (high(written.as_raw_fd())?, child::WRITTEN),
        (high(board.as_raw_fd())?, child::BOARD),
        (high(writer.as_raw_fd())?, child::PIPE),
        // Without a root there is no lock; the child does not look at this descriptor then.
        (high(task.lock.as_ref().map_or(lanes.as_raw_fd(), |lock| lock.as_fd().as_raw_fd()))?, child::LOCK),
        (high(task.tell().context("no memory for the task")?.as_raw_fd())?, child::TASK),
    ];
    let trees = task.parts.iter().flat_map(|parts| {
        parts.tops().enumerate().map(|(part, top)| parts.mounted(part).map_or(top.as_fd(), AsFd::as_fd).as_raw_fd())
    });
    let trees = (child::TREES..).zip(trees).map(|(to, tree)| Ok((high(tree)?, to))).collect::<Result<Vec<_>>>()?;
    let moves: Vec<(RawFd, RawFd)> = given.iter().chain(&trees).map(|(from, to)| (from.as_raw_fd(), *to)).collect();

    let mut command = Command::new(program);
    // The path of the tree is an argument only so that it shows in lists of processes.
    command.arg(child::VERB).args(task.tree()).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    // Registered before the hook below, so that the descriptor it reports through is not yet replaced.
    let armed = task.conditions.arm(&mut command, task.ofds)?;
    // SAFETY: between fork and exec only signal and dup2 are called, which are async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            // The terminal signals the whole process group; only the supervisor reacts, and ends the replay.
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

/// State of the supervisor: the shared memory (board) and the pipe that it reads from the replaying processes, its accounts of their
/// results, the sampler of the machine and the watchdog.
struct Supervisor<'a> {
    board: Board,
    pipe: PipeReader,
    books: Books<'a>,
    sampler: Sampler,
    watchdog: Watchdog,
    /// The link to the other machines of the replay, if there are any.
    link: Option<Link>,
    /// Counts what block devices do for the replay, where it may.
    device: Option<BlockWatch>,
}

impl Supervisor<'_> {
    /// Takes records until the child ends, waits for it, and returns all that was counted and measured.
    fn run(mut self, mut child: Child, workload: &Dataset) -> Result<Replayed> {
        let (io, cpu) = (TaskIo::of_children(), clock(libc::CLOCK_THREAD_CPUTIME_ID));
        let taken = self.take(&mut child);
        let cpu = clock(libc::CLOCK_THREAD_CPUTIME_ID) - cpu;
        if taken.is_err() {
            // Its records are not read any more.
            let _ = child.kill();
        }
        let Supervisor { board, books, sampler, device, link, .. } = self;
        let Books { results, mut replayed, measures, .. } = books;
        // Before the child is waited for: then nothing is left to be read of it.
        let samples = sampler.end();
        let status = child.wait().context("cannot wait for the replay process")?;
        replayed.task_io = TaskIo::of_children().since(io);
        replayed.cached = device.as_ref().and_then(BlockWatch::cached);
        replayed.device = device.and_then(|watch| watch.counted().ok());
        let taken = taken?;
        let how = if matches!(taken, Taken::All) { Ended::Done } else { Ended::Early };
        match taken {
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
            Taken::UntilAlone(why) => {
                ensure!(board.head().go.load(SeqCst) != 0, "there is no run, since it did not start: {why}");
                replayed.lost.push(why);
            }
            Taken::UntilStuck(why) => replayed.lost.push(format!("the replay was ended, since nobody in it would go on: {why}")),
        }
        for (did, worker) in replayed.workers.iter_mut().zip(0..) {
            let spent = &board.slot(worker).spent;
            (did.waited, did.starved, did.cpu) = (spent.waited.load(SeqCst), spent.starved.load(SeqCst), spent.cpu.load(SeqCst));
            did.remote = spent.remote.load(SeqCst);
            replayed.computing.add(Computing { burnt: spent.burnt.load(SeqCst), slept: spent.slept.load(SeqCst) });
            replayed.stalls += spent.stalls.load(SeqCst);
            let depths = [&spent.depth_captured, &spent.depth_replayed].map(|sum| sum.load(SeqCst));
            replayed.requests.add(spent.requests.load(SeqCst), depths);
        }
        let refused = board.head().refused.load(SeqCst);
        replayed.requests.refused = (refused != 0).then(|| Error::from_raw_os_error(refused).to_string());
        replayed.helpers = Helpers { loaders: board.head().loaders.load(SeqCst), supervisor: cpu };
        results.finish()?;
        // The tree is whole when all machines are done.
        replayed.lost.extend(link.and_then(|mut link| link.finish(how)));
        replayed.samples = samples?;
        replayed.figures = measures.finish(workload)?;
        Ok(replayed)
    }

    /// Takes records until the replay is over; if it ends early (signal, deadlock), kills the child and takes what its
    /// processes had written.
    fn take(&mut self, child: &mut Child) -> Result<Taken> {
        let nap = (self.board.blocks() / PER_MS).clamp(1, NAP) as i32;
        let mut early = None;
        let ended = loop {
            if early.is_none() {
                let stuck = || self.watchdog.look(&self.board).map(Taken::UntilStuck);
                let alone = || self.link.as_ref().and_then(Link::stopped).map(Taken::UntilAlone);
                early = signal::asked().map(Taken::UntilAsked).or_else(alone).or_else(stuck);
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
            // Unfinished blocks left now belong to workers that have died.
            while let Some(block) = self.board.unfinished(worker) {
                self.books.enter(block, worker, self.board.head().start.load(SeqCst))?;
                self.board.read(worker);
            }
        }
        Ok(ended)
    }

    /// Starts the sampling of the machine once the first op may be issued.
    fn sample(&mut self) {
        let head = self.board.head();
        if head.go.load(SeqCst) != 0 {
            self.sampler.begin(head.start.load(SeqCst));
        }
    }

    /// Enters every result block that workers have filled so far, and frees it.
    fn read(&mut self) -> Result<()> {
        for worker in 0..self.board.workers() {
            while let Some(block) = self.board.to_read(worker) {
                self.books.enter(block, worker, self.board.head().start.load(SeqCst))?;
                self.board.read(worker);
            }
        }
        Ok(())
    }

    /// Waits up to `timeout` ms for a frame in the pipe, or its end; true when there is something to read.
    fn hears(&self, timeout: i32) -> Result<bool> {
        let mut poll = libc::pollfd { fd: self.pipe.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: poll is one pollfd, writable.
        let ret = unsafe { libc::poll(&mut poll, 1, timeout) };
        let error = Error::last_os_error();
        ensure!(ret >= 0 || error.kind() == std::io::ErrorKind::Interrupted, "cannot wait for the replay: {error}");
        Ok(ret > 0)
    }

    /// Reads one frame of the pipe. An error frame of the child becomes an error here.
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

/// Why the supervisor stopped taking records.
enum Taken {
    /// The replay finished: every record was taken.
    All,
    /// The leader (the process that clones the others) died before it said that all is done.
    UntilKilled,
    /// This signal asked the supervisor to end the replay.
    UntilAsked(Signal),
    /// Another machine of the replay was lost, or the link to all of them; the text says which.
    UntilAlone(String),
    /// The watchdog found that all remaining workers sleep for ops of each other; the text says who waits for what.
    UntilStuck(String),
}

/// What a read of the pipe gave: a frame after which the replay goes on, the frame that says it is done, or the pipe's end.
enum Heard {
    More,
    Done,
    Nothing,
}

/// Progress reports of a replay, with the captured time line from which the remaining time is estimated.
#[derive(Clone, Copy)]
pub struct Watch<'a> {
    /// Counter of ops, differences, lag and remaining time, which the command line draws.
    pub progress: &'a Progress,
    /// Captured times of the ops, from which the time left is told; empty without a pace.
    pub timeline: &'a Timeline,
}

/// Everything that takes in records: the table of results, counts, latencies and the progress.
struct Books<'a> {
    results: Results,
    replayed: Replayed,
    measures: Measures,
    watch: Watch<'a>,
}

impl Books<'_> {
    /// Compares, counts and writes the records of one result block; `start` is the start of the replay on CLOCK_MONOTONIC,
    /// ns.
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
            // Less the time since the op began: its block may be read long after it.
            progress.left(left.saturating_sub(Duration::from_nanos((now() - start - begin).max(0) as u64)));
        }
        Ok(())
    }
}
