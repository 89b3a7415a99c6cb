//! The programs of two eBPF iterators, which walk over all tasks and all their open descriptors to make the snapshot. That is
//! some twenty times faster than /proc, and shows which descriptors share one open file description, which /proc does not.

use super::matches::matches;
use super::parts::{only, read_kernel};
use super::program::{find_mark, make_mark};
use crate::capture::kernel::asm::Alu::And;
use crate::capture::kernel::asm::Helper;
use crate::capture::kernel::asm::If::{Eq, Gt, SignedGt};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{DW, H, W};
use crate::capture::kernel::asm::{Alu, Asm, Code, Map};
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::record::{file_at, task_at};
use crate::capture::target::scope::Match;

/// Offsets in the context of the iterators' programs, bytes (`struct bpf_iter__task` and `bpf_iter__task_file` of the kernel).
mod given {
    pub const META: i16 = 0;
    pub const TASK: i16 = 8;
    pub const FD: i16 = 16;
    pub const FILE: i16 = 24;
}

const PATH_MAX: i32 = 4096;

/// The program for each task: if the task is in the scope, marks it and writes its ids and name (layout [`task_at`]).
pub(super) fn mark(k: &Layout, scope: &Match) -> Code {
    const FRAME: i16 = -192;
    let mut a = Asm::default();
    let (out, tell) = (a.label(), a.label());
    a.mov(R6, R1);
    a.load(DW, R7, R6, given::TASK);
    a.jump(Eq, R7, 0, out);
    matches(&mut a, k, scope, R7, out);
    find_mark(&mut a, R7, false);
    a.jump(Gt, R0, 0, tell);
    make_mark(&mut a, R7, tell, out);
    a.here(tell);
    let to = |at: usize| FRAME + at as i16;
    a.load(W, R1, R7, k.at.tgid);
    a.store(W, R10, to(task_at::PID), R1);
    a.load(W, R1, R7, k.at.pid);
    a.store(W, R10, to(task_at::TID), R1);
    a.load(DW, R1, R7, k.at.parent);
    a.load(W, R1, R1, k.at.tgid);
    a.store(W, R10, to(task_at::PARENT), R1);
    a.load(DW, R2, R7, k.at.cred);
    a.load(W, R1, R2, k.at.uid);
    a.store(W, R10, to(task_at::UID), R1);
    a.load(W, R1, R2, k.at.gid);
    a.store(DW, R10, to(task_at::GID), R1);
    a.mov(R3, R7);
    a.add(R3, i32::from(k.at.comm));
    a.store(DW, R10, to(task_at::COMM), 0);
    a.store(DW, R10, to(task_at::COMM + 8), 0);
    read_kernel(&mut a, to(task_at::COMM), 16);
    a.load(DW, R1, R6, given::META);
    a.load(DW, R1, R1, 0);
    a.mov(R2, R10);
    a.add(R2, i32::from(FRAME));
    a.mov(R3, task_at::SIZE as i32);
    a.call(Helper::SeqWrite);
    a.here(out);
    a.exit();
    a.finish()
}

/// The program for each open descriptor: if its task has a mark, writes the descriptor, its file and path (layout [`file_at`]).
pub(super) fn files(k: &Layout) -> Code {
    const WORD: i16 = -16;
    let mut a = Asm::default();
    let (out, named, no_table) = (a.label(), a.label(), a.label());
    a.mov(R6, R1);
    a.load(DW, R7, R6, given::FILE);
    a.jump(Eq, R7, 0, out);
    a.load(DW, R8, R6, given::TASK);
    a.jump(Eq, R8, 0, out);
    find_mark(&mut a, R8, false);
    a.jump(Eq, R0, 0, out);
    only(&mut a, Map::Scratch, out);
    a.mov(R9, R0);
    let to = |at: usize| at as i16;
    a.load(W, R1, R8, k.at.tgid);
    a.store(W, R9, to(file_at::PID), R1);
    a.load(W, R1, R6, given::FD);
    a.store(W, R9, to(file_at::FD), R1);
    a.load(W, R1, R7, k.at.flags);
    a.store(W, R9, to(file_at::FLAGS), R1);
    a.load(DW, R1, R7, k.at.pos);
    a.store(DW, R9, to(file_at::POS), R1);
    a.load(DW, R2, R7, k.at.inode);
    a.load(DW, R1, R2, k.at.ino);
    a.store(DW, R9, to(file_at::INO), R1);
    a.load(DW, R1, R2, k.at.size);
    a.store(DW, R9, to(file_at::SIZE), R1);
    a.load(H, R1, R2, k.at.mode);
    a.store(W, R9, to(file_at::MODE), R1);
    a.load(DW, R1, R2, k.at.super_block);
    a.load(W, R1, R1, k.at.dev);
    a.store(W, R9, to(file_at::DEV), R1);
    a.store(DW, R9, to(file_at::FILE), R7);
    // Close-on-exec is a bit of the descriptor table, not of the file.
    a.store(W, R9, to(file_at::CLOEXEC), 0);
    a.load(DW, R1, R8, k.at.files);
    a.jump(Eq, R1, 0, no_table);
    a.load(DW, R1, R1, k.at.table);
    a.load(DW, R3, R1, k.at.cloexec);
    a.load(W, R2, R6, given::FD);
    a.alu(Alu::Rsh, R2, 6);
    a.alu(Alu::Lsh, R2, 3);
    a.add(R3, R2);
    a.store(DW, R10, WORD, 0);
    read_kernel(&mut a, WORD, 8);
    a.load(DW, R1, R10, WORD);
    a.load(W, R2, R6, given::FD);
    a.alu(And, R2, 63);
    a.alu(Alu::Rsh, R1, R2);
    a.alu(And, R1, 1);
    a.store(W, R9, to(file_at::CLOEXEC), R1);
    a.here(no_table);
    a.mov(R1, R7);
    a.add(R1, i32::from(k.at.path));
    a.mov(R2, R9);
    a.add(R2, file_at::FIXED as i32);
    a.mov(R3, PATH_MAX);
    a.call(Helper::DPath);
    a.jump(SignedGt, R0, 0, named);
    a.mov(R0, 0);
    a.here(named);
    a.alu(And, R0, PATH_MAX - 1);
    a.store(W, R9, to(file_at::PATH), R0);
    a.mov(R3, R0);
    a.add(R3, file_at::FIXED as i32);
    a.load(DW, R1, R6, given::META);
    a.load(DW, R1, R1, 0);
    a.mov(R2, R9);
    a.mov(R4, 0);
    a.call(Helper::SeqWrite);
    a.here(out);
    a.exit();
    a.finish()
}
