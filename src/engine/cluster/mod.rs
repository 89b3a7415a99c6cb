//! Queries on many machines, by Apache Ballista (docs/CLUSTER.md).
//!
//! ```text
//! client: opens and checks the dataset, plans ──plan──▶ scheduler: checks the plan, cuts it into stages
//!   ▲                                                     │ tasks, fetched by
//!   └───────── rows ◀── executors: check the tasks, open files below --allow, compute, hand each other rows
//! ```
//! The plan that goes over is the physical one, made by the same rules as for this machine; what Ballista cannot write down of it has
//! a form of its own ([`codec`]). Scheduler and executors take plans from anybody who has the token, and trust none ([`check`],
//! [`scan`]).

mod check;
mod client;
mod codec;
mod executor;
mod flight;
mod guard;
mod known;
mod link;
mod places;
mod scan;
mod scheduler;
mod session;
mod task;

pub(super) use client::computes;
pub use client::{Client, Target, refuse};
pub use executor::{Executor, execute};
pub use link::{Exposure, Secrets};
pub(super) use scan::located;
pub use scheduler::{Scheduler, schedule};

use crate::process::panics;
use anyhow::{Context, Result};
use std::time::Duration;

/// How often an executor tells the scheduler that it is there.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// After so long without a word of it an executor counts as lost, and so do the queries that it computed.
const LOST: Duration = Duration::from_secs(6);
/// How long anybody waits for an answer of the scheduler.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs a future to its end on the threads of a server, from a thread whose stack is large enough for planning.
fn serve<T: Send>(threads: usize, future: impl Future<Output = Result<T>> + Send) -> Result<T> {
    let runtime = super::setup::start(threads)?;
    let done = std::thread::scope(|scope| {
        let handle = runtime.handle();
        let thread = std::thread::Builder::new().name("server".into()).stack_size(super::setup::STACK);
        let thread = thread.spawn_scoped(scope, move || panics::contain(|| handle.block_on(future)));
        thread.context("cannot start a thread")?.join().unwrap_or_else(|panic| Err(panics::error(&*panic)))
    });
    // Tasks that still compute are not waited for.
    runtime.shutdown_background();
    done
}
