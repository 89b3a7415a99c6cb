//! The only user of DataFusion: the session, the stage runner, and the table functions that put the model and the order
//! of ops into SQL.

mod access;
mod advice;
mod causes;
mod cluster;
mod depth;
mod dialect;
mod distinct;
mod function;
mod lists;
mod made;
mod measures;
mod ops;
mod order;
mod pack;
mod percentile;
mod plain;
mod refuse;
mod rules;
mod session;
mod sink;
mod skip;
mod spill;
mod split;
mod stage;
mod table;
mod tee;
mod virtualize;

pub use access::Access;
pub use advice::{no_column, no_table};
pub use cluster::By;
pub use dialect::Postgres;
pub use session::{Engine, MEMORY, Settings};
pub use sink::{Written, write};
pub use split::{Cut, Rest, cut, statements};
pub use stage::{Doc, Stage, type_name};
pub use tee::{Tee, together};
pub use virtualize::{STEP, StepColumn};
