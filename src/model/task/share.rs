//! What threads and processes share, and stop sharing (clone(2), unshare(2)): descriptor tables and directories.
//!
//! Threads of a process that share less than all have several entries, with one vpid.

use super::{Cwd, Process, Shared, Tasks, Who, take};
use crate::model::task::fds::Target;

impl Tasks {
    /// unshare(2): a thread gets a descriptor table (`files`) or directories (`fs`) of its own. Gives the entry of the process
    /// that the thread has from then on: another one, if there are threads that go on to share both.
    pub(in crate::model) fn part(&mut self, who: Who, files: bool, fs: bool) -> usize {
        let Some(process) = self.processes[who.process].as_mut().filter(|_| files || fs) else { return who.process };
        let mut own = who.process;
        if process.threads.len() > 1 {
            process.threads.retain(|tid| *tid != who.tid);
            let (fds, cwd) = (process.fds, process.cwd);
            self.tables[fds as usize].sharers += 1;
            self.cwds[cwd as usize].sharers += 1;
            own = self.add_part(who.process, fds, cwd);
            if let Some(process) = &mut self.processes[own] {
                process.threads.push(who.tid);
            }
            if let Some(thread) = self.threads.get_mut(&who.tid) {
                thread.process = own;
            }
        }
        if files {
            self.unshare(own);
        }
        if fs {
            self.unshare_cwd(own);
        }
        own
    }

    /// Another entry for threads of the same process that share less than all.
    pub(super) fn add_part(&mut self, process: usize, fds: Shared, cwd: Shared) -> usize {
        let Some((vpid, pid)) = self.processes[process].as_ref().map(|process| (process.vpid, process.pid)) else {
            return process;
        };
        let program = self.program(process);
        self.parts = true;
        let part = self.add_process(pid, fds, cwd);
        self.next_vpid -= 1;
        if let Some(process) = &mut self.processes[part] {
            (process.vpid, process.program) = (vpid, program);
        }
        part
    }

    /// The other entries of a process some threads of which share less than all.
    pub(super) fn other_parts(&self, who: Who) -> Vec<usize> {
        if !self.parts {
            return Vec::new();
        }
        let same = |process: &Option<Process>| process.as_ref().is_some_and(|process| process.vpid == who.vpid);
        self.processes.iter().enumerate().filter(|(i, process)| *i != who.process && same(process)).map(|(i, _)| i).collect()
    }

    pub(super) fn copy_table(&mut self, table: Shared) -> Shared {
        let copy = self.tables[table as usize].clone().owned();
        for entry in copy.iter() {
            if let Target::Ofd(ofd) = entry.target
                && let Some(ofd) = &mut self.ofds[ofd as usize]
            {
                ofd.refs += 1;
            }
        }
        take(&mut self.tables, &mut self.free_tables, copy)
    }

    /// Gives a process a descriptor table of its own: exec, and close_range(2) with CLOSE_RANGE_UNSHARE.
    pub(in crate::model) fn unshare(&mut self, process: usize) {
        let Some(fds) = self.processes[process].as_ref().map(|process| process.fds) else { return };
        if self.tables[fds as usize].sharers > 1 {
            self.tables[fds as usize].sharers -= 1;
            let copy = self.copy_table(fds);
            if let Some(process) = &mut self.processes[process] {
                process.fds = copy;
            }
        }
    }

    /// Gives a process a working and a root directory of its own.
    fn unshare_cwd(&mut self, process: usize) {
        let Some(cwd) = self.processes[process].as_ref().map(|process| process.cwd) else { return };
        if self.cwds[cwd as usize].sharers > 1 {
            self.cwds[cwd as usize].sharers -= 1;
            let copy = Cwd { sharers: 1, ..self.cwds[cwd as usize].clone() };
            let copy = take(&mut self.cwds, &mut self.free_cwds, copy);
            if let Some(process) = &mut self.processes[process] {
                process.cwd = copy;
            }
        }
    }
}
