//! Open file descriptions where a replay begins in the middle of a capture ([`crate::model::window`]).

use super::Tasks;
use super::fds::{Entry, Ofd, OfdIx};

impl Tasks {
    /// Numbers the open file descriptions from 0 anew, in the order in which they were opened.
    pub(in crate::model) fn number_again(&mut self) {
        self.next_ofd = 0;
        for ix in self.in_order() {
            if let Some(ofd) = &mut self.ofds[ix as usize] {
                ofd.id = self.next_ofd;
                self.next_ofd += 1;
            }
        }
    }

    /// All open file descriptions, in the order in which they were opened.
    pub(in crate::model) fn in_order(&self) -> Vec<OfdIx> {
        let open = self.ofds.iter().enumerate().filter_map(|(ix, ofd)| ofd.as_ref().map(|ofd| (ofd.id, ix as OfdIx)));
        let mut open: Vec<(i64, OfdIx)> = open.collect();
        open.sort_unstable();
        open.into_iter().map(|(_, ix)| ix).collect()
    }

    /// Every descriptor of every table.
    pub(in crate::model) fn each_entry(&mut self, mut see: impl FnMut(&mut Entry)) {
        self.tables.iter_mut().flat_map(|table| table.iter_mut()).for_each(|(_, entry)| see(entry));
    }

    /// Takes away an open file description to which no descriptor refers any more.
    pub(in crate::model) fn forget(&mut self, ix: OfdIx) -> Option<Ofd> {
        let ofd = self.ofds[ix as usize].take()?;
        self.free_ofds.push(ix);
        Some(ofd)
    }
}
