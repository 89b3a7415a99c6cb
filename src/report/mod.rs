//! Queries over datasets: SQL views and table macros, reports on runs, and the interactive prompt.

mod advice;
mod clock;
pub mod compare;
pub mod look;
pub mod own;
pub mod page;
mod prompt;
pub mod query;
pub(crate) mod tables;
mod views;

use crate::engine::Stage;

macro_rules! views {
    ($(#[$doc:meta])* $list:ident $dir:literal: $($name:literal)*) => {
        $(#[$doc])*
        pub static $list: &[Stage] = &[$(Stage::new($name, include_str!(concat!("../../sql/", $dir, "/", $name, ".sql")))),*];
    };
}

views! {
    /// Views over any dataset: each is defined for queries when the tables it needs are there.
    VIEWS "query": "io" "io_of_ops" "accesses" "drops" "calls" "latency" "hot_files" "outcomes" "differences" "waits" "process_tree"
        "threads"
}

views! {
    /// What `ioriot cat` shows of each kind of dataset: statements over its tables, no views.
    LOOKS "look": "capture_calls" "workload_ops" "run_results" "named_results"
}

views! {
    /// Views that report on runs: each is defined for queries when the tables it needs are there.
    REPORTS "report": "timeline" "devices" "workers" "file_times" "divergences" "order_violations" "overlaps" "compare_runs" "compare_outcomes"
}

/// Is this the name of a view or a table macro, or of another relation of queries?
pub fn taken(name: &str) -> bool {
    own::TAKEN.contains(&name) || VIEWS.iter().chain(REPORTS).chain(MACROS).any(|stage| stage.name == name)
}

macro_rules! table_macros {
    ($($name:literal)*) => {
        /// Table macros over any dataset, functions in FROM with arguments: each is defined for queries when the relations it needs
        /// are there.
        pub static MACROS: &[Stage] = &[$(Stage::new($name, include_str!(concat!("../../sql/macros/", $name, ".sql")))),*];
        /// The tests of [`MACROS`], in the same order: each answers the example of its macro.
        pub static ANSWERS: &[&str] = &[$(include_str!(concat!("../../sql/macros/", $name, ".slt"))),*];
    };
}

table_macros! {
    "access_sizes"
    "sequential_runs"
    "read_write_mix"
    "concurrency"
    "think_times"
    "burstiness"
    "working_set"
    "miss_ratio"
    "file_lifetimes"
    "sync_intervals"
    "alignment"
    "metadata_storms"
    "directory_sums"
    "hot_ranges"
    "process_sums"
    "user_sums"
    "queueing"
    "slow_calls"
    "open_at_end"
    "errors"
}
