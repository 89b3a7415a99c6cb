//! The interactive SQL prompt, with statements over several lines until `;` and a history; and SQL piped to standard
//! input.

use super::format::Format;
use super::query::answer;
use super::tables::Desk;
use super::views::quoted;
use crate::engine::{self, Cut, Rest};
use crate::files::{self, Dir};
use crate::limits;
use crate::process::stdio;
use crate::text::{shown, shown_message};
use anyhow::{Context, Result, bail, ensure};
use rustyline::DefaultEditor;
use rustyline::error::ReadlineError;
use std::io::{BufRead, Read, Write};
use std::path::{Path, PathBuf};

const HELP: &str = "\
SQL ends with ;  Tables: \\d   Columns: \\d TABLE   Leave: \\q";

/// Query behind `\d`: names of tables and views, with their number of columns.
const TABLES: &str = "SELECT table_name AS \"table\", count(*) AS columns FROM information_schema.columns \
                      WHERE table_schema = 'public' GROUP BY table_name ORDER BY table_name";

/// Reads statements from the terminal and answers them, until the user leaves.
///
/// # Errors
/// When the terminal cannot be used; a statement that fails is reported and the prompt goes on.
pub fn run(desk: &Desk, format: Format) -> Result<()> {
    let mut editor = DefaultEditor::new()?;
    let history = history();
    if let Some(file) = &history {
        let _ = editor.load_history(file); // there is none the first time
    }
    stdio::say(HELP)?;
    let mut waiting = Waiting::default();
    loop {
        match editor.readline(if waiting.text.is_empty() { "ioriot> " } else { "     -> " }) {
            Ok(line) => match waiting.take(&line) {
                Line::Command(command) => {
                    let _ = editor.add_history_entry(line.trim());
                    match command {
                        Command::Leave => break,
                        command => told(command.run(desk, format, &mut stdio::Answer)),
                    }
                }
                Line::Sql(statements) => {
                    for statement in statements {
                        let _ = editor.add_history_entry(format!("{};", statement.trim()));
                        told(show(desk, &statement, format));
                    }
                }
            },
            // As in a shell: the statement so far is forgotten.
            Err(ReadlineError::Interrupted) => waiting = Waiting::default(),
            Err(ReadlineError::Eof) => break,
            Err(error) => return Err(error.into()),
        }
    }
    if let Some(file) = &history
        && let Err(error) = Dir::prepare(file).and_then(|_| Ok(editor.save_history(file)?))
    {
        log::warn!("the history was not saved in {}: {error:#}", file.display());
    }
    Ok(())
}

/// Answers what is piped in, each statement as it ends; the last one, before the end or `\q`, needs no `;`.
///
/// # Errors
/// The first statement or command that fails, and what cannot be read or written.
pub fn piped(desk: &Desk, format: Format, mut input: impl BufRead, out: &mut (dyn Write + Send)) -> Result<()> {
    let (mut waiting, mut first) = (Waiting::default(), true);
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
            Line::Command(command) => command.run(desk, format, out)?,
            Line::Sql(statements) => {
                for statement in statements {
                    answer(desk, &statement, format, out)?;
                    out.flush()?;
                }
            }
        }
    }
    for statement in engine::statements(&waiting.text) {
        answer(desk, statement, format, out)?;
    }
    Ok(out.flush()?)
}

/// The text without a leading byte order mark (U+FEFF), which some editors write.
pub(super) fn unmarked(text: &str) -> &str {
    text.strip_prefix('\u{feff}').unwrap_or(text)
}

/// Lines read so far whose statement has not ended yet.
#[derive(Default)]
struct Waiting {
    text: String,
    /// The text ended inside a quoted text, a quoted name or a comment when it was last tokenized, and no later line
    /// has a character that could end one.
    inside: bool,
}

/// What a line of input turned out to be.
enum Line<'l> {
    Command(Command<'l>),
    /// A line of SQL: the statements that end with it, if any.
    Sql(Vec<String>),
}

impl Waiting {
    /// Takes the next line. Inside a quoted text, a quoted name or a comment a line is never a command.
    fn take<'l>(&mut self, line: &'l str) -> Line<'l> {
        // These are the last bytes of whatever can be open. Tokenizing the whole text again at every line of a long
        // text would take hours.
        self.inside &= !line.contains(['\'', '"', '$', '/']);
        let word = line.trim();
        if word.starts_with('\\') && self.is() != Rest::Inside
            || (matches!(word, "exit" | "quit") || word.starts_with('.')) && self.is() == Rest::Blank
        {
            return Line::Command(Command::parse(word));
        }
        self.text.push_str(line);
        self.text.push('\n');
        if self.text.trim().is_empty() {
            self.text.clear();
        }
        Line::Sql(if line.contains(';') { self.statements() } else { Vec::new() })
    }

    /// What the text so far ends in.
    fn is(&self) -> Rest {
        if self.inside { Rest::Inside } else { engine::cut(&self.text).is }
    }

    /// Takes the statements that have ended out of the text.
    fn statements(&mut self) -> Vec<String> {
        if self.inside {
            return Vec::new();
        }
        let Cut { ended, rest, is } = engine::cut(&self.text);
        // A text that is no SQL stays so whatever follows: it is given as a statement, which fails with a message.
        let wrong = (is == Rest::Wrong).then_some(rest);
        let statements = ended.into_iter().chain(wrong).map(str::to_owned).collect();
        self.inside = is == Rest::Inside;
        self.text = if matches!(is, Rest::Blank | Rest::Wrong) { String::new() } else { rest.to_owned() };
        statements
    }
}

/// A line that is a command of the prompt and not SQL.
#[derive(Debug, PartialEq, Eq)]
enum Command<'a> {
    Tables,
    Columns(&'a str),
    Leave,
    Unknown(&'a str),
}

impl Command<'_> {
    fn parse(line: &str) -> Command<'_> {
        let (word, rest) = line.split_once(char::is_whitespace).unwrap_or((line, ""));
        match (word.trim_end_matches(';'), rest.trim_end_matches(';').trim()) {
            ("\\q" | "exit" | "quit" | ".exit" | ".quit", "") => Command::Leave,
            ("\\d" | ".tables", "") => Command::Tables,
            ("\\d" | ".schema", table) => Command::Columns(table),
            _ => Command::Unknown(line),
        }
    }

    fn run(self, desk: &Desk, format: Format, out: &mut (dyn Write + Send)) -> Result<()> {
        match self {
            Command::Tables => answer(desk, TABLES, format, out),
            Command::Columns(table) => columns(desk, table, format, out),
            Command::Unknown(line) => bail!("{} is no command. {HELP}", shown(line)),
            Command::Leave => Ok(()),
        }
    }
}

/// Shows the columns of a table.
fn columns(desk: &Desk, table: &str, format: Format, out: &mut (dyn Write + Send)) -> Result<()> {
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
    answer(desk, &statement, format, out)
}

/// Answers a statement: its output is shown when all of it is there, and not at all when it fails.
fn show(desk: &Desk, statement: &str, format: Format) -> Result<()> {
    let mut out = Vec::new();
    answer(desk, statement, format, &mut out)?;
    Ok(stdio::Answer.write_all(&out)?)
}

/// Reports an error of a statement or command on standard error; the prompt goes on.
fn told(done: Result<()>) {
    if let Err(error) = done {
        stdio::complain(shown_message(&error.root_cause().to_string()));
    }
}

/// File of the prompt's history: `$XDG_STATE_HOME/ioriot/history`, or the same below `~/.local/state`. `None` when it
/// or its directory is not owned by us: under sudo the environment may still name another user's home.
fn history() -> Option<PathBuf> {
    let state = std::env::var_os("XDG_STATE_HOME").map(PathBuf::from).filter(|dir| dir.is_absolute());
    let state = state.or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".local/state")))?;
    let (dir, file) = (state.join("ioriot"), state.join("ioriot/history"));
    let there = state.ancestors().find(|dir| dir.symlink_metadata().is_ok())?;
    let all = [there, &dir, &file].into_iter().all(ours);
    all.then_some(file)
}

/// Is there nothing at this path, or something that we own and nobody else can write? False for a symlink, whose mode
/// lets everybody write.
fn ours(path: &Path) -> bool {
    Dir::around(path).and_then(|(dir, name)| dir.look(name)).map_or(true, |stat| files::mine(&stat))
}

#[cfg(test)]
mod tests {
    use super::{Command, ours};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn a_history_of_somebody_else_is_none() {
        let dir = tempfile::tempdir().unwrap();
        let place = |name: &str| dir.path().join(name);
        assert!(ours(dir.path()) && ours(&place("none")));
        fs::write(place("mine"), "").unwrap();
        assert!(ours(&place("mine")));
        symlink(place("mine"), place("link")).unwrap();
        assert!(!ours(&place("link")));
        fs::set_permissions(place("mine"), Permissions::from_mode(0o666)).unwrap();
        assert!(!ours(&place("mine")));
        assert!(!ours(std::path::Path::new("/tmp")), "everybody can write there");
        fs::write(place("foreign"), "").unwrap();
        if std::os::unix::fs::chown(place("foreign"), Some(12345), None).is_ok() {
            assert!(!ours(&place("foreign")));
        }
    }

    #[test]
    fn commands_may_end_like_statements() {
        for (line, command) in [
            ("\\q", Command::Leave),
            ("exit", Command::Leave),
            ("\\d;", Command::Tables),
            ("\\d  ops ;", Command::Columns("ops")),
            ("\\d ops;", Command::Columns("ops")),
            (".tables", Command::Tables),
            (".schema ops", Command::Columns("ops")),
            (".quit", Command::Leave),
            (".x", Command::Unknown(".x")),
            ("\\x 1", Command::Unknown("\\x 1")),
        ] {
            assert_eq!(Command::parse(line), command, "{line}");
        }
    }
}
