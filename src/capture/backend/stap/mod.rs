//! The SystemTap backend, for kernels without eBPF. Used only on request, since it loads a kernel module.
//!
//! `staprun` prints the capture as text of version 5 (docs/FORMAT.md), which the parser of ingest turns into events. The probes
//! number the events and count them in the last line, so that it is known how many did not arrive, and between which times.
//!
//! * `module`: the kernel module, given or compiled from the sources of `systemtap/` that this program contains
//! * `calls`: the rows of the syscall table in the form of these sources
//! * `tracer`: the process of `staprun`; `serial`: which event numbers have arrived; `text`: lines to events

mod calls;
mod module;
mod serial;
mod text;
mod tracer;

pub use calls::file as calls;
pub use module::check;

use crate::capture::target::command::Target;
use crate::capture::target::left::Left;
use crate::capture::target::scope::Scope;
use crate::capture::target::snapshot::Snapshot;
use crate::capture::write::Recorder;
use crate::capture::{Ended, Limits, Options, Outcome, os};
use crate::process::signal;
use crate::progress::Progress;
use anyhow::{Context, Result, bail, ensure};
use module::{Module, Variant};
use std::time::{Duration, Instant};
use text::Text;
use tracer::{Tracer, Wanted};

/// How long to wait for output of the tracer before limits are checked.
const LOOK: Duration = Duration::from_millis(20);
/// How long the probes may take until they are attached: SystemTap attaches them one by one.
const READY: Duration = Duration::from_secs(120);

/// A SystemTap capture under way.
pub struct Stap {
    tracer: Tracer,
    text: Text,
    target: Option<Target>,
    /// When the snapshot of open files was complete, ns since 1970.
    until: i64,
    /// The snapshot: processes, open files and mounts at the start of the capture.
    pub snapshot: Snapshot,
}

impl Stap {
    /// Loads the probes, waits until they are attached, and takes the snapshot. A command waits at its gate until [`Stap::run`].
    ///
    /// # Errors
    /// When SystemTap or privileges are missing, the probes cannot be compiled or loaded, or a process does not exist.
    pub fn start(options: &Options) -> Result<Stap> {
        let variant = Variant::of(&options.scope)?;
        let loader = module::loader()?;
        let module = match &options.module {
            Some(file) => Module::given(file)?,
            None => Module::compile(variant)?,
        };
        let mut name = None;
        if let Scope::Comm(comm) = &options.scope {
            let plain = |byte: u8| byte.is_ascii_graphic() && byte != b'"';
            ensure!((1..16).contains(&comm.len()) && comm.bytes().all(plain), "{comm:?} cannot be given to the probes");
            name = Some(comm.as_str());
        }
        let (target, pids) = Target::of(&options.scope, &[])?;
        let wanted = Wanted {
            module: &module.file,
            buffer: options.buffer,
            reader: std::process::id(),
            children: options.follow,
            pids: &pids,
            name,
        };
        let began = os::now();
        let tracer = Tracer::start(loader.as_os_str(), &wanted.arguments())?;
        let mut stap = Stap { tracer, text: Text::new(began), target, until: began, snapshot: Snapshot::default() };
        stap.get_ready(variant).with_context(|| match check(options.module.as_deref()) {
            Ok(_) => "the probes did not get to work".to_owned(),
            Err(missing) => format!("the probes did not get to work: {missing:#}"),
        })?;
        stap.snapshot = Snapshot::of_proc(&processes(&options.scope, &pids), options.command_lines);
        stap.snapshot.threads = stap.snapshot.processes.iter().map(|process| threads(process.pid)).sum();
        if stap.target.is_some() {
            // Descriptors of the waiting child that exec will close are this program's, not the command's.
            stap.snapshot.files.retain(|file| !file.cloexec);
        }
        stap.until = os::now();
        Ok(stap)
    }

    /// Reads the tracer's output up to the mark by which the probes say that they are attached.
    fn get_ready(&mut self, variant: Variant) -> Result<()> {
        let (began, mut said) = (Instant::now(), Vec::new());
        while !self.text.marks.ready {
            while let Some(line) = self.tracer.text().next() {
                // Lines behind the mark stay in the buffer until there is a recorder for them.
                if self.text.mark(line) && self.text.marks.ready {
                    break;
                }
            }
            while let Some(line) = self.tracer.said().next() {
                said.extend_from_slice(line);
                said.push(b'\n');
            }
            if let Some(scope) = self.text.marks.scope.as_deref().filter(|scope| *scope != variant.scope()) {
                let other = Variant::named(scope).map_or("another module", Variant::file);
                bail!("the module is {other}, and this scope needs {}", variant.file());
            }
            if self.text.marks.ready {
                break;
            }
            ensure!(signal::asked().is_none(), "interrupted");
            ensure!(
                began.elapsed() < READY,
                "they say nothing for {} s: was the module compiled by another version?",
                READY.as_secs()
            );
            if !self.tracer.read(LOOK)? {
                let status = self.tracer.wait().map_or("no status".into(), |status| status.to_string());
                bail!("staprun ended ({status}) and said\n{}", module::tail(&said, 12));
            }
        }
        for line in String::from_utf8_lossy(&said).lines() {
            log::warn!("staprun: {line}");
        }
        Ok(())
    }

    /// Lets the command execute and passes events to the recorder until the capture ends; then stops the tracer and takes the
    /// rest of its output.
    ///
    /// # Errors
    /// When the command cannot be executed, or the recorder fails.
    pub fn run(&mut self, options: &Options, progress: &Progress, recorder: &mut Recorder<'_>) -> Result<Outcome> {
        if let (Some(target), Scope::Command(words)) = (&mut self.target, &options.scope) {
            target.release(words.first().context("no command")?)?;
        }
        self.text.watch(self.until, options, &self.snapshot);
        let (began, mut left) = (Instant::now(), Left::default());
        let ended = loop {
            let goes_on = self.tracer.read(LOOK)?;
            self.take(progress, recorder)?;
            if !goes_on {
                break Ended::Tracer;
            }
            if self.text.full() {
                break Ended::Events;
            }
            let command = self.target.as_mut().is_some_and(|target| target.ended().is_some());
            if self.text.marks.idle || options.limits.exit && command {
                break Ended::Target;
            }
            if left.due(command) {
                left.tell(self.text.born.pids());
            }
            if options.on_drop.stops() && self.text.dropped() {
                break Ended::Drop;
            }
            if let Some(ended) = over(&options.limits, began, recorder.size()) {
                break ended;
            }
            recorder.tick()?;
        };
        let took = began.elapsed();
        self.tracer.stop();
        while self.tracer.read(LOOK)? {
            self.take(progress, recorder)?;
        }
        if let Some(line) = self.tracer.text().rest().map(<[u8]>::to_vec) {
            self.text.line(&line, recorder)?;
        }
        let tracer = self.tracer.wait();
        if let Some(status) = tracer.filter(|status| !status.success()) {
            log::warn!("staprun ended with {status}");
        }
        let status = self.target.as_mut().and_then(Target::ended);
        self.snapshot.files.retain(|file| !self.text.made_early.contains(&(file.pid, file.fd)));
        self.snapshot.keep_files(&options.paths);
        let (sum, losses) = self.text.settle(recorder)?;
        Ok(Outcome { ended, sum, losses, polled: Vec::new(), devices: None, took, status })
    }

    /// Takes the lines that were read: events go to the recorder, messages of `staprun` to the log.
    fn take(&mut self, progress: &Progress, recorder: &mut Recorder<'_>) -> Result<()> {
        let before = self.text.written();
        while let Some(line) = self.tracer.text().next() {
            self.text.line(line, recorder)?;
        }
        progress.add(self.text.written() - before);
        while let Some(line) = self.tracer.said().next() {
            log::warn!("staprun: {}", String::from_utf8_lossy(line));
        }
        Ok(())
    }
}

/// Why the capture is to end now; `None`: it goes on. `size`: bytes of the events on disk.
fn over(limits: &Limits, began: Instant, size: u64) -> Option<Ended> {
    match () {
        () if signal::asked().is_some() => Some(Ended::Signal),
        () if limits.duration.is_some_and(|most| began.elapsed() >= most) => Some(Ended::Duration),
        () if limits.bytes.is_some_and(|most| size >= most) => Some(Ended::Bytes),
        () => None,
    }
}

/// Ids of the processes that are in a scope now, from /proc: `pids` for a command or processes, else all or those of the name.
fn processes(scope: &Scope, pids: &[u32]) -> Vec<u32> {
    let name = match scope {
        Scope::Comm(name) => Some(name),
        Scope::All => None,
        _ => return pids.to_vec(),
    };
    let found = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    let all = found.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    let ours = std::process::id();
    let called = |pid: u32| std::fs::read_to_string(format!("/proc/{pid}/comm")).unwrap_or_default();
    let tracing = |comm: &str| matches!(comm, "stapio" | "staprun");
    all.filter(|pid| {
        let comm = called(*pid);
        let comm = comm.trim_end_matches('\n');
        *pid != ours && name.map_or(!tracing(comm), |name| comm == name)
    })
    .collect()
}

/// Number of threads of a process, from /proc; 0 when it has ended.
fn threads(pid: i64) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/task")).map_or(0, |tasks| tasks.count() as u64)
}
