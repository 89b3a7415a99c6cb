//! Values and places, as people type them.

use crate::init::Map;
use anyhow::{Result, ensure};
use clap::builder::{OsStringValueParser, TypedValueParser};
use std::env;
use std::num::NonZeroUsize;
use std::path::Path;
use std::thread;

/// A number of threads: at least 1.
pub fn threads(text: &str) -> std::result::Result<usize, String> {
    text.parse::<NonZeroUsize>().map(NonZeroUsize::get).map_err(|_| "a number of threads is 1 or more".to_owned())
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
    fn percentages_stay_in_bounds() {
        assert_eq!(percent("99.5%"), Ok(99.5));
        for text in ["101", "-1", "nan", "much"] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
