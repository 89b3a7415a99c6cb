//! Limits: of what is believed of data from elsewhere, of this process, and how it keeps its memory.

/// Bytes of a JSON text (a manifest, a stamp) at most; what is longer was not written by ioriot.
pub const JSON: u64 = 64 << 20;

/// Values in a JSON text at most: each takes some hundred bytes once it is read.
pub const VALUES: usize = 1 << 20;

/// Bytes of a text: the longest there is, a list of the names of extended attributes, has as many (XATTR_LIST_MAX in limits.h).
pub const TEXT: usize = 64 << 10;

/// Bytes of a text in a table: each byte that is no UTF-8 takes three ([`crate::text`]).
pub const ENCODED: usize = 3 * TEXT;

/// Bytes of a Parquet file's table of contents: that of 900 million ops.
pub const FOOTER: u64 = 64 << 20;

/// Things in a list of a table of contents. Of row groups Parquet allows 32,767.
pub const LIST: u64 = 1 << 20;

/// Rows of a row group: eight times as many as ioriot writes.
pub const GROUP_ROWS: i64 = 1 << 20;

/// Bytes of a row group, not compressed.
pub const GROUP: u64 = 2 << 30;

/// Bytes of a page, not compressed: 64 times as many as writers cut them at.
pub const PAGE: u64 = 64 << 20;

/// Bytes of an SQL statement.
#[cfg(feature = "sql")]
pub const SQL: usize = 1 << 20;

/// Terms of an SQL statement that operators join: each is a level that planning goes down.
#[cfg(feature = "sql")]
pub const TERMS: usize = 1000;

/// Threads of one kind, or processes of a replay, that may be asked for: more only wait for each other, and a system that
/// cannot make them kills.
#[cfg(target_arch = "x86_64")] // as those who ask for it
pub const THREADS: usize = 1024;

/// Raises the number of files that may be open as far as it goes. Where it cannot be raised, opens fail and say so.
pub fn raise_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: limit is readable and writable.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &limit);
        }
    }
}

/// Keeps memory that was freed for the next one who asks (mallopt(3)): tables are read and written in large pieces of the
/// same size, again and again, and page faults would cost as much as the decoding.
#[cfg(target_arch = "x86_64")] // as the two who ask for it
pub fn keep_memory() {
    // SAFETY: plain numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 20);
    }
}
