//! Calls that control a descriptor: fcntl, flock, ioctl.

use super::fd::Fd;
use super::{Call, Dropped, flag};
use crate::event::{Col, Text};
use crate::fate::{Fate, Origin, Reason};
use crate::model::task::fds::OfdIx;
use crate::model::touch::{Access, Resource};
use crate::syscall::fcntl::{Gives, Replayed, command};
use crate::syscall::lock::{Lock, What};
use crate::syscall::request::asks;

impl Call<'_> {
    pub(super) fn fcntl(&mut self) -> Dropped<()> {
        let Some(cmd) = self.event.int(Col::Cmd) else { return Err(Reason::LostArgs) };
        if command(cmd).is_some_and(|command| command.gives == Gives::NewFd) {
            self.step.fate = Fate::Model;
            return self.copy_fd(cmd == flag::F_DUPFD_CLOEXEC, Origin::Reuse);
        }
        let found = self.on_fd();
        let arg = self.event.int(Col::Arg).unwrap_or(0);
        let done = self.event.success().is_some();
        match cmd {
            flag::F_SETFD if done => self.set_cloexec(arg & flag::FD_CLOEXEC != 0),
            flag::F_SETFL if done => {
                if let Ok(Some(ix)) = found
                    && let Some(ofd) = self.model.tasks.ofd_mut(ix)
                {
                    const SET: i64 = flag::O_APPEND | flag::O_DIRECT;
                    ofd.flags = ofd.flags & !SET | arg & SET;
                    self.model.tree.touches.add(Resource::Ofd, ofd.id, Access::Write);
                }
            }
            _ => match Lock::of(cmd).map(|lock| lock.what) {
                Some(What::Get) => self.touch_lock(found, Access::Read),
                Some(What::Set) => self.touch_lock(found, Access::Write),
                None => {}
            },
        }
        found?;
        match command(cmd).map(|command| command.replayed) {
            Some(Replayed::As | Replayed::Model) => Ok(()),
            Some(Replayed::Drop) | None => Err(Reason::Unsupported),
        }
    }

    /// flock(2). To take a shared lock with a description that has none does not concern the other holders: the op only reads.
    pub(super) fn flock(&mut self) -> Dropped<()> {
        let found = self.on_fd();
        let holds = match found {
            Ok(Some(ix)) => self.model.tasks.ofd(ix).is_some_and(|ofd| ofd.locks),
            _ => false,
        };
        // A call that was refused depends on who holds the lock.
        let granted = self.event.success().is_some();
        let shared = granted && self.event.int(Col::Cmd).unwrap_or(0) & flag::LOCK_SH != 0 && !holds;
        self.touch_lock(found, if shared { Access::Read } else { Access::Write });
        found.map(|_| ())
    }

    fn touch_lock(&mut self, found: Dropped<Option<OfdIx>>, access: Access) {
        let Ok(Some(ix)) = found else { return };
        let done = self.event.success().is_some();
        let Some(ofd) = self.model.tasks.ofd_mut(ix) else { return };
        ofd.locks |= done;
        let ino = ofd.ino;
        self.model.tree.touch(Resource::Lock, ino, access);
    }

    /// Sets the close-on-exec flag of the call's descriptor, also of one that is not replayed (a pipe, a socket).
    fn set_cloexec(&mut self, cloexec: bool) {
        let Some(fd) = self.event.int(Col::Fd) else { return };
        let mut table = self.model.tasks.fds(self.who.process).iter_mut();
        if let Some((_, entry)) = table.find(|(number, _)| *number == fd) {
            entry.cloexec = cloexec;
        }
    }

    pub(super) fn ioctl(&mut self) -> Dropped<()> {
        let target = self.on_fd();
        let request = self.event.int(Col::Cmd);
        if let Some(cmd @ (flag::FIOCLEX | flag::FIONCLEX)) = request
            && self.event.success().is_some()
        {
            self.set_cloexec(cmd == flag::FIOCLEX);
            self.step.fate = Fate::Model;
            return target.map(|_| ());
        }
        let target = target?;
        if request == Some(flag::FICLONE) {
            return self.clone_file(target);
        }
        match self.known_outcome()? {
            _ if request.is_some_and(asks) => Ok(()),
            // A request that the file refused is refused again in the replay; what a granted one did, the capture does not
            // show.
            Err(libc::ENOTTY | libc::EINVAL | libc::EOPNOTSUPP | libc::EXDEV | libc::EBADF | libc::EISDIR)
                if request.is_some() =>
            {
                Ok(())
            }
            _ => Err(Reason::Unsupported),
        }
    }

    /// FICLONE (ioctl_ficlone(2)): the file of the descriptor in the argument is cloned as a whole into the file of `target`.
    fn clone_file(&mut self, target: Option<OfdIx>) -> Dropped<()> {
        let Fd::File(source) = self.fd(Col::Arg, Text::Fd2Path)? else { return Ok(()) };
        let from = self.model.tasks.ofd(source).map(|ofd| (ofd.id, ofd.ino));
        let to = target.and_then(|target| self.model.tasks.ofd(target)).map(|ofd| ofd.ino);
        let (Some((id, from)), Some(to)) = (from, to) else { return Err(Reason::UnknownFd) };
        (self.step.ofd2, self.step.file2) = (Some(id), Some(self.model.tree.file(from)));
        let size = self.model.tree.content(from).map_or(0, |content| content.least());
        self.model.tree.touches.add(Resource::Ofd, id, Access::Read);
        self.model.tree.touch(Resource::Size, from, Access::Read);
        if self.known_outcome()?.is_ok()
            && let Some(content) = self.model.tree.content(to)
        {
            content.write(0, size);
            self.model.tree.touch_cut(to);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use crate::event::{AT_FDCWD, Col, Event, Text};
    use crate::fate::Origin;
    use crate::model::{Config, Model, Rows};
    use crate::syscall::{Op, Syscall, flag};

    fn call(syscall: Syscall, ret: i64, ints: &[(Col, i64)]) -> Event {
        let mut event = Event::new(syscall);
        event.set_outcome(ret);
        for (col, value) in [(Col::Pid, 1), (Col::Tid, 1)].iter().chain(ints) {
            event.set(*col, *value);
        }
        event
    }

    /// Does exec close a descriptor after these requests of ioctl(2)?
    fn closed_on_exec(requests: &[i64]) -> bool {
        let mut open = call(Syscall::openat, 3, &[(Col::DirFd, AT_FDCWD), (Col::Flags, 0)]);
        open.set_text(Text::Path, &b"/home/f"[..]);
        let mut events = vec![open];
        events.extend(requests.iter().map(|cmd| call(Syscall::ioctl, 0, &[(Col::Fd, 3), (Col::Cmd, *cmd)])));
        events.push(call(Syscall::execve, 0, &[]));
        let mut model = Model::new(Config::default());
        let mut rows = Rows::default();
        events.iter().for_each(|event| model.step(event, &mut rows));
        assert!(rows.list.iter().all(|row| row.step.reason.is_none()));
        rows.list.iter().any(|row| row.step.origin == Origin::Exec && row.step.op == Some(Op::Close))
    }

    #[test]
    fn ioctl_sets_and_clears_close_on_exec() {
        assert!(!closed_on_exec(&[]));
        assert!(closed_on_exec(&[flag::FIOCLEX]));
        assert!(!closed_on_exec(&[flag::FIOCLEX, flag::FIONCLEX]));
    }
}
