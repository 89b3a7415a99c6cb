//! Records that tell of no call: processes that come, requests, page faults. What the decoder makes of them.

use super::requests::{self, ENTRY};
use super::{Decoder, file, path};
use crate::capture::kernel::record::{Record, at, flag, place};
use crate::capture::target::snapshot::Process;
use crate::event::{Col, Event, Text};
use crate::events::order::{Key, Placed};
use crate::syscall::{Role, Syscall};

/// Bytes of a page as faults count them (of x86_64; of others, the smallest).
const PAGE: i64 = 4096;

/// What is no event, and must be known to understand events.
#[derive(Clone, Debug)]
pub enum Notice {
    /// A process made another one.
    Forked {
        /// The one.
        parent: u32,
        /// The other.
        child: u32,
    },
    /// A process came into the scope, with a mount namespace as the kernel numbers it.
    Joined(Process, u64),
    /// It is in this working directory.
    Cwd(u32, Vec<u8>),
    /// Its root directory is this.
    Root(u32, Vec<u8>),
}

impl Decoder<'_> {
    /// Takes a record that tells of no call.
    pub(super) fn notice(&mut self, record: &Record<'_>) {
        let (pid, tid, begin) = (record.u32(at::PID), record.u32(at::TID), self.clock.wrapping_add(record.i64(at::TS)));
        if record.is(flag::FORKED) {
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
            self.notices.push(Notice::Joined(process, record.arg(3)));
        } else if record.is(flag::PLACE) {
            self.brought(record, begin);
        } else if record.is(flag::ASKED) {
            match self.rings.as_ref().and_then(|rings| rings.asked(record)) {
                Some(event) => self.more.extend(self.requests.asked((0, record.arg(0)), event, (pid, tid), begin)),
                None => self.seen.unknown += 1,
            }
        } else if record.is(flag::DONE) {
            let result = i64::from(record.i64(at::RET) as i32);
            let done = self.requests.done((0, record.arg(0)), begin, result).map(counted);
            self.more.extend(done.map(|placed| on_file(placed, record)));
        } else {
            let mut event = Event::new(Syscall::mmap_fault);
            let (first, last) = (record.arg(0) as i64, record.arg(1) as i64);
            for (col, value) in [
                (Col::Ts, begin),
                (Col::Dur, 0),
                (Col::Pid, i64::from(pid)),
                (Col::Tid, i64::from(tid)),
                (Col::Offset, first.saturating_mul(PAGE)),
                (Col::Count, last.saturating_sub(first).saturating_add(1).saturating_mul(PAGE)),
            ] {
                event.set(col, value);
            }
            event.set_outcome(0);
            file(&mut event, record);
            event.put(Col::Pos, None);
            let key = Key::new(begin, 0, self.seen.records);
            self.more.push_back(Placed { key, entry: begin, exit: begin, killed: false, moved: None, event });
        }
    }

    /// What a process had when it came into the scope.
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

    /// The requests that a call handed over, or that it tells to be done.
    pub(super) fn requested(&mut self, syscall: Syscall, record: &Record<'_>) {
        let (pid, tid, ret) = (record.u32(at::PID), record.u32(at::TID), record.i64(at::RET));
        let begin = self.clock.wrapping_add(record.i64(at::TS));
        if ret <= 0 {
            return;
        }
        match syscall {
            Syscall::io_submit => {
                let entries = record.behind().chunks_exact(ENTRY);
                self.seen.unknown += (ret as u64).saturating_sub(entries.len() as u64);
                for (address, event) in entries.filter_map(requests::submitted) {
                    match event {
                        Some(event) => self.more.extend(self.requests.asked((pid, address), event, (pid, tid), begin)),
                        None => self.seen.unknown += 1,
                    }
                }
            }
            Syscall::io_getevents => {
                let end = begin.wrapping_add(record.i64(at::DUR));
                for done in record.behind().chunks_exact(32) {
                    let word = |at: usize| done[at..].first_chunk().map_or(0, |bytes| i64::from_ne_bytes(*bytes));
                    self.more.extend(self.requests.done((pid, word(8) as u64), end, word(16)).map(counted));
                }
            }
            _ => {}
        }
    }

    /// Makes `placed` the next event that came with what was taken last; false when there is none.
    pub fn more(&mut self, placed: &mut Placed) -> bool {
        let next = self.more.pop_front();
        let came = next.is_some();
        if let Some(next) = next {
            *placed = next;
        }
        came
    }

    /// The capture ends: requests that are still under way are events without a result.
    pub fn finish(&mut self) {
        let rest = self.requests.rest();
        self.more.extend(rest);
    }
}

/// What was seen of the file of a request when it was done. Its position has nothing to do with it.
fn on_file(mut placed: Placed, record: &Record<'_>) -> Placed {
    if record.is(flag::FILE) && placed.event.syscall.def().has(Role::Fd) {
        file(&mut placed.event, record);
        placed.event.put(Col::Pos, None);
    }
    placed
}

/// What a descriptor is called that is open on nothing in any directory, as /proc shows it (proc_pid_fd(5)).
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

/// A vectored request asks for what it got, since nothing else is known of it.
fn counted(mut placed: Placed) -> Placed {
    let event = &mut placed.event;
    if event.int(Col::IovCnt).is_some() && event.int(Col::Count).is_none() {
        event.put(Col::Count, event.success());
        event.put(Col::IovCnt, None);
    }
    placed
}
