//! Numbers of the calls of the table on this machine's architecture.

use crate::syscall::Syscall;

macro_rules! numbers {
    ($($syscall:ident $number:ident;)*) => {
        /// The call's number; `None` when this architecture has no such call.
        pub fn native(syscall: Syscall) -> Option<u16> {
            match syscall { $(Syscall::$syscall => u16::try_from(libc::$number).ok(),)* _ => newer(syscall).or_else(|| older(syscall)) }
        }
    };
}

// The calls that every architecture has.
#[rustfmt::skip]
numbers! {
    read SYS_read; readv SYS_readv; pread64 SYS_pread64; preadv SYS_preadv; preadv2 SYS_preadv2;
    write SYS_write; writev SYS_writev; pwrite64 SYS_pwrite64; pwritev SYS_pwritev; pwritev2 SYS_pwritev2;
    copy_file_range SYS_copy_file_range; sendfile SYS_sendfile; splice SYS_splice; tee SYS_tee; vmsplice SYS_vmsplice;
    openat SYS_openat; openat2 SYS_openat2; open_by_handle_at SYS_open_by_handle_at; name_to_handle_at SYS_name_to_handle_at;
    close SYS_close; close_range SYS_close_range; dup SYS_dup; dup3 SYS_dup3; lseek SYS_lseek;
    fcntl SYS_fcntl; flock SYS_flock; ioctl SYS_ioctl;
    truncate SYS_truncate; ftruncate SYS_ftruncate; fallocate SYS_fallocate;
    fsync SYS_fsync; fdatasync SYS_fdatasync; syncfs SYS_syncfs; sync SYS_sync; sync_file_range SYS_sync_file_range;
    readahead SYS_readahead; fadvise64 SYS_fadvise64; mmap SYS_mmap; munmap SYS_munmap; mremap SYS_mremap; msync SYS_msync;
    fstat SYS_fstat; newfstatat SYS_newfstatat; statx SYS_statx; statfs SYS_statfs; fstatfs SYS_fstatfs;
    faccessat SYS_faccessat; faccessat2 SYS_faccessat2; getdents64 SYS_getdents64; readlinkat SYS_readlinkat;
    fchmod SYS_fchmod; fchmodat SYS_fchmodat; fchown SYS_fchown; fchownat SYS_fchownat;
    utimensat SYS_utimensat;
    getxattr SYS_getxattr; lgetxattr SYS_lgetxattr; fgetxattr SYS_fgetxattr;
    listxattr SYS_listxattr; llistxattr SYS_llistxattr; flistxattr SYS_flistxattr;
    setxattr SYS_setxattr; lsetxattr SYS_lsetxattr; fsetxattr SYS_fsetxattr;
    removexattr SYS_removexattr; lremovexattr SYS_lremovexattr; fremovexattr SYS_fremovexattr;
    mkdirat SYS_mkdirat; mknodat SYS_mknodat; unlinkat SYS_unlinkat; renameat2 SYS_renameat2; renameat SYS_renameat;
    linkat SYS_linkat; symlinkat SYS_symlinkat;
    chdir SYS_chdir; fchdir SYS_fchdir; getcwd SYS_getcwd; umask SYS_umask;
    clone SYS_clone; clone3 SYS_clone3; execve SYS_execve; execveat SYS_execveat; exit SYS_exit; exit_group SYS_exit_group;
    chroot SYS_chroot; pivot_root SYS_pivot_root; mount SYS_mount; umount2 SYS_umount2;
    pipe2 SYS_pipe2; socket SYS_socket; socketpair SYS_socketpair; accept SYS_accept; accept4 SYS_accept4;
    eventfd2 SYS_eventfd2; epoll_create1 SYS_epoll_create1; inotify_init1 SYS_inotify_init1; signalfd4 SYS_signalfd4;
    timerfd_create SYS_timerfd_create; memfd_create SYS_memfd_create; pidfd_open SYS_pidfd_open;
    perf_event_open SYS_perf_event_open; userfaultfd SYS_userfaultfd; io_uring_setup SYS_io_uring_setup;
    io_uring_enter SYS_io_uring_enter; io_submit SYS_io_submit; io_getevents SYS_io_getevents;
    inotify_add_watch SYS_inotify_add_watch; fanotify_init SYS_fanotify_init; fanotify_mark SYS_fanotify_mark;
    mq_open SYS_mq_open; memfd_secret SYS_memfd_secret; landlock_create_ruleset SYS_landlock_create_ruleset;
    fsopen SYS_fsopen; fsmount SYS_fsmount; fspick SYS_fspick; open_tree SYS_open_tree; move_mount SYS_move_mount;
    mount_setattr SYS_mount_setattr; pidfd_getfd SYS_pidfd_getfd; quotactl SYS_quotactl; quotactl_fd SYS_quotactl_fd;
    acct SYS_acct; swapon SYS_swapon; swapoff SYS_swapoff;
}

macro_rules! older {
    ($($syscall:ident $number:ident;)*) => {
        /// Calls that newer architectures left out.
        #[cfg(target_arch = "x86_64")]
        fn older(syscall: Syscall) -> Option<u16> {
            match syscall { $(Syscall::$syscall => u16::try_from(libc::$number).ok(),)* _ => None }
        }
    };
}

#[rustfmt::skip]
older! {
    open SYS_open; creat SYS_creat; dup2 SYS_dup2; stat SYS_stat; lstat SYS_lstat; access SYS_access;
    getdents SYS_getdents; readlink SYS_readlink; chmod SYS_chmod; chown SYS_chown; lchown SYS_lchown;
    utimes SYS_utimes; futimesat SYS_futimesat; utime SYS_utime;
    mkdir SYS_mkdir; mknod SYS_mknod; rmdir SYS_rmdir; unlink SYS_unlink; rename SYS_rename; link SYS_link;
    symlink SYS_symlink; fork SYS_fork; vfork SYS_vfork;
    pipe SYS_pipe; eventfd SYS_eventfd; epoll_create SYS_epoll_create; inotify_init SYS_inotify_init;
    signalfd SYS_signalfd; uselib SYS_uselib;
}

#[cfg(not(target_arch = "x86_64"))]
fn older(_: Syscall) -> Option<u16> {
    None
}

/// Calls that crate `libc` does not know everywhere. Since Linux 5.1 a new call has one number on all architectures.
fn newer(syscall: Syscall) -> Option<u16> {
    Some(match syscall {
        Syscall::cachestat => 451,
        Syscall::fchmodat2 => 452,
        Syscall::setxattrat => 463,
        Syscall::getxattrat => 464,
        Syscall::listxattrat => 465,
        Syscall::removexattrat => 466,
        Syscall::open_tree_attr => 467,
        Syscall::file_getattr => 468,
        Syscall::file_setattr => 469,
        _ => return None,
    })
}

/// Calls that the table does not have, and that tell in which order processes did something: events of name `other`.
pub const OTHERS: &[(&str, libc::c_long)] = &[("wait4", libc::SYS_wait4)];

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn no_two_calls_have_one_number() {
        let mut seen = HashMap::new();
        for syscall in Syscall::ALL {
            if let Some(number) = native(*syscall) {
                assert!(number < 512, "{}", syscall.name());
                assert_eq!(seen.insert(number, syscall.name()), None, "{}", syscall.name());
            }
        }
    }

    /// Calls of the table that this architecture lacks: those of 32-bit programs.
    #[test]
    #[cfg(target_arch = "x86_64")]
    fn every_call_of_this_architecture_has_a_number() {
        let calls = Syscall::ALL.iter().filter(|call| call.is_call());
        let without: Vec<&str> = calls.filter(|call| native(**call).is_none()).map(|call| call.name()).collect();
        let known = "sendfile64 _llseek fcntl64 truncate64 ftruncate64 sync_file_range2 fadvise64_64 mmap2 stat64 lstat64 fstat64 fstatat64 \
                     statfs64 fstatfs64 readdir chown16 chown32 lchown16 lchown32 fchown16 fchown32 umount";
        assert_eq!(without.join(" "), known);
    }

    /// The numbers of include/uapi/asm-generic/unistd.h, and the calls that its `__ARCH_WANT` conditions leave out.
    #[test]
    #[cfg(target_arch = "aarch64")]
    fn newer_architectures_number_calls_their_own_way() {
        for (syscall, number) in [
            (Syscall::openat, 56),
            (Syscall::close, 57),
            (Syscall::getdents64, 61),
            (Syscall::lseek, 62),
            (Syscall::read, 63),
            (Syscall::write, 64),
            (Syscall::pread64, 67),
            (Syscall::newfstatat, 79),
            (Syscall::fstat, 80),
            (Syscall::renameat, 38),
            (Syscall::execve, 221),
            (Syscall::fchmodat2, 452),
        ] {
            assert_eq!(native(syscall), Some(number), "{}", syscall.name());
        }
        for syscall in [Syscall::open, Syscall::creat, Syscall::stat, Syscall::access, Syscall::rename, Syscall::fork] {
            assert_eq!(native(syscall), None, "{}", syscall.name());
        }
    }
}
