//! Standard output and standard error. That their reader has gone away ends neither this process nor its work.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Has a write of an answer failed because nobody reads standard output any more (EPIPE)?
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Standard output, for the answer of a command: when nobody reads it the command can stop ([`unread`]).
#[derive(Clone, Copy, Debug)]
pub struct Answer;

impl Write for Answer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        io::stdout().write(bytes).inspect_err(look)
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush().inspect_err(look)
    }
}

fn look(error: &io::Error) {
    UNREAD.fetch_or(error.kind() == ErrorKind::BrokenPipe, SeqCst);
}

/// Has the reader of the [`Answer`] closed it (EPIPE, write(2))? Then the error of the write is no failure of the command.
pub fn unread() -> bool {
    UNREAD.load(SeqCst)
}

/// Prints a line about work in progress or done to standard output; that nobody reads it is no error.
///
/// # Errors
/// When standard output cannot be written for another reason than that nobody reads it.
pub fn say(text: impl Display) -> io::Result<()> {
    let mut out = io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        said => said,
    }
}

/// Prints a line on standard error if that can be written without blocking; never waits for a reader.
pub fn mention(text: impl Display) {
    let text = format!("{text}\n");
    let mut stderr = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: stderr is one pollfd, and text is readable.
    unsafe {
        if libc::poll(&raw mut stderr, 1, 0) == 1 {
            libc::write(libc::STDERR_FILENO, text.as_ptr().cast(), text.len());
        }
    }
}

/// Prints a line, or several, on standard error; errors are ignored.
pub fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
