//! A report for a terminal: tables, and a line of blocks for each plotted line.

use super::cell::{Cell, clipped};
use super::content::{Page, Section};
use super::plot::Shape;
use crate::amount::Nanos;
use std::fmt::Write;

/// Rows of a table that a terminal gets.
const ROWS: usize = 12;
/// Width of a line of blocks.
const WIDTH: usize = 60;
/// Lines of one plot.
const LINES: usize = 12;
/// Longest cell of a table.
const CELL: usize = 60;

/// The text.
pub fn render(page: &Page) -> String {
    let mut text = format!("ioriot report: {}\n", clipped(&page.title));
    for data in &page.datasets {
        let _ = writeln!(text, "  {:<9} {}", data.kind, clipped(&data.name));
    }
    for note in &page.notes {
        let _ = writeln!(text, "  {note}");
    }
    if page.rules > 0 {
        findings(&mut text, page);
    }
    for part in &page.parts {
        let _ = write!(text, "\n{}\n{}\n", part.title.to_uppercase(), "=".repeat(part.title.chars().count()));
        for section in &part.sections {
            let of = section.case.as_deref().map_or(String::new(), |case| format!(" ({})", clipped(case)));
            let _ = writeln!(text, "\n{}{of}", section.title);
            body(&mut text, section);
        }
    }
    if !page.empty.is_empty() {
        let _ = write!(text, "\nNothing to show: {}.\n", page.empty.join(", "));
    }
    if !page.commands.is_empty() {
        text.push_str("\nHOW TO REPRODUCE\n================\n\n");
        for command in &page.commands {
            let _ = writeln!(text, "  {command}");
        }
    }
    text
}

fn findings(text: &mut String, page: &Page) {
    let _ = write!(text, "\nFINDINGS\n========\n\n");
    if page.findings.is_empty() {
        let _ = writeln!(text, "None of {} rules found anything.", page.rules);
    }
    for finding in &page.findings {
        let of = finding.case.as_deref().map_or(String::new(), |case| format!(" ({})", clipped(case)));
        let _ = writeln!(text, "[{}] {}{of}", finding.severity.name(), finding.title);
        for evidence in &finding.evidence {
            let cost = evidence.cost_ns.map_or(String::new(), |ns| format!(" ({})", Nanos(ns)));
            let _ = writeln!(text, "    {}: {}{cost}", clipped(&evidence.subject), clipped(&evidence.numbers));
        }
        let _ = writeln!(text, "    {}", finding.advice);
    }
}

fn body(text: &mut String, section: &Section) {
    match section.plot.shape {
        Shape::Line if section.plot.log.is_empty() => lines(text, section),
        // A distribution is read at a few places.
        Shape::Line => quantiles(text, section),
        Shape::Heat => {
            let _ = writeln!(text, "  a heat map: -o FILE.html draws it");
        }
        Shape::Table | Shape::Bars => table(text, section),
    }
}

fn table(text: &mut String, section: &Section) {
    let heads = section.columns.iter().map(super::content::Column::head);
    let mut grid: Vec<Vec<String>> = vec![heads.collect()];
    for row in section.rows.iter().take(ROWS) {
        grid.push(row.iter().zip(&section.columns).map(|(cell, column)| short(&cell.show(column.unit))).collect());
    }
    aligned(text, &grid, |column| section.rows.iter().all(|row| !matches!(row.get(column), Some(Cell::Text(_)))));
    let rest = section.rows.len().saturating_sub(ROWS);
    if rest > 0 {
        let more = if section.more { " and more" } else { "" };
        let _ = writeln!(text, "  {rest}{more} further rows: --format json has them");
    }
}

/// Rows in columns, numbers to the right; the first row is the head.
fn aligned(text: &mut String, grid: &[Vec<String>], number: impl Fn(usize) -> bool) {
    let columns = grid.first().map_or(0, Vec::len);
    let width = |column: usize| grid.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    for row in grid {
        let mut line = String::from(" ");
        for (column, cell) in row.iter().enumerate() {
            let pad = " ".repeat(widths[column].saturating_sub(cell.chars().count()));
            let _ = if number(column) { write!(line, " {pad}{cell}") } else { write!(line, " {cell}{pad}") };
            line.push(' ');
        }
        let _ = writeln!(text, "{}", line.trim_end());
    }
}

fn short(cell: &str) -> String {
    let count = cell.chars().count();
    if count <= CELL {
        return cell.to_owned();
    }
    // The end of a path says more than its beginning.
    let tail: String = cell.chars().skip(count - CELL + 1).collect();
    format!("…{tail}")
}

/// A plotted line: its name, number of the column of its values, and its points.
type Plotted = (String, usize, Vec<(f64, f64)>);

/// The lines of a plot: one for each value of `by`, or each column of `y`.
fn plotted(section: &Section) -> Vec<Plotted> {
    let plot = &section.plot;
    let Some(x) = section.column(&plot.x) else { return Vec::new() };
    let by = plot.by.as_deref().and_then(|by| section.column(by));
    let mut lines: Vec<Plotted> = Vec::new();
    for y in plot.y.iter().filter_map(|y| section.column(y)) {
        for row in &section.rows {
            let name = by
                .and_then(|by| row.get(by))
                .map_or_else(|| section.columns[y].head(), |cell| cell.show(section.columns[by.unwrap_or(0)].unit));
            let (Some(at), Some(value)) = (row[x].number(), row[y].number()) else { continue };
            match lines.iter_mut().find(|line| line.0 == name && line.1 == y) {
                Some(line) => line.2.push((at, value)),
                None => lines.push((name, y, vec![(at, value)])),
            }
        }
    }
    lines.truncate(LINES);
    lines
}

fn lines(text: &mut String, section: &Section) {
    let lines = plotted(section);
    let all = || lines.iter().flat_map(|line| &line.2).map(|point| point.0);
    let (first, last) = (all().fold(f64::MAX, f64::min), all().fold(f64::MIN, f64::max));
    let mut grid = vec![vec![String::new(), "over time".into(), "most".into()]];
    for (name, y, points) in &lines {
        let mut steps = vec![0.0_f64; WIDTH];
        for (at, value) in points {
            let step = (at - first) / (last - first).max(f64::MIN_POSITIVE) * (WIDTH - 1) as f64;
            let step = &mut steps[(step as usize).min(WIDTH - 1)];
            *step = step.max(*value);
        }
        let most = steps.iter().copied().fold(0.0, f64::max);
        let block = |value: &f64| match (value / most * 8.0).ceil() as usize {
            0 => ' ',
            eighths => ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'][eighths.min(8) - 1],
        };
        let bar: String = steps.iter().map(|value| if most > 0.0 { block(value) } else { ' ' }).collect();
        grid.push(vec![short(name), bar, Cell::real(most).show(section.columns[*y].unit)]);
    }
    aligned(text, &grid, |column| column == 2);
}

fn quantiles(text: &mut String, section: &Section) {
    const SHARES: [(f64, &str); 5] = [(0.5, "p50"), (0.9, "p90"), (0.99, "p99"), (0.999, "p99.9"), (1.0, "most")];
    let Some(x) = section.column(&section.plot.x) else { return };
    let mut grid = vec![[String::new()].into_iter().chain(SHARES.map(|(_, name)| name.to_owned())).collect::<Vec<_>>()];
    for (name, _, points) in plotted(section) {
        let at =
            |share: f64| points.iter().find(|point| point.1 >= share - 1e-12).map_or(Cell::Null, |point| Cell::real(point.0));
        grid.push([short(&name)].into_iter().chain(SHARES.map(|(share, _)| at(share).show(section.columns[x].unit))).collect());
    }
    aligned(text, &grid, |column| column > 0);
}
