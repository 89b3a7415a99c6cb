//! Replays on many machines: a server on each, and a coordinator that sends them a workload, starts them together, passes on how far
//! they are, and fetches their runs (docs/SERVE.md).
//!
//! ```text
//! coordinator: workload ──▶ server: checks it, replays its part in its root        ioriot serve --root DIR
//!              start    ──▶           │  frames: how far its workers are
//!              counters ◀─▶ ──────────┘  of the others: its ghosts
//!              run      ◀── server
//! ```
//! What a replay does with the frames is in [`crate::replay::link`]. Both sides take nothing of the other for granted.

mod access;
mod clock;
mod coordinator;
mod guest;
mod message;
mod parcel;
mod server;
mod session;
mod spool;
mod summary;

pub use clock::Offset;
pub use coordinator::{Asked, coordinate};
pub use message::Manner;
pub use server::{Server, serve};
pub use summary::{Machine, Summary};

use anyhow::{Context, Result};
use tokio::runtime::{Builder, Runtime};

/// The threads on which connections are served: few, since they compute nothing.
fn runtime() -> Result<Runtime> {
    Builder::new_multi_thread().worker_threads(2).enable_all().thread_name("server").build().context("no threads for connections")
}
