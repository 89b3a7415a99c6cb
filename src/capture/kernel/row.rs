//! What the programs read of each call: the rows of map `calls`.

/// Numbers a row is kept for, of calls of 64-bit programs; those of 32-bit programs have as many behind these.
pub const NUMBERS: usize = 512;
/// Rows.
pub const ROWS: usize = 2 * NUMBERS;
/// Bytes of a row.
pub const ROW: usize = 8;
/// In place of an argument's position: there is none.
pub const NONE: u8 = 0xff;

/// Bits of [`Row::flags`].
pub mod flag {
    /// The call is captured.
    pub const WATCHED: u8 = 1;
    /// It is told when it begins: its arguments are gone when it returns, or it never returns.
    pub const AT_ENTRY: u8 = 2;
    /// It returns a descriptor, whose file is looked at.
    pub const MAKES_FD: u8 = 4;
    /// The record has a part of variable length.
    pub const VARIABLE: u8 = 8;
    /// What lies behind the pointer is there only when the call succeeded.
    pub const IF_DONE: u8 = 16;
    /// The path of the file it opened is followed up to the root.
    pub const WHERE: u8 = 32;
}

/// What is read behind a pointer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Behind {
    /// Nothing.
    Nothing = 0,
    /// [`Row::size`] bytes.
    Fixed = 1,
    /// As many elements as the call returned; [`Row::size`] is the binary logarithm of their size.
    Returned = 2,
    /// As many `struct iovec` as the next argument says; the same of their size.
    Vectors = 3,
    /// The 8 bytes behind each of two pointers, either of which may be null.
    Two = 4,
    /// [`Row::size`] bytes, if the argument before says that a record lock is there ([`crate::syscall::lock::Lock`]).
    Lock = 6,
    /// As many pointers as the call returned, and the `struct iocb` behind each (io_submit(2)).
    Requests = 5,
}

/// What the kernel side must know of a call: an element of map `calls`.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Bits of [`flag`]; 0 for a call that is not captured.
    pub flags: u8,
    /// Positions of arguments that are strings.
    pub strings: [u8; 2],
    /// Position of the descriptor whose file is looked at.
    pub fd: u8,
    /// Position of the pointer behind which is read.
    pub pointer: u8,
    /// What is read there.
    pub behind: Behind,
    /// The second pointer of [`Behind::Two`].
    pub second: u8,
    /// Bytes of [`Behind::Fixed`]; see there for the others.
    pub size: u8,
}

impl Row {
    /// Of a call that is not captured.
    pub const UNWATCHED: Row =
        Row { flags: 0, strings: [NONE; 2], fd: NONE, pointer: NONE, behind: Behind::Nothing, second: NONE, size: 0 };

    /// As it stands in the map.
    pub fn bytes(self) -> [u8; ROW] {
        let Row { flags, strings, fd, pointer, behind, second, size } = self;
        [flags, strings[0], strings[1], fd, pointer, behind as u8, second, size]
    }
}
