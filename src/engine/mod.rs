//! The only user of DataFusion: the session, the stage runner, and `virtualize(...)`, which puts the model into SQL.

mod cluster;
mod session;
mod sink;
mod stage;
mod virtualize;

pub use cluster::By;
pub use session::{Engine, Settings};
pub use sink::{Written, write};
pub use stage::{Doc, Stage, type_name};
pub use virtualize::{STEP, StepColumn};
