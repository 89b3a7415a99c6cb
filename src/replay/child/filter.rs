//! The seccomp filter: which system calls the processes of a replay may make.
//!
//! It looks at call numbers only. A call on neither list fails with EPERM: a replay cannot execute, fork, trace, mount, open
//! sockets or change its credentials, whatever its workload says. A call of another architecture kills the process.

use crate::process::seccomp;
use crate::syscall::number::Abi;
use crate::syscall::{Op, Syscall};
use anyhow::Result;
use libc::sock_filter;

/// Numbers of the calls that ops are issued by: each by the call of its name, except sync, which would be of the whole
/// machine.
fn ops() -> impl Iterator<Item = i64> {
    let issued = Op::ALL.iter().filter(|op| op.issued() && **op != Op::Sync);
    issued.filter_map(|op| Syscall::parse(op.name().as_bytes())?.number(Abi::NATIVE)).map(i64::from)
}

/// Numbers of the calls that threads, memory and clocks need while ops are issued. No thread is started once the filter is
/// installed.
#[rustfmt::skip]
const RUNTIME: &[i64] = &[
    libc::SYS_futex, libc::SYS_clock_gettime, libc::SYS_clock_nanosleep, libc::SYS_nanosleep, libc::SYS_sched_yield, libc::SYS_gettid,
    libc::SYS_getpid, libc::SYS_brk, libc::SYS_munmap, libc::SYS_mprotect, libc::SYS_madvise, libc::SYS_mremap, libc::SYS_rt_sigreturn,
    libc::SYS_rt_sigprocmask, libc::SYS_rt_sigaction, libc::SYS_sigaltstack, libc::SYS_exit, libc::SYS_exit_group,
    libc::SYS_getrandom, libc::SYS_restart_syscall, libc::SYS_rseq, libc::SYS_set_robust_list, libc::SYS_sched_getaffinity, libc::SYS_poll,
];

/// Numbers of the calls by which requests are handed over and their results taken. What they can do is bound where the rings and
/// contexts are made, before the filter (`issue/request/uring.rs`, `issue/request/aio.rs`); no other can be made.
pub const REQUESTS: &[i64] = &[libc::SYS_io_uring_enter, libc::SYS_io_submit, libc::SYS_io_getevents];

/// The BPF program of the filter; `more` are further calls to allow.
fn program(more: &[i64]) -> Vec<sock_filter> {
    seccomp::program(ops().chain(RUNTIME.iter().chain(more).copied()))
}

/// Installs the filter on every thread of the process; `more` calls are allowed beside the listed ones. It cannot be removed
/// again.
///
/// # Errors
/// When the kernel has no seccomp filters, or a thread cannot be reached.
pub fn install(more: &[i64]) -> Result<()> {
    seccomp::set(&mut program(more))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Error;

    #[test]
    fn nothing_dangerous_is_allowed() {
        let allowed: Vec<i64> = ops().chain(RUNTIME.iter().chain(REQUESTS).copied()).collect();
        for number in [
            libc::SYS_execve,
            libc::SYS_fork,
            libc::SYS_clone,
            libc::SYS_clone3,
            libc::SYS_unshare,
            libc::SYS_mount,
            libc::SYS_ptrace,
            libc::SYS_socket,
            libc::SYS_setuid,
            libc::SYS_chroot,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_register,
            libc::SYS_io_setup,
            libc::SYS_bpf,
            libc::SYS_open_by_handle_at,
            libc::SYS_kill,
            libc::SYS_tgkill,
            libc::SYS_setns,
            libc::SYS_pivot_root,
            libc::SYS_prctl,
            libc::SYS_sync,
        ] {
            assert!(!allowed.contains(&number), "{number}");
        }
        assert!(program(&[libc::SYS_wait4]).len() < 4096);
        // Page faults are asked for by mmap and madvise.
        let ops = Op::ALL.iter().filter(|op| op.issued() && !matches!(**op, Op::Sync | Op::Touch));
        assert_eq!(super::ops().count(), ops.count(), "an op is issued by a call that has no number");
    }

    /// How a process ends that makes this call behind the filter: by itself with the errno, or by a signal.
    fn behind(call: impl Fn() -> i64) -> (Option<i32>, Option<i32>) {
        use std::os::unix::process::ExitStatusExt;
        let mut program = program(&[]);
        // SAFETY: the child makes system calls on memory that is there already, and ends without coming back.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            let code = match seccomp::set(&mut program) {
                Err(_) => 255,
                Ok(()) if call() == -1 => Error::last_os_error().raw_os_error().unwrap_or(254),
                Ok(()) => 0,
            };
            // SAFETY: ends the process at once.
            unsafe { libc::_exit(code) };
        }
        let mut status = 0;
        // SAFETY: status is writable.
        assert_eq!(unsafe { libc::waitpid(pid, &mut status, 0) }, pid);
        let status = std::process::ExitStatus::from_raw(status);
        (status.code(), status.signal())
    }

    #[test]
    fn a_refused_call_fails_and_a_foreign_one_ends_the_process() {
        for number in [
            libc::SYS_mount,
            libc::SYS_move_mount,
            libc::SYS_fork,
            libc::SYS_clone,
            libc::SYS_execve,
            libc::SYS_socket,
            libc::SYS_ptrace,
            libc::SYS_kill,
            libc::SYS_tgkill,
            libc::SYS_prctl,
            libc::SYS_seccomp,
            libc::SYS_unshare,
            libc::SYS_setuid,
            libc::SYS_chroot,
            libc::SYS_bpf,
            libc::SYS_io_uring_setup,
            libc::SYS_io_uring_register,
            libc::SYS_io_uring_enter,
            libc::SYS_io_setup,
            libc::SYS_io_submit,
            libc::SYS_open_by_handle_at,
            libc::SYS_memfd_create,
            libc::SYS_userfaultfd,
            libc::SYS_process_vm_writev,
            libc::SYS_pidfd_open,
            libc::SYS_keyctl,
            libc::SYS_reboot,
            // The highest number there could be.
            0x3fff_ffff,
        ] {
            // SAFETY: refused, or else fails on these arguments.
            assert_eq!(behind(|| unsafe { libc::syscall(number, -1, -1, -1, -1, -1) }), (Some(libc::EPERM), None), "{number}");
        }
        // SAFETY: no pointer is given.
        assert_eq!(behind(|| unsafe { libc::syscall(libc::SYS_close, -1) }), (Some(libc::EBADF), None));
        // The same numbers mean other calls to 32-bit programs: neither way in is open.
        // SAFETY: getpid, if it were.
        assert_eq!(behind(|| unsafe { libc::syscall(0x4000_0000 | libc::SYS_getpid) }).1, Some(libc::SIGSYS));
        let int80 = || {
            let answer: i64;
            // SAFETY: getpid of i386 (20), if it were; the kernel keeps all other registers but these.
            unsafe {
                std::arch::asm!("int 0x80", inlateout("rax") 20_i64 => answer, out("r8") _, out("r9") _, out("r10") _, out("r11") _);
            }
            answer
        };
        let ended = behind(int80).1;
        assert!(matches!(ended, Some(libc::SIGSYS | libc::SIGSEGV)), "{ended:?}");
    }
}
