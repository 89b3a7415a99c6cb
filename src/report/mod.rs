//! Answers for people and programs: any datasets, any SQL, four forms.

mod format;
mod prompt;
pub mod query;
mod tables;

pub use format::Format;

use crate::engine::Stage;

macro_rules! views {
    ($($name:literal)*) => {
        /// The views that a query finds ready, when the tables they need are there.
        pub static VIEWS: &[Stage] = &[$(Stage::new($name, include_str!(concat!("../../sql/query/", $name, ".sql")))),*];
    };
}

views! { "drops" "calls" "latency" "hot_files" "outcomes" "differences" }
