//! Calls by number, and the names of other architectures: how logs call what their tracer did not know, or knew otherwise.

use super::Syscall;

/// From this number on a call has one number on (nearly) every architecture: since Linux 5.1.
const COMMON: usize = 424;

/// The calls of x86_64 from number 0 on (arch/x86/entry/syscalls/syscall_64.tbl of Linux 6.18).
#[rustfmt::skip]
const FIRST: &[&str] = &[
    "read", "write", "open", "close", "stat", "fstat", "lstat", "poll", "lseek", "mmap", "mprotect", "munmap",
    "brk", "rt_sigaction", "rt_sigprocmask", "rt_sigreturn", "ioctl", "pread64", "pwrite64", "readv", "writev",
    "access", "pipe", "select", "sched_yield", "mremap", "msync", "mincore", "madvise", "shmget", "shmat", "shmctl",
    "dup", "dup2", "pause", "nanosleep", "getitimer", "alarm", "setitimer", "getpid", "sendfile", "socket",
    "connect", "accept", "sendto", "recvfrom", "sendmsg", "recvmsg", "shutdown", "bind", "listen", "getsockname",
    "getpeername", "socketpair", "setsockopt", "getsockopt", "clone", "fork", "vfork", "execve", "exit", "wait4",
    "kill", "uname", "semget", "semop", "semctl", "shmdt", "msgget", "msgsnd", "msgrcv", "msgctl", "fcntl", "flock",
    "fsync", "fdatasync", "truncate", "ftruncate", "getdents", "getcwd", "chdir", "fchdir", "rename", "mkdir",
    "rmdir", "creat", "link", "unlink", "symlink", "readlink", "chmod", "fchmod", "chown", "fchown", "lchown",
    "umask", "gettimeofday", "getrlimit", "getrusage", "sysinfo", "times", "ptrace", "getuid", "syslog", "getgid",
    "setuid", "setgid", "geteuid", "getegid", "setpgid", "getppid", "getpgrp", "setsid", "setreuid", "setregid",
    "getgroups", "setgroups", "setresuid", "getresuid", "setresgid", "getresgid", "getpgid", "setfsuid", "setfsgid",
    "getsid", "capget", "capset", "rt_sigpending", "rt_sigtimedwait", "rt_sigqueueinfo", "rt_sigsuspend",
    "sigaltstack", "utime", "mknod", "uselib", "personality", "ustat", "statfs", "fstatfs", "sysfs", "getpriority",
    "setpriority", "sched_setparam", "sched_getparam", "sched_setscheduler", "sched_getscheduler",
    "sched_get_priority_max", "sched_get_priority_min", "sched_rr_get_interval", "mlock", "munlock", "mlockall",
    "munlockall", "vhangup", "modify_ldt", "pivot_root", "_sysctl", "prctl", "arch_prctl", "adjtimex", "setrlimit",
    "chroot", "sync", "acct", "settimeofday", "mount", "umount2", "swapon", "swapoff", "reboot", "sethostname",
    "setdomainname", "iopl", "ioperm", "create_module", "init_module", "delete_module", "get_kernel_syms",
    "query_module", "quotactl", "nfsservctl", "getpmsg", "putpmsg", "afs_syscall", "tuxcall", "security", "gettid",
    "readahead", "setxattr", "lsetxattr", "fsetxattr", "getxattr", "lgetxattr", "fgetxattr", "listxattr",
    "llistxattr", "flistxattr", "removexattr", "lremovexattr", "fremovexattr", "tkill", "time", "futex",
    "sched_setaffinity", "sched_getaffinity", "set_thread_area", "io_setup", "io_destroy", "io_getevents",
    "io_submit", "io_cancel", "get_thread_area", "lookup_dcookie", "epoll_create", "epoll_ctl_old",
    "epoll_wait_old", "remap_file_pages", "getdents64", "set_tid_address", "restart_syscall", "semtimedop",
    "fadvise64", "timer_create", "timer_settime", "timer_gettime", "timer_getoverrun", "timer_delete",
    "clock_settime", "clock_gettime", "clock_getres", "clock_nanosleep", "exit_group", "epoll_wait", "epoll_ctl",
    "tgkill", "utimes", "vserver", "mbind", "set_mempolicy", "get_mempolicy", "mq_open", "mq_unlink",
    "mq_timedsend", "mq_timedreceive", "mq_notify", "mq_getsetattr", "kexec_load", "waitid", "add_key",
    "request_key", "keyctl", "ioprio_set", "ioprio_get", "inotify_init", "inotify_add_watch", "inotify_rm_watch",
    "migrate_pages", "openat", "mkdirat", "mknodat", "fchownat", "futimesat", "newfstatat", "unlinkat", "renameat",
    "linkat", "symlinkat", "readlinkat", "fchmodat", "faccessat", "pselect6", "ppoll", "unshare", "set_robust_list",
    "get_robust_list", "splice", "tee", "sync_file_range", "vmsplice", "move_pages", "utimensat", "epoll_pwait",
    "signalfd", "timerfd_create", "eventfd", "fallocate", "timerfd_settime", "timerfd_gettime", "accept4",
    "signalfd4", "eventfd2", "epoll_create1", "dup3", "pipe2", "inotify_init1", "preadv", "pwritev",
    "rt_tgsigqueueinfo", "perf_event_open", "recvmmsg", "fanotify_init", "fanotify_mark", "prlimit64",
    "name_to_handle_at", "open_by_handle_at", "clock_adjtime", "syncfs", "sendmmsg", "setns", "getcpu",
    "process_vm_readv", "process_vm_writev", "kcmp", "finit_module", "sched_setattr", "sched_getattr", "renameat2",
    "seccomp", "getrandom", "memfd_create", "kexec_file_load", "bpf", "execveat", "userfaultfd", "membarrier",
    "mlock2", "copy_file_range", "preadv2", "pwritev2", "pkey_mprotect", "pkey_alloc", "pkey_free", "statx",
    "io_pgetevents", "rseq", "uretprobe", "uprobe",
];

/// The calls from number [`COMMON`] on.
#[rustfmt::skip]
const LATER: &[&str] = &[
    "pidfd_send_signal", "io_uring_setup", "io_uring_enter", "io_uring_register", "open_tree", "move_mount",
    "fsopen", "fsconfig", "fsmount", "fspick", "pidfd_open", "clone3", "close_range", "openat2", "pidfd_getfd",
    "faccessat2", "process_madvise", "epoll_pwait2", "mount_setattr", "quotactl_fd", "landlock_create_ruleset",
    "landlock_add_rule", "landlock_restrict_self", "memfd_secret", "process_mrelease", "futex_waitv",
    "set_mempolicy_home_node", "cachestat", "fchmodat2", "map_shadow_stack", "futex_wake", "futex_wait",
    "futex_requeue", "statmount", "listmount", "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules",
    "mseal", "setxattrat", "getxattrat", "listxattrat", "removexattrat", "open_tree_attr", "file_getattr",
    "file_setattr", "listns",
];

/// The name of a call of x86_64.
pub fn x86_64(number: usize) -> Option<&'static str> {
    FIRST.get(number).copied().or_else(|| common(number))
}

/// The name of a call that has this number everywhere.
pub fn common(number: usize) -> Option<&'static str> {
    LATER.get(number.checked_sub(COMMON)?).copied()
}

/// Is it a call that only other architectures have?
pub fn foreign(name: &str) -> bool {
    FOREIGN.contains(&name)
}

/// What i386, arm and their like have, and x86_64 does not.
#[rustfmt::skip]
const FOREIGN: &[&str] = &[
    "_llseek", "_newselect", "arm_fadvise64_64", "chown16", "chown32", "clock_gettime64", "clock_nanosleep_time64", "fadvise64_64",
    "fchown16", "fchown32", "fcntl64", "fstat64", "fstatat64", "fstatfs64", "ftruncate64", "futex_time64", "getegid32",
    "geteuid32", "getgid32", "getgroups32", "getuid32", "lchown16", "lchown32", "lstat64", "mmap2", "old_mmap", "oldfstat",
    "oldlstat", "oldstat", "oldumount", "ppoll_time64", "pselect6_time64", "readdir", "recv", "send", "sendfile64", "set_tls", "setgid32",
    "setuid32", "sigaction", "sigprocmask", "sigreturn", "socketcall", "stat64", "statfs64", "sync_file_range2", "truncate64",
    "ugetrlimit", "umount", "utimensat_time64", "waitpid",
];

/// Is it a call that x86_64 has, and newer architectures left out?
pub fn only_x86(name: &str) -> bool {
    matches!(
        name,
        "access"
            | "arch_prctl"
            | "creat"
            | "dup2"
            | "lstat"
            | "mkdir"
            | "open"
            | "pipe"
            | "poll"
            | "readlink"
            | "rename"
            | "stat"
            | "unlink"
    )
}

/// The call that other tracers, or other architectures, call by another name and give the same arguments.
pub fn alias(name: &[u8]) -> Option<Syscall> {
    Some(match name {
        b"pread" => Syscall::pread64,
        b"pwrite" => Syscall::pwrite64,
        b"preadv64" => Syscall::preadv,
        b"pwritev64" => Syscall::pwritev,
        b"preadv64v2" => Syscall::preadv2,
        b"pwritev64v2" => Syscall::pwritev2,
        b"llseek" => Syscall::_llseek,
        b"fstatat" => Syscall::newfstatat,
        b"oldstat" => Syscall::stat,
        b"oldlstat" => Syscall::lstat,
        b"oldfstat" => Syscall::fstat,
        // strace decodes the one argument of old_mmap, a structure, and puts those of arm in the usual order.
        b"old_mmap" => Syscall::mmap,
        b"arm_fadvise64_64" => Syscall::fadvise64_64,
        b"utimensat_time64" => Syscall::utimensat,
        b"old_readdir" => Syscall::readdir,
        b"_exit" => Syscall::exit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_those_of_x86_64() {
        let known = [
            (0, "read"),
            (17, "pread64"),
            (257, "openat"),
            (269, "faccessat"),
            (332, "statx"),
            (439, "faccessat2"),
            (452, "fchmodat2"),
        ];
        for (number, name) in known {
            assert_eq!(x86_64(number), Some(name));
        }
        assert_eq!((x86_64(400), x86_64(9999), common(332), common(435)), (None, None, None, Some("clone3")));
    }

    #[test]
    fn the_numbers_are_those_of_the_kernel_s_table() {
        for line in include_str!("../../tests/data/syscall_64.txt").lines() {
            let mut words = line.split_whitespace();
            let number = words.next().and_then(|number| number.parse().ok()).unwrap();
            assert_eq!(x86_64(number), words.next(), "{number}");
        }
    }

    #[test]
    fn what_is_foreign_has_no_number() {
        assert!(FIRST.iter().chain(LATER).all(|name| !foreign(name)));
        assert!(alias(b"read").is_none());
    }
}
