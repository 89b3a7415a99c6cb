//! Answers for people and programs: any datasets, any SQL, four forms.

mod format;
mod prompt;
pub mod query;
mod tables;

pub use format::Format;

use crate::engine::Stage;

macro_rules! views {
    ($dir:literal $($name:literal)*) => {
        &[$(Stage::new($name, include_str!(concat!("../../sql/", $dir, "/", $name, ".sql")))),*]
    };
}

/// The views that a query finds ready, when the tables they need are there.
pub static VIEWS: &[Stage] = views! { "query" "drops" "calls" "latency" "hot_files" "outcomes" "differences" };

/// Those that check a run against its workload.
pub static CHECKS: &[Stage] = views! { "report" "order_violations" };
