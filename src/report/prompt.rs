//! The prompt: SQL over several lines until `;`, with a history.

use super::format::Format;
use super::query::{answer, end_of_statement};
use super::tables::Desk;
use anyhow::Result;
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::io::{self, Write};
use std::path::PathBuf;

const HELP: &str = "\
SQL ends with ;  Tables: \\d   Columns: \\d TABLE   Leave: \\q";

/// Tables and views by name.
const TABLES: &str = "SELECT table_name AS \"table\", count(*) AS columns FROM information_schema.columns \
                      WHERE table_schema = 'public' GROUP BY table_name ORDER BY table_name";

/// Asks until the user leaves.
///
/// # Errors
/// When the terminal cannot be used; a wrong statement is shown and asked anew.
pub fn run(desk: &Desk, format: Format) -> Result<()> {
    let mut editor = DefaultEditor::new()?;
    let history = history();
    if let Some(file) = &history {
        let _ = editor.load_history(file); // there is none the first time
    }
    println!("{HELP}");
    let mut waiting = String::new();
    loop {
        match editor.readline(if waiting.is_empty() { "ioriot> " } else { "     -> " }) {
            Ok(line) if line.trim_start().starts_with('\\') || waiting.is_empty() && matches!(line.trim(), "exit" | "quit") => {
                let _ = editor.add_history_entry(line.trim());
                match Command::parse(line.trim()) {
                    Command::Leave => break,
                    Command::Tables => show(desk, TABLES, format)?,
                    Command::Columns(table) => columns(desk, table, format)?,
                    Command::Unknown => println!("{HELP}"),
                }
            }
            Ok(line) => {
                waiting.push_str(&line);
                waiting.push('\n');
                while let Some(end) = end_of_statement(&waiting) {
                    let statement: String = waiting.drain(..=end).collect();
                    let _ = editor.add_history_entry(statement.trim());
                    show(desk, statement.trim_end_matches(';'), format)?;
                }
                if waiting.trim().is_empty() {
                    waiting.clear();
                }
            }
            // As in a shell: the statement so far is forgotten.
            Err(ReadlineError::Interrupted) => waiting.clear(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(file) = &history {
        if let Some(dir) = file.parent() {
            let _ = std::fs::create_dir_all(dir);
        }
        if let Err(error) = editor.save_history(file) {
            log::warn!("the history was not saved in {}: {error}", file.display());
        }
    }
    Ok(())
}

/// A line that is no SQL.
#[derive(Debug, PartialEq, Eq)]
enum Command<'a> {
    Tables,
    Columns(&'a str),
    Leave,
    Unknown,
}

impl Command<'_> {
    fn parse(line: &str) -> Command<'_> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (word.trim_end_matches(';'), rest.trim_end_matches(';').trim()) {
            ("\\q" | "exit" | "quit", "") => Command::Leave,
            ("\\d", "") => Command::Tables,
            ("\\d", table) => Command::Columns(table),
            _ => Command::Unknown,
        }
    }
}

/// Shows the columns of a table, or says that there is none.
fn columns(desk: &Desk, table: &str, format: Format) -> Result<()> {
    if !desk.engine.ctx().table_exist(table)? {
        println!("There is no table {table}: \\d lists those there are.");
        return Ok(());
    }
    let statement = format!(
        "SELECT column_name AS \"column\", CASE \
             WHEN data_type LIKE '%Int%' AND data_type NOT LIKE 'Dictionary%' THEN 'BIGINT' WHEN data_type LIKE 'Float%' THEN 'DOUBLE' \
             WHEN data_type LIKE '%Utf8%' THEN 'VARCHAR' ELSE upper(data_type) END AS type \
         FROM information_schema.columns WHERE table_name = '{}' ORDER BY ordinal_position",
        table.replace('\'', "''")
    );
    show(desk, &statement, format)
}

fn show(desk: &Desk, statement: &str, format: Format) -> Result<()> {
    let mut out = Vec::new();
    match answer(desk, statement, format, &mut out) {
        Ok(()) => io::stdout().write_all(&out)?,
        // What stands before the cause repeats it.
        Err(error) => eprintln!("{}", error.root_cause()),
    }
    Ok(())
}

/// `$XDG_STATE_HOME/ioriot/history`, or the same below `~/.local/state`.
fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("ioriot/history"))
}

#[cfg(test)]
mod tests {
    use super::Command;

    #[test]
    fn commands_may_end_like_statements() {
        for (line, command) in [
            ("\\q", Command::Leave),
            ("exit", Command::Leave),
            ("\\d;", Command::Tables),
            ("\\d  ops ;", Command::Columns("ops")),
            ("\\d ops;", Command::Columns("ops")),
            ("\\x", Command::Unknown),
        ] {
            assert_eq!(Command::parse(line), command, "{line}");
        }
    }
}
