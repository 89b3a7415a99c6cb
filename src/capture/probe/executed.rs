//! The eBPF program that tells what an exec has made of a process: the beginning of its command line, its user, its control group, and
//! the few environment variables that say its rank and its job.
//!
//! It runs when the kernel has put command line and environment into the memory of the new program, so their pages are there. Of the
//! environment it reads one variable after the other and keeps those of [`VARIABLES`]: no other one leaves the kernel.

use super::optional::Optional;
use super::parts::{about, reserve, submit};
use super::program::{find_mark, tail};
use crate::capture::kernel::asm::Alu::Sub;
use crate::capture::kernel::asm::If::{Eq, Ge, Gt, Ne, SignedLt};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{B, DW, H, W};
use crate::capture::kernel::asm::{Asm, Code, Helper, Label};
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::counter::Counter;
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::record::{FIXED, at, flag};
use crate::exec::{SLOTS, VARIABLE, VARIABLES, WORDS};
use anyhow::Result;

/// Bytes of a record for the beginning of the command line, and those for variables.
const LINE: i32 = WORDS as i32;
const FOUND: i32 = (SLOTS * VARIABLE) as i32;
/// Pieces of an environment that are looked at, at most: a variable is one, or more when it is long.
const PIECES: i32 = 4096;

// The stack of the program, which the function sees, too: where the next piece begins, where the environment ends, is the next piece the
// rest of a variable, and the variables that were found.
const NEXT: i16 = 0;
const END: i16 = 8;
const INSIDE: i16 = 16;
const SLOT: i16 = 24;
const STATE: i16 = -(256 + SLOT);
/// The piece of the environment, on the stack of the function.
const PIECE: i16 = -(VARIABLE as i16);

/// Makes the program; `words`: command lines are told.
///
/// # Errors
/// When the kernel does not show execs.
pub fn program(btf: &Btf, k: &Layout, words: bool) -> Result<Optional> {
    Ok(Optional { name: "ioriot_exec", code: executed(k, words), hook: btf.id(Kind::Typedef, "btf_trace_sched_process_exec")? })
}

/// The program at an exec that succeeds. Arguments: the task, and the id that its thread had before.
fn executed(k: &Layout, words: bool) -> Code {
    let mut a = Asm::default();
    let [each, out, full] = std::array::from_fn(|_| a.label());
    a.load(DW, R7, R1, 0);
    a.load(DW, R9, R1, 8);
    find_mark(&mut a, R7, false);
    a.jump(Eq, R0, 0, out);
    a.load(DW, R6, R7, k.at.mm);
    a.jump(Eq, R6, 0, out);
    for word in (STATE..STATE + SLOT + FOUND as i16).step_by(8) {
        a.store(DW, R10, word, 0);
    }
    if k.loops {
        for (to, from) in [(NEXT, k.at.variables), (END, k.at.variables_end)] {
            a.load(DW, R1, R6, from);
            a.store(DW, R10, STATE + to, R1);
        }
        a.mov(R1, PIECES);
        a.function(R2, each);
        a.mov(R3, R10);
        a.add(R3, i32::from(STATE));
        a.mov(R4, 0);
        a.call(Helper::Loop);
    }
    reserve(&mut a, LINE + FOUND, full);
    about(&mut a, k, R7, flag::EXECUTED);
    a.store(W, R8, at::TID, R9);
    a.load(DW, R1, R7, k.at.cred);
    a.load(W, R1, R1, k.at.effective);
    a.store(DW, R8, at::ARGS, R1);
    a.load(DW, R1, R7, k.at.cgroups);
    a.load(DW, R1, R1, k.at.cgroup);
    a.load(DW, R1, R1, k.at.cgroup_node);
    a.load(DW, R1, R1, k.at.node_id);
    a.store(DW, R8, at::ARGS + 8, R1);
    if words {
        let (short, read) = (a.label(), a.label());
        a.load(DW, R2, R6, k.at.words_end);
        a.load(DW, R3, R6, k.at.words);
        a.alu(Sub, R2, R3);
        a.store(DW, R8, at::ARGS + 16, R2);
        a.mov(R1, LINE);
        a.jump(Gt, R1, R2, short);
        a.mov(R2, LINE);
        a.here(short);
        a.jump(Gt, R2, LINE, read);
        a.mov(R1, R8);
        a.add(R1, FIXED);
        a.call(Helper::ReadUser);
        a.jump(Eq, R0, 0, read);
        a.store(DW, R8, at::ARGS + 16, 0);
        a.here(read);
    }
    a.store(H, R8, at::STRINGS, LINE);
    a.store(H, R8, at::BEHIND, FOUND);
    for word in (0..FOUND as i16).step_by(8) {
        a.load(DW, R1, R10, STATE + SLOT + word);
        a.store(DW, R8, (FIXED + LINE) as i16 + word, R1);
    }
    submit(&mut a);
    tail(&mut a, out, full, Counter::Untold);
    if k.loops {
        look(&mut a, each);
    }
    a.finish()
}

/// Emits the function that `bpf_loop` calls for each piece of the environment: R2 points to the state. It returns 1 at the end.
fn look(a: &mut Asm, each: Label) {
    let [last, next, long, begun] = std::array::from_fn(|_| a.label());
    a.here(each);
    a.mov(R6, R2);
    for word in (PIECE..0).step_by(8) {
        a.store(DW, R10, word, 0);
    }
    a.load(DW, R3, R6, NEXT);
    a.load(DW, R1, R6, END);
    a.jump(Ge, R3, R1, last);
    a.mov(R1, R10);
    a.add(R1, i32::from(PIECE));
    a.mov(R2, VARIABLE as i32);
    a.call(Helper::ReadUserStr);
    a.jump(SignedLt, R0, 1, last);
    a.load(DW, R1, R6, NEXT);
    a.load(DW, R7, R6, INSIDE);
    a.jump(Ge, R0, VARIABLE as i32, long);
    a.add(R1, R0);
    a.store(DW, R6, NEXT, R1);
    a.store(DW, R6, INSIDE, 0);
    a.jump(Eq, R7, 0, begun);
    a.goto(next);
    // The helper has put a NUL in place of the last byte. What is so long tells nothing.
    a.here(long);
    a.add(R1, VARIABLE as i32 - 1);
    a.store(DW, R6, NEXT, R1);
    a.store(DW, R6, INSIDE, 1);
    a.goto(next);
    a.here(begun);
    for (name, tells) in VARIABLES {
        let other = a.label();
        let key = [name.as_bytes(), b"="].concat();
        let mut at = 0;
        while at < key.len() {
            let place = PIECE + at as i16;
            match key[at..] {
                [b0, b1, b2, b3, ..] => {
                    a.load(W, R1, R10, place);
                    a.jump(Ne, R1, i32::from_ne_bytes([b0, b1, b2, b3]), other);
                    at += 4;
                }
                [byte, ..] => {
                    a.load(B, R1, R10, place);
                    a.jump(Ne, R1, i32::from(byte), other);
                    at += 1;
                }
                [] => {}
            }
        }
        for word in (0..VARIABLE as i16).step_by(8) {
            a.load(DW, R1, R10, PIECE + word);
            a.store(DW, R6, SLOT + VARIABLE as i16 * tells as i16 + word, R1);
        }
        a.goto(next);
        a.here(other);
    }
    a.here(next);
    a.exit();
    a.here(last);
    a.give(1);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_jump_leads_somewhere_and_the_stacks_fit() {
        for (loops, words) in [(true, true), (false, true), (true, false)] {
            let code = executed(&Layout { loops, ..Layout::example() }, words);
            assert!(!code.to_string().contains("goto -1\n"), "{code}");
        }
        // The kernel allows 512 bytes for both, each in steps of 32.
        let stacks = [-STATE, -PIECE].map(|bytes| (bytes as u32).next_multiple_of(32));
        assert!(stacks.iter().sum::<u32>() <= 512, "{stacks:?}");
    }
}
