//! One captured syscall, whatever tool captured it.
//!
//! Parsers and live captures make events, ingest orders and stores them, the model reads them. An event holds its
//! numbers by column, so that adding a column is one line in [`Col`] and no code anywhere else.

use crate::syscall::Syscall;
use crate::words::words;
use std::fmt;

words! {
    /// The number columns of an event; all are 64-bit integers and may be absent.
    Col {
        Ts      "ts"      "start of the call (the manifest's clock says since when); absent when the capture lost the entry";
        Dur     "dur"     "duration of the call";
        Pid     "pid"     "process (thread group) id";
        Tid     "tid"     "thread id";
        Fd      "fd"      "file descriptor argument; of open, creat and dup the descriptor they returned is in ret";
        Fd2     "fd2"     "second descriptor: the new number of dup2 and dup3, where copy_file_range and sendfile read from is fd, where they write to fd2";
        DirFd   "dirfd"   "directory descriptor a relative path starts at, -100 (AT_FDCWD) for the working directory";
        DirFd2  "dirfd2"  "the same for the second path";
        Offset  "offset"  "file position argument; of a record lock its start";
        Offset2 "offset2" "second position argument: of copy_file_range where it writes";
        Count   "count"   "how much is asked for; of truncate, ftruncate and fallocate the length, of mmap the size; of a record lock its length, 0 to the end of the file";
        Ret     "ret"     "return value; -1 when the call failed; of waited the time from its end until the thread ran in ns";
        Errno   "errno"   "0, or the error of a failed call (errno(3))";
        Flags   "flags"   "flags argument as the kernel numbers it: O_, AT_, RENAME_, CLONE_, MAP_, POSIX_FADV_ ...";
        Mode    "mode"    "mode argument: permission bits; of mmap the protection, of access the mode asked; of a record lock its kind, 0 read, 1 write, 2 none";
        Whence  "whence"  "origin of a seek (lseek(2)) or of the start of a record lock: 0 SET, 1 CUR, 2 END, 3 DATA, 4 HOLE";
        Cmd     "cmd"     "command of fcntl(2) and flock(2), request of ioctl(2); of waited the number of what woke the thread";
        Arg     "arg"     "argument of fcntl(2); of waited the id of the thread that woke this one, if it was a captured one; of pidfd_open the process id; of exec the rank of the process; of munmap, mremap, msync and madvise the address; of joined_fd which open file description it is: equal numbers are shared ones, also with ofd of table open_files; of a request 1 if it begins when the one before it is done (IOSQE_IO_LINK, IOSQE_IO_DRAIN)";
        Uid     "uid"     "owner argument; of the stat family the owner that was found; of exec the effective user of the process after it";
        Gid     "gid"     "group argument; of the stat family the group that was found";
        IovCnt  "iovcnt"  "number of buffers of a vectored call";
        Resolve "resolve" "resolve flags of openat2(2)";
        Atime   "atime"   "access time argument; see TIME_NOW and TIME_OMIT";
        Mtime   "mtime"   "modification time argument; of the stat family the time that was found";
        StMode  "st_mode" "observed kind and permission bits of the file (inode(7))";
        StSize  "st_size" "observed size of the file after the call";
        Dev     "dev"     "observed device of the file, as st_dev of stat(2): of fd, of the descriptor returned, or of what a stat found";
        Ino     "ino"     "observed inode number of that file";
        Pos     "position" "observed position of the descriptor after the call";
        Line    "line"    "line of the input that the call began on, from 1";
        Cpu     "cpu"     "processor time of the thread from the return of its event before, or from when its capture began, to the start of the call; absent where waits were not captured";
        Ring    "ring"    "of a request (aio_, uring_) the ring or the context of io_setup(2) that it went through, dense from 0";
        Flight  "inflight" "of a request how many earlier ones of its thread and ring the program had not taken the result of when it handed this one over";
        Behind  "behind"  "of a request how many more the program handed over behind it in the same call";
    }
}

words! {
    /// The text columns of an event. They are bytes: a Linux path need not be UTF-8 (see [`crate::text`]).
    Text {
        Path     "path"      "path argument as captured: relative to dirfd or the working directory unless it starts with /";
        Path2    "path2"     "second path: new name of a rename or link, content of a symlink, what readlink returned";
        FdPath   "fd_path"   "what the capture says fd (or a returned descriptor) is open on: a path, or `pipe:[N]`, `socket:[N]`, `anon_inode:NAME`";
        Fd2Path  "fd2_path"  "the same for fd2; of exec the id of the job that the process belongs to";
        DirPath  "dir_path"  "the same for dirfd; for AT_FDCWD the working directory";
        Dir2Path "dir2_path" "the same for dirfd2; of exec the control group of the process";
        Name     "name"      "name of an extended attribute (xattr(7)); of mount the kind of file system; of exec the first words of the command line";
    }
}

/// What the numbers of a column count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Nothing, or what the column's meaning says: identities, flags, counts of things.
    None,
    /// Nanoseconds: a duration, or a time since what the column's meaning says.
    Ns,
    /// Nanoseconds since 1970-01-01 00:00 UTC, without leap seconds.
    Epoch,
    /// Bytes.
    Bytes,
}

impl Unit {
    /// The unit in documents and in the metadata of files; empty when there is none.
    pub const fn name(self) -> &'static str {
        match self {
            Unit::None => "",
            Unit::Ns => "ns",
            Unit::Epoch => "ns since 1970",
            Unit::Bytes => "bytes",
        }
    }
}

impl Col {
    /// What the numbers of the column count.
    pub const fn unit(self) -> Unit {
        match self {
            Col::Ts | Col::Dur | Col::Cpu => Unit::Ns,
            Col::Atime | Col::Mtime => Unit::Epoch,
            Col::Offset | Col::Offset2 | Col::Count | Col::StSize | Col::Pos => Unit::Bytes,
            Col::Pid | Col::Tid | Col::Fd | Col::Fd2 | Col::DirFd | Col::DirFd2 | Col::Ret | Col::Errno => Unit::None,
            Col::Flags | Col::Mode | Col::Whence | Col::Cmd | Col::Arg | Col::Uid | Col::Gid | Col::IovCnt => Unit::None,
            Col::Resolve | Col::StMode | Col::Dev | Col::Ino | Col::Line | Col::Ring | Col::Flight | Col::Behind => Unit::None,
        }
    }
}

/// Value of `dirfd` that stands for the working directory (openat(2)).
pub const AT_FDCWD: i64 = libc::AT_FDCWD as i64;
/// Name of the event that a live capture puts where it lost events; its count says how many.
pub const HOLE: &str = "ioriot:hole";
/// Value of [`Col::Atime`] and [`Col::Mtime`]: set it to the time of the call (UTIME_NOW of utimensat(2)).
pub const TIME_NOW: i64 = i64::MIN;
/// Value of [`Col::Atime`] and [`Col::Mtime`]: leave it as it is (UTIME_OMIT of utimensat(2)).
pub const TIME_OMIT: i64 = i64::MIN + 1;

/// Seconds and nanoseconds as ns. What no 64-bit number can hold becomes the nearest that can, and never [`TIME_NOW`] or
/// [`TIME_OMIT`].
pub fn nanos(seconds: i64, part: i64) -> i64 {
    seconds.saturating_mul(1_000_000_000).saturating_add(part).max(TIME_OMIT + 1)
}

/// One captured syscall: which call it is, and the numbers and texts that the capture has of it, by column.
///
/// Events are made and read by the million: so each number has a fixed place where it is stored without a look at the others,
/// and the texts share one allocation.
#[derive(Clone)]
pub struct Event {
    /// The call; [`Syscall::other`] for one that has no row in the syscall table.
    pub syscall: Syscall,
    /// Name of a call that has no row in the syscall table; `None` for the others.
    pub other: Option<Box<str>>,
    /// Bit mask of the number columns that are present, by `Col as u64`.
    has: u64,
    /// Bit mask of the text columns that are present, by `Text as u8`.
    has_text: u8,
    /// Values of the number columns; meaningless where `has` has no bit.
    numbers: [i64; Col::ALL.len()],
    /// The texts one after the other in the order of the columns, and the end of each in `bytes`.
    bytes: Vec<u8>,
    ends: [u32; Text::ALL.len()],
}

impl Event {
    /// An event of this call with every column absent.
    pub fn new(syscall: Syscall) -> Event {
        Event {
            syscall,
            other: None,
            has: 0,
            has_text: 0,
            numbers: [0; Col::ALL.len()],
            bytes: Vec::new(),
            ends: [0; Text::ALL.len()],
        }
    }

    /// Resets it to an event of this call with every column absent; its memory is kept for the next texts.
    pub fn renew(&mut self, syscall: Syscall) {
        (self.syscall, self.other) = (syscall, None);
        (self.has, self.has_text) = (0, 0);
        self.bytes.clear();
        self.ends = [0; Text::ALL.len()];
    }

    /// The number in a column, if the capture has it.
    #[inline]
    pub fn int(&self, col: Col) -> Option<i64> {
        if self.has & (1 << col as u64) != 0 { Some(self.numbers[col as usize]) } else { None }
    }

    /// Sets the number in a column.
    #[inline]
    pub fn set(&mut self, col: Col, value: i64) {
        self.has |= 1 << col as u64;
        self.numbers[col as usize] = value;
    }

    /// Sets the number in a column, or makes it absent.
    #[inline]
    pub fn put(&mut self, col: Col, value: Option<i64>) {
        match value {
            Some(value) => self.set(col, value),
            None => self.has &= !(1 << col as u64),
        }
    }

    /// Every number the capture has, by column.
    #[inline]
    pub fn ints(&self) -> impl Iterator<Item = (Col, i64)> + '_ {
        let mut left = self.has;
        std::iter::from_fn(move || {
            let col = *Col::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some((col, self.numbers[col as usize]))
        })
    }

    /// The bytes in a text column, if the capture has them.
    #[inline]
    pub fn text(&self, text: Text) -> Option<&[u8]> {
        if self.has_text & (1 << text as u8) != 0 { self.bytes.get(self.span(text)) } else { None }
    }

    /// Every text the capture has, by column.
    #[inline]
    pub fn texts(&self) -> impl Iterator<Item = (Text, &[u8])> {
        let mut left = u64::from(self.has_text);
        std::iter::from_fn(move || {
            let text = *Text::ALL.get(left.trailing_zeros() as usize)?;
            left &= left - 1;
            Some((text, &self.bytes[self.span(text)]))
        })
    }

    fn span(&self, text: Text) -> std::ops::Range<usize> {
        let text = text as usize;
        let begin = if text == 0 { 0 } else { self.ends[text - 1] };
        begin as usize..self.ends[text] as usize
    }

    /// Sets the bytes in a text column (less than 4 GiB).
    pub fn set_text(&mut self, text: Text, value: impl AsRef<[u8]>) {
        let (value, old) = (value.as_ref(), self.span(text));
        self.has_text |= 1 << text as u8;
        for end in &mut self.ends[text as usize..] {
            *end = *end - old.len() as u32 + value.len() as u32;
        }
        if old.end == self.bytes.len() {
            self.bytes.truncate(old.start);
            self.bytes.reserve_exact(value.len());
            self.bytes.extend_from_slice(value);
        } else {
            self.bytes.splice(old, value.iter().copied());
        }
    }

    /// Makes a text column absent; gives the bytes it had, if any.
    pub fn take_text(&mut self, text: Text) -> Option<Box<[u8]>> {
        let taken: Box<[u8]> = self.text(text)?.into();
        self.set_text(text, b"");
        self.has_text &= !(1 << text as u8);
        Some(taken)
    }

    /// Name of the call as captured.
    pub fn name(&self) -> &str {
        self.other.as_deref().unwrap_or(self.syscall.name())
    }

    /// Return value of a call that succeeded; `None` when it failed or its outcome was not captured.
    pub fn success(&self) -> Option<i64> {
        match (self.int(Col::Ret), self.int(Col::Errno)) {
            (Some(ret), Some(0)) => Some(ret),
            _ => None,
        }
    }

    /// errno of a call that failed; `None` when it succeeded or its outcome was not captured.
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

impl PartialEq for Event {
    fn eq(&self, other: &Event) -> bool {
        let same = self.syscall == other.syscall && self.other == other.other;
        same && self.ints().eq(other.ints()) && self.texts().eq(other.texts())
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ", self.name())?;
        let mut map = f.debug_map();
        map.entries(self.ints());
        map.entries(self.texts().map(|(text, bytes)| (text, String::from_utf8_lossy(bytes)))).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_presence_masks_have_a_bit_for_every_column() {
        assert!(Col::ALL.len() <= 64 && Text::ALL.len() <= 8);
    }

    #[test]
    fn every_column_can_be_set_changed_and_unset_in_any_order() {
        let mut event = Event::new(Syscall::openat);
        for round in 0..3 {
            for (i, col) in Col::ALL.iter().enumerate().rev() {
                event.set(*col, i as i64 + round);
            }
            assert!(event.ints().map(|(_, value)| value).eq(round..Col::ALL.len() as i64 + round));
        }
        event.put(Col::Ts, None);
        event.put(Col::Line, None);
        assert_eq!((event.int(Col::Ts), event.int(Col::Line), event.int(Col::Dur)), (None, None, Some(3)));
        assert_eq!(event.ints().count(), Col::ALL.len() - 2);
    }

    #[test]
    fn a_renewed_event_is_as_a_new_one() {
        let mut event = Event::new(Syscall::other);
        event.other = Some("unheard_of".into());
        Col::ALL.iter().for_each(|col| event.set(*col, 7));
        Text::ALL.iter().for_each(|text| event.set_text(*text, "seven"));
        event.renew(Syscall::openat);
        assert_eq!(event, Event::new(Syscall::openat));
        event.set(Col::Line, 3);
        event.set_text(Text::Path2, "/a");
        assert!(event.ints().eq([(Col::Line, 3)]) && event.texts().eq([(Text::Path2, &b"/a"[..])]));
    }

    #[test]
    fn texts_do_not_mix() {
        let mut event = Event::new(Syscall::rename);
        for length in [3, 0, 9] {
            for text in [Text::Name, Text::Path, Text::FdPath, Text::Path2] {
                event.set_text(text, text.name().repeat(length));
            }
            assert!(event.texts().all(|(text, bytes)| bytes == text.name().repeat(length).as_bytes()));
            assert_eq!(event.texts().count(), 4);
        }
        assert_eq!(event.take_text(Text::Path2).map(|bytes| bytes.len()), Some(45));
        assert_eq!((event.text(Text::Path2), event.text(Text::DirPath)), (None, None));
        assert_eq!(event.text(Text::FdPath), Some("fd_path".repeat(9).as_bytes()));
        let mut same = Event::new(Syscall::rename);
        for (text, bytes) in event.texts() {
            same.set_text(text, bytes);
        }
        assert_eq!(event, same);
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
