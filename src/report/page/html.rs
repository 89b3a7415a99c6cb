//! A report as one HTML file: the data as JSON, a page that draws it, and the library that plots. Nothing is loaded.
//!
//! Captured names are hostile. They are in the JSON only, in which what could end a script is escaped, and become text nodes.

use super::cell::{Cell, clipped};
use super::content::Page;
use anyhow::Result;

const LIBRARY: &str = include_str!("../vendor/uplot/uPlot.iife.min.js");
const LIBRARY_STYLE: &str = include_str!("../vendor/uplot/uPlot.min.css");
const LICENCE: &str = include_str!("../vendor/uplot/LICENSE");
const STYLE: &str = include_str!("assets/page.css");
const NUMBERS: &str = include_str!("assets/numbers.js");
const PLOTS: &str = include_str!("assets/plots.js");
const SCRIPT: &str = include_str!("assets/page.js");

/// What the page may do: run its own scripts and styles, and load nothing.
const POLICY: &str =
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

/// The HTML.
///
/// # Errors
/// When a number is no JSON, which none is.
pub fn render(page: &Page) -> Result<String> {
    let data = embedded(&serde_json::to_string(&safe(page))?);
    Ok(format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"{POLICY}\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n<title>ioriot report</title>\n\
         <style>\n{LIBRARY_STYLE}\n{STYLE}</style>\n</head>\n<body>\n\
         <noscript>This page draws its data by a script: allow it, or make the report with --format text.</noscript>\n\
         <script type=\"application/json\" id=\"data\">{data}</script>\n\
         <script>\n/* uPlot:\n{LICENCE}\n*/\n{LIBRARY}</script>\n<script>\n{NUMBERS}{PLOTS}{SCRIPT}</script>\n</body>\n</html>\n"
    ))
}

/// The page with its texts as people may see them: no control characters, none of any length.
fn safe(page: &Page) -> Page {
    let mut page = page.clone();
    for text in page.datasets.iter_mut().map(|data| &mut data.name).chain([&mut page.title]).chain(&mut page.commands) {
        *text = clipped_keeping(text);
    }
    for finding in &mut page.findings {
        for evidence in &mut finding.evidence {
            evidence.subject = clipped(&evidence.subject);
            evidence.numbers = clipped(&evidence.numbers);
        }
        finding.case = finding.case.as_deref().map(clipped);
    }
    for section in page.parts.iter_mut().flat_map(|part| &mut part.sections) {
        section.case = section.case.as_deref().map(clipped);
        for cell in section.rows.iter_mut().flatten() {
            match cell {
                Cell::Text(text) => *text = clipped(text),
                // A page has six digits of a number for each that it shows.
                Cell::Real(value) => *value = format!("{value:.6e}").parse().unwrap_or(*value),
                Cell::Int(_) | Cell::Null => {}
            }
        }
    }
    page
}

/// A text that may be long, such as a command.
fn clipped_keeping(text: &str) -> String {
    text.split(' ').map(clipped).collect::<Vec<_>>().join(" ")
}

/// JSON in which nothing can end the script that holds it, or begin a comment in it.
fn embedded(json: &str) -> String {
    let mut text = String::with_capacity(json.len() + 64);
    for c in json.chars() {
        match c {
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' => text.push_str(&format!("\\u{:04x}", c as u32)),
            c => text.push(c),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::page::content::Named;

    #[test]
    fn nothing_in_the_data_ends_the_script() {
        let name = "</script><img src=x onerror=alert(1)><!--\u{2028}".to_owned();
        let page = Page { datasets: vec![Named { name: name.clone(), kind: "run" }], title: name, ..Page::default() };
        let html = render(&page).unwrap();
        assert!(!html.contains("<img") && !html.contains("alert(1)>"), "{html}");
        assert_eq!(html.matches("</script>").count(), 3);
        let data = html.split("id=\"data\">").nth(1).unwrap().split("</script>").next().unwrap();
        let back: serde_json::Value = serde_json::from_str(data).unwrap();
        assert!(back["title"].as_str().unwrap().starts_with("</script><img src=x onerror=alert(1)><!--"));
    }

    #[test]
    fn the_libraries_can_be_embedded() {
        for text in [LIBRARY, NUMBERS, PLOTS, SCRIPT, LICENCE] {
            assert!(!text.contains("</script") && !text.contains("<!--"));
        }
        assert!(LIBRARY.len() + LIBRARY_STYLE.len() + NUMBERS.len() + PLOTS.len() + SCRIPT.len() + STYLE.len() < 400 << 10);
        assert!(!LICENCE.contains("*/") && ["http:", "https:"].iter().all(|scheme| !SCRIPT.contains(scheme)));
    }
}
