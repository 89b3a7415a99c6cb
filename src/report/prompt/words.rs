//! Completion of the word before the cursor: tables, views, columns, functions and SQL's own words.

use super::super::tables::Desk;
use arrow::array::AsArray;
use rustyline::completion::Completer;
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;
use rustyline::{Context, Helper};
use std::cell::OnceCell;

/// Words of SQL that are worth a key less.
const SQL: &[&str] = &[
    "AND",
    "AS",
    "ASC",
    "BETWEEN",
    "BY",
    "CASE",
    "CAST",
    "CREATE",
    "CROSS",
    "DESC",
    "DESCRIBE",
    "DISTINCT",
    "ELSE",
    "END",
    "EXCEPT",
    "EXPLAIN",
    "FILTER",
    "FROM",
    "FULL",
    "GROUP",
    "HAVING",
    "INNER",
    "INTERSECT",
    "INTERVAL",
    "IS",
    "JOIN",
    "LEFT",
    "LIKE",
    "LIMIT",
    "NOT",
    "NULL",
    "NULLS",
    "OFFSET",
    "ON",
    "OR",
    "ORDER",
    "OUTER",
    "OVER",
    "PARTITION",
    "RIGHT",
    "SELECT",
    "SHOW",
    "THEN",
    "UNION",
    "USING",
    "VALUES",
    "VIEW",
    "WHEN",
    "WHERE",
    "WINDOW",
    "WITH",
];

/// Names that SQL can use here, by a query with one column.
const NAMES: &str = "SELECT column_name FROM information_schema.columns WHERE table_schema = 'public' \
                     UNION SELECT routine_name FROM information_schema.routines";

/// What can be completed over some datasets.
pub struct Words<'d> {
    desk: &'d Desk,
    /// Columns and functions, asked for at the first completion.
    names: OnceCell<Vec<String>>,
}

impl<'d> Words<'d> {
    /// The words of these datasets.
    pub fn new(desk: &'d Desk) -> Words<'d> {
        Words { desk, names: OnceCell::new() }
    }

    fn names(&self) -> &[String] {
        self.names.get_or_init(|| {
            let batches =
                self.desk.engine.sql(NAMES).and_then(|frame| self.desk.engine.block_on(async { Ok(frame.collect().await?) }));
            let batches = batches.unwrap_or_default();
            let texts =
                batches.iter().filter_map(|batch| arrow::compute::cast(batch.column(0), &arrow::datatypes::DataType::Utf8).ok());
            texts.flat_map(|column| column.as_string::<i32>().iter().flatten().map(str::to_owned).collect::<Vec<_>>()).collect()
        })
    }

    /// All words that begin like the one that ends at `at`, and where that begins. Where the line is `\\d`: tables alone.
    fn complete(&self, line: &str, at: usize) -> (usize, Vec<String>) {
        let start = line[..at]
            .rfind(|c: char| !c.is_alphanumeric() && c != '_')
            .map_or(0, |before| before + line[before..].chars().next().map_or(1, char::len_utf8));
        let begun = &line[start..at];
        let begins = |word: &str| word.get(..begun.len()).is_some_and(|head| head.eq_ignore_ascii_case(begun));
        let mut words: Vec<String> = self.desk.names();
        if !line.trim_start().starts_with(['\\', '.']) {
            words.extend_from_slice(self.names());
            words.extend(self.desk.engine.macros().iter().filter_map(|usage| usage.split('(').next()).map(str::to_owned));
            let lower = begun.chars().any(char::is_lowercase);
            words.extend(SQL.iter().map(|word| if lower { word.to_lowercase() } else { (*word).to_owned() }));
        }
        words.retain(|word| begins(word));
        words.sort_unstable();
        words.dedup();
        (start, words)
    }
}

impl Completer for Words<'_> {
    type Candidate = String;

    fn complete(&self, line: &str, at: usize, _: &Context<'_>) -> rustyline::Result<(usize, Vec<String>)> {
        Ok(self.complete(line, at))
    }
}

impl Hinter for Words<'_> {
    type Hint = String;
}

impl Highlighter for Words<'_> {}
impl Validator for Words<'_> {}
impl Helper for Words<'_> {}
