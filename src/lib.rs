//! ioriot captures the file I/O of real programs, replays it anywhere and compares every outcome.
//!
//! `capture -> events -> SQL stages + a model of the kernel's file state -> ops -> syscalls -> results -> SQL`: every
//! arrow is a Parquet table. docs/ARCHITECTURE.md draws the map.

// println! and eprintln! panic when their reader is gone: [`process::stdio`] does not.
#![deny(clippy::print_stdout, clippy::print_stderr)]

pub mod amount;
pub mod anonymise;
pub mod capture;
#[cfg(target_arch = "x86_64")] // it drives the replay
pub mod cli;
#[cfg_attr(not(feature = "s3"), path = "copy/absent.rs")]
pub mod copy;
pub mod dice;
#[cfg(feature = "sql")]
pub mod engine;
pub mod event;
pub mod events;
pub mod exec;
#[cfg(feature = "sql")]
pub mod export;
pub mod fate;
pub mod files;
pub mod fleet;
#[cfg(fuzzing)]
pub mod fuzz;
#[cfg(feature = "sql")]
pub mod generate;
pub mod histogram;
#[cfg(feature = "sql")]
pub mod import;
pub mod ingest;
pub mod init;
pub mod ledger;
mod limits;
pub mod loss;
pub mod model;
pub mod mounts;
pub mod order;
pub mod os;
#[cfg(any(feature = "cluster", feature = "serve"))]
mod peers;
#[cfg(target_arch = "x86_64")]
pub mod predict;
pub mod process;
#[cfg(all(feature = "sql", target_arch = "x86_64"))] // of exports, it issues what a replay issues
mod program;
pub mod progress;
pub mod reduce;
#[cfg(target_arch = "x86_64")] // it issues the calls of this architecture
pub mod replay;
#[cfg(feature = "sql")]
pub mod report;
pub mod rows;
pub mod schema;
#[cfg(feature = "serve")]
pub mod serve;
#[cfg(test)]
#[path = "../tests/it/skip.rs"]
mod skip;
pub mod statistics;
pub mod store;
pub mod syscall;
pub mod text;
mod words;
