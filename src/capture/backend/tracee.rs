//! Safe functions around ptrace(2) and process_vm_readv(2): stopping threads, reading their calls and their memory.

use crate::os::kernel::{ARCH, NARROW, PTRACE_EVENT_STOP};
use std::io::{Error, Result};
use std::mem::MaybeUninit;

/// What a thread that stopped for a call is doing (`struct ptrace_syscall_info`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// The thread enters a call: number, the six argument registers, and the calling convention.
    Entry(u64, [u64; 6], Abi),
    /// The thread leaves a call with this result (-errno when it failed).
    Exit(i64),
    /// The thread is neither entering nor leaving a call, or has ended.
    None,
}

/// The calling convention (ABI) of a call, which decides what its number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// The ABI of this machine's 64-bit programs.
    Native,
    /// The ABI of this machine's 32-bit programs (i386).
    Narrow,
    /// Any other ABI; such calls are counted and not decoded.
    Other,
}

/// Why wait(2) reported a traced thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Event {
    /// The thread stopped at the entry or the return of a call.
    Call,
    /// The thread stopped because this signal is to be delivered to it.
    Signal(i32),
    /// The thread enters a call for which the seccomp filter stops it (PTRACE_EVENT_SECCOMP).
    Filtered,
    /// The thread executed another program; before, its thread id was this one (exec gives the thread the id of its process).
    Exec(u32),
    /// The thread made this thread or process, which is traced too and has perhaps not stopped yet.
    Made(u32),
    /// The thread's whole process was stopped by a signal such as SIGSTOP (group-stop).
    Stopped,
    /// The thread stopped for something else, which a capture ignores.
    Other,
    /// The thread has ended, with this status of wait(2).
    Gone(i32),
}

/// How a stopped thread is to continue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Go {
    /// It runs to the next entry or return of a call, and gets this signal (0: none).
    On(i32),
    /// It runs to the next call for which the seccomp filter stops it, and gets this signal (0: none).
    Past(i32),
    /// It stays in its group-stop until somebody sends SIGCONT (PTRACE_LISTEN).
    Wait,
}

fn check(result: libc::c_long) -> Result<()> {
    if result < 0 { Err(Error::last_os_error()) } else { Ok(()) }
}

fn plain(request: libc::c_uint, tid: u32, data: usize) -> Result<()> {
    // SAFETY: none of the requests that are passed here touches memory of this process.
    check(unsafe { libc::ptrace(request, tid as libc::pid_t, 0usize, data) })
}

/// Begins to trace a thread, its later threads and, if `follow`, the processes it starts. A `filtered` thread (one under the
/// seccomp filter) could make no captured call without a tracer, so it is killed when this process ends.
///
/// # Errors
/// When the kernel refuses.
pub fn seize(tid: u32, follow: bool, filtered: bool) -> Result<()> {
    let children = libc::PTRACE_O_TRACEFORK | libc::PTRACE_O_TRACEVFORK;
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACEEXEC | libc::PTRACE_O_TRACECLONE;
    let bound = libc::PTRACE_O_TRACESECCOMP | libc::PTRACE_O_EXITKILL;
    let options = options | if follow { children } else { 0 } | if filtered { bound } else { 0 };
    plain(libc::PTRACE_SEIZE, tid, options as usize)?;
    plain(libc::PTRACE_INTERRUPT, tid, 0)
}

/// Continues a stopped thread. Errors are ignored: the thread may have been killed meanwhile.
pub fn go(tid: u32, how: Go) {
    let _ = match how {
        Go::On(signal) => plain(libc::PTRACE_SYSCALL, tid, signal as usize),
        Go::Past(signal) => plain(libc::PTRACE_CONT, tid, signal as usize),
        Go::Wait => plain(libc::PTRACE_LISTEN, tid, 0),
    };
}

/// Stops tracing a thread, which must be stopped, and lets it run.
pub fn detach(tid: u32) {
    let _ = plain(libc::PTRACE_DETACH, tid, 0);
}

/// Stops a traced thread, so that it can be detached.
pub fn interrupt(tid: u32) {
    let _ = plain(libc::PTRACE_INTERRUPT, tid, 0);
}

/// Waits until something happens to any traced thread or child; `None` when a signal interrupted the wait.
///
/// # Errors
/// ECHILD when no traced thread or child is left.
pub fn wait() -> Result<Option<(u32, Event)>> {
    let mut status = 0;
    // SAFETY: the kernel writes the status into an int of ours.
    let tid = unsafe { libc::waitpid(-1, &raw mut status, libc::__WALL) };
    if tid < 0 {
        let error = Error::last_os_error();
        return if error.raw_os_error() == Some(libc::EINTR) { Ok(None) } else { Err(error) };
    }
    let tid = tid as u32;
    if !libc::WIFSTOPPED(status) {
        return Ok(Some((tid, Event::Gone(status))));
    }
    let (signal, event) = (libc::WSTOPSIG(status), status >> 16);
    Ok(Some((
        tid,
        match event {
            0 if signal == libc::SIGTRAP | 0x80 => Event::Call,
            0 => Event::Signal(signal),
            libc::PTRACE_EVENT_EXEC => Event::Exec(message(tid)),
            libc::PTRACE_EVENT_FORK | libc::PTRACE_EVENT_VFORK | libc::PTRACE_EVENT_CLONE => Event::Made(message(tid)),
            libc::PTRACE_EVENT_SECCOMP => Event::Filtered,
            PTRACE_EVENT_STOP if matches!(signal, libc::SIGSTOP | libc::SIGTSTP | libc::SIGTTIN | libc::SIGTTOU) => {
                Event::Stopped
            }
            _ => Event::Other,
        },
    )))
}

fn message(tid: u32) -> u32 {
    let mut value: libc::c_ulong = 0;
    // SAFETY: the kernel writes an unsigned long into one of ours.
    unsafe { libc::ptrace(libc::PTRACE_GETEVENTMSG, tid as libc::pid_t, 0usize, &raw mut value) };
    value as u32
}

/// Reads the call that a stopped thread is entering or leaving.
pub fn call(tid: u32) -> Call {
    // op, 3 bytes of padding, architecture, two pointers, then number and arguments, or result and a flag.
    let mut info = [0u64; 11];
    // SAFETY: the kernel writes at most as many bytes as it is told the array has.
    let got = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, tid as libc::pid_t, size_of_val(&info), info.as_mut_ptr()) };
    let (op, arch) = (info[0] as u8, (info[0] >> 32) as u32);
    match op {
        // PTRACE_SYSCALL_INFO_ENTRY or _SECCOMP.
        1 | 3 if got > 0 => {
            let abi = match arch {
                ARCH => Abi::Native,
                NARROW => Abi::Narrow,
                _ => Abi::Other,
            };
            Call::Entry(info[3], [info[4], info[5], info[6], info[7], info[8], info[9]], abi)
        }
        2 if got > 0 => Call::Exit(info[3] as i64),
        _ => Call::None,
    }
}

/// Reads memory of a process from address `at` into `bytes`; returns how many bytes could be read, 0 on failure.
pub fn read(pid: u32, at: u64, bytes: &mut [u8]) -> usize {
    let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let remote = libc::iovec { iov_base: at as *mut libc::c_void, iov_len: bytes.len() };
    // SAFETY: the kernel writes into `bytes` only, at most its length; an address of the other process is only a number here.
    let got = unsafe { libc::process_vm_readv(pid as libc::pid_t, &raw const local, 1, &raw const remote, 1, 0) };
    usize::try_from(got).unwrap_or(0)
}

/// Starts a timer whose SIGALRM interrupts [`wait`] ten times a second, so that limits are checked while nothing happens.
pub fn tick() {
    extern "C" fn nothing(_: libc::c_int) {}
    let mut action = MaybeUninit::<libc::sigaction>::zeroed();
    let every = libc::timeval { tv_sec: 0, tv_usec: 100_000 };
    let timer = libc::itimerval { it_interval: every, it_value: every };
    // SAFETY: a zeroed sigaction is one without flags, so that waits are interrupted; the handler does nothing.
    unsafe {
        (*action.as_mut_ptr()).sa_sigaction = nothing as *const () as libc::sighandler_t;
        libc::sigaction(libc::SIGALRM, action.as_ptr(), std::ptr::null_mut());
        libc::setitimer(libc::ITIMER_REAL, &raw const timer, std::ptr::null_mut());
    }
}

/// Switches the timer of [`tick`] off.
pub fn untick() {
    // SAFETY: a zeroed timer is one that is switched off.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &std::mem::zeroed(), std::ptr::null_mut()) };
}

/// A seccomp(2) filter that stops a thread for its tracer only at calls of these 64-bit numbers, and at all 32-bit calls.
pub fn filter(numbers: impl Iterator<Item = u32>) -> Vec<libc::sock_filter> {
    const LOAD: u16 = 0x20;
    const EQUAL: u16 = 0x15;
    const RETURN: u16 = 0x06;
    // Offsets in `struct seccomp_data`.
    const NUMBER: u32 = 0;
    const ARCHITECTURE: u32 = 4;
    let insn = |code, jt, jf, k| libc::sock_filter { code, jt, jf, k };
    let trace = insn(RETURN, 0, 0, libc::SECCOMP_RET_TRACE);
    // Calls of another ABI have other numbers: the thread stops at all of them.
    let mut insns = vec![insn(LOAD, 0, 0, ARCHITECTURE), insn(EQUAL, 1, 0, ARCH), trace, insn(LOAD, 0, 0, NUMBER)];
    for number in numbers {
        insns.extend([insn(EQUAL, 0, 1, number), trace]);
    }
    insns.push(insn(RETURN, 0, 0, libc::SECCOMP_RET_ALLOW));
    insns
}
