//! Values and places, as people type them.

use crate::init::Map;
use crate::limits::THREADS;
use anyhow::{Result, ensure};
use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use std::env;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;
use std::time::Duration;

/// A number of threads or processes: from 1 to [`THREADS`].
pub fn threads(text: &str) -> std::result::Result<usize, String> {
    let number = text.parse().ok().filter(|number| (1..=THREADS).contains(number));
    number.ok_or_else(|| format!("a number of threads is one from 1 to {THREADS}"))
}

/// One of a list of words that say themselves what they mean.
pub fn word<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    doc: fn(T) -> &'static str,
) -> impl TypedValueParser<Value = T> {
    word_or(all, name, doc, &[])
}

/// The same, where some words have another name, which the list does not show.
pub fn word_or<T: Copy + Send + Sync + 'static>(
    all: &'static [T],
    name: fn(T) -> &'static str,
    doc: fn(T) -> &'static str,
    others: &'static [(&'static str, T)],
) -> impl TypedValueParser<Value = T> {
    let hidden = others.iter().map(|(other, _)| PossibleValue::new(*other).hide(true));
    let values = all.iter().map(move |word| PossibleValue::new(name(*word)).help(doc(*word)));
    PossibleValuesParser::new(values.chain(hidden).collect::<Vec<_>>()).try_map(move |text| {
        let other = || others.iter().find(|(other, _)| *other == text).map(|(_, word)| word);
        let word = all.iter().find(|word| name(**word) == text).or_else(other);
        word.copied().ok_or_else(|| format!("{text} is not one of the words"))
    })
}

/// A factor: any positive number.
pub fn factor(text: &str) -> std::result::Result<f64, String> {
    match text.trim_end_matches('x').parse::<f64>() {
        Ok(value) if value > 0.0 && value.is_finite() => Ok(value),
        _ => Err("a factor is a positive number, as in 0.5 or 2".to_owned()),
    }
}

/// A percentage from 0 to 100: `99`, `99.5`, `99.5%`.
pub fn percent(text: &str) -> std::result::Result<f64, String> {
    let number = text.trim_end_matches('%').trim_end();
    match number.parse::<f64>() {
        Ok(value) if (0.0..=100.0).contains(&value) => Ok(value),
        _ => Err("a percentage is a number from 0 to 100, as in 99.5".to_owned()),
    }
}

/// A parser of `CAPTURED=TARGET`; paths need not be UTF-8.
pub fn map() -> impl TypedValueParser<Value = Map> {
    OsStringValueParser::new().try_map(|word| Map::parse(&word))
}

/// A number of bytes: `4096`, `64K`, `1.5G`, powers of 1024.
pub fn bytes(text: &str) -> std::result::Result<u64, String> {
    let units = [("", 0), ("K", 10), ("M", 20), ("G", 30), ("T", 40)];
    let plain = text.trim().trim_end_matches(['B', 'i']);
    let (number, shift) =
        units.iter().rev().find_map(|(unit, shift)| Some((plain.strip_suffix(unit)?, *shift))).unwrap_or((plain, 0));
    let (number, unit) = (number.trim(), 1_u64 << shift);
    let bytes = match number.parse::<u64>() {
        // A fraction has 53 bits.
        Ok(whole) => whole.checked_mul(unit),
        Err(_) => number
            .parse::<f64>()
            .ok()
            .filter(|value| (0.0..u64::MAX as f64).contains(&(value * unit as f64)))
            .map(|value| (value * unit as f64) as u64),
    };
    bytes.ok_or_else(|| "a size is a number of bytes, as in 4096, 64K or 1.5G".to_owned())
}

/// A length of time: `500ms`, `90s`, `5m`, `1h`; seconds when there is no unit.
pub fn duration(text: &str) -> std::result::Result<Duration, String> {
    let units = [("ms", 0.001), ("s", 1.0), ("m", 60.0), ("h", 3600.0)];
    let text = text.trim();
    let (number, seconds) =
        units.iter().find_map(|(unit, seconds)| Some((text.strip_suffix(unit)?, *seconds))).unwrap_or((text, 1.0));
    let value = number.trim().parse::<f64>().ok().map(|number| number * seconds);
    let time = value.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "a time is a number with a unit, as in 500ms, 90s, 5m or 1h".to_owned())
}

/// Nothing is at `place` yet, so that it can be written.
///
/// # Errors
/// When something is.
pub fn vacant(place: &Path) -> Result<()> {
    ensure!(!place.exists(), "{} exists already: remove it or choose another name", place.display());
    Ok(())
}

/// The command line, for manifests.
pub fn command_line() -> Vec<String> {
    env::args_os().map(|word| word.to_string_lossy().into_owned()).collect()
}

/// Processors that this process may use.
pub fn processors() -> usize {
    thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threads_are_some_and_not_too_many() {
        assert_eq!((threads("1"), threads("1024")), (Ok(1), Ok(1024)));
        for text in ["0", "-1", "1025", "1000000", "99999999999999999999", "many"] {
            assert!(threads(text).is_err(), "{text}");
        }
    }

    #[test]
    fn factors_are_positive() {
        assert_eq!((factor("2"), factor("0.5x")), (Ok(2.0), Ok(0.5)));
        for text in ["0", "-1", "nan", "inf", "fast"] {
            assert!(factor(text).is_err(), "{text}");
        }
    }

    #[test]
    fn sizes_and_times_have_units() {
        assert_eq!((bytes("4096"), bytes("64K"), bytes("1.5GiB")), (Ok(4096), Ok(65536), Ok(3 << 29)));
        assert_eq!((bytes("77777777777777777"), bytes("16777216T").is_err()), (Ok(77_777_777_777_777_777), true));
        assert_eq!((duration("90s"), duration("500ms")), (Ok(Duration::from_secs(90)), Ok(Duration::from_millis(500))));
        assert_eq!((duration("2m"), duration("3")), (Ok(Duration::from_secs(120)), Ok(Duration::from_secs(3))));
        for text in ["", "x", "-1", "1 day", "nan"] {
            assert!(bytes(text).is_err() && duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn percentages_stay_in_bounds() {
        assert_eq!(percent("99.5%"), Ok(99.5));
        for text in ["101", "-1", "nan", "much"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
