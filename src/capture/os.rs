//! What a live capture asks of the machine it runs on: clocks, priority, the owner of its dataset, host name, kernel version.

use crate::os::user::{User, invoker, is_root};
use serde::Serialize;
use std::io::Error;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// The time of a clock of clock_gettime(2), ns.
fn clock(which: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a time into a struct of ours; both clocks exist everywhere.
    unsafe { libc::clock_gettime(which, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Current wall-clock time (CLOCK_REALTIME), ns since 1970.
pub fn now() -> i64 {
    clock(libc::CLOCK_REALTIME)
}

/// Current time of CLOCK_MONOTONIC, ns: the clock that eBPF programs read (`bpf_ktime_get_ns`).
pub fn monotonic() -> u64 {
    clock(libc::CLOCK_MONOTONIC) as u64
}

/// Offset from CLOCK_MONOTONIC, which eBPF programs read, to ns since 1970: the one of 16 measurements whose two clock
/// readings were closest together.
pub fn clock_offset() -> i64 {
    let tries = (0..16).map(|_| {
        let (before, real, after) = (clock(libc::CLOCK_MONOTONIC), now(), clock(libc::CLOCK_MONOTONIC));
        (after - before, real - (before + (after - before) / 2))
    });
    tries.min().map_or(0, |(_, offset)| offset)
}

/// How the wall clock of this machine stood to UTC at a moment, as its kernel was told by what keeps it in time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Utc {
    /// When that was, by the wall clock, ns since 1970.
    pub ts: i64,
    /// How much is still to be added to the wall clock, ns.
    pub offset: i64,
    /// By how much it may be wrong at most, beside that, ns; `None` where nothing keeps it in time.
    pub error: Option<i64>,
}

impl Utc {
    /// As it is now (adjtimex(2)); `None` where the kernel does not say.
    pub fn now() -> Option<Utc> {
        const MICRO: i64 = 1000;
        // SAFETY: a struct of numbers, of which any are good. With modes 0 nothing is set.
        let mut told: libc::timex = unsafe { std::mem::zeroed() };
        // SAFETY: the kernel writes into a struct of ours.
        let state = unsafe { libc::adjtimex(&raw mut told) };
        let unit = if told.status & libc::STA_NANO == 0 { MICRO } else { 1 };
        let kept = told.status & (libc::STA_UNSYNC | libc::STA_CLOCKERR) == 0;
        (state >= 0).then(|| Utc {
            ts: now(),
            offset: told.offset.saturating_mul(unit),
            error: kept.then(|| told.maxerror.saturating_mul(MICRO)),
        })
    }
}

/// Raises the priority of this thread and of those that it will start to nice -10, where it is allowed to: records that the
/// reader does not take in time are lost, and the work to take them is the same anyhow.
pub fn go_first() {
    const NICE: libc::c_int = -10;
    // SAFETY: plain numbers.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0 {
        log::debug!("the capture has no right to come before others: {}", Error::last_os_error());
    }
}

/// The user who is to own a dataset at `place`: who called sudo; else, for root, the owner of the nearest existing directory
/// above it unless that is root. `None`: the user stays as it is.
pub fn owner(place: &Path) -> Option<User> {
    let above = place.ancestors().skip(1).map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    let directory = || above.filter_map(|dir| dir.metadata().ok()).next();
    invoker().or_else(|| {
        let meta = directory().filter(|meta| is_root() && meta.uid() != 0)?;
        Some(User::of(meta.uid(), meta.gid()))
    })
}

/// Host name of this machine (/proc/sys/kernel/hostname); `localhost` if that cannot be read.
pub fn host() -> String {
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    read("/proc/sys/kernel/hostname").unwrap_or_else(|| "localhost".into())
}

/// Release of the running kernel, as `uname -r` shows it; empty if it cannot be read.
pub fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

/// Id of this boot of the machine (random(4)); `None` if it cannot be read.
pub fn boot() -> Option<String> {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok().map(|id| id.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kernel_says_how_good_its_clock_is() {
        let (before, utc, after) = (now(), Utc::now().unwrap(), now());
        assert!((before..=after).contains(&utc.ts), "{utc:?}");
        // The kernel corrects half a second at most, and gives up at 16 seconds.
        assert!(
            utc.offset.abs() <= 500_000_000 && utc.error.is_none_or(|error| (0..=16_100_000_000).contains(&error)),
            "{utc:?}"
        );
    }

    #[test]
    fn the_two_clocks_fit() {
        let off = clock_offset() + clock(libc::CLOCK_MONOTONIC) - now();
        assert!(off.abs() < 50_000_000, "{off} ns apart");
    }

    #[test]
    fn the_owner_is_that_of_the_first_directory_there_is() {
        let dir = tempfile::tempdir().unwrap();
        if is_root() && std::env::var_os("SUDO_UID").is_none() {
            std::os::unix::fs::chown(dir.path(), Some(12345), Some(54321)).unwrap();
            let owner = owner(&dir.path().join("a/b")).unwrap();
            assert_eq!((owner.uid, owner.gid), (12345, 54321));
        }
    }
}
