//! A program that really runs: threads and processes that make planned calls at the same time, and note for each when it
//! was entered and when it returned, by one counter that all of them share.
//!
//! It is this test binary, executed anew with a board (a file that all map) and a plan. Between phases everybody waits for
//! everybody; within one, calls overlap as they happen to. A child of fork or vfork makes nothing but system calls until
//! it executes something: whatever it needs was made before.

use libc::{c_int, c_long};
use serde::{Deserialize, Serialize};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::ptr::null;
use std::sync::atomic::{AtomicI32, AtomicI64, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// Who acts: the first thread, two more of its process, a child of fork, and one of vfork that executes a program.
pub const ACTORS: usize = 5;
/// The child of fork.
pub const FORKED: usize = 3;
/// The child of vfork.
pub const VFORKED: usize = 4;
/// Places for descriptors in each process.
pub const SLOTS: usize = 16;
/// What is asked for where a slot holds nothing.
pub const NO_FD: i32 = 777;

const PHASES: usize = 16;
const RECORDS: usize = 2048;
const CHUNK: usize = 4096;

/// An argument of a call.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Arg {
    /// The descriptor in a slot.
    Slot(usize),
    /// AT_FDCWD.
    Cwd,
    Path(String),
    Dec(i64),
    Oct(i64),
    Hex(i64),
    Whence(i64),
    /// Memory for data.
    Buffer,
    /// Memory for a `struct stat`.
    Stat,
}

/// A call: its name as strace has it, its number, its arguments, and where the descriptor goes that it returns.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Call {
    pub name: String,
    pub number: c_long,
    pub args: Vec<Arg>,
    pub into: Option<usize>,
}

/// What an actor does in a phase.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub enum Act {
    Call(Call),
    /// Starts a thread of the same process.
    Thread(usize),
    /// fork, or vfork: that child ends with [`Act::Exec`].
    Fork(usize),
    /// Executes the program anew, and looks which descriptors are left.
    Exec,
}

/// A plan: what each actor does in each phase.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Plan {
    pub root: String,
    pub phases: Vec<Vec<Vec<Act>>>,
    /// How many actors there are at the end of each phase.
    pub there: Vec<u32>,
    /// Slots whose descriptors are closed by exec.
    pub cloexec: Vec<usize>,
}

/// What was noted of a call.
#[repr(C)]
#[derive(Default)]
struct Record {
    begin: AtomicU64,
    end: AtomicU64,
    pid: AtomicI32,
    tid: AtomicI32,
    phase: AtomicU32,
    actor: AtomicU32,
    /// Which act of the actor in the phase; beyond its acts: a look at a slot, at last.
    act: AtomicU32,
    /// The descriptors it was given, in order.
    fds: [AtomicI32; 2],
    ret: AtomicI64,
    st_mode: AtomicI64,
    st_size: AtomicI64,
}

/// What all processes share.
#[repr(C)]
struct Board {
    clock: AtomicU64,
    used: AtomicU64,
    arrived: [AtomicU32; PHASES],
    /// The thread id of each actor, once it runs.
    tids: [AtomicI32; ACTORS],
    /// The record of a call to exec that has not returned.
    execs: [AtomicU32; ACTORS],
    /// Descriptors, by process (its first actor) and slot.
    slots: [[AtomicI32; SLOTS]; ACTORS],
    records: [Record; RECORDS],
}

/// A call as it was made.
#[derive(Clone, Debug)]
pub struct Made {
    pub begin: u64,
    /// 0 when it never returned.
    pub end: u64,
    pub pid: i32,
    pub tid: i32,
    pub phase: usize,
    pub actor: usize,
    pub act: usize,
    pub fds: [i32; 2],
    pub ret: i64,
    pub st_mode: i64,
    pub st_size: i64,
}

fn map(path: &Path, make: bool) -> &'static Board {
    let name = CString::new(path.as_os_str().as_bytes()).unwrap();
    let size = size_of::<Board>();
    // SAFETY: a new shared mapping of a file that is as long; fresh pages are zeroes, which is a valid board.
    unsafe {
        let fd = libc::open(name.as_ptr(), libc::O_RDWR | if make { libc::O_CREAT } else { 0 }, 0o600);
        assert!(fd >= 0 && (!make || libc::ftruncate(fd, size as i64) == 0));
        let at = libc::mmap(std::ptr::null_mut(), size, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd, 0);
        assert_ne!(at, libc::MAP_FAILED);
        libc::close(fd);
        &*at.cast()
    }
}

/// Runs a plan; gives what was made of it, by entry. `place` is for the board.
pub fn run(plan: &Plan, place: &Path) -> Vec<Made> {
    let at = place.join("board");
    let _ = std::fs::remove_file(&at);
    let board = map(&at, true);
    board.slots.iter().flatten().for_each(|slot| slot.store(-1, SeqCst));
    std::fs::write(at.with_extension("plan"), serde_json::to_vec(plan).unwrap()).unwrap();
    let output = Command::new(std::env::current_exe().unwrap()).args(ARGUMENTS).env(PLACE, &at).env(ACTOR, "0").output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{text}");
    let records = &board.records[..board.used.load(SeqCst) as usize];
    let mut made: Vec<Made> = records
        .iter()
        .map(|record| Made {
            begin: record.begin.load(SeqCst),
            end: record.end.load(SeqCst),
            pid: record.pid.load(SeqCst),
            tid: record.tid.load(SeqCst),
            phase: record.phase.load(SeqCst) as usize,
            actor: record.actor.load(SeqCst) as usize,
            act: record.act.load(SeqCst) as usize,
            fds: [0, 1].map(|which| record.fds[which as usize].load(SeqCst)),
            ret: record.ret.load(SeqCst),
            st_mode: record.st_mode.load(SeqCst),
            st_size: record.st_size.load(SeqCst),
        })
        .collect();
    made.sort_by_key(|made| made.begin);
    // SAFETY: nothing refers to the board any more.
    unsafe { libc::munmap(std::ptr::from_ref(board).cast_mut().cast(), size_of::<Board>()) };
    made
}

const ARGUMENTS: [&str; 5] = ["--ignored", "--exact", "--nocapture", "--test-threads=1", "suite::model::program::program"];
const PLACE: &str = "IORIOT_TEST_BOARD";
const ACTOR: &str = "IORIOT_TEST_ACTOR";

/// The program: run by the test of [`super::threads`].
#[test]
#[ignore = "run by the tests of the model with threads"]
fn program() {
    let Some(place) = std::env::var_os(PLACE).map(PathBuf::from) else { return };
    let actor: usize = std::env::var(ACTOR).unwrap().parse().unwrap();
    let board = map(&place, false);
    let plan: Plan = serde_json::from_slice(&std::fs::read(place.with_extension("plan")).unwrap()).unwrap();
    let ready = Ready::of(&plan, &place, board);
    let process = Process { ready: &ready, owner: actor };
    if actor == 0 {
        process.live(0, 0);
    } else {
        process.reborn(actor);
    }
    process.leave();
}

/// A plan with all memory that its calls need.
struct Ready {
    board: &'static Board,
    phases: Vec<Vec<Vec<ReadyAct>>>,
    there: Vec<u32>,
    cloexec: Vec<usize>,
    program: CString,
    arguments: Vec<CString>,
    /// The environment of the program that the child of vfork executes.
    environment: [CString; 2],
    stack: Vec<u8>,
}

enum ReadyAct {
    Call { number: c_long, args: Vec<(Arg, CString)>, into: Option<usize> },
    Thread(usize),
    Fork(usize),
    Exec,
}

impl Ready {
    fn of(plan: &Plan, place: &Path, board: &'static Board) -> Ready {
        let text = |text: &str| CString::new(text).unwrap();
        let ready = |act: &Act| match act {
            Act::Call(call) => {
                let path = |arg: &Arg| if let Arg::Path(path) = arg { text(path) } else { CString::default() };
                let args = call.args.iter().map(|arg| (arg.clone(), path(arg))).collect();
                ReadyAct::Call { number: call.number, args, into: call.into }
            }
            Act::Thread(actor) => ReadyAct::Thread(*actor),
            Act::Fork(actor) => ReadyAct::Fork(*actor),
            Act::Exec => ReadyAct::Exec,
        };
        let phase = |phase: &Vec<Vec<Act>>| phase.iter().map(|acts| acts.iter().map(ready).collect()).collect();
        let program = std::env::current_exe().unwrap();
        Ready {
            board,
            phases: plan.phases.iter().map(phase).collect(),
            there: plan.there.clone(),
            cloexec: plan.cloexec.clone(),
            program: CString::new(program.as_os_str().as_bytes()).unwrap(),
            arguments: ["it"].iter().chain(&ARGUMENTS).map(|arg| text(arg)).collect(),
            environment: [text(&format!("{PLACE}={}", place.display())), text(&format!("{ACTOR}={VFORKED}"))],
            stack: vec![0; 256 * 1024],
        }
    }
}

/// Raw: the wrappers of the library remember process and thread ids.
fn id(number: c_long) -> i32 {
    // SAFETY: getpid and gettid take nothing and cannot fail.
    unsafe { libc::syscall(number) as i32 }
}

#[derive(Clone, Copy)]
struct Process<'a> {
    ready: &'a Ready,
    /// The actor that its slots are named after.
    owner: usize,
}

impl Process<'_> {
    fn board(&self) -> &'static Board {
        self.ready.board
    }

    /// What an actor does from a phase on.
    fn live(self, actor: usize, from: usize) {
        self.board().tids[actor].store(id(libc::SYS_gettid), SeqCst);
        for phase in from..self.ready.phases.len() {
            self.act(actor, phase);
            self.meet(phase);
        }
        // At last: where every descriptor is, and how long its file.
        if actor == self.owner {
            for slot in 0..SLOTS {
                self.look(actor, slot, 0);
                self.look(actor, slot, SLOTS);
            }
        }
    }

    fn act(self, actor: usize, phase: usize) {
        for (place, act) in self.ready.phases[phase][actor].iter().enumerate() {
            let record = self.begin(phase, actor, place);
            match act {
                ReadyAct::Call { number, args, into } => self.call(record, *number, args, *into),
                ReadyAct::Thread(other) => self.thread(record, *other, phase),
                ReadyAct::Fork(child) => self.fork(record, *child, phase),
                ReadyAct::Exec => self.exec(record, actor),
            }
        }
    }

    fn begin(self, phase: usize, actor: usize, act: usize) -> &'static Record {
        let at = self.board().used.fetch_add(1, SeqCst) as usize;
        let record = &self.board().records[at.min(RECORDS - 1)];
        record.pid.store(id(libc::SYS_getpid), SeqCst);
        record.tid.store(id(libc::SYS_gettid), SeqCst);
        for (field, value) in [(&record.phase, phase), (&record.actor, actor), (&record.act, act)] {
            field.store(value as u32, SeqCst);
        }
        record
    }

    fn enter(self, record: &Record) {
        record.begin.store(self.board().clock.fetch_add(1, SeqCst) + 1, SeqCst);
    }

    fn over(self, record: &Record, ret: i64) {
        record.end.store(self.board().clock.fetch_add(1, SeqCst) + 1, SeqCst);
        record.ret.store(ret, SeqCst);
    }

    fn slot(self, slot: usize) -> &'static AtomicI32 {
        &self.board().slots[self.owner][slot]
    }

    fn call(self, record: &Record, number: c_long, args: &[(Arg, CString)], into: Option<usize>) {
        let mut buffer = [0u8; CHUNK];
        // SAFETY: `stat` is plain data that the kernel fills in.
        let mut stat: libc::stat = unsafe { std::mem::zeroed() };
        let (mut raw, mut fds) = ([0 as c_long; 6], record.fds.iter());
        for (value, (arg, text)) in raw.iter_mut().zip(args) {
            *value = match arg {
                Arg::Slot(slot) => {
                    let fd = Some(self.slot(*slot).load(SeqCst)).filter(|fd| *fd >= 0).unwrap_or(NO_FD);
                    fds.next().unwrap().store(fd, SeqCst);
                    fd as c_long
                }
                Arg::Cwd => libc::AT_FDCWD as c_long,
                Arg::Path(_) => text.as_ptr() as c_long,
                Arg::Dec(value) | Arg::Oct(value) | Arg::Hex(value) | Arg::Whence(value) => *value as c_long,
                Arg::Buffer => buffer.as_mut_ptr() as c_long,
                Arg::Stat => std::ptr::from_mut(&mut stat) as c_long,
            };
        }
        let [a, b, c, d, e, f] = raw;
        self.enter(record);
        // SAFETY: pointers are to memory above that outlives the call, and no call is told of more than there is.
        let ret = unsafe { libc::syscall(number, a, b, c, d, e, f) };
        self.over(record, if ret < 0 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or(0)) } else { ret });
        record.st_mode.store(i64::from(stat.st_mode), SeqCst);
        record.st_size.store(stat.st_size, SeqCst);
        if let Some(slot) = into {
            self.slot(slot).store(if ret < 0 { -1 } else { ret as i32 }, SeqCst);
        } else if number == libc::SYS_close && ret == 0 {
            for (arg, _) in args {
                if let Arg::Slot(slot) = arg {
                    self.slot(*slot).store(-1, SeqCst);
                }
            }
        }
    }

    /// A look at a slot: its position, or (`which` is [`SLOTS`]) its file.
    fn look(self, actor: usize, slot: usize, which: usize) {
        if self.slot(slot).load(SeqCst) >= 0 {
            let call = look(slot, which == SLOTS);
            let args: Vec<_> = call.args.into_iter().map(|arg| (arg, CString::default())).collect();
            let record = self.begin(PHASES, actor, slot + which);
            self.call(record, call.number, &args, None);
        }
    }

    fn thread(self, record: &Record, other: usize, phase: usize) {
        let ready = std::ptr::from_ref(self.ready) as usize;
        self.enter(record);
        std::thread::spawn(move || {
            // SAFETY: the plan lives until the process ends, see `leave`.
            let process = Process { ready: unsafe { &*(ready as *const Ready) }, owner: 0 };
            process.live(other, phase);
        });
        self.wait_until(|| self.board().tids[other].load(SeqCst) != 0);
        self.over(record, i64::from(self.board().tids[other].load(SeqCst)));
    }

    fn fork(self, record: &Record, child: usize, phase: usize) {
        for slot in 0..SLOTS {
            self.board().slots[child][slot].store(self.slot(slot).load(SeqCst), SeqCst);
        }
        let born = Born { process: Process { owner: child, ..self }, child, phase };
        self.enter(record);
        let pid = if child == FORKED {
            // SAFETY: the child makes nothing but system calls.
            match unsafe { libc::fork() } {
                0 => born.live(),
                pid => pid,
            }
        } else {
            let (vfork, at) = (libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD, std::ptr::from_ref(&born).cast_mut().cast());
            let end = self.ready.stack.as_ptr_range().end as usize & !15;
            // SAFETY: as vfork(2), on a stack of its own: the parent waits until the child has executed something.
            unsafe { libc::clone(live_to_exec, end as *mut libc::c_void, vfork, at) }
        };
        self.over(record, i64::from(pid));
    }

    fn exec(self, record: &Record, actor: usize) {
        let at = (std::ptr::from_ref(record) as usize - self.board().records.as_ptr() as usize) / size_of::<Record>();
        self.board().execs[actor].store(at as u32, SeqCst);
        let mut arguments = [null(); 8];
        self.ready.arguments.iter().zip(&mut arguments).for_each(|(text, at)| *at = text.as_ptr());
        let [place, actor] = &self.ready.environment;
        let environment = [place.as_ptr(), actor.as_ptr(), null()];
        self.enter(record);
        // SAFETY: all arrays end in null.
        unsafe {
            libc::execve(self.ready.program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
            libc::_exit(9);
        }
    }

    /// After exec.
    fn reborn(self, actor: usize) {
        let record = &self.board().records[self.board().execs[actor].load(SeqCst) as usize];
        self.over(record, 0);
        let phase = record.phase.load(SeqCst) as usize;
        for slot in &self.ready.cloexec {
            self.look(actor, *slot, 0);
            self.slot(*slot).store(-1, SeqCst);
        }
        self.meet(phase);
        self.live(actor, phase + 1);
    }

    /// Waits for everybody.
    fn meet(self, phase: usize) {
        let arrived = &self.board().arrived[phase];
        arrived.fetch_add(1, SeqCst);
        self.wait_until(|| arrived.load(SeqCst) >= self.ready.there[phase]);
    }

    fn wait_until(self, done: impl Fn() -> bool) {
        let began = Instant::now();
        while !done() {
            if began.elapsed() > Duration::from_secs(60) {
                // SAFETY: ends the process, as whoever is waited for has done.
                unsafe { libc::_exit(8) };
            }
            std::thread::yield_now();
        }
    }

    /// The end of a process: nothing is freed, as threads may still be looking at it.
    fn leave(self) -> ! {
        let (mut status, mut wrong) = (0, 0);
        // SAFETY: waits for children of ours, and ends the process.
        unsafe {
            while libc::wait(&mut status) > 0 {
                wrong |= c_int::from(status != 0);
            }
            libc::_exit(wrong)
        }
    }
}

/// The look at a slot.
pub fn look(slot: usize, file: bool) -> Call {
    let (name, number, args) = match file {
        true => ("fstat", libc::SYS_fstat, vec![Arg::Slot(slot), Arg::Stat]),
        false => ("lseek", libc::SYS_lseek, vec![Arg::Slot(slot), Arg::Dec(0), Arg::Whence(1)]),
    };
    Call { name: name.into(), number, args, into: None }
}

/// A child.
struct Born<'a> {
    process: Process<'a>,
    child: usize,
    phase: usize,
}

impl Born<'_> {
    fn live(&self) -> ! {
        self.process.live(self.child, self.phase);
        self.process.leave()
    }
}

extern "C" fn live_to_exec(at: *mut libc::c_void) -> c_int {
    // SAFETY: what the parent put there, and keeps until the child is gone.
    let born = unsafe { &*at.cast::<Born<'_>>() };
    born.process.act(born.child, born.phase); // does not come back: its last act is exec
    7
}
