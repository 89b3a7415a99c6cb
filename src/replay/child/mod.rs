//! The inside of a replay: a process of its own that enters the sandbox and leads the processes that issue the ops.
//!
//! It gets plain descriptors (tables, shared memory, a pipe) and the directories of the tree, which are closed when the
//! sandbox stands. Everything it needs later is opened and allocated before that. Then it clones the processes of the replay: they share one table of descriptors,
//! so that a file opened by one is open in all, and have their memory for themselves. Workers whose files nobody else uses
//! leave that table ([`crate::replay::feed::private`]). It issues nothing itself: it waits
//! for them and says what became of them.

pub mod conditions;
pub mod filter;
pub mod process;
pub mod sandbox;

use crate::files::{Dir, Lock};
use crate::init::Parts;
use crate::replay::feed::edges::Edges;
use crate::replay::feed::pages::Pages;
use crate::replay::feed::plan::{self, Plan};
use crate::replay::feed::private;
use crate::replay::issue::sys::Shared;
use crate::replay::shared::board::{Board, Shape};
use crate::replay::shared::clock::now;
use crate::replay::shared::record::{self, DONE, ERROR, LOST};
use crate::replay::shared::ticks::{Clock, Mark};
use crate::replay::shared::{futex, memory};
use crate::replay::{Engine, Order, Pace, Seccomp};
use crate::{stdio, text};
use anyhow::{Context, Result, bail, ensure};
use conditions::Conditions;
use process::{Setting, exit};
use sandbox::House;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs::{File, Metadata};
use std::io::Error;
use std::mem::ManuallyDrop;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering::SeqCst;

/// First argument of a process that is to be the child.
pub const VERB: &str = "replay-child";

/// Where the supervisor puts the descriptors: the ops.
pub const OPS: i32 = 3;
/// The lanes.
pub const LANES: i32 = 4;
/// The edges, in resource order.
pub const EDGES: i32 = 5;
/// The shared memory.
pub const BOARD: i32 = 6;
/// The pipe.
pub const PIPE: i32 = 7;
/// What is to be done: a [`Task`].
pub const TASK: i32 = 8;
/// The lock of the root: it is free when the last process of the replay is gone.
pub const LOCK: i32 = 9;
/// The directories of the tree, as many as [`House::parts`] says.
pub const TREES: i32 = 10;

/// Decoded bytes of ops, and of edges, that all processes together keep.
const OPS_BUDGET: usize = 192 << 20;
const EDGES_BUDGET: usize = 64 << 20;

/// From all processes ready to the first op, ns: time to wake everybody.
const LEAD: i64 = 1_000_000;

/// What the supervisor tells the child, in a file of memory: arguments have an end (E2BIG, execve(2)), and a captured machine
/// may have had more mounts than fit.
#[derive(Debug, Serialize, Deserialize)]
pub struct Task {
    /// Process id of the supervisor.
    pub parent: u32,
    /// What issues the ops.
    pub engine: Engine,
    /// Which wait for which.
    pub order: Order,
    /// When they are issued.
    pub pace: Pace,
    /// How many times faster than captured.
    pub speed: f64,
    /// Captured time of the first op, ns.
    pub first: i64,
    /// Processes asked for.
    pub processes: usize,
    /// Workers asked for in each.
    pub threads: Option<usize>,
    /// Number of open file descriptions.
    pub ofds: usize,
    /// Seed of artificial delays.
    pub delay: Option<u64>,
    /// Is the filter of system calls installed?
    pub seccomp: Seccomp,
    /// What it lives in.
    pub house: House,
    /// What it is started under.
    #[serde(skip)]
    pub conditions: Conditions,
    /// The lock of the root, which its processes hold too.
    #[serde(skip)]
    pub lock: Option<Lock>,
    /// What is handed over from [`TREES`] on.
    #[serde(skip)]
    pub parts: Option<Arc<Parts>>,
}

impl Task {
    /// The file that tells it.
    ///
    /// # Errors
    /// When memory is short.
    pub fn tell(&self) -> Result<File> {
        let text = serde_json::to_vec(self)?;
        let file = memory::memory_file(text.len())?;
        file.write_all_at(&text, 0)?;
        Ok(file)
    }

    /// The first descriptor that is not given.
    pub fn end(&self) -> i32 {
        TREES + self.house.parts as i32
    }

    /// Where the tree is, for people.
    pub fn tree(&self) -> Option<&Path> {
        self.parts.as_ref()?.tops().next().map(Dir::path)
    }

    /// What a file tells.
    fn hear(file: &File) -> Option<Task> {
        // Whoever starts us by hand may have anything there, a terminal too.
        let told = file.metadata().ok().filter(Metadata::is_file)?;
        let mut text = vec![0; usize::try_from(told.len()).ok()?];
        file.read_exact_at(&mut text, 0).ok()?;
        serde_json::from_slice(&text).ok()
    }
}

/// Runs the child.
pub fn main() -> ExitCode {
    // SAFETY: nothing else in this process owns it, also when nobody put it there and it is not open.
    let told = ManuallyDrop::new(unsafe { File::from_raw_fd(TASK) });
    let Some(task) = Task::hear(&told) else {
        stdio::complain(format_args!("error: `{VERB}` is the inside of `ioriot replay` and not for you"));
        return ExitCode::from(2);
    };
    // SAFETY: the supervisor put these descriptors there for us, and nothing else in this process owns them.
    let [ops, lanes, edges, board, pipe, told] =
        [OPS, LANES, EDGES, BOARD, PIPE, TASK].map(|fd| unsafe { File::from_raw_fd(fd) });
    // SAFETY: as above.
    let trees = (0..task.house.parts as i32).map(|part| unsafe { OwnedFd::from_raw_fd(TREES + part) }).collect();
    drop(told);
    match lead(&task, Tables { ops, lanes, edges }, trees, board, &pipe) {
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

/// The tables of the workload, and in orders without edges whatever stands in for them.
struct Tables {
    ops: File,
    lanes: File,
    edges: File,
}

fn lead(task: &Task, tables: Tables, trees: Vec<OwnedFd>, board: File, pipe: &File) -> Result<()> {
    sandbox::die_with(task.parent)?;
    sandbox::close_from(task.end() as u32)?;
    // The workload's processes had a limit each.
    crate::limits::raise_files();
    crate::limits::keep_memory();
    memory::one_heap();

    let mark = Mark::now();
    let mut pages = Pages::open(tables.ops, task.ofds as i64, OPS_BUDGET / task.processes.max(1), task.pace)?;
    let lanes = plan::lanes(tables.lanes, pages.rows())?;
    let plan = Plan::new(&lanes, task.processes, task.threads);
    let alone = match task.engine {
        Engine::Sys => private::alone(&pages.columns(&private::COLUMNS)?, task.ofds, &plan)?,
        Engine::Null => Vec::new(),
    };
    let mut links = match task.order {
        Order::Resource => {
            let hands = plan.hands.iter().enumerate().flat_map(|(worker, hand)| hand.iter().map(move |lane| (lane, worker)));
            let workers: HashMap<i64, u32> = hands.map(|(lane, worker)| (lane.lane, worker as u32)).collect();
            let links = Edges::open(tables.edges, workers, EDGES_BUDGET / task.processes.max(1))?;
            plan::check_edges(&lanes, links.rows())?;
            Some(links)
        }
        Order::Strict | Order::Thread => None,
    };
    let board = Board::open(&board, Shape::new(plan.hands.len())).context("no memory for results")?;
    let mut shared = match task.engine {
        Engine::Null => None,
        Engine::Sys => Some(Shared::new(task.ofds, task.house.data).context("no memory for buffers")?),
    };
    if let Some(shared) = &mut shared {
        sandbox::enter(&task.house, trees)?;
        // To become another user ends the wish to die with the supervisor (prctl(2)).
        sandbox::die_with(task.parent)?;
        shared.set_root(OwnedFd::from(File::open("/").context("cannot open the tree")?));
    }

    let clock = Clock::new(task.pace, mark);
    let setting = Setting { task, board: &board, plan: &plan, alone: &alone, clock, shared: shared.as_ref(), pipe };
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

/// A copy of this process with memory of its own and the same table of descriptors (clone(2)). This thread must be the
/// only one. Returns 0 in the copy.
fn clone_process() -> std::io::Result<i32> {
    // SAFETY: without CLONE_VM this is a fork, and nobody else's locks can be held: there is one thread.
    let pid = unsafe { libc::syscall(libc::SYS_clone, libc::CLONE_FILES | libc::SIGCHLD, 0, 0, 0, 0) };
    if pid < 0 { Err(Error::last_os_error()) } else { Ok(pid as i32) }
}

/// Gives the start when all processes are ready, and waits until they have ended.
fn watch(setting: &Setting, processes: &[i32]) -> Result<()> {
    let head = setting.board.head();
    loop {
        let ready = head.ready.load(SeqCst);
        if ready as usize == processes.len() {
            break;
        }
        if let Some((pid, status)) = ended(libc::WNOHANG)? {
            let process = processes.iter().position(|process| *process == pid).unwrap_or_default();
            bail!("process {process} of the replay {} before the start", death(status));
        }
        futex::wait(&head.ready, ready, Some(10_000_000));
    }
    head.start.store(now() + LEAD, SeqCst);
    head.go.store(1, SeqCst);
    futex::wake(&head.go);
    for _ in processes {
        let Some((pid, status)) = ended(0)? else { break };
        if status == 0 {
            continue;
        }
        if libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 2 {
            // It has said why, and took the replay with it.
            exit(2);
        }
        let process = processes.iter().position(|process| *process == pid).unwrap_or_default();
        for worker in setting.plan.workers(process) {
            setting.board.slot(worker).counter.end();
        }
        head.turn.lose();
        record::send(setting.pipe, LOST, &format!("process {process} of the replay {}", death(status)))?;
    }
    Ok(())
}

/// A process that has ended, and its status (wait(2)).
fn ended(flags: i32) -> Result<Option<(i32, i32)>> {
    let mut status = 0;
    // SAFETY: status is writable.
    let pid = unsafe { libc::wait4(-1, &mut status, flags, std::ptr::null_mut()) };
    ensure!(pid >= 0, "cannot wait for the processes of the replay: {}", Error::last_os_error());
    Ok((pid > 0).then_some((pid, status)))
}

/// How a process ended.
pub fn death(status: i32) -> String {
    match (libc::WIFSIGNALED(status), libc::WEXITSTATUS(status)) {
        (true, _) => format!("was killed by signal {}", libc::WTERMSIG(status)),
        (false, code) => format!("ended early with exit code {code}"),
    }
}
