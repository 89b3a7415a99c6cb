//! Serial numbers of the events of a SystemTap capture: which ones have not arrived, and between which times.

/// Number of gaps that are kept apart; beyond that the two oldest are merged.
const MOST: usize = 1024;

/// A range of serial numbers with events that have not arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gap {
    /// First serial number of the range, and the one behind its last.
    range: (u64, u64),
    /// Number of events of the range that have not arrived.
    pub missing: u64,
    /// Times of the events on either side, ns since 1970.
    pub between: (i64, i64),
}

/// Keeps track of which serial numbers have arrived.
#[derive(Debug)]
pub struct Serials {
    /// The serial number behind the highest one that arrived; the first is 1.
    next: u64,
    /// Latest time of an event that arrived in order, ns since 1970; at first the start of the capture.
    last: i64,
    /// Gaps before `next`, in order of their numbers.
    gaps: Vec<Gap>,
}

impl Serials {
    /// No event has arrived yet; the capture begins at `now`, ns since 1970.
    pub const fn new(now: i64) -> Serials {
        Serials { next: 1, last: now, gaps: Vec::new() }
    }

    /// Notes that an event arrived. Lines of all processors are merged, so some events overtake others; an overtaken event
    /// counts as missing until it arrives.
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

    /// Notes the tracer's last line: it had `events` events in all; those with higher numbers than arrived are missing.
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

    /// The gaps: ranges with events that have not arrived.
    pub fn gaps(&self) -> &[Gap] {
        &self.gaps
    }

    /// Is an event still missing after at least `by` later numbers have arrived?
    pub fn overtaken(&self, by: u64) -> bool {
        self.gaps.first().is_some_and(|gap| self.next - gap.range.1 >= by)
    }

    /// Number of events that have not arrived.
    pub fn missing(&self) -> u64 {
        self.gaps.iter().map(|gap| gap.missing).sum()
    }

    /// Latest time of an event that arrived, ns since 1970.
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
