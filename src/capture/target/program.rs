//! What a process runs and where it belongs, as /proc and the file system of control groups tell it.

use crate::exec::{Environment, Ran, WORDS, words};
use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// Most bytes of an environment that are looked at.
const ENVIRONMENT: usize = 1 << 20;
/// Most control groups that are known by number.
const GROUPS: usize = 1 << 16;
/// How long nobody looks for a number that was not found.
const AGAIN: Duration = Duration::from_millis(10);

/// What a process runs, from /proc; its user is left out. What may not be read or is gone is `None`. `line`: with its command line.
pub fn of_proc(pid: i64, line: bool) -> Ran {
    let command_line = || {
        let list = start(pid, "cmdline", WORDS + 1)?;
        words(&list, list.len() <= WORDS || list.ends_with(b"\0"))
    };
    let environment = Environment::of(&start(pid, "environ", ENVIRONMENT).unwrap_or_default());
    Ran {
        command_line: if line { command_line() } else { None },
        user: None,
        cgroup: start(pid, "cgroup", 64 << 10).and_then(|text| group(&text)),
        rank: environment.rank(),
        job: environment.job(),
    }
}

/// The first bytes of a file of a process in /proc; `None` when it cannot be read.
fn start(pid: i64, name: &str, most: usize) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    File::open(format!("/proc/{pid}/{name}")).ok()?.take(most as u64).read_to_end(&mut bytes).ok()?;
    Some(bytes)
}

/// The control group of version 2 in /proc/PID/cgroup (cgroups(7)).
fn group(text: &[u8]) -> Option<Vec<u8>> {
    text.split(|byte| *byte == b'\n').find_map(|line| line.strip_prefix(b"0::")).map(<[u8]>::to_vec)
}

/// Paths of control groups (version 2) by their numbers, which are those of inodes.
#[derive(Debug, Default)]
pub struct Groups {
    known: HashMap<u64, Vec<u8>>,
    looked: Option<Instant>,
}

impl Groups {
    /// The path of a control group below where these are mounted; `None` when there is none of this number, or none any more.
    pub fn path(&mut self, number: u64) -> Option<Vec<u8>> {
        if !self.known.contains_key(&number) && self.looked.is_none_or(|looked| looked.elapsed() >= AGAIN) {
            if let Some(top) = mounted() {
                self.look(&top);
            }
            self.looked = Some(Instant::now());
        }
        self.known.get(&number).cloned()
    }

    /// Learns the numbers of all groups below a directory.
    fn look(&mut self, top: &Path) {
        let Ok(meta) = top.metadata() else { return };
        let mut left = vec![(top.to_owned(), Vec::new())];
        self.known.insert(meta.ino(), b"/".to_vec());
        while let Some((dir, path)) = left.pop() {
            for entry in std::fs::read_dir(dir).into_iter().flatten().flatten() {
                if self.known.len() >= GROUPS {
                    return;
                }
                if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
                    let path = [&path[..], b"/", entry.file_name().as_bytes()].concat();
                    self.known.insert(entry.ino(), path.clone());
                    left.push((entry.path(), path));
                }
            }
        }
    }
}

/// Where control groups of version 2 are mounted.
fn mounted() -> Option<PathBuf> {
    ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
        .map(PathBuf::from)
        .into_iter()
        .find(|dir| dir.join("cgroup.controllers").exists())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_finds_its_own_words_and_group() {
        let own = i64::from(std::process::id());
        let ran = of_proc(own, true);
        let first = std::env::args_os().next().unwrap();
        let line = ran.command_line.unwrap();
        let shown = &first.as_bytes()[..first.len().min(WORDS)];
        assert!(line.starts_with(shown), "{}", String::from_utf8_lossy(&line));
        assert_eq!(of_proc(own, false).command_line, None);
        assert_eq!(of_proc(-1, true), Ran::default());
    }

    #[test]
    fn of_a_list_of_hierarchies_the_group_of_version_2_counts() {
        assert_eq!(group(b"1:name=systemd:/old\n0::/user.slice/a b\n").as_deref(), Some(&b"/user.slice/a b"[..]));
        assert_eq!(group(b"1:name=systemd:/old\n"), None);
    }

    #[test]
    fn groups_are_found_by_the_inodes_of_their_directories() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("a/b")).unwrap();
        std::fs::write(dir.path().join("file"), "").unwrap();
        let mut groups = Groups::default();
        groups.look(dir.path());
        let number = |path: &str| dir.path().join(path).metadata().unwrap().ino();
        let named = |path: &str| groups.known.get(&number(path)).map(|path| String::from_utf8(path.clone()).unwrap());
        assert_eq!(
            [named(""), named("a"), named("a/b"), named("file")],
            [Some("/".into()), Some("/a".into()), Some("/a/b".into()), None]
        );
    }
}
