//! The command that is captured: its process is forked, held at a gate (a pipe) until the tracer is attached, then executed.
//!
//! The child waits between fork and exec, so that its very first call is the exec. Between the two it may only do what is
//! safe in the child of a process with threads (async-signal-safe calls), so everything it needs is prepared before the fork.

use super::scope::{Scope, c_string};
use crate::os::rights;
use crate::os::user::{self, User};
use anyhow::{Context, Result, anyhow, ensure};
use std::ffi::{CString, OsStr, OsString};
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::ExitStatus;

/// The process of the captured command: waiting at the gate to be executed, running or ended.
pub struct Target {
    /// Process id of the command.
    pub pid: u32,
    gate: Option<PipeWriter>,
    failed: PipeReader,
    status: Option<ExitStatus>,
}

impl Target {
    /// Starts the command of a scope, if it has one, with the seccomp filter `filter` as in [`Target::start`]. Returns it and the
    /// ids of the processes that are captured from the beginning (none for scopes that are no command or list of processes).
    ///
    /// # Errors
    /// When the command cannot be started, or a process of the scope does not exist or is this one.
    pub fn of(scope: &Scope, filter: &[libc::sock_filter]) -> Result<(Option<Target>, Vec<u32>)> {
        let (target, pids) = match scope {
            Scope::Command(words) => {
                let target = Target::start(words, user::invoker().as_ref(), filter)?;
                let pid = target.pid;
                (Some(target), vec![pid])
            }
            Scope::Pids(pids) => (None, pids.clone()),
            Scope::Cgroup(_) | Scope::User(_) | Scope::Comm(_) | Scope::All => (None, Vec::new()),
        };
        for pid in &pids {
            ensure!(*pid != std::process::id(), "process {pid} is this one");
            ensure!(Path::new(&format!("/proc/{pid}")).exists(), "there is no process {pid}");
        }
        Ok((target, pids))
    }

    /// Forks a process that waits at the gate until it may execute `words`, as `user` (`None`: as the user of this process) and
    /// under the seccomp(2) filter `filter` (empty: none).
    ///
    /// # Errors
    /// When there is no such program, or no process can be made.
    pub fn start(words: &[OsString], user: Option<&User>, filter: &[libc::sock_filter]) -> Result<Target> {
        let name = words.first().context("no command: name one behind --")?;
        let program = c_string(find(name)?.as_os_str())?;
        let args = words.iter().map(|word| c_string(word)).collect::<Result<Vec<CString>>>()?;
        let env: Vec<CString> = std::env::vars_os()
            .map(|(key, value)| c_string(OsStr::from_bytes(&[key.as_bytes(), b"=", value.as_bytes()].concat())))
            .collect::<Result<_>>()?;
        let pointers =
            |strings: &[CString]| strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect::<Vec<_>>();
        let (argv, envp) = (pointers(&args), pointers(&env));
        let (gate_read, gate) = io::pipe().context("cannot make a pipe")?;
        let (failed, failed_write) = io::pipe().context("cannot make a pipe")?;
        // SAFETY: the child calls only what is async-signal-safe, on memory made before, and then executes or exits.
        let pid = unsafe { libc::fork() };
        ensure!(pid >= 0, anyhow!(io::Error::last_os_error()).context("cannot start a process"));
        if pid == 0 {
            // SAFETY: close(2) of this process's copy, by which it would keep itself waiting.
            unsafe { libc::close(gate.as_raw_fd()) };
            let errno = wait_and_execute(gate_read.as_raw_fd(), user, filter, &program, &argv, &envp);
            // SAFETY: writes four bytes that are there, to a pipe whose reader waits for them; then ends without running
            // any code of the parent.
            unsafe {
                libc::write(failed_write.as_raw_fd(), (&raw const errno).cast(), 4);
                libc::_exit(127)
            }
        }
        Ok(Target { pid: pid.cast_unsigned(), gate: Some(gate), failed, status: None })
    }

    /// Opens the gate: lets the process execute the command, without waiting; [`Target::release`] tells whether that worked.
    pub fn open_gate(&mut self) {
        if let Some(gate) = &mut self.gate {
            // A write fails when the process has ended already.
            let _ = gate.write_all(&[1]);
        }
    }

    /// Notes the exit status of the command when the caller has waited for the process itself (as the ptrace backend does).
    pub fn note(&mut self, status: ExitStatus) {
        self.status = Some(status);
    }

    /// Opens the gate and waits until the command `name` is executed. Does nothing more when that was done before.
    ///
    /// # Errors
    /// When the program cannot be executed.
    pub fn release(&mut self, name: &OsStr) -> Result<()> {
        self.open_gate();
        if self.gate.take().is_none() {
            return Ok(());
        }
        let mut errno = [0; 4];
        // A successful exec closes the other end.
        if self.failed.read_exact(&mut errno).is_ok() {
            let error = io::Error::from_raw_os_error(i32::from_ne_bytes(errno));
            return Err(anyhow!(error).context(format!("cannot execute {}", name.to_string_lossy())));
        }
        Ok(())
    }

    /// Is it known to have ended?
    pub const fn noted(&self) -> bool {
        self.status.is_some()
    }

    /// Has it ended? Does not wait.
    pub fn ended(&mut self) -> Option<ExitStatus> {
        if self.status.is_none() {
            let mut status = 0;
            // SAFETY: the kernel writes the status into an int of ours.
            let done = unsafe { libc::waitpid(self.pid.cast_signed(), &raw mut status, libc::WNOHANG) };
            if done == self.pid.cast_signed() {
                self.status = Some(ExitStatus::from_raw(status));
            }
        }
        self.status
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        // A process that was never released reads end of file from the gate and exits.
        if self.gate.take().is_some() {
            // SAFETY: no status is wanted.
            unsafe { libc::waitpid(self.pid.cast_signed(), std::ptr::null_mut(), 0) };
        }
    }
}

/// In the child after fork: waits for the gate, installs the filter, changes user, executes. Returns only on failure, with
/// the errno.
fn wait_and_execute(
    gate: i32,
    user: Option<&User>,
    filter: &[libc::sock_filter],
    program: &CString,
    argv: &[*const libc::c_char],
    envp: &[*const libc::c_char],
) -> i32 {
    let mut go = 0u8;
    // SAFETY: all of these are async-signal-safe system calls on memory that was there before the fork; the arrays of
    // pointers end with null.
    unsafe {
        if libc::read(gate, (&raw mut go).cast(), 1) != 1 {
            libc::_exit(0);
        }
        // Ambient capabilities that this program was given are not for the command.
        libc::prctl(libc::PR_CAP_AMBIENT, libc::PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
        if !filter.is_empty() {
            // Without privileges seccomp(2) asks for no_new_privs; as root, set-uid programs keep working.
            if !user::is_root() && libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 {
                return *libc::__errno_location();
            }
            // Of more instructions than the kernel takes (4096), it refuses the filter.
            let len = libc::c_ushort::try_from(filter.len()).unwrap_or(libc::c_ushort::MAX);
            let program = libc::sock_fprog { len, filter: filter.as_ptr().cast_mut() };
            if libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) != 0 {
                return *libc::__errno_location();
            }
        }
        if let Some(user) = user
            && let Err(error) = rights::become_in_child(user)
        {
            return error;
        }
        // This program ignores these signals; the command gets the default.
        libc::signal(libc::SIGPIPE, libc::SIG_DFL);
        libc::signal(libc::SIGXFSZ, libc::SIG_DFL);
        libc::execve(program.as_ptr(), argv.as_ptr(), envp.as_ptr());
        *libc::__errno_location()
    }
}

/// The file that would be executed for the name of a command.
///
/// # Errors
/// When there is none, or it is not an executable file.
pub fn executable(name: &OsStr) -> Result<PathBuf> {
    let (program, cannot) = (find(name)?, || format!("cannot execute {}", name.to_string_lossy()));
    program.metadata().with_context(cannot)?;
    ensure!(runs(&program), "{}: it is no program", cannot());
    Ok(program)
}

/// Is the path a regular file with an execute bit?
fn runs(path: &Path) -> bool {
    path.metadata().is_ok_and(|meta| meta.is_file() && meta.permissions().mode() & 0o111 != 0)
}

/// Finds the program of a name as a shell does: a name with a slash is a path, any other is searched for in PATH.
///
/// # Errors
/// When there is none.
pub fn find(name: &OsStr) -> Result<PathBuf> {
    if name.as_bytes().contains(&b'/') {
        return Ok(name.into());
    }
    let path = std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into());
    let found = std::env::split_paths(&path).map(|dir| dir.join(name)).find(|path| runs(path));
    found.with_context(|| format!("there is no program {} in PATH", name.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    fn words(words: &[&str]) -> Vec<OsString> {
        words.iter().map(OsString::from).collect()
    }

    #[test]
    fn a_command_waits_until_it_is_let_go() {
        let dir = tempfile::tempdir().unwrap();
        let made = dir.path().join("made");
        let command = words(&["touch", made.to_str().unwrap()]);
        let mut target = Target::start(&command, None, &[]).unwrap();
        std::thread::sleep(Duration::from_millis(30));
        assert!(target.ended().is_none() && !made.exists());
        target.release(&command[0]).unwrap();
        while target.ended().is_none() {
            std::thread::sleep(Duration::from_millis(5));
        }
        assert!(target.ended().unwrap().success() && made.exists());
    }

    #[test]
    fn a_command_that_is_not_let_go_ends() {
        let target = Target::start(&words(&["true"]), None, &[]).unwrap();
        let pid = target.pid.cast_signed();
        drop(target);
        // SAFETY: signal 0 only asks whether there is such a process.
        assert_eq!(unsafe { libc::kill(pid, 0) }, -1);
    }

    #[test]
    fn what_cannot_be_executed_says_so() {
        assert!(Target::start(&words(&["no-such-program-here"]), None, &[]).is_err());
        let command = words(&["/"]);
        let error = Target::start(&command, None, &[]).unwrap().release(&command[0]).unwrap_err();
        assert_eq!(error.to_string(), "cannot execute /");
    }
}
