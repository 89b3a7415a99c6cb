//! Where calls begin in a file: at an argument, or at the position that all who share the description move.

use super::Op;
use crate::event::{Col, Event};
use crate::words::words;

/// The position argument of preadv2 and pwritev2 that means the shared position (preadv2(2)).
pub const SHARED: i64 = -1;

/// Where a call begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// At the shared position, which it moves.
    Shared,
    /// At an argument. Nothing moves.
    At(i64),
}

impl Start {
    /// The argument.
    pub fn at(self) -> Option<i64> {
        match self {
            Start::Shared => None,
            Start::At(at) => Some(at),
        }
    }
}

/// Where a call begins in the file of `fd`. Without a pointer to a position copy_file_range(2), sendfile(2) and splice(2)
/// take the shared one.
pub fn start(event: &Event) -> Start {
    let offset = event.int(Col::Offset);
    match event.syscall.op() {
        Some(Op::Pread | Op::Preadv | Op::Pwrite | Op::Pwritev) => Start::At(offset.unwrap_or(0)),
        Some(Op::Preadv2 | Op::Pwritev2) if offset == Some(SHARED) => Start::Shared,
        Some(Op::Preadv2 | Op::Pwritev2) => Start::At(offset.unwrap_or(0)),
        Some(Op::Read | Op::Readv | Op::Write | Op::Writev) => Start::Shared,
        _ => offset.map_or(Start::Shared, Start::At),
    }
}

/// The same in the file of `fd2`, for calls that write to one.
pub fn start2(event: &Event) -> Start {
    event.int(Col::Offset2).map_or(Start::Shared, Start::At)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Syscall;

    #[test]
    fn a_position_is_an_argument_or_the_shared_one() {
        let at = |syscall, offset| {
            let mut event = Event::new(syscall);
            event.put(Col::Offset, offset);
            start(&event)
        };
        assert_eq!(at(Syscall::read, None), Start::Shared);
        assert_eq!(at(Syscall::pread64, Some(7)), Start::At(7));
        // Of pread(2) a negative position is an error.
        assert_eq!(at(Syscall::pread64, Some(-1)), Start::At(-1));
        for syscall in [Syscall::preadv2, Syscall::pwritev2] {
            assert_eq!((at(syscall, Some(-1)), at(syscall, Some(0))), (Start::Shared, Start::At(0)));
        }
        for syscall in [Syscall::sendfile, Syscall::copy_file_range, Syscall::splice] {
            assert_eq!((at(syscall, None), at(syscall, Some(0))), (Start::Shared, Start::At(0)));
        }
    }
}
