//! What a command leaves behind when it has ended itself: daemons, whose end a capture waits for.

use crate::text;
use std::collections::BTreeSet;
use std::time::{Duration, Instant};

/// Most commands leave nothing, or what ends a moment later.
const PATIENCE: Duration = Duration::from_secs(1);
/// So many are named.
const NAMED: usize = 8;
/// So many that are gone may be remembered besides.
const GONE: usize = 1024;

/// Says once who is waited for.
#[derive(Debug, Default)]
pub struct Left {
    /// When the command was seen to have ended.
    since: Option<Instant>,
    told: bool,
}

impl Left {
    /// Is it time to say who is waited for? `ended`: has the command?
    pub fn due(&mut self, ended: bool) -> bool {
        ended && !self.told && self.since.get_or_insert_with(Instant::now).elapsed() >= PATIENCE
    }

    /// Says which of these are still there, if any is.
    pub fn tell(&mut self, pids: impl IntoIterator<Item = u32>) {
        let pids: BTreeSet<u32> = pids.into_iter().collect();
        let living: Vec<String> = pids.into_iter().filter_map(|pid| Some(format!("{pid} ({})", name(pid)?))).collect();
        if living.is_empty() {
            return;
        }
        self.told = true;
        let more = living.len().saturating_sub(NAMED);
        let more = if more > 0 { format!(" and {more} more") } else { String::new() };
        log::warn!(
            "the command has ended, and the capture waits for what it left behind: {}{more}. SIGINT or SIGTERM to process {} ends \
             it, and --until-exit would have",
            living[..living.len().min(NAMED)].join(", "),
            std::process::id()
        );
    }
}

/// Processes that were made, as far as they may still be there.
#[derive(Debug, Default)]
pub struct Born {
    pids: BTreeSet<u32>,
    room: usize,
}

impl Born {
    /// One more.
    pub fn add(&mut self, pid: u32) {
        self.pids.insert(pid);
        if self.pids.len() > self.room + GONE {
            self.pids.retain(|pid| name(*pid).is_some());
            self.room = 2 * self.pids.len();
        }
    }

    /// All of them.
    pub fn pids(&self) -> impl Iterator<Item = u32> {
        self.pids.iter().copied()
    }
}

/// The name of a process that has not ended (proc_pid_stat(5)).
fn name(pid: u32) -> Option<String> {
    let stat = std::fs::read(format!("/proc/{pid}/stat")).ok()?;
    let (open, close) = (memchr::memchr(b'(', &stat)?, memchr::memrchr(b')', &stat)?);
    let ended = matches!(stat.get(close + 2), None | Some(b'Z' | b'X'));
    let name = stat.get(open + 1..close).filter(|_| !ended)?;
    Some(text::shown(&text::encode(name)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn who_has_ended_has_no_name() {
        let mut child = Command::new("sleep").arg("60").spawn().unwrap();
        let pid = child.id();
        while name(pid).as_deref() != Some("sleep") {
            std::thread::sleep(Duration::from_millis(5));
        }
        child.kill().unwrap();
        while name(pid).is_some() {
            std::thread::sleep(Duration::from_millis(5));
        }
        child.wait().unwrap();
    }

    #[test]
    fn nobody_is_waited_for_before_the_command_has_ended() {
        let mut left = Left::default();
        assert!(!left.due(false) && left.since.is_none());
        assert!(!left.due(true));
        left.since = Instant::now().checked_sub(PATIENCE);
        assert!(left.due(true));
        // Nobody is there: nothing to say yet.
        left.tell([]);
        assert!(left.due(true));
        left.tell([std::process::id()]);
        assert!(!left.due(true));
    }

    #[test]
    fn those_that_are_gone_are_forgotten() {
        let mut born = Born::default();
        let own = std::process::id();
        born.add(own);
        // No process has so high a number (proc_sys_kernel(5), pid_max).
        (5_000_000..5_010_000).for_each(|pid| born.add(pid));
        assert!(born.pids.len() <= 2 * GONE && born.pids().any(|pid| pid == own));
    }
}
