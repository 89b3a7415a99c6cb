//! What is captured: whose calls, which of them, about which paths; and what is there when that begins.
//!
//! * `scope` whose; `filter` which; `glob`, `sieve` about which paths
//! * `command` the one that is started; `snapshot` what is there already

pub mod command;
pub mod filter;
pub mod glob;
pub mod scope;
pub mod sieve;
pub mod snapshot;
