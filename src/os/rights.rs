//! Drops capabilities (capabilities(7)) permanently and switches users.

use super::kernel::CAPABILITY_VERSION_3;
use super::user::User;
use std::io::{Error, Result};

/// CAP_CHOWN: change owners of files.
pub const CHOWN: u32 = 0;
/// CAP_DAC_OVERRIDE: bypass permission checks of files.
pub const DAC_OVERRIDE: u32 = 1;
/// CAP_FOWNER: do what only the owner of a file may do, such as chmod.
pub const FOWNER: u32 = 3;
/// CAP_FSETID: keep the set-user-id and set-group-id bits of files that are modified.
pub const FSETID: u32 = 4;
/// CAP_KILL: send signals to processes of other users.
pub const KILL: u32 = 5;
/// CAP_SETPCAP: drop capabilities from the bounding set.
const SETPCAP: u32 = 8;

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

/// One half (32 capabilities) of the three sets that capget(2) and capset(2) transfer; the first half has capabilities 0 to 31.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn check(result: impl Into<libc::c_long>) -> Result<()> {
    if result.into() < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

/// The capability sets of this thread: lower and upper half.
fn sets() -> Result<[Sets; 2]> {
    let mut header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut sets = [Sets::default(); 2];
    // SAFETY: both have the layout of capget(2), version 3.
    check(unsafe { libc::syscall(libc::SYS_capget, &raw mut header, sets.as_mut_ptr()) })?;
    Ok(sets)
}

/// The effective capabilities of this thread, one bit each; 0 when they cannot be read.
pub fn effective() -> u64 {
    sets().map_or(0, |[low, high]| u64::from(high.effective) << 32 | u64::from(low.effective))
}

/// Switches to `user` (`None`: stays the same) and drops every capability but those of `kept` that this thread has. Programs
/// executed later cannot regain any (no_new_privs, bounding set).
///
/// To be called while there is no other working thread, since capabilities belong to a thread.
///
/// # Errors
/// When the kernel refuses.
pub fn drop(user: Option<&User>, kept: &[u32]) -> Result<()> {
    let [had, _] = sets()?;
    let left = kept.iter().fold(0, |set, capability| set | 1_u32 << capability) & had.permitted;
    // SAFETY: plain numbers in every prctl.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        // Without CAP_SETPCAP the bounding set cannot be changed, but such a process gains nothing by it either.
        if had.effective & 1 << SETPCAP != 0 {
            unbind(kept)?;
        }
        // Without this the change of user would clear the permitted capabilities.
        check(libc::prctl(libc::PR_SET_KEEPCAPS, libc::c_ulong::from(left != 0), 0, 0, 0))?;
    }
    if let Some(User { uid, gid, groups }) = user {
        // SAFETY: an array that is as long as it says, and plain numbers.
        unsafe {
            check(libc::setgroups(groups.len(), groups.as_ptr()))?;
            check(libc::setresgid(*gid, *gid, *gid))?;
            check(libc::setresuid(*uid, *uid, *uid))?;
        }
    }
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) })?;
    let header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let sets = [Sets { effective: left, permitted: left, inheritable: 0 }, Sets::default()];
    // SAFETY: both have the layout of capset(2), version 3.
    check(unsafe { libc::syscall(libc::SYS_capset, &raw const header, sets.as_ptr()) })
}

/// Drops all capabilities but `kept` from the bounding set, up to the last one that the kernel knows (EINVAL).
fn unbind(kept: &[u32]) -> Result<()> {
    for capability in (0..64).filter(|capability| !kept.contains(capability)) {
        // SAFETY: plain numbers.
        if unsafe { libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) } != 0 {
            let error = Error::last_os_error();
            return if error.raw_os_error() == Some(libc::EINVAL) { Ok(()) } else { Err(error) };
        }
    }
    Ok(())
}

/// Switches to `user` between fork and exec, where only async-signal-safe calls are allowed: by raw system calls, since the
/// wrappers of libc would signal threads that do not exist in the child.
///
/// # Errors
/// The errno of the call that failed.
pub fn become_in_child(user: &User) -> std::result::Result<(), i32> {
    let User { uid, gid, groups } = user;
    // SAFETY: plain numbers, and an array that is as long as it says.
    let failed = unsafe {
        libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) != 0
            || libc::syscall(libc::SYS_setresgid, *gid, *gid, *gid) != 0
            || libc::syscall(libc::SYS_setresuid, *uid, *uid, *uid) != 0
    };
    if failed { Err(Error::last_os_error().raw_os_error().unwrap_or(libc::EPERM)) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip::{Need, skip};
    use std::process::{Command, ExitStatus};

    /// What a child has that gave its rights up before it was executed.
    fn status(user: Option<User>, kept: &'static [u32]) -> (ExitStatus, String) {
        use std::os::unix::process::CommandExt;
        let mut command = Command::new("cat");
        command.arg("/proc/self/status");
        // SAFETY: the child has one thread; the only allocations of `drop` are those of an error.
        unsafe { command.pre_exec(move || drop(user.as_ref(), kept)) };
        let said = command.output().unwrap();
        (said.status, String::from_utf8(said.stdout).unwrap())
    }

    fn field(status: &str, name: &str) -> Vec<String> {
        let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
        line.split_ascii_whitespace().map(str::to_owned).collect()
    }

    #[test]
    fn what_is_given_up_does_not_come_back() {
        if !super::super::user::is_root() {
            return skip(Need::Root, "only root has rights to give up");
        }
        let kept = format!("{:016x}", 1_u64 << CHOWN | 1 << FOWNER);
        let (done, said) = status(None, &[CHOWN, FOWNER]);
        assert!(done.success());
        assert_eq!((field(&said, "CapBnd:"), field(&said, "NoNewPrivs:")), (vec![kept.clone()], vec!["1".to_owned()]));
        // Root's programs get back what is bound, and no more.
        assert_eq!(field(&said, "CapEff:"), [kept]);
        let user = User { uid: 12345, gid: 54321, groups: vec![54321, 7] };
        let (done, said) = status(Some(user), &[]);
        assert!(done.success());
        let none = "0".repeat(16);
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(&said, set), [none.as_str()], "{set}");
        }
        assert_eq!((field(&said, "Uid:"), field(&said, "Gid:")), (vec!["12345".to_owned(); 4], vec!["54321".to_owned(); 4]));
        assert_eq!(field(&said, "Groups:"), ["7", "54321"]);
    }
}
