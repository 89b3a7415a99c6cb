//! The command line: clap lives here and nowhere below.
//!
//! One file per verb: its arguments, its help, and the few lines that turn them into a library's `Options`. What a
//! verb prints is the `Display` of the library's summary, or with `--format json` the same summary as JSON.

mod capture;
#[cfg(feature = "cluster")]
mod cluster;
mod datasets;
#[cfg(feature = "sql")]
mod generate;
mod given;
mod ingest;
mod init;
mod old;
#[cfg(feature = "sql")]
mod predict;
mod replay;
#[cfg(feature = "sql")]
mod run;
#[cfg(feature = "serve")]
mod serve;
#[cfg(feature = "sql")]
mod show;
mod syscalls;
mod ui;
pub mod upkeep;
pub(crate) mod values;
#[cfg(feature = "sql")]
mod what_if;

use crate::limits;
use crate::process::panics;
use crate::process::signal::{self, Signal};
use crate::process::stdio;
use crate::text::shown_lines;
use anyhow::{Context, Result};
use clap::{ArgAction, CommandFactory, Parser, Subcommand};
#[cfg(feature = "s3")]
use datasets::copy;
use datasets::{anonymise, clean, reduce};
use std::io::{ErrorKind, Write};
use std::process::ExitCode;
use upkeep::{calibrate, completions, docs, man, synth};

/// How a verb ended, the same for all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// Done.
    Done,
    /// Done, but what came out is not good enough: divergences over the limit, rejects under `--strict`, nothing to
    /// compare.
    Flawed,
    /// Could not be done; nothing half-made is left behind.
    Failed,
    /// A signal ended it early.
    Asked(Signal),
}

impl Exit {
    /// [`Exit::Done`], unless what came out is not good enough.
    fn good(ok: bool) -> Exit {
        if ok { Exit::Done } else { Exit::Flawed }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(match exit {
            Exit::Done => 0,
            Exit::Flawed => 1,
            Exit::Failed => 2,
            Exit::Asked(signal) => signal.code(),
        })
    }
}

/// Captures the file I/O of real programs, replays it anywhere and compares every outcome.
#[derive(Debug, Parser)]
#[command(
    name = "ioriot",
    version,
    infer_subcommands = true,
    arg_required_else_help = true,
    max_term_width = 100,
    after_help = "Exit codes: 0 done; 1 done, but not good enough (too many differences, rejects under --strict, \
                  lost events, a full disk in the replay, nothing to compare); 2 could not be done; 130, \
                  143, 129 ended by SIGINT, SIGTERM, SIGHUP.\n\n\
                  Examples:\n  \
                  ioriot run tests/data/matrix.strace           # the whole way, in one go\n  \
                  ioriot syscalls                               # what is replayed, and what is lost\n  \
                  ioriot query matrix.ioriot/run 'SELECT outcome, count(*) FROM results GROUP BY 1'"
)]
struct Cli {
    /// Say more on standard error; twice for debugging (RUST_LOG overrides)
    #[arg(short, long, global = true, display_order = 900, action = ArgAction::Count)]
    verbose: u8,
    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Capture(capture::Args),
    Ingest(ingest::Args),
    #[cfg(feature = "sql")]
    Generate(generate::Args),
    #[cfg(feature = "sql")]
    Lint(show::lint::Args),
    Reduce(reduce::Args),
    Init(init::Args),
    Replay(replay::Args),
    #[cfg(feature = "sql")]
    Run(run::Args),
    #[cfg(feature = "sql")]
    Predict(predict::Args),
    #[cfg(feature = "sql")]
    Query(show::query::Args),
    #[cfg(feature = "sql")]
    Cat(show::look::Cat),
    #[cfg(feature = "sql")]
    Head(show::look::Head),
    #[cfg(feature = "sql")]
    Export(show::export::Args),
    #[cfg(feature = "sql")]
    Report(show::report::Args),
    #[cfg(feature = "sql")]
    Compare(show::compare::Args),
    Anonymise(anonymise::Args),
    Syscalls(syscalls::Args),
    Clean(clean::Args),
    #[cfg(feature = "s3")]
    Copy(copy::Args),
    #[cfg(feature = "cluster")]
    Cluster(cluster::Args),
    #[cfg(feature = "serve")]
    Serve(serve::Args),
    Completions(completions::Args),
    #[command(hide = true)]
    Man(man::Args),
    #[command(hide = true)]
    Docs(docs::Args),
    #[command(hide = true)]
    Synth(synth::Args),
    #[command(hide = true)]
    Calibrate(calibrate::Args),
}

/// Parses the command line and runs its verb, or says how it is used.
///
/// # Errors
/// What the verb says: it could not be done.
pub fn run() -> Result<Exit> {
    if let Some(text) = old::instead(&std::env::args_os().skip(1).collect::<Vec<_>>()) {
        stdio::complain(shown_lines(&text));
        return Ok(Exit::Failed);
    }
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => return told(&said),
    };
    let level = ["warn", "info", "debug"][usize::from(cli.verbose.min(2))];
    // What the engine of clusters tells of each task is for those who ask for more.
    let level = if cli.verbose == 0 { format!("{level},{}", ui::QUIET) } else { level.to_owned() };
    env_logger::Builder::from_env(env_logger::Env::default().default_filter_or(level)).format(ui::log).init();
    limits::keep_memory();
    // A capture ends by itself, and has no second thread before it has given up its rights.
    if !matches!(cli.verb, Verb::Capture(_)) {
        signal::end_when_asked().context("cannot wait for signals")?;
    }
    // Where a library gives up, as zstd does without memory, people get an error like any other.
    panics::contain(|| cli.verb.run())
}

/// Prints what clap says: help, the version, or what is wrong with the command line.
fn told(said: &clap::Error) -> Result<Exit> {
    let printed = said.print().and_then(|()| std::io::stdout().flush());
    match printed {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => return Err(error).context("cannot write to standard output"),
        _ => {}
    }
    Ok(if said.exit_code() == 0 { Exit::Done } else { Exit::Failed })
}

impl Verb {
    fn run(self) -> Result<Exit> {
        match self {
            Verb::Capture(args) => args.run(),
            Verb::Ingest(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Generate(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Lint(args) => args.run(),
            Verb::Reduce(args) => args.run(),
            Verb::Init(args) => args.run(),
            Verb::Replay(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Run(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Predict(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Query(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Cat(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Head(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Export(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Report(args) => args.run(),
            #[cfg(feature = "sql")]
            Verb::Compare(args) => args.run(),
            Verb::Anonymise(args) => args.run(),
            Verb::Syscalls(args) => args.run(),
            Verb::Clean(args) => args.run(),
            #[cfg(feature = "s3")]
            Verb::Copy(args) => args.run(),
            #[cfg(feature = "cluster")]
            Verb::Cluster(args) => args.run(),
            #[cfg(feature = "serve")]
            Verb::Serve(args) => args.run(),
            Verb::Completions(args) => args.run(&Cli::command()),
            Verb::Man(args) => args.run(Cli::command()),
            Verb::Docs(args) => args.run(),
            Verb::Synth(args) => args.run(),
            Verb::Calibrate(args) => args.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clap_finds_no_fault() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_verb_has_one_line_about_it_and_examples() {
        for verb in Cli::command().get_subcommands_mut() {
            let name = verb.get_name().to_owned();
            let about = verb.get_about().map(ToString::to_string).unwrap_or_default();
            assert!(!about.is_empty() && !about.contains('\n') && about.len() < 80, "{name}: {about}");
            let help = verb.render_long_help().to_string();
            assert!(help.contains("\nExamples:\n"), "{name} has no examples");
        }
    }

    /// What a shell makes of a line, as far as examples go: words, quotes, and the end at a pipe, a redirection or a remark.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote) = (Vec::new(), None::<String>, None);
        for c in line.chars() {
            match (c, quote) {
                (c, Some(open)) if c == open => quote = None,
                ('\'' | '"', None) => (quote, word) = (Some(c), Some(word.unwrap_or_default())),
                (' ', None) => words.extend(word.take()),
                ('|' | '>' | '#', None) if word.is_none() => return words,
                _ => word.get_or_insert_default().push(c),
            }
        }
        words.extend(word);
        words
    }

    #[test]
    fn every_example_can_be_pasted() {
        let mut command = Cli::command();
        let pages = command.get_subcommands_mut().map(|verb| verb.render_long_help().to_string()).collect::<Vec<_>>();
        let help = Cli::command().render_long_help().to_string();
        let examples = pages.iter().chain([&help]).filter_map(|page| page.split("Examples:\n").nth(1));
        let mut tried = 0;
        for line in examples.flat_map(str::lines).filter(|line| !line.contains("cargo run")) {
            let Some(at) = line.find("ioriot ") else { panic!("{line} is no example") };
            let args = words(&line[at..]);
            // A remark is one for the shell, too, and not more arguments.
            assert!(Cli::try_parse_from(&args).is_ok(), "{line}: {args:?}");
            tried += 1;
        }
        assert!(tried > 40, "{tried}");
        assert_eq!(words("a 'b c'd --e=\"f g\"   # h | i"), ["a", "b cd", "--e=f g"]);
    }

    #[test]
    fn every_option_says_what_it_does() {
        for verb in Cli::command().get_subcommands() {
            for arg in verb.get_arguments() {
                assert!(arg.get_help().is_some(), "{} {}", verb.get_name(), arg.get_id());
            }
        }
    }
}
