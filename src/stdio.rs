//! Standard output and standard error. Whoever reads them may have left, and that ends neither this process nor its work.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};

/// Did a write of an answer find that nobody reads standard output any more?
static UNREAD: AtomicBool = AtomicBool::new(false);

/// Standard output, for answers: there is no use in going on with one that nobody reads ([`unread`]).
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

/// Has whoever read the [`Answer`] seen enough (EPIPE, write(2))? Then the error of the write is none of the command's.
pub fn unread() -> bool {
    UNREAD.load(SeqCst)
}

/// Prints what is said of work that goes on, or is done, whoever reads it.
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

/// Says a line on standard error, if whoever reads that can take it now: nobody waits for a reader that sleeps.
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

/// Prints a line, or several, on standard error, if it can be written.
pub fn complain(text: impl Display) {
    let _ = writeln!(io::stderr(), "{text}");
}
