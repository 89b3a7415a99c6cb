//! What is captured: whose calls, which of them, about which paths; and what is there when that begins.
//!
//! * `scope` whose; `filter` which; `glob`, `path_filter` about which paths
//! * `command` the one that is started; `snapshot` what is there already

pub mod command;
pub mod filter;
pub mod glob;
pub mod path_filter;
pub mod scope;
pub mod snapshot;
