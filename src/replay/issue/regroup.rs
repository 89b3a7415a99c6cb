//! Syncs of files that a program commits for several threads at once: left out where another sync has done their work
//! (`--syncs regroup`).

use super::engine::{Issue, Refusal};
use super::request::port::Request;
use crate::replay::shared::board::Board;
use crate::replay::shared::call::Call;
use crate::replay::shared::groups::{Groups, Turn};
use crate::replay::shared::record::{REGROUPED, errno};
use crate::syscall::Op;

/// An engine that leaves syncs out of which another worker's has done the work.
#[derive(Debug)]
pub struct Regroup<'a, E> {
    /// The engine that issues the ops.
    pub engine: E,
    /// The files, and the board of whose workers one may be gone; `None` to issue all syncs as captured.
    pub groups: Option<(&'a Groups, &'a Board)>,
    /// Number of this worker.
    pub worker: usize,
}

impl<'a, E> Regroup<'a, E> {
    /// The groups, and which of them a call concerns; `None` for a call on any other file.
    #[inline(always)]
    fn group(&self, call: Call<'_>) -> Option<(&'a Groups, &'a Board, u16)> {
        let (groups, board) = self.groups?;
        Some((groups, board, call.group.checked_sub(1)?))
    }
}

impl<E: Issue> Issue for Regroup<'_, E> {
    #[inline(always)]
    fn prepare(&mut self, call: Call<'_>) -> Option<Refusal> {
        let refusal = self.engine.prepare(call);
        match self.group(call) {
            Some((groups, board, file)) if refusal.is_none() && syncs(call) => {
                board.slot(self.worker).reached.advance(call.op_id + 1);
                let gone = |worker: usize| worker >= board.slots() || board.slot(worker).counter.over();
                match groups.turn(file, self.worker, gone) {
                    Turn::Issue => None,
                    Turn::Covered => Some(Refusal { ret: 0, note: REGROUPED }),
                }
            }
            _ => refusal,
        }
    }

    #[inline(always)]
    fn issue(&mut self, call: Call<'_>) -> i64 {
        self.engine.issue(call)
    }

    fn request(&self, call: Call<'_>) -> Option<Request> {
        self.engine.request(call)
    }

    #[inline(always)]
    fn settle(&mut self, call: Call<'_>, ret: i64) {
        self.engine.settle(call, ret);
        match self.group(call) {
            Some((groups, _, file)) if syncs(call) => groups.synced(file, errno(ret) == 0),
            Some((groups, _, file)) => groups.wrote(file),
            None => {}
        }
    }
}

/// Is it a sync of one file?
#[inline(always)]
fn syncs(call: Call<'_>) -> bool {
    matches!(call.op, Op::Fsync | Op::Fdatasync)
}
