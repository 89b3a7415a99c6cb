//! Workers (replay threads) and engines: each worker waits for an op's time and turn, and its engine issues it.

pub mod burn;
pub mod contents;
pub mod count;
pub mod data;
mod deep;
pub mod engine;
pub mod mapped;
pub mod pace;
pub mod regroup;
pub mod request;
pub mod structs;
pub mod sys;
pub mod worker;
