//! What verbs show: a progress bar while they work, a summary when they are done, a plan when they only would.

use crate::amount::Nanos;
use crate::process::stdio;
use crate::progress::{Now, Progress, Unit};
use crate::{rows, text};
use anyhow::{Context, Result, ensure};
use clap::{Args, ValueEnum};
use indicatif::{HumanCount, HumanDuration, ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle};
use serde::Serialize;
use std::fmt::{self, Display};
use std::io::{self, IsTerminal, Write};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread;
use std::time::Duration;

/// How a table is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum TableFormat {
    /// Aligned columns, for people
    #[default]
    Table,
    /// A table in Markdown
    #[value(alias = "md")]
    Markdown,
    /// Comma-separated values with a header line
    Csv,
    /// An array of JSON objects
    Json,
    /// A JSON object a line (DuckDB: jsonlines)
    #[value(alias = "jsonl", alias = "jsonlines")]
    Ndjson,
    /// A stream of Arrow IPC (not to a terminal)
    Arrow,
    /// A Parquet file (a query needs -o for it)
    Parquet,
}

impl TableFormat {
    /// The form of the rows.
    pub fn form(self) -> rows::Format {
        match self {
            TableFormat::Table => rows::Format::Table,
            TableFormat::Markdown => rows::Format::Markdown,
            TableFormat::Csv => rows::Format::Csv,
            TableFormat::Json => rows::Format::Json,
            TableFormat::Ndjson => rows::Format::Ndjson,
            TableFormat::Arrow => rows::Format::Arrow,
            TableFormat::Parquet => rows::Format::Parquet,
        }
    }

    /// Checks that this form can go to standard output.
    ///
    /// # Errors
    /// When it is no text and standard output is a terminal.
    pub fn printable(self) -> Result<()> {
        let binary = matches!(self, TableFormat::Arrow | TableFormat::Parquet);
        ensure!(!binary || !io::stdout().is_terminal(), "this format is not for terminals: -o FILE writes it to a file");
        Ok(())
    }
}

/// How a summary is printed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// For people
    #[default]
    #[value(alias = "table")]
    Text,
    /// For programs: one JSON object
    Json,
}

/// Arguments of every verb that writes something.
#[derive(Clone, Copy, Debug, Args)]
pub struct Output {
    /// How to print the summary on standard output
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    pub format: Format,
    /// Only check the arguments and say what would be done
    #[arg(short = 'n', long)]
    pub dry_run: bool,
}

impl Format {
    /// Prints a summary (or a plan) on standard output.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn print(self, summary: &(impl Serialize + Display)) -> Result<()> {
        match self {
            Format::Text => say(summary.to_string().trim_end()),
            Format::Json => data(serde_json::to_string_pretty(summary)?),
        }
    }
}

/// Prints a line, or several, for people on standard output.
///
/// # Errors
/// When standard output cannot be written.
pub fn say(text: impl Display) -> Result<()> {
    data(text::shown_lines(&text.to_string()))
}

/// Prints a line, or several, for programs on standard output.
///
/// # Errors
/// When standard output cannot be written.
pub fn data(text: impl Display) -> Result<()> {
    stdio::say(text).context("cannot write to standard output")
}

/// Whose messages are left out unless more is asked for, as a filter of env_logger.
pub const QUIET: &str = "ballista_core=off,ballista_executor=off,ballista_scheduler=off";

/// Writes a line of the log as errors are written: `warning: ...`. Who wrote it is of use in debugging only.
pub fn log(out: &mut env_logger::fmt::Formatter, record: &log::Record<'_>) -> io::Result<()> {
    let said = text::shown_message(&record.args().to_string());
    match record.level() {
        log::Level::Error => writeln!(out, "error: {said}"),
        log::Level::Warn => writeln!(out, "warning: {said}"),
        log::Level::Info => writeln!(out, "{said}"),
        log::Level::Debug | log::Level::Trace => writeln!(out, "{}: {said}", record.target()),
    }
}

/// What a verb would do: the answer to `--dry-run`.
#[derive(Debug, Serialize)]
pub struct Plan {
    would: Vec<String>,
}

impl Plan {
    /// A plan of these steps, each an infinitive: `write a capture to x`.
    pub fn new(would: Vec<String>) -> Plan {
        Plan { would }
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.would.iter().try_for_each(|step| writeln!(f, "would {step}"))
    }
}

/// Runs `work` with a progress bar on standard error, when that is a terminal.
pub fn watched<T>(work: impl FnOnce(&Progress) -> T) -> T {
    let progress = Progress::default();
    if !io::stderr().is_terminal() {
        return work(&progress);
    }
    thread::scope(|scope| {
        let (working, ended) = mpsc::channel::<()>();
        let progress = &progress;
        scope.spawn(move || draw(progress, &ended));
        let result = work(progress);
        // This, or the unwinding of a panic, ends the drawing.
        drop(working);
        result
    })
}

const TICK: Duration = Duration::from_millis(100);

/// Draws until the other end of `ended` is dropped: one bar per step, with the time that is left.
fn draw(progress: &Progress, ended: &Receiver<()>) {
    let mut shown = (0, false);
    let mut bar = ProgressBar::hidden();
    while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
        let now = progress.now();
        if now.step == 0 {
            continue;
        }
        let paced = now.left.is_some();
        if (now.step, paced) != shown {
            shown = (now.step, paced);
            bar.finish_and_clear();
            bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr())
                .with_message(now.name)
                .with_style(style(now.unit, now.total, paced));
        }
        if now.total > 0 {
            bar.set_length(now.total.max(now.done));
        }
        bar.set_position(now.done);
        bar.set_prefix(remarks(&now));
        bar.tick();
    }
    bar.finish_and_clear();
}

/// What is worth knowing besides: `, 3 different, 12.0 ms behind`.
fn remarks(now: &Now) -> String {
    // What a pace cannot help, and nobody can see.
    const UNSEEN: i64 = 1_000_000;
    let mut remarks = String::new();
    if now.different > 0 {
        remarks.push_str(&format!(", {} different", HumanCount(now.different)));
    }
    match now.behind {
        None => {}
        Some(ns) if ns > UNSEEN => remarks.push_str(&format!(", {} behind", Nanos(ns))),
        Some(ns) if ns < -UNSEEN => remarks.push_str(&format!(", {} ahead", Nanos(-ns))),
        Some(_) => remarks.push_str(", on time"),
    }
    if let Some(left) = now.left {
        remarks.push_str(&format!(", {:#} left", HumanDuration(left)));
    }
    remarks
}

fn style(unit: Unit, total: u64, paced: bool) -> ProgressStyle {
    let style = ProgressStyle::with_template(template(unit, total, paced)).unwrap_or_else(|_| ProgressStyle::default_bar());
    // The library's own rate has digits behind the point that nobody wants.
    style.with_key("rate", |state: &ProgressState, out: &mut dyn fmt::Write| {
        let _ = write!(out, "{}/s", HumanCount(state.per_sec() as u64));
    })
}

/// The time that is left follows from the rate, unless the work has a pace to follow.
const fn template(unit: Unit, total: u64, paced: bool) -> &'static str {
    match (unit, total) {
        (Unit::Count, 1..) if paced => "{msg} [{wide_bar}] {human_pos}/{human_len} ({rate}){prefix}",
        (Unit::Count, 0) => "{msg} {spinner} {human_pos} ({rate}) {elapsed}",
        (Unit::Bytes, 0) => "{msg} {spinner} {bytes} ({bytes_per_sec}) {elapsed}",
        (Unit::Count, _) => "{msg} [{wide_bar}] {human_pos}/{human_len} ({rate}){prefix} {eta} left",
        (Unit::Bytes, _) => "{msg} [{wide_bar}] {bytes}/{total_bytes} ({bytes_per_sec}) {eta} left",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_well_formed() {
        for unit in [Unit::Count, Unit::Bytes] {
            for total in [0, 1] {
                for paced in [true, false] {
                    assert!(ProgressStyle::with_template(template(unit, total, paced)).is_ok());
                }
            }
        }
    }

    #[test]
    fn remarks_name_differences_and_the_pace() {
        let said = |different, behind| remarks(&Now { different, behind, ..Now::default() });
        assert_eq!(said(0, None), "");
        assert_eq!(said(1234, Some(12_000_000)), ", 1,234 different, 12.0 ms behind");
        assert_eq!(said(0, Some(-2_000_000_000)), ", 2.00 s ahead");
        assert_eq!(said(0, Some(50_000)), ", on time");
        let left = Some(Duration::from_secs(1800));
        assert_eq!(remarks(&Now { behind: Some(0), left, ..Now::default() }), ", on time, 30m left");
    }

    #[test]
    fn work_is_done_and_its_result_comes_back() {
        let done = watched(|progress| {
            progress.begin("test", Unit::Count, 2);
            progress.add(2);
            progress.now().done
        });
        assert_eq!(done, 2);
    }

    #[test]
    fn a_plan_reads_as_sentences() {
        let plan = Plan::new(vec!["read a".into(), "write b".into()]);
        assert_eq!(plan.to_string(), "would read a\nwould write b\n");
    }
}
