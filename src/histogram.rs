//! A histogram of durations whose buckets (bars) widen with the duration, so that every percentile is right to within 1 %:
//! never too small, and at most 1/128 too large. The replay's summary and SQL (`percentile`) count alike, so they agree.
//!
//! A value belongs to the bar of its highest eight bits. Finding it takes a few instructions, and memory only for bars up to
//! the largest value: a few KiB for a call that takes microseconds.

/// Bits below the highest one that distinguish the bars of one power of two: a bar is at most 1/128 as wide as its values are
/// large.
const BITS: u32 = 7;

/// Counts of values by bar, with their number, sum and maximum; values are durations in ns.
#[derive(Clone, Debug, Default)]
pub struct Histogram {
    bars: Vec<u64>,
    count: u64,
    sum: u64,
    max: u64,
}

/// Index of the bar that a value belongs to.
pub const fn bar(value: u64) -> usize {
    let shift = (u64::BITS - value.leading_zeros()).saturating_sub(BITS + 1);
    ((shift as usize) << BITS) + (value >> shift) as usize
}

/// The largest value that belongs to a bar.
const fn last(bar: usize) -> u64 {
    // Values below 2^(BITS+1) have a bar each, so the first two groups of bars both have shift 0.
    let shift = (bar >> BITS).saturating_sub(1);
    let first = (bar - (shift << BITS)) as u64;
    (first << shift) + ((1 << shift) - 1)
}

impl Histogram {
    /// Adds a value; a negative one counts as 0.
    #[inline]
    pub fn add(&mut self, value: i64) {
        let value = value.max(0) as u64;
        let bar = bar(value);
        if bar >= self.bars.len() {
            self.bars.resize(bar + 1, 0);
        }
        self.bars[bar] += 1;
        self.count += 1;
        self.sum = self.sum.saturating_add(value);
        self.max = self.max.max(value);
    }

    /// Number of values added.
    pub const fn count(&self) -> u64 {
        self.count
    }

    /// Sum of all values, at most `i64::MAX`.
    pub const fn sum(&self) -> i64 {
        if self.sum > i64::MAX as u64 { i64::MAX } else { self.sum as i64 }
    }

    /// The largest value added; 0 when there is none.
    pub const fn max(&self) -> i64 {
        self.max as i64
    }

    /// The value that this share (0 to 1) of all values does not exceed, at most 1/128 too large; 0 when there are no values.
    pub fn percentile(&self, share: f64) -> i64 {
        percentile(self.bars.iter().copied().enumerate(), self.count, self.max, share) as i64
    }
}

/// The value that this share (0 to 1) of `count` values does not exceed. `bars` are (bar, number of values) in ascending order,
/// `max` is the largest value.
pub fn percentile(bars: impl IntoIterator<Item = (usize, u64)>, count: u64, max: u64, share: f64) -> u64 {
    let wanted = ((count as f64 * share).ceil() as u64).max(1);
    let mut seen = 0;
    let reached = bars.into_iter().find(|(_, values)| {
        seen += values;
        seen >= wanted
    });
    reached.map_or(max, |(bar, _)| last(bar).min(max))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_follow_each_other_without_gap() {
        for bar_ in 0..4000 {
            assert_eq!(bar(last(bar_)), bar_);
            assert_eq!(bar(last(bar_) + 1), bar_ + 1);
        }
        assert!(last(bar(u64::MAX >> 1)) < u64::MAX);
    }

    #[test]
    fn percentiles_are_right_to_within_a_hundredth() {
        // A long tail, as durations have: 1, 4, 9 ... 10^10.
        let values: Vec<i64> = (1..=100_000_i64).map(|n| n * n).collect();
        let mut histogram = Histogram::default();
        values.iter().for_each(|value| histogram.add(*value));
        for share in [0.5, 0.9, 0.99, 0.999, 1.0] {
            let exact = values[(values.len() as f64 * share) as usize - 1];
            let said = histogram.percentile(share);
            assert!(said >= exact && said as f64 <= exact as f64 * 1.01, "{share}: {said}, exactly {exact}");
        }
        assert_eq!((histogram.count(), histogram.max()), (100_000, 10_000_000_000));
        assert_eq!(Histogram::default().percentile(0.5), 0);
    }
}
