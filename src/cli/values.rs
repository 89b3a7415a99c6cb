//! Values and places, as people type them.

use crate::amount::typed;
use crate::init::Map;
use crate::limits::THREADS;
use anyhow::{Result, ensure};
use clap::builder::{OsStringValueParser, PossibleValue, PossibleValuesParser, TypedValueParser};
use std::env;
use std::path::Path;

/// A number of threads or processes: from 1 to [`THREADS`].
pub fn threads(text: &str) -> std::result::Result<usize, String> {
    let number = typed::count(text).ok().and_then(|number| usize::try_from(number).ok());
    number
        .filter(|number| (1..=THREADS).contains(number))
        .ok_or_else(|| format!("a number of threads is one from 1 to {THREADS}"))
}

/// A number of runs: from 1 to 1000.
pub fn repeat(text: &str) -> std::result::Result<usize, String> {
    let number = typed::count(text).ok().and_then(|number| usize::try_from(number).ok());
    number.filter(|number| (1..=1000).contains(number)).ok_or_else(|| "a number of runs is one from 1 to 1000".into())
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

/// A parser of `CAPTURED=TARGET`; paths need not be UTF-8.
pub fn map() -> impl TypedValueParser<Value = Map> {
    OsStringValueParser::new().try_map(|word| Map::parse(&word))
}

/// A parser of a captured directory, as `--map` has it before its `=`.
#[cfg(feature = "sql")]
pub fn captured() -> impl TypedValueParser<Value = Vec<u8>> {
    OsStringValueParser::new().try_map(|mut word| {
        word.push("=.");
        let map = Map::parse(&word)?;
        if map.target.as_os_str() == "." { Ok(map.captured) } else { Err("a captured directory has no = in its name".to_owned()) }
    })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn runs_are_some_and_not_too_many() {
        assert_eq!((repeat("1"), repeat("1000")), (Ok(1), Ok(1000)));
        for text in ["0", "-1", "1001", "1.5", "all"] {
            assert!(repeat(text).is_err(), "{text}");
        }
    }

    #[test]
    fn threads_are_some_and_not_too_many() {
        assert_eq!((threads("1"), threads("1024")), (Ok(1), Ok(1024)));
        for text in ["0", "-1", "1025", "1000000", "99999999999999999999", "many"] {
            assert!(threads(text).is_err(), "{text}");
        }
    }
}
