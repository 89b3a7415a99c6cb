//! Optional eBPF programs for what is captured beside calls: requests through io_uring.
//!
//! Not every kernel has the tracepoints. Without them, calls of `io_uring_enter` are counted as losses instead of captured requests;
//! a warning at the start of the capture says so.

use super::file::{opened, word};
use super::newcomers::ours;
use super::parts::{about, blank, frame, read_kernel, reserve, scratch, send, submit};
use super::program::tail;
use crate::capture::decode::uring::{COMMAND, Rings};
use crate::capture::kernel::asm::Alu::Sub;
use crate::capture::kernel::asm::Helper;
use crate::capture::kernel::asm::If::{Eq, Gt, SignedLt};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{B, DW, H, W};
use crate::capture::kernel::asm::{Asm, Code};
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::counter::Counter;
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::record::{FIXED, STRING, at, flag};
use crate::event::Text;
use anyhow::Result;

/// An eBPF program at a tracepoint that not every kernel has.
#[derive(Clone, Debug)]
pub struct Optional {
    /// Name of the program, as the kernel lists it.
    pub name: &'static str,
    /// Instructions of the program.
    pub code: Code,
    /// BTF type id of the tracepoint that the program is attached to.
    pub hook: u32,
}

/// Makes the programs that report io_uring requests when they are submitted and when they complete, and finds the kernel's
/// layout of requests that the decoder needs.
///
/// # Errors
/// When the kernel does not show them.
pub fn rings(btf: &Btf, k: &Layout) -> Result<(Rings, Vec<Optional>)> {
    let rings = Rings::find(btf)?;
    let asked = btf.id(Kind::Typedef, "btf_trace_io_uring_submit_req")?;
    let done = btf.id(Kind::Typedef, "btf_trace_io_uring_complete")?;
    let mut programs = vec![
        Optional { name: "ioriot_asked", code: ask(k, &rings), hook: asked },
        Optional { name: "ioriot_done", code: done_with(k, &rings), hook: done },
    ];
    // Linux 6.0 shows these; before, they have no result.
    if let Ok(hook) = btf.id(Kind::Typedef, "btf_trace_io_uring_cqe_overflow") {
        programs.push(Optional { name: "ioriot_overflow", code: overflow(k), hook });
    }
    Ok((rings, programs))
}

/// The program at the submission of a request (its first argument is the `struct io_kiocb`). The data of its opcode are copied
/// to an ASKED record as they are and decoded by the reader.
fn ask(k: &Layout, rings: &Rings) -> Code {
    let mut a = Asm::default();
    let (out, full) = (a.label(), a.label());
    a.load(DW, R6, R1, 0);
    ours(&mut a, k, out);
    // Most opcodes have no paths: their records have a fixed length and are made in the ring.
    let named: Vec<_> = rings.kinds.iter().filter(|kind| !kind.names.is_empty()).map(|kind| (kind, a.label())).collect();
    a.load(B, R9, R6, rings.opcode);
    for (kind, label) in &named {
        a.jump(Eq, R9, i32::from(kind.opcode), *label);
    }
    reserve(&mut a, COMMAND, full);
    asked(&mut a, k, rings);
    a.mov(R9, 0);
    command(&mut a);
    submit(&mut a);
    a.goto(out);
    let text = a.label();
    for (kind, label) in named {
        a.here(label);
        for (slot, name) in [frame::POINTER, frame::PARENT].into_iter().zip([kind.names.first(), kind.names.get(1)]) {
            a.store(DW, R10, slot, 0);
            if let Some((text, at)) = name {
                a.mov(R3, R6);
                a.add(R3, *at as i32);
                read_kernel(&mut a, slot, 8);
                if *text != Text::Name {
                    let none = a.label();
                    a.load(DW, R3, R10, slot);
                    a.jump(Eq, R3, 0, none);
                    a.add(R3, i32::from(rings.text));
                    read_kernel(&mut a, slot, 8);
                    a.here(none);
                }
            }
        }
        a.goto(text);
    }
    a.here(text);
    scratch(&mut a, out);
    blank(&mut a, 0);
    asked(&mut a, k, rings);
    a.mov(R9, 0);
    for (which, slot) in [frame::POINTER, frame::PARENT].into_iter().enumerate() {
        let none = a.label();
        a.load(DW, R3, R10, slot);
        a.jump(Eq, R3, 0, none);
        a.mov(R1, R8);
        a.add(R1, FIXED);
        a.add(R1, R9);
        a.mov(R2, STRING);
        a.call(Helper::ReadKernelStr);
        a.jump(SignedLt, R0, 1, none);
        a.jump(Gt, R0, STRING, none);
        a.store(H, R8, at::STRINGS + 2 * which as i16, R0);
        a.add(R9, R0);
        a.here(none);
    }
    command(&mut a);
    a.add(R9, COMMAND);
    send(&mut a, full);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}

/// Fills the record at R8 with address, opcode, descriptor and flags of the request at R6, and with the address of its ring, the flags that this was made with, how
/// many requests are queued behind it there, how many results the program has taken from it and what it calls the request; R7 is
/// the task.
fn asked(a: &mut Asm, k: &Layout, rings: &Rings) {
    about(a, k, R7, flag::ASKED);
    a.store(DW, R8, at::ARGS, R6);
    a.load(B, R1, R6, rings.opcode);
    a.store(DW, R8, at::ARGS + 8, R1);
    a.load(W, R1, R6, rings.fd);
    a.store(DW, R8, at::ARGS + 16, R1);
    a.load(W, R1, R6, rings.flags);
    a.store(DW, R8, at::ARGS + 24, R1);
    a.load(DW, R1, R6, rings.user_data);
    a.store(DW, R8, at::RET, R1);
    a.load(DW, R1, R6, rings.ring);
    a.store(DW, R8, at::ARGS + 32, R1);
    a.load(DW, R2, R1, rings.shared);
    a.load(W, R3, R2, rings.queued);
    a.load(W, R1, R1, rings.begun);
    a.alu(Sub, R3, R1);
    a.store(W, R8, at::ARGS + 28, R3);
    a.load(W, R2, R2, rings.head);
    a.store(DW, R8, at::ARGS + 40, R2);
    a.load(DW, R1, R6, rings.ring);
    a.load(W, R1, R1, rings.setup);
    a.store(W, R8, at::ARGS + 44, R1);
}

/// Copies the opcode's own data of the request at R6 (64 bytes) behind R9 bytes of the variable part of the record at R8.
fn command(a: &mut Asm) {
    a.store(H, R8, at::BEHIND, COMMAND);
    a.mov(R1, R8);
    a.add(R1, FIXED);
    a.add(R1, R9);
    a.mov(R2, COMMAND);
    a.mov(R3, R6);
    a.call(Helper::ReadKernel);
}

/// The program at the completion of a request (its second argument): reports its result, its file, and how many results its ring
/// has by then. Further results of one
/// request (multishot) come with a null request and are ignored.
fn done_with(k: &Layout, rings: &Rings) -> Code {
    let mut a = Asm::default();
    let (out, full, none) = (a.label(), a.label(), a.label());
    a.load(DW, R6, R1, 8);
    a.jump(Eq, R6, 0, out);
    ours(&mut a, k, out);
    reserve(&mut a, 0, full);
    about(&mut a, k, R7, flag::DONE);
    a.store(DW, R8, at::ARGS, R6);
    a.mov(R3, R6);
    a.add(R3, i32::from(rings.result));
    a.store(DW, R10, frame::POINTER, 0);
    read_kernel(&mut a, frame::POINTER, 4);
    a.load(DW, R1, R10, frame::POINTER);
    a.store(DW, R8, at::RET, R1);
    for (at, size) in [(rings.ring, 8), (rings.tail, 4)] {
        match size {
            8 => a.mov(R3, R6),
            _ => a.load(DW, R3, R10, frame::POINTER),
        }
        a.add(R3, i32::from(at));
        a.store(DW, R10, frame::POINTER, 0);
        read_kernel(&mut a, frame::POINTER, size);
    }
    a.load(DW, R1, R10, frame::POINTER);
    a.store(DW, R8, at::ARGS + 8, R1);
    a.mov(R3, R6);
    a.add(R3, i32::from(rings.file));
    word(&mut a, k);
    a.jump(Eq, R1, 0, none);
    opened(&mut a, k);
    a.here(none);
    submit(&mut a);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}

/// The program at the completion of a request that finds no room in the completion queue of its ring. Arguments of the tracepoint:
/// the ring, what the program calls the request, its result.
fn overflow(k: &Layout) -> Code {
    let mut a = Asm::default();
    let (out, full) = (a.label(), a.label());
    a.load(DW, R6, R1, 0);
    for (at, field) in [(8, frame::START), (16, frame::NOW)] {
        a.load(DW, R2, R1, at);
        a.store(DW, R10, field, R2);
    }
    ours(&mut a, k, out);
    reserve(&mut a, 0, full);
    about(&mut a, k, R7, flag::DONE);
    a.store(DW, R8, at::ARGS + 16, R6);
    a.load(DW, R1, R10, frame::START);
    a.store(DW, R8, at::ARGS + 24, R1);
    a.load(DW, R1, R10, frame::NOW);
    a.store(DW, R8, at::RET, R1);
    submit(&mut a);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}
