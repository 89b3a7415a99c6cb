//! The target of a capture: whose calls, which calls, about which paths, and what exists when the capture begins.
//!
//! * `scope`: whose calls; `filter`: which calls; `glob`, `path_filter`: about which paths
//! * `command`: starts the captured command; `snapshot`: processes, open files and mounts at the start;
//!   `program`: what a process runs and where it belongs

#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod command;
pub mod filter;
pub mod glob;
pub mod left;
pub mod path_filter;
pub mod program;
pub mod scope;
pub mod snapshot;
