//! The difference of two groups of runs: how large it is, how far that can be trusted, and whether it is more than noise.
//!
//! The shift is the median of all differences between a run of the one group and a run of the other (Hodges and Lehmann 1963); its
//! interval is bounded by two of these differences, chosen by the distribution of the rank sum (Mann and Whitney 1947), and the
//! probability of a rank sum at least as far from its mean by chance is the p value: exact, of equal values too, which have the mean of
//! their ranks. The effect is Cliff's delta. See Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, 4.1 to 4.3.

use serde::Serialize;

/// Least number of runs of each group for an interval and a p value.
pub const ENOUGH: usize = 5;
/// Most runs of a group that are looked at.
pub const MOST: usize = 40;
/// Probability that an interval holds the true shift, at least.
const CONFIDENCE: f64 = 0.95;
/// A p value up to which a difference is taken for more than noise.
pub const SIGNIFICANT: f64 = 0.05;

/// The difference of two groups.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Median of the first group.
    pub first: f64,
    /// Median of the second group.
    pub second: f64,
    /// Median of the differences, second less first.
    pub shift: f64,
    /// From where to where the true shift is; `None` with fewer than [`ENOUGH`] runs of a group.
    pub interval: Option<(f64, f64)>,
    /// How often a run of the second group has more than one of the first, less how often it has less: -1 to 1.
    pub effect: f64,
    /// Probability of a difference like this or greater by chance; `None` with fewer than [`ENOUGH`] runs of a group.
    pub p: Option<f64>,
}

impl Difference {
    /// The difference of two groups, each cut to [`MOST`] values; `None` when one is empty.
    pub fn of(first: &[f64], second: &[f64]) -> Option<Difference> {
        let [first, second] = [first, second].map(|values| sorted(values.iter().copied().take(MOST)));
        let (n, m) = (first.len(), second.len());
        let shifts = sorted(first.iter().flat_map(|a| second.iter().map(move |b| b - a)));
        let shift = median(&shifts)?;
        let (more, less) = (shifts.iter().filter(|d| **d > 0.0).count(), shifts.iter().filter(|d| **d < 0.0).count());
        let (mut interval, mut p) = (None, None);
        if n >= ENOUGH && m >= ENOUGH {
            let below = cumulated(n, m);
            // The largest k for which the interval from the k-th least to the k-th greatest difference is wide enough.
            let k = below.iter().take_while(|share| 1.0 - 2.0 * **share >= CONFIDENCE).count();
            interval = k.checked_sub(1).map(|at| (shifts[at], shifts[shifts.len() - 1 - at]));
            p = Some(chance(&first, &second));
        }
        let effect = (more as f64 - less as f64) / (n * m) as f64;
        Some(Difference { first: median(&first)?, second: median(&second)?, shift, interval, effect, p })
    }

    /// The shift as a share of the first median; `None` where that is 0.
    pub fn share(&self) -> Option<f64> {
        (self.first != 0.0).then(|| self.shift / self.first)
    }
}

/// Finite values in ascending order.
fn sorted(values: impl Iterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.filter(|value| value.is_finite()).collect();
    values.sort_by(f64::total_cmp);
    values
}

fn median(sorted: &[f64]) -> Option<f64> {
    let n = sorted.len();
    Some(f64::midpoint(*sorted.get(n.checked_sub(1)? / 2)?, sorted[n / 2]))
}

/// For each u the probability that, of all orders of `n` and `m` values, the statistic of Mann and Whitney is at most u.
fn cumulated(n: usize, m: usize) -> Vec<f64> {
    let most = n * m;
    // How many ways there are to choose k of the ranks so far, by the excess of their sum over the least.
    let mut ways = vec![vec![0.0_f64; most + 1]; n + 1];
    ways[0][0] = 1.0;
    for rank in 0..n + m {
        for k in (1..=n.min(rank + 1)).rev() {
            // The k-th chosen rank is at least k - 1 above the least.
            let excess = rank + 1 - k;
            for sum in (excess..=most).rev() {
                ways[k][sum] += ways[k - 1][sum - excess];
            }
        }
    }
    let all: f64 = ways[n].iter().sum();
    let mut below = 0.0;
    ways[n]
        .iter()
        .map(|count| {
            below += count / all;
            below
        })
        .collect()
}

/// The probability that, of all ways to divide the values of both groups anew, the sum of the ranks of the first is at least as far from
/// its mean as it is.
fn chance(first: &[f64], second: &[f64]) -> f64 {
    let pooled = sorted(first.iter().chain(second).copied());
    let (n, all) = (first.len(), pooled.len());
    // Ranks times two, so that means of two are whole numbers.
    let rank = |value: f64| pooled.partition_point(|other| *other < value) + 1 + pooled.partition_point(|other| *other <= value);
    let most = all * (all + 1);
    let mut ways = vec![vec![0.0_f64; most + 1]; n + 1];
    ways[0][0] = 1.0;
    for (at, value) in pooled.iter().enumerate() {
        let rank = rank(*value);
        for k in (1..=n.min(at + 1)).rev() {
            let (fewer, more) = ways.split_at_mut(k);
            for (to, from) in more[0][rank..].iter_mut().zip(&fewer[k - 1]) {
                *to += from;
            }
        }
    }
    let mean = n * (all + 1);
    let far = first.iter().map(|value| rank(*value)).sum::<usize>().abs_diff(mean);
    let beyond: f64 = ways[n].iter().enumerate().filter(|(sum, _)| sum.abs_diff(mean) >= far).map(|(_, count)| count).sum();
    (beyond / ways[n].iter().sum::<f64>()).min(1.0)
}

/// p values corrected for their number, as Holm (1979) does: with these the chance of any false difference is as small as asked.
pub fn holm(values: &[f64]) -> Vec<f64> {
    let mut order: Vec<usize> = (0..values.len()).collect();
    order.sort_by(|a, b| values[*a].total_cmp(&values[*b]));
    let (mut corrected, mut greatest) = (vec![1.0; values.len()], 0.0_f64);
    for (at, which) in order.iter().enumerate() {
        greatest = greatest.max((values[*which] * (values.len() - at) as f64).min(1.0));
        corrected[*which] = greatest;
    }
    corrected
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_distribution_is_that_of_the_tables() {
        let below = cumulated(5, 5);
        assert!((below[0] - 1.0 / 252.0).abs() < 1e-12 && (below[2] - 4.0 / 252.0).abs() < 1e-12);
        assert!((below[25] - 1.0).abs() < 1e-12);
        // Critical values at 5 %, two sides: 2 of 5 and 5, 23 of 10 and 10.
        let critical = |n, m| cumulated(n, m).iter().take_while(|share| 2.0 * **share <= 0.05).count() - 1;
        assert_eq!((critical(5, 5), critical(10, 10), critical(8, 6)), (2, 23, 8));
    }

    #[test]
    fn a_clear_difference_is_one() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0], [11.0, 12.0, 13.0, 14.0, 15.0]);
        let found = Difference::of(&a, &b).unwrap();
        assert_eq!((found.first, found.second, found.shift, found.effect), (3.0, 13.0, 10.0, 1.0));
        assert!((found.p.unwrap() - 2.0 / 252.0).abs() < 1e-12);
        let (low, high) = found.interval.unwrap();
        assert!(low > 6.0 && low < 10.0 && high > 10.0 && high < 14.0, "{low} {high}");
        assert_eq!(Difference::of(&b, &a).unwrap().shift, -10.0);
    }

    /// SciPy 1.17.1: permutation_test of the difference of midrank sums over all divisions.
    #[test]
    fn equal_values_have_a_chance_too() {
        let (a, b) = ([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], [1.0, 1.0, 1.0, 1.0, 1.0, 1.0]);
        assert!((Difference::of(&a, &b).unwrap().p.unwrap() - 2.0 / 11.0).abs() < 1e-12);
        let (a, b) = ([1.0, 1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 5.0, 5.0, 6.0]);
        assert!((Difference::of(&a, &b).unwrap().p.unwrap() - 10.0 / 252.0).abs() < 1e-12);
    }

    #[test]
    fn equal_groups_differ_by_nothing() {
        let same = Difference::of(&[7.0; 5], &[7.0; 5]).unwrap();
        assert_eq!((same.shift, same.effect, same.p, same.interval), (0.0, 0.0, Some(1.0), Some((0.0, 0.0))));
        let few = Difference::of(&[1.0], &[3.0]).unwrap();
        assert_eq!((few.shift, few.interval, few.p, few.share()), (2.0, None, None, Some(2.0)));
        assert!(Difference::of(&[], &[1.0]).is_none() && Difference::of(&[f64::NAN], &[1.0]).is_none());
    }

    #[test]
    fn noise_is_seldom_taken_for_a_difference() {
        let mut dice = crate::dice::Dice::new(7);
        let mut draw = |n: usize| (0..n).map(|_| dice.below(1_000_000) as f64).collect::<Vec<_>>();
        let wrong = (0..2000).filter(|_| Difference::of(&draw(6), &draw(7)).unwrap().p.unwrap() <= SIGNIFICANT).count();
        assert!(wrong < 130, "{wrong} of 2000");
        // With a true shift the interval holds it as often as promised.
        let holds = |shift: f64, found: Difference| found.interval.is_some_and(|(low, high)| low <= shift && shift <= high);
        let held = (0..1000).filter(|_| {
            let (a, b): (Vec<f64>, Vec<f64>) = (draw(5), draw(5).iter().map(|value| value + 3e5).collect());
            holds(3e5, Difference::of(&a, &b).unwrap())
        });
        assert!(held.count() > 940);
    }

    #[test]
    fn many_comparisons_need_more() {
        let close = |a: f64, b: f64| (a - b).abs() < 1e-12;
        let held = holm(&[0.01, 0.04, 0.03]);
        assert!(close(held[0], 0.03) && close(held[1], 0.06) && close(held[2], 0.06), "{held:?}");
        assert!(holm(&[]).is_empty());
    }
}
