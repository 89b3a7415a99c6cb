//! The path filter: which events are kept, by the paths they are about (`--path`, `--not-path`).
//!
//! An event is about the path arguments of its call, and about the file of its descriptor. That file is judged once, by the
//! path it was opened on: so all calls on a descriptor, from its open to its close, are kept or dropped together, and none
//! refers to an open that is missing. A call about two files is kept when one of them is. Calls that name no file are kept,
//! and so are those about processes (fork, exec, exit, working directories), since the meaning of other calls depends on them.
//!
//! Descriptors are followed through dup, fork and close as the kernel inherits and copies them.

use super::glob::Glob;
use super::snapshot::Snapshot;
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::syscall::{Op, Ret, Role, Syscall, flag};
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

/// The path patterns of options `--path` and `--not-path`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Paths {
    /// Patterns to keep: only paths that one of these matches are kept; every path if there is none.
    pub only: Vec<Glob>,
    /// Patterns to drop: paths that one of these matches are dropped, even if `only` matches them.
    pub not: Vec<Glob>,
}

impl Paths {
    /// Are there no patterns, so that every event is kept?
    pub const fn all(&self) -> bool {
        self.only.is_empty() && self.not.is_empty()
    }

    /// Is a path kept? Also used for names that are no paths, such as `pipe:[7]`.
    pub fn keep(&self, path: &[u8]) -> bool {
        let any = |globs: &[Glob]| globs.iter().any(|glob| glob.matches(path));
        (self.only.is_empty() || any(&self.only)) && !any(&self.not)
    }
}

/// What a descriptor is open on, and whether calls on it are kept.
#[derive(Clone, Debug)]
struct Open {
    path: Arc<[u8]>,
    stays: bool,
    /// Is it closed by exec?
    cloexec: bool,
}

/// What is known of a process: working directory, root directory (`None`: unknown, or `/`) and open descriptors.
#[derive(Clone, Debug, Default)]
struct Process {
    cwd: Option<Arc<[u8]>>,
    root: Option<Arc<[u8]>>,
    open: BTreeMap<i64, Open>,
}

/// Decides for each event of a capture whether it is kept, and follows descriptors and working directories to do so.
#[derive(Debug, Default)]
pub struct PathFilter {
    paths: Paths,
    processes: HashMap<i64, Process>,
    /// Number of calls that were dropped so far.
    pub filtered: u64,
}

impl PathFilter {
    /// A filter with these patterns that starts with the processes and open files of the snapshot.
    pub fn new(paths: &Paths, snapshot: &Snapshot) -> PathFilter {
        let mut path_filter = PathFilter { paths: paths.clone(), ..PathFilter::default() };
        for there in &snapshot.processes {
            let process = path_filter.processes.entry(there.pid).or_default();
            [process.cwd, process.root] = [&there.cwd, &there.root].map(|path| path.as_deref().map(Arc::from));
        }
        for file in &snapshot.files {
            let path = file.path.strip_suffix(b" (deleted)").unwrap_or(&file.path);
            path_filter.opened(file.pid, file.fd, path, file.cloexec);
        }
        path_filter
    }

    /// Notes that a process was forked: it starts with the descriptors and directories of its parent.
    pub fn forked(&mut self, parent: u32, child: u32) {
        self.inherit(i64::from(parent), i64::from(child));
    }

    fn inherit(&mut self, parent: i64, child: i64) {
        if !self.paths.all() {
            let like = self.processes.get(&parent).cloned().unwrap_or_default();
            self.processes.insert(child, like);
        }
    }

    /// Is the event kept? To be called once for each event, in the order in which calls returned, since it also updates what is
    /// known of descriptors.
    pub fn lets(&mut self, event: &Event) -> bool {
        if self.paths.all() {
            return true;
        }
        let stays = self.judge(event);
        self.filtered += u64::from(!stays && event.syscall.is_call());
        stays
    }

    fn judge(&mut self, event: &Event) -> bool {
        let (def, op) = (event.syscall.def(), event.syscall.op());
        let pid = event.int(Col::Pid).unwrap_or(0);
        let stays = match op {
            Some(Op::Joined) => return self.joined(pid, event),
            Some(op) if op.of_process() => true,
            Some(Op::CloseRange | Op::PidfdGetfd | Op::Unshare | Op::Setns) => true,
            // An open that succeeded is judged by the file it led to.
            _ if def.ret == Ret::NewFd && op != Some(Op::Dup) && event.success().is_some() => {
                let path = self.made(pid, event);
                let stays = self.paths.keep(&path);
                // Of others that make a descriptor the flags are not captured, or it has no use here.
                self.opened(pid, event.success().unwrap_or(-1), &path, closes_at_exec(event));
                return stays;
            }
            _ => {
                let about = [
                    self.named(pid, event, Role::Path, Text::Path, Col::DirFd),
                    self.named(pid, event, Role::Path2, Text::Path2, Col::DirFd2),
                    self.descriptor(pid, event, Role::Fd, Col::Fd),
                    self.descriptor(pid, event, Role::Fd2, Col::Fd2),
                ];
                let mut about = about.iter().flatten().peekable();
                about.peek().is_none() || about.any(|stays| *stays)
            }
        };
        self.follow(pid, event, op);
        stays
    }

    /// Takes an event about what a newcomer has (`joined_cwd`, `joined_fd`). Its working directory is kept; an open file is
    /// judged by its path, as are all later calls on it.
    fn joined(&mut self, pid: i64, event: &Event) -> bool {
        if event.syscall == Syscall::joined_cwd {
            self.processes.entry(pid).or_default().cwd = event.text(Text::Path).map(Arc::from);
            return true;
        }
        let path = event.text(Text::FdPath).unwrap_or_default();
        let path = path.strip_suffix(b" (deleted)").unwrap_or(path);
        self.opened(pid, event.int(Col::Fd).unwrap_or(-1), path, closes_at_exec(event));
        self.paths.keep(path)
    }

    /// The path that an open led to, or, for a descriptor that is no file, the name of the call that made it.
    fn made(&self, pid: i64, event: &Event) -> Arc<[u8]> {
        match (event.text(Text::FdPath), event.text(Text::Path)) {
            (Some(path), _) => path.into(),
            (None, Some(path)) => self.resolve(pid, event.int(Col::DirFd), path),
            (None, None) => event.name().as_bytes().into(),
        }
    }

    /// Is the file that a path argument names kept? `None` when the call has no such argument.
    fn named(&self, pid: i64, event: &Event, role: Role, text: Text, dir: Col) -> Option<bool> {
        let path = event.text(text).filter(|_| event.syscall.def().has(role))?;
        // An empty path resolves to the path of the directory descriptor (AT_EMPTY_PATH).
        Some(self.paths.keep(&self.resolve(pid, event.int(dir), path)))
    }

    /// Is the file of a descriptor argument kept? `None` when the call has no such argument.
    fn descriptor(&self, pid: i64, event: &Event, role: Role, col: Col) -> Option<bool> {
        let fd = event.int(col).filter(|fd| *fd >= 0 && event.syscall.def().has(role))?;
        Some(match self.open(pid, fd) {
            Some(open) => open.stays,
            // Its file is unknown: kept unless only certain paths are wanted.
            None => self.paths.only.is_empty(),
        })
    }

    /// Applies what the call changes: descriptors that it makes, copies or closes, processes, working and root directories.
    fn follow(&mut self, pid: i64, event: &Event, op: Option<Op>) {
        let Some(ret) = event.success() else {
            if op == Some(Op::ExitGroup) || (op == Some(Op::Exit) && event.int(Col::Tid) == Some(pid)) {
                self.processes.remove(&pid);
            }
            return;
        };
        let fd = event.int(Col::Fd);
        match op {
            Some(Op::Close) => self.close(pid, fd.unwrap_or(-1)..=fd.unwrap_or(-1)),
            Some(Op::CloseRange) if event.int(Col::Flags).unwrap_or(0) & flag::CLOSE_RANGE_CLOEXEC == 0 => {
                self.close(pid, fd.unwrap_or(0)..=event.int(Col::Fd2).unwrap_or(-1) & 0xffff_ffff);
            }
            Some(Op::CloseRange) => {
                let fds = fd.unwrap_or(0)..=event.int(Col::Fd2).unwrap_or(-1) & 0xffff_ffff;
                let open = &mut self.processes.entry(pid).or_default().open;
                open.iter_mut().filter(|(fd, _)| fds.contains(fd)).for_each(|(_, open)| open.cloexec = true);
            }
            Some(Op::Exec) => self.processes.entry(pid).or_default().open.retain(|_, open| !open.cloexec),
            Some(Op::Fork) if ret > 0 && !self.processes.contains_key(&ret) => self.inherit(pid, ret),
            Some(Op::Dup) => self.copy(pid, fd, ret, closes_at_exec(event)),
            Some(Op::Fcntl) => match event.int(Col::Cmd) {
                Some(cmd @ (flag::F_DUPFD | flag::F_DUPFD_CLOEXEC)) => self.copy(pid, fd, ret, cmd == flag::F_DUPFD_CLOEXEC),
                Some(flag::F_SETFD) => self.set_cloexec(pid, fd, event.int(Col::Arg).unwrap_or(0) & flag::FD_CLOEXEC != 0),
                _ => {}
            },
            Some(Op::Ioctl) if matches!(event.int(Col::Cmd), Some(flag::FIOCLEX | flag::FIONCLEX)) => {
                self.set_cloexec(pid, fd, event.int(Col::Cmd) == Some(flag::FIOCLEX));
            }
            Some(Op::Chroot) => {
                let root = event.text(Text::Path).map(|path| self.resolve(pid, None, path));
                self.processes.entry(pid).or_default().root = root;
            }
            Some(Op::Chdir) => {
                let cwd = event.text(Text::Path).map(|path| self.resolve(pid, None, path));
                self.processes.entry(pid).or_default().cwd = cwd;
            }
            Some(Op::Fchdir) => {
                let cwd = fd.and_then(|fd| self.open(pid, fd)).map(|open| Arc::clone(&open.path));
                self.processes.entry(pid).or_default().cwd = cwd;
            }
            Some(Op::Special) if matches!(event.syscall, Syscall::pipe | Syscall::pipe2 | Syscall::socketpair) => {
                for end in [fd, event.int(Col::Fd2)].into_iter().flatten() {
                    self.opened(pid, end, event.name().as_bytes(), closes_at_exec(event));
                }
            }
            _ => {}
        }
    }

    fn open(&self, pid: i64, fd: i64) -> Option<&Open> {
        self.processes.get(&pid)?.open.get(&fd)
    }

    fn opened(&mut self, pid: i64, fd: i64, path: &[u8], cloexec: bool) {
        let open = Open { path: path.into(), stays: self.paths.keep(path), cloexec };
        self.processes.entry(pid).or_default().open.insert(fd, open);
    }

    fn set_cloexec(&mut self, pid: i64, fd: Option<i64>, cloexec: bool) {
        let process = self.processes.get_mut(&pid);
        if let Some(open) = process.zip(fd).and_then(|(process, fd)| process.open.get_mut(&fd)) {
            open.cloexec = cloexec;
        }
    }

    fn copy(&mut self, pid: i64, from: Option<i64>, to: i64, cloexec: bool) {
        let process = self.processes.entry(pid).or_default();
        match from.and_then(|from| process.open.get(&from)).cloned() {
            Some(open) => process.open.insert(to, Open { cloexec, ..open }),
            None => process.open.remove(&to),
        };
    }

    fn close(&mut self, pid: i64, fds: std::ops::RangeInclusive<i64>) {
        if fds.start() <= fds.end()
            && let Some(process) = self.processes.get_mut(&pid)
        {
            process.open.retain(|fd, _| !fds.contains(fd));
        }
    }

    /// Makes a path absolute, from the machine's root, without `.` and `..`; symlinks are not followed. A relative path whose
    /// directory is not known stays as it is.
    fn resolve(&self, pid: i64, dir: Option<i64>, path: &[u8]) -> Arc<[u8]> {
        let base = match dir {
            _ if path.first() == Some(&b'/') => self.processes.get(&pid).and_then(|process| process.root.as_deref()),
            None | Some(AT_FDCWD) => self.processes.get(&pid).and_then(|process| process.cwd.as_deref()),
            Some(fd) => self.open(pid, fd).map(|open| &*open.path),
        };
        if base.is_none() && path.first() != Some(&b'/') {
            return path.into();
        }
        let mut names: Vec<&[u8]> = Vec::new();
        for name in base.unwrap_or_default().split(|byte| *byte == b'/').chain(path.split(|byte| *byte == b'/')) {
            match name {
                b"" | b"." => {}
                b".." => {
                    names.pop();
                }
                name => names.push(name),
            }
        }
        let mut whole = Vec::with_capacity(base.map_or(0, <[u8]>::len) + path.len() + 2);
        for name in names {
            whole.push(b'/');
            whole.extend_from_slice(name);
        }
        if whole.is_empty() {
            whole.push(b'/');
        }
        whole.into()
    }
}

/// Is the descriptor that the call makes closed by exec?
fn closes_at_exec(event: &Event) -> bool {
    event.int(Col::Flags).unwrap_or(0) & flag::O_CLOEXEC != 0
}

#[cfg(test)]
mod tests {
    use super::super::snapshot::{OpenFile, Process as There};
    use super::*;

    fn paths(only: &[&str], not: &[&str]) -> Paths {
        let globs = |list: &[&str]| list.iter().map(|one| Glob::parse(one).unwrap()).collect();
        Paths { only: globs(only), not: globs(not) }
    }

    fn path_filter(only: &[&str], not: &[&str]) -> PathFilter {
        let process = There { pid: 1, cwd: Some(b"/home".to_vec()), ..There::default() };
        let file = |fd, path: &str| OpenFile {
            pid: 1,
            fd,
            ofd: fd,
            path: path.into(),
            flags: 0,
            cloexec: false,
            pos: 0,
            dev: 0,
            ino: 0,
            size: 0,
            mode: 0,
        };
        let files = vec![file(0, "pipe:[7]"), file(1, "/data/log (deleted)")];
        PathFilter::new(&paths(only, not), &Snapshot { processes: vec![process], files, ..Snapshot::default() })
    }

    fn event(pid: i64, syscall: Syscall, numbers: &[(Col, i64)], text: &str, ret: i64) -> Event {
        let mut event = Event::new(syscall);
        event.set(Col::Pid, pid);
        event.set(Col::Tid, pid);
        numbers.iter().for_each(|(col, value)| event.set(*col, *value));
        if !text.is_empty() {
            event.set_text(Text::Path, text);
        }
        event.set_outcome(ret);
        event
    }

    fn on(pid: i64, syscall: Syscall, fd: i64, ret: i64) -> Event {
        event(pid, syscall, &[(Col::Fd, fd)], "", ret)
    }

    #[test]
    fn a_descriptor_is_judged_by_what_it_was_opened_on_until_it_is_closed() {
        let mut path_filter = path_filter(&["/data/*"], &["*.tmp"]);
        for (name, fd, stays) in [("/data/x", 3, true), ("../data/./y", 4, true), ("z", 5, false), ("/data/z.tmp", 6, false)] {
            assert_eq!(path_filter.lets(&event(1, Syscall::openat, &[(Col::DirFd, -100)], name, fd)), stays, "{name}");
            assert_eq!(path_filter.lets(&on(1, Syscall::read, fd, 10)), stays, "{name}");
        }
        assert!(!path_filter.lets(&on(1, Syscall::read, 0, 1)) && path_filter.lets(&on(1, Syscall::write, 1, 1)));
        assert!(!path_filter.lets(&on(1, Syscall::close, 5, 0)) && path_filter.lets(&on(1, Syscall::close, 3, 0)));
        // The number means something else now.
        assert!(!path_filter.lets(&event(1, Syscall::openat, &[(Col::DirFd, -100)], "a", 3)));
        assert!(!path_filter.lets(&on(1, Syscall::fsync, 3, 0)));
        assert_eq!(path_filter.filtered, 8);
    }

    #[test]
    fn a_name_below_a_root_of_its_own_is_judged_by_where_it_is() {
        let mut path_filter = path_filter(&["/data/*"], &[]);
        assert!(path_filter.lets(&event(1, Syscall::chroot, &[], "/data", 0)));
        assert!(path_filter.lets(&event(1, Syscall::unlink, &[], "/x", 0)));
        // Not yet in there.
        assert!(!path_filter.lets(&event(1, Syscall::unlink, &[], "x", 0)));
        assert!(
            path_filter.lets(&event(1, Syscall::chdir, &[], "/", 0)) && path_filter.lets(&event(1, Syscall::unlink, &[], "x", 0))
        );
    }

    #[test]
    fn what_a_newcomer_brings_is_judged_too() {
        let mut path_filter = path_filter(&["/data/*"], &[]);
        let brings = |fd: i64, path: &str| {
            let mut event = event(7, Syscall::joined_fd, &[(Col::Fd, fd)], "", 0);
            event.set_text(Text::FdPath, path);
            event
        };
        assert!(path_filter.lets(&event(7, Syscall::joined_cwd, &[], "/data", 0)));
        assert!(path_filter.lets(&brings(3, "/data/x (deleted)")) && !path_filter.lets(&brings(4, "/home/x")));
        assert!(path_filter.lets(&on(7, Syscall::read, 3, 1)) && !path_filter.lets(&on(7, Syscall::read, 4, 1)));
        assert!(path_filter.lets(&event(7, Syscall::openat, &[(Col::DirFd, -100)], "y", 5)));
        assert_eq!(path_filter.filtered, 1, "what is no call is not counted");
    }

    #[test]
    fn descriptors_are_handed_on() {
        let mut path_filter = path_filter(&["/data"], &[]);
        assert!(path_filter.lets(&on(1, Syscall::dup, 1, 7)) && path_filter.lets(&on(1, Syscall::write, 7, 1)));
        path_filter.forked(1, 2);
        assert!(path_filter.lets(&on(2, Syscall::write, 7, 1)));
        // One of the two is a file that stays, which it closes.
        assert!(path_filter.lets(&event(2, Syscall::dup2, &[(Col::Fd, 0), (Col::Fd2, 7)], "", 7)));
        assert!(!path_filter.lets(&on(2, Syscall::write, 7, 1)) && path_filter.lets(&on(1, Syscall::write, 7, 1)));
        assert!(path_filter.lets(&event(1, Syscall::close_range, &[(Col::Fd, 3), (Col::Fd2, -1)], "", 0)));
        assert!(!path_filter.lets(&on(1, Syscall::write, 7, 1)));
    }

    /// What exec closed is unknown when its number comes back without an opening that was seen.
    #[test]
    fn exec_closes_what_it_is_asked_to() {
        let mut path_filter = path_filter(&["/data"], &[]);
        let cloexec = [(Col::DirFd, -100), (Col::Flags, flag::O_CLOEXEC)];
        assert!(path_filter.lets(&event(1, Syscall::openat, &cloexec, "/data/a", 3)));
        assert!(path_filter.lets(&event(1, Syscall::openat, &[(Col::DirFd, -100)], "/data/b", 4)));
        let set = [(Col::Cmd, flag::F_DUPFD_CLOEXEC), (Col::Fd, 4)];
        assert!(path_filter.lets(&event(1, Syscall::fcntl, &set, "", 5)));
        let unset = [(Col::Cmd, flag::F_SETFD), (Col::Arg, 0), (Col::Fd, 5)];
        assert!(path_filter.lets(&on(1, Syscall::dup, 3, 6)) && path_filter.lets(&event(1, Syscall::fcntl, &unset, "", 0)));
        // The names of programs are no such calls, and stay.
        assert!(path_filter.lets(&event(1, Syscall::execve, &[], "/bin/x", 0)));
        let kept = [3, 4, 5, 6].map(|fd| path_filter.lets(&on(1, Syscall::read, fd, 1)));
        assert_eq!(kept, [false, true, true, true]);
    }

    #[test]
    fn names_are_resolved_and_one_of_two_is_enough() {
        let mut path_filter = path_filter(&[], &["/tmp"]);
        assert!(
            path_filter.lets(&event(1, Syscall::stat, &[], "x", 0))
                && !path_filter.lets(&event(1, Syscall::stat, &[], "../tmp/x", -2))
        );
        assert!(path_filter.lets(&event(1, Syscall::chdir, &[], "/tmp/dir", 0)));
        assert!(!path_filter.lets(&event(1, Syscall::unlink, &[], "x", 0)));
        let mut rename = event(1, Syscall::rename, &[], "x", 0);
        rename.set_text(Text::Path2, "y");
        assert!(!path_filter.lets(&rename));
        rename.set_text(Text::Path2, "/data/y");
        assert!(path_filter.lets(&rename));
        // What names nothing, and what nothing is known of, stays.
        assert!(path_filter.lets(&event(1, Syscall::sync, &[], "", 0)) && path_filter.lets(&on(9, Syscall::read, 3, 1)));
    }

    #[test]
    fn without_patterns_everything_stays_and_nothing_is_kept_in_mind() {
        let mut path_filter = PathFilter::default();
        path_filter.forked(1, 2);
        assert!(path_filter.lets(&event(1, Syscall::openat, &[], "/x", 3)) && path_filter.processes.is_empty());
    }
}
