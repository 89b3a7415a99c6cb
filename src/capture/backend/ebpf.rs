//! The eBPF backend: loads the programs, attaches them, and reads their ring and buffers until the capture ends.

use super::verify;
use crate::capture::decode::notices::Notice;
use crate::capture::decode::table::Calls;
use crate::capture::decode::uring::Rings;
use crate::capture::decode::{Decoder, Seen};
use crate::capture::device;
use crate::capture::kernel::asm::Map;
use crate::capture::kernel::bpf::{Attach, Maps, Program};
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::counter::{COUNTERS, Counter};
use crate::capture::kernel::drain::Drain;
use crate::capture::kernel::layout::{COPIED, Layout};
use crate::capture::kernel::percpu::Buffers;
use crate::capture::os;
use crate::capture::probe::device::Whose;
use crate::capture::probe::faults;
use crate::capture::probe::optional::Optional;
use crate::capture::probe::program::{self, Programs};
use crate::capture::probe::reaped;
use crate::capture::target::command::Target;
use crate::capture::target::left::{Born, Left};
use crate::capture::target::path_filter::{PathFilter, Paths};
use crate::capture::target::program as runs;
use crate::capture::target::scope::{Match, Scope};
use crate::capture::target::snapshot::{Process, Snapshot};
use crate::capture::write::{Recorder, hole};
use crate::capture::{Ended, Limits, Options, Outcome, Sum};
use crate::event::{Col, Event};
use crate::events::order::Placed;
use crate::loss::Loss;
use crate::process::signal;
use crate::progress::Progress;
use crate::schema::losses::Lost;
use crate::syscall::Ret;
use anyhow::{Context, Result, ensure};
use std::collections::{BTreeMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

/// How long the reader sleeps when it finds no records.
const NAP: Duration = Duration::from_millis(2);
/// How often the reader checks the kernel's counters and the limits of the capture.
const LOOK: Duration = Duration::from_millis(20);

/// For each program: its name, its code, and kind and name of the BTF type of the tracepoint or iterator it is attached to.
pub(super) fn hooks(programs: &Programs) -> [(&'static str, &crate::capture::kernel::asm::Code, Attach, Kind, &'static str); 6] {
    use Attach::{Iterator, Tracepoint};
    // Exits right before entries: of a call that happens while these two are attached only the return is seen.
    [
        ("ioriot_fork", &programs.fork, Tracepoint, Kind::Typedef, "btf_trace_sched_process_fork"),
        ("ioriot_end", &programs.end, Tracepoint, Kind::Typedef, "btf_trace_sched_process_exit"),
        ("ioriot_exit", &programs.exit, Tracepoint, Kind::Typedef, "btf_trace_sys_exit"),
        ("ioriot_enter", &programs.enter, Tracepoint, Kind::Typedef, "btf_trace_sys_enter"),
        ("ioriot_mark", &programs.mark, Iterator, Kind::Func, "bpf_iter_task"),
        ("ioriot_files", &programs.files, Iterator, Kind::Func, "bpf_iter_task_file"),
    ]
}

/// What is missing without the program of [`reaped`].
const TAKEN: &str = "results of io_submit that programs take from the ring themselves are not captured";

pub(super) const RIGHTS: &str = "eBPF needs CAP_BPF and CAP_PERFMON: run it by sudo, or give the program both (setcap)";

/// An eBPF capture under way: loaded programs, maps and the reading end.
pub struct Ebpf {
    calls: Calls,
    maps: Maps,
    programs: Vec<Program>,
    /// The programs that tell waits; none when waits are not captured.
    pub waits: Vec<Program>,
    /// Are page faults on mapped files captured?
    pub faults: bool,
    /// Is it captured what is added to the page cache?
    pub cache: bool,
    /// The program that tells which results of io_submit are taken without a call; attached when there are any.
    reaped: Option<Program>,
    /// The program that counts what block devices do; `None` where the kernel does not show it.
    device: Option<Program>,
    drain: Drain,
    target: Option<Target>,
    pids: Vec<u32>,
    rings: Option<Rings>,
    clock: i64,
    /// When the walk over open files had ended, ns since 1970.
    until: i64,
    /// The snapshot: processes, open files and mounts at the start of the capture.
    pub snapshot: Snapshot,
}

impl Ebpf {
    /// Loads and attaches the programs and takes the snapshot. A command waits at its gate until [`Ebpf::run`].
    ///
    /// # Errors
    /// When privileges or kernel features are missing, or the command or processes do not exist.
    pub fn start(options: &Options) -> Result<Ebpf> {
        let btf = Btf::kernel()?;
        let layout = Layout::find(&btf)?;
        if layout.cast.is_none() {
            log::warn!("{COPIED}");
        }
        let matcher = options.scope.matcher()?;
        if !layout.loops && matcher != Match::Pids {
            log::warn!("bpf_loop is missing (Linux 5.17 has it): what processes have open that come later is not told");
        }
        let buffers = Buffers::new(options.buffer);
        let calls = Calls::new(|syscall| options.calls.has(syscall));
        let ring = u32::try_from(options.buffer.max(64 * 1024)).ok().and_then(u32::checked_next_power_of_two);
        let ring = ring.context("the buffer is too large: 2 GiB is the most")?;
        let maps = Maps::create(ring, buffers, &calls.rows).context(RIGHTS)?;

        let (target, pids) = Target::of(&options.scope, &[])?;
        pids.iter().try_for_each(|pid| maps.add_pid(*pid))?;

        let waits = if options.waits { verify::waits(&btf, &layout, &maps) } else { Vec::new() };
        let code = program::make(&layout, buffers, &matcher, options.follow, !waits.is_empty());
        let mut programs = Vec::new();
        let (mut tasks, mut files) = (Vec::new(), Vec::new());
        for (name, code, attach, kind, hook) in hooks(&code) {
            let mut program = Program::load(name, code, &maps, attach, btf.id(kind, hook)?).context(RIGHTS)?;
            match attach {
                Attach::Tracepoint => program.attach()?,
                // The walks come last: what is opened after a walk has passed is recorded by the programs at the tracepoints.
                Attach::Iterator if name == "ioriot_mark" => {
                    tasks = program.walk()?;
                    maps.settle()?;
                }
                Attach::Iterator => files = program.walk()?,
            }
            programs.push(program);
        }
        let (mut rings, extras) = verify::extras(&btf, &layout, options.faults, options.command_lines);
        let mut faults = extras.iter().any(|program| program.name.contains("fault"));
        for Optional { name, code, hook } in extras {
            let load = || -> Result<Program> {
                let mut program = Program::load(name, &code, &maps, Attach::Tracepoint, hook)?;
                program.attach()?;
                Ok(program)
            };
            match load() {
                Ok(program) => programs.push(program),
                Err(error) => {
                    log::warn!("what program {name} would tell is not captured: {error:#}");
                    faults &= !name.contains("fault");
                    rings = rings.filter(|_| name.contains("fault") || name.contains("exec"));
                }
            }
        }
        let cache = faults && faults::shows_folios(&btf);
        let device = device::attach(&btf, &layout, &maps, Whose::Captured);
        let device = device.inspect_err(|error| log::warn!("what devices do is not counted: {error:#}")).ok();
        let reaped = reaped::program(&btf, &layout)
            .and_then(|Optional { name, code, hook }| Program::load(name, &code, &maps, Attach::Tracepoint, hook));
        let reaped = reaped.inspect_err(|error| log::warn!("{TAKEN}: {error:#}")).ok();
        let until = os::now();
        let mut snapshot = Snapshot::new(&tasks, &files, options.command_lines);
        if matcher != Match::Pids {
            snapshot.know_own_mounts();
        }
        if target.is_some() {
            // Descriptors of the waiting child that exec will close are this program's, not the command's.
            snapshot.files.retain(|file| !file.cloexec);
        }
        ensure!(
            pids.iter().all(|pid| snapshot.processes.iter().any(|process| process.pid == i64::from(*pid))),
            "not all of the processes {pids:?} were found: is this another process id namespace?"
        );
        let drain = Drain::new((maps.fd(Map::Ring), ring as usize), (maps.fd(Map::Buffers), buffers))?;
        Ok(Ebpf {
            drain,
            calls,
            maps,
            programs,
            waits,
            faults,
            cache,
            device,
            reaped,
            target,
            pids,
            rings,
            clock: os::clock_offset(),
            until,
            snapshot,
        })
    }

    /// Lets the command execute and passes events to the recorder until the capture ends; then takes what is left in the ring and
    /// buffers.
    ///
    /// # Errors
    /// When the command cannot be executed, counters cannot be read, or the recorder fails.
    pub fn run(&mut self, options: &Options, progress: &Progress, recorder: &mut Recorder<'_>) -> Result<Outcome> {
        let mut decoder = Decoder::new(&self.calls, self.clock, self.target.as_ref().map(|target| target.pid));
        decoder.rings = self.rings.take();
        std::mem::swap(&mut decoder.layouts, &mut recorder.layouts);
        decoder.ofds = std::mem::take(&mut self.snapshot.ofds);
        let mut reader = Reader {
            decoder,
            path_filter: PathFilter::new(&options.paths, &self.snapshot),
            snapshot: &mut self.snapshot,
            joined: BTreeMap::new(),
            lines: options.command_lines,
            taken: 0,
            beyond: 0,
            failed: None,
            full: 0,
            since: os::now(),
            losses: Vec::new(),
            until: self.until,
            made_early: HashSet::new(),
            born: Born::default(),
        };
        let mut left = Left::default();
        if let (Some(target), Scope::Command(words)) = (&mut self.target, &options.scope) {
            target.release(words.first().context("no command")?)?;
        }
        let began = Instant::now();
        let mut looked = began;
        let ended = loop {
            let room = options.limits.events.map_or(u64::MAX, |most| most.saturating_sub(reader.taken));
            let before = reader.taken;
            let bytes = reader.drain(&mut self.drain, os::monotonic(), room, recorder)?;
            progress.add(reader.taken - before);
            if options.limits.events.is_some_and(|most| reader.taken >= most) {
                break Ended::Events;
            }
            if reader.decoder.seen.contexts
                && let Some(mut program) = self.reaped.take()
            {
                match program.attach() {
                    Ok(()) => self.programs.push(program),
                    Err(error) => log::warn!("{TAKEN}: {error:#}"),
                }
            }
            if looked.elapsed() >= LOOK {
                looked = Instant::now();
                let counters = self.maps.counters()?;
                if reader.look(&counters, recorder)? && options.on_drop.stops() {
                    break Ended::Drop;
                }
                let command = self.target.as_mut().map(|target| target.ended().is_some());
                if let Some(ended) = over(command, !self.pids.is_empty(), &options.limits, began, &counters, recorder.size()) {
                    break ended;
                }
                if left.due(command == Some(true)) {
                    left.tell(reader.born.pids());
                }
            }
            recorder.tick()?;
            if bytes == 0 {
                thread::sleep(NAP);
            }
        };
        let misses = [&self.programs, &self.waits].map(|programs| programs.iter().map(Program::misses).sum::<u64>());
        self.programs.iter_mut().chain(&mut self.waits).chain(&mut self.device).for_each(Program::detach);
        // Twice with a pause: programs that were still running when they were detached may add records.
        for _ in 0..2 {
            if ended == Ended::Events {
                reader.pass_over(&mut self.drain);
            } else {
                while reader.drain(&mut self.drain, u64::MAX, u64::MAX, recorder)? > 0 {}
            }
            thread::sleep(NAP);
        }
        if ended != Ended::Events {
            reader.decoder.finish();
            while reader.decoder.more(recorder.next()) {
                reader.give(recorder)?;
            }
        }
        let counters = self.maps.totals()?;
        let devices = self.device.as_ref().map(|_| device::counted(&self.maps)).transpose()?;
        reader.look(&counters, recorder)?;
        let status = self.target.as_mut().and_then(Target::ended);
        reader.complete(&options.paths);
        let polled = reader.decoder.requests.polled();
        std::mem::swap(&mut reader.decoder.layouts, &mut recorder.layouts);
        Ok(Outcome { devices, polled, ..reader.outcome(ended, &counters, misses, began.elapsed(), status) })
    }
}

/// Why the capture is to end now; `None`: it goes on. With `pids` (the scope is a command or processes) it also ends when as
/// many marked tasks have ended as were marked. `size`: bytes of the events on disk.
fn over(
    command: Option<bool>,
    pids: bool,
    limits: &Limits,
    began: Instant,
    counters: &[u64; COUNTERS],
    size: u64,
) -> Option<Ended> {
    let gone = Counter::Marked.of(counters) <= Counter::Ended.of(counters);
    if pids && gone && command != Some(false) || limits.exit && command == Some(true) {
        return Some(Ended::Target);
    }
    if signal::asked().is_some() {
        return Some(Ended::Signal);
    }
    if limits.duration.is_some_and(|most| began.elapsed() >= most) {
        return Some(Ended::Duration);
    }
    limits.bytes.is_some_and(|most| size >= most).then_some(Ended::Bytes)
}

/// The reading side of an eBPF capture: records to events, filters, and the counts of what was taken and lost.
struct Reader<'a> {
    decoder: Decoder<'a>,
    path_filter: PathFilter,
    snapshot: &'a mut Snapshot,
    /// Newcomers by process id: processes that came into the scope while it was captured.
    joined: BTreeMap<i64, Process>,
    /// Are command lines told?
    lines: bool,
    /// Number of events that were passed to the recorder.
    taken: u64,
    /// Number of calls that were recorded beyond the limit of events and not taken.
    beyond: u64,
    /// Error of the recorder inside [`Drain::drain`], to be returned after it.
    failed: Option<anyhow::Error>,
    /// Number of dropped records that were noticed so far.
    full: u64,
    /// When drops were looked for last, ns since 1970.
    since: i64,
    losses: Vec<Lost>,
    /// When the walk over open files had ended, ns since 1970.
    until: i64,
    /// Descriptors (process, number) that calls made before that: the events tell of them, so the snapshot need not.
    made_early: HashSet<(i64, i64)>,
    /// Processes that were made.
    born: Born,
}

impl Reader<'_> {
    /// Takes the records made until an instant (`until`, ns of the monotonic clock), at most `room` events. Returns bytes taken.
    fn drain(&mut self, drain: &mut Drain, until: u64, room: u64, recorder: &mut Recorder<'_>) -> Result<u64> {
        let most = self.taken.saturating_add(room);
        let bytes = drain.drain(until, |record| {
            let mut came = self.decoder.take(record, recorder.next());
            self.hear();
            while came {
                self.failed = self.give(recorder).err();
                came = self.failed.is_none() && self.decoder.more(recorder.next());
            }
            self.failed.is_none() && self.taken < most
        });
        match self.failed.take() {
            Some(error) => Err(error),
            None => Ok(bytes),
        }
    }

    /// Handles the decoder's notices: forks, newcomers, and their working and root directories.
    fn hear(&mut self) {
        for notice in std::mem::take(&mut self.decoder.notices) {
            match notice {
                Notice::Forked { parent, child } => {
                    self.born.add(child);
                    self.path_filter.forked(parent, child);
                }
                Notice::Joined(process, space) => {
                    let mounts = self.snapshot.space(process.pid, space);
                    let ran = runs::of_proc(process.pid, self.lines);
                    self.joined.entry(process.pid).or_insert(Process { mounts, ran, ..*process });
                }
                Notice::Cwd(pid, path) => {
                    if let Some(process) = self.newcomer(pid) {
                        process.cwd.get_or_insert(path);
                    }
                }
                Notice::Root(pid, path) => {
                    if let Some(process) = self.newcomer(pid) {
                        process.root.get_or_insert(path);
                    }
                }
            }
        }
    }

    /// The entry of a newcomer; `None` when this process id is none.
    fn newcomer(&mut self, pid: u32) -> Option<&mut Process> {
        self.joined.get_mut(&i64::from(pid))
    }

    /// Adds the event that was made in the recorder's memory, unless the path filter drops it.
    fn give(&mut self, recorder: &mut Recorder<'_>) -> Result<()> {
        let placed = recorder.next();
        if placed.exit <= self.until
            && let Some(made) = made_fd(&placed.event)
        {
            self.made_early.insert(made);
        }
        if !self.path_filter.lets(&placed.event) {
            return Ok(());
        }
        self.taken += 1;
        recorder.add()
    }

    /// Takes the remaining records and only counts their calls: they are beyond the limit of events.
    fn pass_over(&mut self, drain: &mut Drain) {
        let (decoder, beyond) = (&mut self.decoder, &mut self.beyond);
        let called = |decoder: &Decoder<'_>| decoder.seen.returned + decoder.seen.exits;
        let before = called(decoder);
        let mut nowhere = Placed::room();
        while drain.drain(u64::MAX, |record| {
            decoder.take(record, &mut nowhere);
            true
        }) > 0
        {}
        *beyond += called(decoder) - before;
    }

    /// Compares the kernel's counters of dropped records with those known. New drops become losses and a hole event. Returns
    /// whether there were any.
    fn look(&mut self, counters: &[u64; COUNTERS], recorder: &mut Recorder<'_>) -> Result<bool> {
        let (now, full) = (os::now(), Counter::RingFull.of(counters) + Counter::Untold.of(counters));
        let between = (self.since, now);
        self.since = now;
        if full == self.full {
            return Ok(false);
        }
        let calls = Counter::RingFull.of(counters) - self.sum(Loss::RingFull);
        let untold = Counter::Untold.of(counters) - self.sum(Loss::Untold);
        for (kind, count) in [(Loss::RingFull, calls), (Loss::Untold, untold)].into_iter().filter(|(_, count)| *count > 0) {
            self.losses.push(Lost { kind, count, between: Some(between) });
        }
        let lost = full - std::mem::replace(&mut self.full, full);
        recorder.push(hole(between, lost, self.decoder.seen.records))?;
        Ok(true)
    }

    /// Completes the snapshot at the end: removes descriptors whose making is among the events, and files that the path patterns
    /// drop; adds newcomers.
    fn complete(&mut self, paths: &Paths) {
        let Reader { snapshot, made_early, joined, .. } = self;
        snapshot.files.retain(|file| !made_early.contains(&(file.pid, file.fd)));
        snapshot.keep_files(paths);
        snapshot.add_processes(std::mem::take(joined).into_values());
    }

    fn sum(&self, kind: Loss) -> u64 {
        self.losses.iter().filter(|loss| loss.kind == kind).map(|loss| loss.count).sum()
    }

    fn outcome(
        mut self,
        ended: Ended,
        counters: &[u64; COUNTERS],
        misses: [u64; 2],
        took: Duration,
        status: Option<std::process::ExitStatus>,
    ) -> Outcome {
        let Seen { returned, exits, no_entry, cut_short, unreadable, garbled, .. } = self.decoder.seen;
        let requests = self.decoder.seen.requests(self.decoder.rings.is_none());
        let filtered = self.beyond + self.path_filter.filtered;
        let sum = Sum {
            issued: Counter::Entered.of(counters) + no_entry,
            written: returned + exits - filtered,
            filtered,
            lost: Counter::RingFull.of(counters),
            unfinished: 0,
        };
        let unfinished = sum.issued.saturating_sub(sum.written + sum.filtered + sum.lost);
        let found = [
            (Loss::Recursion, misses[0]),
            (Loss::Waits, misses[1] + Counter::Waits.of(counters)),
            (Loss::NoMark, Counter::NoMark.of(counters)),
            (Loss::Compat, Counter::Compat.of(counters)),
            (Loss::Garbled, garbled),
            (Loss::Unreadable, unreadable),
            (Loss::NoEntry, no_entry),
            (Loss::CutShort, cut_short),
            (Loss::Unfinished, unfinished.saturating_sub(cut_short)),
        ];
        self.losses.extend(Lost::some(found.into_iter().chain(requests)));
        Outcome { ended, sum: Sum { unfinished, ..sum }, losses: self.losses, polled: Vec::new(), devices: None, took, status }
    }
}

/// Process id and number of the descriptor that a successful call made; `None` for calls that make none.
pub fn made_fd(event: &Event) -> Option<(i64, i64)> {
    let fd = event.success().filter(|_| event.syscall.def().ret == Ret::NewFd)?;
    Some((event.int(Col::Pid)?, fd))
}
