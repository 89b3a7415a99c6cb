//! Workers (replay threads) and engines: each worker waits for an op's time and turn, and its engine issues it.

mod aio;
pub mod burn;
pub mod contents;
pub mod count;
pub mod data;
mod deep;
pub mod engine;
pub mod flight;
pub mod mapped;
mod overlap;
pub mod pace;
pub mod port;
pub mod structs;
pub mod sys;
mod uring;
pub mod worker;
