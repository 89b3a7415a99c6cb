//! The sandbox: once it is entered, the process can reach nothing but the replay tree.
//!
//! The order of the steps matters: namespace, tree as root, then rights. Only a process with one thread may do this
//! (user namespaces insist), which is why the replay runs in a child that has done nothing else yet.

use crate::files::Id;
use crate::init::{Data, Parts};
use crate::mounts::Mount;
use crate::os::kernel::{MOVE_MOUNT_F_EMPTY_PATH, MOVE_MOUNT_T_EMPTY_PATH, OPEN_TREE_CLONE};
use crate::os::rights;
use crate::os::user::{self, User};
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use std::ffi::{CStr, CString};
use std::fs::{self, OpenOptions};
use std::io::{Error, ErrorKind};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::fs::OpenOptionsExt;

/// Capabilities that are kept (capabilities(7)): what root's programs may do to files, and nothing else.
const KEPT: &[u32] = &[rights::CHOWN, rights::DAC_OVERRIDE, rights::FOWNER, rights::FSETID];

/// Description of the sandbox of a replay, which the supervisor sends to the child.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct House {
    /// Number of directories that the child is given from descriptor [`super::TREES`] on; the first becomes `/`.
    pub parts: usize,
    /// Which of them are mounts of file systems in memory, attached nowhere: numbers of parts.
    in_memory: Vec<usize>,
    /// Mount points inside the sandbox, outer before inner. Paths are in the form of [`crate::text`].
    mounts: Vec<Bind>,
    /// User and group id under which ops are issued; `None` for those that the replay was started with.
    user: Option<(u32, u32)>,
    /// The kind of data that writes send.
    pub data: Data,
}

/// A mount point inside the sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Bind {
    /// Captured path of the mount point.
    place: String,
    /// Index of the directory that is mounted there; `None` to bind the place over itself, so that renames across it give
    /// EXDEV.
    part: Option<usize>,
}

impl House {
    /// Describes the sandbox for these parts of a tree (none with engine `null`), with the mount points of the capture.
    pub fn new(parts: Option<&Parts>, captured: &[Mount], user: Option<(u32, u32)>, data: Data) -> House {
        let encode = |path: &[u8]| text::encode(path).into_owned();
        let trees = parts.map_or(&[][..], |parts| parts.trees.parts());
        let bound = |path: &[u8]| trees.iter().skip(1).any(|(captured, _)| captured == path);
        let own = captured.iter().filter(|mount| mount.path != b"/" && !mount.pseudo() && !bound(&mount.path));
        let mut mounts: Vec<Bind> = own.map(|mount| Bind { place: encode(&mount.path), part: None }).collect();
        let mapped = trees.iter().enumerate().skip(1);
        mounts.extend(mapped.map(|(part, (captured, _))| Bind { place: encode(captured), part: Some(part) }));
        mounts.sort_by_key(|bind| bind.place.len());
        let in_memory = (0..trees.len()).filter(|part| parts.is_some_and(|parts| parts.mounted(*part).is_some())).collect();
        House { parts: trees.len(), in_memory, mounts, user, data }
    }
}

fn path(text: &str) -> Result<CString> {
    CString::new(text::decode(text).into_owned()).with_context(|| format!("{text:?} is no path"))
}

fn check(ret: i32) -> std::io::Result<()> {
    if ret == 0 { Ok(()) } else { Err(Error::last_os_error()) }
}

/// Makes the kernel kill this process when its parent ends (PR_SET_PDEATHSIG, prctl(2)).
///
/// # Errors
/// When the parent has ended already.
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

/// Enters the sandbox: makes the first of these directories the root, mounts the others and the captured mount points in it,
/// and gives up all rights that no op needs.
///
/// # Errors
/// When the system does not allow a sandbox; the message says what is missing.
pub fn enter(house: &House, parts: Vec<OwnedFd>) -> Result<()> {
    namespace()?;
    let private = libc::MS_REC | libc::MS_PRIVATE;
    mount(None, c"/", private).context("no sandbox: mounts cannot be made private")?;
    let first =
        parts.first().map(here).context("no sandbox: there is no tree")?.context("no sandbox: the tree cannot be bound")?;
    // Nothing outside can be reached once the root has changed, so the mounts are cloned before, attached nowhere yet. Those in
    // memory are attached nowhere anyway.
    let parts = parts.into_iter().enumerate().map(|(number, part)| match house.in_memory.contains(&number) {
        true => Ok(part),
        false => take(&here(&part)?),
    });
    let parts = parts.collect::<Result<Vec<_>>>().context("no sandbox: a directory of the tree cannot be bound")?;
    let tree = parts.first().context("no sandbox: there is no tree")?;
    put(tree, first.as_raw_fd(), c"", MOVE_MOUNT_T_EMPTY_PATH)
        .and_then(|()| pivot(tree))
        .context("no sandbox: the root cannot be changed")?;
    for Bind { place: name, part } in &house.mounts {
        let place = path(name)?;
        match part.and_then(|part| parts.get(part)) {
            Some(taken) => put(taken, libc::AT_FDCWD, &place, 0)
                .and_then(|()| guard(&place))
                .with_context(|| format!("no sandbox: nothing can be bound to {name}"))?,
            // May fail: a captured mount point whose path is not in the fileset is no mount point of this replay.
            None => drop(mount(Some(&place), &place, libc::MS_BIND)),
        }
    }
    drop_rights(house.user).context("no sandbox: rights cannot be dropped")
}

/// Opens a directory from outside again in this mount namespace: only what is in a namespace can be bound there. Fails when
/// its path leads to another directory by now.
fn here(dir: &OwnedFd) -> Result<OwnedFd> {
    let path = fs::read_link(format!("/proc/self/fd/{}", dir.as_raw_fd())).context("/proc is needed")?;
    let found = OwnedFd::from(OpenOptions::new().read(true).custom_flags(libc::O_PATH | libc::O_DIRECTORY).open(&path)?);
    ensure!(Id::of_open(&found)? == Id::of_open(dir)?, "{} is another directory now", path.display());
    Ok(found)
}

/// Clones the mount at a directory, attached nowhere yet (open_tree(2)).
fn take(dir: &OwnedFd) -> Result<OwnedFd> {
    let flags = OPEN_TREE_CLONE | libc::O_CLOEXEC | libc::AT_EMPTY_PATH;
    // SAFETY: dir is open, the text ends in NUL; the new descriptor is owned by the OwnedFd alone.
    unsafe {
        let fd = libc::syscall(libc::SYS_open_tree, dir.as_raw_fd(), c"".as_ptr(), flags) as i32;
        if fd < 0 {
            return Err(Error::last_os_error().into());
        }
        Ok(OwnedFd::from_raw_fd(fd))
    }
}

/// Attaches a cloned mount at `place` below `dir` (move_mount(2)).
fn put(taken: &OwnedFd, dir: RawFd, place: &CStr, flags: i32) -> std::io::Result<()> {
    let flags = flags | MOVE_MOUNT_F_EMPTY_PATH;
    // SAFETY: the descriptors are open, texts end in NUL.
    check(unsafe { libc::syscall(libc::SYS_move_mount, taken.as_raw_fd(), c"".as_ptr(), dir, place.as_ptr(), flags) as i32 })
}

/// Enters a new mount namespace; without the right to that, in a new user namespace too.
fn namespace() -> Result<()> {
    // SAFETY: flags only.
    let root = unsafe { libc::unshare(libc::CLONE_NEWNS) };
    if root == 0 {
        return Ok(());
    }
    let (uid, gid) = (user::us(), user::our_group());
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

/// Advice for the user on why user namespaces are refused.
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

/// Remounts the mount with nosuid and nodev: no setuid program and no device works on it.
fn guard(tree: &CStr) -> std::io::Result<()> {
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
fn pivot(tree: &OwnedFd) -> std::io::Result<()> {
    let here = c".".as_ptr();
    // SAFETY: the descriptor is open, texts end in NUL.
    unsafe {
        check(libc::fchdir(tree.as_raw_fd()))?;
        guard(c".")?;
        check(libc::syscall(libc::SYS_pivot_root, here, here) as i32)?;
        check(libc::umount2(here, libc::MNT_DETACH))?;
        check(libc::chdir(c"/".as_ptr()))
    }
}

/// Gives up every right that no op needs: all of them when the replay becomes another `user`, else all but [`KEPT`].
fn drop_rights(user: Option<(u32, u32)>) -> std::io::Result<()> {
    match user.map(|(uid, gid)| User { uid, gid, groups: Vec::new() }) {
        Some(user) => rights::drop(Some(&user), &[]),
        None => rights::drop(None, KEPT),
    }
}

/// Gives the calling thread a table of descriptors of its own, a copy of the shared one (unshare(2)).
///
/// # Errors
/// When memory is short.
pub fn own_files() -> std::io::Result<()> {
    // SAFETY: flags only.
    check(unsafe { libc::unshare(libc::CLONE_FILES) })
}

/// Gives the calling thread a working directory and a umask of its own (unshare(2)). The umask is 022: that of the captured
/// process was not captured.
///
/// # Errors
/// When the kernel refuses unshare(2).
pub fn own_directory() -> std::io::Result<()> {
    // SAFETY: plain numbers.
    unsafe {
        check(libc::unshare(libc::CLONE_FS))?;
        libc::umask(0o022);
    }
    Ok(())
}
