//! The `ioriot` program.

use std::env;
use std::process::ExitCode;

fn main() -> ExitCode {
    let mut args = env::args_os().skip(1);
    if args.next().is_some_and(|arg| arg == ioriot::replay::child::VERB) {
        return ioriot::replay::child::main(args);
    }
    ExitCode::from(2)
}
