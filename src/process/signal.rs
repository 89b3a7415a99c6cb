//! SIGINT, SIGTERM and SIGHUP: how this process ends when it is asked to.
//!
//! The handler only notes which signal came. A capture looks at [`asked`] and ends in its usual way, and so does a replay once
//! its ops are under way ([`hold`]): both have results to save. Everything else ends at once: a thread wakes up, removes what
//! is half-made ([`Transient`]), and exits with 128 and the number of the signal, as shells count.

use crate::process::stdio;
use std::fs::File;
use std::io::Read;
use std::mem::{ManuallyDrop, MaybeUninit};
use std::os::fd::FromRawFd;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, AtomicU64, Ordering::SeqCst};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

/// A signal that asks a process to end (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signal(i32);

impl serde::Serialize for Signal {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}

impl Signal {
    /// The signals that are caught, with their names.
    const ALL: [(i32, &'static str); 3] = [(libc::SIGINT, "SIGINT"), (libc::SIGTERM, "SIGTERM"), (libc::SIGHUP, "SIGHUP")];

    /// Name of the signal, as `SIGINT`.
    pub fn name(self) -> &'static str {
        Signal::ALL.iter().find(|(number, _)| *number == self.0).map_or("a signal", |(_, name)| name)
    }

    /// Sends the signal to a child of this process.
    pub fn pass_on(self, child: u32) {
        // SAFETY: plain numbers; a child that has not been waited for keeps its id.
        unsafe { libc::kill(child as libc::pid_t, self.0) };
    }

    /// For a process between fork and exec: makes it ignore all of these signals from now on.
    pub fn ignore_all() {
        for (signal, _) in Signal::ALL {
            // SAFETY: signal(2) is async-signal-safe.
            unsafe { libc::signal(signal, libc::SIG_IGN) };
        }
    }

    /// From now on a write that would exceed RLIMIT_FSIZE (setrlimit(2)) fails with EFBIG instead of ending this process, or
    /// programs it starts, by SIGXFSZ.
    pub fn ignore_file_limits() {
        // SAFETY: no handler is involved.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    }

    /// Exit code of a process that ends because of the signal: 128 and its number.
    pub fn code(self) -> u8 {
        128 + self.0 as u8
    }
}

/// Number of the first signal that came, 0 for none.
static ASKED: AtomicI32 = AtomicI32::new(0);
/// Is the terminal's interrupt (Ctrl-C) for a child in the foreground, or ignored, so that this process does not react?
static LENT: AtomicBool = AtomicBool::new(false);
/// Was SIGINT ignored when [`catch`] looked first?
static IGNORED: AtomicBool = AtomicBool::new(false);
/// How many signals were noted.
static CAME: AtomicU32 = AtomicU32::new(0);
/// Eventfd that the handler writes to, to wake the thread that ends the process (eventfd(2)); -1 where there is none.
static WAKE: AtomicI32 = AtomicI32::new(-1);
/// What must be removed when a signal ends this process, by number. While it is locked the process is not ended.
static TRANSIENT: Mutex<Vec<(u64, Go)>> = Mutex::new(Vec::new());
/// Number of the next entry of `TRANSIENT`.
static NEXT: AtomicU64 = AtomicU64::new(0);
/// Number of living [`Hold`]s: while there is one, a signal does not end the process.
static HELD: AtomicU32 = AtomicU32::new(0);

extern "C" fn note(signal: libc::c_int, info: *const libc::siginfo_t, _: *const libc::c_void) {
    // SAFETY: with SA_SIGINFO the kernel passes what it knows of the signal (sigaction(2)).
    let from_terminal = unsafe { (*info).si_code } == libc::SI_KERNEL;
    if from_terminal && LENT.load(SeqCst) {
        return;
    }
    let _ = ASKED.compare_exchange(0, signal, SeqCst, SeqCst);
    CAME.fetch_add(1, SeqCst);
    let wake = WAKE.load(SeqCst);
    if wake >= 0 {
        // SAFETY: write(2) is async-signal-safe; errno belongs to the interrupted code.
        unsafe {
            let errno = *libc::__errno_location();
            libc::write(wake, (&raw const ONE).cast(), size_of_val(&ONE));
            *libc::__errno_location() = errno;
        }
    }
}

static ONE: u64 = 1;

/// What happens to a blocking system call when a signal comes (signal(7)).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waits {
    /// It fails with EINTR, so that the caller looks at [`asked`].
    End,
    /// The blocked call is restarted (SA_RESTART).
    GoOn,
}

/// From now on the signals are noted. With a command in the foreground, Ctrl-C is for the command; a process in the background
/// of a script, which was started with SIGINT ignored, goes on ignoring it. SIGHUP stays ignored where it was (nohup(1)).
pub fn catch(waits: Waits, foreground: bool) {
    ASKED.store(0, SeqCst);
    for (signal, _) in Signal::ALL {
        let mut action = MaybeUninit::<libc::sigaction>::zeroed();
        // SAFETY: both are whole structs, for which zeroes are valid; the handler is async-signal-safe.
        unsafe {
            (*action.as_mut_ptr()).sa_sigaction = note as *const () as libc::sighandler_t;
            (*action.as_mut_ptr()).sa_flags = libc::SA_SIGINFO | if waits == Waits::GoOn { libc::SA_RESTART } else { 0 };
            let mut now = MaybeUninit::<libc::sigaction>::zeroed();
            libc::sigaction(signal, std::ptr::null(), now.as_mut_ptr());
            let ignored = (*now.as_ptr()).sa_sigaction == libc::SIG_IGN;
            if signal == libc::SIGINT {
                IGNORED.fetch_or(ignored, SeqCst);
                LENT.store(foreground || ignored, SeqCst);
            }
            if signal != libc::SIGHUP || !ignored {
                libc::sigaction(signal, action.as_ptr(), std::ptr::null_mut());
            }
        }
    }
}

/// From now on a signal ends this process at once; while a [`Hold`] lives it only shows in [`asked`].
///
/// # Errors
/// When no thread can be started.
pub fn end_when_asked() -> std::io::Result<()> {
    // SAFETY: plain numbers; the descriptor is new and owned by the File alone. It is never closed: the handler knows it by number.
    let mut event = unsafe {
        let fd = libc::eventfd(0, libc::EFD_CLOEXEC);
        if fd < 0 {
            return Err(std::io::Error::last_os_error());
        }
        WAKE.store(fd, SeqCst);
        ManuallyDrop::new(File::from_raw_fd(fd))
    };
    catch(Waits::GoOn, false);
    let wait = move || {
        let mut count = [0; 8];
        while event.read_exact(&mut count).is_ok() {
            if let (Some(signal), 0) = (asked(), HELD.load(SeqCst)) {
                end(signal);
            }
        }
    };
    std::thread::Builder::new().name("signals".into()).spawn(wait).map(drop)
}

/// The first signal that asked this process to end since [`catch`], if one did.
pub fn asked() -> Option<Signal> {
    Some(Signal(ASKED.load(SeqCst))).filter(|signal| signal.0 != 0)
}

/// How many signals came that ask this process to end: more than one where it ends in its usual way at the first, and what it then
/// does is to be cut short at the next.
pub fn came() -> u32 {
    CAME.load(SeqCst)
}

/// The command in the foreground, for which [`catch`] left Ctrl-C, has ended: Ctrl-C is for this process.
pub fn take_back() {
    LENT.store(IGNORED.load(SeqCst), SeqCst);
}

/// Removes what is half-made, and exits. Other threads are still running, but none can make a new [`Transient`] or keep one.
fn end(signal: Signal) -> ! {
    // In reverse order: an earlier entry may move back what was moved aside for a later one.
    for (_, go) in transient().iter().rev() {
        // Another thread may be making files there: so try again.
        for _ in 0..1000 {
            // Whatever becomes of the removal, this process ends.
            if catch_unwind(AssertUnwindSafe(go)).unwrap_or(true) {
                break;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    stdio::mention(format_args!("error: ended by {}", signal.name()));
    // SAFETY: no other thread can finish anything meanwhile, and nothing that is left to be done must be.
    unsafe { libc::_exit(signal.code().into()) }
}

/// Removes something half-made; false when it is not all gone yet and must be tried again.
type Go = Box<dyn Fn() -> bool + Send>;

fn transient() -> MutexGuard<'static, Vec<(u64, Go)>> {
    TRANSIENT.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Something half-made that is removed when a signal ends this process; dropping this only forgets it.
#[derive(Debug)]
pub struct Transient(u64);

impl Transient {
    /// Makes something by `make`, and registers `go`, which is called until it says that nothing is left. A signal takes effect
    /// before both or after both, never in between.
    ///
    /// # Errors
    /// Those of `make`.
    pub fn make<T, E>(go: impl Fn() -> bool + Send + 'static, make: impl FnOnce() -> Result<T, E>) -> Result<(Transient, T), E> {
        let mut all = transient();
        let made = make()?;
        let number = NEXT.fetch_add(1, SeqCst);
        all.push((number, Box::new(go)));
        Ok((Transient(number), made))
    }

    /// Runs `last`, which makes the thing permanent, and unregisters its removal; no signal takes effect in between.
    ///
    /// # Errors
    /// Those of `last`.
    pub fn lasts<T, E>(self, last: impl FnOnce() -> Result<T, E>) -> Result<T, E> {
        let mut all = transient();
        let done = last()?;
        all.retain(|(number, _)| *number != self.0);
        drop(all);
        Ok(done)
    }
}

impl Drop for Transient {
    fn drop(&mut self) {
        transient().retain(|(number, _)| *number != self.0);
    }
}

/// Does something short that must not be left half-done: a signal takes effect before it or after it. It must make no
/// [`Transient`].
pub fn undivided<T>(work: impl FnOnce() -> T) -> T {
    let _all = transient();
    work()
}

/// While this lives, a signal does not end the process but only shows in [`asked`].
#[derive(Debug)]
pub struct Hold(());

/// From now on the caller looks at [`asked`] and ends by itself, until the [`Hold`] is dropped.
pub fn hold() -> Hold {
    HELD.fetch_add(1, SeqCst);
    Hold(())
}

impl Drop for Hold {
    fn drop(&mut self) {
        HELD.fetch_sub(1, SeqCst);
    }
}

/// While this lives, an interrupt from the terminal (Ctrl-C) is left to a child in the foreground. Programs executed meanwhile
/// get the signal as usual.
#[derive(Debug)]
pub struct Lent(bool);

/// Leaves the terminal's interrupt (Ctrl-C) to a child, until the [`Lent`] is dropped.
pub fn lend() -> Lent {
    Lent(LENT.swap(true, SeqCst))
}

impl Drop for Lent {
    fn drop(&mut self) {
        LENT.store(self.0, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lasts_or_is_gone_is_not_transient_any_more() {
        let is = |number: u64| transient().iter().any(|(known, _)| *known == number);
        let nothing = || true;
        let (draft, ()) = Transient::make(nothing, || Ok::<_, ()>(())).unwrap();
        let number = draft.0;
        assert!(Transient::make(nothing, || Err::<(), _>(())).is_err() && is(number));
        draft.lasts(|| Ok::<_, ()>(())).unwrap();
        assert!(!is(number));
        let (draft, ()) = Transient::make(nothing, || Ok::<_, ()>(())).unwrap();
        let number = draft.0;
        drop(draft);
        assert!(!is(number));
    }
}
