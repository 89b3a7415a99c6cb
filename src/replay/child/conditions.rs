//! The conditions of a replay: caches, the user who issues the ops, priority and limits. Each is set when asked for; one that
//! cannot be met is reported, and only a user that cannot be had stops the replay.

use crate::amount::typed;
use crate::init::Parts;
use crate::os::user::{User, is_root};
use crate::words::words;
use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use std::fs;
use std::io::{PipeReader, Read, pipe};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::thread::sleep;
use std::time::Duration;

/// The conditions that a user asked for: what a replay is given besides its sandbox.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Conditions {
    /// Drop the page cache, dentries and inodes of the system before the first op (/proc/sys/vm/drop_caches).
    pub drop_caches: bool,
    /// Write dirty data of the tree's file systems back before the first op (syncfs(2)).
    pub sync_before: bool,
    /// Most memory for the replay, its files in the page cache included, bytes; `None` for no limit of its own.
    pub memory_limit: Option<u64>,
    /// The user who issues the ops; `None` for the one who started the replay.
    pub user: Option<Named>,
    /// Nice value of the replay's processes (setpriority(2)); `None` to leave it.
    pub nice: Option<i32>,
    /// Resource limits of the replay's processes (setrlimit(2)); a larger number of open files is requested without being
    /// asked for.
    pub limits: Vec<Limit>,
}

/// A user to replay as, with the text by which it was asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The user as given on the command line: a name, a number, or `UID:GID`.
    pub name: String,
    /// The user and group ids of that user.
    pub user: User,
}

words! {
    /// A resource limit that can be set (setrlimit(2)).
    LimitOf {
        Files  "nofile"  "open files (RLIMIT_NOFILE)";
        Size   "fsize"   "size of a file that is written, bytes (RLIMIT_FSIZE)";
        Locked "memlock" "memory that is locked, bytes (RLIMIT_MEMLOCK)";
    }
}

/// A resource limit, set as both the soft and the hard one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limit {
    /// The resource that is limited.
    pub of: LimitOf,
    /// The limit, a number of files or bytes; [`libc::RLIM_INFINITY`] for no limit.
    pub value: u64,
}

/// Descriptors allowed for the replay process itself, beside those of the workload; more than enough.
const OWN_FILES: u64 = 64;

impl Named {
    /// Finds a user by name or number, or takes `UID:GID` as it is.
    ///
    /// # Errors
    /// When there is no user of this name.
    pub fn find(name: &str) -> Result<Named> {
        Ok(Named { name: name.to_owned(), user: User::find(name)? })
    }

    /// User and group id, if this process has the right to become that user.
    ///
    /// # Errors
    /// When this process is not root.
    pub fn ids(&self) -> Result<(u32, u32)> {
        ensure!(is_root(), "only root can replay as another user: leave --user {} out, or run it as root", self.name);
        Ok((self.user.uid, self.user.gid))
    }
}

impl Limit {
    /// Parses `NAME=VALUE`; the value is a number of files, a size, or `unlimited`.
    ///
    /// # Errors
    /// A message for the user that says what is wrong with the text.
    pub fn parse(text: &str) -> Result<Limit, String> {
        let names = || LimitOf::ALL.iter().map(|of| of.name()).collect::<Vec<_>>().join(", ");
        let (name, value) = text.split_once('=').ok_or("write NAME=VALUE, as in nofile=65536")?;
        let of = LimitOf::parse(name).ok_or_else(|| format!("{name:?} is none of {}", names()))?;
        let value = match value {
            "unlimited" => libc::RLIM_INFINITY,
            value if of == LimitOf::Files => typed::count(value)?,
            value => typed::bytes(value)?,
        };
        Ok(Limit { of, value })
    }

    fn resource(self) -> libc::__rlimit_resource_t {
        match self.of {
            LimitOf::Files => libc::RLIMIT_NOFILE,
            LimitOf::Size => libc::RLIMIT_FSIZE,
            LimitOf::Locked => libc::RLIMIT_MEMLOCK,
        }
    }
}

/// Drops the page cache, dentries and inodes of the system, as far as they are clean (proc_sys_vm(5)).
///
/// # Errors
/// When this process is not root.
pub fn drop_caches() -> std::io::Result<()> {
    // xfs begins to write what syncs leave in its log when inodes are to be dropped, and keeps those meanwhile
    // (so fs/xfs/xfs_icache.c reads: xfs_reclaim_inodes_nr; nobody has traced it).
    fs::write("/proc/sys/vm/drop_caches", "3")?;
    sleep(Duration::from_millis(50));
    fs::write("/proc/sys/vm/drop_caches", "3")
}

impl Conditions {
    /// Writes dirty data back and drops caches, as asked for; returns a message for each that failed.
    pub fn before(&self, parts: Option<&Parts>) -> Vec<String> {
        let mut notes = Vec::new();
        if self.sync_before || self.drop_caches {
            for tree in parts.iter().flat_map(|parts| parts.tops()) {
                // SAFETY: the descriptor is open until the call is over.
                if unsafe { libc::syncfs(tree.as_fd().as_raw_fd()) } != 0 {
                    notes.push(format!("What is dirty in {} could not be written back.", tree.path().display()));
                }
            }
        }
        if self.drop_caches {
            // Only clean pages can be dropped (proc_sys_vm(5)). sync cannot fail.
            // SAFETY: no arguments.
            unsafe { libc::sync() };
            if let Err(error) = drop_caches() {
                notes.push(format!("The caches could not be dropped ({error}): that takes root."));
            }
        }
        notes
    }

    /// Makes the command set priority and limits on itself between fork and exec. `ofds` is how many files may have to be
    /// open at once.
    ///
    /// # Errors
    /// When no pipe can be made.
    pub fn arm(&self, command: &mut Command, ofds: usize) -> Result<Armed> {
        let mut limits: Vec<(libc::__rlimit_resource_t, libc::rlimit)> = Vec::new();
        for limit in &self.limits {
            limits.push((limit.resource(), libc::rlimit { rlim_cur: limit.value, rlim_max: limit.value }));
        }
        let mut asked: Vec<String> = self.limits.iter().map(|limit| limit.to_string()).collect();
        if let Some(files) = self.files(ofds) {
            asked.push(format!("nofile={files} (one for each description of the workload)"));
            limits.push((libc::RLIMIT_NOFILE, libc::rlimit { rlim_cur: files, rlim_max: files }));
        }
        let (reader, writer) = pipe().context("cannot make a pipe")?;
        let (nice, told) = (self.nice, writer.as_raw_fd());
        // SAFETY: between fork and exec only system calls are made, on memory that is there already.
        unsafe {
            command.pre_exec(move || {
                let _keep = &writer;
                let tell = |what: u8, failed: bool| {
                    if failed {
                        libc::write(told, [what].as_ptr().cast(), 1);
                    }
                };
                if let Some(nice) = nice {
                    tell(u8::MAX, libc::setpriority(libc::PRIO_PROCESS, 0, nice) != 0);
                }
                for (at, (resource, limit)) in limits.iter().enumerate() {
                    tell(at as u8, libc::setrlimit(*resource, limit) != 0);
                }
                Ok(())
            });
        }
        Ok(Armed { reader, asked, nice })
    }

    /// The limit of open files to request; `None` when the present one suffices or the user asked for one.
    fn files(&self, ofds: usize) -> Option<u64> {
        let most = fs::read_to_string("/proc/sys/fs/nr_open").ok().and_then(|text| text.trim().parse().ok()).unwrap_or(u64::MAX);
        let needed = (ofds as u64 + OWN_FILES).min(most);
        let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
        // SAFETY: limit is writable.
        let known = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) } == 0;
        let told = self.limits.iter().any(|limit| limit.of == LimitOf::Files);
        (known && !told && limit.rlim_max < needed).then_some(needed)
    }

    /// The conditions as they are written to the manifest of the run.
    pub fn to_json(&self) -> Value {
        json!({
            "drop_caches": self.drop_caches,
            "sync_before": self.sync_before,
            "memory_limit": self.memory_limit,
            "user": self.user.as_ref().map(|user| &user.name),
            "nice": self.nice,
            "rlimits": self.limits.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }
}

impl std::fmt::Display for Limit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.value {
            libc::RLIM_INFINITY => write!(f, "{}=unlimited", self.of.name()),
            value => write!(f, "{}={value}", self.of.name()),
        }
    }
}

/// The limits and nice value that a command was told to set on itself, and the pipe through which it reports failures.
#[derive(Debug)]
pub struct Armed {
    reader: PipeReader,
    asked: Vec<String>,
    nice: Option<i32>,
}

impl Armed {
    /// A message for each limit or nice value that could not be set. To be called when the command has started and is
    /// dropped, which closes the other end of the pipe.
    ///
    /// # Errors
    /// When the pipe cannot be read.
    pub fn notes(mut self) -> Result<Vec<String>> {
        let mut failed = Vec::new();
        self.reader.read_to_end(&mut failed)?;
        let note = |what: &u8| match (self.asked.get(usize::from(*what)), self.nice) {
            (Some(limit), _) => format!("The limit {limit} could not be set: raising one takes CAP_SYS_RESOURCE."),
            (None, nice) => format!("The nice value {} could not be set: lowering it takes root.", nice.unwrap_or(0)),
        };
        Ok(failed.iter().map(note).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The output of a shell under these conditions, and the notes on those that could not be met.
    fn shell(conditions: &Conditions, ofds: usize, script: &str) -> (String, Vec<String>) {
        let mut command = Command::new("sh");
        command.args(["-c", script]).stdout(std::process::Stdio::piped());
        let armed = conditions.arm(&mut command, ofds).unwrap();
        let child = command.spawn().unwrap();
        drop(command);
        let notes = armed.notes().unwrap();
        (String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap(), notes)
    }

    #[test]
    fn limits_and_priority_are_set() {
        let limits = vec![Limit::parse("nofile=123").unwrap(), Limit::parse("fsize=1048576").unwrap()];
        let conditions = Conditions { nice: Some(7), limits, ..Conditions::default() };
        let (text, notes) = shell(&conditions, 5, "ulimit -n; ulimit -Hn; nice; ulimit -f");
        assert_eq!((text.as_str(), notes.len()), ("123\n123\n7\n2048\n", 0));
    }

    #[test]
    fn what_cannot_be_had_is_reported() {
        // Beyond fs.nr_open even root gets no more.
        let conditions = Conditions { limits: vec![Limit { of: LimitOf::Files, value: 1 << 40 }], ..Conditions::default() };
        let (_, notes) = shell(&conditions, 5, "true");
        assert!(notes.len() == 1 && notes[0].contains("nofile="), "{notes:?}");
    }

    #[test]
    fn words_are_checked() {
        assert_eq!(Limit::parse("memlock=unlimited").unwrap().to_string(), "memlock=unlimited");
        assert_eq!(Limit::parse("fsize=1.5M").unwrap().value, 3 << 19);
        for text in ["nofile", "files=3", "nofile=x", "nofile=-1", "nofile=1K", "fsize=0.5", "memlock=99999999999T"] {
            assert!(Limit::parse(text).is_err(), "{text}");
        }
    }
}
