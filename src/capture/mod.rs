//! Live captures: the calls of running programs, straight to events in Parquet.
//!
//! ```text
//! kernel: programs at tracepoints -> buffers, ring ──┐
//!                                                  ├─> drain -> decode (by the syscall table) -> ingest's order -> Parquet
//! iterators: tasks, files; /proc: mounts ──────────┴─> processes, open_files
//! ```
//!
//! * `target` what is captured; `backend` the three ways to do it
//! * `kernel`, `probe` the programs that tell of calls, and what comes back
//! * `decode` the events that it tells of
//! * `write`, `recover` the dataset; `summary`; `os` rights, clocks
//!
//! What is not captured is counted by kind: see [`crate::loss::Loss`].

mod backend;
mod decode;
mod kernel;
mod os;
mod probe;
mod recover;
mod summary;
mod target;
mod write;

pub use backend::ebpf::{check, listing};
pub use backend::stap::{calls as probed_calls, check as check_stap};
pub use recover::{Recovered, recover};
pub use summary::{Sum, Summary};
pub use target::command::executable;
pub use target::filter::{Calls, GROUPS};
pub use target::glob::Glob;
pub use target::path_filter::Paths;
pub use target::scope::Scope;
pub use write::HOLE;

use crate::events::write::Sink;
use crate::os::rights;
use crate::progress::{Progress, Unit};
use crate::schema::dataset::Kind;
use crate::schema::losses::{self, Lost};
use crate::schema::{Draft, Manifest, Table};
use crate::signal;
use anyhow::{Context, Result, bail, ensure};
use backend::ebpf::Ebpf;
use backend::ptrace::Ptrace;
use backend::stap::Stap;
use serde::Serialize;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;
use std::time::Duration;
use target::snapshot::Snapshot;
use write::Recorder;

/// What captures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// eBPF; where that is not possible and the scope allows it, ptrace, and a warning.
    #[default]
    Auto,
    /// Programs in the kernel.
    Ebpf,
    /// Stopping each thread at each call: works without rights, and distorts the times.
    Ptrace,
    /// A kernel module of SystemTap's. Only when it is asked for.
    Stap,
}

/// What to do when events are lost.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum OnDrop {
    /// Go on; the summary does not call it a success.
    #[default]
    Mind,
    /// Go on, and be content with counting them.
    Report,
    /// End the capture.
    Stop,
    /// End with an error, and without a dataset.
    Fail,
}

impl OnDrop {
    const fn stops(self) -> bool {
        matches!(self, OnDrop::Stop | OnDrop::Fail)
    }
}

/// When a capture ends at the latest.
#[derive(Clone, Copy, Debug, Default)]
pub struct Limits {
    /// After this long.
    pub duration: Option<Duration>,
    /// After so many events.
    pub events: Option<u64>,
    /// When the events take so many bytes on disk.
    pub bytes: Option<u64>,
}

impl Limits {
    /// Is there none?
    const fn none(&self) -> bool {
        self.duration.is_none() && self.events.is_none() && self.bytes.is_none()
    }
}

/// Why it ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Ended {
    /// The command, or all of the processes, and what descended from them.
    Target,
    /// A signal.
    Signal,
    /// A limit of time.
    Duration,
    /// A limit of events.
    Events,
    /// A limit of bytes.
    Bytes,
    /// Events were lost, and that was to end it.
    Drop,
    /// What captures ended by itself, early.
    Tracer,
}

/// What to capture, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// Where the capture is to be.
    pub out: PathBuf,
    /// Whose calls.
    pub scope: Scope,
    /// What captures.
    pub method: Method,
    /// The kernel module of [`Method::Stap`]; compiled when absent.
    pub module: Option<PathBuf>,
    /// Are children captured too?
    pub follow: bool,
    /// Which calls.
    pub calls: Calls,
    /// About which paths.
    pub paths: Paths,
    /// Are page faults of mapped files captured?
    pub faults: bool,
    /// When it ends at the latest.
    pub limits: Limits,
    /// Bytes of the ring between the kernel and this process.
    pub buffer: u64,
    /// What to do when events are lost.
    pub on_drop: OnDrop,
    /// Name of the host; that of this machine when absent.
    pub host: Option<String>,
    /// The command line, for the manifest.
    pub command: Vec<String>,
}

/// Bytes of the ring unless told otherwise: some half million calls.
pub const BUFFER: u64 = 64 << 20;

impl Options {
    /// Captures a scope with every default.
    pub fn new(scope: Scope, out: impl Into<PathBuf>) -> Options {
        Options {
            out: out.into(),
            scope,
            method: Method::Auto,
            module: None,
            follow: true,
            calls: Calls::all(),
            paths: Paths::default(),
            faults: false,
            limits: Limits::default(),
            buffer: BUFFER,
            on_drop: OnDrop::default(),
            host: None,
            command: Vec::new(),
        }
    }
}

/// What a backend tells at its end.
struct Outcome {
    ended: Ended,
    sum: Sum,
    losses: Vec<Lost>,
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

/// Gives up every right but these, and becomes who is to own what is written at `place`.
fn give_up(place: &Path, kept: &[u32]) -> Result<()> {
    rights::drop(os::owner(place).as_ref(), kept).context("cannot give up the rights that are not needed any more")
}

/// A capture that is attached, has given away its rights, and has not begun to read.
pub struct Session {
    options: Options,
    backend: Backend,
    draft: Draft,
}

impl Session {
    /// Attaches, looks at what is there, and gives up every right: to be called while this process has no other threads
    /// that work.
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
        // Reading the memory of the traced is a right; whoever traces has no other that the traced has not.
        match backend {
            Backend::Ebpf(_) => {
                os::go_first();
                give_up(&options.out, &[])?;
            }
            // The tracer is root's, and has to be ended.
            Backend::Stap(_) => give_up(&options.out, &[rights::KILL])?,
            Backend::Ptrace(_) => {}
        }
        let draft = Draft::create(&options.out, Kind::Capture)?;
        Ok(Session { options, backend, draft })
    }

    /// Whose calls are captured from now on, and by what.
    pub fn attached(&self) -> String {
        format!("attached to {} by {}", self.options.scope.describe(), self.backend.name())
    }

    /// Captures until it is to end, and writes the dataset.
    ///
    /// # Errors
    /// When the command cannot be executed, nothing was captured, or the dataset cannot be written. Then nothing is left
    /// behind.
    pub fn run(self, progress: &Progress) -> Result<Summary> {
        let Session { options, mut backend, draft } = self;
        progress.begin("capture", Unit::Count, 0);
        let host = options.host.clone().unwrap_or_else(os::host);
        write::snapshot(&draft, backend.snapshot())?;
        draft.note(&note(&options, &backend, &host))?;
        let sink = Sink::new(draft.path(""), &host);
        let mut recorder = Recorder::new(&sink, &draft)?;
        let there = |snapshot: &Snapshot| (snapshot.files.len(), snapshot.processes.len());
        let before = there(backend.snapshot());
        let outcome = backend.run(&options, progress, &mut recorder)?;
        if there(backend.snapshot()) != before {
            write::snapshot(&draft, backend.snapshot())?;
        }
        if options.on_drop == OnDrop::Fail && outcome.losses.iter().any(|loss| loss.kind.of_events()) {
            bail!("events were lost ({}): nothing was kept", summary::list(&outcome.losses));
        }
        let capabilities = rights::effective();
        let (rows, stragglers, repairs, facts) = recorder.finish()?;
        ensure!(rows > 0, "no events of {}: it made no call that is captured", options.scope.describe());
        losses::write(&draft, &outcome.losses)?;
        let mut summary = Summary {
            dir: options.out.clone(),
            host,
            backend: backend.name(),
            scope: options.scope.describe(),
            ended: outcome.ended,
            status: outcome.status.map(|status| status.to_string()),
            seconds: outcome.took.as_secs_f64(),
            events: rows,
            sum: outcome.sum,
            losses: outcome.losses,
            on_drop: options.on_drop,
            processes: backend.snapshot().processes.len(),
            threads: backend.snapshot().threads,
            open_files: backend.snapshot().files.len(),
            first_ts: facts.first,
            last_ts: facts.last,
            stragglers,
            repairs,
            syscalls: facts.syscalls(),
            capabilities,
            bytes: 0,
        };
        let manifest = manifest(&summary, note(&options, &backend, &summary.host))?;
        let dataset = draft.commit(manifest)?;
        summary.bytes = dataset.table(Table::Events).metadata().map_or(0, |meta| meta.len());
        Ok(summary)
    }
}

/// Captures.
///
/// # Errors
/// As [`Session::start`] and [`Session::run`].
pub fn run(options: Options, progress: &Progress) -> Result<Summary> {
    Session::start(options)?.run(progress)
}

/// What is known of a capture when it begins.
fn note(options: &Options, backend: &Backend, host: &str) -> Manifest {
    let mut manifest = Manifest::new();
    backend.snapshot().describe(&mut manifest);
    for (key, value) in [
        ("host", json!(host)),
        ("source", json!(backend.name())),
        ("scope", json!(options.scope.describe())),
        ("clock", json!("unix")),
        ("kernel", json!(os::kernel())),
        ("buffer", json!(options.buffer)),
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
    // Where the dataset is changes when it is moved.
    manifest.remove("dir");
    manifest.remove("bytes");
    manifest.remove("losses"); // they are a table
    manifest.extend(note);
    Ok(manifest)
}
