//! Formats amounts for people: durations, bytes, counts of things. Parsing of amounts that people type is in [`typed`].

pub mod typed;

use std::fmt::{self, Display};

/// A duration in nanoseconds, shown with three significant digits: `27 ns`, `1.25 µs`, `312 ms`, `42.0 s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Nanos(pub i64);

/// A number of bytes, shown with three significant digits and binary units: `512 B`, `1.91 MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

/// A count and the singular of an English noun, shown with the right plural: `1 worker`, `2 workers`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Things<'a>(pub u64, pub &'a str);

/// Formats a value with three significant digits and the smallest of `units` in which it is below `step` (the last one for
/// larger values); each unit is `step` times the one before.
fn scaled(value: f64, step: f64, units: &[&str]) -> String {
    let (mut value, mut unit) = (value, 0);
    // A value that would be rounded up to `step` is shown in the next unit.
    while value.abs() >= step - 0.5 && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    let digits = match value.abs() {
        _ if unit == 0 => 0,
        size if size < 9.995 => 2,
        size if size < 99.95 => 1,
        _ => 0,
    };
    format!("{value:.digits$} {}", units[unit])
}

impl Display for Nanos {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&scaled(self.0 as f64, 1000.0, &["ns", "µs", "ms", "s"]))
    }
}

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&scaled(self.0 as f64, 1024.0, &["B", "KiB", "MiB", "GiB", "TiB"]))
    }
}

impl Display for Things<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Things(count, thing) = self;
        match (count, thing.strip_suffix('y')) {
            (1, _) => write!(f, "1 {thing}"),
            (_, Some(stem)) => write!(f, "{count} {stem}ies"),
            (_, None) if thing.ends_with('s') => write!(f, "{count} {thing}es"),
            (_, None) => write!(f, "{count} {thing}s"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_have_three_digits_and_a_unit() {
        let nanos = [
            (0, "0 ns"),
            (999, "999 ns"),
            (1250, "1.25 µs"),
            (999_999, "1.00 ms"),
            (-2_000, "-2.00 µs"),
            (42e9 as i64, "42.0 s"),
        ];
        for (value, text) in nanos {
            assert_eq!(Nanos(value).to_string(), text);
        }
        assert_eq!(Nanos(7_200_000_000_000).to_string(), "7200 s");
        for (value, text) in [(1023, "1023 B"), (1000, "1000 B"), (2_000_000, "1.91 MiB"), (1 << 40, "1.00 TiB")] {
            assert_eq!(Bytes(value).to_string(), text);
        }
        assert_eq!(format!("{:>8}|{:<8}|", Nanos(5), Bytes(5)), "    5 ns|5 B     |");
    }

    #[test]
    fn one_thing_is_no_things() {
        let things =
            [Things(1, "worker"), Things(0, "worker"), Things(2, "directory"), Things(1, "directory"), Things(2, "process")];
        assert_eq!(
            things.map(|things| things.to_string()),
            ["1 worker", "0 workers", "2 directories", "1 directory", "2 processes"]
        );
    }
}
