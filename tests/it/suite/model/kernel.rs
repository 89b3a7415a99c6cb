//! Real processes, as far as descriptors and working directories go: each is a thread with a descriptor table and a
//! working directory of its own. A fork is a thread that copies those of the one that started it (unshare(2)).

use ioriot::event::{AT_FDCWD, Col, Event, Text};
use ioriot::syscall::Syscall;
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

/// Number of kinds of calls [`Kernel::make`] knows.
pub const CALLS: u8 = 34;
/// Id of the first process.
const PID: i64 = 1000;

/// A call that was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub event: Event,
    /// Where in the file the kernel read or wrote.
    pub offset: Option<i64>,
}

enum Ask {
    Call(Box<Event>),
    /// Start another process that begins with copies of everything; this is its end of the wire.
    Fork(Receiver<Ask>, Sender<Answer>),
    /// Close what is to be closed on exec.
    Exec,
}

enum Answer {
    Made(Box<Made>),
    Forked(JoinHandle<()>),
    Closed(Vec<i64>),
    Ready,
}

struct Process {
    pid: i64,
    ask: Sender<Ask>,
    answers: Receiver<Answer>,
    handle: JoinHandle<()>,
    /// Open descriptors above the standard ones.
    fds: Vec<i64>,
}

pub struct Kernel {
    root: PathBuf,
    processes: Vec<Process>,
    next_pid: i64,
}

impl Kernel {
    pub fn start(root: &Path) -> Kernel {
        let (ask, asked) = channel();
        let (answer, answers) = channel();
        let handle = std::thread::spawn(move || live(&asked, &answer, true));
        assert!(matches!(answers.recv().unwrap(), Answer::Ready));
        let first = Process { pid: PID, ask, answers, handle, fds: Vec::new() };
        Kernel { root: root.to_owned(), processes: vec![first], next_pid: PID + 1 }
    }

    /// Makes a call in a process.
    pub fn call(&mut self, process: usize, mut event: Event) -> Made {
        let process = &mut self.processes[process];
        event.set(Col::Pid, process.pid);
        event.set(Col::Tid, process.pid);
        process.ask.send(Ask::Call(Box::new(event))).unwrap();
        let Answer::Made(made) = process.answers.recv().unwrap() else { panic!("another answer") };
        let event = &made.event;
        let fd = event.int(Col::Fd).unwrap_or(-1);
        match (event.syscall, event.success()) {
            (Syscall::openat | Syscall::dup | Syscall::dup2 | Syscall::dup3, Some(fd)) if !process.fds.contains(&fd) => {
                process.fds.push(fd);
            }
            (Syscall::close, Some(_)) => process.fds.retain(|open| *open != fd),
            _ => {}
        }
        *made
    }

    /// Makes the call that these numbers choose, if it can be made.
    #[expect(clippy::too_many_arguments, reason = "a plan is a handful of numbers")]
    pub fn make(&mut self, actor: usize, what: u8, one: &[u8], two: &[u8], fd: usize, number: u16, choice: u8) -> Vec<Made> {
        let at = actor % self.processes.len();
        let number = i64::from(number);
        let root = self.root.as_os_str().as_bytes();
        let path = |path: &[u8]| match path.strip_prefix(b"/ROOT") {
            Some(rest) => [root, rest].concat(),
            None => path.to_vec(),
        };
        let (mut one, mut two) = (path(one), path(two));
        // Nobody climbs out of the scratch tree step by step.
        let stay = |path: &mut Vec<u8>| {
            while let Some(at) = path.windows(2).position(|pair| pair == b"..") {
                path.splice(at..at + 2, *b"d");
            }
        };
        match what {
            // What is shown for ENOTDIR below does not reach into the content of symlinks: it stays short.
            30 => {
                stay(&mut two);
                let short = two.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
                two.drain(..short);
                if two.is_empty() {
                    two.push(b'd');
                }
            }
            31 => stay(&mut one),
            _ => {}
        }
        let fds = &self.processes[at].fds;
        let fd = if fds.is_empty() || choice == 255 { 77 } else { fds[fd % fds.len()] };
        let named = |syscall: Syscall| {
            let mut event = Event::new(syscall);
            event.set_text(Text::Path, &one[..]);
            event
        };
        let two_names = |syscall: Syscall| {
            let mut event = named(syscall);
            event.set_text(Text::Path2, &two[..]);
            event
        };
        let on_fd = |syscall: Syscall, cols: &[(Col, i64)]| {
            let mut event = Event::new(syscall);
            event.set(Col::Fd, fd);
            cols.iter().for_each(|(col, value)| event.set(*col, *value));
            event
        };
        let event = match what {
            0..=7 => {
                let mut event = named(Syscall::openat);
                let dirfd = if choice & 0x70 == 0x70 { fd } else { AT_FDCWD };
                let access = [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR][usize::from(choice) % 3];
                let bits = [libc::O_CREAT, libc::O_CREAT | libc::O_EXCL, libc::O_TRUNC, libc::O_APPEND, 0, libc::O_CREAT];
                let more = [libc::O_CLOEXEC, 0, libc::O_NOFOLLOW, libc::O_DIRECTORY, 0, 0, 0, libc::O_CREAT];
                let mut flags = access | bits[usize::from(what) % 6] | more[usize::from(choice >> 3) % 8];
                // The kernel refuses the two together.
                if flags & libc::O_DIRECTORY != 0 {
                    flags &= !(libc::O_CREAT | libc::O_EXCL);
                }
                event.set(Col::DirFd, dirfd);
                event.set(Col::Flags, i64::from(flags));
                event.set(Col::Mode, 0o644);
                event
            }
            8 => on_fd(Syscall::close, &[]),
            9 => on_fd(Syscall::dup, &[]),
            10 => on_fd(Syscall::dup2, &[(Col::Fd2, 3 + number % 8)]),
            11 => on_fd(Syscall::dup3, &[(Col::Fd2, 3 + number % 8), (Col::Flags, i64::from(libc::O_CLOEXEC))]),
            12 => on_fd(Syscall::lseek, &[(Col::Offset, number), (Col::Whence, 0)]),
            13 => on_fd(Syscall::lseek, &[(Col::Offset, number % 20 - 10), (Col::Whence, 1)]),
            14 => on_fd(Syscall::lseek, &[(Col::Offset, number % 20 - 10), (Col::Whence, 2)]),
            15 | 16 => on_fd(Syscall::read, &[(Col::Count, number)]),
            17 | 18 => on_fd(Syscall::write, &[(Col::Count, number % 90)]),
            19 => on_fd(Syscall::pread64, &[(Col::Count, number), (Col::Offset, i64::from(choice))]),
            20 => on_fd(Syscall::pwrite64, &[(Col::Count, number % 90), (Col::Offset, i64::from(choice))]),
            21 => on_fd(Syscall::ftruncate, &[(Col::Count, number)]),
            22 => {
                let mut event = named(Syscall::truncate);
                event.set(Col::Count, number);
                event
            }
            23 => on_fd(Syscall::fstat, &[]),
            24 => named(if choice & 1 == 0 { Syscall::stat } else { Syscall::lstat }),
            25 => two_names(Syscall::rename),
            26 => {
                let mut event = two_names(Syscall::renameat2);
                event.set(Col::DirFd, AT_FDCWD);
                event.set(Col::DirFd2, AT_FDCWD);
                event.set(Col::Flags, [0, 1, 2][usize::from(choice) % 3]);
                event
            }
            27 => two_names(Syscall::link),
            28 => named(if choice & 1 == 0 { Syscall::unlink } else { Syscall::rmdir }),
            29 => {
                let mut event = named(Syscall::mkdir);
                event.set(Col::Mode, 0o755);
                event
            }
            30 => two_names(Syscall::symlink),
            31 => match choice % 4 {
                0 => on_fd(Syscall::fchdir, &[]),
                1 => named(Syscall::readlink),
                _ => named(Syscall::chdir),
            },
            32 => return self.fork(at),
            _ => return self.end(at, choice),
        };
        let made = self.call(at, event);
        let two_paths = matches!(made.event.syscall, Syscall::rename | Syscall::renameat2 | Syscall::link);
        match made.event.failure() {
            Some(libc::ENOENT) if two_paths => {
                // Nor does ENOENT say which of two paths.
                let mut lstat = Event::new(Syscall::lstat);
                lstat.set_text(Text::Path, &one[..]);
                return vec![self.call(at, lstat), made];
            }
            Some(libc::ENOTDIR) => {}
            _ => return vec![made],
        }
        // ENOTDIR does not say which component is to blame, so that the model could only guess: it is shown.
        let mut shown = Vec::new();
        for text in [Text::Path, Text::Path2] {
            let path = made.event.text(text).unwrap_or_default().to_vec();
            for end in (1..path.len()).filter(|end| path[*end] == b'/') {
                let mut stat = Event::new(Syscall::newfstatat);
                stat.set(Col::DirFd, made.event.int(Col::DirFd).unwrap_or(AT_FDCWD));
                stat.set(Col::Flags, 0);
                stat.set_text(Text::Path, &path[..end]);
                shown.push(self.call(at, stat));
            }
        }
        shown.push(made);
        shown
    }

    /// How many processes there are.
    pub fn processes(&self) -> usize {
        self.processes.len()
    }

    /// fork, or vfork: the child acts before the parent does.
    pub fn fork(&mut self, at: usize) -> Vec<Made> {
        if self.processes.len() == 3 {
            return Vec::new();
        }
        let (ask, asked) = channel();
        let (answer, answers) = channel();
        let parent = &self.processes[at];
        parent.ask.send(Ask::Fork(asked, answer)).unwrap();
        let Answer::Forked(handle) = parent.answers.recv().unwrap() else { panic!("another answer") };
        assert!(matches!(answers.recv().unwrap(), Answer::Ready));
        let pid = self.next_pid;
        self.next_pid += 1;
        let mut event = Event::new(if pid % 2 == 0 { Syscall::vfork } else { Syscall::clone });
        event.set(Col::Pid, parent.pid);
        event.set(Col::Tid, parent.pid);
        event.set(Col::Flags, 0);
        event.set_outcome(pid);
        let fds = parent.fds.clone();
        self.processes.push(Process { pid, ask, answers, handle, fds });
        vec![Made { event, offset: None }]
    }

    /// exec or exit.
    fn end(&mut self, at: usize, choice: u8) -> Vec<Made> {
        let process = &mut self.processes[at];
        let bare = |syscall, pid: i64| {
            let mut event = Event::new(syscall);
            event.set(Col::Pid, pid);
            event.set(Col::Tid, pid);
            event
        };
        if choice & 1 == 0 {
            process.ask.send(Ask::Exec).unwrap();
            let Answer::Closed(closed) = process.answers.recv().unwrap() else { panic!("another answer") };
            process.fds.retain(|fd| !closed.contains(fd));
            let mut event = bare(Syscall::execve, process.pid);
            event.set_text(Text::Path, &b"/bin/true"[..]);
            event.set_outcome(0);
            return vec![Made { event, offset: None }];
        }
        if self.processes.len() == 1 {
            return Vec::new();
        }
        let gone = self.processes.remove(at);
        drop(gone.ask);
        gone.handle.join().unwrap();
        vec![Made { event: bare(Syscall::exit_group, gone.pid), offset: None }]
    }

    /// Ends every process, youngest first.
    pub fn finish(mut self) -> Vec<Made> {
        while let Some(process) = self.processes.pop() {
            drop(process.ask);
            process.handle.join().unwrap();
        }
        Vec::new()
    }
}

/// Gives the calling thread a descriptor table and a working directory of its own.
pub fn alone() {
    // SAFETY: only this thread's own table and working directory are concerned; nothing in Rust knows of them.
    let done = unsafe { libc::unshare(libc::CLONE_FILES | libc::CLONE_FS) };
    assert_eq!(done, 0, "cannot have descriptors of its own");
}

/// A process: makes calls until nobody asks any more.
fn live(asked: &Receiver<Ask>, answer: &Sender<Answer>, first: bool) {
    alone();
    if first {
        // SAFETY: these are copies; whoever opened them keeps theirs.
        unsafe { libc::close_range(3, libc::c_uint::MAX, 0) };
    }
    answer.send(Answer::Ready).unwrap();
    while let Ok(ask) = asked.recv() {
        let reply = match ask {
            Ask::Call(event) => Answer::Made(Box::new(make(*event))),
            // Whoever asked waits until the child is ready, that is, until it has its copies.
            Ask::Fork(asked, answer) => Answer::Forked(std::thread::spawn(move || live(&asked, &answer, false))),
            Ask::Exec => Answer::Closed(close_on_exec()),
        };
        answer.send(reply).unwrap();
    }
}

/// What exec does to descriptors.
fn close_on_exec() -> Vec<i64> {
    let mut closed = Vec::new();
    for fd in 3..64 {
        // SAFETY: the descriptors of this table belong to the test alone.
        unsafe {
            let flags = libc::fcntl(fd, libc::F_GETFD);
            if flags >= 0 && flags & libc::FD_CLOEXEC != 0 {
                libc::close(fd);
                closed.push(i64::from(fd));
            }
        }
    }
    closed
}

/// Where a descriptor's position is.
fn position(fd: libc::c_int) -> Option<i64> {
    // SAFETY: a seek by nothing from here changes nothing.
    let at = unsafe { libc::lseek(fd, 0, libc::SEEK_CUR) };
    (at >= 0).then_some(at)
}

fn path_of(event: &Event, text: Text) -> CString {
    CString::new(event.text(text).unwrap_or_default()).unwrap()
}

/// Makes the call and notes its outcome.
pub fn make(mut event: Event) -> Made {
    let int = |col: Col| event.int(col).unwrap_or(0);
    let (fd, count, flags) = (int(Col::Fd) as libc::c_int, int(Col::Count), int(Col::Flags) as libc::c_int);
    let (one, two) = (path_of(&event, Text::Path), path_of(&event, Text::Path2));
    let (one, two) = (one.as_ptr(), two.as_ptr());
    let (mode, offset) = (int(Col::Mode) as libc::mode_t, int(Col::Offset));
    let mut buffer = vec![b'y'; 4096];
    let (dirfd, dirfd2) = (event.int(Col::DirFd).unwrap_or(AT_FDCWD) as libc::c_int, libc::AT_FDCWD);
    let before = position(fd);
    // SAFETY: `stat` is plain data that the kernel fills in.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    let (data, length) = (buffer.as_mut_ptr().cast::<libc::c_void>(), count as usize);
    // SAFETY: every pointer is to a string or buffer above that outlives the call; counts are less than the buffer.
    let ret = unsafe {
        match event.syscall {
            Syscall::openat => i64::from(libc::openat(dirfd, one, flags, libc::c_uint::from(mode))),
            Syscall::close => i64::from(libc::close(fd)),
            Syscall::dup => i64::from(libc::dup(fd)),
            Syscall::dup2 => i64::from(libc::dup2(fd, int(Col::Fd2) as libc::c_int)),
            Syscall::dup3 => i64::from(libc::dup3(fd, int(Col::Fd2) as libc::c_int, flags)),
            Syscall::lseek => libc::lseek(fd, offset, int(Col::Whence) as libc::c_int),
            Syscall::read => libc::read(fd, data, length) as i64,
            Syscall::write => libc::write(fd, data, length) as i64,
            Syscall::pread64 => libc::pread(fd, data, length, offset) as i64,
            Syscall::pwrite64 => libc::pwrite(fd, data, length, offset) as i64,
            Syscall::ftruncate => i64::from(libc::ftruncate(fd, count)),
            Syscall::truncate => i64::from(libc::truncate(one, count)),
            Syscall::fstat => i64::from(libc::fstat(fd, &mut stat)),
            Syscall::stat => i64::from(libc::stat(one, &mut stat)),
            Syscall::newfstatat => i64::from(libc::fstatat(dirfd, one, &mut stat, flags)),
            Syscall::lstat => i64::from(libc::lstat(one, &mut stat)),
            Syscall::rename => i64::from(libc::rename(one, two)),
            Syscall::renameat2 => libc::syscall(libc::SYS_renameat2, dirfd, one, dirfd2, two, flags as libc::c_uint),
            Syscall::link => i64::from(libc::link(one, two)),
            Syscall::unlink => i64::from(libc::unlink(one)),
            Syscall::rmdir => i64::from(libc::rmdir(one)),
            Syscall::mkdir => i64::from(libc::mkdir(one, mode)),
            // Column path is the new name, path2 what it leads to.
            Syscall::symlink => i64::from(libc::symlink(two, one)),
            Syscall::fallocate => i64::from(libc::fallocate(fd, flags, offset, count)),
            Syscall::copy_file_range => {
                let fd2 = int(Col::Fd2) as libc::c_int;
                libc::copy_file_range(fd, std::ptr::null_mut(), fd2, std::ptr::null_mut(), length, 0) as i64
            }
            Syscall::getdents64 => libc::syscall(libc::SYS_getdents64, fd, data, 4096),
            Syscall::chmod => i64::from(libc::chmod(one, mode)),
            Syscall::access => i64::from(libc::access(one, mode as libc::c_int)),
            Syscall::flock => i64::from(libc::flock(fd, int(Col::Cmd) as libc::c_int | libc::LOCK_NB)),
            Syscall::getcwd => libc::syscall(libc::SYS_getcwd, data, 4096),
            Syscall::fchdir => i64::from(libc::fchdir(fd)),
            Syscall::chdir => i64::from(libc::chdir(one)),
            Syscall::readlink => libc::readlink(one, data.cast(), 4096) as i64,
            syscall => panic!("{} is not made here", syscall.name()),
        }
    };
    let errno = std::io::Error::last_os_error().raw_os_error().unwrap_or(0);
    event.set_outcome(if ret < 0 { -i64::from(errno) } else { ret });
    let mut at = None;
    match event.syscall {
        Syscall::stat | Syscall::lstat | Syscall::fstat | Syscall::newfstatat if ret == 0 => {
            event.set(Col::StMode, i64::from(stat.st_mode));
            event.set(Col::StSize, stat.st_size);
        }
        Syscall::readlink if ret > 0 => event.set_text(Text::Path2, &buffer[..ret as usize]),
        Syscall::read if ret >= 0 => at = before,
        // A write may have moved to the end first (O_APPEND).
        Syscall::write if ret > 0 => at = position(fd).map(|end| end - ret),
        Syscall::lseek if ret >= 0 => at = position(fd),
        // As strace -y does: where an opened file really is.
        Syscall::openat if ret >= 0 => {
            if let Ok(path) = std::fs::read_link(format!("/proc/thread-self/fd/{ret}")) {
                event.set_text(Text::FdPath, path.as_os_str().as_bytes());
            }
        }
        _ => {}
    }
    Made { event, offset: at }
}
