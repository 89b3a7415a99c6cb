//! `ioriot capture`: the calls of running programs.

use super::Exit;
use super::ui::{self, Format, Plan};
use super::values;
use crate::amount::{Things, typed};
use crate::capture::{self, Calls, Faults, Glob, Limits, Method, OnDrop, Options, Paths, Scope, Session};
use crate::copy::Spool;
use crate::process::stdio;
use crate::progress::Progress;
use crate::text;
use anyhow::{Result, bail, ensure};
use clap::ValueEnum;
use std::ffi::OsString;
use std::io::{self, IsTerminal};
use std::path::PathBuf;
use std::time::Duration;

/// Capture the file I/O of running programs, without stopping or changing them
///
/// Programs assembled for this very kernel watch every call of the syscall table in the processes named; nothing else
/// needs to be installed. Files that are open already are part of the capture. What was missed is counted, by kind.
/// Needs CAP_BPF and CAP_PERFMON (root has them); all rights are given up once everything is attached.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  sudo ioriot capture -o cap -- tar cf /dev/null /usr/share  # a command and all it starts
  sudo ioriot capture -o cap --pid 4711,4712 --duration 60s  # running processes and what they start
  sudo ioriot capture -o cap --cgroup system.slice/pg.service  # a control group
  sudo ioriot capture -o cap --all --syscalls @io,@fd --max-bytes 4G
  ioriot capture --check                                      # what kernel and rights allow")]
pub struct Args {
    /// Directory to make for the capture
    #[arg(short, long = "output", value_name = "CAPTURE", required_unless_present_any = ["check", "dump_bpf"])]
    out: Option<PathBuf>,
    /// For an output in a store (s3://BUCKET/PREFIX: docs/STORES.md): directory to write in until all of it is there (default:
    /// ./NAME.spool)
    #[arg(long, value_name = "DIR")]
    spool: Option<PathBuf>,
    /// What captures: ebpf, ptrace, stap (SystemTap), or auto for ebpf, else ptrace
    #[arg(long, value_enum, default_value_t, value_name = "METHOD")]
    backend: Backend,
    /// Kernel module for --backend stap, from `make -C systemtap` (default: compile one)
    #[arg(long, value_name = "FILE.ko")]
    module: Option<PathBuf>,
    #[command(flatten)]
    scope: ScopeArgs,
    /// Capture these calls only: names and @io, @fd, @meta, @proc, @all, with ! in front to leave out (strace: -e trace=)
    #[arg(long, value_name = "LIST", value_parser = calls)]
    syscalls: Option<Calls>,
    #[command(flatten)]
    paths: PathArgs,
    /// Capture those page faults of mapped files, too, that found their pages in memory: which were touched first (perf trace: -F)
    #[arg(long, conflicts_with = "no_faults")]
    mmap_faults: bool,
    /// Leave out page faults of mapped files: what is read from the disk and made dirty through mappings (by eBPF only)
    #[arg(long)]
    no_faults: bool,
    /// Leave out how files lie on their device and when they were created: opened files are looked at for that (filefrag, stat)
    #[arg(long)]
    no_layouts: bool,
    /// Look at samples of the files that were opened, at the end: how well they compress, how much is zero or repeated. Only
    /// such numbers are kept (docs/SECURITY.md)
    #[arg(long)]
    content_samples: bool,
    /// Leave out why threads wait, and how long they compute between their calls (both by eBPF only)
    #[arg(long)]
    no_waits: bool,
    /// Leave out command lines, which may hold passwords: of each process the first 128 bytes are kept (docs/SECURITY.md)
    #[arg(long)]
    no_command_lines: bool,
    #[command(flatten)]
    limits: LimitArgs,
    /// Name of the captured host (default: this machine's)
    #[arg(long, value_name = "NAME")]
    host: Option<String>,
    /// Make a dataset of what a capture to -o had captured when it was killed
    #[arg(long, requires = "out", conflicts_with_all = ["check", "dump_bpf"])]
    recover: bool,
    /// Say what this kernel and these rights allow, and capture nothing
    #[arg(long, conflicts_with = "out")]
    check: bool,
    /// Print the programs and the kernel's offsets they use, and capture nothing
    #[arg(long, conflicts_with = "out")]
    dump_bpf: bool,
    #[command(flatten)]
    output: ui::Output,
    /// Command to capture, with its arguments, behind --
    #[arg(last = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
enum Backend {
    /// eBPF; else ptrace, with a warning
    #[default]
    Auto,
    /// Programs in the kernel
    Ebpf,
    /// Stopping each thread at each call: needs no rights, and takes many times as long
    Ptrace,
    /// Probes of SystemTap, for kernels without eBPF: loads a kernel module
    Stap,
}

/// Whose calls.
#[derive(Debug, clap::Args)]
#[group(multiple = false)]
struct ScopeArgs {
    /// Capture these processes, all their threads and what they start (strace -f, perf: -p)
    #[arg(long, value_name = "PID,..", value_delimiter = ',')]
    pid: Vec<u32>,
    /// Capture every process in a control group (version 2) and those below it (perf: -G)
    #[arg(long, value_name = "PATH")]
    cgroup: Option<PathBuf>,
    /// Capture every process of a user (perf: -u)
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// Capture every process of this name, and what it starts
    #[arg(long, value_name = "NAME")]
    comm: Option<String>,
    /// Capture every process but this one (perf: -a)
    #[arg(long)]
    all: bool,
}

/// About which paths.
#[derive(Debug, clap::Args)]
struct PathArgs {
    /// Capture only calls about paths that match: '/data', '/var/lib/*.db' (repeatable; strace: -P)
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    path: Vec<Glob>,
    /// Leave out calls about paths that match (repeatable; goes before --path)
    #[arg(long, value_name = "GLOB", value_parser = glob)]
    not_path: Vec<Glob>,
}

/// When it ends, and what happens when events are lost.
#[derive(Debug, clap::Args)]
struct LimitArgs {
    /// Leave out what the processes start (strace without -f; perf: -i)
    #[arg(long)]
    no_follow: bool,
    /// End when the command itself ends, whatever it leaves behind
    #[arg(long)]
    until_exit: bool,
    /// End after this long: 90s, 5m, 1h
    #[arg(long, value_name = "TIME", value_parser = typed::duration)]
    duration: Option<Duration>,
    /// End after so many events
    #[arg(long, value_name = "N", value_parser = typed::count)]
    max_events: Option<u64>,
    /// End when the events take so much room on disk: 500M, 4G (perf: --max-size)
    #[arg(long, value_name = "SIZE", value_parser = typed::bytes)]
    max_bytes: Option<u64>,
    /// Room between the kernel and this program; what does not fit is lost, and counted (perf: -m)
    #[arg(long, value_name = "SIZE", value_parser = typed::bytes, default_value = "64M")]
    buffer: u64,
    /// When events are lost: count them and exit with 0, end the capture, or end it without a dataset (default: go on,
    /// and exit with 1)
    #[arg(long, value_enum, value_name = "WHAT")]
    on_drop: Option<Dropped>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Dropped {
    /// Go on, and exit with 0
    Report,
    /// End the capture, and exit with 1
    Stop,
    /// End without a dataset, and exit with 2
    Fail,
}

fn calls(list: &str) -> std::result::Result<Calls, String> {
    Calls::parse(list).map_err(|error| format!("{error:#}"))
}

fn glob(pattern: &str) -> std::result::Result<Glob, String> {
    Glob::parse(pattern).map_err(|error| format!("{error:#}"))
}

impl Args {
    pub fn run(mut self) -> Result<Exit> {
        if self.check {
            return self.check();
        }
        if let (true, Some(out)) = (self.recover, &self.out) {
            self.output.format.print(&capture::recover(out)?)?;
            return Ok(Exit::Done);
        }
        let dry_run = self.output.dry_run;
        let (format, dump) = (self.output.format, self.dump_bpf);
        let spool = self.out.as_deref().map_or(Ok(None), |out| Spool::of(out, self.spool.take()))?;
        let mut options = self.options(dump)?;
        if dump {
            ui::say(capture::listing(&options)?)?;
            return Ok(Exit::Done);
        }
        values::vacant(&options.out)?;
        if dry_run {
            let would =
                vec![format!("capture {}", options.scope.describe()), format!("write a capture to {}", options.out.display())];
            format.print(&Plan::new(would))?;
            return Ok(Exit::Done);
        }
        // Rights belong to threads: they are given up before there is a second one.
        let foreground = matches!(options.scope, Scope::Command(_));
        let limited = options.limits.duration.is_some();
        if let Some(spool) = &spool {
            options.out = spool.dir().to_owned();
        }
        let session = Session::start(options)?;
        // Scripts wait for this line, so it is there whatever standard error is.
        let end = if foreground || limited { "" } else { "; Ctrl-C ends it" };
        stdio::mention(text::shown(&format!("{}{end}", session.attached())));
        // The terminal belongs to the command.
        let summary = if foreground { session.run(&Progress::default()) } else { ui::watched(|progress| session.run(progress)) }?;
        if format == Format::Json || !io::stdout().is_terminal() {
            let (events, lost) = (Things(summary.events, "event"), Things(summary.lost(), "event"));
            stdio::mention(format_args!("captured {events} in {:.2} s, {lost} lost: {}", summary.seconds, summary.dir.display()));
        }
        format.print(&summary)?;
        spool.map_or(Ok(()), |spool| ui::watched(|progress| spool.send(progress)))?;
        Ok(Exit::good(summary.ok()))
    }

    /// Says of each backend what it finds, or what is missing. Done when the one that was asked for works.
    fn check(self) -> Result<Exit> {
        let found = [
            (Backend::Ebpf, capture::check()),
            (Backend::Ptrace, Ok("a command, and processes that this user may trace".to_owned())),
            (Backend::Stap, capture::check_stap(self.module.as_deref())),
        ];
        let asked = if self.backend == Backend::Auto { Backend::Ebpf } else { self.backend };
        let mut exit = Exit::Done;
        for (backend, found) in found {
            let name = backend.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
            if found.is_err() && backend == asked {
                exit = Exit::Failed;
            }
            match found {
                Ok(found) => ui::say(format_args!("{name}: {found}"))?,
                Err(missing) => ui::say(format_args!("{name}: not here: {missing:#}"))?,
            }
        }
        Ok(exit)
    }

    fn options(self, any_scope: bool) -> Result<Options> {
        ensure!(
            self.module.is_none() || self.backend == Backend::Stap,
            "--module is for --backend stap, and nothing else loads one"
        );
        let scope = self.scope.choose(self.command, any_scope)?;
        let LimitArgs { no_follow, until_exit, duration, max_events, max_bytes, buffer, on_drop } = self.limits;
        ensure!(!until_exit || matches!(scope, Scope::Command(_)), "--until-exit is for a command: name one behind --");
        Ok(Options {
            method: match self.backend {
                Backend::Auto => Method::Auto,
                Backend::Ebpf => Method::Ebpf,
                Backend::Ptrace => Method::Ptrace,
                Backend::Stap => Method::Stap,
            },
            module: self.module,
            follow: !no_follow,
            calls: self.syscalls.unwrap_or_else(Calls::all),
            paths: Paths { only: self.paths.path, not: self.paths.not_path },
            layouts: !self.no_layouts,
            samples: self.content_samples,
            faults: match (self.no_faults, self.mmap_faults) {
                (true, _) => Faults::None,
                (false, true) => Faults::All,
                (false, false) => Faults::Moving,
            },
            waits: !self.no_waits,
            command_lines: !self.no_command_lines,
            limits: Limits { duration, events: max_events, bytes: max_bytes, exit: until_exit },
            buffer,
            on_drop: match on_drop {
                None => OnDrop::Mind,
                Some(Dropped::Report) => OnDrop::Report,
                Some(Dropped::Stop) => OnDrop::Stop,
                Some(Dropped::Fail) => OnDrop::Fail,
            },
            host: self.host,
            command: values::command_line(),
            ..Options::new(scope, self.out.unwrap_or_default())
        })
    }
}

impl ScopeArgs {
    fn choose(self, command: Vec<OsString>, any: bool) -> Result<Scope> {
        let scope = match self {
            ScopeArgs { cgroup: Some(path), .. } => Scope::Cgroup(path),
            ScopeArgs { user: Some(user), .. } => Scope::User(user),
            ScopeArgs { comm: Some(name), .. } => Scope::Comm(name),
            ScopeArgs { all: true, .. } => Scope::All,
            ScopeArgs { pid, .. } if !pid.is_empty() => Scope::Pids(pid),
            _ if !command.is_empty() => return Ok(Scope::Command(command)),
            _ if any => Scope::Pids(Vec::new()),
            _ => bail!("nothing to capture: name a command behind --, or --pid, --cgroup, --user, --comm or --all"),
        };
        ensure!(command.is_empty(), "a command and {} at once: choose one", scope.describe());
        Ok(scope)
    }
}
