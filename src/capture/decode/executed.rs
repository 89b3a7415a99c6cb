//! The part of the decoder for what an exec has made of a process: it goes with the event of the call, which has not returned yet.

use super::Decoder;
use crate::capture::kernel::record::{Record, at};
use crate::exec::{Environment, Ran, VARIABLE, WORDS, words};

impl Decoder<'_> {
    /// Decodes a record of an exec.
    pub(super) fn executed(&mut self, record: &Record<'_>) {
        let length = usize::try_from(record.arg(2)).unwrap_or(usize::MAX);
        let line = &record.first()[..record.first().len().min(length)];
        let mut environment = Environment::default();
        for variable in record.behind().chunks_exact(VARIABLE) {
            environment.look(variable.split(|byte| *byte == 0).next().unwrap_or_default());
        }
        let ran = Ran {
            // The NUL at its end is not read.
            command_line: words(line, length <= WORDS + 1),
            user: Some(record.arg(0) as i64),
            cgroup: self.groups.path(record.arg(1)),
            rank: environment.rank(),
            job: environment.job(),
        };
        self.ran(record.u32(at::TID), &ran);
    }

    /// Adds what is known of a process to the event of the exec that a thread is in.
    pub fn ran(&mut self, tid: u32, ran: &Ran) {
        if let Some(event) = self.execs.get_mut(&tid) {
            ran.tell(event);
        }
    }
}
