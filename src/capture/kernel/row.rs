//! Layout of map `calls`: for each call number a row that tells the eBPF programs what to read of the call.

/// Number of rows for calls of 64-bit programs, by call number; as many rows for those of 32-bit programs follow.
pub const NUMBERS: usize = 512;
/// Number of rows in map `calls`: those of 64-bit and of 32-bit calls.
pub const ROWS: usize = 2 * NUMBERS;
/// Size of a row of map `calls`, bytes.
pub const ROW: usize = 8;
/// Value in place of an argument's position: the call has no such argument.
pub const NONE: u8 = 0xff;

/// Bits of [`Row::flags`]: what the eBPF programs do at a call.
pub mod flag {
    /// The call is captured.
    pub const WATCHED: u8 = 1;
    /// A record is made at the entry of the call, since its arguments are gone when it returns (exec) or it never returns (exit).
    pub const AT_ENTRY: u8 = 2;
    /// The call returns a descriptor, whose file is recorded.
    pub const MAKES_FD: u8 = 4;
    /// The record of the call may have parts of variable length (strings, data behind a pointer).
    pub const VARIABLE: u8 = 8;
    /// The data behind the pointer argument are valid, and read, only if the call succeeded.
    pub const IF_DONE: u8 = 16;
    /// The path of the file that the call opened is recorded, by following it up to the root directory.
    pub const WHERE: u8 = 32;
    /// Whoever sleeps in the call may wait for somebody, unless its first argument is a descriptor of a file: its waits are told.
    pub const WAITS: u8 = 64;
    /// As [`WAITS`], whatever its arguments are.
    pub const ALWAYS_WAITS: u8 = 128;
}

/// What is read behind the pointer argument of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Behind {
    /// Nothing is read behind a pointer.
    Nothing = 0,
    /// A structure of [`Row::size`] bytes.
    Fixed = 1,
    /// An array with as many elements as the call returned; [`Row::size`] is the binary logarithm of an element's size.
    Returned = 2,
    /// An array of `struct iovec`, whose length is the next argument; [`Row::size`] is the binary logarithm of an element's size.
    Vectors = 3,
    /// The 8 bytes behind each of two pointers, either of which may be null.
    Two = 4,
    /// [`Row::size`] bytes, if the argument before says that a record lock is there ([`crate::syscall::lock::Lock`]).
    Lock = 6,
    /// As many pointers as the call returned, and the `struct iocb` behind each (io_submit(2)).
    Requests = 5,
}

/// What the eBPF programs must know of a call: one element of map `calls`, 8 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Bits of [`flag`]; 0 for a call that is not captured.
    pub flags: u8,
    /// Positions (0 to 5) of the arguments that are strings, or [`NONE`].
    pub strings: [u8; 2],
    /// Position of the descriptor argument whose file is recorded, or [`NONE`].
    pub fd: u8,
    /// Position of the pointer argument behind which data are read, or [`NONE`].
    pub pointer: u8,
    /// What is read behind that pointer.
    pub behind: Behind,
    /// Position of the second pointer argument of [`Behind::Two`], or [`NONE`].
    pub second: u8,
    /// Bytes to read for [`Behind::Fixed`] and [`Behind::Lock`]; binary logarithm of an element's size for arrays.
    pub size: u8,
}

impl Row {
    /// The row of a call that is not captured.
    pub const UNWATCHED: Row =
        Row { flags: 0, strings: [NONE; 2], fd: NONE, pointer: NONE, behind: Behind::Nothing, second: NONE, size: 0 };

    /// The row as the bytes of the map's element.
    pub fn bytes(self) -> [u8; ROW] {
        let Row { flags, strings, fd, pointer, behind, second, size } = self;
        [flags, strings[0], strings[1], fd, pointer, behind as u8, second, size]
    }
}
