//! Limits: what is believed at most of data from elsewhere, threads of this process, open files, and how memory is kept.

/// Most bytes of a JSON text (a manifest, a stamp); what is longer was not written by ioriot.
pub const JSON: u64 = 64 << 20;

/// Most files of which syncs are regrouped (`--syncs regroup`): key `grouped` of a workload's manifest.
#[cfg(any(feature = "sql", target_arch = "x86_64"))] // as generate and replay
pub const GROUPED: usize = 1024;

/// Most values in a JSON text: each takes some hundred bytes once it is read.
pub const VALUES: usize = 1 << 20;

/// Most bytes of a text: the longest there is, a list of the names of extended attributes, has as many (XATTR_LIST_MAX,
/// limits.h).
pub const TEXT: usize = 64 << 10;

/// Most bytes of a text in a table: each byte that is no UTF-8 is stored as three ([`crate::text`]).
pub const ENCODED: usize = 3 * TEXT;

/// Most bytes of a Parquet footer: enough for 900 million ops.
pub const FOOTER: u64 = 64 << 20;

/// Most elements of a list in a Parquet footer. Of row groups Parquet allows 32,767.
pub const LIST: u64 = 1 << 20;

/// Most rows of a Parquet row group: eight times as many as ioriot writes.
pub const GROUP_ROWS: i64 = 1 << 20;

/// Most bytes of a Parquet row group, uncompressed.
pub const GROUP: u64 = 2 << 30;

/// Most bytes of a Parquet page, uncompressed: 64 times the size at which writers cut pages.
pub const PAGE: u64 = 64 << 20;

/// Most bytes of an SQL statement.
#[cfg(feature = "sql")]
pub const SQL: usize = 1 << 20;

/// Most terms of an SQL statement that operators join: each is a level of recursion for the planner.
#[cfg(feature = "sql")]
pub const TERMS: usize = 1000;

/// Most threads of one kind, or processes of a replay, that a user may ask for: more would only wait for each other, and a
/// system that cannot make them may kill programs.
#[cfg(target_arch = "x86_64")] // as those who ask for it
pub const THREADS: usize = 1024;

/// Raises the soft limit of open files (RLIMIT_NOFILE) to the hard one. Where that fails, later opens fail and say so.
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

/// Makes the allocator keep freed memory for later requests (mallopt(3)): tables are read and written in large pieces of the
/// same size, again and again, and page faults would cost as much as the decoding.
#[cfg(target_arch = "x86_64")] // as the two who ask for it
pub fn keep_memory() {
    // SAFETY: plain numbers.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 32 << 20);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 20);
    }
}
