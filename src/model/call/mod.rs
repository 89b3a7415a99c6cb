//! One call: from the event to its row, and to the ops that must precede it.
//!
//! Every call first finds out what it is on (`fd`, `path`), because a call on a pipe is a drop for that reason whatever its
//! outcome was. Then its outcome decides what is proved and what changes. A function that gives a [`Reason`] as error gives up
//! the event: it becomes a drop.

mod control;
mod copy;
mod data;
mod fd;
mod meta;
mod name;
mod observed;
mod open;
mod path;
mod process;
mod route;
mod start;
mod stream;
mod withheld;

pub(super) use observed::Sighting;
pub(super) use path::chroot::written_out;

use super::step::{Kind, Name, Rows, Step};
use super::task::Who;
use super::task::fds::{Entry, OfdIx, Target};
use super::touch::{Access, Resource};
use super::tree::walk::DEEPEST;
use super::tree::{Fix, Ino, Node, Tree};
use super::{Model, Place};
use crate::event::{Col, Event, HOLE, Text};
use crate::fate::{Fate, Origin, Reason};
pub(super) use crate::syscall::flag;
use crate::syscall::{Op, Replay, Role, Syscall, concerns_no_file};

/// One event on its way to its row: the step as far as it is known, the resources that its row touches and the events that it waits for.
pub(super) struct Call<'a> {
    pub(super) model: &'a mut Model,
    pub(super) event: &'a Event,
    pub(super) who: Who,
    pub(super) step: Step,
    /// The file behind the first path or descriptor, if the call depends on its attributes.
    pub(super) file: Option<Ino>,
    /// The open file description behind the first descriptor, or behind the returned one.
    pub(super) ofd: Option<OfdIx>,
    /// The start or end of a task that this event is, for which ops of other lanes wait.
    pub(super) task: Option<i64>,
    /// Starts and ends of tasks for which the lane's next op waits.
    pub(super) waits: Vec<i64>,
    /// Messages that the thread's call before this one waited for.
    pub(super) messages: Vec<i64>,
    /// The arguments that the op is issued with, where they are not the event's.
    pub(super) args: Option<Box<Event>>,
    pub(super) out: &'a mut Rows,
}

/// Result of a function that may give up the event: the error is the reason for the drop.
type Dropped<T> = Result<T, Reason>;

impl<'a> Call<'a> {
    pub(super) fn new(model: &'a mut Model, event: &'a Event, who: Who, out: &'a mut Rows) -> Call<'a> {
        model.tree.touches.clear();
        let mut step = Step::new(Fate::Op, event.syscall.op(), who.vpid, who.vtid);
        step.program = model.tasks.program(who.process);
        let (waits, messages) = if who.waits { model.tasks.take_waits(who.tid) } else { Default::default() };
        Call { model, event, who, step, file: None, ofd: None, task: None, waits, messages, args: None, out }
    }

    /// Handles the event and pushes its row, and the inserted ops before it.
    pub(super) fn run(mut self) {
        let def = self.event.syscall.def();
        let reason = match (self.call(def.replay), self.event.failure()) {
            // There was none: statx(0, NULL ...) asks whether the kernel knows the call.
            (Err(Reason::LostName), Some(libc::EFAULT)) => Some(Reason::OutsideMemory),
            (Err(Reason::Credentials), _) if self.withheld() => Some(Reason::Withheld),
            (Err(reason), _) => Some(reason),
            (Ok(()), _) if self.step.fate != Fate::Op => None,
            (Ok(()), _) if self.too_deep() => Some(Reason::BadName),
            (Ok(()), _) => self.withheld().then_some(Reason::Withheld),
        };
        if reason.is_some() {
            (self.step.fate, self.step.reason) = (Fate::Drop, reason);
        }
        self.step.on_file = match (self.step.fate, self.step.reason) {
            (Fate::Model, _) => false,
            (_, Some(Reason::NotFile | Reason::Pipe | Reason::Socket | Reason::Device | Reason::Anon | Reason::PseudoFs)) => {
                false
            }
            (_, Some(Reason::Withheld)) => false,
            (_, Some(Reason::UnknownCall | Reason::Requests)) => true,
            (Fate::Drop, _) => def.args.iter().any(|role| matches!(role, Role::Fd | Role::DirFd | Role::Path)),
            _ => true,
        };
        self.flush();
        self.look();
        self.take_route();
        self.step.elsewhere = self.elsewhere();
        match self.step.fate {
            Fate::Op => self.touch_attributes(),
            // Nothing is issued, so it touches nothing.
            Fate::Model | Fate::Drop => self.model.tree.touches.clear(),
        }
        if let Some(task) = self.task {
            self.model.tree.touches.add(Resource::Task, task, Access::Write);
        }
        self.messages();
        if self.step.fate == Fate::Op {
            self.after_tasks();
        } else if !self.waits.is_empty() {
            self.model.tasks.wait_for(self.who.tid, self.waits);
        }
        // They only say where it is: nothing is issued by them.
        for path in [&mut self.step.path, &mut self.step.path2, &mut self.step.cwd] {
            if path.as_ref().is_some_and(|path| path.len() > DEEPEST) {
                *path = None;
            }
        }
        self.out.push(self.args, self.step, &mut self.model.tree.touches);
    }

    /// Is the working directory deeper than a replay can enter? The model follows all the same.
    fn too_deep(&self) -> bool {
        self.step.cwd.as_ref().is_some_and(|cwd| cwd.len() > DEEPEST)
    }

    /// Takes over what the capture shows of the file and the descriptor after the call: size, position, time of a change of
    /// names.
    fn look(&mut self) {
        if let Some(ix) = self.ofd.filter(|_| self.step.op != Some(Op::Close)) {
            if let Some(ino) = self.model.tasks.ofd(ix).map(|ofd| ofd.ino) {
                self.size_seen(ino);
            }
            self.sight(ix);
        }
        let moves_names = matches!(
            self.step.op,
            Some(Op::Rename | Op::Renameat | Op::Renameat2 | Op::Link | Op::Linkat | Op::Unlink | Op::Unlinkat | Op::Rmdir)
        );
        if moves_names && let Some(over) = self.over() {
            self.model.tree.renamed = self.model.tree.renamed.max(over);
        }
    }

    /// The lane's first op after its start, or after it waited for another task, touches these tasks so that it follows their
    /// ops.
    fn after_tasks(&mut self) {
        for task in self.waits.drain(..) {
            self.model.tree.touches.add(Resource::Task, task, Access::Read);
        }
    }

    fn touch_attributes(&mut self) {
        let (Some(op), Some(ino)) = (self.step.op, self.file) else { return };
        match meta::attributes(op) {
            Some(Access::Write) if self.event.success().is_some() => {
                self.model.tree.touch(Resource::Attrs, ino, Access::Write);
                // Whatever walks through a directory needs the right to: its name stands for that.
                if let Some((dir, name)) = self.model.tree.at(ino).home.clone()
                    && matches!(self.model.tree.at(ino).node, Node::Dir(_))
                {
                    self.model.tree.touch_name(dir, &name, Access::Write);
                }
            }
            Some(_) => self.model.tree.touch(Resource::Attrs, ino, Access::Read),
            None => {}
        }
    }

    fn call(&mut self, replay: Replay) -> Dropped<()> {
        match replay {
            Replay::As(op) | Replay::Partly(op, _) => self.issue(op),
            Replay::Model(op) => {
                self.step.fate = Fate::Model;
                self.keep_books(op)
            }
            Replay::Drop(_) => {
                self.mounted();
                Err(self.refuse())
            }
        }
    }

    fn issue(&mut self, op: Op) -> Dropped<()> {
        match op {
            Op::Read | Op::Readv | Op::Pread | Op::Preadv | Op::Preadv2 => self.read(),
            Op::Write | Op::Writev | Op::Pwrite | Op::Pwritev | Op::Pwritev2 => self.write(),
            Op::CopyFileRange | Op::Sendfile => self.copy(),
            Op::Splice => self.splice(),
            Op::Open | Op::Openat | Op::Openat2 | Op::Creat => self.open(),
            Op::Close => self.close(),
            Op::Lseek => self.lseek(),
            Op::Truncate => self.truncate(),
            Op::Ftruncate => self.ftruncate(),
            Op::Fallocate => self.fallocate(),
            Op::Mmap => self.mmap(),
            Op::Touch | Op::Msync | Op::Madvise | Op::Munmap | Op::Mremap => self.on_mapped(op),
            Op::Sync => self.known_outcome().map(|_| ()),
            Op::Fcntl => self.fcntl(),
            Op::Ioctl => self.ioctl(),
            Op::Fsync
            | Op::Fdatasync
            | Op::Syncfs
            | Op::SyncFileRange
            | Op::Readahead
            | Op::Fadvise
            | Op::Fstatfs
            | Op::Flistxattr => self.on_fd().map(|_| ()),
            Op::Flock => self.flock(),
            Op::Getdents | Op::Getdents64 => self.getdents(),
            Op::Fstat | Op::Fchmod | Op::Fchown | Op::Fgetxattr | Op::Fsetxattr | Op::Fremovexattr => self.fd_attributes(),
            Op::Stat
            | Op::Lstat
            | Op::Fstatat
            | Op::Statx
            | Op::Statfs
            | Op::Access
            | Op::Faccessat
            | Op::Faccessat2
            | Op::Chmod
            | Op::Fchmodat
            | Op::Fchmodat2
            | Op::Chown
            | Op::Lchown
            | Op::Fchownat
            | Op::Utimensat
            | Op::Getxattr
            | Op::Lgetxattr
            | Op::Listxattr
            | Op::Llistxattr
            | Op::Setxattr
            | Op::Lsetxattr
            | Op::Removexattr
            | Op::Lremovexattr => self.path_attributes(op),
            Op::Readlink | Op::Readlinkat => self.readlink(),
            Op::Mkdir | Op::Mkdirat => self.mkdir(),
            Op::Mknod | Op::Mknodat => self.mknod(),
            Op::Symlink | Op::Symlinkat => self.symlink(),
            Op::Link | Op::Linkat => self.link(),
            Op::Unlink | Op::Unlinkat | Op::Rmdir => self.unlink(op),
            Op::Rename | Op::Renameat | Op::Renameat2 => self.rename(),
            Op::Chdir => self.chdir(),
            Op::Fchdir => self.fchdir(),
            Op::Getcwd => self.getcwd(),
            Op::Dup
            | Op::CloseRange
            | Op::CacheAdd
            | Op::Umask
            | Op::Chroot
            | Op::User
            | Op::Fork
            | Op::Exec
            | Op::Exit
            | Op::ExitGroup
            | Op::Joined
            | Op::PidfdGetfd
            | Op::Unshare
            | Op::Setns
            | Op::Special => self.keep_books(op),
        }
    }

    fn keep_books(&mut self, op: Op) -> Dropped<()> {
        match op {
            Op::Dup => self.dup(),
            Op::CloseRange => self.close_range(),
            Op::CacheAdd => self.pages_added(),
            Op::Munmap | Op::Mremap => self.on_mapped(op),
            Op::Chroot => self.chroot(),
            Op::User => self.user(),
            Op::Fork => self.fork(),
            Op::Exec => self.exec(),
            Op::Exit | Op::ExitGroup => self.exit(op),
            Op::Joined => self.joined(),
            Op::PidfdGetfd => self.descriptor_of_process(),
            Op::Unshare => self.unshare(),
            Op::Setns => self.setns(),
            Op::Special => self.special(),
            _ => Ok(()),
        }
    }

    /// The reason for dropping a call that the syscall table does not replay: what it is on tells more than the table.
    fn refuse(&mut self) -> Reason {
        if self.event.syscall == Syscall::other {
            if self.event.name() == HOLE {
                self.model.tasks.doubt_positions();
            }
            self.wait();
            return if concerns_no_file(self.event.name()) { Reason::NotFile } else { Reason::UnknownCall };
        }
        if self.event.syscall == Syscall::waited {
            return Reason::NotFile;
        }
        let requests = self.model.tree.config().requests;
        if requests.hidden_in(self.event.syscall) && self.event.failure().is_none() && self.event.int(Col::Ret) != Some(0) {
            return Reason::Requests;
        }
        let (def, event) = (self.event.syscall.def(), self.event);
        for (role, col, text) in
            [(Role::Fd, Col::Fd, Text::FdPath), (Role::Fd2, Col::Fd2, Text::Fd2Path), (Role::DirFd, Col::DirFd, Text::DirPath)]
        {
            if def.has(role)
                && event.int(col).is_some_and(|fd| fd >= 0)
                && let Err(reason) = self.fd(col, text)
                && reason != Reason::UnknownFd
            {
                return reason;
            }
        }
        if def.has(Role::Path)
            && let Some(path) = event.text(Text::Path)
            && path.first() == Some(&b'/')
            && let Some(reason) = outside(self.model.tree.config().place(path))
        {
            return reason;
        }
        Reason::Unsupported
    }

    // ---- outcomes

    /// The outcome to compare with: a return value (`Ok`) or an errno (`Err`). A drop if it is unknown or depends on more than
    /// files.
    fn known_outcome(&self) -> Dropped<Result<i64, i32>> {
        match (self.event.success(), self.event.failure()) {
            (Some(value), _) => Ok(Ok(value)),
            (None, Some(libc::EFAULT)) => Err(Reason::OutsideMemory),
            // ERESTARTSYS and its kin (512 to 516): the call was restarted, and that is another event.
            (None, Some(libc::EINTR | 512..=516)) => Err(Reason::UnknownResult),
            (None, Some(errno)) => Ok(Err(errno)),
            (None, None) => Err(Reason::UnknownResult),
        }
    }

    /// Start of the call, ns.
    fn begin(&self) -> Option<i64> {
        self.event.int(Col::Ts)
    }

    /// End of the call, ns.
    fn over(&self) -> Option<i64> {
        Some(self.event.int(Col::Ts)?.saturating_add(self.event.int(Col::Dur).unwrap_or(0).max(0)))
    }

    // ---- rows

    /// Fills in which open file description the call is on, with its file and path, and touches it.
    fn on(&mut self, ix: OfdIx) {
        if self.step.op != Some(Op::Close) {
            self.recall(ix);
        }
        self.ofd = Some(ix);
        let (id, ino, status) = match self.model.tasks.ofd(ix) {
            Some(ofd) => (ofd.id, ofd.ino, ofd.flags),
            None => return,
        };
        self.model.tree.touches.add(Resource::Ofd, id, Access::Read);
        self.file = Some(ino);
        (self.step.ofd, self.step.status) = (Some(id), Some(status));
        self.step.file = Some(self.model.tree.file(ino));
        self.step.path = Some(self.model.ofd_path(ix));
    }

    /// Inserts an op before the event, with the touches that `touch` adds.
    fn insert(&mut self, mut event: Event, step: Step, touch: impl FnOnce(&mut Tree)) {
        self.flush();
        event.set(Col::Pid, self.event.int(Col::Pid).unwrap_or(0));
        event.set(Col::Tid, self.event.int(Col::Tid).unwrap_or(0));
        if event.int(Col::Ret).is_none() {
            event.set_outcome(0);
        }
        let others = std::mem::take(&mut self.model.tree.touches);
        touch(&mut self.model.tree);
        self.after_tasks();
        self.out.push(Some(Box::new(event)), step, &mut self.model.tree.touches);
        self.model.tree.touches = others;
    }

    fn inserted(&self, origin: Origin, op: Op) -> Step {
        let program = self.step.program.clone();
        Step { origin, program, shared: matches!(op, Op::Lseek), ..Step::new(Fate::Op, Some(op), self.who.vpid, self.who.vtid) }
    }

    /// Descriptors ended: inserts a close for every open file description to which none refers any more.
    pub(super) fn end(&mut self, entries: impl IntoIterator<Item = Entry>, origin: Origin) {
        for entry in entries {
            let Target::Ofd(ix) = entry.target else { continue };
            let path = self.model.ofd_path(ix);
            if let Some(ofd) = self.model.tasks.unref(entry) {
                let mut step = self.inserted(origin, Op::Close);
                step.ofd = Some(ofd.id);
                step.file = Some(self.model.tree.file(ofd.ino));
                step.path = Some(path);
                self.insert(Event::new(Syscall::close), step, |tree| tree.touch_close(&ofd));
                self.model.let_go(ofd.ino);
            }
        }
    }

    /// Turns changes by somebody outside the capture that the tree found out into ops, and follows inodes that turned out to be
    /// one.
    fn flush(&mut self) {
        if !self.model.tree.moved.is_empty() {
            self.model.follow_moved();
        }
        if self.model.tree.fixes.is_empty() {
            return;
        }
        for (fix, mut touches) in std::mem::take(&mut self.model.tree.fixes) {
            std::mem::swap(&mut self.model.tree.touches, &mut touches);
            self.fix(fix);
            self.model.tree.touches = touches;
        }
    }

    fn fix(&mut self, fix: Fix) {
        self.model.tree.guess("a change from outside");
        let named = |syscall, path: &Name| {
            let mut event = Event::new(syscall);
            event.set_text(Text::Path, &path[..]);
            event
        };
        let (mut event, path, path2, file) = match fix {
            Fix::Make(ino, kind, path, target) => {
                let file = self.model.tree.file(ino);
                let syscall = match kind {
                    Kind::Dir => Syscall::mkdir,
                    Kind::Link => Syscall::symlink,
                    Kind::File | Kind::Fifo | Kind::Socket | Kind::Absent => Syscall::mknod,
                };
                let mut event = named(syscall, &path);
                match kind {
                    Kind::Dir => event.set(Col::Mode, 0o755),
                    Kind::Link => {
                        if let Some(target) = &target {
                            event.set_text(Text::Path2, &target[..]);
                        }
                    }
                    Kind::Fifo => event.set(Col::Mode, i64::from(libc::S_IFIFO) | 0o644),
                    Kind::Socket => event.set(Col::Mode, i64::from(libc::S_IFSOCK) | 0o755),
                    Kind::File | Kind::Absent => event.set(Col::Mode, i64::from(libc::S_IFREG) | 0o644),
                }
                (event, path, target, Some(file))
            }
            Fix::Remove(Kind::Dir, path) => (named(Syscall::rmdir, &path), path, None, None),
            Fix::Remove(_, path) => (named(Syscall::unlink, &path), path, None, None),
            Fix::Resize(ino, size) => {
                if self.model.tree.at(ino).unlinked() {
                    self.model.tree.guess("a size of an unlinked file");
                    return;
                }
                let path = self.model.tree.path(ino);
                let mut event = named(Syscall::truncate, &path);
                event.set(Col::Count, size);
                (event, path, None, Some(self.model.tree.file(ino)))
            }
        };
        event.set(Col::Pid, self.event.int(Col::Pid).unwrap_or(0));
        event.set(Col::Tid, self.event.int(Col::Tid).unwrap_or(0));
        event.set_outcome(0);
        let op = event.syscall.op().unwrap_or(Op::Sync);
        let mut step = self.inserted(Origin::External, op);
        (step.path, step.path2, step.file) = (Some(path), path2, file);
        self.after_tasks();
        self.out.push(Some(Box::new(event)), step, &mut self.model.tree.touches);
    }
}

/// The reason for dropping calls in this place; `None` if it is replayed.
fn outside(place: Place) -> Option<Reason> {
    match place {
        Place::Keep => None,
        Place::Pseudo => Some(Reason::PseudoFs),
        Place::Ignore => Some(Reason::Ignored),
    }
}

/// Kind of a file from the st_mode that a call showed; `None` for a device.
fn kind_of(st_mode: i64) -> Option<Kind> {
    match st_mode as u32 & libc::S_IFMT {
        libc::S_IFREG => Some(Kind::File),
        libc::S_IFDIR => Some(Kind::Dir),
        libc::S_IFLNK => Some(Kind::Link),
        libc::S_IFIFO => Some(Kind::Fifo),
        libc::S_IFSOCK => Some(Kind::Socket),
        _ => None,
    }
}

/// Is this the st_mode of a character or block device?
fn is_device(st_mode: i64) -> bool {
    matches!(st_mode as u32 & libc::S_IFMT, libc::S_IFCHR | libc::S_IFBLK)
}
