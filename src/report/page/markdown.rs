//! A report as Markdown: tables. Captured names are code, in which nothing means anything.

use super::cell::{Cell, clipped};
use super::content::{Column, Page, Section};
use super::plot::Shape;
use crate::amount::Nanos;
use crate::rows::marked;
use std::fmt::Write;

/// Rows of a table.
const ROWS: usize = 20;

/// The Markdown.
pub fn render(page: &Page) -> String {
    let mut text = format!("# ioriot report: {}\n\n", code(&page.title));
    for data in &page.datasets {
        let _ = writeln!(text, "- {} {}", data.kind, code(&data.name));
    }
    for note in &page.notes {
        let _ = writeln!(text, "- {}", marked(note));
    }
    if page.rules > 0 {
        let _ = write!(text, "\n## Findings\n\n");
    }
    if page.rules > 0 && page.findings.is_empty() {
        let _ = writeln!(text, "None of {} rules found anything.", page.rules);
    }
    for finding in &page.findings {
        let of = finding.case.as_deref().map_or(String::new(), |case| format!(" ({})", code(case)));
        let _ = writeln!(text, "- **{}** ({}){of}: {}", finding.title, finding.severity.name(), finding.advice);
        for evidence in &finding.evidence {
            let cost = evidence.cost_ns.map_or(String::new(), |ns| format!(" ({})", Nanos(ns)));
            let _ = writeln!(text, "  - {}: {}{cost}", code(&evidence.subject), code(&evidence.numbers));
        }
    }
    for part in &page.parts {
        // Lines and maps are for the other forms.
        let tables = part.sections.iter().filter(|section| matches!(section.plot.shape, Shape::Table | Shape::Bars));
        for (at, section) in tables.enumerate() {
            if at == 0 {
                let _ = write!(text, "\n## {}\n", part.title);
            }
            table(&mut text, section);
        }
    }
    if !page.commands.is_empty() {
        text.push_str("\n## How to reproduce\n\n");
        for command in &page.commands {
            let _ = writeln!(text, "    {command}");
        }
    }
    text
}

fn table(text: &mut String, section: &Section) {
    let of = section.case.as_deref().map_or(String::new(), |case| format!(" ({})", code(case)));
    let _ = write!(text, "\n### {}{of}\n\n{}\n\n", section.title, section.meaning);
    let heads: Vec<String> = section.columns.iter().map(Column::head).collect();
    let _ = write!(text, "| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len()));
    for row in section.rows.iter().take(ROWS) {
        let cells = row.iter().zip(&section.columns).map(|(cell, column)| match cell {
            Cell::Text(text) => code(text).replace('|', "\\|"),
            cell => cell.show(column.unit),
        });
        let _ = writeln!(text, "| {} |", cells.collect::<Vec<_>>().join(" | "));
    }
}

/// A text as code of Markdown. In a table a pipe ends its cell all the same.
fn code(text: &str) -> String {
    let shown = clipped(text);
    if shown.is_empty() {
        return shown;
    }
    let longest = shown.split(|c| c != '`').map(str::len).max().unwrap_or(0);
    let fence = "`".repeat(longest + 1);
    let pad = if longest > 0 { " " } else { "" };
    format!("{fence}{pad}{shown}{pad}{fence}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_code_whatever_it_holds() {
        assert_eq!(code("/a b"), "`/a b`");
        assert_eq!(code("a`b``c|d"), "``` a`b``c|d ```");
        assert_eq!(code("<img src=x>\n"), "`<img src=x>\\n`");
    }
}
