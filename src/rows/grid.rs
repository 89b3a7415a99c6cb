//! Rows laid out for people: as a table that fits the terminal, or each row as a block with one column a line.

use crate::text::shown;
use anyhow::Result;
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use arrow::util::display::{ArrayFormatter, FormatOptions};
use comfy_table::{ColumnConstraint, ContentArrangement, Table, Width};
use std::borrow::Cow;
use std::fmt::Write;

/// Columns of the terminal that a text needs at least where its column is made narrower.
const NARROW: usize = 16;

/// How rows are laid out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// A line for each row, columns aligned.
    #[default]
    Table,
    /// A block for each row, a line for each column (psql: expanded).
    Records,
}

/// Cells as text that is safe to print, with the names of their columns.
#[derive(Debug)]
pub struct Grid {
    names: Vec<String>,
    /// Is a column text, which may be broken into several lines? By column.
    texts: Vec<bool>,
    rows: Vec<Vec<String>>,
}

impl Grid {
    /// The rows of these batches of one schema; `shown` makes a cell safe to print ([`crate::text::shown`]).
    ///
    /// # Errors
    /// When a value has no text, such as a date beyond the calendar.
    pub fn new(schema: &SchemaRef, batches: &[RecordBatch], shown: fn(&str) -> Cow<'_, str>) -> Result<Grid> {
        let options = FormatOptions::default();
        let mut rows = Vec::new();
        for batch in batches {
            let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
            let columns = columns.collect::<Result<Vec<_>, _>>()?;
            for row in 0..batch.num_rows() {
                let cells = columns.iter().map(|column| Ok(shown(&column.value(row).try_to_string()?).into_owned()));
                rows.push(cells.collect::<Result<Vec<_>>>()?);
            }
        }
        Ok(Grid {
            names: schema.fields().iter().map(|field| self::shown(field.name()).into_owned()).collect(),
            texts: schema.fields().iter().map(|field| is_text(field.data_type())).collect(),
            rows,
        })
    }

    /// The cells of each row.
    pub fn rows(&self) -> &[Vec<String>] {
        &self.rows
    }

    /// Lays the rows out, with a line feed at the end. A table is no wider than `width` columns of the terminal: where it would be,
    /// columns without a value are left out, texts are broken into lines, and where that is not enough, the last columns are left
    /// out, too. Gives the names of those that were.
    pub fn draw(&self, shape: Shape, width: Option<u16>) -> (String, Vec<&str>) {
        match shape {
            Shape::Records => (self.records(), Vec::new()),
            Shape::Table => self.table(width.map(usize::from)),
        }
    }

    fn table(&self, width: Option<usize>) -> (String, Vec<&str>) {
        let all: Vec<usize> = (0..self.names.len()).collect();
        let whole = self.comfy(&all);
        let natural: Vec<usize> = whole.column_max_content_widths().iter().map(|wide| usize::from(*wide)).collect();
        let Some(width) = width.filter(|width| framed(&natural) > *width) else { return (format!("{whole}\n"), Vec::new()) };
        let empty = |column: &usize| !self.rows.is_empty() && self.rows.iter().all(|row| row[*column].is_empty());
        let mut shown: Vec<usize> = all.iter().copied().filter(|column| !empty(column)).collect();
        if shown.is_empty() {
            shown = all.clone();
        }
        let widths = fit(&shown.iter().map(|at| (natural[*at], self.texts[*at])).collect::<Vec<_>>(), width);
        shown.truncate(widths.len());
        let mut table = self.comfy(&shown);
        table.set_content_arrangement(ContentArrangement::Dynamic);
        // The padding of a cell counts.
        let fixed = |wide: &usize| ColumnConstraint::Absolute(Width::Fixed(u16::try_from(wide + 2).unwrap_or(u16::MAX)));
        table.set_constraints(widths.iter().map(fixed));
        let rest = all.iter().filter(|column| !shown.contains(column)).map(|column| self.names[*column].as_str());
        (format!("{table}\n"), rest.collect())
    }

    /// These columns as a table that is as wide as it needs to be.
    fn comfy(&self, columns: &[usize]) -> Table {
        let mut table = Table::new();
        table.load_preset("||--+-++|    ++++++").set_header(columns.iter().map(|at| &self.names[*at]));
        table.add_rows(self.rows.iter().map(|row| columns.iter().map(|at| &row[*at])));
        table
    }

    fn records(&self) -> String {
        let table = self.comfy(&(0..self.names.len()).collect::<Vec<_>>());
        let widest = |name: &String| name.chars().count();
        let (names, cells) =
            (self.names.iter().map(widest).max().unwrap_or(0), table.column_max_content_widths().into_iter().max());
        let line = names + 3 + usize::from(cells.unwrap_or(0)).min(40);
        let mut text = String::new();
        for (at, row) in self.rows.iter().enumerate() {
            let head = format!("-[ row {} ]", at + 1);
            let _ = writeln!(text, "{head:-<line$}");
            for (name, cell) in self.names.iter().zip(row) {
                let _ = writeln!(text, "{name:names$} | {}", cell.replace('\n', &format!("\n{:names$} | ", "")));
            }
        }
        text
    }
}

fn is_text(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, value) => is_text(value),
        kind => !kind.is_numeric() && !kind.is_temporal() && !matches!(kind, DataType::Boolean | DataType::Null),
    }
}

/// How wide a table of columns of these widths is: two blanks and a bar for each, and a bar.
fn framed(widths: &[usize]) -> usize {
    widths.iter().sum::<usize>() + 3 * widths.len() + 1
}

/// The widths of the first columns, as many as fit, by their own widths and whether they are text: numbers and short texts as they
/// are, longer texts as wide as the rest allows, the same for all. At least one column.
fn fit(columns: &[(usize, bool)], width: usize) -> Vec<usize> {
    let capped = |number: usize, most: usize| -> Vec<usize> {
        columns.iter().take(number).map(|(wide, text)| if *text { (*wide).min(most) } else { *wide }).collect()
    };
    let number = (1..=columns.len()).rev().find(|number| framed(&capped(*number, NARROW)) <= width).unwrap_or(1);
    // A wider bound makes a wider table.
    let most = (NARROW..=width).rev().find(|most| framed(&capped(number, *most)) <= width);
    capped(number, most.unwrap_or(width.saturating_sub(4).clamp(1, NARROW)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::text::shown;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use std::sync::Arc;

    fn grid(columns: Vec<(&str, ArrayRef)>) -> Grid {
        let batch = RecordBatch::try_from_iter(columns).unwrap();
        Grid::new(&batch.schema(), &[batch], shown).unwrap()
    }

    fn number(value: i64) -> ArrayRef {
        Arc::new(Int64Array::from(vec![value]))
    }

    fn text(value: &str) -> ArrayRef {
        Arc::new(StringArray::from(vec![value]))
    }

    #[test]
    fn a_table_is_no_wider_than_the_terminal() {
        let path = "/data/".repeat(30);
        let names: Vec<String> = (0..30).map(|at| format!("column_{at}")).collect();
        let mut columns = vec![("path", text(&path)), ("bytes", number(123_456_789)), ("other", text(&path))];
        columns.extend(names.iter().map(|name| (name.as_str(), number(1))));
        let grid = grid(columns);
        for width in 20..400 {
            let (drawn, rest) = grid.draw(Shape::Table, Some(width));
            let widest = drawn.lines().map(|line| line.chars().count()).max().unwrap();
            assert!(widest <= usize::from(width), "{widest} of {width}:\n{drawn}");
            assert_eq!(drawn.lines().next().unwrap().matches('+').count() - 1 + rest.len(), 33, "{width}");
            let wanted = 4 + NARROW + 13;
            assert!(usize::from(width) < wanted || drawn.contains("123456789"), "numbers are never broken:\n{drawn}");
        }
        assert!(grid.draw(Shape::Table, None).1.is_empty(), "as wide as it is without a terminal");
    }

    #[test]
    fn texts_are_broken_before_columns_are_left_out() {
        let path = "/a-directory/with-a-long-name/and-a-file-in-it";
        let grid = grid(vec![("n", number(7)), ("path", text(path))]);
        let (drawn, rest) = grid.draw(Shape::Table, Some(40));
        assert!(rest.is_empty(), "{drawn}");
        let cells = drawn.lines().filter_map(|line| line.strip_prefix("| ")?.split('|').nth(1)).skip(1);
        assert_eq!(cells.map(str::trim).collect::<String>(), path);
    }

    #[test]
    fn columns_without_a_value_are_left_out_first() {
        let nothing: ArrayRef = Arc::new(Int64Array::from(vec![None]));
        let grid = grid(vec![("nothing_at_all", nothing), ("bytes", number(7)), ("path", text("/a"))]);
        let (drawn, rest) = grid.draw(Shape::Table, Some(20));
        assert_eq!((drawn.lines().nth(1), rest), (Some("| bytes | path |"), vec!["nothing_at_all"]));
        assert!(grid.draw(Shape::Table, Some(40)).0.contains("nothing_at_all"), "it fits");
    }

    #[test]
    fn a_record_is_a_line_for_each_column() {
        let grid = grid(vec![("n", number(7)), ("path", text("/a\u{1b}[31m"))]);
        let (drawn, _) = grid.draw(Shape::Records, Some(20));
        assert_eq!(drawn, "-[ row 1 ]-------\nn    | 7\npath | /a\\x1b[31m\n");
    }
}
