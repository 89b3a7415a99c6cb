//! The part of the decoder for records that are not about a call: forks, newcomers, asynchronous requests, page faults.

use super::requests::{self, ENTRY, Route};
use super::uring::Asked;
use super::{Decoder, file, path};
use crate::capture::kernel::record::{Record, at, fault, flag, place};
use crate::capture::target::snapshot::Process;
use crate::event::{Col, Event, Text};
use crate::events::order::{Key, Placed};
use crate::loss::Loss;
use crate::syscall::{Op, Role, Syscall, Wake};

/// Flags of a request (include/linux/io_uring_types.h of the kernel): it begins when all before it are done; the next one begins
/// when it is done.
const REQ_F_IO_DRAIN: u64 = 1 << 1;
const REQ_F_LINK: u64 = 1 << 2;
const REQ_F_HARDLINK: u64 = 1 << 3;

/// What a record tells the capture that is no event: new processes and what they have.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A captured process forked another one.
    Forked {
        /// Process id of the process that forked.
        parent: u32,
        /// Process id of the new process.
        child: u32,
    },
    /// A newcomer: a process came into the scope. The number is that of its mount namespace in the kernel.
    Joined(Box<Process>, u64),
    /// Process id and working directory of a newcomer.
    Cwd(u32, Vec<u8>),
    /// Process id and root directory of a newcomer.
    Root(u32, Vec<u8>),
}

impl Decoder<'_> {
    /// Decodes a record that is not about a call: adds notices, or events for [`Decoder::more`].
    pub(super) fn notice(&mut self, record: &Record<'_>) {
        let (pid, tid, begin) = (record.u32(at::PID), record.u32(at::TID), self.clock.wrapping_add(record.i64(at::TS)));
        if record.is_executed() {
            self.executed(record);
        } else if record.is(flag::FORKED) {
            self.notices.push(Notice::Forked { parent: pid, child: tid });
        } else if record.is(flag::JOINED) {
            let comm = record.string(0).unwrap_or_default();
            let process = Process {
                pid: i64::from(pid),
                parent: record.arg(0) as i64,
                uid: record.arg(1) as i64,
                gid: record.arg(2) as i64,
                comm: comm.split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
                ..Process::default()
            };
            self.notices.push(Notice::Joined(Box::new(process), record.arg(3)));
        } else if record.is(flag::PLACE) {
            self.brought(record, begin);
        } else if record.is(flag::ASKED) {
            match self.rings.as_ref().map_or(Asked::Lost(Loss::Requests), |rings| rings.asked(record)) {
                Asked::Event(event, slot) => {
                    let route = Route {
                        ring: (0, record.arg(4)),
                        head: Some(record.arg(5) as u32),
                        behind: (record.arg(3) >> 32) as u32,
                        slot,
                        user_data: record.i64(at::RET) as u64,
                        setup: (record.arg(5) >> 32) as u32,
                        links: record.arg(3) & (REQ_F_LINK | REQ_F_HARDLINK) != 0,
                        drains: record.arg(3) & REQ_F_IO_DRAIN != 0,
                    };
                    let old = self.requests.asked((0, record.arg(0)), route, event, (pid, tid), begin);
                    self.seen.no_result += u64::from(old.is_some());
                    self.more.extend(old);
                }
                Asked::Lost(Loss::Splices) => self.seen.splices += 1,
                Asked::Lost(Loss::Attributes) => self.seen.attributes += 1,
                Asked::Lost(Loss::Commands) => self.seen.commands += 1,
                Asked::Lost(_) => self.seen.unknown += 1,
                Asked::NoFile => {}
            }
        } else if record.is(flag::DONE) && record.arg(0) == 0 {
            let result = i64::from(record.i64(at::RET) as i32);
            let done = self.requests.overflowed((0, record.arg(2)), record.arg(3), begin, result).map(counted);
            self.more.extend(done);
        } else if record.is(flag::DONE) {
            let result = i64::from(record.i64(at::RET) as i32);
            let place = Some(record.arg(1) as u32);
            let done = self.requests.done((0, record.arg(0)), begin, result, place).map(counted);
            self.more.extend(done.map(|placed| on_file(placed, record)));
        } else if record.is(flag::REAPED) {
            self.reaped(record, pid, begin);
        } else if record.is(flag::WAITED) {
            self.waited(record);
        } else if self.gated(pid) {
            // What it finds in memory before it executes the command tells nothing of the command.
        } else if record.arg(2) as i32 == fault::ADDED {
            self.added(record, begin);
        } else {
            self.fault(record, begin);
        }
    }

    /// Decodes a wait of a thread. It is ordered at its end, so behind what the thread did that woke it.
    fn waited(&mut self, record: &Record<'_>) {
        let (pid, tid) = (record.u32(at::PID), record.u32(at::TID));
        let inside = record.u16(at::NUMBER).checked_sub(1).and_then(|number| self.calls.get(usize::from(number)));
        // Whoever calls exit is gone for all who read the events.
        let gone = matches!(inside.and_then(|(syscall, _)| syscall.op()), Some(Op::Exit | Op::ExitGroup));
        if gone || self.gated(pid) {
            return;
        }
        let begin = self.clock.wrapping_add(record.i64(at::TS));
        let end = begin.wrapping_add(record.i64(at::DUR));
        if self.slept_in_fault(record, begin, end) {
            return;
        }
        let wake = Wake::of(record.arg(1) as i64);
        let mut event = Event::new(Syscall::waited);
        for (col, value) in [
            (Col::Ts, begin),
            (Col::Dur, record.i64(at::DUR)),
            (Col::Pid, i64::from(pid)),
            (Col::Tid, i64::from(tid)),
            (Col::Cmd, wake.number()),
        ] {
            event.set(col, value);
        }
        event.put(Col::Arg, wake.by_thread().then_some(record.arg(0) as i64));
        event.set_outcome(record.i64(at::RET).max(0));
        let key = Key::new(end, 0, self.seen.records);
        self.more.push_back(Placed { key, entry: end, exit: end, killed: false, moved: None, event });
    }

    /// Decodes a directory or descriptor that a newcomer had: an event `joined_cwd` or `joined_fd`, or a notice.
    fn brought(&mut self, record: &Record<'_>, begin: i64) {
        let names = record.names();
        let gone: &[u8] = if record.arg(3) == 0 { b"" } else { b" (deleted)" };
        let whole = record.is(flag::WHERE).then(|| [&path(names), gone].concat());
        let mut event = match (record.arg(0) as i32, whole) {
            (place::ROOT, Some(path)) => return self.notices.push(Notice::Root(record.u32(at::PID), path)),
            (place::CWD, Some(path)) => {
                let mut event = Event::new(Syscall::joined_cwd);
                event.set_text(Text::Path, &path);
                self.notices.push(Notice::Cwd(record.u32(at::PID), path));
                event
            }
            (place::CWD | place::ROOT, None) => return,
            (number, path) => {
                let mut event = Event::new(Syscall::joined_fd);
                event.set(Col::Fd, i64::from(number - place::FILES));
                let cloexec = if record.arg(2) == 0 { 0 } else { i64::from(libc::O_CLOEXEC) };
                event.set(Col::Flags, i64::from(record.u32(at::FILE_FLAGS)) & !i64::from(libc::O_CLOEXEC) | cloexec);
                event.set(Col::Arg, self.ofds.of(record.arg(1)));
                file(&mut event, record);
                if let Some(path) = path.or_else(|| nowhere(record)) {
                    event.set_text(Text::FdPath, path);
                }
                event
            }
        };
        for (col, value) in
            [(Col::Ts, begin), (Col::Dur, 0), (Col::Pid, record.u32(at::PID).into()), (Col::Tid, record.u32(at::TID).into())]
        {
            event.set(col, value);
        }
        event.set_outcome(0);
        let key = Key::new(begin, 0, self.seen.records);
        self.more.push_back(Placed { key, entry: begin, exit: begin, killed: false, moved: None, event });
    }

    /// Takes the requests that io_submit submitted, or the completions that io_getevents returned.
    pub(super) fn requested(&mut self, syscall: Syscall, record: &Record<'_>) {
        let (pid, tid, ret) = (record.u32(at::PID), record.u32(at::TID), record.i64(at::RET));
        let begin = self.clock.wrapping_add(record.i64(at::TS));
        if ret <= 0 {
            return;
        }
        match syscall {
            Syscall::io_submit => {
                self.seen.contexts = true;
                let mut route = Route {
                    ring: (pid, record.arg(0)),
                    head: None,
                    behind: 0,
                    slot: None,
                    user_data: 0,
                    setup: 0,
                    links: false,
                    drains: false,
                };
                let entries = record.behind().chunks_exact(ENTRY);
                let taken = entries.len().min(ret as usize) as u32;
                self.seen.unknown += (ret as u64).saturating_sub(entries.len() as u64);
                for ((address, event), number) in entries.filter_map(requests::submitted).zip(1..) {
                    route.behind = taken.saturating_sub(number);
                    match event {
                        Some(event) => {
                            let old = self.requests.asked((pid, address), route, event, (pid, tid), begin);
                            self.seen.no_result += u64::from(old.is_some());
                            self.more.extend(old);
                        }
                        None => self.seen.unknown += 1,
                    }
                }
            }
            Syscall::io_getevents => {
                self.reaped(record, pid, begin.wrapping_add(record.i64(at::DUR)));
            }
            _ => {}
        }
    }

    /// Takes results of io_submit (`struct io_event`) that the program had by this time, ns since 1970.
    fn reaped(&mut self, record: &Record<'_>, pid: u32, end: i64) {
        for done in record.behind().chunks_exact(32) {
            let word = |at: usize| done[at..].first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes));
            self.more.extend(self.requests.done((pid, word(8) as u64), end, word(16), None).map(counted));
        }
    }

    /// Moves the next further event into `placed`; false when there is none.
    pub fn more(&mut self, placed: &mut Placed) -> bool {
        let next = self.more.pop_front();
        let came = next.is_some();
        if let Some(next) = next {
            *placed = next;
        }
        came
    }

    /// To be called at the end of the capture: requests still under way become events without a result, for [`Decoder::more`].
    pub fn finish(&mut self) {
        self.more.extend(self.faults.rest());
        self.added_rest();
        let rest = self.requests.rest();
        self.seen.no_result += rest.len() as u64;
        self.more.extend(rest);
    }
}

/// Adds to the event of a request what was recorded of its file at completion, without the position, which requests do not use.
fn on_file(mut placed: Placed, record: &Record<'_>) -> Placed {
    // Of a splice it is the other file.
    let its = placed.event.syscall.def().has(Role::Fd) && placed.event.syscall != Syscall::uring_splice;
    if record.is(flag::FILE) && its {
        file(&mut placed.event, record);
        placed.event.put(Col::Pos, None);
    }
    placed
}

/// Name of a file that is in no directory (pipe, socket, anonymous inode, memfd), as /proc shows it (proc_pid_fd(5)); `None`
/// for other files.
fn nowhere(record: &Record<'_>) -> Option<Vec<u8>> {
    let name = record.names().split(|byte| *byte == 0).next().unwrap_or_default();
    let inode = |kind: &str| Some(format!("{kind}:[{}]", record.i64(at::INO)).into_bytes());
    match libc::mode_t::from(record.u16(at::MODE)) & libc::S_IFMT {
        libc::S_IFIFO => inode("pipe"),
        libc::S_IFSOCK => inode("socket"),
        _ if name.first() == Some(&b'[') => Some([b"anon_inode:", name].concat()),
        _ if name.starts_with(b"memfd:") => Some([b"/", name, b" (deleted)"].concat()),
        _ => None,
    }
}

/// Sets the `count` of a vectored request to the bytes it transferred, since the lengths of its vectors are not captured.
fn counted(mut placed: Placed) -> Placed {
    let event = &mut placed.event;
    if event.int(Col::IovCnt).is_some() && event.int(Col::Count).is_none() {
        event.put(Col::Count, event.success());
        event.put(Col::IovCnt, None);
    }
    placed
}
