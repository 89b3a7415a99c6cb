//! The decoder: turns records of the kernel side (or the ptrace backend) into events, by the roles of the syscall table.

pub mod added;
pub mod argument;
pub mod compat;
pub mod executed;
pub mod faults;
pub mod notices;
pub mod requests;
pub mod table;
pub mod uring;

use crate::capture::kernel::compute;
use crate::capture::kernel::record::{Record, at, flag};
use crate::capture::layouts::Layouts;
use crate::capture::target::program::Groups;
use crate::capture::target::snapshot::{Numbers, device};
use crate::event::{Col, Event, Text};
use crate::events::order::{Key, Placed};
use crate::loss::Loss;
use crate::syscall::flag::{O_CREAT, O_TMPFILE};
use crate::syscall::{At, Op, Role, Syscall, lock};
use added::Added;
use argument::argument;
use faults::Faults;
use hashbrown::HashMap;
use notices::Notice;
use requests::Requests;
use std::collections::VecDeque;
use table::Calls;
use uring::Rings;

/// Limit of the ended processes, and of the open directories, that are remembered; when it is reached all are forgotten.
const GONE: usize = 64 * 1024;

/// Counters of a decoder: what it took and what it could not decode.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// Number of records taken; also breaks ties in the order of events.
    pub records: u64,
    /// Calls whose return was recorded, also those whose entry was not seen.
    pub returned: u64,
    /// Calls that do not return: exit and exit_group.
    pub exits: u64,
    /// Calls whose entry was not seen, since they were under way when the capture began.
    pub no_entry: u64,
    /// Calls that never returned because their thread ended in them.
    pub cut_short: u64,
    /// Strings or structures that could not be read from memory although the call did not fail with EFAULT.
    pub unreadable: u64,
    /// Records that are too short or have an unknown call number.
    pub garbled: u64,
    /// Calls of `io_uring_enter`, which count as missed requests where io_uring cannot be captured.
    pub rings: u64,
    /// Asynchronous requests (io_submit, io_uring) that are not decoded: unknown opcode or unreadable.
    pub unknown: u64,
    /// Requests of io_uring whose opcode is known and not decoded, by kind: to splice, for extended attributes, commands.
    pub splices: u64,
    /// As `splices`.
    pub attributes: u64,
    /// As `splices`.
    pub commands: u64,
    /// Requests whose result was not seen.
    pub no_result: u64,
    /// Was a call of io_submit among them that took requests?
    pub contexts: bool,
}

impl Seen {
    /// Counts of requests that are missing, or missing in part, by kind of loss. `all`: calls of io_uring_enter count, too, since
    /// their requests cannot be seen.
    pub fn requests(&self, all: bool) -> [(Loss, u64); 5] {
        [
            (Loss::Requests, if all { self.unknown + self.rings } else { self.unknown }),
            (Loss::Splices, self.splices),
            (Loss::Attributes, self.attributes),
            (Loss::Commands, self.commands),
            (Loss::NoResult, self.no_result),
        ]
    }
}

/// Turns records into events and keeps what it must remember between records.
pub struct Decoder<'a> {
    calls: &'a Calls,
    /// Offset from CLOCK_MONOTONIC, in which records have their times, to ns since 1970.
    clock: i64,
    /// Small numbers given to open file descriptions.
    pub ofds: Numbers,
    /// Layout of io_uring requests in this kernel; `None` where they are not captured.
    pub rings: Option<Rings>,
    /// The requests that are under way, and the rings that they go through.
    pub requests: Requests,
    faults: Faults,
    added: Added,
    /// Further events from records taken so far; [`Decoder::more`] hands them out.
    more: VecDeque<Placed>,
    /// Notices (forks, newcomers) from the records taken so far, in their order; the caller removes them.
    pub notices: Vec<Notice>,
    /// The process that waits at the gate to execute the command, until its exec succeeds: calls before that are not captured.
    gate: Option<u32>,
    /// Events of exec calls that have not returned, by thread id.
    execs: HashMap<u32, Event>,
    /// The control groups of processes, by their numbers.
    pub groups: Groups,
    /// Processes whose exit_group was seen, so that the end of their threads needs no event of its own; has their first one ended?
    gone: HashMap<u32, bool>,
    /// Paths of open directories by process and descriptor: an open below one needs no path of its own if it led where it says.
    dirs: HashMap<(u32, i64), Vec<u8>>,
    /// How opened files lie on their device.
    pub layouts: Layouts,
    /// Counters of the records, calls and requests taken so far.
    pub seen: Seen,
}

impl<'a> Decoder<'a> {
    /// A decoder for these calls. `clock`: offset from CLOCK_MONOTONIC to ns since 1970; `gate`: the process that will execute
    /// the command, `None` for other scopes.
    pub fn new(calls: &'a Calls, clock: i64, gate: Option<u32>) -> Decoder<'a> {
        Decoder {
            calls,
            clock,
            ofds: Numbers::default(),
            rings: None,
            requests: Requests::default(),
            faults: Faults::default(),
            added: Added::default(),
            more: VecDeque::new(),
            notices: Vec::new(),
            gate,
            execs: HashMap::new(),
            groups: Groups::default(),
            gone: HashMap::new(),
            dirs: HashMap::new(),
            layouts: Layouts::default(),
            seen: Seen::default(),
        }
    }

    /// Is this the process that still waits at the gate to execute the command?
    pub fn gated(&self, pid: u32) -> bool {
        self.gate == Some(pid)
    }

    /// Decodes a record into `placed`; false when it yields no event. The record may yield further events, which
    /// [`Decoder::more`] returns.
    pub fn take(&mut self, bytes: &[u8], placed: &mut Placed) -> bool {
        self.seen.records += 1;
        let Some(record) = Record::parse(bytes) else {
            self.seen.garbled += 1;
            return false;
        };
        if !record.is(flag::FAULT | flag::WAITED) {
            self.fault_over(&record);
            self.added_over(&record);
        }
        if record.is(flag::END) {
            return self.ended(&record, placed);
        }
        if record.is(flag::ASIDE) {
            self.notice(&record);
            return self.more(placed);
        }
        let Some((syscall, other)) = self.calls.get(usize::from(record.u16(at::NUMBER))) else {
            self.seen.garbled += 1;
            return false;
        };
        let op = syscall.op();
        if self.gate == Some(record.u32(at::PID)) && op != Some(Op::Exec) {
            return false;
        }
        self.anew(record.u32(at::PID), record.u32(at::TID));
        if record.is(flag::ENTRY) {
            return self.entered(syscall, op, &record, placed);
        }
        if record.is(flag::NO_ENTRY) {
            // A fork returns twice, and in the child it was never entered.
            if op == Some(Op::Fork) && record.i64(at::RET) == 0 {
                return false;
            }
            self.seen.no_entry += 1;
        }
        self.seen.returned += 1;
        match syscall {
            Syscall::io_uring_enter => self.seen.rings += 1,
            Syscall::io_submit | Syscall::io_getevents => self.requested(syscall, &record),
            _ => {}
        }
        let event = &mut placed.event;
        match op {
            Some(Op::Exec) => *event = self.execs.remove(&record.u32(at::TID)).unwrap_or_else(|| Event::new(syscall)),
            _ => {
                event.renew(syscall);
                event.other = other.map(Into::into);
                self.arguments(event, &record);
            }
        }
        event.set_outcome(record.i64(at::RET));
        if op == Some(Op::Exec) && event.success().is_some() && self.gate == Some(record.u32(at::PID)) {
            self.gate = None;
        }
        if record.is(flag::FILE) {
            file(event, &record);
            self.led_to(event, &record);
        }
        self.place(placed, &record);
        true
    }

    /// Decodes a record made at the entry of a call: an exec is kept until it returns, an exit becomes an event.
    fn entered(&mut self, syscall: Syscall, op: Option<Op>, record: &Record<'_>, placed: &mut Placed) -> bool {
        placed.event.renew(syscall);
        self.arguments(&mut placed.event, record);
        let (pid, tid) = (record.u32(at::PID), record.u32(at::TID));
        if op == Some(Op::Exec) {
            self.execs.insert(tid, placed.event.clone());
            return false;
        }
        if op == Some(Op::ExitGroup) {
            if self.gone.len() >= GONE {
                self.gone.clear();
            }
            self.gone.insert(pid, false);
        }
        // It never returns, so the entry is the event.
        self.seen.exits += 1;
        self.place(placed, record);
        true
    }

    /// Notes that the first thread of a process is there: where that of its number has ended after an exit_group, it is another one.
    fn anew(&mut self, pid: u32, tid: u32) {
        if pid == tid && self.gone.get(&pid) == Some(&true) {
            self.gone.remove(&pid);
        }
    }

    /// Decodes the end of a thread; if nobody called exit or exit_group it was killed, and becomes an event `exit`.
    fn ended(&mut self, record: &Record<'_>, placed: &mut Placed) -> bool {
        let (pid, tid) = (record.u32(at::PID), record.u32(at::TID));
        self.execs.remove(&tid);
        let inside = record.u16(at::NUMBER).checked_sub(1).and_then(|number| self.calls.get(usize::from(number)));
        let exits = matches!(inside.and_then(|(syscall, _)| syscall.op()), Some(Op::Exit | Op::ExitGroup));
        self.seen.cut_short += u64::from(inside.is_some() && !exits);
        self.anew(pid, tid);
        let expected = exits || self.gone.contains_key(&pid);
        if let Some(ended) = self.gone.get_mut(&pid).filter(|_| tid == pid) {
            *ended = true;
        }
        if expected || self.gate == Some(pid) {
            return false;
        }
        placed.event.renew(Syscall::exit);
        self.place(placed, record);
        true
    }

    /// Sets times, process, thread and order key of an event from its record.
    fn place(&self, placed: &mut Placed, record: &Record<'_>) {
        let event = &mut placed.event;
        let begin = self.clock.wrapping_add(record.i64(at::TS));
        let end = begin.wrapping_add(record.i64(at::DUR));
        event.set(Col::Pid, i64::from(record.u32(at::PID)));
        event.set(Col::Tid, i64::from(record.u32(at::TID)));
        event.put(Col::Cpu, compute::unpack(record.u16(at::CPU)));
        if !record.is(flag::NO_ENTRY) {
            event.set(Col::Ts, begin);
            if event.int(Col::Ret).is_some() {
                event.set(Col::Dur, record.i64(at::DUR));
            }
        }
        let instant = match lock::instant(event) {
            At::Return => end,
            At::Entry => begin,
        };
        // Records come in the order of returns, which breaks ties.
        placed.key = Key::new(instant, 0, self.seen.records);
        (placed.entry, placed.exit, placed.killed) = (begin, end, false);
    }

    /// Sets the text `fd_path` to where an open led, unless that follows from its path argument; remembers open directories.
    fn led_to(&mut self, event: &mut Event, record: &Record<'_>) {
        let Some(fd) = event.success().filter(|_| record.is(flag::WHERE)) else { return };
        if event.int(Col::Flags).unwrap_or(0) & O_TMPFILE == O_TMPFILE {
            return;
        }
        let (pid, found) = (record.u32(at::PID), path(record.names()));
        self.layouts.see(record.u64(at::INO), record.u16(at::MODE), record.i64(at::SIZE), &found);
        let said = event.text(Text::Path).unwrap_or_default();
        let plain = match event.int(Col::DirFd) {
            _ if said.first() == Some(&b'/') => *said == *found,
            Some(dir) => self.dirs.get(&(pid, dir)).is_some_and(|dir| {
                found.strip_prefix(&dir[..]).and_then(|rest| rest.strip_prefix(b"/")).is_some_and(|rest| rest == said)
            }),
            None => false,
        };
        if !plain {
            event.set_text(Text::FdPath, &found);
        }
        if record.u16(at::MODE) & 0o170_000 == 0o040_000 {
            if self.dirs.len() >= GONE {
                self.dirs.clear();
            }
            self.dirs.insert((pid, fd), found);
        }
    }

    fn arguments(&mut self, event: &mut Event, record: &Record<'_>) {
        let syscall = event.syscall;
        let def = syscall.def();
        let done = record.is(flag::ENTRY) || record.i64(at::RET) >= 0;
        let narrow = compat::is(usize::from(record.u16(at::NUMBER)));
        let mut strings = 0;
        for (place, role) in def.args.iter().enumerate() {
            let arg = if narrow { compat::register(syscall, place, record) } else { record.arg(syscall.register(place)) };
            match role {
                Role::Path | Role::Path2 | Role::Target | Role::Name => {
                    let which = strings;
                    strings += 1;
                    // getcwd fills its buffer only when it succeeds.
                    if def.op() == Some(Op::Getcwd) && !done {
                        continue;
                    }
                    let lost = record.is(if which == 0 { flag::LOST_FIRST } else { flag::LOST_SECOND });
                    if lost {
                        self.unreadable(record);
                    } else if arg != 0
                        && let (Some(text), Some(bytes)) = (role.text(), record.string(which))
                    {
                        event.set_text(text, bytes);
                    }
                }
                _ if narrow && compat::argument(event, *role, arg, record, done) => {}
                _ => argument(event, *role, arg, record, done),
            }
        }
        if let Some(place) = table::pair(syscall)
            && done
            && record.arg(usize::from(place)) != 0
            && let [a, b, c, d, e, f, g, h] = *record.behind()
        {
            event.set(Col::Fd, i64::from(i32::from_ne_bytes([a, b, c, d])));
            event.set(Col::Fd2, i64::from(i32::from_ne_bytes([e, f, g, h])));
        }
        if record.is(flag::LOST_BEHIND) {
            self.unreadable(record);
        }
        // Without O_CREAT the mode argument is not used and may be garbage.
        if matches!(def.op(), Some(Op::Open | Op::Openat))
            && event.int(Col::Flags).unwrap_or(0) & O_CREAT == 0
            && event.int(Col::Flags).unwrap_or(0) & O_TMPFILE != O_TMPFILE
        {
            event.put(Col::Mode, None);
        }
    }

    /// Counts an unreadable string or structure, unless the call itself could not read it (EFAULT).
    fn unreadable(&mut self, record: &Record<'_>) {
        self.seen.unreadable += u64::from(record.i64(at::RET) != -i64::from(libc::EFAULT));
    }
}

/// Sets the columns of the file (mode, device, inode; size and position of files and directories) from a record.
fn file(event: &mut Event, record: &Record<'_>) {
    let mode = u32::from(record.u16(at::MODE));
    let kind = mode & libc::S_IFMT;
    event.set(Col::StMode, i64::from(mode));
    event.set(Col::Dev, device(record.u32(at::DEV)));
    event.set(Col::Ino, record.i64(at::INO));
    // Only regular files and directories have a size and a position.
    if kind == libc::S_IFREG || kind == libc::S_IFDIR {
        event.set(Col::StSize, record.i64(at::SIZE));
        event.set(Col::Pos, record.i64(at::POS));
    }
}

/// Puts an absolute path together from names in order from the file up to the root, each with a NUL behind it.
fn path(names: &[u8]) -> Vec<u8> {
    let mut path = Vec::with_capacity(names.len() + 1);
    for name in names.strip_suffix(b"\0").unwrap_or_default().rsplit(|byte| *byte == 0) {
        path.push(b'/');
        path.extend_from_slice(name);
    }
    if path.is_empty() {
        path.push(b'/');
    }
    path
}

#[cfg(test)]
mod tests;
