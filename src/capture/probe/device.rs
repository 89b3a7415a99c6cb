//! The eBPF program that counts what block devices are asked to do: requests, bytes, seeks and flushes, by who gives them.

use super::optional::Optional;
use super::parts::{frame, look, set};
use super::program::find_mark;
use crate::capture::kernel::asm::Alu::{And, Lsh, Or, Rsh};
use crate::capture::kernel::asm::If::{Eq, Gt, Ne, Set};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{DW, W};
use crate::capture::kernel::asm::{Asm, Code, Helper, Label, Map};
use crate::capture::kernel::bpf::word;
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::layout::Layout;
use anyhow::Result;

/// Whose requests are counted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// Those of captured tasks: of tasks with a mark.
    Captured,
    /// Those of the processes in map `pids`, and of their children.
    Listed,
}

/// Who gives a request, as in the key of an element.
pub const TASKS: u64 = 0;
pub const KERNEL: u64 = 1;
/// Anybody else: nothing of it is counted, but where it ended.
const STRANGER: i32 = 2;

/// Operations of a request (`enum req_op`, linux/blk_types.h), and the bits of `cmd_flags` that they are in.
const READ: i32 = 0;
const WRITE: i32 = 1;
const FLUSH: i32 = 2;
const OPERATION: i32 = 0xff;
/// REQ_META of `cmd_flags`: what is read is metadata of the file system (linux/blk_types.h, `__REQ_META`).
const META: i32 = 1 << 12;
/// PF_KTHREAD of `task_struct.flags`: a thread of the kernel (linux/sched.h).
const KTHREAD: i32 = 0x0020_0000;

/// Offsets of what the program reads of a request, and of the task.
#[derive(Clone, Copy, Debug)]
struct Request {
    flags: i16,
    operation: i16,
    length: i16,
    sector: i16,
    queue: i16,
    disk: Disk,
    major: i16,
    minor: i16,
}

/// Where the disk of a request is.
#[derive(Clone, Copy, Debug)]
enum Disk {
    /// In its queue (Linux 5.15).
    Queue(i16),
    /// In the request.
    Request(i16),
}

impl Request {
    fn find(btf: &Btf) -> Result<Request> {
        let disk = match btf.offset("request_queue.disk") {
            Ok(offset) => Disk::Queue(offset),
            Err(_) => Disk::Request(btf.offset("request.rq_disk")?),
        };
        Ok(Request {
            flags: btf.offset("task_struct.flags")?,
            operation: btf.offset("request.cmd_flags")?,
            length: btf.offset("request.__data_len")?,
            sector: btf.offset("request.__sector")?,
            queue: btf.offset("request.q")?,
            disk,
            major: btf.offset("gendisk.major")?,
            minor: btf.offset("gendisk.first_minor")?,
        })
    }
}

/// Makes the program at `block_rq_issue`.
///
/// # Errors
/// When the kernel does not show requests.
pub fn program(btf: &Btf, k: &Layout, whose: Whose) -> Result<Optional> {
    let code = issue(k, &Request::find(btf)?, whose);
    Ok(Optional { name: "ioriot_block", code, hook: btf.id(Kind::Typedef, "btf_trace_block_rq_issue")? })
}

// Fields of the stack frame beyond those of [`frame`]: a key and a value of map `devices`, the end of the request.
const KEY: i16 = -168;
const VALUE: i16 = KEY - 8 * word::COUNT as i16;
const END: i16 = VALUE - 8;

/// Jumps to `ours` when the task R7 is of a process in map `pids`, or a child of one.
pub(super) fn listed(a: &mut Asm, k: &Layout, ours: Label) {
    for parent in [false, true] {
        let mut task = R7;
        if parent {
            a.load(DW, R1, R7, k.at.parent);
            task = R1;
        }
        a.load(W, R1, task, k.at.tgid);
        a.store(W, R10, frame::KEY, R1);
        look(a, Map::Pids, frame::KEY);
        a.jump(Ne, R0, 0, ours);
    }
}

/// The program at the issue of a request (its argument). R6 is the request, R7 whether the device has to seek for it, R8 who gives
/// it, R9 its operation.
fn issue(k: &Layout, r: &Request, whose: Whose) -> Code {
    let mut a = Asm::default();
    let [ours, known, first, along, counted, there, read, data, write, flush, out] = std::array::from_fn(|_| a.label());
    a.load(DW, R6, R1, 0);
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    match whose {
        Whose::Captured => {
            find_mark(&mut a, R7, false);
            a.jump(Ne, R0, 0, ours);
        }
        Whose::Listed => listed(&mut a, k, ours),
    }
    a.mov(R8, KERNEL as i32);
    a.load(W, R1, R7, r.flags);
    a.jump(Set, R1, KTHREAD, known);
    a.mov(R8, STRANGER);
    a.goto(known);
    a.here(ours);
    a.mov(R8, TASKS as i32);
    a.goto(known);
    a.here(known);
    a.load(DW, R1, R6, r.queue);
    a.store(DW, R10, KEY, R1);
    a.store(DW, R10, KEY + 8, R8);
    a.load(W, R9, R6, r.operation);
    a.alu(And, R9, OPERATION);

    // Where it begins and ends, in sectors of 512 bytes.
    a.mov(R7, 0);
    a.jump(Gt, R9, WRITE, counted);
    a.load(W, R1, R6, r.length);
    a.alu(Rsh, R1, 9);
    a.load(DW, R2, R6, r.sector);
    a.add(R1, R2);
    a.store(DW, R10, END, R1);
    look(&mut a, Map::Ends, KEY);
    a.jump(Eq, R0, 0, first);
    a.load(DW, R1, R0, 0);
    a.load(DW, R2, R6, r.sector);
    a.jump(Eq, R1, R2, along);
    a.mov(R7, 1);
    a.here(along);
    a.load(DW, R1, R10, END);
    a.store(DW, R0, 0, R1);
    a.goto(counted);
    a.here(first);
    set(&mut a, Map::Ends, KEY, END);
    a.here(counted);
    a.jump(Eq, R8, STRANGER, out);

    look(&mut a, Map::Devices, KEY);
    a.jump(Ne, R0, 0, there);
    for at in 0..word::COUNT as i16 {
        a.store(DW, R10, VALUE + 8 * at, 0);
    }
    match r.disk {
        Disk::Queue(offset) => {
            a.load(DW, R1, R6, r.queue);
            a.load(DW, R1, R1, offset);
        }
        Disk::Request(offset) => a.load(DW, R1, R6, offset),
    }
    a.load(W, R2, R1, r.major);
    a.load(W, R1, R1, r.minor);
    a.alu(Lsh, R2, 32);
    a.alu(Or, R1, R2);
    a.store(DW, R10, VALUE + 8 * word::DEVICE as i16, R1);
    set(&mut a, Map::Devices, KEY, VALUE);
    look(&mut a, Map::Devices, KEY);
    a.jump(Eq, R0, 0, out);
    a.here(there);
    add(&mut a, word::SEEKS, R7);
    a.mov(R1, 1);
    a.jump(Eq, R9, READ, read);
    a.jump(Eq, R9, WRITE, write);
    a.jump(Eq, R9, FLUSH, flush);
    add(&mut a, word::OTHERS, R1);
    a.goto(out);
    a.here(flush);
    add(&mut a, word::FLUSHES, R1);
    a.goto(out);
    a.here(read);
    a.load(W, R2, R6, r.operation);
    a.alu(And, R2, META);
    a.jump(Eq, R2, 0, data);
    add(&mut a, word::META_READS, R1);
    for (label, requests, bytes) in [(data, word::READS, word::READ_BYTES), (write, word::WRITES, word::WRITTEN_BYTES)] {
        a.here(label);
        add(&mut a, requests, R1);
        a.load(W, R1, R6, r.length);
        add(&mut a, bytes, R1);
        a.goto(out);
    }
    a.here(out);
    a.exit();
    a.finish()
}

/// Adds a register to a word of the element at R0. Destroys R2.
fn add(a: &mut Asm, word: usize, more: crate::capture::kernel::asm::Reg) {
    a.load(DW, R2, R0, 8 * word as i16);
    a.add(R2, more);
    a.store(DW, R0, 8 * word as i16, R2);
}
