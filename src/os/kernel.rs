//! Constants of the kernel that the libc crate lacks, each with the header it is from.

/// _LINUX_CAPABILITY_VERSION_3: the version of capget(2) and capset(2) with sets of 64 bits (linux/capability.h).
pub const CAPABILITY_VERSION_3: u32 = 0x2008_0522;

/// What seccomp(2) and ptrace(2) call this architecture: AUDIT_ARCH_X86_64 (linux/audit.h).
#[cfg(target_arch = "x86_64")]
pub const ARCH: u32 = 0xc000_003e;
/// What seccomp(2) and ptrace(2) call this architecture: AUDIT_ARCH_AARCH64 (linux/audit.h).
#[cfg(not(target_arch = "x86_64"))]
pub const ARCH: u32 = 0xc000_00b7;

/// What seccomp(2) and ptrace(2) call the architecture of 32-bit programs: AUDIT_ARCH_I386 on x86_64, 0 (none) elsewhere.
pub const NARROW: u32 = if cfg!(target_arch = "x86_64") { 0x4000_0003 } else { 0 };

/// Number of cachestat(2), the same on x86_64 and arm64 (asm/unistd.h).
pub const CACHESTAT: libc::c_long = 451;

/// `struct cachestat_range` (linux/mman.h): first byte and number of bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug)]
pub struct CacheRange {
    /// First byte.
    pub offset: u64,
    /// Number of bytes; 0 for all up to the end of the file.
    pub length: u64,
}

/// `struct cachestat` (linux/mman.h): numbers of pages.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct CacheState {
    /// Pages that are in the page cache.
    pub cached: u64,
    /// Of them those that are to be written back.
    pub dirty: u64,
    /// Of them those that are being written back.
    pub writeback: u64,
    /// Pages that were there and were evicted.
    pub evicted: u64,
    /// Of them those that would not have been with more memory for the page cache.
    pub recently_evicted: u64,
}

/// PTRACE_EVENT_STOP of ptrace(2): the event of group-stops and PTRACE_INTERRUPT (linux/ptrace.h).
pub const PTRACE_EVENT_STOP: i32 = 128;

/// KCMP_FILE of kcmp(2): compare open file descriptions (linux/kcmp.h).
pub const KCMP_FILE: i32 = 0;

/// FSOPEN_CLOEXEC of fsopen(2): close the descriptor at exec (linux/mount.h).
pub const FSOPEN_CLOEXEC: u32 = 1;
/// FSCONFIG_SET_STRING of fsconfig(2): set an option of the new file system (linux/mount.h).
pub const FSCONFIG_SET_STRING: u32 = 1;
/// FSCONFIG_CMD_CREATE of fsconfig(2): make the file system (linux/mount.h).
pub const FSCONFIG_CMD_CREATE: u32 = 6;
/// FSMOUNT_CLOEXEC of fsmount(2): close the descriptor at exec (linux/mount.h).
pub const FSMOUNT_CLOEXEC: u32 = 1;
/// MOUNT_ATTR_NOSUID of fsmount(2): set-user-id bits do not work (linux/mount.h).
pub const MOUNT_ATTR_NOSUID: u32 = 2;
/// MOUNT_ATTR_NODEV of fsmount(2): device nodes do not work (linux/mount.h).
pub const MOUNT_ATTR_NODEV: u32 = 4;

/// OPEN_TREE_CLONE of open_tree(2): make a detached copy of a mount (linux/mount.h).
pub const OPEN_TREE_CLONE: i32 = 1;
/// MOVE_MOUNT_F_EMPTY_PATH of move_mount(2): the source is its descriptor, without a path (linux/mount.h).
pub const MOVE_MOUNT_F_EMPTY_PATH: i32 = 0x04;
/// MOVE_MOUNT_T_EMPTY_PATH of move_mount(2): the target is its descriptor, without a path (linux/mount.h).
pub const MOVE_MOUNT_T_EMPTY_PATH: i32 = 0x40;
