//! Pieces of the eBPF programs that read the memory of the captured process: strings and structures that arguments of its call
//! point to. Registers are used as [`super::parts`] says.

use super::parts::{argument, column, frame, say};
use crate::capture::decode::requests::ENTRY;
use crate::capture::kernel::asm::Alu::{And, Lsh};
use crate::capture::kernel::asm::If::{Eq, Ge, Gt, Ne, SignedGt, SignedLt};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R6, R8, R9, R10};
use crate::capture::kernel::asm::Size::{B, DW, H, W};
use crate::capture::kernel::asm::{Asm, Helper, Label};
use crate::capture::kernel::record::{self, at, flag as said};
use crate::capture::kernel::row::{Behind, flag};
use crate::syscall::lock::Lock;

/// Appends the string arguments (paths) that the row names, at most two, to the record at R8. One that cannot be read sets
/// flag LOST_FIRST or LOST_SECOND.
pub fn strings(a: &mut Asm) {
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

/// Appends the structure that the pointer argument named by the row points to ([`Behind`] says what it is) to the record at R8.
/// Jumps to `requests` when it is an array of asynchronous requests (io_submit(2)). Sets flag LOST_BEHIND when unreadable.
pub fn behind(a: &mut Asm, requests: Label) {
    let [done, fixed, returned, vectors, lock, read, lost] = std::array::from_fn(|_| a.label());
    a.load(DW, R2, R10, frame::ROW);
    a.load(B, R1, R2, column::BEHIND);
    a.jump(Eq, R1, Behind::Nothing as i32, done);
    let wanted = a.label();
    a.load(B, R1, R2, column::FLAGS);
    a.alu(And, R1, i32::from(flag::IF_DONE));
    a.jump(Eq, R1, 0, wanted);
    a.load(DW, R1, R10, frame::RET);
    a.jump(SignedLt, R1, 0, done);
    a.here(wanted);
    a.load(B, R1, R2, column::BEHIND);
    a.jump(Eq, R1, Behind::Fixed as i32, fixed);
    a.jump(Eq, R1, Behind::Returned as i32, returned);
    a.jump(Eq, R1, Behind::Vectors as i32, vectors);
    a.jump(Eq, R1, Behind::Requests as i32, requests);
    a.jump(Eq, R1, Behind::Lock as i32, lock);

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

    // The fcntl command is the argument before the pointer.
    a.here(lock);
    for (first, _) in Lock::FIRST {
        let other = a.label();
        a.load(W, R1, R8, at::ARGS + 8);
        a.add(R1, -(first as i32));
        a.jump(Gt, R1, 2, other);
        a.goto(fixed);
        a.here(other);
    }
    a.goto(done);

    a.here(fixed);
    a.load(B, R1, R2, column::SIZE);
    a.goto(read);
    a.here(returned);
    a.load(DW, R1, R10, frame::RET);
    a.jump(Gt, R1, record::BEHIND, done);
    a.load(B, R3, R2, column::SIZE);
    a.alu(Lsh, R1, R3);
    a.goto(read);
    a.here(vectors);
    a.load(B, R3, R2, column::SIZE);
    a.load(B, R1, R2, column::POINTER);
    a.jump(Gt, R1, 4, done);
    a.alu(Lsh, R1, 3);
    a.add(R1, R8);
    a.load(DW, R1, R1, at::ARGS + 8);
    // More vectors than IOV_MAX: the call has failed for that reason.
    a.jump(Gt, R1, record::BEHIND / 16, done);
    a.alu(Lsh, R1, R3);

    a.here(read);
    a.jump(Gt, R1, record::BEHIND, done);
    a.store(DW, R10, frame::LENGTH, R1);
    argument(a, column::POINTER, done);
    a.jump(Eq, R3, 0, done);
    a.mov(R1, R8);
    a.add(R1, record::FIXED);
    a.add(R1, R9);
    a.load(DW, R2, R10, frame::LENGTH);
    a.call(Helper::ReadUser);
    a.jump(Ne, R0, 0, lost);
    a.load(DW, R1, R10, frame::LENGTH);
    a.store(H, R8, at::BEHIND, R1);
    a.add(R9, R1);
    a.goto(done);
    a.here(lost);
    say(a, said::LOST_BEHIND);
    a.here(done);
}

/// Appends the requests that io_submit(2) accepted to the record at R8: of each its address and the `struct iocb` there. Jumps
/// to `then` at the end. R6 is lost.
pub fn requests(a: &mut Asm, then: Label) {
    let (next, end, lost) = (a.label(), a.label(), a.label());
    let most = record::BEHIND / ENTRY as i32;
    argument(a, column::POINTER, then);
    a.store(DW, R10, frame::BEGIN, R3);
    a.mov(R6, 0);
    // io_submit has no other variable parts.
    a.mov(R9, 0);
    a.here(next);
    a.load(DW, R1, R10, frame::RET);
    a.jump(Ge, R6, R1, end);
    a.load(DW, R3, R10, frame::BEGIN);
    a.mov(R1, R6);
    a.alu(Lsh, R1, 3);
    a.add(R3, R1);
    a.mov(R1, R10);
    a.add(R1, i32::from(frame::POINTER));
    a.mov(R2, 8);
    a.call(Helper::ReadUser);
    a.jump(Ne, R0, 0, lost);
    a.load(DW, R3, R10, frame::POINTER);
    a.mov(R1, R8);
    a.add(R1, record::FIXED);
    a.add(R1, R9);
    a.store(DW, R1, 0, R3);
    a.add(R1, 8);
    a.mov(R2, ENTRY as i32 - 8);
    a.call(Helper::ReadUser);
    a.jump(Ne, R0, 0, lost);
    a.add(R9, ENTRY as i32);
    a.add(R6, 1);
    a.jump(SignedLt, R6, most, next);
    a.goto(end);
    a.here(lost);
    say(a, said::LOST_BEHIND);
    a.here(end);
    a.store(H, R8, at::BEHIND, R9);
    a.goto(then);
}
