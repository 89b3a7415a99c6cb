//! `FROM virtualize(events)`: the model of the kernel's file state as a table function.
//!
//! Its argument is a relation with the columns of events; `seq`, `syscall`, `pid` and `tid` must be there, other
//! columns that are missing count as NULL. Its output is the input's rows in the order of `seq` with the columns of
//! [`STEP`] added, and between them rows for the ops that the model inserted; after the last event come the facts that
//! the model knows only at the end. Column `tag` tells these rows apart. It holds the model and one batch in memory.
//!
//! Where the input has a column `turn`, that is the order, and a column `treat` says what becomes of an event (`walk::Treat`).
//! `followed(events)` is the same, but for rows of events, which keep the arguments of the input where the op is issued with others.

mod columns;
mod decode;
mod gather;
mod walk;

pub use columns::{STEP, StepColumn};

use super::hosts::Hosts;
use super::{Function, Key, Running};
use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use datafusion::common::{DFSchema, Result, plan_err};

/// Column of the input by which its rows are in order; where it is missing that is `seq`.
const TURN: &str = "turn";

/// Table functions `virtualize` and `followed`.
#[derive(Debug)]
pub struct Virtualize(pub Arguments);

/// Which arguments the rows of events have, where an op is issued with others than its call had.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arguments {
    /// Those with which the op is issued.
    Issued,
    /// Those of the input.
    Captured,
}

impl Function for Virtualize {
    fn name(&self) -> &'static str {
        match self.0 {
            Arguments::Issued => "virtualize",
            Arguments::Captured => "followed",
        }
    }

    fn output(&self, input: &DFSchema) -> Result<Schema> {
        let mut fields = Vec::new();
        for field in input.fields() {
            if STEP.iter().any(|column| column.name == field.name()) {
                return plan_err!("virtualize makes a column {} of its own: rename the one in its input", field.name());
            }
            // The model's own rows have no value in columns it does not know.
            fields.push(Field::new(field.name(), decode::arrow_type(field), true));
        }
        for name in decode::REQUIRED {
            if !fields.iter().any(|field| field.name() == name) {
                return plan_err!("the input of virtualize has no column {name}");
            }
        }
        fields.extend(STEP.iter().map(StepColumn::field));
        Ok(Schema::new(fields))
    }

    fn takes(&self, field: &Field, output: &Schema) -> Option<DataType> {
        (output.index_of(field.name()).is_ok() || decode::reads(field.name()) || field.name() == TURN)
            .then(|| decode::arrow_type(field))
    }

    fn order(&self, input: &Schema) -> &'static [Key] {
        if input.index_of(TURN).is_ok() { const { &[Key::Up(TURN)] } } else { &[Key::Up("seq")] }
    }

    fn ascends(&self) -> &'static [&'static str] {
        // Both hold: inserted rows repeat the seq of their cause, facts come last without one.
        &["seq", "pos"]
    }

    fn ahead(&self) -> bool {
        true
    }

    #[cfg(feature = "cluster")]
    fn models(&self) -> bool {
        true
    }

    fn start(&self, input: &Schema, output: SchemaRef, hosts: &Hosts, host: Option<&str>) -> Result<Box<dyn Running>> {
        Ok(Box::new(walk::Walk::new(hosts.config(host), self.0, input, output)?))
    }
}
