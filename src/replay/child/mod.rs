//! The child of a replay: a process of its own that enters the sandbox and then, as the leader, clones the processes that
//! issue the ops.
//!
//! It gets plain descriptors (tables, shared memory, a pipe) and the directories of the tree, which are closed once it is in
//! the sandbox. Everything it needs later is opened and allocated before that. Then it clones the processes of the replay:
//! they share one table of descriptors, so that a file opened by one is open in all, and have separate memory. Workers whose
//! files nobody else uses leave that table (`feed/private.rs`). The leader issues nothing itself: it waits for
//! the others and reports how they ended.

pub mod conditions;
pub mod filter;
pub mod process;
pub mod sandbox;

use crate::files::{Dir, Lock};
use crate::init::{Fill, Parts};
use crate::process::stdio;
use crate::replay::feed::deal::{Part, Share};
use crate::replay::feed::edges::Edges;
use crate::replay::feed::pages::Pages;
use crate::replay::feed::plan;
use crate::replay::feed::{private, rings};
use crate::replay::issue::contents::Contents;
use crate::replay::issue::sys::Shared;
use crate::replay::shared::board::{Board, Shape};
use crate::replay::shared::clock::now;
use crate::replay::shared::groups::Groups;
use crate::replay::shared::record::{self, DONE, ERROR, LOST};
use crate::replay::shared::ticks::{Clock, Mark};
use crate::replay::shared::{futex, memory};
use crate::replay::{Async, Engine, Order, Pace, Seccomp};
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use conditions::Conditions;
use process::{Setting, exit};
use sandbox::House;
use serde::{Deserialize, Serialize};
use std::fs::{File, Metadata};
use std::io::Error;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// First argument by which this program is started as the child of a replay.
pub const VERB: &str = "replay-child";

/// Descriptor number at which the child gets the workload's table of ops.
pub const OPS: i32 = 3;
/// Descriptor number at which the child gets the table of lanes.
pub const LANES: i32 = 4;
/// Descriptor number at which the child gets the table of edges; it is read in resource order only.
pub const EDGES: i32 = 5;
/// Descriptor number at which the child gets the board, the memory shared with the supervisor.
pub const BOARD: i32 = 6;
/// Descriptor number at which the child gets the pipe to the supervisor.
pub const PIPE: i32 = 7;
/// Descriptor number at which the child gets its [`Task`], in a memfd.
pub const TASK: i32 = 8;
/// Descriptor number at which the child gets the lock of the root: it is released when the last process of the replay has
/// ended.
pub const LOCK: i32 = 9;
/// Descriptor number at which the child gets the table that says what content is written; it is read with such data only.
pub const WRITTEN: i32 = 10;
/// First of the descriptor numbers at which the child gets the directories of the tree, as many as [`House::parts`] says.
pub const TREES: i32 = 11;

/// Most decoded bytes of the table of ops that all processes together keep.
const OPS_BUDGET: usize = 192 << 20;
/// Most decoded bytes of the table of edges that all processes together keep.
const EDGES_BUDGET: usize = 64 << 20;

/// Time from the moment all processes are ready to the start of the replay, ns: enough to wake everybody.
const LEAD: i64 = 1_000_000;

/// Who says when a replay begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Start {
    /// Its own leader.
    Own,
    /// The coordinator, also where there is no other machine.
    Agreed,
}

/// What the supervisor tells the child to do, as JSON in a memfd: arguments are limited (E2BIG, execve(2)), and a captured
/// machine may have had more mounts than fit.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// Process id of the supervisor.
    pub parent: u32,
    /// What issues the ops: real syscalls or nothing.
    pub engine: Engine,
    /// Which earlier ops an op waits for.
    pub order: Order,
    /// How the issue times of ops are chosen.
    pub pace: Pace,
    /// Factor by which captured times are divided, e.g. 2 for twice as fast.
    pub speed: f64,
    /// Factor by which the processor time of the captured threads is multiplied.
    pub compute_scale: f64,
    /// How many workers may compute at a time; `None` for any number.
    pub computing: Option<i32>,
    /// Captured start of the first op, ns.
    pub first: i64,
    /// Captured time from there to the end of the last op, ns; 0 without a pace.
    pub span: i64,
    /// Which part of the workload is replayed here.
    pub part: Part,
    /// Who says when it begins.
    pub start: Start,
    /// Number of processes asked for; the plan may use fewer.
    pub processes: usize,
    /// Number of workers asked for in each process; `None` for the default.
    pub threads: Option<usize>,
    /// Number of open file descriptions of the workload.
    pub ofds: usize,
    /// Seed of artificial delays before ops; `None` for no delays.
    pub delay: Option<u64>,
    /// How requests are issued.
    pub asynchrony: Async,
    /// Files whose syncs are regrouped, by number in ascending order.
    pub grouped: Vec<i64>,
    /// Whether the seccomp filter is installed.
    pub seccomp: Seccomp,
    /// The sandbox to be entered: directories, mount points, user, data.
    pub house: House,
    /// Conditions under which the child is started; not sent to it.
    #[serde(skip)]
    pub conditions: Conditions,
    /// The lock of the root, handed over as a descriptor so that all processes of the replay hold it; `None` with engine
    /// `null`.
    #[serde(skip)]
    pub lock: Option<Lock>,
    /// The parts of the tree, whose directories are handed over as descriptors from [`TREES`] on; `None` with engine `null`.
    #[serde(skip)]
    pub parts: Option<Arc<Parts>>,
}

impl Task {
    /// Writes the task to a memfd for the child.
    ///
    /// # Errors
    /// When memory is short.
    pub fn tell(&self) -> Result<File> {
        let text = serde_json::to_vec(self)?;
        let file = memory::memory_file(text.len())?;
        file.write_all_at(&text, 0)?;
        Ok(file)
    }

    /// The descriptor number after the last one that the child is given.
    pub fn end(&self) -> i32 {
        TREES + self.house.parts as i32
    }

    /// Directory of the tree, shown in the child's arguments for people; `None` with engine `null`.
    pub fn tree(&self) -> Option<&Path> {
        self.parts.as_ref()?.tops().next().map(Dir::path)
    }

    /// Reads the task from a file; `None` when it holds none.
    fn hear(file: &File) -> Option<Task> {
        // When a user starts the child by hand, anything may be open there, even a terminal.
        let told = file.metadata().ok().filter(Metadata::is_file)?;
        let mut text = vec![0; usize::try_from(told.len()).ok()?];
        file.read_exact_at(&mut text, 0).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Entry point of the child: reads the task, runs the replay, and reports an error through the pipe.
pub fn main() -> ExitCode {
    // SAFETY: nothing else in this process owns it, also when nobody put it there and it is not open.
    let told = ManuallyDrop::new(unsafe { File::from_raw_fd(TASK) });
    let Some(task) = Task::hear(&told) else {
        stdio::complain(format_args!("error: `{VERB}` is the inside of `ioriot replay` and not for you"));
        return ExitCode::from(2);
    };
    // SAFETY: the supervisor put these descriptors there for us, and nothing else in this process owns them.
    let [ops, lanes, edges, board, pipe, told, written] =
        [OPS, LANES, EDGES, BOARD, PIPE, TASK, WRITTEN].map(|fd| unsafe { File::from_raw_fd(fd) });
    // SAFETY: as above.
    let trees = (0..task.house.parts as i32).map(|part| unsafe { OwnedFd::from_raw_fd(TREES + part) }).collect();
    drop(told);
    match lead(&task, Tables { ops, lanes, edges, written }, trees, board, &pipe) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            if record::send(&pipe, ERROR, &text).is_err() {
                stdio::complain(format_args!("error: {}", text::shown(&text)));
            }
            ExitCode::from(2)
        }
    }
}

/// The tables of the workload that the child reads; in orders without edges, `edges` is a placeholder, and `written` one with other
/// data than captured.
struct Tables {
    ops: File,
    lanes: File,
    edges: File,
    written: File,
}

/// The leader: prepares everything, enters the sandbox, clones the processes and waits for them.
fn lead(task: &Task, tables: Tables, trees: Vec<OwnedFd>, board: File, pipe: &File) -> Result<()> {
    sandbox::die_with(task.parent)?;
    sandbox::close_from(task.end() as u32)?;
    // One replay process opens the files of many captured ones, each of which had a limit of its own.
    crate::limits::raise_files();
    crate::limits::keep_memory();
    memory::one_heap();

    let mark = Mark::now();
    let mut pages = Pages::open(tables.ops, task.ofds as i64, OPS_BUDGET / task.processes.max(1), task.pace, &task.grouped)?;
    let lanes = plan::lanes(tables.lanes, pages.rows())?;
    let share = Share::new(|columns| pages.columns(columns), task.ofds, &lanes, task.part, task.processes, task.threads)?;
    let plan = &share.plan;
    let alone = match task.engine {
        Engine::Sys => private::alone(&pages.columns(&private::COLUMNS)?, task.ofds, plan)?,
        Engine::Null => Vec::new(),
    };
    let wants = match (task.asynchrony, task.engine, task.order) {
        (Async::Native, Engine::Sys, Order::Resource) => rings::wants(&pages.columns(&rings::COLUMNS)?, plan)?,
        _ => Vec::new(),
    };
    let mut links = match task.order {
        Order::Resource => {
            let links = Edges::open(tables.edges, share.workers.clone(), EDGES_BUDGET / task.processes.max(1), task.pace)?;
            plan::check_edges(&lanes, links.rows())?;
            Some(links)
        }
        Order::Strict | Order::Thread => None,
    };
    let board = Board::open(&board, Shape::new(plan.hands.len(), share.ghosts())).context("no memory for results")?;
    let groups = match task.grouped.len() {
        0 => None,
        files => Some(Groups::new(files).context("no memory for the files whose syncs are regrouped")?),
    };
    let mut shared = match task.engine {
        Engine::Null => None,
        Engine::Sys => {
            let contents = match task.house.data.fill {
                Fill::Captured => Some(Contents::read(tables.written, task.house.data.seed)?),
                Fill::Zero | Fill::Noise { .. } => None,
            };
            Some(Shared::new(task.ofds, task.house.data, contents).context("no memory for buffers")?)
        }
    };
    if let Some(shared) = &mut shared {
        sandbox::enter(&task.house, trees)?;
        // A change of user clears PR_SET_PDEATHSIG (prctl(2)), so it is set again.
        sandbox::die_with(task.parent)?;
        shared.set_root(OwnedFd::from(File::open("/").context("cannot open the tree")?));
    }

    let clock = Clock::new(task.pace, mark);
    let (alone, wants) = (&alone, &wants);
    let setting =
        Setting { task, board: &board, plan, alone, wants, clock, shared: shared.as_ref(), groups: groups.as_ref(), pipe };
    let mut processes = Vec::new();
    for process in 0..plan.processes {
        let leader = std::process::id();
        match clone_process().context("cannot clone a process of the replay")? {
            0 => {
                if let Err(error) = sandbox::die_with(leader) {
                    setting.give_up(&error);
                }
                setting.run(process, &mut pages, links.as_mut())
            }
            pid => processes.push(pid),
        }
    }
    if task.seccomp == Seccomp::On {
        filter::install(&[libc::SYS_wait4])?;
    }
    watch(&setting, &processes)?;
    record::send(pipe, DONE, "").context("the supervisor is gone")
}

/// Clones this process, with separate memory and the same table of descriptors (clone(2)). This thread must be the only one.
/// Returns the process id, 0 in the clone.
fn clone_process() -> std::io::Result<i32> {
    // SAFETY: without CLONE_VM this is a fork, and nobody else's locks can be held: there is one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_FILES | libc::SIGCHLD, 0, 0, 0, 0) };
    if pid < 0 { Err(Error::last_os_error()) } else { Ok(pid as i32) }
}

/// Starts the replay when all processes are ready, and waits until they have ended; reports those that were killed.
fn watch(setting: &Setting, processes: &[i32]) -> Result<()> {
    let head = setting.board.head();
    loop {
        let ready = head.ready.load(SeqCst);
        if ready as usize == processes.len() {
            break;
        }
        all_live(processes)?;
        futex::wait(&head.ready, ready, Some(10_000_000));
    }
    let start = match setting.task.start {
        Start::Own => now() + LEAD,
        Start::Agreed => agreed(setting, processes)?,
    };
    head.start.store(start, SeqCst);
    head.go.store(1, SeqCst);
    futex::wake(&head.go);
    for _ in processes {
        let Some((pid, status)) = ended(0)? else { break };
        if status == 0 {
            continue;
        }
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 2 {
            // It has reported its error, which ends the whole replay.
            exit(2);
        }
        let process = processes.iter().position(|process| *process == pid).unwrap_or_default();
        for worker in setting.plan.workers(process) {
            setting.board.slot(worker).end();
        }
        head.turn.lose();
        record::send(setting.pipe, LOST, &format!("process {process} of the replay {}", death(status)))?;
    }
    Ok(())
}

/// Gives up when one of the processes of the replay has ended, before the start.
fn all_live(processes: &[i32]) -> Result<()> {
    if let Some((pid, status)) = ended(libc::WNOHANG)? {
        let process = processes.iter().position(|process| *process == pid).unwrap_or_default();
        bail!("process {process} of the replay {} before the start", death(status));
    }
    Ok(())
}

/// Waits until all machines have agreed on the start; returns its time on CLOCK_MONOTONIC, ns. The supervisor ends the replay when
/// they never do.
fn agreed(setting: &Setting, processes: &[i32]) -> Result<i64> {
    let head = setting.board.head();
    while head.agreed.load(SeqCst) == 0 {
        all_live(processes)?;
        futex::wait(&head.agreed, 0, Some(10_000_000));
    }
    Ok(head.agreed_start.load(SeqCst))
}

/// Waits for a process to end: its id and status (wait(2)); `None` with WNOHANG when none has.
fn ended(flags: i32) -> Result<Option<(i32, i32)>> {
    let mut status = 0;
    // SAFETY: status is writable.
    let pid = unsafe { libc::wait4(-1, &mut status, flags, std::ptr::null_mut()) };
    ensure!(pid >= 0, "cannot wait for the processes of the replay: {}", Error::last_os_error());
    Ok((pid > 0).then_some((pid, status)))
}

/// How a process ended, by its wait status, for people.
pub fn death(status: i32) -> String {
    match (libc::WIFSIGNALED(status), libc::WEXITSTATUS(status)) {
        (true, _) => format!("was killed by signal {}", libc::WTERMSIG(status)),
        (false, code) => format!("ended early with exit code {code}"),
    }
}
