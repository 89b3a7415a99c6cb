//! What a live capture observed in the kernel of the file and the descriptor of a call.
//!
//! It is read when the call returns, so another call on the same open file description that was under way may have changed it.
//! The model knows the calls that began before; those that begin later, but before this one was over, show only when they come.
//! So a position is believed when the next call on the description has begun after it was read.

use super::{Call, flag, is_device, kind_of};
use crate::event::Col;
use crate::model::facts::{Answer, Identity, Source};
use crate::model::step::Kind;
use crate::model::task::fds::OfdIx;
use crate::model::tree::Ino;
use crate::syscall::Role;

/// A shared position that was observed after a call, bytes, and the end of that call, ns.
#[derive(Clone, Copy, Debug)]
pub(in crate::model) struct Sighting {
    pub(in crate::model) pos: i64,
    pub(in crate::model) over: i64,
}

impl Call<'_> {
    /// At the begin of a call on a description: takes the last observed position as right, whatever the calls before would
    /// give, if no other call overlapped its observation.
    pub(super) fn recall(&mut self, ix: OfdIx) {
        let (Some(begin), Some(ofd)) = (self.begin(), self.model.tasks.ofd_mut(ix)) else { return };
        let Some(sighting) = ofd.sighting.take().filter(|sighting| sighting.over <= begin) else { return };
        let (ino, pos, behind) = (ofd.ino, ofd.pos, ofd.behind);
        if let Some(behind) = behind {
            // The position after an append tells how long the file was.
            let seen = self.model.tree.content(ino).map(|content| content.reveal(behind, sighting.pos));
            if let Some(seen) = seen {
                self.seen(ino, seen);
            }
        } else if pos != sighting.pos {
            self.misplaced(ix, sighting.pos);
        }
        self.go_to(ix, sighting.pos);
    }

    /// Before a call that moves a position which is not certain: the position observed after the call, less the bytes it
    /// `moved`, is where it began.
    pub(super) fn trace_back(&mut self, ix: OfdIx, moved: i64) {
        let Some(ofd) = self.model.tasks.ofd(ix) else { return };
        let quiet = self.begin().is_some_and(|begin| ofd.busy <= begin);
        let seen = self.event.int(Col::Pos).filter(|_| quiet && self.event.success().is_some());
        let (pos, sure, behind) = (ofd.pos, ofd.pos_sure, ofd.behind.is_some());
        let began = seen.map(|seen| seen.saturating_sub(moved)).filter(|began| *began >= 0);
        self.model.tree.answer(Answer::Position, began.is_some_and(|began| !sure || behind || began == pos));
        if let Some(began) = began.filter(|_| !sure && !behind) {
            if began != pos {
                self.misplaced(ix, began);
            }
            self.go_to(ix, began);
        }
    }

    /// Before a read from a position that is not certain: a read that stops short stops at the end of the file, so file size
    /// less bytes read is where it began. While the file's size is unknown, the replay seeks from the end.
    pub(super) fn back_from_the_end(&mut self, ix: OfdIx) {
        let Some(ofd) = self.model.tasks.ofd(ix) else { return };
        let (ino, pos, behind, sure) = (ofd.ino, ofd.pos, ofd.behind, ofd.pos_sure);
        if sure && behind.is_none() {
            return;
        }
        let short = self.event.success().zip(self.event.int(Col::Count)).filter(|(bytes, asked)| (0..*asked).contains(bytes));
        let Some((bytes, _)) = short.filter(|_| self.model.tree.at(ino).kind() == Kind::File && !self.racing(ino)) else {
            return;
        };
        let Some(content) = self.model.tree.content(ino) else { return };
        match (content.size(), content.appended()) {
            // The file was truncated after an append: the position after the append tells how long the file was.
            (Some(size), _) if sure => {
                let Some(behind) = behind.filter(|behind| content.resolve(*behind).is_none()) else { return };
                let seen = match bytes {
                    0 => content.began_with(size.saturating_sub(behind)),
                    _ => content.reveal(behind, size.saturating_sub(bytes)),
                };
                self.seen(ino, seen);
            }
            (Some(size), _) if size >= bytes => {
                if behind.is_some() || pos != size - bytes {
                    self.misplaced(ix, size - bytes);
                }
                self.go_to(ix, size - bytes);
            }
            (None, Some(appended)) if !sure => {
                let seen = content.read_to(bytes);
                self.seen(ino, seen);
                if let Some(ofd) = self.model.tasks.ofd_mut(ix) {
                    (ofd.behind, ofd.pos_sure) = (Some(appended.saturating_sub(bytes)), true);
                }
                self.seek(ix, -bytes, flag::SEEK_END);
            }
            _ => {}
        }
    }

    /// The position was another than the captured calls give: calls outside the capture moved it. An inserted seek sets it.
    fn misplaced(&mut self, ix: OfdIx, pos: i64) {
        if let Some(ofd) = self.model.tasks.ofd_mut(ix) {
            let sure = std::mem::replace(&mut ofd.pos_sure, true);
            ofd.pos = pos;
            if sure {
                self.model.tree.guess("a position moved by calls that are not in the capture");
            }
        }
        self.reposition(ix);
    }

    /// After a call on a description: notes the observed position for the next call, and the time at which this one ended.
    pub(super) fn sight(&mut self, ix: OfdIx) {
        let (Some(begin), Some(over)) = (self.begin(), self.over()) else { return };
        let file = self.event.success().is_some() && self.event.int(Col::StMode).and_then(kind_of) == Some(Kind::File);
        let pos = self.event.int(Col::Pos).filter(|_| file);
        let Some(ofd) = self.model.tasks.ofd_mut(ix) else { return };
        ofd.sighting = pos.filter(|_| ofd.busy <= begin).map(|pos| Sighting { pos, over });
        ofd.busy = ofd.busy.max(over);
    }

    /// A path led to the file `ino`: gives the inode that it really is by its observed identity. `new` when the call made the
    /// file.
    pub(super) fn identified(&mut self, ino: Ino, new: bool) -> Ino {
        let event = self.event;
        let kind = event.int(Col::StMode).and_then(kind_of);
        if kind.unwrap_or(self.model.tree.at(ino).kind()) != Kind::File {
            if let Some(identity) = self.identity().filter(|_| kind == Some(Kind::Dir)) {
                self.model.tree.is_now_called(ino, identity);
            }
            return ino;
        }
        let identity = self.identity().filter(|_| kind.is_some());
        self.model.tree.answer(Answer::Identity, identity.is_some());
        let Some(identity) = identity else { return ino };
        let quiet = self.begin().is_some_and(|begin| self.model.tree.renamed <= begin);
        let is = self.model.tree.identify(ino, identity, new, quiet);
        self.flush();
        is
    }

    /// Identity (device and inode) of the file that the call was on, where the capture shows it.
    pub(super) fn identity(&self) -> Option<Identity> {
        let (dev, ino) = self.event.int(Col::Dev).zip(self.event.int(Col::Ino)).filter(|(_, ino)| *ino != 0)?;
        let def = self.event.syscall.def();
        let source = if def.has(Role::Stat) || def.has(Role::Statx) { Source::Stat } else { Source::Fd };
        Some(Identity { source, dev, ino })
    }

    /// Takes over what was observed of an opened file: its mode, and its size unless the call itself made or truncated it
    /// (`changed`).
    pub(super) fn opened_as(&mut self, ino: Ino, changed: bool) {
        let Some(mode) = self.event.int(Col::StMode).filter(|mode| !is_device(*mode)) else { return };
        if kind_of(mode) == Some(Kind::File)
            && !changed
            && let Some(size) = self.event.int(Col::StSize)
        {
            self.observe(ino, size);
        }
        self.mode_seen(ino, mode);
    }

    /// Takes over the size observed when a call on a descriptor had returned, if the model does not know the size.
    pub(super) fn size_seen(&mut self, ino: Ino) {
        let file = self.event.success().is_some() && self.event.int(Col::StMode).and_then(kind_of) == Some(Kind::File);
        if let Some(size) = self.event.int(Col::StSize).filter(|_| file)
            && self.model.tree.content(ino).is_some_and(|content| content.size().is_none())
        {
            self.observe(ino, size);
        }
    }
}
