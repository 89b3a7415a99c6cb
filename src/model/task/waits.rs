//! What a thread's next op waits for: starts and ends of tasks, and messages.

use super::{Tasks, Who};

/// Most starts and ends of tasks that are remembered, of a thread that makes no call on a file (WAITS), and of processes whose
/// end nobody was seen to wait for (EXITS). What is forgotten orders nothing.
const WAITS: usize = 16;
const EXITS: usize = 1024;

impl Tasks {
    /// Numbers a start or an end of a task that an op may have to wait for; the resource `task` of that id.
    pub(in crate::model) fn new_task(&mut self) -> i64 {
        self.next_task += 1;
        self.next_task - 1
    }

    /// A process ends: gives the number of that end as a task.
    pub(in crate::model) fn exits(&mut self, who: Who) -> i64 {
        let task = self.new_task();
        if let Some(process) = &self.processes[who.process] {
            if self.exits.len() == EXITS {
                self.exits.pop_front();
            }
            self.exits.push_back((process.pid, task));
        }
        task
    }

    /// Somebody waited for the process of this pid (wait4, waitpid): gives the task of its end, if it is remembered.
    pub(in crate::model) fn reaped(&mut self, pid: i64) -> Option<i64> {
        let at = self.exits.iter().rposition(|(other, _)| *other == pid)?;
        self.exits.remove(at).map(|(_, task)| task)
    }

    /// Takes the tasks that the next op of a thread waits for, and the messages that its last call waited for.
    pub(in crate::model) fn take_waits(&mut self, tid: i64) -> (Vec<i64>, Vec<i64>) {
        let Some(thread) = self.threads.get_mut(&tid) else { return Default::default() };
        (std::mem::take(&mut thread.waits), std::mem::take(&mut thread.messages))
    }

    /// How many calls a thread has made; 0 when it is not there.
    pub(in crate::model) fn calls(&self, tid: i64) -> u64 {
        self.threads.get(&tid).map_or(0, |thread| thread.calls)
    }

    /// Notes a message for which the last call of a thread waits; only the last WAITS of them are kept.
    pub(in crate::model) fn deliver(&mut self, tid: i64, message: i64) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            if thread.messages.len() == WAITS {
                thread.messages.remove(0);
            }
            thread.messages.push(message);
        }
    }

    /// Sets the tasks that the next op of a thread waits for; only the last WAITS of them are kept.
    pub(in crate::model) fn wait_for(&mut self, tid: i64, mut waits: Vec<i64>) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            waits.drain(..waits.len().saturating_sub(WAITS));
            thread.waits = waits;
        }
    }
}
