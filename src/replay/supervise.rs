//! The outside of a replay: starts the child, takes its records, compares and writes them.

use super::child::{self, Task};
use super::compare::{Outcome, compare};
use super::measure::{Figures, Measures};
use super::record::{self, DONE, ERROR, Frame, READY, RECORDS, Record};
use super::results::Results;
use super::samples::{self, Sampler};
use crate::fate::Origin;
use crate::progress::Progress;
use crate::schema::{Dataset, Draft, Table};
use anyhow::{Context, Result, bail, ensure};
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{BufReader, Error, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};

/// Examples that are kept of each kind of difference.
const EXAMPLES: usize = 3;
/// Records that a frame has at most; more is nonsense.
const FRAME_MAX: u32 = 1 << 20;

/// What one kind of outcome is made of.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many.
    pub count: u64,
    /// The first of them, by op_id.
    pub examples: Vec<Record>,
}

impl Tally {
    fn add(&mut self, record: &Record) {
        self.count += 1;
        let at = self.examples.partition_point(|known| known.op_id < record.op_id);
        if at < EXAMPLES {
            self.examples.insert(at, *record);
            self.examples.truncate(EXAMPLES);
        }
    }
}

/// What came out of a replay.
#[derive(Clone, Debug, Default)]
pub struct Replayed {
    /// Captured calls that were issued with the same outcome.
    pub same: u64,
    /// Captured calls with another outcome or none to compare, by outcome and kind.
    pub kinds: BTreeMap<(Outcome, &'static str), Tally>,
    /// Inserted ops by origin.
    pub inserted: BTreeMap<&'static str, u64>,
    /// Inserted ops that failed.
    pub inserted_failed: Tally,
    /// Wall time of the ops, ns.
    pub wall: u64,
    /// Workers.
    pub workers: u64,
    /// Latencies, bytes, lag, order.
    pub figures: Figures,
    /// What the machine did.
    pub samples: samples::Summary,
}

/// Starts the child and takes its records to the results.
///
/// # Errors
/// When the child cannot be started, gives up or dies.
pub fn replay(
    workload: &Dataset,
    task: &Task,
    program: &Path,
    draft: &Draft,
    mut measures: Measures,
    sampler: Sampler,
    progress: &Progress,
) -> Result<Replayed> {
    let (reader, mut child) = start(workload, task, program)?;
    let mut results = Results::create(draft)?;
    let taken = take(reader, &mut results, &mut measures, &sampler, progress);
    if taken.is_err() {
        // Nobody reads its records any more.
        let _ = child.kill();
    }
    // Before the child is waited for: then nothing is left to be read of it.
    let samples = sampler.end();
    let status = child.wait().context("cannot wait for the replay process")?;
    let mut replayed = match taken? {
        Ended::Done(replayed) => replayed,
        Ended::Gave(text) => bail!(text),
        Ended::Died => bail!("the replay process {}: there is no run, and the root is used", death(status)),
    };
    results.finish()?;
    replayed.samples = samples?;
    replayed.figures = measures.finish(workload)?;
    Ok(replayed)
}

fn death(status: ExitStatus) -> String {
    match (status.signal(), status.code()) {
        (Some(signal), _) => format!("was killed by signal {signal}"),
        (_, Some(code)) => format!("ended early with exit code {code}"),
        _ => "ended early".into(),
    }
}

/// Starts the child with the three descriptors it gets and nothing else.
fn start(workload: &Dataset, task: &Task, program: &Path) -> Result<(File, Child)> {
    let open = |table| {
        let path = workload.table(table);
        File::open(&path).with_context(|| format!("cannot open {}", path.display()))
    };
    let (ops, lanes) = (open(Table::Ops)?, open(Table::Lanes)?);
    let (reader, writer) = pipe().context("cannot make a pipe")?;
    // Above the places they go to, so that none is overwritten before it is moved.
    let high = |fd: RawFd| -> Result<OwnedFd> {
        // SAFETY: fd is open; the copy is owned by the OwnedFd alone.
        unsafe {
            let copy = libc::fcntl(fd, libc::F_DUPFD_CLOEXEC, child::PIPE + 1);
            ensure!(copy >= 0, "cannot duplicate a descriptor: {}", Error::last_os_error());
            Ok(OwnedFd::from_raw_fd(copy))
        }
    };
    let sources = [high(ops.as_raw_fd())?, high(lanes.as_raw_fd())?, high(writer.as_raw_fd())?];
    let moves = [child::OPS, child::LANES, child::PIPE];
    let pairs: [(RawFd, RawFd); 3] = std::array::from_fn(|at| (sources[at].as_raw_fd(), moves[at]));

    let mut command = Command::new(program);
    command.arg(child::VERB).args(task.args()).env_clear().stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: between fork and exec only dup2 is called, which is async-signal-safe.
    unsafe {
        command.pre_exec(move || {
            for (from, to) in pairs {
                if libc::dup2(from, to) < 0 {
                    return Err(Error::last_os_error());
                }
            }
            Ok(())
        });
    }
    let child = command.spawn().with_context(|| format!("cannot start {} as the replay process", program.display()))?;
    Ok((reader.into(), child))
}

/// A pipe with a large buffer, if we may have one.
fn pipe() -> std::io::Result<(OwnedFd, OwnedFd)> {
    let mut ends = [0; 2];
    // SAFETY: ends has room for two; both are owned by the OwnedFds alone.
    unsafe {
        if libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC) != 0 {
            return Err(Error::last_os_error());
        }
        libc::fcntl(ends[0], libc::F_SETPIPE_SZ, 1 << 20);
        Ok((OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])))
    }
}

/// How the stream of records ended.
enum Ended {
    Done(Replayed),
    Gave(String),
    Died,
}

fn take(reader: File, results: &mut Results, measures: &mut Measures, sampler: &Sampler, progress: &Progress) -> Result<Ended> {
    let mut reader = BufReader::with_capacity(256 << 10, reader);
    let (mut replayed, mut records) = (Replayed::default(), Vec::new());
    loop {
        // A stream cut in the middle of a frame is a child that died, not an error of ours.
        let Ok(Some(frame)) = Frame::read(&mut reader) else { return Ok(Ended::Died) };
        match frame.kind {
            READY => sampler.begin(),
            RECORDS if frame.count <= FRAME_MAX => {
                if record::read(&mut reader, frame.count, &mut records).is_err() {
                    return Ok(Ended::Died);
                }
                let mut different = 0;
                for record in &records {
                    let (outcome, kind) = compare(record);
                    different += u64::from(outcome == Outcome::Different);
                    measures.add(record);
                    replayed.add(record, outcome, kind);
                    results.push(record, outcome, kind)?;
                }
                progress.add(records.len() as u64);
                progress.differ(different);
            }
            DONE => {
                let mut numbers = [[0; 8]; 2];
                for number in &mut numbers {
                    reader.read_exact(number).context("the replay process died at the very end")?;
                }
                [replayed.wall, replayed.workers] = numbers.map(u64::from_ne_bytes);
                return Ok(Ended::Done(replayed));
            }
            ERROR => {
                let mut text = Vec::new();
                (&mut reader).take(u64::from(frame.count.min(FRAME_MAX))).read_to_end(&mut text)?;
                return Ok(Ended::Gave(String::from_utf8_lossy(&text).into_owned()));
            }
            other => bail!("the replay process sent a frame of kind {other}, which there is not"),
        }
    }
}

impl Replayed {
    fn add(&mut self, record: &Record, outcome: Outcome, kind: Option<&'static str>) {
        match (record.origin(), outcome, kind) {
            (Origin::Event, Outcome::Same, _) => self.same += 1,
            (Origin::Event, outcome, kind) => self.kinds.entry((outcome, kind.unwrap_or_default())).or_default().add(record),
            (origin, outcome, _) => {
                *self.inserted.entry(origin.name()).or_default() += 1;
                if outcome == Outcome::Different {
                    self.inserted_failed.add(record);
                }
            }
        }
    }
}
