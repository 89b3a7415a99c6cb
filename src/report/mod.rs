//! Answers for people and programs: any datasets, any SQL, four forms.

mod advice;
mod format;
mod prompt;
pub mod query;
mod tables;
mod views;

pub use format::Format;

use crate::engine::Stage;

macro_rules! views {
    ($(#[$doc:meta])* $list:ident $dir:literal: $($name:literal)*) => {
        $(#[$doc])*
        pub static $list: &[Stage] = &[$(Stage::new($name, include_str!(concat!("../../sql/", $dir, "/", $name, ".sql")))),*];
    };
}

views! {
    /// Views of any dataset, ready for queries when the tables they need are there.
    VIEWS "query": "drops" "calls" "latency" "hot_files" "outcomes" "differences"
}

views! {
    /// Reports on runs, ready for queries when the tables they need are there.
    REPORTS "report": "timeline" "devices" "workers" "file_times" "divergences" "order_violations" "compare_runs" "compare_outcomes"
}
