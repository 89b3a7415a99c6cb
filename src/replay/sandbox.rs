//! The sandbox: after it stands, the replay tree is all there is.
//!
//! The order of the steps matters: namespace, tree as root, then rights. Only a process with one thread may do this
//! (user namespaces insist), which is why the replay runs in a child that has done nothing else yet.

use anyhow::{Context, Result, bail};
use std::ffi::{CStr, CString};
use std::fs;
use std::io::{Error, ErrorKind};

/// Capabilities that stay (capabilities(7)): what root's programs may do to files, and nothing else.
const KEPT: [u32; 4] = [0 /* CHOWN */, 1 /* DAC_OVERRIDE */, 3 /* FOWNER */, 4 /* FSETID */];
const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

fn check(ret: i32) -> std::io::Result<()> {
    if ret == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Asks the kernel to end this process when its parent ends.
///
/// # Errors
/// When the parent is gone already.
pub fn die_with(parent: u32) -> Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL, 0, 0, 0) })?;
    // SAFETY: no arguments.
    if unsafe { libc::getppid() } as u32 != parent {
        bail!("the supervisor is gone");
    }
    Ok(())
}

/// Closes every descriptor from `first` on.
///
/// # Errors
/// When the kernel has no close_range(2) (Linux before 5.9).
pub fn close_from(first: u32) -> Result<()> {
    // SAFETY: nothing in this process owns a descriptor from there on.
    let ret = unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) };
    check(ret as i32).context("no sandbox: close_range(2) is needed (Linux 5.9 or later)")
}

/// Makes `tree` the root directory of this process and gives up every other way out. `mounts` are directories of the
/// tree that were mount points when the workload was captured: each is bound on itself, so that a rename across them
/// gives EXDEV again.
///
/// # Errors
/// When the system does not allow a sandbox; the message says what is missing.
pub fn enter(tree: &CStr, mounts: &[CString]) -> Result<()> {
    namespace()?;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    mount(None, c"/", private).context("no sandbox: mounts cannot be made private")?;
    bind(tree).context("no sandbox: the tree cannot be bound")?;
    pivot(tree).context("no sandbox: the root cannot be changed")?;
    for place in mounts {
        // Inside, a path cannot lead out. One that the fileset does not have is no mount point of this replay.
        let _ = mount(Some(place), place, libc::MS_BIND);
    }
    drop_rights().context("no sandbox: capabilities cannot be dropped")
}

fn namespace() -> Result<()> {
    // SAFETY: flags only.
    let root = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    if root == 0 {
        return Ok(());
    }
    // SAFETY: no arguments.
    let (uid, gid) = unsafe { (libc::geteuid(), libc::getegid()) };
    // SAFETY: flags only.
    if unsafe { libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) } != 0 {
        let error = Error::last_os_error();
        bail!("no sandbox: the system gives user {uid} no user namespace ({error}). {}", hint(&error));
    }
    // Ids stay what they are; those of others do not exist inside (user_namespaces(7)).
    fs::write("/proc/self/setgroups", "deny").context("no sandbox: cannot write /proc/self/setgroups")?;
    fs::write("/proc/self/uid_map", format!("{uid} {uid} 1")).context("no sandbox: cannot write /proc/self/uid_map")?;
    fs::write("/proc/self/gid_map", format!("{gid} {gid} 1")).context("no sandbox: cannot write /proc/self/gid_map")
}

/// What to do about it.
fn hint(error: &Error) -> String {
    let says = |file: &str, value: &str| fs::read_to_string(file).is_ok_and(|text| text.trim() == value);
    let blocked = [
        ("/proc/sys/kernel/unprivileged_userns_clone", "0", "set kernel.unprivileged_userns_clone=1"),
        ("/proc/sys/user/max_user_namespaces", "0", "raise user.max_user_namespaces"),
        ("/proc/sys/kernel/apparmor_restrict_unprivileged_userns", "1", "set kernel.apparmor_restrict_unprivileged_userns=0"),
    ];
    match blocked.iter().find(|(file, value, _)| says(file, value)) {
        Some((_, _, action)) => format!("Run it as root, or {action}."),
        None if error.kind() == ErrorKind::PermissionDenied => {
            "Run it as root; in a container, allow the unshare and mount calls (for example --privileged).".into()
        }
        None => "Run it as root.".into(),
    }
}

fn mount(from: Option<&CStr>, to: &CStr, flags: u64) -> std::io::Result<()> {
    let from = from.map_or(std::ptr::null(), CStr::as_ptr);
    // SAFETY: texts end in NUL; without a file system type and data the kernel looks at neither.
    check(unsafe { libc::mount(from, to.as_ptr(), std::ptr::null(), flags, std::ptr::null()) })
}

fn bind(tree: &CStr) -> std::io::Result<()> {
    mount(Some(tree), tree, libc::MS_BIND)?;
    // SAFETY: statvfs is plain numbers.
    let mut stat: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: text ends in NUL, stat is writable.
    check(unsafe { libc::statvfs(tree.as_ptr(), &mut stat) })?;
    // In a user namespace flags that are set may not be cleared, so they are said again (mount_namespaces(7)).
    let kept = [
        (libc::ST_RDONLY, libc::MS_RDONLY),
        (libc::ST_NOEXEC, libc::MS_NOEXEC),
        (libc::ST_NOATIME, libc::MS_NOATIME),
        (libc::ST_NODIRATIME, libc::MS_NODIRATIME),
        (libc::ST_RELATIME, libc::MS_RELATIME),
    ];
    let kept = kept.iter().filter(|(st, _)| stat.f_flag & st != 0).fold(0, |flags, (_, ms)| flags | ms);
    mount(None, tree, libc::MS_REMOUNT | libc::MS_BIND | libc::MS_NOSUID | libc::MS_NODEV | kept)
}

/// pivot_root(2), in the form of its NOTES that needs no directory for the old root.
fn pivot(tree: &CStr) -> std::io::Result<()> {
    let here = c".".as_ptr();
    // SAFETY: texts end in NUL.
    unsafe {
        check(libc::chdir(tree.as_ptr()))?;
        check(libc::syscall(libc::SYS_pivot_root, here, here) as i32)?;
        check(libc::umount2(here, libc::MNT_DETACH))?;
        check(libc::chdir(c"/".as_ptr()))
    }
}

#[repr(C)]
struct Header {
    version: u32,
    pid: i32,
}

#[repr(C)]
#[derive(Clone, Copy)]
struct Sets {
    effective: u32,
    permitted: u32,
    inheritable: u32,
}

fn drop_rights() -> std::io::Result<()> {
    // SAFETY: plain numbers in every prctl. The bounding set ends where the kernel knows no more capabilities.
    unsafe {
        check(libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))?;
        for capability in (0..64).filter(|capability| !KEPT.contains(capability)) {
            if libc::prctl(libc::PR_CAPBSET_DROP, capability, 0, 0, 0) != 0 {
                let error = Error::last_os_error();
                match error.raw_os_error() {
                    Some(libc::EINVAL) => break,
                    _ => return Err(error),
                }
            }
        }
        check(libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0))?;
    }
    let mut header = Header { version: CAPABILITY_VERSION_3, pid: 0 };
    let mut now = [Sets { effective: 0, permitted: 0, inheritable: 0 }; 2];
    // SAFETY: both have the layout of capget(2), version 3.
    check(unsafe { libc::syscall(libc::SYS_capget, &mut header, now.as_mut_ptr()) as i32 })?;
    // Whoever started us may have had fewer.
    let kept = KEPT.iter().fold(0, |set, capability| set | 1_u32 << capability) & now[0].permitted;
    let none = Sets { effective: 0, permitted: 0, inheritable: 0 };
    let sets = [Sets { effective: kept, permitted: kept, inheritable: 0 }, none];
    // SAFETY: as above.
    check(unsafe { libc::syscall(libc::SYS_capset, &header, sets.as_ptr()) as i32 })
}

/// Gives the calling thread a working directory and a umask of its own. The umask is the usual one: which one the
/// captured process had is not captured.
///
/// # Errors
/// When the kernel refuses.
pub fn own_directory() -> std::io::Result<()> {
    // SAFETY: plain numbers.
    unsafe {
        check(libc::unshare(libc::CLONE_FS))?;
        libc::umask(0o022);
    }
    Ok(())
}
