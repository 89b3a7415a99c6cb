//! Workers: each waits for an op's turn and time, and issues it.

pub mod data;
pub mod engine;
pub mod pace;
pub mod structs;
pub mod sys;
pub mod worker;
