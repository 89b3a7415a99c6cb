//! Parses amounts that people type as options: bytes, durations, counts, percentages. Values that overflow, and fractions that
//! would be rounded down to 0, are refused.

use std::time::Duration;

/// Units of bytes in lower case, with their factors; `b` or `ib` may follow (in any case).
const BYTES: [(&str, u128); 6] = [("", 1), ("k", 1 << 10), ("m", 1 << 20), ("g", 1 << 30), ("t", 1 << 40), ("p", 1 << 50)];

/// Units of time with their length in ns; no unit means seconds.
const TIMES: [(&str, u128); 9] = [
    ("ns", 1),
    ("us", 1_000),
    ("µs", 1_000),
    ("ms", 1_000_000),
    ("s", 1_000_000_000),
    ("", 1_000_000_000),
    ("m", 60_000_000_000),
    ("h", 3_600_000_000_000),
    ("d", 86_400_000_000_000),
];

/// Parses a number of bytes: `4096`, `64K`, `512m`, `1.5GiB`; K is 1024. Fractions of a byte are cut off.
///
/// # Errors
/// A message for the user about what is wrong with the text.
pub fn bytes(text: &str) -> Result<u64, String> {
    let (number, unit) = split(text);
    let unit = unit.to_ascii_lowercase();
    let plain = unit.strip_suffix("ib").filter(|plain| !plain.is_empty()).or(unit.strip_suffix('b')).unwrap_or(&unit);
    let known = BYTES.iter().find(|(name, _)| *name == plain).map(|(_, unit)| *unit);
    let known = known.ok_or_else(|| format!("{text:?}: {unit:?} is no unit of bytes: use K, M, G or T, as in 512M"))?;
    let wrong = || format!("{text:?} is no size: a size is a number of bytes, as in 4096, 64K or 1.5G");
    let bytes = times(number, known).ok_or_else(wrong)?;
    u64::try_from(bytes).map_err(|_| format!("{text} is more bytes than there are numbers for"))
}

/// Parses a length of time of at most 292 years: `250us`, `500ms`, `90s`, `5m`, `1h`, `2d`; seconds when there is no unit.
///
/// # Errors
/// A message for the user about what is wrong with the text.
pub fn duration(text: &str) -> Result<Duration, String> {
    let (number, name) = split(text);
    let unit = TIMES.iter().find(|(unit, _)| *unit == name).map(|(_, unit)| *unit);
    let wrong = || format!("{text:?} is no time: a time is a number with a unit, as in 500ms, 90s, 5m or 1h");
    let nanos = times(number, unit.ok_or_else(wrong)?).ok_or_else(wrong)?;
    // As many ns as a column of times (i64) can hold.
    let nanos = i64::try_from(nanos).map_err(|_| format!("{text} is too long: a time is 292 years at most"))?;
    Ok(Duration::from_nanos(nanos.unsigned_abs()))
}

/// Parses a count: a whole number from 0 to 2^64 - 1, without unit or sign.
///
/// # Errors
/// A message for the user about what is wrong with the text.
pub fn count(text: &str) -> Result<u64, String> {
    match text.parse() {
        Ok(count) if digits(text) => Ok(count),
        _ if digits(text) => Err(format!("{text} is more than can be counted")),
        _ => Err(format!("{text:?} is no whole number")),
    }
}

/// Parses a decimal number that is not negative: `2`, `99.5`; no exponent.
///
/// # Errors
/// A message for the user about what is wrong with the text.
pub fn number(text: &str) -> Result<f64, String> {
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    let value = text.parse().ok().filter(|value: &f64| digits(whole) && digits(part) && value.is_finite());
    value.ok_or_else(|| format!("{text:?} is no number as in 2 or 99.5"))
}

/// Parses a percentage from 0 to 100: `99`, `99.5`, `99.5%`.
///
/// # Errors
/// A message for the user about what is wrong with the text.
pub fn percent(text: &str) -> Result<f64, String> {
    let plain = text.strip_suffix('%').unwrap_or(text).trim_end();
    let percent = number(plain).ok().filter(|value| *value <= 100.0);
    percent.ok_or_else(|| format!("{text:?} is no percentage: that is a number from 0 to 100, as in 99.5"))
}

/// Parses a factor, a positive number: `0.5`, `2`, `2x`.
///
/// # Errors
/// A message for the user about what is wrong with the text.
pub fn factor(text: &str) -> Result<f64, String> {
    let factor = number(text.strip_suffix('x').unwrap_or(text)).ok().filter(|value| *value > 0.0);
    factor.ok_or_else(|| format!("{text:?} is no factor: that is a positive number, as in 0.5 or 2"))
}

fn digits(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Splits an amount into its number and its unit, both trimmed.
fn split(text: &str) -> (&str, &str) {
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    (&text[..at], text[at..].trim_start())
}

/// The decimal `number` times `unit`, rounded down and saturating; `None` when it is no number, or has a fraction that `unit`
/// cannot hold (a fraction of 1, or one that rounds the product down to 0).
fn times(number: &str, unit: u128) -> Option<u128> {
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    // With more than 18 digits behind the point the product below would overflow.
    if !digits(whole) || !digits(part) || part.len() > 18 {
        return None;
    }
    let scale = 10_u128.pow(part.len() as u32);
    // Saturates: the callers refuse such values as too large.
    let whole = whole.parse::<u128>().unwrap_or(u128::MAX).saturating_mul(unit);
    let part = part.parse::<u128>().ok()?;
    let total = whole.saturating_add(part * unit / scale);
    (part == 0 || unit > 1 && total > 0).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_units_in_any_letters() {
        for (text, size) in [
            ("0", 0),
            ("4096", 4096),
            ("64K", 65536),
            ("512m", 512 << 20),
            ("1.5G", 3 << 29),
            ("1.5GiB", 3 << 29),
            ("2gib", 2 << 30),
            ("1 tb", 1 << 40),
            ("12B", 12),
            ("0.7K", 716),
            ("77777777777777777", 77_777_777_777_777_777),
            ("18446744073709551615", u64::MAX),
            ("16383P", 16383 << 50),
        ] {
            assert_eq!(bytes(text), Ok(size), "{text}");
        }
        // A fraction of a byte is none.
        for text in [
            "", "M", "12X", "-1", "+1", "0.5", "1.5", "1.5B", "0.0001K", "1.", ".5G", "1.5.5G", "1e3", "ib", "1ib", "1BB",
            "1KBiB",
        ] {
            assert!(bytes(text).is_err(), "{text}");
        }
        for text in
            ["16384P", "16777216T", "18446744073709551616", "99999999999T", "9999999999999999999999999999999999999999999K"]
        {
            assert!(bytes(text).unwrap_err().contains("more bytes than"), "{text}");
        }
    }

    #[test]
    fn times_have_units() {
        for (text, nanos) in [
            ("90s", 90_000_000_000),
            ("500ms", 500_000_000),
            ("250us", 250_000),
            ("250 µs", 250_000),
            ("7ns", 7),
            ("2m", 120_000_000_000),
            ("1.5h", 5_400_000_000_000),
            ("2d", 172_800_000_000_000),
            ("3", 3_000_000_000),
            ("0", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_nanos(nanos)), "{text}");
        }
        for text in ["", "x", "-1", "1 day", "nan", "inf", "1e3", "0.1ns", "0.0000000001s", "5M"] {
            assert!(duration(text).is_err(), "{text}");
        }
        assert!(duration("106751d").is_ok());
        for text in ["106752d", "9999999999999999999999h"] {
            assert!(duration(text).unwrap_err().contains("too long"), "{text}");
        }
    }

    #[test]
    fn counts_are_whole() {
        assert_eq!((count("0"), count("18446744073709551615")), (Ok(0), Ok(u64::MAX)));
        assert!(count("18446744073709551616").unwrap_err().contains("more than can be counted"));
        for text in ["", "-1", "+1", "1.5", "1K", "many", " 1"] {
            assert!(count(text).unwrap_err().contains("no whole number"), "{text}");
        }
    }

    #[test]
    fn factors_are_positive_and_percentages_stay_in_bounds() {
        assert_eq!((factor("2"), factor("0.5x"), percent("99.5%"), percent("0")), (Ok(2.0), Ok(0.5), Ok(99.5), Ok(0.0)));
        for text in ["0", "-1", "nan", "inf", "fast", "2xx", "1e999", "1."] {
            assert!(factor(text).is_err(), "{text}");
        }
        for text in ["101", "-1", "nan", "much", "50%%", ""] {
            assert!(percent(text).is_err(), "{text}");
        }
    }
}
