//! Tracks, over the calls of a window, which file each descriptor of a process is open on, and which calls close
//! descriptors.

use super::growth::file;
use crate::event::{Col, Event};
use crate::syscall::{Op, Ret, Role, flag};
use std::collections::BTreeMap;

/// A descriptor: the identity of its file (`None` when unknown), and its close-on-exec flag.
#[derive(Clone, Copy, Debug, Default)]
struct Open {
    file: Option<u64>,
    cloexec: bool,
}

/// Open descriptors, by process id and number, as far as the window's calls show them.
#[derive(Debug, Default)]
pub struct Descriptors(BTreeMap<(i64, i64), Open>);

impl Descriptors {
    /// Takes the next call. Returns the files of which it closed a descriptor: by close, by dup2 onto it, by
    /// close_range, or at exec.
    pub fn take(&mut self, event: &Event) -> Vec<u64> {
        let (Some(pid), Some(op)) = (event.int(Col::Pid), event.syscall.op()) else { return Vec::new() };
        let (fd, flags) = (event.int(Col::Fd), event.int(Col::Flags).unwrap_or(0));
        if let Some(fd) = fd.filter(|_| event.syscall.def().has(Role::Fd)) {
            // What the call itself shows of the file (device and inode, or path).
            if let Some(file) = file(event).filter(|_| op != Op::CloseRange) {
                self.0.entry((pid, fd)).or_default().file = Some(file);
            }
        }
        let Some(ret) = event.success() else { return Vec::new() };
        match op {
            Op::Close => fd.and_then(|fd| self.0.remove(&(pid, fd))).and_then(|open| open.file).into_iter().collect(),
            Op::CloseRange if flags & flag::CLOSE_RANGE_CLOEXEC == 0 => {
                let (first, last) = (fd.unwrap_or(0), event.int(Col::Fd2).filter(|last| *last >= 0).unwrap_or(i64::MAX));
                self.end(pid, |number, _| (first..=last).contains(&number))
            }
            Op::Exec => self.end(pid, |_, open| open.cloexec),
            Op::Dup => self.put(pid, ret, fd, flags & flag::O_CLOEXEC != 0),
            Op::Fcntl => match event.int(Col::Cmd) {
                Some(cmd @ (flag::F_DUPFD | flag::F_DUPFD_CLOEXEC)) => self.put(pid, ret, fd, cmd == flag::F_DUPFD_CLOEXEC),
                Some(flag::F_SETFD) => {
                    let cloexec = event.int(Col::Arg).is_some_and(|flags| flags & flag::FD_CLOEXEC != 0);
                    fd.into_iter().for_each(|fd| self.0.entry((pid, fd)).or_default().cloexec = cloexec);
                    Vec::new()
                }
                _ => Vec::new(),
            },
            _ if event.syscall.def().ret == Ret::NewFd => {
                self.0.insert((pid, ret), Open { file: file(event), cloexec: flags & flag::O_CLOEXEC != 0 });
                Vec::new()
            }
            _ => Vec::new(),
        }
    }

    /// Makes descriptor `number` a copy of `from` (dup). Returns the file that it was open on before, if any.
    fn put(&mut self, pid: i64, number: i64, from: Option<i64>, cloexec: bool) -> Vec<u64> {
        if from == Some(number) {
            return Vec::new();
        }
        let file = from.and_then(|from| self.0.get(&(pid, from))).and_then(|open| open.file);
        let old = self.0.insert((pid, number), Open { file, cloexec });
        old.and_then(|open| open.file).into_iter().collect()
    }

    fn end(&mut self, pid: i64, which: impl Fn(i64, &Open) -> bool) -> Vec<u64> {
        let of_process = self.0.range((pid, 0)..=(pid, i64::MAX));
        let gone: Vec<_> = of_process.filter(|((_, number), open)| which(*number, open)).map(|(at, _)| *at).collect();
        gone.into_iter().filter_map(|at| self.0.remove(&at)?.file).collect()
    }
}
