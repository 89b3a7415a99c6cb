//! Live captures: the calls of running programs, straight to events in Parquet.
//!
//! ```text
//! kernel: programs at tracepoints -> buffers, ring ──┐
//!                                                  ├─> drain -> decode (by the syscall table) -> ingest's order -> Parquet
//! iterators: tasks, files; /proc: mounts ──────────┴─> processes, open_files
//! ```
//!
//! * `target`: which tasks, calls and paths are captured; `backend`: the three tracers (eBPF, ptrace, SystemTap)
//! * `kernel`, `probe`: the eBPF programs that record calls, and the format of their records
//! * `decode`: records to events
//! * `layouts`, `samples`: how opened files lie on their device, and what their content is like
//! * `device`: what block devices did meanwhile
//! * `write`, `recover`: the dataset of a capture; `summary`: its counts; `os`: clocks, priority, host name
//!
//! What a capture misses is counted by kind of loss: see [`crate::loss::Loss`].

mod backend;
mod decode;
mod device;
mod kernel;
mod layouts;
mod os;
mod probe;
mod recover;
mod samples;
mod summary;
mod target;
mod write;

pub use backend::stap::{calls as probed_calls, check as check_stap};
pub use backend::verify::{check, listing};
pub use device::BlockWatch;
pub use recover::{Recovered, recover};
pub use samples::child;
pub use summary::{Sum, Summary};
pub use target::command::executable;
pub use target::filter::{Calls, GROUPS};
pub use target::glob::Glob;
pub use target::path_filter::Paths;
pub use target::scope::Scope;
pub use write::HOLE;

use crate::events::write::Sink;
use crate::os::device::Device;
use crate::os::rights;
use crate::os::settings::Settings;
use crate::os::task_io::TaskIo;
use crate::process::signal;
use crate::progress::{Progress, Unit};
use crate::schema::dataset::Kind;
use crate::schema::encode::Encoders;
use crate::schema::losses::{self, Lost};
use crate::schema::{self, Draft, Manifest, Table};
use crate::syscall::polled::Polled;
use anyhow::{Context, Result, bail, ensure};
use backend::ebpf::Ebpf;
use backend::ptrace::Ptrace;
use backend::stap::Stap;
use layouts::Layouts;
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use target::snapshot::Snapshot;
use write::Recorder;

/// Which tracer captures the calls.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// eBPF; if that cannot start and the scope is a command or processes, ptrace with a warning.
    #[default]
    Auto,
    /// eBPF programs at tracepoints of the kernel.
    Ebpf,
    /// ptrace(2), which stops each thread at each call: needs no privileges for one's own processes, but distorts the times.
    Ptrace,
    /// A kernel module made by SystemTap. Used only on request, never chosen by [`Method::Auto`].
    Stap,
}

/// What a capture does when events are lost (a full ring, a transport that drops lines ...).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDrop {
    /// Goes on; the summary then says that the capture is not good enough ([`Summary::ok`] is false).
    #[default]
    Mind,
    /// Goes on and counts them; the capture still passes as good ([`Summary::ok`]).
    Report,
    /// Ends the capture early and keeps what was captured until then.
    Stop,
    /// Ends the capture with an error and writes no dataset.
    Fail,
}

impl OnDrop {
    const fn stops(self) -> bool {
        matches!(self, OnDrop::Stop | OnDrop::Fail)
    }
}

/// Limits at which a capture ends by itself; without any it ends with its target or by a signal.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// Time after which the capture ends; `None`: no limit.
    pub duration: Option<Duration>,
    /// Number of written events at which the capture ends; `None`: no limit.
    pub events: Option<u64>,
    /// Size of the events table on disk, bytes, at which the capture ends; `None`: no limit.
    pub bytes: Option<u64>,
    /// When the command itself ends, whatever it leaves behind.
    pub exit: bool,
}

impl Limits {
    /// Is no limit set?
    const fn none(&self) -> bool {
        self.duration.is_none() && self.events.is_none() && self.bytes.is_none() && !self.exit
    }
}

/// Why a capture ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// The command or all captured processes, and all captured descendants, have ended.
    Target,
    /// The user or system asked this program to end by a signal (SIGINT, SIGTERM, SIGHUP).
    Signal,
    /// The limit of time ([`Limits::duration`]) was reached.
    Duration,
    /// The limit of events ([`Limits::events`]) was reached.
    Events,
    /// The limit of bytes on disk ([`Limits::bytes`]) was reached.
    Bytes,
    /// Events were lost, and [`OnDrop::Stop`] or [`OnDrop::Fail`] was asked for.
    Drop,
    /// The tracer process of SystemTap (`staprun`) ended by itself, before it was asked to.
    Tracer,
}

/// Which page faults on mapped files are captured.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Faults {
    /// None: what a mapping is used for is not known.
    None,
    /// Those that brought pages in from the disk, waited for them, or made them dirty.
    #[default]
    Moving,
    /// Those that found their pages in memory, too.
    All,
}

/// Options of one live capture: what to capture, how, and where to write it.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directory of the dataset to write; it must not exist yet.
    pub out: PathBuf,
    /// Scope of the capture: the command, processes, control group, user or name whose calls are captured.
    pub scope: Scope,
    /// Which tracer (eBPF, ptrace, SystemTap) captures the calls.
    pub method: Method,
    /// File of the kernel module for [`Method::Stap`]; `None`: it is compiled for the running kernel.
    pub module: Option<PathBuf>,
    /// Are processes that captured processes start captured too?
    pub follow: bool,
    /// Which system calls are captured.
    pub calls: Calls,
    /// Path patterns: only calls about matching files are kept.
    pub paths: Paths,
    /// Which page faults on mapped files are captured. By eBPF only.
    pub faults: Faults,
    /// Are the waits of threads captured, and how long they compute between their calls? By eBPF only.
    pub waits: bool,
    /// Are the first words of command lines kept?
    pub command_lines: bool,
    /// Is it looked at how files lie on their device, and when they were created?
    pub layouts: bool,
    /// Is it looked at what the content of opened files is like, when the capture is over? Only numbers are kept.
    pub samples: bool,
    /// Limits of time, events and bytes at which the capture ends.
    pub limits: Limits,
    /// Size of the ring between the kernel and this process, bytes.
    pub buffer: u64,
    /// What to do when events are lost.
    pub on_drop: OnDrop,
    /// Host name to store with the events; `None`: that of this machine.
    pub host: Option<String>,
    /// Command line to store in the manifest; empty: none is stored.
    pub command: Vec<String>,
}

/// Default size of the ring, bytes: room for some half million calls.
pub const BUFFER: u64 = 64 << 20;

impl Options {
    /// Options that capture `scope` into the directory `out`, with defaults for all else.
    pub fn new(scope: Scope, out: impl Into<PathBuf>) -> Options {
        Options {
            out: out.into(),
            scope,
            method: Method::Auto,
            module: None,
            follow: true,
            calls: Calls::all(),
            paths: Paths::default(),
            faults: Faults::default(),
            waits: true,
            command_lines: true,
            layouts: true,
            samples: false,
            limits: Limits::default(),
            buffer: BUFFER,
            on_drop: OnDrop::default(),
            host: None,
            command: Vec::new(),
        }
    }
}

/// What a backend (tracer) reports when its capture has ended.
struct Outcome {
    ended: Ended,
    sum: Sum,
    losses: Vec<Lost>,
    /// Rings of io_uring that are polled.
    polled: Vec<Polled>,
    /// What block devices did; `None` where that is not counted.
    devices: Option<Vec<Device>>,
    took: Duration,
    status: Option<ExitStatus>,
}

enum Backend {
    Ebpf(Box<Ebpf>),
    Ptrace(Box<Ptrace>),
    Stap(Box<Stap>),
}

impl Backend {
    fn start(options: &Options) -> Result<Backend> {
        let ebpf = || Ebpf::start(options).map(|ebpf| Backend::Ebpf(Box::new(ebpf)));
        let ptrace = || Ptrace::start(options).map(|ptrace| Backend::Ptrace(Box::new(ptrace)));
        match options.method {
            Method::Ebpf => ebpf(),
            Method::Ptrace => ptrace(),
            Method::Stap => Stap::start(options).map(|stap| Backend::Stap(Box::new(stap))),
            Method::Auto => ebpf().or_else(|error| match options.scope {
                Scope::Command(_) | Scope::Pids(_) => {
                    log::warn!("no eBPF here: {error:#}");
                    log::warn!("ptrace captures instead: every call takes many times as long, so captured times are distorted");
                    ptrace()
                }
                Scope::Cgroup(_) | Scope::User(_) | Scope::Comm(_) | Scope::All => Err(error),
            }),
        }
    }

    /// Are the waits of threads captured?
    const fn tells_waits(&self) -> bool {
        match self {
            Backend::Ebpf(ebpf) => !ebpf.waits.is_empty(),
            Backend::Ptrace(_) | Backend::Stap(_) => false,
        }
    }

    /// Are page faults on mapped files captured?
    const fn tells_faults(&self) -> bool {
        match self {
            Backend::Ebpf(ebpf) => ebpf.faults,
            Backend::Ptrace(_) | Backend::Stap(_) => false,
        }
    }

    /// Is it captured what is added to the page cache?
    const fn tells_cache(&self) -> bool {
        match self {
            Backend::Ebpf(ebpf) => ebpf.cache,
            Backend::Ptrace(_) | Backend::Stap(_) => false,
        }
    }

    const fn name(&self) -> &'static str {
        match self {
            Backend::Ebpf(_) => "ebpf",
            Backend::Ptrace(_) => "ptrace",
            Backend::Stap(_) => "stap",
        }
    }

    fn snapshot(&self) -> &Snapshot {
        match self {
            Backend::Ebpf(ebpf) => &ebpf.snapshot,
            Backend::Ptrace(ptrace) => &ptrace.snapshot,
            Backend::Stap(stap) => &stap.snapshot,
        }
    }

    fn run(&mut self, options: &Options, progress: &Progress, recorder: &mut Recorder<'_>) -> Result<Outcome> {
        match self {
            Backend::Ebpf(ebpf) => ebpf.run(options, progress, recorder),
            Backend::Ptrace(ptrace) => ptrace.run(options, progress, recorder),
            Backend::Stap(stap) => stap.run(options, progress, recorder),
        }
    }
}

/// Drops all capabilities but those of `kept`, and switches to the user who is to own the dataset at `place`.
fn give_up(place: &Path, kept: &[u32]) -> Result<()> {
    rights::drop(os::owner(place).as_ref(), kept).context("cannot give up the rights that are not needed any more")
}

/// A capture whose tracer is attached and that has dropped its capabilities, but has read no events yet.
pub struct Session {
    options: Options,
    backend: Backend,
    draft: Draft,
    layouts: Layouts,
}

impl Session {
    /// Attaches the tracer, takes the snapshot of processes and open files, and drops the capabilities that are not needed any
    /// more. To be called while this process has no other working threads, since capabilities belong to a thread.
    ///
    /// # Errors
    /// When rights or features are missing, what is to be captured is not there, or the dataset cannot be made.
    pub fn start(options: Options) -> Result<Session> {
        ensure!(!options.out.exists(), "{} exists already: remove it or choose another name", options.out.display());
        recover::nothing_left(&options.out)?;
        ensure!(
            options.paths.all() || options.calls.follows(),
            "paths are known by what makes and closes descriptors: add @fd and @proc to the calls that are captured"
        );
        signal::catch(signal::Waits::End, matches!(options.scope, Scope::Command(_)));
        let backend = Backend::start(&options)?;
        let layouts = if options.layouts { Layouts::of_open(backend.snapshot()) } else { Layouts::default() };
        let layouts = if options.samples { layouts.remember(backend.snapshot()) } else { layouts };
        // The ptrace backend drops nothing: to read the memory of traced processes is a privilege, and it has no other that
        // they lack.
        match backend {
            Backend::Ebpf(_) => {
                os::go_first();
                give_up(&options.out, &[])?;
            }
            // staprun runs as root: to end it takes CAP_KILL.
            Backend::Stap(_) => give_up(&options.out, &[rights::KILL])?,
            Backend::Ptrace(_) => {}
        }
        let draft = Draft::create(&options.out, Kind::Capture)?;
        Ok(Session { options, backend, draft, layouts })
    }

    /// A message for the user: "attached to SCOPE by BACKEND".
    pub fn attached(&self) -> String {
        format!("attached to {} by {}", self.options.scope.describe(), self.backend.name())
    }

    /// Captures until the target ends, a limit is reached or a signal comes, and writes the dataset.
    ///
    /// # Errors
    /// When the command cannot be executed, nothing was captured, or the dataset cannot be written. Then nothing is left
    /// behind.
    pub fn run(self, progress: &Progress) -> Result<Summary> {
        let Session { options, mut backend, draft, layouts } = self;
        progress.begin("capture", Unit::Count, 0);
        let host = options.host.clone().unwrap_or_else(os::host);
        write::snapshot(&draft, backend.snapshot())?;
        let began = os::Utc::now();
        draft.note(&note(&options, &backend, &host, began))?;
        let sink = Sink::new(draft.path(""), &host, Encoders::none());
        let mut recorder = Recorder::new(&sink, &draft)?;
        let there = |snapshot: &Snapshot| (snapshot.files.len(), snapshot.processes.len());
        let before = there(backend.snapshot());
        let (io, stolen) = (TaskIo::of_children(), crate::os::stolen());
        recorder.layouts = if options.layouts { layouts.begin() } else { layouts };
        let outcome = backend.run(&options, progress, &mut recorder)?;
        let io = TaskIo::of_children().since(io);
        let stolen = crate::os::stolen().zip(stolen).map(|(now, then)| now.saturating_sub(then));
        if there(backend.snapshot()) != before {
            write::snapshot(&draft, backend.snapshot())?;
        }
        if options.on_drop == OnDrop::Fail && outcome.losses.iter().any(|loss| loss.kind.of_events()) {
            bail!("events were lost ({}): nothing was kept", summary::list(&outcome.losses));
        }
        let capabilities = rights::effective();
        let names = recorder.layouts.names();
        let layouts = std::mem::take(&mut recorder.layouts).finish();
        let (rows, stragglers, repairs, facts) = recorder.finish()?;
        ensure!(rows > 0, "no events of {}: it made no call that is captured", options.scope.describe());
        losses::write(&draft, &outcome.losses)?;
        schema::layouts::write(&draft, &layouts)?;
        let contents = match names {
            Some(names) => {
                let (rows, told) = samples::sample(&names, progress);
                schema::contents::write(&draft, &rows)?;
                Some(told)
            }
            None => None,
        };
        let mut summary = Summary {
            dir: options.out.clone(),
            host,
            backend: backend.name(),
            scope: options.scope.describe(),
            ended: outcome.ended,
            task_io: outcome.status.filter(|_| !matches!(backend, Backend::Stap(_))).map(|_| io),
            stolen_ns: stolen,
            polled_rings: outcome.polled,
            device: outcome.devices,
            status: outcome.status.map(|status| status.to_string()),
            seconds: outcome.took.as_secs_f64(),
            events: rows,
            sum: outcome.sum,
            losses: outcome.losses,
            on_drop: options.on_drop,
            processes: backend.snapshot().processes.len(),
            threads: backend.snapshot().threads,
            open_files: backend.snapshot().files.len(),
            layouts: layouts.len(),
            contents,
            first_ts: facts.first,
            last_ts: facts.last,
            stragglers,
            repairs,
            waits: backend.tells_waits(),
            faults: backend.tells_faults(),
            cache: backend.tells_cache(),
            syscalls: facts.syscalls(),
            capabilities,
            bytes: 0,
        };
        let manifest = manifest(&summary, note(&options, &backend, &summary.host, began))?;
        let dataset = draft.commit(manifest)?;
        summary.bytes = dataset.table(Table::Events).metadata().map_or(0, |meta| meta.len());
        Ok(summary)
    }
}

/// Runs a whole live capture: [`Session::start`], then [`Session::run`].
///
/// # Errors
/// As [`Session::start`] and [`Session::run`].
pub fn run(options: Options, progress: &Progress) -> Result<Summary> {
    Session::start(options)?.run(progress)
}

/// Key of the manifest: how the wall clock stood to UTC, at the start and at the end of the capture.
const UTC: &str = "utc";

/// Manifest entries that are known when a capture begins (host, scope, kernel, snapshot ...); kept in case it is killed.
fn note(options: &Options, backend: &Backend, host: &str, utc: Option<os::Utc>) -> Manifest {
    let mut manifest = Manifest::new();
    backend.snapshot().describe(&mut manifest);
    for (key, value) in [
        ("host", json!(host)),
        ("source", json!(backend.name())),
        ("scope", json!(options.scope.describe())),
        ("clock", json!("unix")),
        (UTC, json!(utc.into_iter().collect::<Vec<_>>())),
        ("boot", json!(os::boot())),
        ("kernel", json!(os::kernel())),
        ("waits", json!(backend.tells_waits())),
        ("cpus", json!(crate::os::processors())),
        ("faults", json!(backend.tells_faults())),
        ("cache", json!(backend.tells_cache())),
        ("buffer", json!(options.buffer)),
        ("settings", json!(Settings::of(options.scope.first()))),
    ] {
        manifest.insert(key.into(), value);
    }
    if !options.command.is_empty() {
        manifest.insert("command".into(), json!(options.command));
    }
    manifest
}

fn manifest(summary: &Summary, note: Manifest) -> Result<Manifest> {
    let serde_json::Value::Object(mut manifest) = serde_json::to_value(summary)? else { bail!("the summary is no JSON object") };
    // The path of the dataset changes when somebody moves it.
    manifest.remove("dir");
    manifest.remove("bytes");
    manifest.remove("losses"); // they are a table
    manifest.extend(note);
    if let (Some(serde_json::Value::Array(looks)), Some(utc)) = (manifest.get_mut(UTC), os::Utc::now()) {
        looks.push(json!(utc));
    }
    Ok(manifest)
}
