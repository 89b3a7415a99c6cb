//! The only user of DataFusion: the session, the stage runner, and `virtualize(...)`, which puts the model into SQL.

mod cluster;
mod pack;
mod session;
mod sink;
mod stage;
mod tee;
mod virtualize;

pub use cluster::By;
pub use session::{Engine, Settings};
pub use sink::{Written, write};
pub use stage::{Doc, Stage, type_name};
pub use tee::Tee;
pub use virtualize::{STEP, StepColumn};
