//! Locks on ioriot's directories and files (flock(2)), which keep two commands from working in one place.
//!
//! A lock belongs to the open file description that it was taken on: it is released when the last process that has a descriptor
//! of it closes it or ends, in whatever way, and leaves nothing behind. Its descriptor is close-on-exec, except in processes
//! that it is passed to on purpose.

use rustix::fs::FlockOperation;
use rustix::io::Errno;
use std::fmt;
use std::io::{Error, ErrorKind, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::Path;
use std::time::{Duration, Instant};

/// How long to wait for a lock that is about to be released: by a writer that moves a dataset into place, or by processes of a
/// replay that was killed just now.
const PATIENCE: Duration = Duration::from_secs(1);
/// Interval between two attempts to take a lock.
const LOOK: Duration = Duration::from_millis(5);

/// A lock that is held until the value is dropped.
#[derive(Debug)]
pub struct Lock(OwnedFd);

impl Lock {
    /// Takes an exclusive lock on an open file or directory. On a file system without locks it warns and succeeds without one.
    ///
    /// # Errors
    /// `ErrorKind::WouldBlock` when others hold a lock and do not release it within a second; the message names them.
    pub fn alone(what: impl AsFd) -> Result<Lock> {
        Lock::take(what, FlockOperation::NonBlockingLockExclusive)
    }

    /// Takes a shared lock on an open file or directory, for reading: others may hold shared locks on it at the same time.
    ///
    /// # Errors
    /// As [`Lock::alone`], when somebody holds an exclusive lock.
    pub fn shared(what: impl AsFd) -> Result<Lock> {
        Lock::take(what, FlockOperation::NonBlockingLockShared)
    }

    fn take(what: impl AsFd, how: FlockOperation) -> Result<Lock> {
        let (fd, began) = (what.as_fd().try_clone_to_owned()?, Instant::now());
        let mut taken = rustix::fs::flock(&fd, how);
        while taken == Err(Errno::WOULDBLOCK) && began.elapsed() < PATIENCE {
            std::thread::sleep(LOOK);
            taken = rustix::fs::flock(&fd, how);
        }
        match taken {
            Ok(()) => {}
            Err(Errno::WOULDBLOCK) => return Err(Error::new(ErrorKind::WouldBlock, Holders::of(&fd).to_string())),
            // A file system without locks, or one that wants a descriptor for writing (NFS).
            Err(error @ (Errno::NOSYS | Errno::OPNOTSUPP | Errno::NOLCK | Errno::INVAL | Errno::BADF)) => {
                log::warn!("no locks on this file system ({error}): nothing keeps two commands from working in one place");
            }
            Err(error) => return Err(error.into()),
        }
        Ok(Lock(fd))
    }
}

impl AsFd for Lock {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// If a lock held by others is the cause of an error, the message that names them; else `None`.
pub fn busy(error: &anyhow::Error) -> Option<String> {
    let causes = error.chain().filter_map(|cause| cause.downcast_ref::<Error>());
    causes.filter(|cause| cause.kind() == ErrorKind::WouldBlock).map(ToString::to_string).next()
}

/// The processes that hold a lock.
struct Holders(Vec<Holder>);

/// A process that holds a lock.
struct Holder {
    pid: u32,
    /// The ioriot verb that it runs; `None` when it is another program or its command line cannot be read.
    verb: Option<String>,
    /// Time since the process was started; `None` when it cannot be read.
    age: Option<Duration>,
}

impl Holders {
    /// The holders that the kernel lists in /proc/locks (proc_locks(5)); it lists none of other pid namespaces.
    fn of(fd: &OwnedFd) -> Holders {
        let Ok(stat) = rustix::fs::fstat(fd) else { return Holders(Vec::new()) };
        let inode = format!(":{}", stat.st_ino);
        let device = format!("{:02x}:{:02x}", rustix::fs::major(stat.st_dev), rustix::fs::minor(stat.st_dev));
        let text = proc("locks");
        let found = text.lines().filter_map(|line| {
            let words: Vec<&str> = line.split_whitespace().collect();
            // `1: FLOCK ADVISORY WRITE 4711 fe:00:5390421 0 EOF`; who waits has `->` behind the number.
            let [_, "FLOCK", _, _, pid, place, ..] = words[..] else { return None };
            Some((pid.parse().ok()?, place.strip_suffix(&inode)? == device))
        });
        let found: Vec<(u32, bool)> = found.collect();
        // On some file systems (btrfs) fstat shows another device number than /proc/locks.
        let sure = found.iter().any(|(_, same)| *same);
        Holders(found.into_iter().filter(|(_, same)| *same || !sure).map(|(pid, _)| Holder::look(pid)).collect())
    }
}

impl Holder {
    fn look(pid: u32) -> Holder {
        let line = proc(&format!("{pid}/cmdline"));
        let mut words = line.split('\0');
        let ours = words.next().is_some_and(|program| program.ends_with("ioriot"));
        let plain = |word: &&str| ours && !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase());
        Holder { pid, verb: words.find(plain).map(str::to_owned), age: age(pid) }
    }
}

/// Time since a process was started; `None` when it cannot be read.
fn age(pid: u32) -> Option<Duration> {
    /// Field `starttime`, counted from behind the name, which may hold anything but a last `)`; its unit is what Linux tells
    /// every program a tick is (proc_pid_stat(5)).
    const START: usize = 19;
    const TICKS: f64 = 100.0;
    let stat = proc(&format!("{pid}/stat"));
    let start: f64 = stat.rsplit_once(") ")?.1.split(' ').nth(START)?.parse().ok()?;
    let uptime: f64 = proc("uptime").split(' ').next()?.parse().ok()?;
    Duration::try_from_secs_f64(uptime - start / TICKS).ok()
}

/// Text of a file below /proc; empty when it cannot be read.
fn proc(name: &str) -> String {
    let text = super::text(&Path::new("/proc").join(name)).unwrap_or_default();
    String::from_utf8_lossy(&text).into_owned()
}

impl fmt::Display for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.is_empty() {
            return f.write_str("another process, which cannot be seen from here, works there");
        }
        for (at, Holder { pid, verb, age }) in self.0.iter().enumerate() {
            let comma = if at == 0 { "" } else { ", " };
            let verb = verb.as_ref().map_or(String::new(), |verb| format!(" (ioriot {verb})"));
            let age = age.map_or(String::new(), |age| format!(", for {:.1} s,", age.as_secs_f64()));
            write!(f, "{comma}process {pid}{verb}{age}")?;
        }
        f.write_str(" works there")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    #[test]
    fn one_alone_or_several_together() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::open(dir.path()).unwrap();
        let first = Lock::shared(open()).unwrap();
        let second = Lock::shared(open()).unwrap();
        let said = Lock::alone(open()).unwrap_err().to_string();
        assert!(said.contains(&format!("process {}", std::process::id())) && said.contains("works there"), "{said}");
        drop((first, second));
        let alone = Lock::alone(open()).unwrap();
        assert_eq!(Lock::shared(open()).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(alone);
        Lock::shared(open()).unwrap();
    }

    #[test]
    fn a_lock_lasts_as_long_as_any_descriptor_of_it() {
        let dir = tempfile::tempdir().unwrap();
        let open = || File::open(dir.path()).unwrap();
        let lock = Lock::alone(open()).unwrap();
        let handed = lock.as_fd().try_clone_to_owned().unwrap();
        drop(lock);
        assert!(Lock::alone(open()).is_err());
        drop(handed);
        Lock::alone(open()).unwrap();
    }
}
