//! The prompt: SQL over several lines until `;`, with a history.

use super::format::Format;
use super::query::{answer, end_of_statement};
use crate::engine::Engine;
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
pub fn run(engine: &Engine, format: Format) -> Result<()> {
    let mut editor = DefaultEditor::new()?;
    let history = history();
    if let Some(file) = &history {
        let _ = editor.load_history(file); // there is none the first time
    }
    println!("{HELP}");
    let mut waiting = String::new();
    loop {
        match editor.readline(if waiting.is_empty() { "ioriot> " } else { "     -> " }) {
            Ok(line) => {
                if waiting.is_empty() && matches!(line.trim(), "\\q" | "exit" | "quit") {
                    break;
                }
                let command = waiting.is_empty().then(|| shorthand(line.trim())).flatten();
                if command.is_some() {
                    let _ = editor.add_history_entry(line.trim());
                }
                waiting.push_str(command.as_deref().unwrap_or(&line));
                waiting.push('\n');
                while let Some(end) = end_of_statement(&waiting) {
                    let statement: String = waiting.drain(..=end).collect();
                    if command.is_none() {
                        let _ = editor.add_history_entry(statement.trim());
                    }
                    show(engine, statement.trim_end_matches(';'), format)?;
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

fn show(engine: &Engine, statement: &str, format: Format) -> Result<()> {
    let mut out = Vec::new();
    match answer(engine, statement, format, &mut out) {
        Ok(()) => io::stdout().write_all(&out)?,
        Err(error) => eprintln!("{error:#}"),
    }
    Ok(())
}

/// The SQL behind `\d` and `\d TABLE`.
fn shorthand(line: &str) -> Option<String> {
    let table = line.strip_prefix("\\d")?.trim().trim_end_matches(';').replace('\'', "''");
    Some(if table.is_empty() {
        format!("{TABLES};")
    } else {
        format!(
            "SELECT column_name AS \"column\", data_type AS type FROM information_schema.columns \
             WHERE table_name = '{table}' ORDER BY ordinal_position;"
        )
    })
}

/// `$XDG_STATE_HOME/ioriot/history`, or the same below `~/.local/state`.
fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    Some(state.join("ioriot/history"))
}
