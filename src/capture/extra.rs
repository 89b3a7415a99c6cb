//! What is captured beside calls, where the kernel shows it: requests through io_uring, and page faults of mapped files.
//!
//! Both are best effort. The fields of io_uring's requests belong to the kernel alone and move with its versions; where one
//! is missing, the requests are counted rather than told, and the start of the capture says so.

use super::arrive::ours;
use super::asm::Helper;
use super::asm::If::Eq;
use super::asm::Reg::{R1, R2, R3, R6, R7, R8, R9, R10};
use super::asm::Size::{B, DW, H, W};
use super::asm::{Asm, Code};
use super::btf::{Btf, Kind};
use super::file::inode_fields;
use super::layout::Layout;
use super::parts::{about, read_kernel, reserve, slot, submit};
use super::program::{Counter, tail};
use super::record::{FIXED, at, flag};
use anyhow::{Result, ensure};

/// Where the running kernel keeps what the requests ask for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rings {
    opcode: i16,
    flags: i16,
    fd: i16,
    result: i16,
    /// Of a read or write, in what the opcode needs: position, then length.
    pub rw: (usize, usize),
    /// Of fsync: its flags.
    pub sync: usize,
}

/// Bytes that a request has for what its opcode needs (`struct io_cmd_data`).
pub const COMMAND: i32 = 64;

impl Rings {
    /// Finds the fields.
    ///
    /// # Errors
    /// When one is missing, or lies where it cannot be read.
    pub fn find(btf: &Btf) -> Result<Rings> {
        let command = |path: &str, size: usize| -> Result<usize> {
            let at = btf.offset(path)? as usize;
            ensure!(at + size <= COMMAND as usize, "{path} lies too far inside");
            Ok(at)
        };
        Ok(Rings {
            opcode: btf.offset("io_kiocb.opcode")?,
            flags: btf.offset("io_kiocb.flags")?,
            fd: btf.offset("io_kiocb.cqe.fd")?,
            result: btf.offset("io_kiocb.cqe.res")?,
            rw: (command("io_rw.kiocb.ki_pos", 8)?, command("io_rw.len", 4)?),
            sync: command("io_sync.flags", 4)?,
        })
    }
}

/// A program at a tracepoint that not every kernel has.
#[derive(Clone, Debug)]
pub struct Extra {
    /// Its name.
    pub name: &'static str,
    /// What it is.
    pub code: Code,
    /// What it is attached to.
    pub hook: u32,
}

/// The programs that tell of requests through io_uring.
///
/// # Errors
/// When the kernel does not show them.
pub fn rings(btf: &Btf, k: &Layout) -> Result<(Rings, [Extra; 2])> {
    let rings = Rings::find(btf)?;
    let asked = btf.id(Kind::Typedef, "btf_trace_io_uring_submit_req")?;
    let done = btf.id(Kind::Typedef, "btf_trace_io_uring_complete")?;
    Ok((
        rings,
        [
            Extra { name: "ioriot_asked", code: ask(k, rings), hook: asked },
            Extra { name: "ioriot_done", code: done_with(k, rings), hook: done },
        ],
    ))
}

/// The programs that tell of page faults.
///
/// # Errors
/// When the kernel does not show them (Linux 6.8 does).
pub fn faults(btf: &Btf, k: &Layout) -> Result<[Extra; 2]> {
    let host = btf.offset("address_space.host")?;
    let one = btf.id(Kind::Typedef, "btf_trace_mm_filemap_fault")?;
    let around = btf.id(Kind::Typedef, "btf_trace_mm_filemap_map_pages")?;
    Ok([
        Extra { name: "ioriot_fault", code: fault(k, host, 8), hook: one },
        Extra { name: "ioriot_around", code: fault(k, host, 16), hook: around },
    ])
}

/// Tells of a request that is handed over: the program's argument. What it needs is copied, and understood later.
fn ask(k: &Layout, rings: Rings) -> Code {
    let mut a = Asm::default();
    let (out, full) = (a.label(), a.label());
    a.load(DW, R6, R1, 0);
    ours(&mut a, k, out);
    reserve(&mut a, COMMAND, full);
    about(&mut a, k, R7, flag::ASKED);
    a.store(DW, R8, at::ARGS, R6);
    a.load(B, R1, R6, rings.opcode);
    a.store(DW, R8, at::ARGS + 8, R1);
    a.load(W, R1, R6, rings.fd);
    a.store(DW, R8, at::ARGS + 16, R1);
    a.load(W, R1, R6, rings.flags);
    a.store(DW, R8, at::ARGS + 24, R1);
    a.store(H, R8, at::BEHIND, COMMAND);
    a.mov(R1, R8);
    a.add(R1, FIXED);
    a.mov(R2, COMMAND);
    a.mov(R3, R6);
    a.call(Helper::ReadKernel);
    submit(&mut a);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}

/// Tells that a request, the second argument, is done. Further results of one request come without it.
fn done_with(k: &Layout, rings: Rings) -> Code {
    let mut a = Asm::default();
    let (out, full) = (a.label(), a.label());
    a.load(DW, R6, R1, 8);
    a.jump(Eq, R6, 0, out);
    ours(&mut a, k, out);
    reserve(&mut a, 0, full);
    about(&mut a, k, R7, flag::DONE);
    a.store(DW, R8, at::ARGS, R6);
    a.mov(R3, R6);
    a.add(R3, i32::from(rings.result));
    a.store(DW, R10, slot::POINTER, 0);
    read_kernel(&mut a, slot::POINTER, 4);
    a.load(DW, R1, R10, slot::POINTER);
    a.store(DW, R8, at::RET, R1);
    submit(&mut a);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}

/// Tells of pages of a file (the mapping is the first argument, the first page the second) that a fault maps; the last one
/// is the argument at `last`.
fn fault(k: &Layout, host: i16, last: i16) -> Code {
    let mut a = Asm::default();
    let (out, full) = (a.label(), a.label());
    a.load(DW, R6, R1, 0);
    a.load(DW, R2, R1, 8);
    a.store(DW, R10, slot::START, R2);
    a.load(DW, R2, R1, last);
    a.store(DW, R10, slot::NOW, R2);
    ours(&mut a, k, out);
    a.load(DW, R9, R6, host);
    a.jump(Eq, R9, 0, out);
    reserve(&mut a, 0, full);
    about(&mut a, k, R7, flag::FAULT);
    a.load(DW, R1, R10, slot::START);
    a.store(DW, R8, at::ARGS, R1);
    a.load(DW, R1, R10, slot::NOW);
    a.store(DW, R8, at::ARGS + 8, R1);
    inode_fields(&mut a, k, R9, R8);
    submit(&mut a);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}
