//! The feed: from the tables of a workload to batches of decoded ops for each worker.
//!
//! * `check`: is the workload one that can be replayed?
//! * `deal`: which lanes this machine issues, where several replay a workload together
//! * `plan`, `private`: which worker runs which lanes, and which worker shares its open file descriptions with no other
//! * `rings`: what the workers need to hand requests over
//! * `source`, `pages`, `edges`: tables read a page at a time; `timeline`: when the ops were captured
//! * `load`: the loader, which fills batches

pub mod check;
pub mod deal;
pub mod edges;
pub mod load;
pub mod pages;
pub mod plan;
pub mod private;
pub mod rings;
pub mod source;
pub mod timeline;
