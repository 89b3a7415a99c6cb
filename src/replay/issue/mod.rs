//! Workers (replay threads) and engines: each worker waits for an op's time and turn, and its engine issues it.

pub mod data;
pub mod engine;
pub mod pace;
pub mod structs;
pub mod sys;
pub mod worker;
