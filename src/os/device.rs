//! What block devices were asked to do, and by whom.

use crate::amount::{Bytes, Things};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::path::Path;

/// Requests that a block device was given (tracepoint `block_rq_issue`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requests {
    /// Number of reads.
    pub reads: u64,
    /// Bytes that they read.
    pub read_bytes: u64,
    /// Number of the reads that were for metadata: names, inodes, maps of the file system.
    #[serde(default)]
    pub meta_reads: u64,
    /// Number of writes.
    pub writes: u64,
    /// Bytes that they wrote.
    pub written_bytes: u64,
    /// Number of flushes of the device's cache.
    pub flushes: u64,
    /// Number of other requests: discards, writes of zeroes and the like.
    pub others: u64,
    /// Number of the reads and writes that did not begin where the one before on this device ended, whoever asked for that.
    pub seeks: u64,
}

impl Requests {
    /// Number of all requests.
    pub fn count(&self) -> u64 {
        [self.reads, self.writes, self.flushes, self.others].into_iter().fold(0, u64::saturating_add)
    }

    /// Adds others to these.
    pub fn add(&mut self, other: Requests) {
        let Requests { reads, read_bytes, meta_reads, writes, written_bytes, flushes, others, seeks } = other;
        for (sum, more) in [
            (&mut self.reads, reads),
            (&mut self.read_bytes, read_bytes),
            (&mut self.meta_reads, meta_reads),
            (&mut self.writes, writes),
            (&mut self.written_bytes, written_bytes),
            (&mut self.flushes, flushes),
            (&mut self.others, others),
            (&mut self.seeks, seeks),
        ] {
            *sum = sum.saturating_add(more);
        }
    }
}

/// What one block device did for some tasks, and for the kernel meanwhile.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Device {
    /// Name of the device in /sys/class/block; its numbers, as in `254:0`, where it has none there any more.
    pub name: String,
    /// What the tasks gave it themselves.
    pub tasks: Requests,
    /// What threads of the kernel gave it: writeback, flushes, and requests that are issued from a queue, whoever caused them. On a
    /// device below another one (a loop device's, for example) what that one asked for, too.
    pub kernel: Requests,
}

/// Requests of tasks for metadata: names, inodes and maps of file systems.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Metadata {
    /// Reads for metadata.
    pub reads: u64,
    /// All requests.
    pub of: u64,
}

impl Metadata {
    /// Least number of reads for metadata, and least share of all requests, of a program that begins without names in memory.
    const FEW: u64 = 16;
    const SHARE: f64 = 0.05;

    /// What the tasks gave these devices.
    pub fn of(devices: &[Device]) -> Metadata {
        let sum = |of: fn(&Requests) -> u64| devices.iter().fold(0u64, |sum, device| sum.saturating_add(of(&device.tasks)));
        Metadata { reads: sum(|requests| requests.meta_reads), of: sum(Requests::count) }
    }

    /// Did the tasks begin without names and inodes in memory, so far as requests tell?
    pub fn cold(self) -> bool {
        self.reads >= Metadata::FEW && self.reads as f64 > Metadata::SHARE * self.of as f64
    }
}

/// The name of a block device by its numbers.
pub fn name(major: u32, minor: u32) -> String {
    let link = std::fs::read_link(Path::new("/sys/dev/block").join(format!("{major}:{minor}")));
    let name = link.ok().and_then(|link| Some(link.file_name()?.to_string_lossy().into_owned()));
    name.unwrap_or_else(|| format!("{major}:{minor}"))
}

/// Most devices that are shown.
const SHOWN: usize = 16;

/// The devices of a list, for people: a line for each.
pub struct Lines<'a>(pub &'a [Device], pub &'a str);

impl fmt::Display for Lines<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Lines(devices, who) = self;
        devices.iter().take(SHOWN).try_for_each(|Device { name, tasks, kernel }| {
            writeln!(f, "  requests of {who} to {}: {tasks}; of the kernel meanwhile: {kernel}", crate::text::shown(name))
        })
    }
}

impl fmt::Display for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Requests { reads, read_bytes, meta_reads, writes, written_bytes, flushes, seeks, .. } = self;
        let (reads, writes, seeks) = (Things(*reads, "read"), Things(*writes, "write"), Things(*seeks, "seek"));
        write!(f, "{reads} of {}", Bytes(*read_bytes))?;
        if *meta_reads > 0 {
            write!(f, " ({meta_reads} for metadata)")?;
        }
        write!(f, ", {writes} of {}, {seeks}", Bytes(*written_bytes))?;
        if *flushes > 0 {
            let es = if *flushes == 1 { "" } else { "es" };
            write!(f, ", {flushes} flush{es}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_of_requests_stop_at_the_largest_number() {
        let one = Requests {
            reads: 1,
            read_bytes: u64::MAX,
            meta_reads: 0,
            writes: 2,
            written_bytes: 4096,
            flushes: 1,
            others: 1,
            seeks: 2,
        };
        let mut sum = one;
        sum.add(one);
        assert_eq!((sum.count(), sum.read_bytes, sum.written_bytes), (10, u64::MAX, 8192));
        assert_eq!(Requests { read_bytes: 512, ..one }.to_string(), "1 read of 512 B, 2 writes of 4.00 KiB, 2 seeks, 1 flush");
    }

    #[test]
    fn a_device_that_is_gone_has_numbers_for_a_name() {
        assert_eq!(name(4095, 77), "4095:77");
    }
}
