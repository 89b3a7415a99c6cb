//! Settings of a machine that the time of I/O depends on: the memory limit of a process, the limits of dirty memory, and how far
//! devices are read ahead.

use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The settings of a machine, as far as it tells them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Settings {
    /// Least memory limit of the control groups that a process is in, bytes; `None` where there is none.
    pub memory_limit: Option<u64>,
    /// When dirty memory is written back (vm.dirty_* of proc_sys_vm(5)), by name without `dirty_`.
    pub dirty: BTreeMap<String, u64>,
    /// Queues of block devices, by the name of the disk.
    pub devices: BTreeMap<String, Queue>,
}

/// Settings of the queue of a block device (/sys/class/block/NAME/queue).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Queue {
    /// How far is read ahead at most, KiB.
    pub read_ahead_kb: Option<u64>,
    /// Scheduler in use.
    pub scheduler: Option<String>,
}

/// The settings of dirty memory.
const DIRTY: [&str; 6] = ["background_bytes", "background_ratio", "bytes", "expire_centisecs", "ratio", "writeback_centisecs"];
/// Most devices that are told.
const DEVICES: usize = 256;

/// The first line of a file of /proc or /sys.
fn line(path: impl AsRef<Path>) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.lines().next()?.trim().to_owned())
}

fn number(path: impl AsRef<Path>) -> Option<u64> {
    line(path)?.parse().ok()
}

impl Settings {
    /// Those of this machine, and of a process: this one where `None` is given.
    pub fn of(pid: Option<u32>) -> Settings {
        let dirty = DIRTY.iter().filter_map(|name| {
            let found = number(format!("/proc/sys/vm/dirty_{name}"))?;
            Some(((*name).to_owned(), found))
        });
        let disks = fs::read_dir("/sys/block").into_iter().flatten().flatten().take(DEVICES);
        let devices = disks.map(|disk| {
            let queue = disk.path().join("queue");
            // All schedulers are listed, the one in use in brackets.
            let scheduler = line(queue.join("scheduler"));
            let scheduler = scheduler.map(|all| all.split(['[', ']']).nth(1).unwrap_or(&all).to_owned());
            let queue = Queue { read_ahead_kb: number(queue.join("read_ahead_kb")), scheduler };
            (disk.file_name().to_string_lossy().into_owned(), queue)
        });
        Settings { memory_limit: memory_limit(pid), dirty: dirty.collect(), devices: devices.collect() }
    }

    /// How far a device, or the disk that it is a partition of, is read ahead, KiB.
    pub fn read_ahead(&self, device: &str) -> Option<u64> {
        let partition = |disk: &&String| {
            device
                .strip_prefix(disk.as_str())
                .is_some_and(|rest| rest.trim_start_matches('p').bytes().all(|byte| byte.is_ascii_digit()))
        };
        let disk = self.devices.keys().filter(partition).max_by_key(|disk| disk.len())?;
        self.devices.get(disk)?.read_ahead_kb
    }
}

/// Where the control groups are that may limit memory, and the names of their files for the limit and for the processes.
#[derive(Clone, Debug)]
pub struct Group {
    /// Directory of the hierarchy.
    pub top: PathBuf,
    /// Directory of the group in it.
    pub dir: PathBuf,
    /// Name of the file with the limit.
    pub limit: &'static str,
}

/// The control groups of a process that may limit its memory: of version 2, of version 1.
pub fn groups(pid: Option<u32>) -> Vec<Group> {
    let name = pid.map_or("self".into(), |pid| pid.to_string());
    let text = fs::read_to_string(format!("/proc/{name}/cgroup")).unwrap_or_default();
    let lines = text.lines().filter_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (controllers, path) = (parts.next()?, parts.next()?.trim_start_matches('/'));
        let (top, limit) = match controllers {
            "" => {
                let whole = Path::new("/sys/fs/cgroup");
                let top = if whole.join("cgroup.controllers").exists() { whole.to_owned() } else { whole.join("unified") };
                (top, "memory.max")
            }
            all if all.split(',').any(|one| one == "memory") => ("/sys/fs/cgroup/memory".into(), "memory.limit_in_bytes"),
            _ => return None,
        };
        Some(Group { dir: top.join(path), top, limit })
    });
    lines.collect()
}

/// The least limit of the groups of a process and of those above them, bytes.
fn memory_limit(pid: Option<u32>) -> Option<u64> {
    // Version 1 has the largest multiple of a page where there is no limit.
    const NONE: u64 = i64::MAX as u64 & !0xffff;
    let limits = groups(pid).into_iter().flat_map(|group| {
        let above: Vec<_> = group.dir.ancestors().take_while(|dir| dir.starts_with(&group.top)).map(Path::to_owned).collect();
        above.into_iter().filter_map(move |dir| number(dir.join(group.limit)))
    });
    limits.filter(|limit| *limit < NONE).min()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine_has_settings() {
        let settings = Settings::of(None);
        assert!(settings.dirty.contains_key("ratio") && settings.dirty.contains_key("bytes"), "{settings:?}");
        assert_eq!(Settings::of(Some(std::process::id())).memory_limit, settings.memory_limit);
        assert!(settings.memory_limit.is_none_or(|limit| limit < 1 << 50));
        assert!(groups(Some(u32::MAX)).is_empty());
    }

    #[test]
    fn a_partition_is_read_ahead_as_its_disk() {
        let mut settings = Settings::default();
        for (disk, kb) in [("sda", 128), ("nvme0n1", 256), ("sdaa", 512)] {
            settings.devices.insert(disk.into(), Queue { read_ahead_kb: Some(kb), scheduler: None });
        }
        for (device, kb) in
            [("sda", Some(128)), ("sda12", Some(128)), ("sdaa1", Some(512)), ("nvme0n1p2", Some(256)), ("sdb1", None), ("", None)]
        {
            assert_eq!(settings.read_ahead(device), kb, "{device}");
        }
    }
}
