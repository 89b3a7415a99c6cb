//! Pieces of the eBPF programs that follow kernel pointers: from a descriptor to its `struct file`, and along its path up to
//! the root directory. Each function here emits code; comments name the registers that the code reads and destroys.

use super::parts::{frame, read_kernel, say};
use crate::capture::kernel::asm::Alu::{Lsh, Sub};
use crate::capture::kernel::asm::Helper;
use crate::capture::kernel::asm::If::{Eq, Ge, Gt, Ne, SignedGt};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{self, B, DW, H, W};
use crate::capture::kernel::asm::{Asm, Label, Reg};
use crate::capture::kernel::layout::{Cast, Layout};
use crate::capture::kernel::record::{self, at, flag as said};
use crate::capture::kernel::thread_slot::stamp;

/// Steps (names and mount points) that are followed at most on the way up to the root.
const DEPTH: usize = 40;
/// Bytes for one name of a path: NAME_MAX and a NUL.
const NAME: i32 = 256;

/// R0 = the address in R1 as a pointer to the type with BTF id `of` that the verifier lets a program read (bpf_rdonly_cast).
pub fn typed(a: &mut Asm, cast: Cast, of: u32) {
    a.mov(R2, of as i32);
    a.kfunc(cast.function);
}

/// R1 = the 8 bytes of kernel memory at the address in R3.
pub fn word(a: &mut Asm, k: &Layout) {
    match k.cast {
        Some(cast) => {
            a.mov(R1, R3);
            typed(a, cast, cast.word);
            a.load(DW, R1, R0, 0);
        }
        None => {
            read_kernel(a, frame::POINTER, 8);
            a.load(DW, R1, R10, frame::POINTER);
        }
    }
}

/// Jumps to `inside` when the thread with the slot (or the mark) R8 is in a call, also in one that is not captured: its saved registers
/// hold the number of that, and in an exception such as a page fault a negative one. Those of a thread without a slot are not known:
/// it passes for one that is in none. Destroys R0 to R5.
pub fn in_call(a: &mut Asm, k: &Layout, inside: Label) {
    let unknown = a.label();
    a.load(DW, R3, R8, stamp::OWNER);
    a.jump(Eq, R3, 0, unknown);
    a.add(R3, i32::from(k.number));
    word(a, k);
    a.alu(Lsh, R1, 32);
    a.jump(SignedGt, R1, -1, inside);
    a.here(unknown);
}

/// Register `to` = the field of this size at `offset` in the structure that register `from` points to. Destroys R0 to R5.
pub fn field(a: &mut Asm, k: &Layout, size: Size, to: Reg, from: Reg, offset: i16) {
    if k.cast.is_some() {
        return a.load(size, to, from, offset);
    }
    a.mov(R3, from);
    a.add(R3, i32::from(offset));
    a.store(DW, R10, frame::PARENT, 0);
    read_kernel(a, frame::PARENT, if size == DW { 8 } else { 4 });
    a.load(DW, to, R10, frame::PARENT);
}

/// Copies fields of the file that descriptor number R3 of task R7 is open on into the record at R8. Frame field POINTER is the
/// address of its `struct file` afterwards. Jumps to `none` when the descriptor is not open.
pub fn file(a: &mut Asm, k: &Layout, none: Label) {
    open_file(a, k, none);
    opened(a, k);
}

/// R1 = the address of the `struct file` that descriptor number R3 of task R7 is open on; jumps to `none` when there is none.
pub fn open_file(a: &mut Asm, k: &Layout, none: Label) {
    a.load(DW, R1, R7, k.at.files);
    a.jump(Eq, R1, 0, none);
    a.load(DW, R1, R1, k.at.table);
    a.load(W, R2, R1, k.at.most);
    a.zero_extend(R3);
    a.jump(Ge, R3, R2, none);
    a.alu(Lsh, R3, 3);
    a.load(DW, R1, R1, k.at.file);
    a.add(R3, R1);
    word(a, k);
    a.jump(Eq, R1, 0, none);
}

/// R2 = the mode of the file whose `struct file` is at the address in R1. Destroys R0 to R5.
pub fn file_mode(a: &mut Asm, k: &Layout) {
    match k.cast {
        Some(cast) => {
            typed(a, cast, cast.file);
            a.load(DW, R1, R0, k.at.inode);
            a.load(H, R2, R1, k.at.mode);
        }
        None => {
            a.mov(R3, R1);
            a.add(R3, i32::from(k.at.inode));
            read_kernel(a, frame::POINTER, 8);
            a.load(DW, R3, R10, frame::POINTER);
            a.add(R3, i32::from(k.at.mode));
            a.store(DW, R10, frame::PARENT, 0);
            read_kernel(a, frame::PARENT, 2);
            a.load(DW, R2, R10, frame::PARENT);
        }
    }
}

/// Copies fields of the `struct file` at the address in R1 into the record at R8, and sets its flag FILE. Frame field POINTER
/// is that address afterwards.
pub fn opened(a: &mut Asm, k: &Layout) {
    a.store(DW, R10, frame::POINTER, R1);
    match k.cast {
        Some(cast) => {
            typed(a, cast, cast.file);
            a.store(DW, R10, frame::POINTER, R0);
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
    inode_fields(a, k, R2, to);
}

/// Copies fields of the `struct inode` in `inode` into the record at `to`. Destroys R1.
pub fn inode_fields(a: &mut Asm, k: &Layout, inode: Reg, to: Reg) {
    a.load(DW, R1, inode, k.at.ino);
    a.store(DW, to, at::INO, R1);
    a.load(DW, R1, inode, k.at.size);
    a.store(DW, to, at::SIZE, R1);
    a.load(H, R1, inode, k.at.mode);
    a.store(H, to, at::MODE, R1);
    a.load(DW, R1, inode, k.at.super_block);
    a.load(W, R1, R1, k.at.dev);
    a.store(W, to, at::DEV, R1);
}

/// As `file_fields` for kernels without typed reads (before Linux 6.2): copies field by field, from the `struct file` whose
/// address is in frame field POINTER into the record at R8.
fn file_copied(a: &mut Asm, k: &Layout) {
    let field = |a: &mut Asm, base: i16, offset: i16, size: i32, to: i16| {
        a.store(DW, R10, to, 0);
        a.load(DW, R3, R10, base);
        a.add(R3, i32::from(offset));
        read_kernel(a, to, size);
        a.load(DW, R1, R10, to);
    };
    field(a, frame::POINTER, k.at.pos, 8, frame::PARENT);
    a.store(DW, R8, at::POS, R1);
    field(a, frame::POINTER, k.at.flags, 4, frame::PARENT);
    a.store(W, R8, at::FILE_FLAGS, R1);
    field(a, frame::POINTER, k.at.inode, 8, frame::MOUNT_ROOT);
    field(a, frame::MOUNT_ROOT, k.at.ino, 8, frame::PARENT);
    a.store(DW, R8, at::INO, R1);
    field(a, frame::MOUNT_ROOT, k.at.size, 8, frame::PARENT);
    a.store(DW, R8, at::SIZE, R1);
    field(a, frame::MOUNT_ROOT, k.at.mode, 2, frame::PARENT);
    a.store(H, R8, at::MODE, R1);
    field(a, frame::MOUNT_ROOT, k.at.super_block, 8, frame::BEGIN);
    field(a, frame::BEGIN, k.at.dev, 4, frame::PARENT);
    a.store(W, R8, at::DEV, R1);
}

/// Appends the names on the way from a `struct path` up to the root directory, across mounts, to the record at R8, last name
/// of the path first. The `struct path` is at offset `path` of what frame field POINTER points to. The length of the names goes
/// to the field `length` of the record; its flag `reached` is set if they lead all the way to the root. R6 and R7 are lost:
/// they hold the directory entry (dentry) and the mount on the way.
pub fn names(a: &mut Asm, k: &Layout, path: i16, length: i16, reached: u16) {
    let (whole, done) = (a.label(), a.label());
    a.store(DW, R10, frame::BEGIN, R9);
    a.load(DW, R7, R10, frame::POINTER);
    field(a, k, DW, R6, R7, path + k.at.dentry);
    a.mov(R3, R7);
    a.add(R3, i32::from(path + k.at.mount));
    word(a, k);
    a.add(R1, -i32::from(k.at.mount_inner));
    match k.cast {
        Some(cast) => typed(a, cast, cast.mount),
        None => a.mov(R0, R1),
    }
    a.mov(R7, R0);
    let root = |a: &mut Asm| {
        field(a, k, DW, R1, R7, k.at.mount_inner + k.at.mount_root);
        a.store(DW, R10, frame::MOUNT_ROOT, R1);
    };
    root(a);
    for _ in 0..DEPTH {
        let (name, next) = (a.label(), a.label());
        a.load(DW, R1, R10, frame::MOUNT_ROOT);
        a.jump(Ne, R6, R1, name);
        // At the root of a file system: continue at its mount point.
        field(a, k, DW, R6, R7, k.at.mountpoint);
        field(a, k, DW, R1, R7, k.at.mount_parent);
        a.jump(Eq, R1, R7, whole);
        a.mov(R7, R1);
        root(a);
        a.goto(next);
        a.here(name);
        a.jump(Gt, R9, record::LONGEST - record::FIXED - NAME, done);
        field(a, k, W, R2, R6, k.at.name_length);
        a.jump(Gt, R2, NAME - 1, done);
        a.add(R2, 1);
        a.store(DW, R10, frame::LENGTH, R2);
        field(a, k, DW, R3, R6, k.at.name);
        a.mov(R1, R8);
        a.add(R1, record::FIXED);
        a.add(R1, R9);
        a.load(DW, R2, R10, frame::LENGTH);
        a.call(Helper::ReadKernel);
        a.jump(Ne, R0, 0, done);
        a.load(DW, R1, R10, frame::LENGTH);
        a.add(R9, R1);
        // A rename may change the name while it is copied: it always gets a NUL at its end.
        a.mov(R1, R8);
        a.add(R1, R9);
        a.store(B, R1, record::FIXED as i16 - 1, 0);
        field(a, k, DW, R6, R6, k.at.dentry_parent);
        a.here(next);
    }
    a.goto(done);
    a.here(whole);
    say(a, reached);
    a.here(done);
    a.load(DW, R2, R10, frame::BEGIN);
    a.mov(R1, R9);
    a.alu(Sub, R1, R2);
    a.store(H, R8, length, R1);
}
