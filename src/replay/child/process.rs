//! One process of a replay: starts its workers and its loader, and installs the seccomp filter over all of them.

use super::Task;
use super::{filter, sandbox};
use crate::process::stdio;
use crate::replay::feed::edges::Edges;
use crate::replay::feed::load::Loader;
use crate::replay::feed::pages::Pages;
use crate::replay::feed::plan::Plan;
use crate::replay::feed::rings::Wants;
use crate::replay::issue::engine::{Delayed, Issue, Null};
use crate::replay::issue::pace::{Pacer, Scale, Sleeper};
use crate::replay::issue::regroup::Regroup;
use crate::replay::issue::request::flight::{Flight, PLACES, Ports};
use crate::replay::issue::request::port::Port;
use crate::replay::issue::sys::{Shared, Sys};
use crate::replay::issue::worker::Worker;
use crate::replay::shared::board::Board;
use crate::replay::shared::call::Feed;
use crate::replay::shared::clock::clock;
use crate::replay::shared::futex;
use crate::replay::shared::groups::Groups;
use crate::replay::shared::order::{self, Counter, Free, Regrouped, Resource, Strict};
use crate::replay::shared::record::{self, ERROR, LOST};
use crate::replay::shared::ticks::Clock;
use crate::replay::{Order, Pace, Seccomp};
use crate::syscall::Interface;
use crate::text;
use anyhow::{Context, Result, anyhow};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Barrier;
use std::sync::atomic::Ordering::*;
use std::thread::{Builder, Scope};

/// What the leader has prepared for every process of the replay.
pub struct Setting<'a> {
    /// What the supervisor told the child to do.
    pub task: &'a Task,
    /// The board: memory shared by all processes and the supervisor.
    pub board: &'a Board,
    /// Which worker runs which lanes (captured threads), and in which process.
    pub plan: &'a Plan,
    /// For each worker, whether no other worker uses its open file descriptions; empty with engine `null`.
    pub alone: &'a [bool],
    /// For each worker, what it needs to hand requests over; `None` for one that makes calls only.
    pub wants: &'a [Option<Wants>],
    /// The clock by which calls are timed.
    pub clock: Clock,
    /// Buffers and the table of descriptors; `None` with engine `null`.
    pub shared: Option<&'a Shared>,
    /// Files whose syncs are regrouped; `None` to issue all as captured.
    pub groups: Option<&'a Groups>,
    /// Write end of the pipe to the supervisor.
    pub pipe: &'a File,
}

impl Setting<'_> {
    /// Tells the supervisor that the replay cannot go on, and ends the process with all its threads. The leader ends the
    /// other processes.
    pub fn give_up(&self, error: &anyhow::Error) -> ! {
        let text = format!("{error:#}");
        if record::send(self.pipe, ERROR, &text).is_err() {
            stdio::complain(format_args!("error: {}", text::shown(&text)));
        }
        exit(2)
    }

    /// Runs the workers of a process until they are done. Never returns: what was copied into this process with the leader's
    /// memory must not be cleaned up twice.
    pub fn run(&self, process: usize, pages: &mut Pages, links: Option<&mut Edges>) -> ! {
        let scale = match self.task.pace {
            Pace::Asap => None,
            pace @ (Pace::Realtime | Pace::Think | Pace::App) => {
                let Task { first, span, speed, compute_scale: compute, .. } = *self.task;
                Some(Scale { pace, first, span, speed, compute })
            }
        };
        let workers = self.plan.workers(process);
        self.board.populate(workers.clone());
        let (loader, feeds) = Loader::new(self.board, pages, links, scale, workers, &self.plan.hands, self.wants);
        let seed = self.task.delay;
        let worked = match self.shared {
            None => self.stage(feeds, loader, |_| Ok(Delayed { engine: Null, seed })),
            Some(shared) => self.stage(feeds, loader, |worker| {
                sandbox::own_directory().context("no sandbox: no working directory of one's own")?;
                if self.alone[worker] {
                    sandbox::own_files().context("no table of descriptors of one's own")?;
                }
                let engine = Sys::new(shared).context("no memory for buffers")?;
                let groups = self.groups.map(|groups| (groups, self.board));
                Ok(Delayed { engine: Regroup { engine, groups, worker }, seed })
            }),
        };
        match worked {
            Ok(()) => exit(0),
            Err(error) => self.give_up(&error),
        }
    }

    /// Starts every thread, installs the seccomp filter on all of them, and waits until they end; `make` makes the engine of
    /// a worker.
    fn stage<E: Issue>(&self, feeds: Vec<Feed>, mut loader: Loader, make: impl Fn(usize) -> Result<E> + Sync) -> Result<()> {
        // All workers, the loader and this thread.
        let ready = Barrier::new(feeds.len() + 2);
        let counters: Vec<&Counter> = (0..self.board.slots()).map(|worker| &self.board.slot(worker).counter).collect();
        std::thread::scope(|scope| -> Result<()> {
            let (make, counters, ready) = (&make, &counters, &ready);
            for feed in feeds {
                let name = format!("worker {}", feed.worker);
                self.thread(scope, name, move || self.work(feed, counters, ready, make));
            }
            self.thread(scope, "loader".into(), move || {
                let told = catch_unwind(AssertUnwindSafe(|| {
                    loader.prepare()?;
                    ready.wait();
                    self.wait_for_start();
                    let cpu = clock(libc::CLOCK_THREAD_CPUTIME_ID);
                    let done = loader.run();
                    let cpu = clock(libc::CLOCK_THREAD_CPUTIME_ID) - cpu;
                    self.board.head().loaders.fetch_add(cpu, SeqCst);
                    done
                }));
                let told = told.unwrap_or_else(|_| Err(anyhow!("the loader panicked")));
                if let Err(error) = told {
                    self.give_up(&error);
                }
            });
            ready.wait();
            // All threads have started. From here on only the calls that the filter allows are possible.
            if self.task.seccomp == Seccomp::On {
                filter::install(if self.wants.iter().any(Option::is_some) { filter::REQUESTS } else { &[] })?;
            }
            self.board.head().ready.fetch_add(1, SeqCst);
            futex::wake(&self.board.head().ready);
            Ok(())
        })
    }

    /// Starts a thread, or ends the replay: without it the others would wait without end.
    fn thread<'scope>(&self, scope: &'scope Scope<'scope, '_>, name: String, run: impl FnOnce() + Send + 'scope) {
        let started = Builder::new().name(name).spawn_scoped(scope, run);
        if let Err(error) = started.context("cannot start a thread: --threads asks for fewer") {
            self.give_up(&error);
        }
    }

    /// Sleeps until the leader gives the start; returns its time on CLOCK_MONOTONIC, ns.
    fn wait_for_start(&self) -> i64 {
        let head = self.board.head();
        while head.go.load(SeqCst) == 0 {
            futex::wait(&head.go, 0, None);
        }
        head.start.load(SeqCst)
    }

    /// A worker's thread: makes its engine, pacer and order, and issues its ops.
    fn work<E: Issue>(&self, feed: Feed, counters: &[&Counter], ready: &Barrier, make: impl Fn(usize) -> Result<E>) {
        let engine = match make(feed.worker) {
            Ok(engine) => engine,
            Err(error) => self.give_up(&error),
        };
        let worker = feed.worker;
        let lanes = self.plan.hands[worker].len();
        let pacer = match self.task.pace {
            Pace::Asap => None,
            pace @ (Pace::Realtime | Pace::Think | Pace::App) => Some(Pacer::new(Sleeper::measure(), pace, lanes)),
        };
        let (turn, spins) = (&self.board.head().turn, order::spins(self.board.workers()));
        let wants = self.wants.get(worker).and_then(Option::as_ref);
        let flight = match wants.map(|wants| self.flight(wants, lanes)).transpose() {
            Ok(flight) => flight,
            Err(error) => self.give_up(&error),
        };
        // Without requests nothing holds back the ops of a single worker.
        let order = if counters.len() == 1 && flight.is_none() { Order::Thread } else { self.task.order };
        match order {
            Order::Resource if self.groups.is_some() => {
                let reached: Vec<&Counter> = (0..self.board.slots()).map(|worker| &self.board.slot(worker).reached).collect();
                let order = Regrouped { resource: Resource { counters, worker, spins }, reached: &reached };
                self.issue(feed, engine, order, pacer, flight, ready)
            }
            Order::Resource => self.issue(feed, engine, Resource { counters, worker, spins }, pacer, flight, ready),
            Order::Strict => self.issue(feed, engine, Strict { turn, counters, worker, spins }, pacer, None, ready),
            Order::Thread => self.issue(feed, engine, Free, pacer, None, ready),
        }
    }

    /// Makes rings and contexts for the requests of a worker with this many lanes, in its thread and before the filter. What the
    /// kernel refuses is noted on the board: such requests are made as calls.
    fn flight(&self, wants: &Wants, lanes: usize) -> Result<Flight<'_>> {
        let made = [Interface::Aio, Interface::Uring].map(|interface| {
            let want = &wants.ports[interface as usize];
            if want.codes.is_empty() {
                return None;
            }
            let made = Port::new(interface, want.depth.clamp(1, PLACES), &want.codes);
            let refused = |error: &std::io::Error| error.raw_os_error().unwrap_or(libc::EOPNOTSUPP);
            made.inspect_err(|error| self.board.head().refused.store(refused(error), SeqCst)).ok()
        });
        let ports = Ports { ports: made, rings: wants.rings.len(), lanes, largest: wants.largest };
        Flight::new(ports, self.board.blocks()).context("no memory for requests")
    }

    /// Issues the ops of one worker; if it panics, others are told not to wait for it.
    fn issue<'s, E: Issue, O: order::Order>(
        &'s self,
        feed: Feed,
        engine: E,
        order: O,
        pacer: Option<Pacer>,
        flight: Option<Flight<'s>>,
        ready: &Barrier,
    ) {
        let name = feed.worker;
        let mut worker =
            Worker::new(self.board, feed, engine, order, pacer, self.clock).with(flight).computing(self.task.computing);
        ready.wait();
        let start = self.wait_for_start();
        // Waits for the exact start, also with pace asap: no worker begins earlier because it was woken first.
        Sleeper::ROUGH.until(start);
        if catch_unwind(AssertUnwindSafe(|| worker.run(start))).is_err() {
            self.board.head().turn.lose();
            let _ = record::send(self.pipe, LOST, &format!("worker {name} panicked"));
        }
        worker.end();
    }
}

/// Ends this process and its threads at once (_exit(2)), without any cleanup.
pub fn exit(code: i32) -> ! {
    // SAFETY: no arguments that could be wrong.
    unsafe { libc::_exit(code) }
}
