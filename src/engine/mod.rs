//! The only user of DataFusion: the session, the stage runner, and the table functions that put the model and the order
//! of ops into SQL.

#[cfg(feature = "cluster")]
pub mod cluster;
mod fleet;
mod function;
mod made;
mod measures;
mod node;
mod optimizer;
mod rows;
mod session;
mod setup;
mod stage;
mod statement;
#[cfg(feature = "s3")]
mod stores;
mod table;

pub use function::hosts::Hosts;
pub use function::virtualize::{STEP, StepColumn};
pub use rows::cluster::By;
pub use rows::keep::Answer;
pub use rows::sink::{Written, write};
pub use rows::tee::{Tee, aside, together};
pub use session::{Engine, MEMORY, Settings};
pub use stage::{Doc, Stage, type_name};
pub use statement::access::Access;
pub use statement::advice::{no_column, no_table};
pub use statement::dialect::Postgres;
pub use statement::split::{Cut, Rest, cut, statements};
pub use statement::table_macro::{Parameter, TableMacro, usage};
