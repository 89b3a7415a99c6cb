//! Lines of input: which are commands of the prompt, and where statements over several lines end.

use super::command::Command;
use crate::engine::{self, Cut, Rest};

/// Lines read so far whose statement has not ended yet.
#[derive(Default)]
pub(super) struct Waiting {
    /// The lines, each with its line feed.
    pub text: String,
    /// The text ended inside a quoted text, a quoted name or a comment when it was last tokenized, and no later line
    /// has a character that could end one.
    inside: bool,
}

/// What a line of input turned out to be.
pub(super) enum Line<'l> {
    Command(Command<'l>),
    /// A line of SQL: the statements that end with it, if any.
    Sql(Vec<String>),
}

impl Waiting {
    /// Takes the next line. Inside a quoted text, a quoted name or a comment a line is never a command.
    pub fn take<'l>(&mut self, line: &'l str) -> Line<'l> {
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
