//! Vector clock of a lane: for some other lanes, up to which op they are known to be done.

/// Vector clock: the op up to which each lane is done, as far as it is known. To know less is never wrong: it only keeps edges
/// that could be dropped.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// Pairs of lane and op id, sorted by lane.
    known: Vec<(i64, i64)>,
}

impl Clock {
    /// Is the op of that lane known to be done?
    pub fn knows(&self, lane: i64, op: i64) -> bool {
        let found = self.known.binary_search_by_key(&lane, |(lane, _)| *lane);
        found.is_ok_and(|at| self.known[at].1 >= op)
    }

    /// Notes that the op of that lane, and so all before it in the lane, are done.
    pub fn learn(&mut self, lane: i64, op: i64) {
        match self.known.binary_search_by_key(&lane, |(lane, _)| *lane) {
            Ok(at) => self.known[at].1 = self.known[at].1.max(op),
            Err(at) => self.known.insert(at, (lane, op)),
        }
    }

    /// Notes all that the other clock knows; entries for lane `own`, to which this clock belongs, are left out.
    pub fn learn_all(&mut self, other: &Clock, own: i64) {
        let mine = std::mem::take(&mut self.known);
        self.known.reserve(mine.len() + other.known.len());
        let mut mine = mine.into_iter().peekable();
        for (lane, op) in other.known.iter().copied().filter(|(lane, _)| *lane != own) {
            while let Some(before) = mine.next_if(|(other, _)| *other < lane) {
                self.known.push(before);
            }
            let known = mine.next_if(|(other, _)| *other == lane).map_or(op, |(_, known)| known.max(op));
            self.known.push((lane, known));
        }
        self.known.extend(mine);
    }

    /// Forgets all lanes but `keep`: those whose ops have the highest ids stay.
    pub fn forget(&mut self, keep: usize) {
        if self.known.len() <= keep {
            return;
        }
        let mut ops: Vec<i64> = self.known.iter().map(|(_, op)| *op).collect();
        let at = ops.len() - keep;
        let (_, least, _) = ops.select_nth_unstable(at); // op ids are distinct
        let least = *least;
        self.known.retain(|(_, op)| *op >= least);
    }
}
