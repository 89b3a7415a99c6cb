//! What a run says of the machine it ran on.

use serde_json::{Map, Value, json};
use std::ffi::CStr;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Kernel, processor, memory, and the file system that `dir` is on.
pub fn describe(dir: &Path) -> Map<String, Value> {
    let mut machine = Map::new();
    // SAFETY: utsname is plain bytes, and zeroes are such.
    let mut name: libc::utsname = unsafe { std::mem::zeroed() };
    // SAFETY: name is writable; uname ends every field with NUL.
    if unsafe { libc::uname(&mut name) } == 0 {
        for (key, field) in [("host", &name.nodename), ("kernel", &name.release), ("machine", &name.machine)] {
            // SAFETY: as above.
            let text = unsafe { CStr::from_ptr(field.as_ptr()) };
            machine.insert(key.into(), json!(text.to_string_lossy()));
        }
    }
    let info = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text.lines().find(|line| line.starts_with(key))?.to_owned();
        Some(line.split_once(':')?.1.trim().to_owned())
    };
    machine.insert("cpu".into(), json!(info("/proc/cpuinfo", "model name")));
    machine.insert("cpus".into(), json!(std::thread::available_parallelism().map_or(1, |n| n.get())));
    machine.insert("memory".into(), json!(info("/proc/meminfo", "MemTotal")));
    let governor = fs::read_to_string("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor").ok();
    machine.insert("governor".into(), json!(governor.map(|text| text.trim().to_owned())));
    if let Some((kind, options)) = file_system(dir) {
        machine.insert("file_system".into(), json!(kind));
        machine.insert("mount_options".into(), json!(options));
    }
    machine
}

/// Type and options of the mount that `dir` is on (proc_pid_mountinfo(5)).
fn file_system(dir: &Path) -> Option<(String, String)> {
    let device = fs::metadata(dir).ok()?.dev();
    let device = format!("{}:{}", libc::major(device), libc::minor(device));
    let mounts = fs::read_to_string("/proc/self/mountinfo").ok()?;
    mounts.lines().find_map(|line| {
        let (mount, system) = line.split_once(" - ")?;
        let (mount, system): (Vec<&str>, Vec<&str>) = (mount.split(' ').collect(), system.split(' ').collect());
        let (mine, theirs) = (mount.get(5)?, system.get(2)?);
        (mount.get(2) == Some(&device.as_str()))
            .then(|| ((*system.first().unwrap_or(&"")).to_owned(), format!("{mine},{theirs}")))
    })
}
