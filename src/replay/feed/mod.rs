//! From the tables of a workload to batches of ops for each worker.
//!
//! * `check` is it one that can be replayed?
//! * `plan`, `private` which worker runs which lanes, and which has its descriptions for itself
//! * `source`, `pages`, `edges` tables read a page at a time; `timeline` when the ops were captured
//! * `load` the loader

pub mod check;
pub mod edges;
pub mod load;
pub mod pages;
pub mod plan;
pub mod private;
pub mod source;
pub mod timeline;
