//! This process: its clocks, and giving its rights away.

use super::target::Identity;
use anyhow::{Context, Result};
use std::io::{Error, Result as Io};
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// A time of a clock, ns.
fn clock(which: libc::clockid_t) -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes a time into a struct of ours; both clocks exist everywhere.
    unsafe { libc::clock_gettime(which, &raw mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// Nanoseconds since 1970.
pub fn now() -> i64 {
    clock(libc::CLOCK_REALTIME)
}

/// Nanoseconds on the clock that programs in the kernel read.
pub fn monotonic() -> u64 {
    clock(libc::CLOCK_MONOTONIC) as u64
}

/// What to add to the clock that programs in the kernel read to get nanoseconds since 1970: the nearest of a few tries.
pub fn clock_offset() -> i64 {
    let tries = (0..16).map(|_| {
        let (before, real, after) = (clock(libc::CLOCK_MONOTONIC), now(), clock(libc::CLOCK_MONOTONIC));
        (after - before, real - (before + (after - before) / 2))
    });
    tries.min().map_or(0, |(_, offset)| offset)
}

/// This thread, and those that it will start, come before others (nice(2)) where they may: what a reader does not take
/// in time is lost, while all that it takes has to be worked off anyhow.
pub fn go_first() {
    const NICE: libc::c_int = -10;
    // SAFETY: plain numbers.
    if unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, NICE) } != 0 {
        log::debug!("the capture has no right to come before others: {}", Error::last_os_error());
    }
}

/// Is this process root?
pub fn is_root() -> bool {
    // SAFETY: geteuid(2) has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// Who called sudo, if this process is root by sudo.
pub fn invoker() -> Option<Identity> {
    let number = |name: &str| std::env::var(name).ok()?.parse().ok();
    let (uid, gid) = (number("SUDO_UID")?, number("SUDO_GID")?);
    (is_root() && uid != 0).then(|| Identity { uid, gid, groups: groups(uid, gid) })
}

/// Who is to own a dataset at `place`: who called sudo, else the owner of the directory it goes into.
pub fn owner(place: &Path) -> Option<Identity> {
    let above = place.ancestors().skip(1).map(|dir| if dir.as_os_str().is_empty() { Path::new(".") } else { dir });
    let directory = || above.filter_map(|dir| dir.metadata().ok()).next();
    invoker().or_else(|| {
        let meta = directory().filter(|meta| is_root() && meta.uid() != 0)?;
        Some(Identity { uid: meta.uid(), gid: meta.gid(), groups: groups(meta.uid(), meta.gid()) })
    })
}

/// Groups of a user.
fn groups(uid: u32, gid: u32) -> Vec<u32> {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name =
        passwd.lines().find(|line| line.split(':').nth(2) == Some(&uid.to_string())).and_then(|line| line.split(':').next());
    let text = std::fs::read_to_string("/etc/group").unwrap_or_default();
    let has = |line: &&str| line.split(':').nth(3).is_some_and(|members| members.split(',').any(|member| Some(member) == name));
    let more = text.lines().filter(has).filter_map(|line| line.split(':').nth(2)?.parse().ok());
    std::iter::once(gid).chain(more.filter(|other| *other != gid)).collect()
}

fn check(result: libc::c_long) -> Io<()> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

#[repr(C)]
struct CapabilityHeader {
    version: u32,
    pid: i32,
}

/// The right to signal processes of others (capabilities(7)).
pub const CAP_KILL: u32 = 5;

/// Becomes `identity` (or stays who it is) and gives up every capability but `kept`, if it has that, for good.
///
/// To be called while there is no other thread that works: capabilities belong to a thread.
///
/// # Errors
/// When the kernel refuses.
pub fn drop_rights(identity: Option<&Identity>, kept: Option<u32>) -> Result<()> {
    const VERSION_3: u32 = 0x2008_0522;
    let left = capabilities() as u32 & kept.map_or(0, |bit| 1 << bit);
    let drop = || -> Io<()> {
        // SAFETY: plain numbers, and arrays that are as long as they say.
        unsafe {
            check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0).into())?;
            // Else another user would have none.
            check(libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(left != 0), 0, 0, 0).into())?;
            if let Some(Identity { uid, gid, groups }) = identity {
                check(libc::setgroups(groups.len(), groups.as_ptr()).into())?;
                check(libc::setresgid(*gid, *gid, *gid).into())?;
                check(libc::setresuid(*uid, *uid, *uid).into())?;
            }
            check(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0).into())?;
            let header = CapabilityHeader { version: VERSION_3, pid: 0 };
            // Effective, permitted, inheritable, and the same for the upper half.
            check(libc::syscall(libc::SYS_capset, &raw const header, [left, left, 0, 0, 0, 0].as_ptr()))
        }
    };
    drop().context("cannot give up the rights that are not needed any more")
}

/// The capabilities that are in effect (capabilities(7)), as bits.
pub fn capabilities() -> u64 {
    let status = std::fs::read_to_string("/proc/thread-self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    line.and_then(|bits| u64::from_str_radix(bits.trim(), 16).ok()).unwrap_or(0)
}

/// Name of this machine.
pub fn host() -> String {
    let read = |path: &str| std::fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|text| !text.is_empty());
    read("/proc/sys/kernel/hostname").unwrap_or_else(|| "localhost".into())
}

/// Version of the kernel.
pub fn kernel() -> String {
    std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

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
