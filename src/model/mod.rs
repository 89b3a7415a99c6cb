//! Model of the kernel's file state: takes events, says what each one means. Pure Rust, no Arrow, no I/O.
//!
//! * `task` processes and threads; `task/fds` descriptor tables, open file descriptions
//! * `tree` the namespace of inodes: what every name is now and was at the start; in its folder: `naming` gives and takes names;
//!   `walk` resolves paths and notes what calls prove; `proof` applies these proofs; `links` finds symlinks out
//! * `facts` what the capture observed in the kernel: identities of files, and how much of the answers was observed
//! * `touch` what ops of different lanes must be ordered by; `stream` who read what who had written to a pipe
//! * `call` one event: what it is on, what it proves, what it changes
//! * `start` what was open when the capture began
//! * `end` what had to exist before and what must exist after
//! * `window` events that a replay leaves out: before it begins, and in between
//!
//! Memory is bounded by what is open and by the distinct names the calls use, never by the number of events. A name that was
//! removed still counts: that it must be absent is an answer too, before (O_EXCL succeeded) or after.

#![allow(clippy::clone_on_ref_ptr, reason = "paths are shared bytes: the type is called Name, and cloning one is cheap")]

mod call;
mod config;
mod end;
mod facts;
mod start;
mod step;
mod stream;
mod task;
mod touch;
mod tree;
mod window;

pub use config::{Config, Notes, PSEUDO, Place, Requests};
pub use end::{Ending, Said};
pub use facts::Evidence;
pub use start::{Open, Present};
pub use step::{End, Expect, Kind, Name, Need, Program, Row, Rows, Step};
pub use touch::{Access, Resource, Touch};

use crate::event::{Col, Event};
use crate::fate::{Fate, Origin};
use crate::syscall::{Op, Syscall};
use call::{Call, written_out};
use hashbrown::HashMap;
use stream::Streams;
use task::Tasks;
use task::fds::OfdIx;
use tree::{Ino, Tree};

/// The model of the kernel's file state: processes and descriptors, the namespace, and what both were when the capture began.
pub struct Model {
    tasks: Tasks,
    tree: Tree,
    /// Has what the capture knows of the start ([`Config::present`]) been taken in? Done at the first event.
    begun: bool,
    /// Open file descriptions that were open already, by the numbers that the capture gave them ([`Open::ofd`]). An index
    /// may stand for another description by now: `Ofd::told` says whether it is still the one.
    told: HashMap<i64, OfdIx>,
    /// Pipes and pairs of sockets: who read what who had written.
    streams: Streams,
    /// Working directories that were removed while processes were in them, and the inserted descriptions that keep them open.
    kept: HashMap<Ino, OfdIx>,
}

impl Model {
    /// A model for one capture that has seen no event yet.
    pub fn new(config: Config) -> Model {
        Model {
            tasks: Tasks::default(),
            tree: Tree::new(config),
            begun: false,
            told: HashMap::new(),
            streams: Streams::default(),
            kept: HashMap::new(),
        }
    }

    /// Takes the next event, in seq order. Pushes the ops that must precede it, each with its origin, then exactly one
    /// row for the event itself, and nothing after that: closes at exec and exit stand before the exec and the exit.
    pub fn step(&mut self, event: &Event, out: &mut Rows) {
        let pid = event.int(Col::Pid).or(event.int(Col::Tid)).unwrap_or(0);
        let tid = event.int(Col::Tid).unwrap_or(pid);
        self.tree.reuse();
        let (who, ended) = self.tasks.enter(pid, tid);
        if !self.begun {
            Call::new(self, event, who, out).know_the_start();
        }
        let root = self.tasks.cwd(who.process).root.as_deref();
        let below = root.map(|root| Box::new(written_out(event, root, self.tree.config().notes)));
        let below = self.unmagic(below.as_deref().unwrap_or(event), who).or(below);
        let mut call = Call::new(self, below.as_deref().unwrap_or(event), who, out);
        call.end(ended, Origin::Exit);
        call.leave();
        call.run();
        if let Some(row) = out.list.last_mut().filter(|row| row.step.fate == Fate::Op) {
            row.args = row.args.take().or(below);
        }
    }

    /// The capture has ended: closes what is still open, in the lanes that opened it, and says what had to exist before
    /// and what must exist now.
    pub fn finish(self, out: &mut Rows) -> End {
        End::collect(self.end(out))
    }

    /// The same as [`Model::finish`], as an iterator: needs, ranges, expectations and counters one by one, to bound memory.
    pub fn end(mut self, out: &mut Rows) -> Ending {
        let mut open: Vec<(i64, u32)> =
            self.tasks.ofds.iter().enumerate().filter_map(|(ix, ofd)| ofd.as_ref().map(|ofd| (ofd.id, ix as u32))).collect();
        open.sort_unstable();
        for (id, ix) in open {
            let path = self.ofd_path(ix);
            let Some(ofd) = self.tasks.ofd(ix) else { continue };
            self.tree.touch_close(ofd);
            let mut step = Step { origin: Origin::End, ..Step::new(Fate::Op, Some(Op::Close), ofd.vpid, ofd.vtid) };
            (step.ofd, step.path) = (Some(id), Some(path));
            step.file = Some(self.tree.file(ofd.ino));
            let mut event = Event::new(Syscall::close);
            event.set_outcome(0);
            out.push(Some(Box::new(event)), step, &mut self.tree.touches);
        }
        Ending::new(self.tree)
    }

    /// Path of the file that an open file description is on, cached until the epoch of the tree changes.
    fn ofd_path(&mut self, ix: OfdIx) -> Name {
        let epoch = self.tree.epoch();
        let Some(ofd) = self.tasks.ofd_mut(ix) else { return Name::default() };
        match &ofd.path {
            Some((at, path)) if *at == epoch => path.clone(),
            _ => {
                let path = self.tree.path(ofd.ino);
                ofd.path = Some((epoch, path.clone()));
                path
            }
        }
    }

    /// Drops one open file description's reference to an inode, and releases the inode when nothing else holds it.
    fn let_go(&mut self, ino: Ino) {
        let node = self.tree.at_mut(ino);
        node.refs = node.refs.saturating_sub(1);
        self.tree.release(ino);
    }

    fn follow_moved(&mut self) {
        for (from, to) in std::mem::take(&mut self.tree.moved) {
            let mut count = 0;
            for ofd in self.tasks.ofds.iter_mut().flatten().filter(|ofd| ofd.ino == from) {
                (ofd.ino, ofd.path) = (to, None);
                count += 1;
            }
            for cwd in self.tasks.cwds().filter(|cwd| cwd.ino == Some(from)) {
                cwd.ino = Some(to);
                count += 1;
            }
            if let Some(ix) = self.kept.remove(&from) {
                self.kept.insert(to, ix);
            }
            self.tree.at_mut(to).refs += count;
            let node = self.tree.at_mut(from);
            node.refs = node.refs.saturating_sub(count);
        }
    }
}
