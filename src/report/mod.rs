//! Queries over datasets: SQL views, reports on runs, and the interactive prompt.

mod advice;
pub mod compare;
pub mod page;
mod prompt;
pub mod query;
mod tables;
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
    VIEWS "query": "io" "io_of_ops" "accesses" "drops" "calls" "latency" "hot_files" "outcomes" "differences" "waits"
}

views! {
    /// Views that report on runs: each is defined for queries when the tables it needs are there.
    REPORTS "report": "timeline" "devices" "workers" "file_times" "divergences" "order_violations" "overlaps" "compare_runs" "compare_outcomes"
}
