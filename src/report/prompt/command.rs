//! Commands of the prompt, in the words of psql and of the DuckDB shell.

use super::super::query::answer;
use super::super::tables::Desk;
use super::super::views::quoted;
use crate::rows::{Format, Shape, Style};
use crate::text::shown;
use anyhow::{Result, bail};
use std::io::Write;
use std::path::PathBuf;

/// What `\\?` prints.
pub const HELP: &str = "\
SQL ends with ;  Tables: \\d   Columns: \\d TABLE   All commands: \\?   Leave: \\q";

const COMMANDS: &str = "\
\\d [TABLE]       list tables and views, or the columns of one (DuckDB: .tables, .schema)
\\df              list table macros: functions in FROM, with their arguments
\\x [on|off]      print each row as a block, with a line for each column
\\mode FORMAT     print rows as table, markdown, csv, json or ndjson (DuckDB: .mode)
\\o [FILE]        write answers to FILE, which appears when the next \\o or \\q ends it (DuckDB: .output)
\\timing [on|off] print how long each answer took (DuckDB: .timer)
\\pager [on|off]  show what is longer than the terminal by $PAGER (or less)
\\q               leave (also exit, quit, end of input)
Statements end with ; and may have several lines. Tab completes names. SHOW FUNCTIONS lists the functions of expressions; docs/SQL.md says
what views and macros mean.";

/// Query behind `\\d`: names of tables and views, with their number of columns.
const TABLES: &str = "SELECT table_name AS \"table\", count(*) AS columns FROM information_schema.columns \
                      WHERE table_schema = 'public' GROUP BY table_name ORDER BY table_name";

/// What commands change.
#[derive(Clone, Copy, Debug)]
pub struct Settings {
    /// How answers are printed.
    pub style: Style,
    /// Is it said how long each took?
    pub timing: bool,
    /// Is a pager used for long ones?
    pub pager: bool,
}

/// A line that is a command of the prompt and not SQL.
#[derive(Debug, PartialEq, Eq)]
pub enum Command<'a> {
    Tables,
    Columns(&'a str),
    Macros,
    /// On, off, or the other of the two.
    Expanded(Option<bool>),
    Timing(Option<bool>),
    Pager(Option<bool>),
    Mode(Format),
    /// The file that answers go to; none: standard output.
    Output(Option<PathBuf>),
    Help,
    Leave,
    Unknown(&'a str),
}

impl Command<'_> {
    /// The command that a line is.
    pub fn parse(line: &str) -> Command<'_> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        let rest = rest.trim_end_matches(';').trim();
        let switch = match rest {
            "" => Some(None),
            "on" => Some(Some(true)),
            "off" => Some(Some(false)),
            _ => None,
        };
        match (word.trim_end_matches(';'), rest, switch) {
            ("\\q" | "exit" | "quit" | ".exit" | ".quit", "", _) => Command::Leave,
            ("\\d" | ".tables", "", _) => Command::Tables,
            ("\\df", "", _) => Command::Macros,
            ("\\d" | ".schema", table, _) => Command::Columns(table),
            ("\\x", _, Some(switch)) => Command::Expanded(switch),
            ("\\timing" | ".timer", _, Some(switch)) => Command::Timing(switch),
            ("\\pager", _, Some(switch)) => Command::Pager(switch),
            ("\\o" | ".output", "", _) => Command::Output(None),
            ("\\o" | ".output", file, _) => Command::Output(Some(file.into())),
            ("\\mode" | ".mode", "table" | "box" | "duckbox", _) => Command::Mode(Format::Table),
            ("\\mode" | ".mode", "markdown", _) => Command::Mode(Format::Markdown),
            ("\\mode" | ".mode", "csv", _) => Command::Mode(Format::Csv),
            ("\\mode" | ".mode", "json", _) => Command::Mode(Format::Json),
            ("\\mode" | ".mode", "ndjson" | "jsonlines", _) => Command::Mode(Format::Ndjson),
            ("\\?" | ".help", "", _) => Command::Help,
            _ => Command::Unknown(line),
        }
    }

    /// Does what can be done beside the loop that reads lines.
    ///
    /// # Errors
    /// When it is no command, there is no such table, or the output cannot be written.
    pub fn run(self, desk: &Desk, settings: &mut Settings, out: &mut (dyn Write + Send)) -> Result<()> {
        let Settings { style, timing, pager } = settings;
        match self {
            Command::Tables => answer(desk, TABLES, *style, out)?,
            Command::Columns(table) => columns(desk, table, *style, out)?,
            Command::Macros => desk.engine.macros().iter().try_for_each(|usage| writeln!(out, "{usage}"))?,
            Command::Expanded(switch) => {
                let on = switch.unwrap_or(style.shape == Shape::Table);
                (style.format, style.shape) = (Format::Table, if on { Shape::Records } else { Shape::Table });
            }
            Command::Timing(switch) => *timing = switch.unwrap_or(!*timing),
            Command::Pager(switch) => *pager = switch.unwrap_or(!*pager),
            Command::Mode(format) => (style.format, style.shape) = (format, Shape::Table),
            Command::Help => writeln!(out, "{COMMANDS}")?,
            Command::Output(_) => bail!("\\o is for the prompt: a shell writes what is piped in with -o FILE or >"),
            Command::Unknown(line) => bail!("{} is no command. {HELP}", shown(line)),
            Command::Leave => {}
        }
        Ok(())
    }
}

/// Shows the columns of a table.
fn columns(desk: &Desk, table: &str, style: Style, out: &mut (dyn Write + Send)) -> Result<()> {
    if !desk.engine.ctx().table_exist(table)? {
        bail!("there is no table {}: \\d lists those there are", shown(table));
    }
    let statement = format!(
        "SELECT column_name AS \"column\", CASE \
             WHEN data_type LIKE '%Int%' AND data_type NOT LIKE 'Dictionary%' THEN 'BIGINT' WHEN data_type LIKE 'Float%' THEN 'DOUBLE' \
             WHEN data_type LIKE '%Utf8%' THEN 'VARCHAR' ELSE upper(data_type) END AS type \
         FROM information_schema.columns WHERE table_name = {} ORDER BY ordinal_position",
        quoted(table)
    );
    answer(desk, &statement, style, out)
}

#[cfg(test)]
mod tests {
    use super::Command;
    use crate::rows::Format;

    #[test]
    fn commands_may_end_like_statements() {
        for (line, command) in [
            ("\\q", Command::Leave),
            ("exit", Command::Leave),
            ("\\d;", Command::Tables),
            ("\\d  ops ;", Command::Columns("ops")),
            ("\\d ops;", Command::Columns("ops")),
            (".tables", Command::Tables),
            ("\\df", Command::Macros),
            (".schema ops", Command::Columns("ops")),
            (".quit", Command::Leave),
            ("\\x", Command::Expanded(None)),
            ("\\x on;", Command::Expanded(Some(true))),
            (".timer off", Command::Timing(Some(false))),
            (".mode csv", Command::Mode(Format::Csv)),
            ("\\o a b.csv", Command::Output(Some("a b.csv".into()))),
            ("\\o", Command::Output(None)),
            (".x", Command::Unknown(".x")),
            ("\\x 1", Command::Unknown("\\x 1")),
        ] {
            assert_eq!(Command::parse(line), command, "{line}");
        }
    }
}
