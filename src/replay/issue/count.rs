//! How many bytes a call asks for that was captured without saying so.

use crate::syscall::Op;

/// Bytes asked for by a read whose count was not captured and that returned 0 or failed.
const READ_DEFAULT: i64 = 64 << 10;
/// Bytes asked for by a write whose count was not captured and that failed.
const WRITE_DEFAULT: i64 = 4 << 10;
/// Buffer size, bytes, of a getdents whose size was not captured: what the C library uses.
const DENTS_DEFAULT: i64 = 32 << 10;
/// Buffer size, bytes, of readlink and getcwd when it was not captured.
const NAME_DEFAULT: i64 = 4096;

/// Byte count of a call captured without one, derived from its return value; `None` for calls that have no buffer or data.
pub fn count(op: Op, captured: i64) -> Option<i64> {
    let default = match op {
        Op::Read | Op::Readv | Op::Pread | Op::Preadv | Op::Preadv2 | Op::CopyFileRange | Op::Sendfile | Op::Readahead => {
            READ_DEFAULT
        }
        Op::Getdents | Op::Getdents64 => DENTS_DEFAULT,
        Op::Write | Op::Writev | Op::Pwrite | Op::Pwritev | Op::Pwritev2 => WRITE_DEFAULT,
        Op::Readlink | Op::Readlinkat | Op::Getcwd => NAME_DEFAULT,
        Op::Getxattr | Op::Lgetxattr | Op::Fgetxattr | Op::Listxattr | Op::Llistxattr | Op::Flistxattr => READ_DEFAULT,
        Op::Mmap | Op::Setxattr | Op::Lsetxattr | Op::Fsetxattr => 0,
        _ => return None,
    };
    let bytes = Some(captured).filter(|ret| *ret >= 0);
    let done = match op {
        // Their return value is not the size of the buffer that they were given.
        Op::Getdents | Op::Getdents64 | Op::Readlink | Op::Readlinkat | Op::Getcwd | Op::Mmap => None,
        // A write that returned 0 had asked for 0 bytes; a read that returned 0 had asked for more.
        Op::Write | Op::Writev | Op::Pwrite | Op::Pwritev | Op::Pwritev2 => bytes,
        _ => bytes.filter(|bytes| *bytes > 0),
    };
    Some(done.unwrap_or(default))
}
