//! The decoder: turns records of the kernel side (or the ptrace backend) into events, by the roles of the syscall table.

pub mod argument;
pub mod compat;
pub mod notices;
pub mod requests;
pub mod table;
pub mod uring;

use crate::capture::kernel::compute;
use crate::capture::kernel::record::{Record, at, flag};
use crate::capture::target::snapshot::{Numbers, device};
use crate::event::{Col, Event, Text};
use crate::events::order::{Key, Placed};
use crate::loss::Loss;
use crate::syscall::flag::{O_CREAT, O_TMPFILE};
use crate::syscall::{At, Op, Role, Syscall, lock};
use argument::argument;
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
    /// Further events from records taken so far; [`Decoder::more`] hands them out.
    more: VecDeque<Placed>,
    /// Notices (forks, newcomers) from the records taken so far, in their order; the caller removes them.
    pub notices: Vec<Notice>,
    /// The process that waits at the gate to execute the command, until its exec succeeds: calls before that are not captured.
    gate: Option<u32>,
    /// Events of exec calls that have not returned, by thread id.
    execs: HashMap<u32, Event>,
    /// Processes whose exit_group was seen, so that the end of their threads needs no event of its own, and whether their first
    /// thread has ended: its number is then free for another process.
    gone: HashMap<u32, bool>,
    /// Paths of open directories by process and descriptor: an open below one needs no path of its own if it led where it says.
    dirs: HashMap<(u32, i64), Vec<u8>>,
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
            more: VecDeque::new(),
            notices: Vec::new(),
            gate,
            execs: HashMap::new(),
            gone: HashMap::new(),
            dirs: HashMap::new(),
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
        // Others may end after the first one.
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
mod tests {
    use super::*;
    use crate::capture::kernel::record::FIXED;
    use crate::syscall::number::Abi;

    /// A record of a call by task 7:8 that began at 100 and took 5.
    fn record(syscall: Syscall, args: &[u64], ret: i64, flags: u16) -> Vec<u8> {
        let mut bytes = vec![0; FIXED as usize];
        let mut put = |at: i16, value: &[u8]| bytes[at as usize..at as usize + value.len()].copy_from_slice(value);
        put(at::TS, &100u64.to_ne_bytes());
        put(at::DUR, &5u64.to_ne_bytes());
        put(at::PID, &7u32.to_ne_bytes());
        put(at::TID, &8u32.to_ne_bytes());
        put(at::NUMBER, &syscall.number(Abi::NATIVE).unwrap().to_ne_bytes());
        put(at::FLAGS, &flags.to_ne_bytes());
        put(at::RET, &ret.to_ne_bytes());
        for (place, arg) in (0..).zip(args) {
            put(at::ARGS + 8 * place, &arg.to_ne_bytes());
        }
        bytes
    }

    fn append(bytes: &mut Vec<u8>, length_at: i16, part: &[u8]) {
        bytes[length_at as usize..length_at as usize + 2].copy_from_slice(&(part.len() as u16).to_ne_bytes());
        bytes.extend_from_slice(part);
    }

    fn decode(records: &[Vec<u8>]) -> Vec<Event> {
        let calls = Calls::new(|_| true);
        let mut decoder = Decoder::new(&calls, 1000, None);
        let mut placed = Placed::room();
        let mut events = Vec::new();
        for record in records {
            if decoder.take(record, &mut placed) {
                events.push(placed.event.clone());
            }
        }
        events
    }

    #[test]
    fn an_open_has_its_path_and_where_it_led() {
        let mut bytes = record(Syscall::openat, &[-100i64 as u64, 99, 0o2, 0o777], 3, flag::FILE | flag::WHERE);
        append(&mut bytes, at::STRINGS, b"lib/x\0");
        append(&mut bytes, at::WHERE, b"x\0lib\0usr\0");
        let event = decode(&[bytes]).remove(0);
        assert_eq!((event.text(Text::Path), event.text(Text::FdPath)), (Some(&b"lib/x"[..]), Some(&b"/usr/lib/x"[..])));
        assert_eq!((event.int(Col::DirFd), event.int(Col::Mode), event.int(Col::Ts)), (Some(-100), None, Some(1100)));
        assert_eq!((event.success(), event.int(Col::Dur)), (Some(3), Some(5)));
    }

    #[test]
    fn vectors_are_summed_and_offsets_are_those_before_the_call() {
        let mut bytes = record(Syscall::preadv2, &[3, 99, 2, 4096, 0, 8], 300, 0);
        let vectors: Vec<u8> = [0u64, 100, 0, 250].iter().flat_map(|word| word.to_ne_bytes()).collect();
        append(&mut bytes, at::BEHIND, &vectors);
        let mut copy = record(Syscall::copy_file_range, &[3, 0, 4, 99, 500, 0], 200, 0);
        append(&mut copy, at::BEHIND, &[0i64, 1200].map(i64::to_ne_bytes).concat());
        let events = decode(&[bytes, copy]);
        assert_eq!(
            (events[0].int(Col::Count), events[0].int(Col::Offset), events[0].int(Col::Flags)),
            (Some(350), Some(4096), Some(8))
        );
        assert_eq!((events[1].int(Col::Offset), events[1].int(Col::Offset2)), (None, Some(1000)));
    }

    #[test]
    fn a_record_lock_is_read_from_behind_its_pointer_and_other_arguments_are_not() {
        let mut lock = record(Syscall::fcntl, &[3, 7, 99], 0, 0);
        let words = [u64::from(2_u32 << 16 | 1), -10_i64 as u64, 1 << 40];
        append(&mut lock, at::BEHIND, &words.map(u64::to_ne_bytes).concat());
        let dup = record(Syscall::fcntl, &[3, 0, 99], 99, 0);
        let events = decode(&[lock, dup]);
        let columns = |event: &Event| [Col::Mode, Col::Whence, Col::Offset, Col::Count, Col::Arg].map(|col| event.int(col));
        assert_eq!(columns(&events[0]), [Some(1), Some(2), Some(-10), Some(1 << 40), None]);
        assert_eq!(columns(&events[1]), [None, None, None, None, Some(99)]);
    }

    #[test]
    fn exec_is_joined_and_a_killed_thread_ends() {
        let mut entry = record(Syscall::execve, &[99, 0, 0], 0, flag::ENTRY);
        append(&mut entry, at::STRINGS, b"/bin/true\0");
        let exit = record(Syscall::execve, &[0, 0, 0], 0, 0);
        let mut end = record(Syscall::read, &[], 0, flag::END);
        end[at::NUMBER as usize] += 1;
        let events = decode(&[entry, exit, end]);
        assert_eq!((events[0].text(Text::Path), events[0].success()), (Some(&b"/bin/true"[..]), Some(0)));
        assert_eq!((events[1].syscall, events[1].int(Col::Ret)), (Syscall::exit, None));
    }

    #[test]
    fn an_expected_end_is_no_event() {
        let exit = record(Syscall::exit_group, &[0], 0, flag::ENTRY);
        let other = record(Syscall::read, &[], 0, flag::END);
        assert_eq!(decode(&[exit, other]).len(), 1);
    }

    #[test]
    fn threads_that_an_exit_group_ends_have_no_events_in_whatever_order_they_end() {
        let of = |mut bytes: Vec<u8>, tid: u32| {
            bytes[at::TID as usize..at::TID as usize + 4].copy_from_slice(&tid.to_ne_bytes());
            bytes
        };
        let exit = || of(record(Syscall::exit_group, &[0], 0, flag::ENTRY), 9);
        let end = |tid| of(record(Syscall::read, &[], 0, flag::END), tid);
        assert_eq!(decode(&[exit(), end(7), end(9), end(8)]).len(), 1);
        // Another process gets the number, does something and is killed; and one of which nothing else was seen.
        let other = of(record(Syscall::read, &[3], 0, 0), 7);
        let events = decode(&[exit(), end(7), other, end(8), end(7)]);
        assert_eq!(
            events.iter().map(|event| event.syscall).collect::<Vec<_>>()[1..],
            [Syscall::read, Syscall::exit, Syscall::exit]
        );
        assert_eq!(decode(&[exit(), end(7), end(7)]).len(), 2);
    }

    #[test]
    fn a_forked_child_does_not_return_from_a_call_it_never_made() {
        assert!(decode(&[record(Syscall::clone, &[], 0, flag::NO_ENTRY)]).is_empty());
        assert_eq!(decode(&[record(Syscall::read, &[3], 0, flag::NO_ENTRY)])[0].int(Col::Ts), None);
    }

    #[test]
    fn damaged_records_do_not_panic() {
        let mut whole = record(Syscall::openat2, &[3, 1, 1, 24], 3, flag::FILE | flag::WHERE);
        append(&mut whole, at::STRINGS, b"a\0");
        for at in [at::STRINGS, at::BEHIND, at::WHERE] {
            let mut bytes = whole.clone();
            bytes[at as usize..at as usize + 2].copy_from_slice(&[0xff; 2]);
            decode(&[bytes]);
        }
        decode(&[whole[..100].to_vec(), Vec::new()]);
    }
}
