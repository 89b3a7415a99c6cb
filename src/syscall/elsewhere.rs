//! Calls that are known to concern no file, by name: they are no part of a replay.
//!
//! All calls of x86_64 and i386 that have no row in the syscall table (arch/x86/entry/syscalls/*.tbl of Linux 6.18), under the
//! names that strace prints. Those that move data through sockets, queues and memory are here, too: no files are involved.

macro_rules! names {
    ($($name:literal)*) => {
        /// All names in the list of calls that concern no file.
        #[cfg(test)]
        const NAMES: &[&str] = &[$($name),*];

        /// Is this the name of a call that is known to concern no file?
        pub fn concerns_no_file(name: &str) -> bool {
            matches!(name, $($name)|*)
        }
    };
}

#[rustfmt::skip]
names! {
    // Memory: of mapped files only what moves bytes has rows (madvise, msync, page faults)
    "brk" "get_mempolicy" "map_shadow_stack" "mbind" "membarrier" "migrate_pages" "mincore" "mlock" "mlock2"
    "mlockall" "move_pages" "mprotect" "mseal" "munlock" "munlockall" "pkey_alloc" "pkey_free" "pkey_mprotect"
    "process_madvise" "process_mrelease" "process_vm_readv" "process_vm_writev" "remap_file_pages" "set_mempolicy"
    "set_mempolicy_home_node"
    // Signals and waiting for processes
    "kill" "pause" "pidfd_send_signal" "restart_syscall" "rt_sigaction" "rt_sigpending" "rt_sigprocmask"
    "rt_sigqueueinfo" "rt_sigreturn" "rt_sigsuspend" "rt_sigtimedwait" "rt_sigtimedwait_time64" "rt_tgsigqueueinfo"
    "sgetmask" "sigaction" "sigaltstack" "signal" "sigpending" "sigprocmask" "sigreturn" "sigsuspend" "ssetmask" "tgkill"
    "tkill" "wait4" "waitid" "waitpid"
    // Processes, threads and their rights
    "arch_prctl" "capget" "capset" "futex" "futex_requeue" "futex_time64" "futex_wait" "futex_waitv" "futex_wake"
    "get_robust_list" "get_thread_area" "getcpu" "getegid" "getegid32" "geteuid" "geteuid32" "getgid" "getgid32"
    "getgroups" "getgroups32" "getpgid" "getpgrp" "getpid" "getppid" "getpriority" "getresgid" "getresgid32" "getresuid"
    "getresuid32" "getrlimit" "getrusage" "getsid" "gettid" "getuid" "getuid32" "ioprio_get" "ioprio_set" "kcmp"
    "landlock_add_rule" "landlock_restrict_self" "lsm_get_self_attr" "lsm_list_modules" "lsm_set_self_attr" "modify_ldt"
    "nice" "personality" "prctl" "prlimit64" "ptrace" "rseq" "sched_get_priority_max" "sched_get_priority_min"
    "sched_getaffinity" "sched_getattr" "sched_getparam" "sched_getscheduler" "sched_rr_get_interval"
    "sched_rr_get_interval_time64" "sched_setaffinity" "sched_setattr" "sched_setparam" "sched_setscheduler"
    "sched_yield" "seccomp" "set_robust_list" "set_thread_area" "set_tid_address" "setfsgid" "setfsgid32"
    "setgid" "setgid32" "setgroups" "setgroups32" "setpgid" "setpriority" "setregid" "setregid32"
    "setresgid" "setresgid32" "setrlimit" "setsid"
    "ugetrlimit" "ulimit" "uprobe" "uretprobe" "vm86" "vm86old"
    // Time
    "adjtimex" "alarm" "clock_adjtime" "clock_adjtime64" "clock_getres" "clock_getres_time64" "clock_gettime"
    "clock_gettime64" "clock_nanosleep" "clock_nanosleep_time64" "clock_settime" "clock_settime64" "ftime" "getitimer"
    "gettimeofday" "nanosleep" "setitimer" "settimeofday" "stime" "time" "timer_create" "timer_delete"
    "timer_getoverrun" "timer_gettime" "timer_gettime64" "timer_settime" "timer_settime64" "timerfd_gettime"
    "timerfd_gettime64" "timerfd_settime" "timerfd_settime64" "times"
    // Waiting for descriptors
    "_newselect" "epoll_ctl" "epoll_ctl_old" "epoll_pwait" "epoll_pwait2" "epoll_wait" "epoll_wait_old"
    "inotify_rm_watch" "poll" "ppoll" "ppoll_time64" "pselect6" "pselect6_time64" "select"
    // Asynchronous I/O: rings are made, looked at and ended; the requests made through them are events of their own
    "io_cancel" "io_destroy" "io_pgetevents" "io_pgetevents_time64" "io_setup" "io_uring_register"
    // Sockets
    "bind" "connect" "getpeername" "getpmsg" "getsockname" "getsockopt" "listen" "putpmsg" "recv" "recvfrom" "recvmmsg"
    "recvmmsg_time64" "recvmsg" "send" "sendmmsg" "sendmsg" "sendto" "setsockopt" "shutdown" "socketcall"
    // Queues, semaphores and shared memory
    "ipc" "mq_getsetattr" "mq_notify" "mq_timedreceive" "mq_timedreceive_time64" "mq_timedsend" "mq_timedsend_time64"
    "mq_unlink" "msgctl" "msgget" "msgrcv" "msgsnd" "semctl" "semget" "semop" "semtimedop" "semtimedop_time64" "shmat"
    "shmctl" "shmdt" "shmget"
    // The machine
    "_sysctl" "add_key" "bpf" "create_module" "delete_module" "finit_module" "get_kernel_syms" "getrandom"
    "init_module" "ioperm" "iopl" "kexec_file_load" "kexec_load" "keyctl" "listmount" "listns" "lookup_dcookie"
    "nfsservctl" "olduname" "oldolduname" "query_module" "reboot" "request_key" "setdomainname" "sethostname" "statmount"
    "fsconfig" "sysfs" "sysinfo" "syslog" "uname" "ustat" "vhangup"
    // Never made, or gone
    "afs_syscall" "bdflush" "break" "gtty" "idle" "lock" "mpx" "prof" "profil" "security" "stty" "tuxcall" "vserver"
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Syscall;
    use std::collections::HashSet;

    /// The calls of x86_64 by number (arch/x86/entry/syscalls/syscall_64.tbl of Linux 6.18).
    const X86_64: &str = include_str!("../../tests/data/syscall_64.txt");

    #[test]
    fn each_call_of_x86_64_has_a_row_or_is_known_to_concern_no_file() {
        let unknown: Vec<&str> = X86_64
            .lines()
            .filter_map(|line| line.split_whitespace().nth(1))
            .filter(|name| Syscall::parse(name.as_bytes()).is_none() && !concerns_no_file(name))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        assert!(X86_64.lines().count() > 370);
    }

    #[test]
    fn no_call_is_in_both_places_or_twice_in_this_one() {
        let mut seen = HashSet::new();
        for name in NAMES {
            assert!(seen.insert(name) && concerns_no_file(name), "{name}");
            assert_eq!(Syscall::parse(name.as_bytes()), None, "{name}");
        }
    }

    #[test]
    fn what_nobody_heard_of_may_concern_a_file() {
        for name in ["syscall_999", "SYS_269", "read_really_fast", "", "brk "] {
            assert!(!concerns_no_file(name), "{name}");
        }
    }
}
