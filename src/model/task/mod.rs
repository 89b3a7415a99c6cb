//! Processes and threads, and the descriptor tables, working directories and open file descriptions that they share.
//!
//! A process owns a descriptor table and a working directory, or shares them (CLONE_FILES, CLONE_FS). A thread is found
//! by its tid; some captures show nothing else, so a clone event tells whose thread or child a new tid is. An open file
//! description lives as long as a table refers to it.

mod again;
pub(super) mod fds;
mod maps;
mod program;
mod share;
mod waits;

use super::step::{Name, Program};
use super::tree::Ino;
use crate::syscall::flag;
use fds::{Entry, Fds, Ofd, OfdIx, Target};
use hashbrown::HashMap;
pub(super) use maps::Mapping;
use maps::Maps;
use std::collections::VecDeque;
use std::sync::Arc;

/// Index of a descriptor table or a working directory in its slab; several processes may have the same one.
type Shared = u32;

/// A process (thread group) that is running.
#[derive(Debug)]
pub(super) struct Process {
    pub(super) vpid: i64,
    pid: i64,
    fds: Shared,
    cwd: Shared,
    threads: Vec<i64>,
    program: Option<Arc<Program>>,
}

/// A working directory, and the root directory that is shared with it (`struct fs_struct` of the kernel), of one or more
/// processes.
#[derive(Clone, Debug, Default)]
pub(super) struct Cwd {
    /// Inode of the working directory; `None` until a call tells it.
    pub(super) ino: Option<Ino>,
    /// Path that the capture last showed for it; `None` if a call (chdir) set it or it is unknown.
    pub(super) seen: Option<Box<[u8]>>,
    /// Path that a call which did not start there showed for it; kept while `ino` is unknown.
    pub(super) told: Option<Box<[u8]>>,
    /// Path of the root directory; `None` where that is the machine's (no chroot(2)).
    pub(super) root: Option<Name>,
    sharers: u32,
}

#[derive(Debug)]
struct Thread {
    vtid: i64,
    process: usize,
    /// The pid that its events show; `None` before its first event.
    pid: Option<i64>,
    /// Starts and ends of tasks that its next op waits for: its own start, or the ends of others that it has waited for.
    waits: Vec<i64>,
    /// Messages that its last call waited for ([`super::stream`]).
    messages: Vec<i64>,
    /// How many calls it has made.
    calls: u64,
}

/// A fork whose child's id the capture does not show.
struct Pending {
    process: usize,
    flags: i64,
    waits: Vec<i64>,
}

/// The thread that makes a call, with its process.
#[derive(Clone, Copy, Debug)]
pub(super) struct Who {
    pub(super) process: usize,
    pub(super) tid: i64,
    pub(super) vpid: i64,
    pub(super) vtid: i64,
    /// Must its next op wait for starts or ends of tasks, or has it got messages?
    pub(super) waits: bool,
    /// Which of its calls it is, from 1.
    pub(super) call: u64,
}

/// All processes and threads that are running, and everything they have open.
#[derive(Default)]
pub(super) struct Tasks {
    threads: HashMap<i64, Thread>,
    processes: Vec<Option<Process>>,
    free: Vec<usize>,
    tables: Vec<Fds>,
    free_tables: Vec<Shared>,
    cwds: Vec<Cwd>,
    free_cwds: Vec<Shared>,
    pub(super) ofds: Vec<Option<Ofd>>,
    free_ofds: Vec<OfdIx>,
    pending: VecDeque<Pending>,
    /// Mapped files by process (vpid).
    maps: HashMap<i64, Maps>,
    /// Processes that have ended: pid, and the number of the task that stands for the end. Oldest first.
    exits: VecDeque<(i64, i64)>,
    /// Is there, or was there, a process of which some threads share less than all?
    parts: bool,
    next_task: i64,
    next_vpid: i64,
    next_vtid: i64,
    next_ofd: i64,
}

fn take<T: Default>(slab: &mut Vec<T>, free: &mut Vec<Shared>, value: T) -> Shared {
    match free.pop() {
        Some(i) => {
            slab[i as usize] = value;
            i
        }
        None => {
            slab.push(value);
            (slab.len() - 1) as Shared
        }
    }
}

impl Tasks {
    // ---- who

    /// The thread that makes a call, made known if it is new. Also gives the descriptors that end because an older thread of
    /// the same id must have ended unseen.
    pub(super) fn enter(&mut self, pid: i64, tid: i64) -> (Who, Vec<Entry>) {
        if let Some(thread) = self.threads.get_mut(&tid) {
            if thread.pid.is_none_or(|seen| seen == pid) {
                thread.pid = Some(pid);
                thread.calls += 1;
                return (self.who(tid).unwrap_or_else(|| unreachable_who(tid)), Vec::new());
            }
            let ended = self.end_thread(tid);
            self.appear(pid, tid);
            return (self.who(tid).unwrap_or_else(|| unreachable_who(tid)), ended);
        }
        self.appear(pid, tid);
        (self.who(tid).unwrap_or_else(|| unreachable_who(tid)), Vec::new())
    }

    fn who(&self, tid: i64) -> Option<Who> {
        let thread = self.threads.get(&tid)?;
        let process = self.processes[thread.process].as_ref()?;
        let waits = !thread.waits.is_empty() || !thread.messages.is_empty();
        Some(Who { process: thread.process, tid, vpid: process.vpid, vtid: thread.vtid, waits, call: thread.calls })
    }

    /// Adds a thread that no fork announced: to the process of its pid, as the child of a fork of unknown child, or as a new
    /// process.
    fn appear(&mut self, pid: i64, tid: i64) {
        let leader = self.threads.get(&pid).map(|leader| leader.process);
        // The leader itself may be the last to show up: a pid is not handed out again while a thread of it lives.
        let process = match leader.or_else(|| self.of_pid(pid)) {
            Some(process) => process,
            None => match self.pending.pop_front() {
                Some(fork) if self.processes[fork.process].is_some() => {
                    self.fork(fork.process, tid, fork.flags, fork.waits);
                    if let Some(thread) = self.threads.get_mut(&tid) {
                        thread.pid = Some(pid);
                    }
                    return;
                }
                _ => {
                    let fds = take(&mut self.tables, &mut self.free_tables, Fds::default().owned());
                    let cwd = take(&mut self.cwds, &mut self.free_cwds, Cwd { sharers: 1, ..Cwd::default() });
                    self.add_process(pid, fds, cwd)
                }
            },
        };
        self.add_thread(tid, process, Some(pid), Vec::new());
    }

    /// The running process with this pid, whose leader has made no call yet or has ended.
    fn of_pid(&self, pid: i64) -> Option<usize> {
        self.processes.iter().position(|process| process.as_ref().is_some_and(|process| process.pid == pid))
    }

    fn add_process(&mut self, pid: i64, fds: Shared, cwd: Shared) -> usize {
        let process = Process { vpid: self.next_vpid, pid, fds, cwd, threads: Vec::new(), program: None };
        self.next_vpid += 1;
        match self.free.pop() {
            Some(i) => {
                self.processes[i] = Some(process);
                i
            }
            None => {
                self.processes.push(Some(process));
                self.processes.len() - 1
            }
        }
    }

    fn add_thread(&mut self, tid: i64, process: usize, pid: Option<i64>, waits: Vec<i64>) {
        self.threads.insert(tid, Thread { vtid: self.next_vtid, process, pid, waits, messages: Vec::new(), calls: 1 });
        self.next_vtid += 1;
        if let Some(process) = &mut self.processes[process] {
            process.threads.push(tid);
        }
    }

    // ---- fork, exec, exit

    /// Notes a fork whose child's id is not known: the next thread that nobody announced is taken for its child.
    pub(super) fn fork_pending(&mut self, process: usize, flags: i64, waits: Vec<i64>) {
        self.pending.push_back(Pending { process, flags, waits });
    }

    /// fork, vfork, clone: `child` is the tid of the new thread. Gives the descriptors of an older thread of that id, which
    /// must have ended unseen.
    pub(super) fn fork(&mut self, parent: usize, child: i64, flags: i64, waits: Vec<i64>) -> Vec<Entry> {
        let ended = if self.threads.contains_key(&child) { self.end_thread(child) } else { Vec::new() };
        let Some((fds, cwd)) = self.processes[parent].as_ref().map(|process| (process.fds, process.cwd)) else {
            return ended;
        };
        const ALL: i64 = flag::CLONE_FILES | flag::CLONE_FS;
        if flags & flag::CLONE_THREAD != 0 && flags & ALL == ALL {
            self.add_thread(child, parent, None, waits);
            return ended;
        }
        let fds = if flags & flag::CLONE_FILES != 0 {
            self.tables[fds as usize].sharers += 1;
            fds
        } else {
            self.copy_table(fds)
        };
        let cwd = if flags & flag::CLONE_FS != 0 {
            self.cwds[cwd as usize].sharers += 1;
            cwd
        } else {
            let copy = Cwd { sharers: 1, ..self.cwds[cwd as usize].clone() };
            take(&mut self.cwds, &mut self.free_cwds, copy)
        };
        let process =
            if flags & flag::CLONE_THREAD != 0 { self.add_part(parent, fds, cwd) } else { self.add_process(child, fds, cwd) };
        self.inherit_maps(parent, process);
        self.runs(process, self.program(parent));
        self.add_thread(child, process, None, waits);
        ended
    }

    // ---- threads

    /// Is this the last thread of its process?
    pub(super) fn alone(&self, who: Who) -> bool {
        let last = self.processes[who.process].as_ref().is_some_and(|process| *process.threads == [who.tid]);
        last && self.other_parts(who).is_empty()
    }

    /// Tid of the first thread of the process, which after exec is the only one.
    pub(super) fn leader(&self, who: Who) -> i64 {
        self.processes[who.process].as_ref().and_then(|process| process.threads.first()).copied().unwrap_or(who.tid)
    }

    /// exec: the other threads end, the table is no longer shared. Gives the descriptors that had the close-on-exec flag.
    pub(super) fn exec(&mut self, who: Who) -> Vec<Entry> {
        let mut gone: Vec<Entry> = self.other_parts(who).into_iter().flat_map(|part| self.end_part(part)).collect();
        gone.extend(self.end_maps(who.vpid));
        let Some(process) = &mut self.processes[who.process] else { return gone };
        let pid = process.pid;
        let others = std::mem::replace(&mut process.threads, vec![who.tid]);
        for tid in others.into_iter().filter(|tid| *tid != who.tid) {
            self.threads.remove(&tid);
        }
        // The thread that calls exec gets the id of its process.
        if who.tid != pid && self.threads.get(&who.tid).is_some_and(|thread| thread.pid != Some(who.tid)) {
            if let Some(thread) = self.threads.remove(&who.tid) {
                self.threads.insert(pid, Thread { pid: None, ..thread });
            }
            if let Some(process) = &mut self.processes[who.process] {
                process.threads = vec![pid];
            }
        }
        self.unshare(who.process);
        let closed = self.fds(who.process).extract(|_, entry| entry.cloexec);
        gone.extend(closed.into_iter().map(|(_, entry)| entry));
        gone
    }

    /// A thread ends; gives the descriptors that end with its process, if it was the last one.
    pub(super) fn end_thread(&mut self, tid: i64) -> Vec<Entry> {
        let Some(thread) = self.threads.remove(&tid) else { return Vec::new() };
        let Some(process) = &mut self.processes[thread.process] else { return Vec::new() };
        process.threads.retain(|other| *other != tid);
        if process.threads.is_empty() { self.end_part(thread.process) } else { Vec::new() }
    }

    /// A process ends; gives the descriptors that end with it.
    pub(super) fn end_process(&mut self, who: Who) -> Vec<Entry> {
        let parts = self.other_parts(who).into_iter().chain([who.process]);
        parts.flat_map(|part| self.end_part(part)).collect()
    }

    fn end_part(&mut self, process: usize) -> Vec<Entry> {
        let Some(gone) = self.processes[process].take() else { return Vec::new() };
        self.free.push(process);
        self.pending.retain(|fork| fork.process != process);
        let mapped = self.last_maps(gone.vpid);
        for tid in gone.threads {
            self.threads.remove(&tid);
        }
        let cwd = &mut self.cwds[gone.cwd as usize];
        cwd.sharers -= 1;
        if cwd.sharers == 0 {
            *cwd = Cwd::default();
            self.free_cwds.push(gone.cwd);
        }
        let table = &mut self.tables[gone.fds as usize];
        table.sharers -= 1;
        if table.sharers > 0 {
            return mapped;
        }
        self.free_tables.push(gone.fds);
        table.extract(|_, _| true).into_iter().map(|(_, entry)| entry).chain(mapped).collect()
    }

    // ---- what a process has

    /// The descriptor table of a process, by its index.
    pub(super) fn fds(&mut self, process: usize) -> &mut Fds {
        let table = self.processes[process].as_ref().map_or(0, |process| process.fds);
        &mut self.tables[table as usize]
    }

    /// The process that a process or thread id belongs to; `None` when no such one runs.
    pub(super) fn process_of(&self, id: i64) -> Option<usize> {
        self.threads.get(&id).map(|thread| thread.process).or_else(|| self.of_pid(id))
    }

    /// The working and root directory of a process, by its index.
    pub(super) fn cwd(&mut self, process: usize) -> &mut Cwd {
        let cwd = self.processes[process].as_ref().map_or(0, |process| process.cwd);
        &mut self.cwds[cwd as usize]
    }

    /// All working directories, to correct them when inodes turn out to be one.
    pub(super) fn cwds(&mut self) -> impl Iterator<Item = &mut Cwd> {
        self.cwds.iter_mut()
    }

    // ---- open file descriptions

    /// Adds an open file description to which one descriptor refers; gives its index.
    pub(super) fn open(&mut self, who: Who, ino: Ino, flags: i64) -> OfdIx {
        let ofd = Ofd {
            id: self.next_ofd,
            ino,
            flags,
            pos: 0,
            pos_sure: true,
            behind: None,
            sighting: None,
            busy: i64::MIN,
            locks: false,
            refs: 1,
            vpid: who.vpid,
            vtid: who.vtid,
            path: None,
            told: None,
            seen: None,
        };
        self.next_ofd += 1;
        take(&mut self.ofds, &mut self.free_ofds, Some(ofd))
    }

    pub(super) fn ofd(&self, ix: OfdIx) -> Option<&Ofd> {
        self.ofds[ix as usize].as_ref()
    }

    pub(super) fn ofd_mut(&mut self, ix: OfdIx) -> Option<&mut Ofd> {
        self.ofds[ix as usize].as_mut()
    }

    /// Calls are missing from the capture: the positions of all open file descriptions are no longer certain.
    pub(super) fn doubt_positions(&mut self) {
        for ofd in self.ofds.iter_mut().flatten() {
            (ofd.pos_sure, ofd.sighting) = (false, None);
        }
    }

    /// A descriptor ended; gives the open file description if that was its last one.
    pub(super) fn unref(&mut self, entry: Entry) -> Option<Ofd> {
        let Target::Ofd(ix) = entry.target else { return None };
        let slot = &mut self.ofds[ix as usize];
        let ofd = slot.as_mut()?;
        ofd.refs -= 1;
        if ofd.refs > 0 {
            return None;
        }
        self.free_ofds.push(ix);
        slot.take()
    }
}

/// Stand-in for a thread without a process, which cannot be: `enter` has just made it known.
fn unreachable_who(tid: i64) -> Who {
    debug_assert!(false, "thread {tid} has no process");
    Who { process: 0, tid, vpid: 0, vtid: 0, waits: false, call: 0 }
}

#[cfg(test)]
mod tests;
