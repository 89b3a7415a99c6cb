//! The `ioriot` program: runs the command line, prints the chain of errors, gives the exit code.

#![deny(clippy::print_stdout, clippy::print_stderr)]

use ioriot::process::{signal, stdio};
use ioriot::text::shown_message;
use ioriot::{capture, cli, replay};
use std::env;
use std::process::ExitCode;

#[cfg(not(target_arch = "x86_64"))]
compile_error!("the program replays the syscalls of x86_64; elsewhere only the library builds: --lib --no-default-features");

fn main() -> ExitCode {
    signal::Signal::ignore_file_limits();
    // Before anything else runs: the sandboxed half of a replay must still be single-threaded.
    if env::args_os().nth(1).is_some_and(|arg| arg == replay::child::VERB) {
        return replay::child::main();
    }
    if env::args_os().nth(1).is_some_and(|arg| arg == capture::child::VERB) {
        return capture::child::main();
    }
    match cli::run() {
        Ok(exit) => exit.into(),
        // Whoever read our output has closed it, having seen enough.
        Err(_) if stdio::unread() => ExitCode::SUCCESS,
        Err(error) => {
            complain(&error);
            signal::asked().map_or(cli::Exit::Failed, cli::Exit::Asked).into()
        }
    }
}

/// Prints an error and its causes, one per line. A cause whose text the line above already contains is left out.
fn complain(error: &anyhow::Error) {
    let mut last = error.to_string();
    // Where standard error cannot be written, the exit code still tells.
    stdio::complain(format_args!("error: {}", shown_message(&last)));
    for cause in error.chain().skip(1) {
        let text = cause.to_string();
        if !last.contains(&text) {
            stdio::complain(format_args!("  because: {}", shown_message(&text)));
        }
        last = text;
    }
}
