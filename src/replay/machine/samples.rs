//! Samples of the machine, once a second: a thread of the supervisor reads /proc and /sys and writes the table `samples`.
//!
//! Files are opened once and read in place. A round takes a fraction of a millisecond (the run says how much), so it does not
//! disturb what it measures. Only a failed write of the table can fail a replay: what a kernel does not have is left out.

use super::Target;
use super::metrics::{self, Kind};
use crate::replay::shared::clock::now;
use crate::schema::{self, Draft, Table};
use anyhow::{Context, Result, anyhow};
use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder};
use parquet::arrow::ArrowWriter;
use std::collections::{BTreeMap, HashSet};
use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Time between two rounds of readings, ns.
const PERIOD: i64 = 1_000_000_000;
/// Rows that are handed to the Parquet writer at once.
const CHUNK: usize = 16 * 1024;
/// Name of this process, the supervisor, in the samples.
const SUPERVISOR: &str = "supervisor";
/// Name under which all disks of the machine are summed up in the samples.
pub const ALL: &str = "all";

/// One thing that is sampled: a file, or several whose values are added up.
struct Source {
    kind: Kind,
    name: Option<String>,
    files: Vec<File>,
    /// Readings just before the start of the replay, subtracted from the metrics that are counters; 0 for a process that came
    /// later.
    base: Vec<i64>,
}

impl Source {
    /// Opens the files of a source; `None` when the kernel has none of them.
    fn open(kind: Kind, name: Option<&str>, paths: &[String]) -> Option<Source> {
        let files: Vec<File> = paths.iter().filter_map(|path| File::open(path).ok()).collect();
        let base = vec![0; metrics::of(kind).count()];
        (!files.is_empty()).then(|| Source { kind, name: name.map(str::to_owned), files, base })
    }

    /// Makes the counters start at 0 now.
    fn reset(&mut self, text: &mut Vec<u8>) {
        self.base = self.read(text).into_iter().map(|value| value.unwrap_or(0)).collect();
    }

    /// Reads every metric of the source; `None` for those this kernel lacks, and for those of a process that has ended.
    fn read(&self, text: &mut Vec<u8>) -> Vec<Option<i64>> {
        let mut sums: Vec<Option<i64>> = vec![None; self.base.len()];
        for file in &self.files {
            let Some(text) = slurp(file, text) else { continue };
            for (sum, metric) in sums.iter_mut().zip(metrics::of(self.kind)) {
                if let Some(value) = metric.read(text) {
                    *sum = Some(sum.unwrap_or(0).saturating_add(value));
                }
            }
        }
        sums
    }
}

/// Reads the whole text of a file of /proc or /sys, which the kernel makes anew at each read from offset 0.
fn slurp<'a>(file: &File, text: &'a mut Vec<u8>) -> Option<&'a str> {
    text.resize(64 << 10, 0);
    let mut length = 0;
    loop {
        match file.read_at(&mut text[length..], length as u64) {
            Ok(0) => break,
            Ok(more) => length += more,
            Err(_) => return None,
        }
        if length == text.len() {
            text.resize(2 * length, 0);
        }
    }
    std::str::from_utf8(&text[..length]).ok()
}

/// What a block device did during the replay.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize)]
pub struct DeviceWork {
    /// Read requests that completed.
    pub reads: i64,
    /// Write requests that completed.
    pub writes: i64,
    /// Bytes read from the device.
    pub read_bytes: i64,
    /// Bytes written to the device.
    pub written_bytes: i64,
    /// Time in which at least one request was in the device's queue, ns.
    pub busy_ns: i64,
}

/// The samples of a replay, summed up.
#[derive(Clone, Debug, Default, serde::Serialize)]
pub struct Summary {
    /// Number of rounds of readings.
    pub rounds: u64,
    /// CPU time that the sampling thread took, ns.
    pub cost_ns: i64,
    /// By name: the devices behind the directories of the replay, and [`ALL`] for all disks of the machine.
    pub devices: BTreeMap<String, DeviceWork>,
    /// CPU time of the leader and the processes of the replay, ns.
    pub replay_cpu_ns: i64,
    /// CPU time of the supervisor's process during the replay, ns.
    pub supervisor_cpu_ns: i64,
    /// How long the host of this virtual machine let its processors wait, all together, ns.
    pub stolen_ns: i64,
    /// Largest amount of dirty page cache of the machine seen in a sample, bytes.
    pub dirty_bytes_max: i64,
}

impl Summary {
    fn note(&mut self, kind: Kind, name: Option<&str>, metric: &str, grown: i64) {
        match (kind, name, metric) {
            (Kind::Cpu, _, "steal_ns") => self.stolen_ns += grown,
            (Kind::Process, Some(SUPERVISOR), "user_ns" | "system_ns") => self.supervisor_cpu_ns += grown,
            (Kind::Process, _, "user_ns" | "system_ns") => self.replay_cpu_ns += grown,
            (Kind::Device, Some(name), _) => {
                let work = self.devices.entry(name.to_owned()).or_default();
                match metric {
                    "reads" => work.reads += grown,
                    "writes" => work.writes += grown,
                    "read_bytes" => work.read_bytes += grown,
                    "written_bytes" => work.written_bytes += grown,
                    "busy_ns" => work.busy_ns += grown,
                    _ => {}
                }
            }
            _ => {}
        }
    }
}

/// The sampling thread. Dropped, it ends as [`Sampler::end`] does.
pub struct Sampler {
    /// Sends the start of the replay (CLOCK_MONOTONIC, ns) to the thread; closing it ends the sampling.
    begin: Sender<i64>,
    began: bool,
    thread: JoinHandle<Result<Summary>>,
}

impl Sampler {
    /// Reads the base values, which samples count from, and starts the sampling thread, which waits for [`Sampler::begin`].
    ///
    /// # Errors
    /// When the table cannot be created or the thread cannot be started.
    pub fn prepare(draft: &Draft, targets: &[Target]) -> Result<Sampler> {
        let writer = schema::writer(Table::Samples, draft.file(&Table::Samples.file())?)?;
        let mut rounds = Rounds::new(writer, sources(targets));
        // Here: a short replay could be over before the thread runs.
        let Rounds { sources, text, .. } = &mut rounds;
        sources.iter_mut().for_each(|source| source.reset(text));
        let (begin, began) = mpsc::channel();
        let thread = thread::Builder::new().name("sampler".into());
        let thread = thread.spawn(move || rounds.run(&began)).context("cannot start the sampling thread")?;
        Ok(Sampler { begin, began: false, thread })
    }

    /// Starts the sampling; `start` is the start of the replay on CLOCK_MONOTONIC, ns. Further calls do nothing.
    pub fn begin(&mut self, start: i64) {
        if !std::mem::replace(&mut self.began, true) {
            // A sampler that is gone has its reason, which `end` tells.
            let _ = self.begin.send(start);
        }
    }

    /// Takes the last readings, finishes the table and returns its summary.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn end(self) -> Result<Summary> {
        drop(self.begin);
        self.thread.join().unwrap_or_else(|_| Err(anyhow!("the sampling thread panicked")))
    }
}

/// The sources that exist during the whole replay; those of its processes are added as they appear.
fn sources(targets: &[Target]) -> Vec<Source> {
    let mut sources = Vec::new();
    let names: HashSet<&str> = targets.iter().flat_map(|target| &target.devices).map(|device| device.name.as_str()).collect();
    let mut names: Vec<_> = names.into_iter().collect();
    names.sort_unstable();
    for name in names {
        sources.extend(Source::open(Kind::Device, Some(name), &[format!("/sys/class/block/{name}/stat")]));
    }
    sources.extend(Source::open(Kind::Device, Some(ALL), &disks()));
    sources.extend(Source::open(Kind::Memory, None, &["/proc/meminfo".into()]));
    for name in ["cpu", "io", "memory"] {
        sources.extend(Source::open(Kind::Pressure, Some(name), &[format!("/proc/pressure/{name}")]));
    }
    sources.extend(Source::open(Kind::Cpu, None, &["/proc/stat".into()]));
    sources.extend(Source::open(Kind::Load, None, &["/proc/loadavg".into()]));
    sources.extend(Source::open(Kind::Process, Some(SUPERVISOR), &["/proc/self/stat".into()]));
    sources
}

/// Files of the physical disks; stacked devices would be counted twice, and loop, zram and RAM devices are no disks.
fn disks() -> Vec<String> {
    let names = fs::read_dir("/sys/block").into_iter().flatten().flatten();
    let dirs = names.map(|entry| entry.path().to_string_lossy().into_owned());
    let is_disk = |dir: &String| {
        let stacked = fs::read_dir(format!("{dir}/slaves")).is_ok_and(|mut slaves| slaves.next().is_some());
        let backed = ["/loop", "/zram", "/ram"].iter().any(|start| dir.starts_with(&format!("/sys/block{start}")));
        !stacked && !backed
    };
    dirs.filter(is_disk).map(|dir| format!("{dir}/stat")).collect()
}

/// All descendants of this process, by rising process id.
fn descendants() -> Vec<u32> {
    let (mut found, mut next) = (Vec::new(), vec![std::process::id()]);
    while let Some(pid) = next.pop() {
        for thread in fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten() {
            let children = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
            let children: Vec<u32> = children.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect();
            found.extend(&children);
            next.extend(children);
        }
    }
    found.sort_unstable();
    found
}

/// State of the sampling thread: what it reads, and the rows it has not written yet.
struct Rounds {
    writer: ArrowWriter<File>,
    columns: (Int64Builder, [StringBuilder; 3], Int64Builder),
    sources: Vec<Source>,
    processes: HashSet<u32>,
    text: Vec<u8>,
    /// The last reading of each source, for the summary: a process may have ended by then.
    last: Vec<Vec<Option<i64>>>,
    summary: Summary,
}

impl Rounds {
    fn new(writer: ArrowWriter<File>, sources: Vec<Source>) -> Rounds {
        let last = vec![Vec::new(); sources.len()];
        let (columns, summary) = (Default::default(), Summary::default());
        Rounds { writer, columns, sources, processes: HashSet::new(), text: Vec::new(), last, summary }
    }

    fn run(mut self, began: &Receiver<i64>) -> Result<Summary> {
        if let Ok(zero) = began.recv() {
            let mut next = zero;
            // The announced start may lie in the future.
            thread::sleep(Duration::from_nanos((zero - now()).max(0).cast_unsigned()));
            loop {
                self.round(now() - zero)?;
                // Rounds that were missed are skipped, not made up for.
                next += PERIOD * ((now() - next) / PERIOD + 1);
                let wait = Duration::from_nanos((next - now()).max(0).cast_unsigned());
                match began.recv_timeout(wait) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(_) | Err(RecvTimeoutError::Disconnected) => break,
                }
            }
            self.round(now() - zero)?;
        }
        self.flush()?;
        self.writer.close().context("cannot write the samples")?;
        for (source, values) in self.sources.iter().zip(&self.last) {
            for ((metric, value), base) in metrics::of(source.kind).zip(values).zip(&source.base) {
                self.summary.note(source.kind, source.name.as_deref(), metric.name, value.unwrap_or(*base) - base);
            }
        }
        self.summary.cost_ns = cpu_time();
        Ok(self.summary)
    }

    /// One round: looks for new processes and reads every source once, `at` ns after the start.
    fn round(&mut self, at: i64) -> Result<()> {
        for pid in descendants() {
            if self.processes.insert(pid) {
                let name = format!("replay {}", self.processes.len());
                let source = Source::open(Kind::Process, Some(&name), &[format!("/proc/{pid}/stat")]);
                self.last.extend(source.iter().map(|_| Vec::new()));
                self.sources.extend(source);
            }
        }
        let (times, [kinds, names, metrics], values) = &mut self.columns;
        for (source, last) in self.sources.iter().zip(&mut self.last) {
            let read = source.read(&mut self.text);
            if read.iter().all(Option::is_none) {
                continue;
            }
            for ((metric, value), base) in metrics::of(source.kind).zip(&read).zip(&source.base) {
                let Some(value) = value else { continue };
                times.append_value(at);
                kinds.append_value(source.kind.name());
                names.append_option(source.name.as_deref());
                metrics.append_value(metric.name);
                values.append_value(if metric.counts { value - base } else { *value });
                if metric.name == "dirty_bytes" {
                    self.summary.dirty_bytes_max = self.summary.dirty_bytes_max.max(*value);
                }
            }
            *last = read;
        }
        self.summary.rounds += 1;
        if self.columns.0.values_slice().len() >= CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        let (times, [kinds, names, metrics], values) = &mut self.columns;
        let columns: [ArrayRef; 5] = [
            Arc::new(times.finish()),
            Arc::new(kinds.finish()),
            Arc::new(names.finish()),
            Arc::new(metrics.finish()),
            Arc::new(values.finish()),
        ];
        let batch = RecordBatch::try_new(Table::Samples.schema(), columns.into())?;
        self.writer.write(&batch).context("cannot write the samples")
    }
}

/// CPU time of this thread, ns.
fn cpu_time() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: time is writable; the clock exists on every Linux.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::{Manifest, dataset, read};
    use std::path::Path;

    #[test]
    fn two_seconds_have_three_rounds_of_plausible_readings() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(&dir.path().join("run"), dataset::Kind::Run).unwrap();
        let mut sampler = Sampler::prepare(&draft, &[Target::describe(dir.path())]).unwrap();
        sampler.begin(now());
        let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
        thread::sleep(Duration::from_millis(2100));
        let summary = sampler.end().unwrap();
        child.kill().unwrap();
        child.wait().unwrap();
        let run = draft.commit(Manifest::new()).unwrap();

        let mut rows = Vec::new();
        for batch in read::batches(&run.table(Table::Samples), &["taken", "kind", "name", "metric", "value"]).unwrap() {
            let batch = batch.unwrap();
            let (taken, value) = (read::ints(&batch, "taken").unwrap(), read::ints(&batch, "value").unwrap());
            let [kind, name, metric] = ["kind", "name", "metric"].map(|column| read::texts(&batch, column).unwrap());
            for row in 0..batch.num_rows() {
                let name = name.iter().nth(row).flatten().unwrap_or_default();
                let what = format!("{} {name} {}", kind.value(row), metric.value(row));
                rows.push((taken.value(row), what, value.value(row)));
            }
        }
        let series = |what: &str| -> Vec<(i64, i64)> {
            rows.iter().filter(|row| row.1 == what).map(|(taken, _, value)| (taken / 100_000_000, *value)).collect()
        };
        let switches = series("cpu  switches");
        // At 0, 1, 2 s and at the end; a busy machine may be late, but not early.
        assert_eq!(usize::try_from(summary.rounds).unwrap(), switches.len());
        assert!(switches.len() == 4 && switches[1].0 >= 10 && switches[2].0 >= 20 && switches[3].0 >= 21, "{switches:?}");
        assert!(switches.is_sorted_by_key(|(_, value)| *value) && switches[3].1 > 0, "{switches:?}");
        assert!(switches[3].1 < 100_000_000, "what counts does so from the start, not from boot: {switches:?}");
        assert!(series("memory  free_bytes").iter().all(|(_, value)| *value > 1 << 20));
        assert_eq!(series("process supervisor threads").len(), 4);
        assert!(rows.iter().any(|row| row.1.starts_with("process replay")), "a child is found while it runs");
        assert!(Path::new("/proc/pressure/io").exists() == (series("pressure io some_ns").len() == 4));
        assert!(summary.cost_ns > 0 && summary.cost_ns < 500_000_000, "{summary:?}");
    }

    #[test]
    fn a_replay_that_never_began_has_no_readings() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(&dir.path().join("run"), dataset::Kind::Run).unwrap();
        let summary = Sampler::prepare(&draft, &[]).unwrap().end().unwrap();
        assert_eq!(summary.rounds, 0);
    }
}
