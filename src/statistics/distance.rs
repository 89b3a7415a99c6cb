//! The distance of two distributions that are given as counts: of Kolmogorov and Smirnov (Hollander, Wolfe and Chicken, Nonparametric
//! Statistical Methods, 5.4).

/// A value, or the least of several that are counted together, and how many there are.
pub type Counted = (i64, u64);

/// The greatest difference of the shares that two distributions have up to a value, 0 to 1, and the first value at which they differ by
/// that. Both are in ascending order of values, each of which is there once; `None` when one has no counts.
pub fn distance(first: &[Counted], second: &[Counted]) -> Option<(f64, i64)> {
    let [all_first, all_second] = [first, second].map(|counts| counts.iter().map(|count| count.1 as f64).sum::<f64>());
    if all_first == 0.0 || all_second == 0.0 {
        return None;
    }
    let (mut first, mut second) = (first.iter().peekable(), second.iter().peekable());
    let (mut below_first, mut below_second) = (0.0, 0.0);
    let mut greatest: Option<(f64, i64)> = None;
    while let Some(value) = first.peek().into_iter().chain(second.peek()).map(|count| count.0).min() {
        for (counts, below) in [(&mut first, &mut below_first), (&mut second, &mut below_second)] {
            while let Some(count) = counts.next_if(|count| count.0 <= value) {
                *below += count.1 as f64;
            }
        }
        let apart = (below_first / all_first - below_second / all_second).abs();
        if greatest.is_none_or(|(most, _)| apart > most) {
            greatest = Some((apart, value));
        }
    }
    greatest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_greatest_difference_of_the_shares() {
        let same = [(1, 10), (5, 30)];
        assert_eq!(distance(&same, &[(1, 1), (5, 3)]), Some((0.0, 1)));
        assert_eq!(distance(&[(1, 4)], &[(2, 4)]), Some((1.0, 1)));
        assert_eq!(distance(&[], &same), None);
        assert_eq!(distance(&same, &[(3, 0)]), None);
        // scipy.stats.ks_2samp([1, 2, 2, 3, 8, 8, 9, 20], [2, 3, 3, 4, 9, 9, 9, 9, 30, 30]) of SciPy 1.17.1: 0.35 at 8.
        let (a, b) = ([(1, 1), (2, 2), (3, 1), (8, 2), (9, 1), (20, 1)], [(2, 1), (3, 2), (4, 1), (9, 4), (30, 2)]);
        assert_eq!(distance(&a, &b).map(|(far, at)| ((far * 1e6).round() / 1e6, at)), Some((0.35, 8)));
        assert_eq!(distance(&b, &a).map(|(_, at)| at), Some(8));
        assert_eq!(distance(&[(i64::MIN, u64::MAX)], &[(i64::MAX, u64::MAX)]), Some((1.0, i64::MIN)));
    }
}
