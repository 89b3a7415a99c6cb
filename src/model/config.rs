//! What the model is told before the first event: which paths of the captured machine are replayed, and what was there.

use super::start::Present;
use crate::fate::{Elsewhere, StaysOnDisk};
use crate::syscall::Syscall;
use std::sync::Arc;

/// What happens to calls on the files below a path of the captured machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Place {
    /// Calls on these files are replayed.
    Keep,
    /// A pseudo or memory file system: its files are made by the kernel or gone at the next boot, not stored.
    Pseudo,
    /// They are left out because the user said so.
    Ignore,
}

/// Where paths begin that the capture itself adds to the calls of a process with a root directory of its own (chroot(2)), such
/// as the path of a descriptor.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Notes {
    /// Paths added by the capture begin at the machine's root: the tool that captured looks from outside.
    #[default]
    Machine,
    /// Paths added by the capture begin at the process's own root.
    Process,
}

/// Which requests that io_submit(2) and io_uring_enter(2) hand to the kernel the capture has as events of their own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Requests {
    /// The requests of both io_submit(2) and io_uring are events of their own.
    #[default]
    All,
    /// Only the requests of io_submit(2) are events of their own.
    Submitted,
    /// The requests of neither are events: the capture has only the calls.
    None,
}

impl Requests {
    /// Does this call hide what it asks for, because its requests are not events of their own?
    pub(super) fn hidden_in(self, call: Syscall) -> bool {
        match call {
            Syscall::io_uring_enter => self != Requests::All,
            Syscall::io_submit => self == Requests::None,
            _ => false,
        }
    }
}

/// What the model is told of the captured machine before the first event.
#[derive(Clone, Debug)]
pub struct Config {
    /// Absolute paths and what happens at and below them. The longest that matches at path boundaries wins; a path
    /// that none matches is kept.
    pub rules: Vec<(Vec<u8>, Place)>,
    /// Where the file systems that are replayed were mounted, if the capture knows: the replay has mount points there.
    pub mounts: Vec<Vec<u8>>,
    /// Mount points of file systems of which something is to be said, and of those below them ([`Config::tell_kinds`]).
    pub kinds: Vec<(Vec<u8>, Option<Elsewhere>)>,
    /// Mount points of file systems in memory, also of those that were mounted during the capture, and why a replay cannot have
    /// one there from its start on.
    pub memory: Vec<(Vec<u8>, Option<StaysOnDisk>)>,
    /// What was there when the capture began, as far as the capture knows.
    pub present: Arc<[Present]>,
    /// Where the paths begin that the capture added to the calls of processes with a root of their own.
    pub notes: Notes,
    /// Which requests to io_submit and io_uring are events of their own.
    pub requests: Requests,
    /// Does the capture tell of page faults on mapped files? Then mappings are followed.
    pub faults: bool,
    /// Does the capture tell what is added to the page cache? Then what is read and was not added was there when it began.
    pub cache: bool,
}

/// Paths that hold no stored files on a usual Linux machine, each with the reason; used when the capture does not know its
/// mounts.
pub const PSEUDO: &[(&str, &str)] = &[
    ("/proc", "proc(5): processes and kernel settings"),
    ("/sys", "sysfs(5): devices, and the control groups, debugfs and tracefs mounted in it"),
    ("/dev", "device nodes, terminals, and the memory file systems /dev/shm and /dev/mqueue"),
    ("/run", "tmpfs: sockets, locks and process ids of the running system (hier(7))"),
    ("/var/run", "the older name of /run"),
    ("/var/lock", "the older name of /run/lock"),
];

impl Default for Config {
    /// Rules for the usual pseudo and memory file systems ([`PSEUDO`]), and nothing known of the start.
    fn default() -> Config {
        let rules = PSEUDO.iter().map(|(path, _)| (path.as_bytes().to_vec(), Place::Pseudo)).collect();
        Config::of(rules, Vec::new())
    }
}

impl Config {
    fn of(rules: Vec<(Vec<u8>, Place)>, mounts: Vec<Vec<u8>>) -> Config {
        let (present, notes, requests) = (Arc::default(), Notes::default(), Requests::default());
        Config { rules, mounts, kinds: Vec::new(), memory: Vec::new(), present, notes, requests, faults: false, cache: false }
    }

    /// The rules of a machine whose mounts are known: each path, and whether a pseudo or memory file system is mounted
    /// there. What is no mount point is stored by the file system above it, whatever it is called; only the older names of
    /// [`PSEUDO`] go with the directory that they lead to.
    pub fn of_mounts<'a>(mounts: impl IntoIterator<Item = (&'a [u8], bool)>) -> Config {
        let place = |pseudo| if pseudo { Place::Pseudo } else { Place::Keep };
        let rules: Vec<_> = mounts.into_iter().map(|(path, pseudo)| (path.to_vec(), place(pseudo))).collect();
        let stored = rules.iter().filter(|(_, place)| *place == Place::Keep).map(|(path, _)| path.clone()).collect();
        let mut config = Config::of(rules, stored);
        for (alias, real) in [("/var/run", "/run"), ("/var/lock", "/run/lock")] {
            let known = config.rules.iter().any(|(path, _)| path == alias.as_bytes());
            if !known && config.place(real.as_bytes()) == Place::Pseudo {
                config.rules.push((alias.as_bytes().to_vec(), Place::Pseudo));
            }
        }
        config
    }

    /// What happens to calls on the files at an absolute path.
    pub fn place(&self, path: &[u8]) -> Place {
        let rules = self.rules.iter().filter(|(rule, _)| covers(rule, path));
        // Of equally long ones the last wins, so that what the user adds overrides the default.
        rules.max_by_key(|(rule, _)| rule.len()).map_or(Place::Keep, |(_, place)| *place)
    }

    /// Is there a mount point between two paths, in the replay too? Then nothing is renamed or linked from one to the other.
    pub(super) fn apart(&self, one: &[u8], other: &[u8]) -> bool {
        let [one, other] = [one, other].map(|path| self.mounts.iter().filter(|mount| covers(mount, path)).map(Vec::len).max());
        one != other
    }

    /// Takes in where file systems were mounted and what is to be said of the files there. Of what is not replayed nothing is; to be
    /// called when the rules are complete.
    pub fn tell_kinds(&mut self, mounts: Vec<(Vec<u8>, Option<Elsewhere>)>) {
        // Replayed are the files there, or some of them.
        let kept = |path: &[u8]| {
            let mounted = |rule: &[u8]| mounts.iter().any(|(mount, _)| mount == rule);
            let below = |(rule, place): &(Vec<u8>, Place)| *place == Place::Keep && covers(path, rule) && !mounted(rule);
            self.place(path) == Place::Keep || self.rules.iter().any(below)
        };
        let above = mounts.iter().filter(|(path, kind)| kind.is_some() && kept(path));
        let above: Vec<Vec<u8>> = above.map(|(path, _)| path.clone()).collect();
        let in_memory = mounts.iter().filter(|(path, kind)| *kind == Some(Elsewhere::TmpfsOnDisk) && kept(path));
        let disk_below = |memory: &[u8]| {
            let stored = |(path, kind): &(Vec<u8>, _)| *kind != Some(Elsewhere::TmpfsOnDisk) && path != memory && kept(path);
            mounts.iter().any(|mount| stored(mount) && covers(memory, &mount.0))
        };
        let memory: Vec<_> =
            in_memory.map(|(path, _)| (path.clone(), disk_below(path).then_some(StaysOnDisk::DiskBelow))).collect();
        self.memory.clear();
        for (path, why) in memory {
            // One may lie over another.
            if self.memory.iter().all(|(known, _)| *known != path) {
                self.memory.push((path, why));
            }
        }
        self.kinds = mounts.into_iter().filter(|(path, _)| above.iter().any(|above| covers(above, path))).collect();
    }

    /// What is to be said of the file system that a path is on: of the mount points above it the nearest one decides, and the last
    /// of several at one path.
    pub(super) fn elsewhere(&self, path: &[u8]) -> Option<Elsewhere> {
        let above = self.kinds.iter().filter(|(mount, _)| covers(mount, path));
        above.max_by_key(|(mount, _)| mount.len()).and_then(|(_, kind)| *kind)
    }

    /// A file system was mounted.
    pub(super) fn mount(&mut self, path: &[u8], kind: Option<Elsewhere>) {
        // More mounts than any machine has by default (/proc/sys/fs/mount-max).
        const MOST: usize = 100_000;
        if kind == Some(Elsewhere::TmpfsOnDisk) {
            if self.memory.len() < MOST && self.memory.iter().all(|(known, _)| known != path) {
                self.memory.push((path.to_vec(), None));
            }
        } else {
            self.stay_on_disk(StaysOnDisk::DiskBelow, |memory| covers(memory, path));
        }
        if self.kinds.len() < MOST && (kind.is_some() || self.elsewhere(path).is_some()) {
            self.kinds.push((path.to_vec(), kind));
        }
    }

    /// The file system that was mounted there last is there no more.
    pub(super) fn unmount(&mut self, path: &[u8]) {
        self.stay_on_disk(StaysOnDisk::Unmounted, |memory| memory == path);
        if let Some(at) = self.kinds.iter().rposition(|(mount, _)| mount == path) {
            self.kinds.remove(at);
        }
    }

    /// A name was moved or linked from one path to another: where only one of them is below a mount in memory, both were on one
    /// file system for the process that did it.
    pub(super) fn crossed(&mut self, one: &[u8], other: &[u8]) {
        self.stay_on_disk(StaysOnDisk::Crossed, |memory| covers(memory, one) != covers(memory, other));
    }

    fn stay_on_disk(&mut self, why: StaysOnDisk, which: impl Fn(&[u8]) -> bool) {
        for (path, known) in &mut self.memory {
            if known.is_none() && which(path) {
                *known = Some(why);
            }
        }
    }

    /// Is there a rule for a path below this one?
    pub(super) fn ruled_below(&self, path: &[u8]) -> bool {
        self.rules.iter().any(|(rule, _)| below(rule, path))
    }

    /// Is there a path below this one whose files are replayed by a rule of its own?
    pub(super) fn kept_below(&self, path: &[u8]) -> bool {
        self.rules.iter().any(|(rule, place)| *place == Place::Keep && below(rule, path) && self.place(rule) == Place::Keep)
    }
}

/// Is a rule for a path below this one?
fn below(rule: &[u8], path: &[u8]) -> bool {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    rule.strip_prefix(path).is_some_and(|rest| rest.len() > 1 && rest[0] == b'/')
}

/// Is a path the one of a rule, or below it?
fn covers(rule: &[u8], path: &[u8]) -> bool {
    let rule = rule.strip_suffix(b"/").unwrap_or(rule);
    path.strip_prefix(rule).is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_rule_wins_at_path_boundaries() {
        let mut config = Config::default();
        assert_eq!(config.place(b"/proc/self/maps"), Place::Pseudo);
        assert_eq!(config.place(b"/process"), Place::Keep);
        config.rules.push((b"/dev/shm".to_vec(), Place::Keep));
        config.rules.push((b"/dev/shm/x/".to_vec(), Place::Ignore));
        assert_eq!(config.place(b"/dev/shm/a"), Place::Keep);
        assert_eq!(config.place(b"/dev/shm/x"), Place::Ignore);
        assert_eq!(config.place(b"/dev/sda"), Place::Pseudo);
    }

    #[test]
    fn known_mounts_rule() {
        let mounts = [("/", false), ("/proc", true), ("/run", true), ("/run/media", false), ("/tmp", true)];
        let config = Config::of_mounts(mounts.map(|(path, pseudo)| (path.as_bytes(), pseudo)));
        for (path, place) in [
            ("/proc/1", Place::Pseudo),
            ("/run/lock/x", Place::Pseudo),
            ("/var/lock/x", Place::Pseudo),
            ("/run/media/disk", Place::Keep),
            ("/tmp/x", Place::Pseudo),
            ("/dev/shm/x", Place::Keep),
            ("/sys", Place::Keep),
        ] {
            assert_eq!(config.place(path.as_bytes()), place, "{path}");
        }
        assert_eq!(Config::of_mounts([(&b"/"[..], false)]).place(b"/var/run/x"), Place::Keep);
    }

    #[test]
    fn of_what_is_on_another_kind_of_file_system_it_is_said() {
        let memory = Some(Elsewhere::TmpfsOnDisk);
        let mounts = [
            ("/", None),
            ("/tmp", memory),
            ("/tmp/disk", None),
            ("/run", memory),
            ("/run/disk", None),
            ("/dev/shm", memory),
            ("/dev/shm", memory),
        ];
        let mut config = Config::of_mounts(mounts.map(|(path, kind)| (path.as_bytes(), kind.is_some())));
        let kinds = || mounts.map(|(path, kind)| (path.as_bytes().to_vec(), kind)).to_vec();
        config.tell_kinds(kinds());
        assert_eq!(config.kinds, [], "nothing there is replayed");
        config.rules.push((b"/tmp".to_vec(), Place::Keep));
        config.rules.push((b"/dev/shm/x".to_vec(), Place::Keep));
        config.tell_kinds(kinds());
        for (path, kind) in [("/tmp/a", memory), ("/tmp/disk/a", None), ("/tmpa", None), ("/dev/shm/x", memory), ("/run/a", None)]
        {
            assert_eq!(config.elsewhere(path.as_bytes()), kind, "{path}");
        }
        let on_disk = |config: &Config, path: &str| {
            let found = config.memory.iter().find(|(memory, _)| memory == path.as_bytes());
            found.map(|(_, why)| why.map(StaysOnDisk::name))
        };
        let seen = |config: &Config| ["/tmp", "/dev/shm", "/run", "/mnt", "/new"].map(|path| on_disk(config, path));
        assert_eq!(seen(&config), [Some(Some("disk_below")), Some(None), None, None, None]);
        config.mount(b"/new", memory);
        config.mount(b"/mnt", memory);
        config.crossed(b"/mnt/a", b"/mnt/b");
        config.crossed(b"/dev/shm/x/a", b"/a");
        assert_eq!(seen(&config)[1..], [Some(Some("crossed")), None, Some(None), Some(None)]);
        config.unmount(b"/new");
        assert_eq!(seen(&config)[4], Some(Some("unmounted")));
        config.mount(b"/mnt", None);
        assert_eq!(seen(&config)[3], Some(Some("disk_below")));
        assert_eq!(config.elsewhere(b"/mnt/a"), None);
        config.unmount(b"/mnt");
        assert_eq!(config.elsewhere(b"/mnt/a"), memory);
        config.unmount(b"/mnt");
        config.unmount(b"/mnt");
        assert_eq!(config.elsewhere(b"/mnt/a"), None);
    }

    #[test]
    fn a_later_rule_overrides_an_equal_one() {
        let mut config = Config::default();
        config.rules.push((b"/run".to_vec(), Place::Keep));
        assert_eq!(config.place(b"/run/x"), Place::Keep);
    }

    #[test]
    fn rules_below_are_found() {
        let config = Config { rules: vec![(b"/a/b".to_vec(), Place::Ignore)], ..Config::default() };
        assert!(config.ruled_below(b"/") && config.ruled_below(b"/a"));
        assert!(!config.ruled_below(b"/a/b") && !config.ruled_below(b"/c"));
        let mut config = Config::default();
        assert!(!config.kept_below(b"/dev"));
        config.rules.push((b"/dev/shm/x".to_vec(), Place::Keep));
        assert!(config.kept_below(b"/dev") && config.kept_below(b"/dev/shm") && !config.kept_below(b"/dev/shm/x"));
        config.rules.push((b"/dev/shm/x".to_vec(), Place::Ignore));
        assert!(!config.kept_below(b"/dev"));
    }
}
