//! The programs: what runs in the kernel when a captured task enters or leaves a call, forks or ends.
//!
//! All of them are driven by the rows of map `calls`; none knows a single syscall. A task that is captured has a mark in
//! map `tasks`, which also holds when the call it is in began; fork hands the mark on. Unmarked tasks cost a lookup.
//!
//! Paths are read when a call returns, since by then the kernel itself has touched their pages: at the entry a page may
//! not be there yet, and a program cannot wait for it. Only exec, whose memory is gone afterwards, is read at its entry.

use super::asm::Alu::{And, Lsh, Or, Sub};
use super::asm::Helper;
use super::asm::If::{Eq, Ge, Gt, Ne, Set, SignedGt, SignedLe, SignedLt};
use super::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use super::asm::Size::{B, DW, H, W};
use super::asm::{Asm, Code, Label, Map, Reg};
use super::layout::Layout;
use super::record::{self, at, flag as said};
use super::scope::Match;
use super::table::{Behind, NUMBERS, flag};

/// Counters, in the order in which they stand in map `counters`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Counter {
    /// Calls that began in captured tasks.
    Entered,
    /// Records handed over.
    Told,
    /// Records of calls that the ring had no room for.
    RingFull,
    /// Calls of 32-bit programs, which are not decoded.
    Compat,
    /// Tasks that could not be marked for want of memory.
    NoMark,
    /// Tasks that were marked.
    Marked,
    /// Marked tasks that ended.
    Ended,
    /// Ends of tasks and beginnings of exec that the ring had no room for.
    Untold,
}

impl Counter {
    /// The sum of this counter.
    pub fn of(self, sums: &[u64; COUNTERS]) -> u64 {
        sums[self as usize]
    }
}

/// Number of counters.
pub const COUNTERS: usize = 8;

/// Bytes of a mark: start of the call (u64), its number plus one (u32), the thread (u32).
pub const MARK: u32 = 16;
mod mark {
    pub const TS: i16 = 0;
    pub const NUMBER: i16 = 8;
    pub const TID: i16 = 12;
}

/// Slots of the stack frame.
mod slot {
    pub const KEY: i16 = -8;
    pub const RET: i16 = -16;
    pub const NUMBER: i16 = -24;
    pub const ROW: i16 = -32;
    pub const POINTER: i16 = -40;
    pub const LENGTH: i16 = -48;
    pub const START: i16 = -56;
    pub const NOW: i16 = -64;
    pub const FLAGS: i16 = -72;
    pub const TID: i16 = -80;
    pub const MOUNT_ROOT: i16 = -88;
    pub const PARENT: i16 = -96;
    pub const BEGIN: i16 = -104;
    pub const COMM: i16 = -120;
}

/// Names that are followed on the way to the root.
const DEPTH: usize = 40;
/// Room for a name (NAME_MAX and its end).
const NAME: i32 = 256;

/// The programs that follow calls.
#[derive(Clone, Debug)]
pub struct Programs {
    /// `sys_enter`.
    pub enter: Code,
    /// `sys_exit`.
    pub exit: Code,
    /// `sched_process_fork`.
    pub fork: Code,
    /// `sched_process_exit`.
    pub end: Code,
    /// Marks the tasks that are there already (an iterator over tasks).
    pub mark: Code,
    /// Tells their open files (an iterator over files).
    pub files: Code,
}

/// Makes the programs for a kernel and a scope.
pub fn make(layout: &Layout, scope: &Match, follow: bool) -> Programs {
    Programs {
        enter: enter(layout, scope),
        exit: exit(layout),
        fork: fork(layout, follow),
        end: end(layout),
        mark: super::snapshot::mark(layout, scope),
        files: super::snapshot::files(layout),
    }
}

/// Counts. Destroys R0 to R5.
pub(super) fn count(a: &mut Asm, counter: Counter) {
    let none = a.label();
    let offset = 8 * counter as i16;
    a.store(W, R10, slot::KEY, 0);
    a.mov(R2, R10);
    a.add(R2, i32::from(slot::KEY));
    a.map(R1, Map::Counters);
    a.call(Helper::MapLookup);
    a.jump(Eq, R0, 0, none);
    a.load(DW, R1, R0, offset);
    a.add(R1, 1);
    a.store(DW, R0, offset, R1);
    a.here(none);
}

/// R0 = the mark of the task in `task`, or null.
pub(super) fn find_mark(a: &mut Asm, task: Reg, make: bool) {
    a.map(R1, Map::Tasks);
    a.mov(R2, task);
    a.mov(R3, 0);
    a.mov(R4, i32::from(make));
    a.call(Helper::TaskStorage);
}

/// Jumps to `no` unless the task in `task` is in a scope that tasks enter by what they are.
pub(super) fn matches(a: &mut Asm, k: &Layout, scope: &Match, task: Reg, no: Label) {
    match scope {
        Match::Pids => {
            a.load(W, R1, task, k.at.tgid);
            a.store(W, R10, slot::KEY, R1);
            a.mov(R2, R10);
            a.add(R2, i32::from(slot::KEY));
            a.map(R1, Map::Pids);
            a.call(Helper::MapLookup);
            a.jump(Eq, R0, 0, no);
        }
        Match::All { own } => {
            a.load(W, R1, task, k.at.tgid);
            a.jump(Eq, R1, *own as i32, no);
        }
        Match::User(uid) => {
            a.load(DW, R1, task, k.at.cred);
            a.load(W, R1, R1, k.at.uid);
            a.mov(R2, *uid as i32);
            a.zero_extend(R2);
            a.jump(Ne, R1, R2, no);
        }
        Match::Comm(name) => {
            a.mov(R3, task);
            a.add(R3, i32::from(k.at.comm));
            read_kernel(a, slot::COMM, 16);
            for (word, bytes) in (0..).zip(name.chunks_exact(4)) {
                a.load(W, R1, R10, slot::COMM + 4 * word);
                a.mov(R2, i32::from_ne_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]));
                a.zero_extend(R2);
                a.jump(Ne, R1, R2, no);
            }
        }
        Match::Cgroup(id) => {
            let yes = a.label();
            let halves = [*id as u32, (*id >> 32) as u32];
            a.load(DW, R1, task, k.at.cgroups);
            a.load(DW, R1, R1, k.at.cgroup);
            for _ in 0..16 {
                let up = a.label();
                a.load(DW, R2, R1, k.at.cgroup_node);
                a.load(DW, R3, R2, k.at.node_id);
                a.mov(R4, halves[1] as i32);
                a.alu(Lsh, R4, 32);
                a.mov(R2, halves[0] as i32);
                a.zero_extend(R2);
                a.alu(Or, R4, R2);
                a.jump(Ne, R3, R4, up);
                a.goto(yes);
                a.here(up);
                a.load(DW, R1, R1, k.at.cgroup_parent);
                a.jump(Eq, R1, 0, no);
                a.load(DW, R1, R1, k.at.css_cgroup);
                a.jump(Eq, R1, 0, no);
            }
            a.goto(no);
            a.here(yes);
        }
    }
}

/// Copies from kernel memory at R3 to a slot of the frame.
pub(super) fn read_kernel(a: &mut Asm, slot: i16, size: i32) {
    a.mov(R1, R10);
    a.add(R1, i32::from(slot));
    a.mov(R2, size);
    a.call(Helper::ReadKernel);
}

/// The common beginning: R6 = registers, R7 = task, R8 = row of the call, R9 = mark; slots RET, NUMBER and ROW. Leaves by
/// `out` when the call is not captured, by `compat` when it is of a 32-bit program.
fn head(a: &mut Asm, k: &Layout, enter: Option<&Match>, out: Label, compat: Label) {
    a.load(DW, R6, R1, 0);
    if enter.is_some() {
        a.load(DW, R2, R1, 8);
    } else {
        a.load(DW, R9, R1, 8);
        a.store(DW, R10, slot::RET, R9);
        if cfg!(target_arch = "x86_64") { a.load(DW, R2, R6, k.number) } else { a.load(W, R2, R6, k.number) }
    }
    a.jump(Gt, R2, NUMBERS as i32 - 1, out);
    a.store(DW, R10, slot::NUMBER, R2);
    a.alu(Lsh, R2, super::table::ROW.trailing_zeros() as i32);
    a.map_value(R8, Map::Calls);
    a.add(R8, R2);
    a.store(DW, R10, slot::ROW, R8);
    a.load(B, R1, R8, 0);
    a.jump(Eq, R1, 0, out);
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    find_mark(a, R7, false);
    match enter {
        // Tasks may come into these scopes at any time: what they are is looked at until they have a mark.
        Some(scope) if *scope != Match::Pids => {
            let marked = a.label();
            a.jump(Ne, R0, 0, marked);
            matches(a, k, scope, R7, out);
            find_mark(a, R7, true);
            let made = a.label();
            a.jump(Ne, R0, 0, made);
            count(a, Counter::NoMark);
            a.goto(out);
            a.here(made);
            a.mov(R9, R0);
            count(a, Counter::Marked);
            a.mov(R0, R9);
            a.here(marked);
        }
        _ => a.jump(Eq, R0, 0, out),
    }
    a.mov(R9, R0);
    a.load(W, R1, R7, k.compat.0);
    a.jump(Set, R1, k.compat.1, compat);
}

/// The common end: `full` when the ring has no room.
fn tail(a: &mut Asm, out: Label, full: Label, lost: Counter) {
    a.goto(out);
    a.here(full);
    count(a, lost);
    a.here(out);
    a.exit();
}

/// Fills the fixed part of the record at R8 from the slots, R6 (registers) and R7 (task).
fn fill(a: &mut Asm, k: &Layout) {
    a.load(DW, R1, R10, slot::START);
    a.store(DW, R8, at::TS, R1);
    a.load(DW, R2, R10, slot::NOW);
    a.alu(Sub, R2, R1);
    a.store(DW, R8, at::DUR, R2);
    a.load(W, R1, R7, k.at.tgid);
    a.store(W, R8, at::PID, R1);
    a.load(DW, R1, R10, slot::TID);
    a.store(W, R8, at::TID, R1);
    a.load(DW, R1, R10, slot::NUMBER);
    a.store(H, R8, at::NUMBER, R1);
    a.load(DW, R1, R10, slot::FLAGS);
    a.store(H, R8, at::FLAGS, R1);
    a.store(W, R8, at::STRINGS, 0);
    a.load(DW, R1, R10, slot::RET);
    a.store(DW, R8, at::RET, R1);
    for (place, register) in (0..).zip(k.args) {
        a.load(DW, R1, R6, register);
        a.store(DW, R8, at::ARGS + 8 * place, R1);
    }
    for field in [at::INO, at::SIZE, at::POS, at::DEV, at::FILE_FLAGS] {
        a.store(DW, R8, field, 0);
    }
}

/// Sets bits of the record's flags.
fn say(a: &mut Asm, bits: u16) {
    a.load(H, R1, R8, at::FLAGS);
    a.alu(Or, R1, i32::from(bits));
    a.store(H, R8, at::FLAGS, R1);
}

/// R3 = the argument whose position is the byte at `column` of the row, out of the record at R8; jumps to `none` when the
/// row names none.
fn argument(a: &mut Asm, column: i16, none: Label) {
    a.load(DW, R2, R10, slot::ROW);
    a.load(B, R1, R2, column);
    a.jump(Gt, R1, 5, none);
    a.alu(Lsh, R1, 3);
    a.add(R1, R8);
    a.load(DW, R3, R1, at::ARGS);
}

/// Columns of a row; see [`super::table::Row`].
mod column {
    pub const FLAGS: i16 = 0;
    pub const STRINGS: [i16; 2] = [1, 2];
    pub const FD: i16 = 3;
    pub const POINTER: i16 = 4;
    pub const BEHIND: i16 = 5;
    pub const SECOND: i16 = 6;
    pub const SIZE: i16 = 7;
}

/// Jumps to `no` unless the row has this flag.
fn row_has(a: &mut Asm, bit: u8, no: Label) {
    a.load(DW, R2, R10, slot::ROW);
    a.load(B, R1, R2, column::FLAGS);
    a.alu(And, R1, i32::from(bit));
    a.jump(Eq, R1, 0, no);
}

/// R8 = the scratch record, filled; R9 = 0, the length of its variable part.
fn begin_variable(a: &mut Asm, k: &Layout, out: Label) {
    a.store(W, R10, slot::KEY, 0);
    a.mov(R2, R10);
    a.add(R2, i32::from(slot::KEY));
    a.map(R1, Map::Scratch);
    a.call(Helper::MapLookup);
    a.jump(Eq, R0, 0, out);
    a.mov(R8, R0);
    fill(a, k);
    a.mov(R9, 0);
}

/// Appends the strings that the row names.
fn strings(a: &mut Asm) {
    for (which, lost) in [(0, said::LOST_FIRST), (1, said::LOST_SECOND)] {
        let (next, read) = (a.label(), a.label());
        argument(a, column::STRINGS[which], next);
        a.jump(Eq, R3, 0, next);
        a.mov(R1, R8);
        a.add(R1, record::FIXED);
        a.add(R1, R9);
        a.mov(R2, record::STRING);
        a.call(Helper::ReadUserStr);
        a.jump(SignedGt, R0, 0, read);
        say(a, lost);
        a.goto(next);
        a.here(read);
        a.jump(Gt, R0, record::STRING, next);
        a.store(H, R8, at::STRINGS + 2 * which as i16, R0);
        a.add(R9, R0);
        a.here(next);
    }
}

/// Appends what lies behind the pointer that the row names.
fn behind(a: &mut Asm) {
    let (done, fixed, returned, vectors, read, lost) = (a.label(), a.label(), a.label(), a.label(), a.label(), a.label());
    a.load(DW, R2, R10, slot::ROW);
    a.load(B, R1, R2, column::BEHIND);
    a.jump(Eq, R1, Behind::Nothing as i32, done);
    let wanted = a.label();
    a.load(B, R1, R2, column::FLAGS);
    a.alu(And, R1, i32::from(flag::IF_DONE));
    a.jump(Eq, R1, 0, wanted);
    a.load(DW, R1, R10, slot::RET);
    a.jump(SignedLt, R1, 0, done);
    a.here(wanted);
    a.load(B, R1, R2, column::BEHIND);
    a.jump(Eq, R1, Behind::Fixed as i32, fixed);
    a.jump(Eq, R1, Behind::Returned as i32, returned);
    a.jump(Eq, R1, Behind::Vectors as i32, vectors);

    // Two pointers, either of which may be null.
    for (column, offset) in [(column::POINTER, 0), (column::SECOND, 8)] {
        let next = a.label();
        argument(a, column, next);
        a.jump(Eq, R3, 0, next);
        a.mov(R1, R8);
        a.add(R1, record::FIXED + offset);
        a.add(R1, R9);
        a.mov(R2, 8);
        a.call(Helper::ReadUser);
        a.jump(Ne, R0, 0, lost);
        a.here(next);
    }
    a.store(H, R8, at::BEHIND, 16);
    a.add(R9, 16);
    a.goto(done);

    a.here(fixed);
    a.load(B, R1, R2, column::SIZE);
    a.goto(read);
    a.here(returned);
    a.load(DW, R1, R10, slot::RET);
    a.goto(read);
    a.here(vectors);
    a.load(B, R1, R2, column::POINTER);
    a.jump(Gt, R1, 4, done);
    a.alu(Lsh, R1, 3);
    a.add(R1, R8);
    a.load(DW, R1, R1, at::ARGS + 8);
    // More vectors than there may be: the call failed for it.
    a.jump(Gt, R1, record::BEHIND / 16, done);
    a.alu(Lsh, R1, 4);

    a.here(read);
    a.jump(Gt, R1, record::BEHIND, done);
    a.store(DW, R10, slot::LENGTH, R1);
    argument(a, column::POINTER, done);
    a.jump(Eq, R3, 0, done);
    a.mov(R1, R8);
    a.add(R1, record::FIXED);
    a.add(R1, R9);
    a.load(DW, R2, R10, slot::LENGTH);
    a.call(Helper::ReadUser);
    a.jump(Ne, R0, 0, lost);
    a.load(DW, R1, R10, slot::LENGTH);
    a.store(H, R8, at::BEHIND, R1);
    a.add(R9, R1);
    a.goto(done);
    a.here(lost);
    say(a, said::LOST_BEHIND);
    a.here(done);
}

/// Fields of the file that the number in R3 is open on, into the record at R8. With the typed form, R0 is the file
/// afterwards. Jumps to `none` when nothing is open there.
fn file(a: &mut Asm, k: &Layout, none: Label) {
    a.load(DW, R1, R7, k.at.files);
    a.jump(Eq, R1, 0, none);
    a.load(DW, R1, R1, k.at.table);
    a.load(W, R2, R1, k.at.most);
    a.zero_extend(R3);
    a.jump(Ge, R3, R2, none);
    a.alu(Lsh, R3, 3);
    a.load(DW, R1, R1, k.at.file);
    a.add(R3, R1);
    read_kernel(a, slot::POINTER, 8);
    a.load(DW, R1, R10, slot::POINTER);
    a.jump(Eq, R1, 0, none);
    match k.cast {
        Some(cast) => {
            a.mov(R2, cast.file as i32);
            a.kfunc(cast.function);
            file_fields(a, k, R0, R8);
        }
        None => file_copied(a, k),
    }
    say(a, said::FILE);
}

/// Copies fields of the `struct file` in `file` into the record at `to`. Destroys R1 to R3.
fn file_fields(a: &mut Asm, k: &Layout, file: Reg, to: Reg) {
    a.load(DW, R1, file, k.at.pos);
    a.store(DW, to, at::POS, R1);
    a.load(W, R1, file, k.at.flags);
    a.store(W, to, at::FILE_FLAGS, R1);
    a.load(DW, R2, file, k.at.inode);
    a.load(DW, R1, R2, k.at.ino);
    a.store(DW, to, at::INO, R1);
    a.load(DW, R1, R2, k.at.size);
    a.store(DW, to, at::SIZE, R1);
    a.load(H, R1, R2, k.at.mode);
    a.store(H, to, at::MODE, R1);
    a.load(DW, R1, R2, k.at.super_block);
    a.load(W, R1, R1, k.at.dev);
    a.store(W, to, at::DEV, R1);
}

/// The same where typed reading is missing (before Linux 6.2): field by field, from the pointer in slot POINTER.
fn file_copied(a: &mut Asm, k: &Layout) {
    let field = |a: &mut Asm, base: i16, offset: i16, size: i32, to: i16| {
        a.store(DW, R10, to, 0);
        a.load(DW, R3, R10, base);
        a.add(R3, i32::from(offset));
        read_kernel(a, to, size);
        a.load(DW, R1, R10, to);
    };
    field(a, slot::POINTER, k.at.pos, 8, slot::PARENT);
    a.store(DW, R8, at::POS, R1);
    field(a, slot::POINTER, k.at.flags, 4, slot::PARENT);
    a.store(W, R8, at::FILE_FLAGS, R1);
    field(a, slot::POINTER, k.at.inode, 8, slot::MOUNT_ROOT);
    field(a, slot::MOUNT_ROOT, k.at.ino, 8, slot::PARENT);
    a.store(DW, R8, at::INO, R1);
    field(a, slot::MOUNT_ROOT, k.at.size, 8, slot::PARENT);
    a.store(DW, R8, at::SIZE, R1);
    field(a, slot::MOUNT_ROOT, k.at.mode, 2, slot::PARENT);
    a.store(H, R8, at::MODE, R1);
    field(a, slot::MOUNT_ROOT, k.at.super_block, 8, slot::BEGIN);
    field(a, slot::BEGIN, k.at.dev, 4, slot::PARENT);
    a.store(W, R8, at::DEV, R1);
}

/// Appends the names that lead from the file in R0 to the root, across mounts. R6 and R7 are lost.
fn names(a: &mut Asm, k: &Layout) {
    let Some(cast) = k.cast else { return };
    let (whole, done) = (a.label(), a.label());
    a.store(DW, R10, slot::BEGIN, R9);
    a.load(DW, R6, R0, k.at.path + k.at.dentry);
    a.mov(R3, R0);
    a.add(R3, i32::from(k.at.path + k.at.mount));
    read_kernel(a, slot::PARENT, 8);
    a.load(DW, R7, R10, slot::PARENT);
    a.add(R7, -i32::from(k.at.mount_inner));
    mount_root(a, k);
    for _ in 0..DEPTH {
        let (name, next) = (a.label(), a.label());
        a.load(DW, R1, R10, slot::MOUNT_ROOT);
        a.jump(Ne, R6, R1, name);
        // At the root of a file system: go on where it is mounted.
        a.mov(R3, R7);
        a.add(R3, i32::from(k.at.mount_parent));
        read_kernel(a, slot::PARENT, 8);
        a.load(DW, R1, R10, slot::PARENT);
        a.jump(Eq, R1, R7, whole);
        a.mov(R3, R7);
        a.add(R3, i32::from(k.at.mountpoint));
        read_kernel(a, slot::POINTER, 8);
        a.load(DW, R1, R10, slot::POINTER);
        a.mov(R2, cast.dentry as i32);
        a.kfunc(cast.function);
        a.mov(R6, R0);
        a.load(DW, R7, R10, slot::PARENT);
        mount_root(a, k);
        a.goto(next);
        a.here(name);
        a.jump(Gt, R9, record::LONGEST - record::FIXED - NAME, done);
        a.mov(R1, R8);
        a.add(R1, record::FIXED);
        a.add(R1, R9);
        a.mov(R2, NAME);
        a.load(DW, R3, R6, k.at.name);
        a.call(Helper::ReadKernelStr);
        a.jump(SignedLe, R0, 0, done);
        a.jump(Gt, R0, NAME, done);
        a.add(R9, R0);
        a.load(DW, R6, R6, k.at.dentry_parent);
        a.here(next);
    }
    a.goto(done);
    a.here(whole);
    say(a, said::WHERE);
    a.here(done);
    a.load(DW, R2, R10, slot::BEGIN);
    a.mov(R1, R9);
    a.alu(Sub, R1, R2);
    a.store(H, R8, at::WHERE, R1);
}

/// Slot MOUNT_ROOT = the root of the mount in R7.
fn mount_root(a: &mut Asm, k: &Layout) {
    a.mov(R3, R7);
    a.add(R3, i32::from(k.at.mount_inner + k.at.mount_root));
    read_kernel(a, slot::MOUNT_ROOT, 8);
}

/// Sends the record at R8 whose variable part has R9 bytes.
fn send(a: &mut Asm, full: Label) {
    a.jump(Gt, R9, record::LONGEST - record::FIXED, full);
    a.map(R1, Map::Ring);
    a.mov(R2, R8);
    a.mov(R3, R9);
    a.add(R3, record::FIXED);
    // The reader polls: waking it for each record would cost more than the record.
    a.mov(R4, 1);
    a.call(Helper::RingOutput);
    a.jump(Ne, R0, 0, full);
}

fn enter(k: &Layout, scope: &Match) -> Code {
    let mut a = Asm::default();
    let (out, full) = (a.label(), a.label());
    // A call of a 32-bit program is counted once, when it returns.
    head(&mut a, k, Some(scope), out, out);
    a.call(Helper::Now);
    a.store(DW, R9, mark::TS, R0);
    a.store(DW, R10, slot::START, R0);
    a.store(DW, R10, slot::NOW, R0);
    a.load(DW, R1, R10, slot::NUMBER);
    a.add(R1, 1);
    a.store(W, R9, mark::NUMBER, R1);
    a.load(W, R1, R7, k.at.pid);
    a.store(W, R9, mark::TID, R1);
    a.store(DW, R10, slot::TID, R1);
    count(&mut a, Counter::Entered);
    row_has(&mut a, flag::AT_ENTRY, out);
    a.store(DW, R10, slot::FLAGS, i32::from(said::ENTRY));
    a.store(DW, R10, slot::RET, 0);
    begin_variable(&mut a, k, out);
    strings(&mut a);
    send(&mut a, full);
    count(&mut a, Counter::Told);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}

fn exit(k: &Layout) -> Code {
    let mut a = Asm::default();
    let (out, full, compat) = (a.label(), a.label(), a.label());
    let (unseen, begun, plain) = (a.label(), a.label(), a.label());
    head(&mut a, k, None, out, compat);
    a.call(Helper::Now);
    a.store(DW, R10, slot::NOW, R0);
    a.load(DW, R2, R10, slot::NUMBER);
    a.add(R2, 1);
    a.load(W, R1, R9, mark::NUMBER);
    a.jump(Ne, R1, R2, unseen);
    a.load(DW, R1, R9, mark::TS);
    a.store(DW, R10, slot::START, R1);
    a.load(W, R1, R9, mark::TID);
    a.store(DW, R10, slot::TID, R1);
    a.store(DW, R10, slot::FLAGS, 0);
    a.store(W, R9, mark::NUMBER, 0);
    a.goto(begun);
    a.here(unseen);
    a.store(DW, R10, slot::START, R0);
    a.load(W, R1, R7, k.at.pid);
    a.store(DW, R10, slot::TID, R1);
    a.store(DW, R10, slot::FLAGS, i32::from(said::NO_ENTRY));
    a.here(begun);
    row_has(&mut a, flag::VARIABLE, plain);

    begin_variable(&mut a, k, out);
    // What a call told at its entry is gone by now.
    let (fresh, after) = (a.label(), a.label());
    row_has(&mut a, flag::AT_ENTRY, fresh);
    a.goto(after);
    a.here(fresh);
    strings(&mut a);
    behind(&mut a);
    a.here(after);
    let (no_fd, sent) = (a.label(), a.label());
    let made = a.label();
    row_has(&mut a, flag::MAKES_FD, made);
    a.load(DW, R3, R10, slot::RET);
    a.jump(SignedLt, R3, 0, no_fd);
    file(&mut a, k, no_fd);
    if k.cast.is_some() {
        a.store(DW, R10, slot::POINTER, R0);
        row_has(&mut a, flag::WHERE, no_fd);
        a.load(DW, R0, R10, slot::POINTER);
        names(&mut a, k);
    }
    a.goto(no_fd);
    a.here(made);
    argument(&mut a, column::FD, no_fd);
    file(&mut a, k, no_fd);
    a.here(no_fd);
    send(&mut a, full);
    a.goto(sent);

    a.here(plain);
    a.map(R1, Map::Ring);
    a.mov(R2, record::FIXED);
    a.mov(R3, 0);
    a.call(Helper::RingReserve);
    a.jump(Eq, R0, 0, full);
    a.mov(R8, R0);
    fill(&mut a, k);
    let (submit, made) = (a.label(), a.label());
    row_has(&mut a, flag::MAKES_FD, made);
    a.load(DW, R3, R10, slot::RET);
    a.jump(SignedLt, R3, 0, submit);
    file(&mut a, k, submit);
    a.goto(submit);
    a.here(made);
    argument(&mut a, column::FD, submit);
    file(&mut a, k, submit);
    a.here(submit);
    a.mov(R1, R8);
    a.mov(R2, 1);
    a.call(Helper::RingSubmit);
    a.here(sent);
    count(&mut a, Counter::Told);
    a.goto(out);
    a.here(compat);
    count(&mut a, Counter::Compat);
    tail(&mut a, out, full, Counter::RingFull);
    a.finish()
}

/// The child of a marked task is marked.
fn fork(k: &Layout, follow: bool) -> Code {
    let mut a = Asm::default();
    let (out, made) = (a.label(), a.label());
    a.load(DW, R6, R1, 0);
    a.load(DW, R7, R1, 8);
    if !follow {
        a.load(W, R1, R6, k.at.tgid);
        a.load(W, R2, R7, k.at.tgid);
        a.jump(Ne, R1, R2, out);
    }
    find_mark(&mut a, R6, false);
    a.jump(Eq, R0, 0, out);
    find_mark(&mut a, R7, true);
    a.jump(Ne, R0, 0, made);
    count(&mut a, Counter::NoMark);
    a.goto(out);
    a.here(made);
    count(&mut a, Counter::Marked);
    a.here(out);
    a.exit();
    a.finish()
}

/// A marked task ends: nobody may have called exit.
fn end(k: &Layout) -> Code {
    let mut a = Asm::default();
    let (out, full) = (a.label(), a.label());
    a.load(DW, R7, R1, 0);
    find_mark(&mut a, R7, false);
    a.jump(Eq, R0, 0, out);
    a.mov(R9, R0);
    count(&mut a, Counter::Ended);
    a.map(R1, Map::Ring);
    a.mov(R2, record::FIXED);
    a.mov(R3, 0);
    a.call(Helper::RingReserve);
    a.jump(Eq, R0, 0, full);
    a.mov(R8, R0);
    for field in (0..record::FIXED as i16).step_by(8) {
        a.store(DW, R8, field, 0);
    }
    a.call(Helper::Now);
    a.store(DW, R8, at::TS, R0);
    a.load(W, R1, R7, k.at.tgid);
    a.store(W, R8, at::PID, R1);
    a.load(W, R1, R7, k.at.pid);
    a.store(W, R8, at::TID, R1);
    a.load(W, R1, R9, mark::NUMBER);
    a.store(H, R8, at::NUMBER, R1);
    a.store(H, R8, at::FLAGS, i32::from(said::END));
    a.mov(R1, R8);
    a.mov(R2, 1);
    a.call(Helper::RingSubmit);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}
