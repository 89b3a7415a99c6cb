//! The description of the machine in a run's manifest: host, kernel, processor, and the file systems and devices that the
//! replay works on.

#![warn(clippy::cast_possible_truncation, clippy::cast_possible_wrap, clippy::cast_sign_loss)]

pub mod metrics;
pub mod samples;

use crate::os::settings::Settings;
use serde::Serialize;
use std::ffi::{CStr, CString};
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The machine a replay ran on; `None` for what the kernel does not tell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Machine {
    /// Host name (uname(2)).
    pub host: Option<String>,
    /// Release of the kernel (uname(2)).
    pub kernel: Option<String>,
    /// Hardware name (uname(2)), e.g. `x86_64`.
    pub machine: Option<String>,
    /// Model name of the processor, from /proc/cpuinfo.
    pub cpu: Option<String>,
    /// Number of processors that this process may use.
    pub cpus: usize,
    /// Frequency governor of processor 0 (cpufreq), e.g. `performance`.
    pub governor: Option<String>,
    /// Clock source of the kernel, e.g. `tsc`.
    pub clock: Option<String>,
    /// Total memory (MemTotal of /proc/meminfo), bytes.
    pub memory: Option<u64>,
    /// Memory limit, limits of dirty memory, and how far devices are read ahead.
    pub settings: Settings,
    /// The directories that the replay works in: one per part of the tree, or the current directory with engine `null`.
    pub targets: Vec<Target>,
}

/// A directory that the replay works in, with its file system and devices.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Target {
    /// Path of the directory that the replay works in.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub path: PathBuf,
    /// Type of its file system, e.g. `ext4`.
    pub file_system: Option<String>,
    /// Options of its mount and of its file system, as in mountinfo, joined by a comma.
    pub mount_options: Option<String>,
    /// Source of the mount: usually the device.
    pub source: Option<String>,
    /// The block devices below: that of the file system first, then what it lies on.
    pub devices: Vec<Device>,
}

/// A block device, as /sys describes it; `None` for what the kernel does not tell.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Device {
    /// Name of the device in /sys/class/block, e.g. `vda1`.
    pub name: String,
    /// Model of the device; for a loop device the path of its file, for a device-mapper device its name.
    pub model: Option<String>,
    /// Size of the device, bytes.
    pub size: Option<u64>,
    /// Whether it is a rotating disk (queue/rotational).
    pub rotational: Option<bool>,
    /// I/O scheduler in use, e.g. `mq-deadline`; that of the disk for a partition.
    pub scheduler: Option<String>,
    /// Length of its request queue (queue/nr_requests).
    pub requests: Option<u64>,
    /// State of its write cache (queue/write_cache): `write back` or `write through`.
    pub write_cache: Option<String>,
}

/// The first line of a file of /proc or /sys; `None` when it cannot be read or is empty.
fn line(path: impl AsRef<Path>) -> Option<String> {
    let text = fs::read_to_string(path).ok()?;
    Some(text.lines().next()?.trim().to_owned()).filter(|line| !line.is_empty())
}

impl Machine {
    /// Describes this machine, with these directories as targets.
    pub fn describe(targets: &[&Path]) -> Machine {
        let [host, kernel, machine] = names().map_or([None, None, None], |names| names.map(Some));
        let info = |file: &str, key: &str| {
            let text = fs::read_to_string(file).ok()?;
            let line = text.lines().find(|line| line.starts_with(key))?;
            Some(line.split_once(':')?.1.trim().to_owned())
        };
        let memory = info("/proc/meminfo", "MemTotal").and_then(|text| text.strip_suffix(" kB")?.parse::<u64>().ok());
        Machine {
            host,
            kernel,
            machine,
            cpu: info("/proc/cpuinfo", "model name"),
            cpus: crate::os::processors(),
            governor: line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor"),
            clock: line("/sys/devices/system/clocksource/clocksource0/current_clocksource"),
            memory: memory.map(|kib| kib * 1024),
            settings: Settings::of(None),
            targets: targets.iter().map(|path| Target::describe(path)).collect(),
        }
    }
}

/// Host name, kernel release and hardware name of uname(2).
fn names() -> Option<[String; 3]> {
    // SAFETY: utsname is plain bytes, and zeroes are such.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: name is writable; uname ends every field with NUL.
    if unsafe { libc::uname(&mut name) } != 0 {
        return None;
    }
    // SAFETY: as above.
    Some(
        [&name.nodename, &name.release, &name.machine]
            .map(|field| unsafe { CStr::from_ptr(field.as_ptr()) }.to_string_lossy().into()),
    )
}

impl Target {
    /// Describes the file system and devices behind a directory, as far as the kernel tells.
    pub fn describe(path: &Path) -> Target {
        let target = Target { path: path.to_owned(), ..Target::default() };
        let mounts = fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let Some(mount) = mount_id(path).and_then(|id| Mount::find(&mounts, id)) else { return target };
        let mut devices = Vec::new();
        if let Some(number) = mount.device() {
            devices_of(Path::new(&format!("/sys/dev/block/{number}")), &mut devices);
        }
        Target {
            file_system: Some(mount.kind.into()),
            mount_options: Some(format!("{},{}", mount.options, mount.super_options)),
            source: Some(mount.source.into()),
            devices,
            ..target
        }
    }
}

/// Id of the mount that a path is on (statx(2), since Linux 5.8).
fn mount_id(path: &Path) -> Option<u64> {
    let path = CString::new(path.as_os_str().as_bytes()).ok()?;
    // SAFETY: statx is plain numbers, and zeroes are such.
    let mut stat: libc::statx = unsafe { std::mem::zeroed() };
    // SAFETY: path ends with NUL and stat is writable.
    let done = unsafe { libc::statx(libc::AT_FDCWD, path.as_ptr(), 0, libc::STATX_MNT_ID, &mut stat) };
    (done == 0 && stat.stx_mask & libc::STATX_MNT_ID != 0).then_some(stat.stx_mnt_id)
}

/// The fields used here of a line of proc_pid_mountinfo(5).
struct Mount<'a> {
    number: &'a str,
    options: &'a str,
    kind: &'a str,
    source: &'a str,
    super_options: &'a str,
}

impl Mount<'_> {
    fn find(mounts: &str, id: u64) -> Option<Mount<'_>> {
        mounts.lines().find_map(|line| {
            let (mount, system) = line.split_once(" - ")?;
            let (mount, system): (Vec<_>, Vec<_>) = (mount.split(' ').collect(), system.split(' ').collect());
            let ([its, _, number, _, _, options, ..], [kind, source, super_options, ..]) = (mount.as_slice(), system.as_slice())
            else {
                return None;
            };
            (its.parse() == Ok(id)).then_some(Mount { number, options, kind, source, super_options })
        })
    }

    /// Number of the block device, `major:minor`. btrfs shows a made-up one (major 0), but says what is mounted.
    fn device(&self) -> Option<String> {
        if !self.number.starts_with("0:") {
            return Some(self.number.into());
        }
        let device = fs::metadata(self.source).ok().filter(|_| self.source.starts_with("/dev/"))?.rdev();
        Some(format!("{}:{}", libc::major(device), libc::minor(device)))
    }
}

/// Adds the device of a directory of /sys, its disk if it is a partition, and what it is stacked on.
fn devices_of(dir: &Path, devices: &mut Vec<Device>) {
    let Ok(dir) = dir.canonicalize() else { return };
    let Some(name) = dir.file_name().map(|name| name.to_string_lossy().into_owned()) else { return };
    if devices.iter().any(|device| device.name == name) {
        return;
    }
    let disk = if dir.join("partition").exists() { dir.parent() } else { None };
    // A partition has no queue directory in /sys; its disk has.
    let queue = disk.unwrap_or(&dir).join("queue");
    let scheduler = line(queue.join("scheduler"));
    devices.push(Device {
        name,
        model: line(dir.join("device/model"))
            .or_else(|| line(dir.join("loop/backing_file")))
            .or_else(|| line(dir.join("dm/name"))),
        size: line(dir.join("size")).and_then(|sectors| Some(sectors.parse::<u64>().ok()? * 512)),
        rotational: line(queue.join("rotational")).map(|word| word == "1"),
        // The file lists all available schedulers, the active one in brackets.
        scheduler: scheduler.map(|all| all.split(['[', ']']).nth(1).unwrap_or(&all).to_owned()),
        requests: line(queue.join("nr_requests")).and_then(|number| number.parse().ok()),
        write_cache: line(queue.join("write_cache")),
    });
    if let Some(disk) = disk {
        devices_of(disk, devices);
    }
    for below in fs::read_dir(dir.join("slaves")).into_iter().flatten().flatten() {
        devices_of(&below.path(), devices);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_found_by_its_number() {
        let mounts = "22 27 0:21 / /proc rw,relatime - proc proc rw\n\
                      27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw,discard\n\
                      broken\n\
                      41 27 0:40 /sub /mnt rw master:1 - btrfs /no/such/device rw,ssd\n";
        let root = Mount::find(mounts, 27).unwrap();
        assert_eq!((root.kind, root.options, root.super_options), ("ext4", "rw,relatime", "rw,discard"));
        assert_eq!(root.device().as_deref(), Some("254:0"));
        assert_eq!(Mount::find(mounts, 41).unwrap().device(), None);
        assert!(Mount::find(mounts, 2).is_none());
    }

    #[test]
    fn this_machine_has_processors_memory_and_mounts() {
        let machine = Machine::describe(&[Path::new("/proc"), Path::new("/no/such")]);
        assert!(machine.cpus > 0 && machine.memory > Some(1 << 20) && machine.kernel.is_some());
        assert_eq!(machine.targets[0].file_system.as_deref(), Some("proc"));
        assert!(machine.targets[0].devices.is_empty());
        assert_eq!(machine.targets[1].file_system, None);
    }
}
