//! The kernel's bookkeeping, replayed: events in, meaning out. Pure Rust, no Arrow, no I/O.

mod config;
mod step;

pub use config::{Config, PSEUDO, Place};
pub use step::{End, Expect, Kind, Name, Need, Row, Step};

use crate::event::{Col, Event};
use crate::fate::{Fate, Reason};

/// The model of the kernel's file state.
pub struct Model {
    config: Config,
}

impl Model {
    /// A model that knows nothing of the machine yet.
    pub fn new(config: Config) -> Model {
        Model { config }
    }

    /// Takes the next event, in seq order. Pushes the ops that must precede it (`inserted` is theirs), then exactly one
    /// row for the event itself; nothing after that.
    pub fn step(&mut self, event: &Event, out: &mut Vec<Row>) {
        let (pid, tid) = (event.int(Col::Pid).unwrap_or(0), event.int(Col::Tid).unwrap_or(0));
        let mut step = Step::new(Fate::Drop, event.syscall.op(), pid, tid);
        step.reason = Some(Reason::Unsupported);
        out.push(Row { inserted: None, step });
    }

    /// The capture has ended: closes what is still open, and says what had to exist before and what must exist now.
    pub fn finish(self, _out: &mut Vec<Row>) -> End {
        let _ = self.config;
        End::default()
    }
}
