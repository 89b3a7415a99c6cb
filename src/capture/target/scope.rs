//! The scope of a capture: whose calls are captured, and how eBPF programs recognise those tasks.

use crate::os::user;
use anyhow::{Context, Result, ensure};
use std::ffi::CString;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// The scope of a capture: whose calls are captured, as the user names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// A command (program and arguments) that is started for the capture, and its descendants.
    Command(Vec<std::ffi::OsString>),
    /// Processes of these ids, all their threads and, if [`crate::capture::Options::follow`] is set, what they start.
    Pids(Vec<u32>),
    /// Every process in this control group (version 2) or one below it; a path relative to /sys/fs/cgroup will do.
    Cgroup(PathBuf),
    /// Every process of a user, given by name or number.
    User(String),
    /// Every process with this name (as `ps -o comm` shows it, 1 to 15 bytes).
    Comm(String),
    /// Every process of the machine but this one.
    All,
}

/// A scope as the eBPF programs see it: how they decide whether a task is in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Match {
    /// A task is in the scope if its process is in map `pids` when the capture begins, or if its parent is in the scope.
    Pids,
    /// A task is in the scope from the moment at which it matches `by`, unless it belongs to this process.
    Others {
        /// Process id of this process, which is left out.
        own: u32,
        /// The property (none, user, name or control group) that a task must have.
        by: By,
    },
}

/// The property by which tasks come into a scope that is neither a command nor a list of processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum By {
    /// None: every task is in the scope.
    All,
    /// Tasks whose real user id is this.
    User(u32),
    /// Tasks with this name (`comm`), padded with zero bytes.
    Comm([u8; 16]),
    /// Tasks in the control group of this id (the inode number of its directory), or in one below it.
    Cgroup(u64),
}

impl Scope {
    /// The first process of a scope of processes; `None` of others.
    pub fn first(&self) -> Option<u32> {
        match self {
            Scope::Pids(pids) => pids.first().copied(),
            _ => None,
        }
    }

    /// The scope in the form that the eBPF programs are made for.
    ///
    /// # Errors
    /// When there is no such user or control group, or a name is too long.
    pub fn matcher(&self) -> Result<Match> {
        let by = match self {
            Scope::Command(_) | Scope::Pids(_) => return Ok(Match::Pids),
            Scope::All => By::All,
            Scope::User(user) => By::User(user::number(user)?),
            Scope::Comm(name) => {
                ensure!(!name.is_empty() && name.len() < 16, "{name:?} is no process name: those have 1 to 15 bytes");
                let mut padded = [0; 16];
                padded[..name.len()].copy_from_slice(name.as_bytes());
                By::Comm(padded)
            }
            Scope::Cgroup(path) => {
                let path = if path.is_dir() { path.clone() } else { PathBuf::from("/sys/fs/cgroup").join(path) };
                let meta = path.metadata().with_context(|| format!("there is no control group {}", path.display()))?;
                let inside = path.join("cgroup.procs");
                ensure!(
                    inside.exists() && path.join("cgroup.controllers").exists(),
                    "{} is no control group of version 2: name its directory in the cgroup2 file system",
                    path.display()
                );
                By::Cgroup(meta.ino())
            }
        };
        Ok(Match::Others { own: std::process::id(), by })
    }

    /// The scope in words, for messages: `command tar cf x`, `user postgres`.
    pub fn describe(&self) -> String {
        match self {
            Scope::Command(words) => {
                let words: Vec<_> = words.iter().map(|word| word.to_string_lossy()).collect();
                format!("command {}", short(&words.join(" ")))
            }
            Scope::Pids(pids) => {
                let pids: Vec<String> = pids.iter().map(u32::to_string).collect();
                format!("processes {}", pids.join(", "))
            }
            Scope::Cgroup(path) => format!("control group {}", path.display()),
            Scope::User(user) => format!("user {user}"),
            Scope::Comm(name) => format!("processes called {name}"),
            Scope::All => "every process".into(),
        }
    }
}

/// Shortens a command for a message: its first line, at most 60 characters of it. The whole command is in the manifest.
fn short(command: &str) -> String {
    const MOST: usize = 60;
    let line = command.lines().next().unwrap_or_default();
    let shown: String = line.chars().take(MOST).collect();
    if shown.len() < command.len() { format!("{} ...", shown.trim_end()) } else { shown }
}

/// A word of a command line as a NUL-terminated string for execve(2).
///
/// # Errors
/// When it has a NUL inside.
pub fn c_string(word: &std::ffi::OsStr) -> Result<CString> {
    CString::new(word.as_bytes()).with_context(|| format!("{} has a NUL byte inside", word.to_string_lossy()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let user = |name: &str| Scope::User(name.into()).matcher().unwrap();
        assert_eq!(user("root"), Match::Others { own: std::process::id(), by: By::User(0) });
        assert_eq!(user("4294967294"), Match::Others { own: std::process::id(), by: By::User(u32::MAX - 1) });
        assert!(Scope::User("nobody-has-this-name".into()).matcher().is_err());
    }

    #[test]
    fn long_commands_are_cut_in_messages() {
        let command = |words: &[&str]| Scope::Command(words.iter().map(Into::into).collect()).describe();
        assert_eq!(command(&["tar", "cf", "a b"]), "command tar cf a b");
        assert_eq!(command(&["sh", "-c", "cd /tmp\nls"]), "command sh -c cd /tmp ...");
        assert_eq!(command(&[&"x".repeat(100)]), format!("command {} ...", "x".repeat(60)));
    }

    #[test]
    fn process_names_are_short() {
        assert!(Scope::Comm("a-name-of-sixteen".into()).matcher().is_err());
        let Match::Others { by: By::Comm(name), .. } = Scope::Comm("java".into()).matcher().unwrap() else { panic!("no name") };
        assert_eq!(&name[..5], b"java\0");
    }
}
