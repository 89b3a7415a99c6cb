//! What is known to be done: for some lanes, up to which op.

/// Up to which op each lane is done, as far as it is known. To know less is never wrong: it only keeps edges that say
/// nothing new.
#[derive(Clone, Debug, Default)]
pub(super) struct Clock {
    /// Lane and op, by lane.
    known: Vec<(i64, i64)>,
}

impl Clock {
    /// Is the op of that lane known to be done?
    pub fn knows(&self, lane: i64, op: i64) -> bool {
        let found = self.known.binary_search_by_key(&lane, |(lane, _)| *lane);
        found.is_ok_and(|at| self.known[at].1 >= op)
    }

    /// The op of that lane is done.
    pub fn learn(&mut self, lane: i64, op: i64) {
        match self.known.binary_search_by_key(&lane, |(lane, _)| *lane) {
            Ok(at) => self.known[at].1 = self.known[at].1.max(op),
            Err(at) => self.known.insert(at, (lane, op)),
        }
    }

    /// All that the other knows is done, too; what it knows of lane `own` is no news to that lane.
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

    /// Forgets all but so many lanes: those whose ops are the latest stay.
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
