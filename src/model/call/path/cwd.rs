//! The working directories of processes: what is known of them, and how calls are made in one that was removed.

use super::Arg;
use crate::event::{AT_FDCWD, Col, Event, Text};
use crate::fate::{Origin, Reason};
use crate::model::call::{Call, Dropped, flag, outside};
use crate::model::step::{Kind, Name};
use crate::model::task::fds::{Entry, OfdIx, Target};
use crate::model::touch::{Access, Resource};
use crate::model::tree::walk::{Proof, Walk};
use crate::model::tree::{Ino, Life, ROOT};
use crate::syscall::{Op, Syscall};
use std::sync::Arc;

/// Path taken as the working directory of a process whose real one the capture never shows.
pub(in crate::model::call) const UNKNOWN_CWD: &[u8] = b"/cwd";

/// Is this annotation the path of an existing directory, rather than a removed one or no path?
fn is_place(note: &[u8]) -> bool {
    note.first() == Some(&b'/') && !note.ends_with(b"(deleted)")
}

impl Call<'_> {
    /// A call with an absolute path may show the working directory too (`AT_FDCWD</a>`): kept as long as nothing else tells it.
    pub(in crate::model::call) fn tell_cwd(&mut self, note: Option<&[u8]>) {
        let cwd = self.model.tasks.cwd(self.who.process);
        if cwd.ino.is_none() && cwd.told.as_deref() != note {
            cwd.told = note.filter(|note| is_place(note)).map(Box::from);
        }
    }

    pub(in crate::model::call) fn start_at_cwd(&mut self, arg: Arg, note: Option<&[u8]>) -> Dropped<Ino> {
        let ino = self.cwd(note)?;
        self.stand_in(arg, ino);
        Ok(ino)
    }

    /// A relative path starts at the working directory `ino`: fills in the step's `cwd`, or `dir` with the description that
    /// keeps one that was removed.
    pub(in crate::model::call) fn stand_in(&mut self, arg: Arg, ino: Ino) {
        let kept = self.model.kept.get(&ino).and_then(|ix| self.model.tasks.ofd(*ix)).map(|ofd| ofd.id);
        let Some(id) = kept else {
            self.step.cwd = Some(self.cwd_path(ino));
            return self.model.tree.touch_cwd(ino);
        };
        self.stand_on(arg, id, ino);
    }

    /// A relative path starts at the open file description `id`: fills in `dir` or `dir2` of the step. In a directory that was
    /// removed nothing can be made, and it has no path: such a call comes after the removal, which writes its entries.
    pub(in crate::model::call) fn stand_on(&mut self, arg: Arg, id: i64, ino: Ino) {
        let tree = &mut self.model.tree;
        tree.touches.add(Resource::Ofd, id, Access::Read);
        tree.touch(Resource::Attrs, ino, Access::Read);
        if tree.at(ino).unlinked() {
            tree.touch(Resource::Entries, ino, Access::Read);
        }
        match arg {
            Arg::First => self.step.dir = Some(id),
            Arg::Second => self.step.dir2 = Some(id),
        }
    }

    /// Before a directory is removed: if processes have it as working directory, an inserted op opens it, so that it stays
    /// usable.
    pub(in crate::model::call) fn keep(&mut self, ino: Ino) {
        if self.model.kept.contains_key(&ino) || self.model.tasks.cwds().all(|cwd| cwd.ino != Some(ino)) {
            return;
        }
        let flags = flag::O_PATH | flag::O_DIRECTORY;
        let ix = self.model.tasks.open(self.who, ino, flags);
        self.model.tree.at_mut(ino).refs += 1;
        self.model.kept.insert(ino, ix);
        let path = self.model.ofd_path(ix);
        let mut event = Event::new(Syscall::openat);
        event.set(Col::DirFd, AT_FDCWD);
        event.set_text(Text::Path, &path[..]);
        event.set(Col::Flags, flags);
        let mut step = self.inserted(Origin::Cwd, Op::Openat);
        let id = self.model.tasks.ofd(ix).map_or(-1, |ofd| ofd.id);
        (step.ofd, step.file, step.path) = (Some(id), Some(self.model.tree.file(ino)), Some(path));
        self.insert(event, step, |tree| {
            tree.touch_way(ino);
            tree.touches.add(Resource::Ofd, id, Access::Write);
        });
    }

    /// Closes the descriptions of removed directories that are no process's working directory any more.
    pub(in crate::model) fn leave(&mut self) {
        if self.model.kept.is_empty() {
            return;
        }
        let there: Vec<Ino> = self.model.tasks.cwds().filter_map(|cwd| cwd.ino).collect();
        let mut gone: Vec<OfdIx> = self.model.kept.extract_if(|ino, _| !there.contains(ino)).map(|(_, ix)| ix).collect();
        gone.sort_unstable();
        self.end(gone.into_iter().map(|ix| Entry { target: Target::Ofd(ix), cloexec: false }), Origin::Cwd);
    }

    /// The path by which a replay enters a working directory. A removed one cannot be entered, also when another directory has
    /// its name by then: its path gets ` (deleted)` behind it as in /proc, which names nothing.
    fn cwd_path(&mut self, ino: Ino) -> Name {
        let path = self.model.tree.path(ino);
        if self.model.tree.at(ino).unlinked() && ino != ROOT { Arc::from([&path, &b" (deleted)"[..]].concat()) } else { path }
    }

    /// The working directory of the calling process. `note` is what the capture shows of it, and is believed.
    pub(in crate::model::call) fn cwd(&mut self, note: Option<&[u8]>) -> Dropped<Ino> {
        let note = note.filter(|note| is_place(note));
        let cwd = self.model.tasks.cwd(self.who.process);
        if let Some(ino) = cwd.ino
            && (note.is_none() || note == cwd.seen.as_deref())
        {
            return self.inside(ino);
        }
        let (known, set_by_call) = (cwd.ino, cwd.seen.is_none());
        let Some(note) = note else {
            if let Some(told) = cwd.told.take() {
                return self.adopt_cwd(&told, Some(&told));
            }
            self.model.tree.guess("a working directory");
            return self.adopt_cwd(UNKNOWN_CWD, None);
        };
        if let Some(ino) = known {
            if set_by_call && self.model.tree.at(ino).place == crate::model::Place::Keep {
                self.model.tree.really(ino, note);
                self.flush();
            }
            let now = self.model.tasks.cwd(self.who.process).ino.unwrap_or(ino);
            if *self.model.tree.path(now) == *note || self.model.tree.at(now).unlinked() {
                self.model.tasks.cwd(self.who.process).seen = Some(note.into());
                return self.inside(now);
            }
        }
        self.adopt_cwd(note, Some(note))
    }

    pub(in crate::model::call) fn adopt_cwd(&mut self, path: &[u8], note: Option<&[u8]>) -> Dropped<Ino> {
        let ino = match self.model.tree.quietly(|tree| tree.walk(ROOT, path, true, Proof::Through)) {
            Walk::At(spot) => self.model.tree.exists(&spot, Some(Kind::Dir), false),
            Walk::Outside(_) => self.outside_dir(path),
            _ => return Err(Reason::LostName),
        };
        self.flush();
        self.set_cwd(ino, note);
        self.inside(ino)
    }

    fn inside(&self, ino: Ino) -> Dropped<Ino> {
        match outside(self.model.tree.at(ino).place) {
            Some(reason) => Err(reason),
            None => Ok(ino),
        }
    }

    /// Makes an inode that stands for a directory in a place that is not replayed.
    pub(in crate::model::call) fn outside_dir(&mut self, path: &[u8]) -> Ino {
        let place = self.model.tree.config().place(path);
        let node = crate::model::tree::blank(Some(Kind::Dir), true);
        let ino = self.model.tree.anonymous(node, Life::Created, ROOT);
        let place = if place == crate::model::Place::Keep { crate::model::Place::Pseudo } else { place };
        self.model.tree.at_mut(ino).place = place;
        ino
    }

    /// The process is in a directory that nobody knows, until something tells which.
    pub(in crate::model::call) fn forget_cwd(&mut self) {
        let cwd = self.model.tasks.cwd(self.who.process);
        (cwd.ino, cwd.seen, cwd.told) = (None, None, None);
    }

    pub(in crate::model::call) fn set_cwd(&mut self, ino: Ino, note: Option<&[u8]>) {
        // A directory that was a working directory once is never forgotten: fork copies these without counting.
        let node = self.model.tree.at_mut(ino);
        node.refs = node.refs.saturating_add(1);
        let cwd = self.model.tasks.cwd(self.who.process);
        (cwd.ino, cwd.seen) = (Some(ino), note.map(Into::into));
    }
}
