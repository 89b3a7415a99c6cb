//! Filters on the numbers of system calls (seccomp(2)), for processes that work on what others say.
//!
//! A filter looks at call numbers only. A call that is not on its list fails with EPERM; a call of another architecture kills the
//! process.

use crate::os::kernel::ARCH;
use anyhow::{Result, ensure};
use libc::sock_filter;
use std::io::Error;

/// BPF instruction: loads the 32-bit word at an offset of `struct seccomp_data`.
const fn load(offset: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_LD | libc::BPF_W | libc::BPF_ABS) as u16, jt: 0, jf: 0, k: offset }
}
/// BPF instruction: compares the loaded word with `value` and skips `yes` or `no` instructions.
const fn jump(test: u32, value: u32, yes: u8, no: u8) -> sock_filter {
    sock_filter { code: (libc::BPF_JMP | test | libc::BPF_K) as u16, jt: yes, jf: no, k: value }
}
/// BPF instruction: ends the filter with this action (seccomp(2)).
const fn answer(action: u32) -> sock_filter {
    sock_filter { code: (libc::BPF_RET | libc::BPF_K) as u16, jt: 0, jf: 0, k: action }
}

/// The BPF program of a filter that allows these call numbers, over `struct seccomp_data` (number at 0, architecture at 4).
pub fn program(allowed: impl Iterator<Item = i64>) -> Vec<sock_filter> {
    const X32: u32 = 0x4000_0000;
    let mut program = vec![
        load(4),
        jump(libc::BPF_JEQ, ARCH, 1, 0),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
        load(0),
        jump(libc::BPF_JGE, X32, 0, 1),
        answer(libc::SECCOMP_RET_KILL_PROCESS),
    ];
    for number in allowed {
        program.push(jump(libc::BPF_JEQ, number as u32, 0, 1));
        program.push(answer(libc::SECCOMP_RET_ALLOW));
    }
    program.push(answer(libc::SECCOMP_RET_ERRNO | libc::EPERM as u32));
    program
}

/// Installs a filter on every thread of the process. It cannot be removed again.
///
/// # Errors
/// When the kernel has no seccomp filters, or a thread cannot be reached.
pub fn set(program: &mut [sock_filter]) -> Result<()> {
    let filter = libc::sock_fprog { len: program.len() as u16, filter: program.as_mut_ptr() };
    let mode = libc::SECCOMP_SET_MODE_FILTER;
    // SAFETY: plain numbers. Without this only root may set a filter; TSYNC hands it to the other threads too.
    let ret = unsafe { libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
    ensure!(ret == 0, "no sandbox: no_new_privs cannot be set ({})", Error::last_os_error());
    // SAFETY: the kernel copies the program, which lives until after the call.
    let ret = unsafe { libc::syscall(libc::SYS_seccomp, mode, libc::SECCOMP_FILTER_FLAG_TSYNC, &filter) };
    ensure!(
        ret == 0,
        "no sandbox: the seccomp filter cannot be set ({})",
        if ret > 0 { Error::from_raw_os_error(libc::ESRCH) } else { Error::last_os_error() }
    );
    Ok(())
}
