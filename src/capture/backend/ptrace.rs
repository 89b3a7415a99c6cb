//! The ptrace backend: for users who may not load eBPF programs, and for containers.
//!
//! Each traced thread stops when it enters and when it leaves a call. What the eBPF programs would have read is read then into
//! records of the same format, so both backends share the decoder. Traced programs take a multiple of their time, so captured
//! times are distorted: the command line says so.

use super::tracee::{self, Abi, Call, Event, Go};
use crate::capture::decode::requests::ENTRY;
use crate::capture::decode::table::Calls;
use crate::capture::decode::{Decoder, Seen};
use crate::capture::kernel::record::{self, Maker, at, flag};
use crate::capture::kernel::row::{Behind, NONE, NUMBERS, Row, flag as row_flag};
use crate::capture::target::command::Target;
use crate::capture::target::left::Left;
use crate::capture::target::path_filter::PathFilter;
use crate::capture::target::program;
use crate::capture::target::scope::Scope;
use crate::capture::target::snapshot::{self, Snapshot};
use crate::capture::write::Recorder;
use crate::capture::{Ended, Limits, Options, Outcome, Sum, os};
use crate::exec::Ran;
use crate::loss::Loss;
use crate::process::signal;
use crate::progress::Progress;
use crate::schema::losses::Lost;
use crate::syscall::lock::Lock;
use anyhow::{Context, Result, ensure};
use std::collections::{HashMap, HashSet};
use std::os::unix::process::ExitStatusExt;
use std::process::ExitStatus;
use std::time::Instant;

/// What is known of a traced thread between two of its stops.
#[derive(Clone, Copy, Debug, Default)]
struct Thread {
    /// Process id (thread group) of the thread.
    pid: u32,
    /// The captured call it is in: number (of its row), arguments, start (monotonic ns). `None` when it is in none.
    inside: Option<(u64, [u64; 6], u64)>,
    /// Is the thread in a call that is not captured, so that its return is ignored?
    elsewhere: bool,
    /// Its thread id before it executed another program; `None` if it has not since its last record.
    was: Option<u32>,
}

/// A ptrace capture under way.
pub struct Ptrace {
    calls: Calls,
    /// Do the threads run under the seccomp filter, so that they stop at captured calls only?
    filtered: bool,
    threads: HashMap<u32, Thread>,
    /// Threads that stopped, or ended, before it was told that somebody made them: the two come in any order.
    early: HashSet<u32>,
    target: Option<Target>,
    clock: i64,
    /// The snapshot: processes, open files and mounts at the start of the capture.
    pub snapshot: Snapshot,
}

impl Ptrace {
    /// Begins to trace and takes the snapshot. A command waits at its gate until [`Ptrace::run`].
    ///
    /// # Errors
    /// When the scope is neither a command nor processes, or the kernel refuses to trace.
    pub fn start(options: &Options) -> Result<Ptrace> {
        let calls = Calls::new(|syscall| options.calls.has(syscall));
        // A process under the filter needs a tracer until it ends, as its children do: so no limits, and they are followed.
        let filtered = matches!(options.scope, Scope::Command(_)) && options.follow && options.limits.none();
        let scope = &options.scope;
        let by_pid = matches!(scope, Scope::Command(_) | Scope::Pids(_));
        ensure!(by_pid, "ptrace follows a command or processes, not {}: that needs eBPF", scope.describe());
        let filter = if filtered { tracee::filter(calls.numbers()) } else { Vec::new() };
        let (target, pids) = Target::of(scope, &filter)?;
        let mut threads = HashMap::new();
        for pid in &pids {
            // Threads may start meanwhile: repeated until there are no new ones.
            loop {
                let found =
                    std::fs::read_dir(format!("/proc/{pid}/task")).with_context(|| format!("there is no process {pid}"))?;
                let tids = found.flatten().filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
                let new: Vec<u32> = tids.filter(|tid| !threads.contains_key(tid)).collect();
                if new.is_empty() {
                    break;
                }
                for tid in new {
                    tracee::seize(tid, options.follow, filtered).with_context(|| {
                        format!(
                            "may not trace process {pid}: it is another user's, or kernel.yama.ptrace_scope forbids it (sudo may)"
                        )
                    })?;
                    threads.insert(tid, Thread { pid: *pid, ..Thread::default() });
                }
            }
        }
        let mut snapshot = Snapshot::of_proc(&pids, options.command_lines);
        snapshot.threads = threads.len() as u64;
        if target.is_some() {
            snapshot.files.retain(|file| !file.cloexec);
        }
        Ok(Ptrace { calls, filtered, threads, early: HashSet::new(), target, clock: os::clock_offset(), snapshot })
    }

    /// Lets the command execute and passes events to the recorder until all traced threads have ended or a limit is reached.
    ///
    /// # Errors
    /// When the command cannot be executed, or the recorder fails.
    pub fn run(&mut self, options: &Options, progress: &Progress, recorder: &mut Recorder<'_>) -> Result<Outcome> {
        let gate = self.target.as_ref().map(|target| target.pid);
        let mut decoder = Decoder::new(&self.calls, self.clock, gate);
        std::mem::swap(&mut decoder.layouts, &mut recorder.layouts);
        let mut books = Books {
            decoder,
            path_filter: PathFilter::new(&options.paths, &self.snapshot),
            recorder,
            maker: Maker::default(),
            issued: 0,
            taken: 0,
            compat: 0,
            lines: options.command_lines,
        };
        if let Some(target) = &mut self.target {
            target.open_gate();
        }
        tracee::tick();
        let (began, mut told) = (Instant::now(), 0);
        let (mut ending, mut left) = (None, Left::default());
        // Until nobody is left.
        while let Ok(stop) = tracee::wait() {
            if ending.is_none() {
                ending = over(&options.limits, began, books.taken, books.recorder.size());
                if ending.is_some() && !self.filtered {
                    self.threads.keys().for_each(|tid| tracee::interrupt(*tid));
                }
            }
            progress.add(books.taken - std::mem::replace(&mut told, books.taken));
            books.recorder.tick()?;
            if ending.is_none() && left.due(self.target.as_ref().is_some_and(Target::noted)) {
                left.tell(self.threads.values().map(|thread| thread.pid));
            }
            let Some((tid, event)) = stop else {
                if ending.is_some() && self.threads.is_empty() {
                    break;
                }
                continue;
            };
            if let Event::Gone(status) = event {
                if let Some(target) = self.target.as_mut().filter(|target| target.pid == tid) {
                    target.note(ExitStatus::from_raw(status));
                }
                match self.threads.remove(&tid) {
                    Some(thread) if ending.is_none() => gone(tid, &thread, &mut books)?,
                    Some(_) => {}
                    None => _ = self.early.insert(tid),
                }
                if options.limits.exit && ending.is_none() && self.target.as_ref().is_some_and(Target::noted) {
                    ending = Some(Ended::Target);
                    self.threads.keys().for_each(|tid| tracee::interrupt(*tid));
                }
                if self.threads.is_empty() {
                    break;
                }
                continue;
            }
            if !self.threads.contains_key(&tid) && !matches!(event, Event::Exec(_)) {
                self.early.insert(tid);
                self.threads.insert(tid, books.meet(tid));
            }
            // Known from now on: its maker may be gone before it stops for the first time, and nobody else may be left.
            if let Event::Made(made) = event
                && !self.early.remove(&made)
            {
                self.threads.entry(made).or_insert_with(|| books.meet(made));
            }
            if ending.is_some() && self.filtered {
                // Under the filter its calls fail without a tracer: it is continued until it ends.
                tracee::go(tid, Go::Past(if let Event::Signal(signal) = event { signal } else { 0 }));
                continue;
            }
            if ending.is_some() {
                tracee::detach(tid);
                self.threads.remove(&tid);
                if self.threads.is_empty() {
                    break;
                }
                continue;
            }
            let go = match event {
                Event::Call | Event::Filtered => {
                    if let Some(thread) = self.threads.get_mut(&tid) {
                        books.call(tid, thread, &self.calls)?;
                    }
                    Go::On(0)
                }
                Event::Exec(was) => {
                    let old = self.threads.remove(&was).unwrap_or_default();
                    self.threads.insert(tid, Thread { pid: tid, was: Some(was), ..old });
                    Go::On(0)
                }
                Event::Signal(signal) => Go::On(signal),
                Event::Stopped => Go::Wait,
                Event::Made(_) | Event::Other | Event::Gone(_) => Go::On(0),
            };
            // Outside of captured calls a filtered thread need not stop.
            let inside = !self.filtered || self.threads.get(&tid).is_some_and(|thread| thread.inside.is_some());
            tracee::go(tid, if let (Go::On(signal), false) = (go, inside) { Go::Past(signal) } else { go });
        }
        tracee::untick();
        let unfinished = self.threads.values().filter(|thread| thread.inside.is_some()).count() as u64;
        if let (Some(target), Scope::Command(words)) = (&mut self.target, &options.scope) {
            target.release(words.first().context("no command")?)?;
        }
        books.finish()?;
        self.snapshot.keep_files(&options.paths);
        let status = self.target.as_mut().and_then(Target::ended);
        Ok(books.outcome(ending.unwrap_or(Ended::Target), unfinished, began, status))
    }
}

/// Records the end of a traced thread.
fn gone(tid: u32, thread: &Thread, books: &mut Books<'_, '_, '_>) -> Result<()> {
    books.maker.begin(thread.pid, tid, flag::END);
    books.maker.put(at::TS, &os::monotonic().to_ne_bytes());
    let number = thread.inside.map_or(0, |(number, ..)| number as u16 + 1);
    books.maker.put(at::NUMBER, &number.to_ne_bytes());
    books.send()
}

/// Why the capture is to end now; `None`: it goes on. `taken`: events written; `size`: their bytes on disk.
fn over(limits: &Limits, began: Instant, taken: u64, size: u64) -> Option<Ended> {
    match () {
        () if signal::asked().is_some() => Some(Ended::Signal),
        () if limits.duration.is_some_and(|most| began.elapsed() >= most) => Some(Ended::Duration),
        () if limits.events.is_some_and(|most| taken >= most) => Some(Ended::Events),
        () if limits.bytes.is_some_and(|most| size >= most) => Some(Ended::Bytes),
        () => None,
    }
}

/// Process id of a thread, and that of its parent process, from /proc; the thread's own id if that cannot be read.
fn family(tid: u32) -> (u32, Option<u32>) {
    let status = std::fs::read_to_string(format!("/proc/{tid}/status")).unwrap_or_default();
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
    (field("Tgid:").unwrap_or(tid), field("PPid:"))
}

/// The effective user id of a process, from /proc (proc_pid_status(5)).
fn effective(pid: u32) -> Option<i64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    status.lines().find_map(|line| line.strip_prefix("Uid:"))?.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Makes records of the stops of traced threads, has them decoded, and counts.
struct Books<'a, 'r, 's> {
    decoder: Decoder<'a>,
    path_filter: PathFilter,
    recorder: &'r mut Recorder<'s>,
    maker: Maker,
    issued: u64,
    taken: u64,
    compat: u64,
    /// Are command lines told?
    lines: bool,
}

impl Books<'_, '_, '_> {
    /// The entry for a thread that is seen for the first time; a new process inherits its parent's files in the path filter.
    fn meet(&mut self, tid: u32) -> Thread {
        let (pid, parent) = family(tid);
        if let Some(parent) = parent.filter(|_| pid == tid) {
            self.path_filter.forked(parent, pid);
        }
        Thread { pid, ..Thread::default() }
    }

    /// Handles a thread that stopped at the entry or the return of a call.
    fn call(&mut self, tid: u32, thread: &mut Thread, calls: &Calls) -> Result<()> {
        let now = os::monotonic();
        match tracee::call(tid) {
            Call::Entry(_, _, Abi::Other) => {
                (thread.inside, thread.elsewhere) = (None, true);
                self.compat += 1;
                Ok(())
            }
            Call::Entry(number, args, abi) => {
                let number = if abi == Abi::Narrow { number.saturating_add(NUMBERS as u64) } else { number };
                let Some(row) = watched(calls, number) else {
                    (thread.inside, thread.elsewhere) = (None, true);
                    return Ok(());
                };
                (thread.inside, thread.elsewhere) = (Some((number, args, now)), false);
                if !self.decoder.gated(thread.pid) || row.flags & row_flag::AT_ENTRY != 0 {
                    self.issued += 1;
                }
                if row.flags & row_flag::AT_ENTRY == 0 {
                    return Ok(());
                }
                self.begin(tid, thread, number, &args, flag::ENTRY, (now, now));
                self.strings(thread.pid, &row, &args);
                self.send()
            }
            Call::Exit(ret) => {
                if std::mem::take(&mut thread.elsewhere) {
                    return Ok(());
                }
                // At its return ptrace does not tell which call it was: one that was under way when the capture began is unknown.
                let Some((number, args, begun)) = thread.inside.take() else { return Ok(()) };
                let Some(row) = watched(calls, number) else { return Ok(()) };
                let was = thread.was.take().unwrap_or(tid);
                if row.flags & row_flag::AT_ENTRY != 0 && ret == 0 {
                    let user = effective(thread.pid);
                    self.decoder.ran(was, &Ran { user, ..program::of_proc(i64::from(thread.pid), self.lines) });
                }
                self.begin(was, thread, number, &args, 0, (begun, now));
                self.maker.put(at::RET, &ret.to_ne_bytes());
                if row.flags & row_flag::AT_ENTRY == 0 {
                    self.strings(thread.pid, &row, &args);
                    self.behind(thread.pid, &row, &args, ret);
                }
                let fd = match row.flags & row_flag::MAKES_FD {
                    0 => args.get(usize::from(row.fd)).map(|fd| i64::from(*fd as i32)),
                    _ => Some(ret),
                };
                if let Some(fd) = fd.filter(|fd| *fd >= 0) {
                    self.file(tid, fd, row.flags & row_flag::WHERE != 0);
                }
                self.send()
            }
            Call::None => Ok(()),
        }
    }

    fn begin(&mut self, tid: u32, thread: &Thread, number: u64, args: &[u64; 6], flags: u16, (begun, now): (u64, u64)) {
        self.maker.begin(thread.pid, tid, flags);
        self.maker.put(at::TS, &begun.to_ne_bytes());
        self.maker.put(at::DUR, &(now - begun).to_ne_bytes());
        self.maker.put(at::NUMBER, &(number as u16).to_ne_bytes());
        for (place, arg) in (0..).zip(args) {
            self.maker.put(at::ARGS + 8 * place, &arg.to_ne_bytes());
        }
    }

    fn strings(&mut self, pid: u32, row: &Row, args: &[u64; 6]) {
        for (which, place) in row.strings.iter().enumerate().filter(|(_, place)| **place != NONE) {
            let Some(address) = args.get(usize::from(*place)).filter(|address| **address != 0) else { continue };
            match string(pid, *address) {
                Some(text) => self.maker.append(at::STRINGS + 2 * which as i16, &text),
                None => self.maker.say([flag::LOST_FIRST, flag::LOST_SECOND][which]),
            }
        }
    }

    fn behind(&mut self, pid: u32, row: &Row, args: &[u64; 6], ret: i64) {
        let arg = |place: u8| args.get(usize::from(place)).copied().unwrap_or(0);
        let length = match row.behind {
            Behind::Nothing => return,
            _ if row.flags & row_flag::IF_DONE != 0 && ret < 0 => return,
            Behind::Two => {
                let mut both = [0; 16];
                let mut lost = false;
                for (half, place) in both.chunks_exact_mut(8).zip([row.pointer, row.second]) {
                    lost |= arg(place) != 0 && tracee::read(pid, arg(place), half) != 8;
                }
                if lost {
                    self.maker.say(flag::LOST_BEHIND)
                } else {
                    self.maker.append(at::BEHIND, &both)
                }
                return;
            }
            Behind::Lock if Lock::of(i64::from(arg(row.pointer - 1) as u32)).is_none() => return,
            Behind::Fixed | Behind::Lock => u64::from(row.size),
            Behind::Returned => (ret as u64).saturating_mul(1 << row.size),
            Behind::Vectors => arg(row.pointer + 1).saturating_mul(1 << row.size),
            Behind::Requests => return self.requests(pid, arg(row.pointer), ret),
        };
        if length > record::BEHIND as u64 || arg(row.pointer) == 0 {
            return;
        }
        let mut bytes = vec![0; length as usize];
        if tracee::read(pid, arg(row.pointer), &mut bytes) == bytes.len() {
            self.maker.append(at::BEHIND, &bytes);
        } else {
            self.maker.say(flag::LOST_BEHIND);
        }
    }

    /// Appends the requests of io_submit(2) to the record: of each its address and the `struct iocb` there.
    fn requests(&mut self, pid: u32, at: u64, count: i64) {
        let mut bytes = Vec::new();
        for place in 0..(count.max(0) as usize).min(record::BEHIND as usize / ENTRY) {
            let mut entry = [0; ENTRY];
            let (pointer, rest) = entry.split_at_mut(8);
            let whole = tracee::read(pid, at + 8 * place as u64, pointer) == 8
                && pointer.first_chunk().is_some_and(|at| tracee::read(pid, u64::from_ne_bytes(*at), rest) == rest.len());
            if !whole {
                self.maker.say(flag::LOST_BEHIND);
                break;
            }
            bytes.extend_from_slice(&entry);
        }
        self.maker.append(at::BEHIND, &bytes);
    }

    /// Puts what a descriptor is open on into the record, from /proc; with `whole` also its path.
    fn file(&mut self, tid: u32, fd: i64, whole: bool) {
        let Some(file) = snapshot::open_file(tid, fd) else { return };
        let device = libc::major(file.dev as u64) << 20 | libc::minor(file.dev as u64);
        self.maker.say(flag::FILE);
        self.maker.put(at::DEV, &device.to_ne_bytes());
        self.maker.put(at::INO, &file.ino.to_ne_bytes());
        self.maker.put(at::SIZE, &file.size.to_ne_bytes());
        self.maker.put(at::POS, &file.pos.to_ne_bytes());
        self.maker.put(at::MODE, &(file.mode as u16).to_ne_bytes());
        self.maker.put(at::FILE_FLAGS, &(file.flags as u32).to_ne_bytes());
        if whole && file.path.first() == Some(&b'/') {
            let names = file.path.rsplit(|byte| *byte == b'/').filter(|name| !name.is_empty());
            let reversed: Vec<u8> = names.flat_map(|name| [name, b"\0"].concat()).collect();
            self.maker.say(flag::WHERE);
            self.maker.append(at::WHERE, &reversed);
        }
    }

    fn send(&mut self) -> Result<()> {
        let came = self.decoder.take(self.maker.bytes(), self.recorder.next());
        self.pass(came)
    }

    /// Passes on the event that came, if one did, and all that come with it.
    fn pass(&mut self, mut came: bool) -> Result<()> {
        while came {
            if self.path_filter.lets(&self.recorder.next().event) {
                self.taken += 1;
                self.recorder.add()?;
            }
            came = self.decoder.more(self.recorder.next());
        }
        Ok(())
    }

    /// The capture ends: passes on the requests that are still pending.
    fn finish(&mut self) -> Result<()> {
        self.decoder.finish();
        let came = self.decoder.more(self.recorder.next());
        self.pass(came)
    }

    fn outcome(self, ended: Ended, unfinished: u64, began: Instant, status: Option<ExitStatus>) -> Outcome {
        let Seen { returned, exits, cut_short, unreadable, garbled, .. } = self.decoder.seen;
        let (told, filtered) = (returned + exits, self.path_filter.filtered);
        let unfinished_calls = self.issued.saturating_sub(told);
        let sum = Sum { issued: self.issued, written: told - filtered, filtered, lost: 0, unfinished: unfinished_calls };
        let found = [
            (Loss::Compat, self.compat),
            (Loss::Garbled, garbled),
            (Loss::Unreadable, unreadable),
            (Loss::CutShort, cut_short),
            (Loss::Unfinished, unfinished),
        ];
        let losses = Lost::some(found.into_iter().chain(self.decoder.seen.requests(true))).collect();
        self.recorder.layouts = self.decoder.layouts;
        Outcome { ended, sum, losses, polled: Vec::new(), devices: None, took: began.elapsed(), status }
    }
}

/// The row of the call with this number; `None` when it is not captured.
fn watched(calls: &Calls, number: u64) -> Option<Row> {
    calls.rows.get(usize::try_from(number).ok()?).copied().filter(|row| row.flags & row_flag::WATCHED != 0)
}

/// Reads a string of a process at an address, with its NUL; `None` when unreadable or longer than PATH_MAX.
fn string(pid: u32, at: u64) -> Option<Vec<u8>> {
    const PAGE: u64 = 4096;
    let mut text = Vec::new();
    while text.len() < record::STRING as usize {
        let from = at + text.len() as u64;
        // Not beyond the page: the next one may not be mapped.
        let mut bytes = [0; PAGE as usize];
        let got = tracee::read(pid, from, &mut bytes[..(PAGE - from % PAGE) as usize]);
        if got == 0 {
            return None;
        }
        match memchr::memchr(0, &bytes[..got]) {
            Some(end) => {
                text.extend_from_slice(&bytes[..=end]);
                return Some(text).filter(|text| text.len() <= record::STRING as usize);
            }
            None => text.extend_from_slice(&bytes[..got]),
        }
    }
    None
}
