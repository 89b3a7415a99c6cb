//! One captured syscall, whatever tool captured it.
//!
//! Parsers and live captures make events, ingest orders and stores them, the model reads them. An event holds its
//! numbers by column, so that adding a column is one line in [`Col`] and no code anywhere else.

use crate::syscall::Syscall;

/// Makes an enum of columns with their names and docs in one list.
macro_rules! columns {
    ($(#[$meta:meta])* $enum:ident { $($variant:ident $name:literal $doc:literal;)* }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[repr(u8)]
        pub enum $enum { $(#[doc = $doc] $variant),* }
        impl $enum {
            /// Every column, in the order of the table.
            pub const ALL: &'static [$enum] = &[$($enum::$variant),*];
            /// The column's name in SQL and Parquet.
            pub const fn name(self) -> &'static str { match self { $($enum::$variant => $name),* } }
            /// What the column means, for docs/SCHEMA.md.
            pub const fn doc(self) -> &'static str { match self { $($enum::$variant => $doc),* } }
        }
    };
}

columns! {
    /// The number columns of an event; all are 64-bit integers and may be absent.
    Col {
        Ts      "ts"      "start of the call, ns (the manifest's clock says since when); absent when the capture lost the entry";
        Dur     "dur"     "duration of the call, ns";
        Pid     "pid"     "process (thread group) id";
        Tid     "tid"     "thread id";
        Fd      "fd"      "file descriptor argument; of open, creat and dup the descriptor they returned is in ret";
        Fd2     "fd2"     "second descriptor: the new number of dup2 and dup3, where copy_file_range and sendfile read from is fd, where they write to fd2";
        DirFd   "dirfd"   "directory descriptor a relative path starts at, -100 (AT_FDCWD) for the working directory";
        DirFd2  "dirfd2"  "the same for the second path";
        Offset  "offset"  "file position argument, bytes";
        Offset2 "offset2" "second position argument: of copy_file_range where it writes";
        Count   "count"   "bytes asked for; of truncate, ftruncate and fallocate the length, of mmap the size";
        Ret     "ret"     "return value; -1 when the call failed";
        Errno   "errno"   "0, or the error of a failed call (errno(3))";
        Flags   "flags"   "flags argument as the kernel numbers it: O_, AT_, RENAME_, CLONE_, MAP_, POSIX_FADV_ ...";
        Mode    "mode"    "mode argument: permission bits; of mmap the protection, of access the mode asked";
        Whence  "whence"  "origin of a seek (lseek(2)): 0 SET, 1 CUR, 2 END, 3 DATA, 4 HOLE";
        Cmd     "cmd"     "command of fcntl(2) and flock(2), request of ioctl(2)";
        Arg     "arg"     "argument of fcntl(2)";
        Uid     "uid"     "owner argument";
        Gid     "gid"     "group argument";
        IovCnt  "iovcnt"  "number of buffers of a vectored call";
        Resolve "resolve" "resolve flags of openat2(2)";
        Atime   "atime"   "access time argument, ns since 1970; see TIME_NOW and TIME_OMIT";
        Mtime   "mtime"   "modification time argument, ns since 1970";
        StMode  "st_mode" "observed kind and permission bits of the file (inode(7)), when the capture shows what a stat returned";
        StSize  "st_size" "observed size of the file, bytes";
        Line    "line"    "line of the input that the call began on, from 1";
    }
}

columns! {
    /// The text columns of an event. They are bytes: a Linux path need not be UTF-8 (see [`crate::text`]).
    Text {
        Path     "path"      "path argument as captured: relative to dirfd or the working directory unless it starts with /";
        Path2    "path2"     "second path: new name of a rename or link, content of a symlink, what readlink returned";
        FdPath   "fd_path"   "what the capture says fd (or a returned descriptor) is open on: a path, or pipe:[N], socket:[N], anon_inode:NAME";
        Fd2Path  "fd2_path"  "the same for fd2";
        DirPath  "dir_path"  "the same for dirfd; for AT_FDCWD the working directory";
        Dir2Path "dir2_path" "the same for dirfd2";
        Name     "name"      "name of an extended attribute (xattr(7))";
    }
}

/// `dirfd` that stands for the working directory (openat(2)).
pub const AT_FDCWD: i64 = -100;
/// [`Col::Atime`], [`Col::Mtime`]: set to the time of the call (UTIME_NOW of utimensat(2)).
pub const TIME_NOW: i64 = i64::MIN;
/// [`Col::Atime`], [`Col::Mtime`]: leave as it is (UTIME_OMIT of utimensat(2)).
pub const TIME_OMIT: i64 = i64::MIN + 1;

/// One captured syscall.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// Which call; [`Syscall::other`] for one the table does not have.
    pub syscall: Syscall,
    /// The name of a call the table does not have.
    pub other: Option<Box<str>>,
    has: u32,
    ints: [i64; Col::ALL.len()],
    texts: [Option<Box<[u8]>>; Text::ALL.len()],
}

impl Event {
    /// An event of this call with every column absent.
    pub fn new(syscall: Syscall) -> Event {
        Event { syscall, other: None, has: 0, ints: [0; Col::ALL.len()], texts: [const { None }; Text::ALL.len()] }
    }

    /// The number in a column, if the capture has it.
    #[inline]
    pub fn int(&self, col: Col) -> Option<i64> {
        if self.has & (1 << col as u32) != 0 { Some(self.ints[col as usize]) } else { None }
    }

    /// Sets a number.
    #[inline]
    pub fn set(&mut self, col: Col, value: i64) {
        self.has |= 1 << col as u32;
        self.ints[col as usize] = value;
    }

    /// Sets a number, or makes it absent.
    #[inline]
    pub fn put(&mut self, col: Col, value: Option<i64>) {
        match value {
            Some(value) => self.set(col, value),
            None => self.has &= !(1 << col as u32),
        }
    }

    /// Every number the capture has, by column.
    #[inline]
    pub fn ints(&self) -> impl Iterator<Item = (Col, i64)> + '_ {
        let mut left = self.has;
        std::iter::from_fn(move || {
            let col = *Col::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some((col, self.ints[col as usize]))
        })
    }

    /// The bytes in a text column, if the capture has them.
    #[inline]
    pub fn text(&self, text: Text) -> Option<&[u8]> {
        self.texts[text as usize].as_deref()
    }

    /// Sets a text.
    #[inline]
    pub fn set_text(&mut self, text: Text, value: impl Into<Box<[u8]>>) {
        self.texts[text as usize] = Some(value.into());
    }

    /// Makes a text absent and hands it out.
    pub fn take_text(&mut self, text: Text) -> Option<Box<[u8]>> {
        self.texts[text as usize].take()
    }

    /// The call's name as captured.
    pub fn name(&self) -> &str {
        self.other.as_deref().unwrap_or(self.syscall.name())
    }

    /// The return value of a call that succeeded.
    pub fn success(&self) -> Option<i64> {
        match (self.int(Col::Ret), self.int(Col::Errno)) {
            (Some(ret), Some(0)) => Some(ret),
            _ => None,
        }
    }

    /// The error of a call that failed; `None` when it succeeded or its outcome was not captured.
    pub fn failure(&self) -> Option<i32> {
        self.int(Col::Errno).filter(|errno| *errno != 0).map(|errno| errno as i32)
    }

    /// Sets [`Col::Ret`] and [`Col::Errno`] from a kernel return value, where `-errno` is a failure.
    pub fn set_outcome(&mut self, value: i64) {
        let failed = (-4095..0).contains(&value);
        self.set(Col::Ret, if failed { -1 } else { value });
        self.set(Col::Errno, if failed { -value } else { 0 });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presence_mask_has_a_bit_for_every_column() {
        assert!(Col::ALL.len() <= 32);
    }

    #[test]
    fn an_outcome_splits_into_value_and_error() {
        let mut event = Event::new(Syscall::openat);
        event.set_outcome(-2);
        assert_eq!((event.int(Col::Ret), event.failure(), event.success()), (Some(-1), Some(2), None));
        event.set_outcome(3);
        assert_eq!((event.success(), event.failure()), (Some(3), None));
    }
}
