//! Queries on several machines: a scheduler and executors as processes of this one.

mod answers;
mod lost;
mod processes;
mod safety;
mod tls;
