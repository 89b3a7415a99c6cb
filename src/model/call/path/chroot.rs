//! Calls of processes with a root directory of their own (chroot(2)). The replay has one root for all processes, so their
//! absolute paths are rewritten to start at the machine's root.

use super::{in_root, inside};
use crate::event::{Col, Event, Text};
use crate::model::call::fd::special;
use crate::model::call::{Call, Dropped};
use crate::model::config::Notes;
use crate::model::step::{Kind, Name};
use crate::syscall::{Op, Role};

/// The event with its absolute paths rewritten as a process with the machine's root would give them: `root` is put before them.
/// With [`Notes::Process`] also before the paths that the capture added.
///
/// Limits: a symlink below that root whose content is absolute is followed from the machine's root here, and a `..` behind a
/// name may leave the root.
pub(in crate::model) fn written_out(event: &Event, root: &[u8], notes: Notes) -> Event {
    let (mut event, def) = (event.clone(), event.syscall.def());
    if event.syscall.op() == Some(Op::Joined) {
        return event;
    }
    let elsewhere = in_root(&event);
    for (role, text) in [(Role::Path, Text::Path), (Role::Path2, Text::Path2)] {
        if def.has(role) && !elsewhere {
            write_out(&mut event, text, root);
        }
    }
    if notes == Notes::Process {
        for text in [Text::FdPath, Text::Fd2Path, Text::DirPath, Text::Dir2Path] {
            write_out(&mut event, text, root);
        }
    }
    if def.op() == Some(Op::Getcwd) {
        longer(&mut event, root);
    }
    event
}

/// getcwd in the replay returns the path from the machine's root: makes the buffer size, the result and the path longer by
/// `root`.
fn longer(event: &mut Event, root: &[u8]) {
    let whole = event.take_text(Text::Path).map(|path| path.strip_suffix(b"/").map(Box::from).unwrap_or(path));
    let more = root.len() as i64;
    event.put(Col::Count, event.int(Col::Count).map(|count| count.saturating_add(more)));
    // getcwd returns the length with the NUL. In the root itself that was 2, for `/`, of which nothing is kept.
    event.put(
        Col::Ret,
        event.success().map_or(event.int(Col::Ret), |ret| Some(if ret == 2 { more + 1 } else { ret.saturating_add(more) })),
    );
    if let Some(whole) = whole {
        event.set_text(Text::Path, whole);
    }
}

fn write_out(event: &mut Event, text: Text, root: &[u8]) {
    let Some(path) = event.text(text).filter(|path| path.first() == Some(&b'/') && special(path).is_none()) else { return };
    let whole = [root, inside(path)].concat();
    event.set_text(text, whole);
}

impl Call<'_> {
    /// chroot(2): notes the new root directory. The working directory stays.
    pub(in crate::model::call) fn chroot(&mut self) -> Dropped<()> {
        let found = self.on_path(true, Some(Kind::Dir));
        if self.event.success().is_some() {
            let root = match found {
                Ok(Some(ino)) => Some(self.model.tree.path(ino)),
                // The new root is in a place that is not replayed.
                _ => self.event.text(Text::Path).filter(|path| path.first() == Some(&b'/')).map(Name::from),
            };
            if let Some(root) = root {
                self.model.tasks.cwd(self.who.process).root = Some(root).filter(|root| **root != *b"/");
            }
        }
        found.map(|_| ())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::AT_FDCWD;
    use crate::model::{Config, Model, Present, Rows};
    use crate::syscall::Syscall;
    use std::sync::Arc;

    fn call(syscall: Syscall, ret: i64, path: &str, path2: &str) -> Event {
        let mut event = Event::new(syscall);
        event.set_outcome(ret);
        [Col::Pid, Col::Tid].iter().for_each(|col| event.set(*col, 1));
        event.set_text(Text::Path, path);
        if !path2.is_empty() {
            event.set_text(Text::Path2, path2);
        }
        event
    }

    /// What is issued in place of each event: path and second path, where they are others.
    fn issued(config: Config, events: &[Event]) -> Vec<Option<(String, String)>> {
        let (mut model, mut rows) = (Model::new(config), Rows::default());
        let text = |event: &Event, text| String::from_utf8(event.text(text).unwrap_or_default().to_vec()).unwrap();
        let mut issued = Vec::new();
        for event in events {
            rows.clear();
            model.step(event, &mut rows);
            let args = rows.list.last().unwrap().args.as_deref();
            issued.push(args.map(|event| (text(event, Text::Path), text(event, Text::Path2))));
        }
        issued
    }

    fn some(path: &str, path2: &str) -> Option<(String, String)> {
        Some((path.into(), path2.into()))
    }

    #[test]
    fn paths_below_a_root_are_written_out() {
        let events = [
            call(Syscall::mkdir, 0, "/a", ""),
            call(Syscall::chroot, 0, "/jail", ""),
            call(Syscall::chdir, 0, "/", ""),
            call(Syscall::rename, 0, "/a", "b/../c"),
            call(Syscall::symlink, 0, "/l", "/c"),
            call(Syscall::readlink, 2, "/../../l", "/c"),
            call(Syscall::chroot, 0, "/inner", ""),
            call(Syscall::rmdir, 0, "/..x", ""),
            call(Syscall::chdir, 0, "/", ""),
            call(Syscall::getcwd, 2, "/", ""),
            call(Syscall::chdir, 0, "sub", ""),
            call(Syscall::getcwd, 5, "/sub", ""),
        ];
        let expected = [
            None,
            None,
            some("/jail/", ""),
            some("/jail/a", "b/../c"),
            some("/jail/l", "/c"),
            some("/jail/l", "/c"),
            None,
            some("/jail/inner/..x", ""),
            some("/jail/inner/", ""),
            some("/jail/inner", ""),
            some("sub", ""),
            some("/jail/inner/sub", ""),
        ];
        assert_eq!(issued(Config::default(), &events), expected);
    }

    #[test]
    fn a_root_is_inherited_and_may_be_there_from_the_start() {
        let root = Some(Arc::from(&b"/jail"[..]));
        let present = vec![Present { pid: 1, root, ..Present::default() }];
        let config = Config { present: present.into(), ..Config::default() };
        let fork = call(Syscall::fork, 2, "", "");
        let mut child = call(Syscall::unlink, 0, "/a", "");
        [Col::Pid, Col::Tid].iter().for_each(|col| child.set(*col, 2));
        let mut other = child.clone();
        [Col::Pid, Col::Tid].iter().for_each(|col| other.set(*col, 3));
        let found = issued(config, &[call(Syscall::rmdir, 0, "/d", ""), fork, child, other]);
        assert_eq!(found, [some("/jail/d", ""), None, some("/jail/a", ""), None]);
    }

    /// SystemTap tells what a descriptor is open on as the process sees it, others as they see it.
    #[test]
    fn what_was_added_to_a_call_begins_where_its_tracer_stood() {
        for (notes, note) in [(Notes::Machine, "/jail/f"), (Notes::Process, "/f")] {
            let mut open = call(Syscall::openat, 3, "/f", "");
            open.set(Col::DirFd, AT_FDCWD);
            open.set(Col::Flags, 0);
            open.set_text(Text::FdPath, note);
            let (mut model, mut rows) = (Model::new(Config { notes, ..Config::default() }), Rows::default());
            [call(Syscall::chroot, 0, "/jail", ""), open].iter().for_each(|event| model.step(event, &mut rows));
            let end = model.finish(&mut Rows::default());
            let paths: Vec<_> = end.needs.iter().map(|need| String::from_utf8_lossy(&need.path).into_owned()).collect();
            assert_eq!(paths, ["/jail", "/jail/f"], "{notes:?}");
            assert!(end.guesses.is_empty(), "{:?}", end.guesses);
        }
    }
}
