//! What processes run: their names and what they executed last.

use super::Tasks;
use crate::model::step::Program;
use std::sync::Arc;

impl Tasks {
    /// What a process runs, by its index.
    pub(in crate::model) fn program(&self, process: usize) -> Option<Arc<Program>> {
        self.processes[process].as_ref().and_then(|process| process.program.clone())
    }

    /// Notes what a process runs from now on.
    pub(in crate::model) fn runs(&mut self, process: usize, program: Option<Arc<Program>>) {
        if let Some(process) = &mut self.processes[process] {
            process.program = program;
        }
    }
}
