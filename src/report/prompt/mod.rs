//! The interactive SQL prompt, with statements over several lines until `;`, completion of names and a history; and SQL piped to
//! standard input.

mod command;
mod held;
mod history;
mod line;
mod words;

use super::query::answer;
use super::tables::Desk;
use crate::amount::Nanos;
use crate::files::{self, Dir};
use crate::process::stdio;
use crate::rows::{self, Style};
use crate::schema::place;
use crate::text::shown_message;
use crate::{engine, limits};
use anyhow::{Context, Result, ensure};
use command::{Command, Settings};
use held::Held;
use line::{Line, Waiting};
use rustyline::error::ReadlineError;
use rustyline::history::FileHistory;
use rustyline::{CompletionType, Config, Editor};
use std::io::{BufRead, BufWriter, Read, Write};
use std::path::PathBuf;
use std::process::{self, Stdio};
use std::time::Instant;
use words::Words;

/// Reads statements from the terminal and answers them, until the user leaves. `asked` are the datasets, which no answer is
/// written into.
///
/// # Errors
/// When the terminal cannot be used; a statement that fails is reported and the prompt goes on.
pub fn run(desk: &Desk, style: Style, asked: &[PathBuf]) -> Result<()> {
    let mut editor = Editor::with_config(Config::builder().completion_type(CompletionType::List).build())?;
    editor.set_helper(Some(Words::new(desk)));
    let history = history::file();
    if let Some(file) = &history {
        let _ = editor.load_history(file); // there is none the first time
    }
    stdio::say(command::HELP)?;
    let mut talk = Talk { desk, editor, waiting: Waiting::default(), settings: Settings { style, timing: false, pager: true } };
    let mut next = Next::Output(None);
    while let Next::Output(file) = next {
        next = match file {
            None => talk.go(None)?,
            Some(file) => {
                // What goes on when the file cannot be made: the terminal.
                let mut then = Next::Output(None);
                told(place::foreign(&file, asked).and_then(|()| {
                    files::write(&file, |made| {
                        let mut out = BufWriter::new(made);
                        then = talk.go(Some(&mut out))?;
                        Ok(out.flush()?)
                    })
                }));
                then
            }
        };
    }
    if let Some(file) = &history
        && let Err(error) = Dir::prepare(file).and_then(|_| Ok(talk.editor.save_history(file)?))
    {
        log::warn!("the history was not saved in {}: {error:#}", file.display());
    }
    Ok(())
}

/// Where answers go to next.
enum Next {
    /// To this file, or to standard output.
    Output(Option<PathBuf>),
    /// Nowhere: the user leaves.
    Leave,
}

/// The prompt between two lines.
struct Talk<'d> {
    desk: &'d Desk,
    editor: Editor<Words<'d>, FileHistory>,
    waiting: Waiting,
    settings: Settings,
}

impl Talk<'_> {
    /// Reads and answers, into a file if there is one, until the user leaves or wants answers elsewhere.
    fn go(&mut self, mut file: Option<&mut (dyn Write + Send)>) -> Result<Next> {
        loop {
            let line = match self.editor.readline(if self.waiting.text.is_empty() { "ioriot> " } else { "     -> " }) {
                Ok(line) => line,
                // As in a shell: the statement so far is forgotten.
                Err(ReadlineError::Interrupted) => {
                    self.waiting = Waiting::default();
                    continue;
                }
                Err(ReadlineError::Eof) => return Ok(Next::Leave),
                Err(error) => return Err(error.into()),
            };
            match self.waiting.take(&line) {
                Line::Command(command) => {
                    let _ = self.editor.add_history_entry(line.trim());
                    match command {
                        Command::Leave => return Ok(Next::Leave),
                        Command::Output(file) => return Ok(Next::Output(file)),
                        command => told(command.run(self.desk, &mut self.settings, &mut stdio::Answer)),
                    }
                }
                Line::Sql(statements) => {
                    for statement in statements {
                        let _ = self.editor.add_history_entry(format!("{};", statement.trim()));
                        let since = Instant::now();
                        match &mut file {
                            Some(file) => {
                                told(answer(self.desk, &statement, Style { width: None, ..self.settings.style }, *file))
                            }
                            None => told(show(self.desk, &statement, self.settings)),
                        }
                        if self.settings.timing {
                            stdio::complain(Nanos(i64::try_from(since.elapsed().as_nanos()).unwrap_or(i64::MAX)));
                        }
                    }
                }
            }
        }
    }
}

/// Answers what is piped in, each statement as it ends; the last one, before the end or `\q`, needs no `;`.
///
/// # Errors
/// The first statement or command that fails, and what cannot be read or written.
pub fn piped(desk: &Desk, style: Style, mut input: impl BufRead, out: &mut (dyn Write + Send)) -> Result<()> {
    let (mut waiting, mut first) = (Waiting::default(), true);
    let mut settings = Settings { style, timing: false, pager: false };
    loop {
        let mut line = Vec::new();
        let room = (limits::SQL + 1).saturating_sub(waiting.text.len());
        let read = input.by_ref().take(room as u64).read_until(b'\n', &mut line).context("cannot read standard input")?;
        if read == 0 && room > 0 {
            break;
        }
        ensure!(read < room, "a statement on standard input has more than {} bytes", limits::SQL);
        let line = str::from_utf8(&line).context("standard input is no UTF-8")?;
        let line = if std::mem::take(&mut first) { unmarked(line) } else { line };
        match waiting.take(line.strip_suffix('\n').unwrap_or(line)) {
            Line::Command(Command::Leave) => break,
            Line::Command(command) => command.run(desk, &mut settings, out)?,
            Line::Sql(statements) => {
                for statement in statements {
                    answer(desk, &statement, settings.style, out)?;
                    out.flush()?;
                }
            }
        }
    }
    for statement in engine::statements(&waiting.text) {
        answer(desk, statement, settings.style, out)?;
    }
    Ok(out.flush()?)
}

/// The text without a leading byte order mark (U+FEFF), which some editors write.
pub(super) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Answers a statement: its output is shown when all of it is there, and not at all when it fails, unless it is long ([`Held`]).
fn show(desk: &Desk, statement: &str, settings: Settings) -> Result<()> {
    let (mut out, terminal) = (Held::new(stdio::Answer), rows::terminal());
    let style = Style { width: terminal.map(|(wide, _)| wide), ..settings.style };
    answer(desk, statement, style, &mut out)?;
    let Some(out) = out.whole() else { return Ok(()) };
    let lines = out.iter().filter(|byte| **byte == b'\n').count();
    match terminal {
        Some((_, high)) if settings.pager && lines >= usize::from(high) && paged(out) => Ok(()),
        _ => Ok(stdio::Answer.write_all(out)?),
    }
}

/// Shows a text by the user's pager, `$PAGER` or less. False where that cannot be started.
fn paged(text: &[u8]) -> bool {
    let pager = std::env::var_os("PAGER").filter(|pager| !pager.is_empty()).unwrap_or("less".into());
    let mut command = process::Command::new("sh");
    command.arg("-c").arg(pager).stdin(Stdio::piped());
    if std::env::var_os("LESS").is_none() {
        command.env("LESS", "FRX"); // as git does: no pager where one screen is enough, and the text stays on the screen
    }
    let Ok(mut child) = command.spawn() else { return false };
    if let Some(mut input) = child.stdin.take() {
        let _ = input.write_all(text); // the user may leave before the end
    }
    // 127: the shell found no such command (POSIX, Shell Command Language, 2.8.2).
    child.wait().is_ok_and(|ended| ended.code() != Some(127))
}

/// Reports an error of a statement or command on standard error; the prompt goes on.
fn told(done: Result<()>) {
    if let Err(error) = done {
        stdio::complain(shown_message(&error.root_cause().to_string()));
    }
}
