//! What processes caused block devices to read and write, as the kernel accounts it to them.

use crate::amount::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;

/// Bytes that processes caused devices to read and write (`read_bytes` and `write_bytes` of proc_pid_io(5)): what was read past
/// the page cache or missed it, mapped pages too, and what was made dirty or written past it, also if it was removed before it
/// reached a device. In units of 512 bytes; zeroes where the kernel accounts none (CONFIG_TASK_IO_ACCOUNTING).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TaskIo {
    /// Bytes that devices read for them.
    pub read_bytes: u64,
    /// Bytes that they gave devices to write.
    pub written_bytes: u64,
}

impl TaskIo {
    /// Of all children of this process that it has waited for until now, and of their children that they have waited for.
    pub fn of_children() -> TaskIo {
        // SAFETY: rusage is plain numbers, for which zero is a value; getrusage(2) writes one.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(libc::RUSAGE_CHILDREN, &raw mut usage);
            usage
        };
        let bytes = |blocks: libc::c_long| u64::try_from(blocks).unwrap_or(0).saturating_mul(512);
        TaskIo { read_bytes: bytes(usage.ru_inblock), written_bytes: bytes(usage.ru_oublock) }
    }

    /// What came since an earlier reading.
    pub fn since(self, earlier: TaskIo) -> TaskIo {
        TaskIo {
            read_bytes: self.read_bytes.saturating_sub(earlier.read_bytes),
            written_bytes: self.written_bytes.saturating_sub(earlier.written_bytes),
        }
    }
}

impl fmt::Display for TaskIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} read, {} written", Bytes(self.read_bytes), Bytes(self.written_bytes))
    }
}
