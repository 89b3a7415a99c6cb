//! Requests (what a program hands over and does not wait for): who carries them, which are in flight, and which op waits for one.

mod aio;
pub mod flight;
mod overlap;
pub mod port;
mod uring;
