//! Names that lead through what a process has open (proc_pid_fd(5), proc_pid_cwd(5), proc_pid_root(5)): the replay has no /proc, so
//! they are rewritten to lead where they led.
//!
//! Limits: such a name as the content of a symlink, and a relative one below a descriptor of /proc, are not followed: calls through
//! them are dropped like others on /proc. What has no name any more is not reached either. A process id is believed to be of
//! the namespace of the capture.

use super::follows;
use crate::event::{Col, Event, Text};
use crate::model::step::Name;
use crate::model::task::Who;
use crate::model::task::fds::Target;
use crate::model::tree::Ino;
use crate::model::{Model, Place};
use crate::syscall::Role;

/// What a magic link belongs to, and what it leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    /// The working directory of a process.
    Cwd,
    /// Its root directory.
    Root,
    /// What its descriptor of this number is open on.
    Fd(i64),
}

/// The process whose link in /proc it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whose {
    Caller,
    /// The process or thread of this id.
    Of(i64),
}

/// A path through a magic link: where it starts, and the rest behind it, which is empty or begins with a slash.
fn magic(path: &[u8]) -> Option<(Whose, Link, &[u8])> {
    let (whose, rest) = match path.strip_prefix(b"/proc/") {
        Some(rest) => {
            let (who, mut rest) = first(rest);
            let mut whose = match who {
                b"self" | b"thread-self" => Whose::Caller,
                number => Whose::Of(decimal(number)?),
            };
            if let Some(task) = rest.strip_prefix(b"/task/") {
                let (thread, behind) = first(task);
                (whose, rest) = (Whose::Of(decimal(thread)?), behind);
            }
            (whose, rest.strip_prefix(b"/")?)
        }
        None => {
            let rest = path.strip_prefix(b"/dev/")?;
            for (name, fd) in [(&b"stdin"[..], 0), (b"stdout", 1), (b"stderr", 2)] {
                if let Some(rest) = rest.strip_prefix(name).filter(|rest| matches!(rest, [] | [b'/', ..])) {
                    return Some((Whose::Caller, Link::Fd(fd), rest));
                }
            }
            (Whose::Caller, rest)
        }
    };
    let (link, rest) = match first(rest) {
        (b"cwd", rest) if path.starts_with(b"/proc/") => (Link::Cwd, rest),
        (b"root", rest) if path.starts_with(b"/proc/") => (Link::Root, rest),
        (b"fd", rest) => {
            let (number, rest) = first(rest.strip_prefix(b"/")?);
            (Link::Fd(decimal(number)?), rest)
        }
        _ => return None,
    };
    Some((whose, link, rest))
}

/// The first name of a path, and the rest of the path behind it.
fn first(path: &[u8]) -> (&[u8], &[u8]) {
    path.split_at(path.iter().position(|byte| *byte == b'/').unwrap_or(path.len()))
}

/// The value of a text that has only digits.
pub(in crate::model::call) fn decimal(text: &[u8]) -> Option<i64> {
    std::str::from_utf8(text).ok().filter(|text| text.bytes().all(|c| c.is_ascii_digit()))?.parse().ok()
}

impl Model {
    /// The event with names that lead through /proc to what a process has open rewritten; `None` when it has none.
    pub(in crate::model) fn unmagic(&mut self, event: &Event, who: Who) -> Option<Box<Event>> {
        let def = event.syscall.def();
        // openat2(2) can forbid such links, and with a root of its own a path means something else.
        if event.int(Col::Resolve).is_some_and(|resolve| resolve != 0) {
            return None;
        }
        let mut rewritten: Option<Box<Event>> = None;
        for (role, text) in [(Role::Path, Text::Path), (Role::Path2, Text::Path2)] {
            if !def.has(role) {
                continue;
            }
            let follow = role == Role::Path && follows(event);
            if let Some(path) = event.text(text).and_then(|path| self.behind(path, who, follow)) {
                rewritten.get_or_insert_with(|| Box::new(event.clone())).set_text(text, path);
            }
        }
        rewritten
    }

    /// Where a path through a magic link leads; `follow`: as last component it is followed, too.
    fn behind(&mut self, path: &[u8], who: Who, follow: bool) -> Option<Vec<u8>> {
        let inside = match &self.tasks.cwd(who.process).root {
            Some(root) => path.strip_prefix(&root[..])?,
            None => path,
        };
        let (whose, link, rest) = magic(inside)?;
        if self.tree.config().place(path) != Place::Pseudo {
            return None;
        }
        if rest.is_empty() && !follow {
            return None;
        }
        let process = match whose {
            Whose::Caller => who.process,
            Whose::Of(id) => self.tasks.process_of(id)?,
        };
        let to = match link {
            Link::Root => self.tasks.cwd(process).root.clone().unwrap_or_else(|| Name::from(&b"/"[..])),
            Link::Cwd => {
                let ino = self.tasks.cwd(process).ino?;
                self.named(ino)?
            }
            Link::Fd(fd) => match self.tasks.fds(process).get(fd)?.target {
                Target::Ofd(ix) => {
                    let ino = self.tasks.ofd(ix)?.ino;
                    self.named(ino)?
                }
                Target::Special(..) | Target::Process(_) => return None,
            },
        };
        let to = to.strip_suffix(b"/").unwrap_or(&to);
        let whole = [to, rest].concat();
        Some(if whole.is_empty() { b"/".to_vec() } else { whole })
    }

    /// Path of a file that has a name, in a place that is replayed.
    fn named(&mut self, ino: Ino) -> Option<Name> {
        let node = self.tree.at(ino);
        let there = node.place == Place::Keep && (ino == crate::model::tree::ROOT || !node.unlinked());
        there.then(|| self.tree.path(ino))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn magic_links_are_told_from_other_names() {
        use Link::{Cwd, Fd, Root};
        use Whose::{Caller, Of};
        for (path, whose, link, rest) in [
            ("/proc/self/cwd", Caller, Cwd, ""),
            ("/proc/self/cwd/a/b", Caller, Cwd, "/a/b"),
            ("/proc/thread-self/root/", Caller, Root, "/"),
            ("/proc/12/fd/3/x", Of(12), Fd(3), "/x"),
            ("/proc/12/task/13/cwd", Of(13), Cwd, ""),
            ("/dev/fd/7", Caller, Fd(7), ""),
            ("/dev/stdin", Caller, Fd(0), ""),
            ("/dev/stdout/", Caller, Fd(1), "/"),
        ] {
            assert_eq!(magic(path.as_bytes()), Some((whose, link, rest.as_bytes())), "{path}");
        }
        for path in [
            "/dev/stdinx",
            "/dev/cwd",
            "/proc/self/cwdx",
            "/proc/self/fd",
            "/proc/self/fd/",
            "/proc/self/fd/-1",
            "/proc/self",
            "/proc/x/cwd",
        ] {
            assert_eq!(magic(path.as_bytes()), None, "{path}");
        }
    }
}
