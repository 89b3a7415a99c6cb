//! The serial numbers of events: which have not come, and when that was.

/// Gaps that are kept apart. Beyond that the two oldest become one.
const MOST: usize = 1024;

/// Events that have not come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First serial number, and the one behind the last.
    range: (u64, u64),
    /// How many of the range are missing.
    pub missing: u64,
    /// Times of the events on either side, ns since 1970.
    pub between: (i64, i64),
}

/// Which events have come.
#[derive(Debug)]
pub struct Serials {
    /// The number behind the highest one that came.
    next: u64,
    /// When that was.
    last: i64,
    gaps: Vec<Gap>,
}

impl Serials {
    /// None has come; the capture begins at this time.
    pub const fn new(now: i64) -> Serials {
        Serials { next: 1, last: now, gaps: Vec::new() }
    }

    /// An event came. Numbers are given on one processor and lines are put together from all, so some come a little
    /// early; what they overtook is missing until it comes.
    pub fn arrive(&mut self, serial: u64, time: i64) {
        if serial >= self.next {
            self.skip_to(serial, time);
            self.next = serial.saturating_add(1);
            self.last = self.last.max(time);
            return;
        }
        let at = self.gaps.partition_point(|gap| gap.range.1 <= serial);
        if let Some(gap) = self.gaps.get_mut(at).filter(|gap| gap.range.0 <= serial) {
            gap.missing -= 1;
            if gap.missing == 0 {
                self.gaps.remove(at);
            }
        }
    }

    /// The tracer says at this time that there were so many events.
    pub fn end(&mut self, events: u64, time: i64) {
        if events >= self.next {
            self.skip_to(events + 1, time);
            self.next = events + 1;
        }
    }

    fn skip_to(&mut self, serial: u64, time: i64) {
        if serial == self.next {
            return;
        }
        let between = (self.last.min(time), self.last.max(time));
        self.gaps.push(Gap { range: (self.next, serial), missing: serial - self.next, between });
        if self.gaps.len() > MOST {
            let old = self.gaps.remove(0);
            let Some(first) = self.gaps.first_mut() else { return };
            first.range.0 = old.range.0;
            first.missing += old.missing;
            first.between.0 = old.between.0;
        }
    }

    /// What has not come.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Is something missing that so many later events have overtaken?
    pub fn overtaken(&self, by: u64) -> bool {
        self.gaps.first().is_some_and(|gap| self.next - gap.range.1 >= by)
    }

    /// Events that have not come.
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.missing).sum()
    }

    /// Time of the last event that came.
    pub const fn last(&self) -> i64 {
        self.last
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(serials: &[u64]) -> Serials {
        let mut book = Serials::new(1000);
        serials.iter().for_each(|serial| book.arrive(*serial, 1000 + *serial as i64));
        book
    }

    #[test]
    fn what_comes_late_is_not_missing() {
        assert_eq!(after(&[1, 2, 3]).gaps(), []);
        assert_eq!(after(&[3, 1, 2, 5, 4]).gaps(), []);
        let book = after(&[1, 2, 6, 4, 9]);
        let gaps: Vec<_> = book.gaps().iter().map(|gap| (gap.missing, gap.between)).collect();
        assert_eq!(gaps, [(2, (1002, 1006)), (2, (1006, 1009))]);
        assert_eq!((book.missing(), book.last()), (4, 1009));
        assert!(book.overtaken(4) && !book.overtaken(5));
    }

    #[test]
    fn the_end_tells_what_is_missing_behind_the_last() {
        let mut book = after(&[1, 2]);
        book.end(2, 5000);
        assert_eq!(book.missing(), 0);
        book.end(7, 5000);
        assert_eq!(book.gaps(), [Gap { range: (3, 8), missing: 5, between: (1002, 5000) }]);
    }

    #[test]
    fn many_gaps_take_no_more_room() {
        let odd: Vec<u64> = (0..10_000).map(|i| 2 * i + 1).collect();
        let mut book = after(&odd);
        assert_eq!((book.gaps().len(), book.missing()), (MOST, 9_999));
        book.arrive(2, 2000);
        assert_eq!(book.missing(), 9_998);
        assert_eq!(book.gaps()[0].between.0, 1001);
    }
}
