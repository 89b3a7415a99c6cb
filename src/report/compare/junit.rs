//! A comparison as JUnit XML, for systems of continuous integration: a test case for each difference.

use super::measure::{Measured, Pair};
use crate::amount::Nanos;
use crate::report::page::cell::clipped;
use std::fmt::Write;

/// The XML. A difference of more than `limit` (a share) that is more than noise is a failure.
pub fn render(pairs: &[Pair], limit: Option<f64>) -> String {
    let mut text = String::from("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<testsuites>\n");
    for pair in pairs {
        let failed: Vec<&str> =
            limit.into_iter().flat_map(|limit| pair.regressions(limit)).map(|found| found.what.as_str()).collect();
        let all: Vec<&Measured> = pair.whole.iter().chain(&pair.calls).collect();
        let name = format!("{} to {}", pair.first, pair.second);
        let _ = writeln!(text, "  <testsuite name=\"{}\" tests=\"{}\" failures=\"{}\">", escaped(&name), all.len(), failed.len());
        for measured in all {
            let said = said(measured);
            let _ = write!(text, "    <testcase classname=\"ioriot.compare\" name=\"{}\">", escaped(&measured.what));
            if failed.contains(&measured.what.as_str()) {
                let _ = write!(text, "<failure message=\"{}\"/>", escaped(&said));
            } else {
                let _ = write!(text, "<system-out>{}</system-out>", escaped(&said));
            }
            text.push_str("</testcase>\n");
        }
        text.push_str("  </testsuite>\n");
    }
    text.push_str("</testsuites>\n");
    text
}

/// A difference in a few words.
pub fn said(measured: &Measured) -> String {
    let found = &measured.found;
    let share = found.share().map_or(String::new(), |share| format!(" ({:+.1} %)", share * 100.0));
    let [first, second] = [found.first, found.second].map(|ns| Nanos(ns as i64));
    format!("{}: {first} to {second}{share}, {}", measured.what, measured.verdict.name())
}

/// A text as XML may have it.
fn escaped(text: &str) -> String {
    let mut xml = String::new();
    for c in clipped(text).chars() {
        match c {
            '<' => xml.push_str("&lt;"),
            '>' => xml.push_str("&gt;"),
            '&' => xml.push_str("&amp;"),
            '"' => xml.push_str("&quot;"),
            // Not characters of XML 1.0.
            '\u{fffe}' | '\u{ffff}' => xml.push('\u{fffd}'),
            c => xml.push(c),
        }
    }
    xml
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_markup() {
        assert_eq!(escaped("a<b>&\"\x01\n"), "a&lt;b&gt;&amp;&quot;\\x01\\n");
    }
}
