//! Runs the threads of an ingest, with bounded queues between them.
//!
//! Each input has a thread that reads and decompresses. Its chunks go to the parsing threads, each with the sender of a
//! channel for the result; the receivers (slips) queue up in the order of the input, so results are taken in that order
//! whichever parser finishes first. The calling thread takes them, always from the input whose next line is the
//! earliest, and sequences and orders events; one more thread writes them, and their columns are encoded side by side
//! (`schema/encode.rs`). Queues are short: the slowest stage sets the pace, and memory is that of the queued chunks.

use super::doubt::{Doubt, Doubts, Witness};
use super::look::{instead, is_replay};
use super::loss::Tally;
use super::parse::{Batch, Parsed, Parser, Reject, Stamp, Why};
use super::read::{Chunk, Input, Lines};
use super::rejects::Rejects;
use super::sequence::{Clock, Sequencer};
use super::summary::{Captured, Ledger};
use super::{Format, Options, Part, capture, strace};
use crate::events::facts::Facts;
use crate::events::order::{Orderer, Placed, WINDOW};
use crate::events::write::Sink;
use crate::progress::Progress;
use crate::schema::Draft;
use crate::schema::encode::Encoders;
use crate::syscall::number;
use anyhow::{Result, anyhow, bail, ensure};
use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};
use std::iter::Peekable;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, SyncSender, channel, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::vec::IntoIter;

/// Chunks of an input that may be read, parsed or waiting at a time.
const AHEAD: usize = 4;

type Slip = Receiver<Result<Batch>>;
type Task = (Chunk, &'static dyn Parser, Sender<Result<Batch>>);

/// Ingests the inputs of one dataset into its draft; returns what was counted.
pub fn run(part: &Part<'_>, options: &Options, draft: &Draft, progress: &Progress) -> Result<Captured> {
    let threads = match options.threads {
        0 => thread::available_parallelism().map_or(1, |n| n.get()),
        threads => threads,
    };
    let stop = AtomicBool::new(false);
    // `strace -ff` writes a file for each thread, and all of them are read side by side.
    crate::limits::raise_files();
    let mut openings = Vec::new();
    for input in &part.inputs {
        openings.push(open(input, part.inputs.len() > 1, options.format, progress, &stop)?);
    }
    let formats: Vec<Format> = openings.iter().map(|(format, ..)| *format).collect();
    // The parts of a log together show what syscall numbers without a name mean.
    let starts = openings.iter().filter(|(format, ..)| *format == Format::Strace);
    let numbers = strace::numbers(starts.map(|(_, first, _)| &first.bytes[..]));
    let parsers: Vec<&'static dyn Parser> = formats.iter().map(|format| format.parser(numbers)).collect();
    thread::scope(|scope| {
        let (tasks, queue) = sync_channel::<Task>(1);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            named("parse").spawn_scoped(scope, move || work(&queue))?;
        }
        let mut sources = Vec::new();
        for ((_, first, lines), parser) in openings.into_iter().zip(&parsers) {
            let (slips, ready) = sync_channel::<Slip>(AHEAD);
            let tasks = tasks.clone();
            named("read").spawn_scoped(scope, move || read(first, lines, *parser, &tasks, &slips))?;
            sources.push(ready);
        }
        drop(tasks);
        // Dropping the sources, here or on an error, ends the reading threads, and that ends the parsing ones. A thread
        // that waits for standard input has to be told.
        let taken = Encoders::new(threads).and_then(|encoders| take(part, options, draft, &formats, &parsers, sources, encoders));
        stop.store(true, Ordering::Relaxed);
        taken
    })
}

/// Builder of a thread with this name, as profilers show it.
fn named(task: &str) -> thread::Builder {
    thread::Builder::new().name(task.into())
}

/// Opens an input, reads its first chunk and recognises its format (unless `format` says it).
fn open<'p>(
    input: &Input,
    merged: bool,
    format: Option<Format>,
    progress: &'p Progress,
    stop: &'p AtomicBool,
) -> Result<(Format, Chunk, Lines<'p>)> {
    let mut lines = input.open(progress, stop)?;
    let Some(first) = lines.chunk()? else {
        // `strace -ff -qq` writes an empty file for a thread that made no traced call.
        ensure!(merged && input.pid().is_some(), "{} is empty: there is nothing to ingest", input.name());
        return Ok((format.unwrap_or(Format::Strace), Chunk { first: 1, bytes: Vec::new(), cut: false }, lines));
    };
    let start = &first.bytes[..];
    ensure!(!is_replay(start), "{}", instead(&input.name()));
    let format = match format.or_else(|| Format::detect(start)) {
        Some(format) => format,
        None => {
            let binary = start.contains(&0);
            let known: Vec<&str> = Format::ALL.iter().map(|format| format.name()).collect();
            bail!(
                "{} is {} in a known format ({}); --format NAME insists on one, or names one of another tool (ioriot ingest --formats)",
                input.name(),
                if binary { "binary data and no text" } else { "no text" },
                known.join(", ")
            )
        }
    };
    if let (Format::Capture, Some(version)) = (format, capture::unknown_version(start)) {
        bail!("{} is a .capture of version {version}: this program reads versions 1 to 5", input.name());
    }
    Ok((format, first, lines))
}

/// Reads the chunks of an input and queues each for parsing, and the receiver of its result in order.
fn read(first: Chunk, mut lines: Lines<'_>, parser: &'static dyn Parser, tasks: &SyncSender<Task>, slips: &SyncSender<Slip>) {
    let mut next = Ok(Some(first));
    loop {
        let (result, slip) = channel();
        match next {
            Ok(Some(chunk)) => {
                if slips.send(slip).is_err() || tasks.send((chunk, parser, result)).is_err() {
                    return;
                }
            }
            Ok(None) => return,
            Err(error) => {
                let _ = result.send(Err(error));
                let _ = slips.send(slip);
                return;
            }
        }
        next = lines.chunk();
    }
}

/// Parses queued chunks until there are no more.
fn work(queue: &Mutex<Receiver<Task>>) {
    loop {
        let task = match queue.lock() {
            Ok(queue) => queue.recv(),
            Err(_) => return,
        };
        let Ok((chunk, parser, result)) = task else { return };
        let _ = result.send(Ok(parse(&chunk, parser)));
    }
}

fn parse(chunk: &Chunk, parser: &dyn Parser) -> Batch {
    let mut batch = Batch::default();
    if chunk.cut {
        batch.lines = 1;
        batch.reject(chunk.first, Why::Long, &chunk.bytes);
        return batch;
    }
    batch.parsed.reserve(chunk.bytes.len() / 80);
    let mut rest = &chunk.bytes[..];
    let mut number = chunk.first;
    while !rest.is_empty() {
        let (line, tail) = match memchr::memchr(b'\n', rest) {
            Some(end) => (&rest[..end], &rest[end + 1..]),
            None => {
                batch.doubts.add(Doubt::Unended, 1);
                (rest, &rest[rest.len()..])
            }
        };
        parser.line(number, line, &mut batch);
        batch.lines += 1;
        number += 1;
        rest = tail;
    }
    batch
}

/// An input as the sequencing thread sees it: its parsed batches, its sequencer, and its counts.
struct Source<'a> {
    name: String,
    ready: Receiver<Slip>,
    sequencer: Sequencer<'a>,
    ledger: Ledger,
    doubts: Doubts,
    tally: Tally,
    cut_paths: u64,
    /// Lines of the current batch that are still to be sequenced.
    lines: Peekable<IntoIter<Parsed>>,
    /// Rejects of the current batch, handed on when its lines are done.
    waiting: Vec<Reject>,
}

impl Source<'_> {
    /// Takes parsed batches until there is a line to sequence. False at the end of the input.
    fn refill(&mut self) -> Result<bool> {
        while self.lines.peek().is_none() {
            self.sequencer.rejects.append(&mut self.waiting);
            let Ok(slip) = self.ready.recv() else { return Ok(false) };
            let mut batch = slip.recv().map_err(|_| anyhow!("a parsing thread failed"))??;
            self.tally.add(&mut batch);
            self.ledger.lines += batch.lines;
            self.ledger.headers += batch.headers;
            self.ledger.comments += batch.comments;
            self.ledger.notes += batch.notes;
            self.cut_paths += batch.cut_paths;
            self.doubts.merge(&batch.doubts);
            self.waiting = batch.rejects;
            self.lines = batch.parsed.into_iter().peekable();
        }
        Ok(true)
    }

    /// Time of the next line, ns; that of the last one when it has none.
    fn time(&mut self) -> i64 {
        let stamp = self.lines.peek().map_or(Stamp::None, |parsed| parsed.stamp);
        self.sequencer.time(stamp)
    }
}

/// Sequences, orders and writes the parsed lines of all inputs of a dataset.
fn take(
    part: &Part<'_>,
    options: &Options,
    draft: &Draft,
    formats: &[Format],
    parsers: &[&'static dyn Parser],
    ready: Vec<Receiver<Slip>>,
    encoders: Encoders,
) -> Result<Captured> {
    let merged = ready.len() > 1;
    let mut sources: Vec<Source<'_>> = ready
        .into_iter()
        .enumerate()
        .map(|(i, ready)| Source {
            name: part.inputs[i].name(),
            ready,
            sequencer: Sequencer::new(
                parsers[i],
                i,
                merged || formats[i] == Format::Capture,
                part.inputs[i].pid().filter(|_| merged),
            ),
            ledger: Ledger::default(),
            doubts: Doubts::default(),
            tally: Tally::default(),
            cut_paths: 0,
            lines: Vec::new().into_iter().peekable(),
            waiting: Vec::new(),
        })
        .collect();
    let room = if options.window == 0 { WINDOW } else { options.window };
    let sink = Sink::new(draft.path(""), &part.host, encoders);
    let mut orderer = Orderer::new(&sink, room)?;
    let mut rejects = Rejects::create(draft)?;
    let mut facts = Facts::default();
    let mut witness = formats.contains(&Format::Strace).then(Witness::default);
    let mut failed = None;

    // The input whose next line is the earliest goes on: so a thread has been made before its first call comes, however
    // the lines are spread over inputs, and stragglers are rare.
    let mut heads = BinaryHeap::new();
    for (at, source) in sources.iter_mut().enumerate() {
        source.refill()?;
        heads.push(Reverse((source.time(), at)));
    }
    while let Some(Reverse((_, at))) = heads.pop() {
        let limit = heads.peek().map_or(i64::MAX, |Reverse((next, _))| *next);
        let source = &mut sources[at];
        let mut ended = false;
        while !ended {
            let mut sink = |placed: Placed| {
                facts.note(&placed.event);
                if let Some(witness) = &mut witness {
                    witness.note(&placed.event);
                }
                if failed.is_none() {
                    failed = orderer.push(placed).err();
                }
            };
            match source.lines.next() {
                Some(parsed) => source.sequencer.feed(parsed, &mut sink),
                None if source.refill()? => continue,
                None => {
                    source.sequencer.finish_input(&mut sink);
                    ended = true;
                }
            }
            if let Some(error) = failed {
                return Err(error);
            }
            for reject in source.sequencer.rejects.drain(..) {
                rejects.push(&source.name, &reject)?;
                source.ledger.rejects += 1;
            }
            if limit < i64::MAX && !ended && source.refill()? && source.time() > limit {
                heads.push(Reverse((source.time(), at)));
                break;
            }
        }
    }
    let mut doubts = witness.map(|witness| witness.doubts().clone()).unwrap_or_default();
    let (mut ledger, mut losses, mut cut_paths) = (Ledger::default(), BTreeMap::new(), 0);
    for source in &mut sources {
        source.tally.settle(&mut losses);
        let Source { sequencer, ledger: own, .. } = source;
        own.halves = sequencer.halves;
        own.events = sequencer.events;
        own.notes += sequencer.notes;
        ensure!(own.closes(), "internal error: the ledger of {} does not close: {own:?}", source.name);
        ledger.add(own);
        cut_paths += source.cut_paths;
        doubts.merge(&source.doubts);
        doubts.merge(&source.sequencer.doubts);
    }
    let clock = one_clock(&sources)?;
    if ledger.events == 0 {
        let first = rejects.first();
        bail!("no events in {}{first}", sources.iter().map(|source| source.name.as_str()).collect::<Vec<_>>().join(", "));
    }
    let (rows, stragglers, repairs) = orderer.finish()?;
    ensure!(rows == ledger.events, "internal error: {rows} rows of {} events were written", ledger.events);
    let (first_ts, last_ts, syscalls) = (facts.first, facts.last, facts.syscalls());
    doubts.add(Doubt::Foreign, syscalls.iter().filter(|(name, _)| number::foreign(name)).map(|(_, count)| count).sum());
    Ok(Captured {
        dir: part.dir.clone(),
        host: part.host.clone(),
        inputs: sources.iter().map(|source| source.name.clone()).collect(),
        formats: formats.iter().map(|format| format.name().to_owned()).collect(),
        foreign: None,
        clock,
        ledger,
        rejects: rejects.finish()?,
        losses,
        repairs,
        stragglers,
        cut_paths,
        doubts: doubts.found(),
        first_ts,
        last_ts,
        syscalls,
    })
}

/// The clock of all inputs; an error when they are to be merged and their clocks differ or tell no time of day.
fn one_clock(sources: &[Source<'_>]) -> Result<Clock> {
    let told: Vec<&Source<'_>> = sources.iter().filter(|source| source.sequencer.events > 0).collect();
    let clock = told.first().map_or(Clock::None, |source| source.sequencer.clock());
    if sources.len() > 1 {
        for source in &told {
            let own = source.sequencer.clock();
            ensure!(
                own == clock,
                "{} has clock {}, {} has {}: they cannot be merged",
                told[0].name,
                clock.name(),
                source.name,
                own.name()
            );
            ensure!(
                !matches!(own, Clock::Relative | Clock::None),
                "{} has no times of day (clock {}): it cannot be merged with others",
                source.name,
                own.name()
            );
        }
    }
    Ok(clock)
}
