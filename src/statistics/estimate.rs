//! Estimates: the median of some runs, and an interval that says how far it can be trusted.
//!
//! The interval is bounded by order statistics: the k-th smallest and the k-th largest of n values. Whatever their distribution,
//! if they are independent, the true median lies between them with probability 1 - 2 P(B < k), where B is the number of heads in
//! n throws of a coin (David and Nagaraja, Order Statistics, 7.1). k is the largest with which that is at least 90 %, and 1, the
//! smallest and the largest value, where there are too few for that: 5 runs give 93.75 %, 3 give 75 %.

use serde::Serialize;

/// Least probability that is asked of an interval.
const ENOUGH: f64 = 0.9;

/// The median of values that were measured in several runs, with its interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// The median; of an even number of values the mean of the two in the middle.
    pub median: i64,
    /// Lower end of the interval: one of the values.
    pub low: i64,
    /// Upper end of the interval: one of the values.
    pub high: i64,
}

impl Estimate {
    /// The estimate from these values; `None` when there are none.
    pub fn of(values: impl IntoIterator<Item = i64>) -> Option<Estimate> {
        let mut values: Vec<i64> = values.into_iter().collect();
        values.sort_unstable();
        let (n, at) = (values.len(), order(values.len()).checked_sub(1)?);
        // Without a sum that could overflow.
        let (a, b) = (values[(n - 1) / 2], values[n / 2]);
        let median = a / 2 + b / 2 + (a % 2 + b % 2) / 2;
        Some(Estimate { median, low: values[at], high: values[n - 1 - at] })
    }
}

/// Which order statistics bound the interval of `n` values, from 1; 0 when there are none.
pub fn order(n: usize) -> usize {
    (1..=n.div_ceil(2)).rev().find(|k| coverage(n, *k) >= ENOUGH).unwrap_or(n.min(1))
}

/// The probability that the true median lies between the `k`-th smallest and the `k`-th largest of `n` independent values.
pub fn coverage(n: usize, k: usize) -> f64 {
    let mut term = 0.5_f64.powi(n.min(1000) as i32);
    let mut below = 0.0;
    for i in 0..k {
        below += term;
        term *= (n - i) as f64 / (i + 1) as f64;
    }
    (1.0 - 2.0 * below).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_is_that_of_the_book() {
        assert_eq!((coverage(5, 1), coverage(3, 1), coverage(2, 1), coverage(1, 1)), (0.9375, 0.75, 0.5, 0.0));
        // 1 - 2 (1 + 10) / 1024
        assert!((coverage(10, 2) - 0.978_515_625).abs() < 1e-12);
        assert_eq!([0, 1, 2, 5, 7, 8, 10, 20, 100].map(order), [0, 1, 1, 1, 1, 2, 2, 6, 42]);
    }

    #[test]
    fn an_estimate_is_made_of_the_values() {
        assert_eq!(Estimate::of([]), None);
        assert_eq!(Estimate::of([7]), Some(Estimate { median: 7, low: 7, high: 7 }));
        assert_eq!(Estimate::of([9, 1, 5, 3, 100]), Some(Estimate { median: 5, low: 1, high: 100 }));
        assert_eq!(Estimate::of([4, 1]), Some(Estimate { median: 2, low: 1, high: 4 }));
        assert_eq!(Estimate::of([i64::MAX, i64::MAX]).unwrap().median, i64::MAX);
        // The second smallest and largest of eight.
        assert_eq!(Estimate::of([8, 7, 6, 5, 4, 3, 2, 1]), Some(Estimate { median: 4, low: 2, high: 7 }));
    }
}
