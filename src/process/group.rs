//! A command with all that it starts: run in a process group of its own, for a limited time.

use super::signal;
use std::io::{Error, Result};
use std::mem::MaybeUninit;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitStatus};
use std::time::{Duration, Instant};

/// How long processes that were asked to end may take for it.
const GRACE: Duration = Duration::from_secs(3);
/// Time between two looks at a command that runs: shortest, and longest after a while.
const LOOKS: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));

/// How a command ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ended {
    /// By itself.
    Alone(ExitStatus),
    /// It had not ended in time.
    Late,
    /// This process was asked to end meanwhile.
    Asked,
}

/// Runs a command, which gets no signals of the terminal, until it ends, `limit` is over, or this process is asked to end
/// ([`signal::asked`]). In the last two cases its process group is asked to end (SIGTERM), and killed if it does not. What is left of the
/// group is killed in any case. Processes that left the group go on: [`end_adopted`] ends those, too.
///
/// # Errors
/// When it cannot be started.
pub fn run(command: &mut Command, limit: Option<Duration>) -> Result<Ended> {
    let mut child = command.process_group(0).spawn()?;
    let group = child.id() as libc::pid_t;
    let began = Instant::now();
    let mut wait = LOOKS.0;
    let early = loop {
        if ended(group)? {
            break None;
        }
        let late = limit.is_some_and(|limit| began.elapsed() >= limit);
        if late || signal::asked().is_some() {
            break Some(if late { Ended::Late } else { Ended::Asked });
        }
        std::thread::sleep(wait);
        wait = (wait * 2).min(LOOKS.1);
    };
    if early.is_some() {
        send(group, libc::SIGTERM);
        let asked = Instant::now();
        while asked.elapsed() < GRACE && !ended(group)? {
            std::thread::sleep(LOOKS.1);
        }
    }
    // The number is the group's as long as its first process has not been waited for.
    send(group, libc::SIGKILL);
    let status = child.wait()?;
    Ok(early.unwrap_or(Ended::Alone(status)))
}

/// Makes this process the parent of those descendants whose own parents end (PR_SET_CHILD_SUBREAPER of prctl(2)): so it knows daemons that
/// its commands start.
///
/// # Errors
/// As prctl(2).
pub fn adopt() -> Result<()> {
    // SAFETY: plain numbers.
    match unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(Error::last_os_error()),
    }
}

/// Kills the children of this process, and those that come to it from them, until there are none: for a process that has no children but
/// of commands that have ended, after [`adopt`]. One that cannot be killed at once is left.
///
/// # Errors
/// When /proc cannot be read.
pub fn end_adopted() -> Result<()> {
    let began = Instant::now();
    loop {
        let children = children()?;
        if children.is_empty() || began.elapsed() >= GRACE {
            return Ok(());
        }
        for child in children {
            // SAFETY: plain numbers; the child has not been waited for, so the number is its own.
            unsafe {
                libc::kill(child, libc::SIGKILL);
                libc::waitpid(child, std::ptr::null_mut(), libc::WNOHANG);
            }
        }
        std::thread::sleep(LOOKS.0);
    }
}

/// Process ids of the children of this process, those that have ended among them.
fn children() -> Result<Vec<libc::pid_t>> {
    let me = std::process::id().to_string();
    let is_child = |pid: &libc::pid_t| {
        // The name of a program stands in parentheses, and may hold some; state and parent come behind it (proc_pid_stat(5)).
        let stat = std::fs::read(format!("/proc/{pid}/stat")).unwrap_or_default();
        let end = stat.iter().rposition(|byte| *byte == b')').unwrap_or(stat.len());
        stat[end..].split(|byte| *byte == b' ').nth(2) == Some(me.as_bytes())
    };
    let names = std::fs::read_dir("/proc")?.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    Ok(names.filter(is_child).collect())
}

/// Has a child ended? It can still be waited for.
fn ended(child: libc::pid_t) -> Result<bool> {
    let mut found = MaybeUninit::<libc::siginfo_t>::zeroed();
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: waitid(2) fills the struct, for which zeroes are valid, and leaves it alone where the child runs.
    let (ret, pid) = unsafe {
        let ret = libc::waitid(libc::P_PID, child as libc::id_t, found.as_mut_ptr(), flags);
        (ret, found.assume_init().si_pid())
    };
    match ret {
        0 => Ok(pid == child),
        _ => Err(Error::last_os_error()),
    }
}

fn send(group: libc::pid_t, signal: libc::c_int) {
    // SAFETY: plain numbers; the group is that of a child that has not been waited for.
    unsafe { libc::kill(-group, signal) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn shell(script: &str) -> Command {
        let mut command = Command::new("/bin/sh");
        command.arg("-c").arg(script);
        command
    }

    #[test]
    fn what_hangs_ends_with_all_that_it_started() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("pid");
        let name = file.to_str().unwrap().replace('\'', r"'\''");
        // One ends late, which ignores what asks it to end; one goes on in the background.
        for (script, limit) in [
            (format!("trap '' TERM; sleep 1000 & echo $! > '{name}'; sleep 1000"), Some(Duration::from_millis(300))),
            (format!("sleep 1000 & echo $! > '{name}'; exit 3"), None),
        ] {
            let ended = run(&mut shell(&script), limit).unwrap();
            match limit {
                Some(_) => assert_eq!(ended, Ended::Late),
                None => assert!(matches!(ended, Ended::Alone(status) if status.code() == Some(3)), "{ended:?}"),
            }
            let pid = fs::read_to_string(&file).unwrap();
            // Nobody may have waited for it yet.
            let state = || fs::read_to_string(format!("/proc/{}/stat", pid.trim())).unwrap_or_default();
            let began = Instant::now();
            while !state().is_empty() && !state().contains(") Z ") {
                assert!(began.elapsed() < Duration::from_secs(20), "{}", state());
                std::thread::sleep(Duration::from_millis(10));
            }
        }
    }
}
