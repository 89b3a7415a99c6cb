//! Events that are not replayed although they could be: those before the replay begins, whose effects are its beginning, and
//! those that were not chosen, which count as done by somebody outside the capture, or not at all.

use super::call::Call;
use super::task::fds::{Entry, OfdIx, Target};
use super::tree::inode::{Inode, Life, Node, ROOT, Was};
use super::{Model, Rows, Step};
use crate::event::{Col, Event};
use crate::fate::{Fate, Origin, Reason};

impl Model {
    /// Takes the next event without its effects, as if it were not in the capture: gives its row alone, dropped as
    /// [`Reason::Filtered`]. Closes of descriptors whose process turns out to have ended come before it.
    pub fn pass(&mut self, event: &Event, out: &mut Rows) {
        let pid = event.int(Col::Pid).or(event.int(Col::Tid)).unwrap_or(0);
        let tid = event.int(Col::Tid).unwrap_or(pid);
        self.tree.reuse();
        let (who, ended) = self.tasks.enter(pid, tid);
        if !self.begun || !ended.is_empty() {
            let mut call = Call::new(self, event, who, out);
            call.know_the_start();
            call.end(ended, Origin::Exit);
        }
        self.tree.touches.clear();
        let program = self.tasks.program(who.process);
        let step =
            Step { reason: Some(Reason::Filtered), program, ..Step::new(Fate::Drop, event.syscall.op(), who.vpid, who.vtid) };
        out.push(None, step, &mut self.tree.touches);
    }

    /// Takes the next event with its effects, which become part of what is there before the replay ([`Model::rebase`]): gives its
    /// row alone, dropped as [`Reason::Filtered`].
    pub fn lead(&mut self, event: &Event, out: &mut Rows) {
        let from = out.list.len();
        self.step(event, out);
        let Some(mut row) = out.list.pop() else { return };
        out.list.truncate(from);
        row.args = None;
        row.touches = 0..0;
        let Step { fate, reason, vpid, vtid, program, on_file, route, bytes, moves, op, .. } = row.step;
        let kept = Step { program, on_file, route, bytes, moves, ..Step::new(fate, op, vpid, vtid) };
        row.step = Step { reason, ..kept };
        if fate == Fate::Op {
            (row.step.fate, row.step.reason) = (Fate::Drop, Some(Reason::Filtered));
        }
        out.list.push(row);
    }

    /// Takes the next event with its effects, but does not replay it: its row is dropped as [`Reason::Filtered`], and the ops that
    /// it needs come before it.
    pub fn follow(&mut self, event: &Event, out: &mut Rows) {
        self.step(event, out);
        if let Some(row) = out.list.last_mut().filter(|row| row.step.fate == Fate::Op) {
            (row.step.fate, row.step.reason, row.touches) = (Fate::Drop, Some(Reason::Filtered), 0..0);
        }
    }

    /// What is there now is what the replay begins with: the fileset has the files of this moment, and descriptors that are open are
    /// opened again, in the lane of `event`, which comes next.
    pub fn rebase(&mut self, event: &Event, out: &mut Rows) {
        let pid = event.int(Col::Pid).or(event.int(Col::Tid)).unwrap_or(0);
        let tid = event.int(Col::Tid).unwrap_or(pid);
        self.tree.reuse();
        let (who, ended) = self.tasks.enter(pid, tid);
        let from = out.list.len();
        let mut call = Call::new(self, event, who, out);
        call.know_the_start();
        call.end(ended, Origin::Exit);
        out.list.truncate(from);
        self.begin_here();
        Call::new(self, event, who, out).open_all_again();
    }

    fn begin_here(&mut self) {
        self.told.clear();
        self.tree.begin_here();
        self.tasks.number_again();
        let gone: Vec<OfdIx> = (0..self.tasks.ofds.len() as OfdIx)
            .filter(|ix| self.tasks.ofd(*ix).is_some_and(|ofd| !self.tree.at(ofd.ino).can_be_opened()))
            .collect();
        if !gone.is_empty() {
            self.tasks.each_entry(|entry| {
                if matches!(entry.target, Target::Ofd(ix) if gone.contains(&ix)) {
                    *entry = Entry { target: Target::Special(Reason::UnknownFd, None), ..*entry };
                }
            });
            for ix in gone {
                if let Some(ofd) = self.tasks.forget(ix) {
                    self.let_go(ofd.ino);
                }
            }
            self.kept.retain(|_, ix| self.tasks.ofd(*ix).is_some());
        }
    }
}

impl Inode {
    /// Can a descriptor of it be opened again: by a name, or, of a regular file, as a temporary one?
    fn can_be_opened(&self) -> bool {
        match self.node {
            Node::Fifo | Node::Socket => false,
            Node::File(_) => true,
            Node::Unknown | Node::Dir(_) | Node::Link { .. } => !self.unlinked(),
        }
    }
}

impl super::tree::Tree {
    /// What every name is now, it was at the start: forgets what was before.
    fn begin_here(&mut self) {
        self.fixes.clear();
        self.touches.clear();
        for ino in 0..self.nodes.len() {
            let node = &mut self.nodes[ino];
            if ino != ROOT as usize && node.unlinked() && node.refs == 0 && node.life == Life::Initial {
                *node = Inode::new(Node::Unknown, Life::Created);
                self.free.push(ino as u32);
                continue;
            }
            let twins = node.home.is_some() && !node.more.is_empty();
            (node.twins, node.dirty) = (twins, false);
            if node.life != Life::Ghost {
                node.life = if node.unlinked() && ino != ROOT as usize { Life::Created } else { Life::Initial };
            }
            if node.mode_set {
                (node.mode, node.mode_set) = (None, false);
            }
            if node.owner_set {
                (node.owner, node.owner_set) = (None, false);
            }
            if node.mtime_set {
                (node.mtime, node.mtime_set) = (None, false);
            }
            if !node.xattrs_set.is_empty() {
                let set = std::mem::take(&mut node.xattrs_set);
                node.xattrs.retain(|name| !set.contains(name));
            }
            match &mut node.node {
                Node::File(content) => content.begin_here(),
                Node::Dir(entries) => entries.values_mut().for_each(|slot| slot.was = slot.now.map_or(Was::Absent, Was::Held)),
                Node::Unknown | Node::Link { .. } | Node::Fifo | Node::Socket => {}
            }
        }
        self.touch_paths();
    }
}
