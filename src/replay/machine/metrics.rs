//! The metrics that are sampled during a replay, one row each: which field of which file of /proc or /sys it is.
//!
//! Sources: proc(5), Documentation/block/stat.rst and Documentation/accounting/psi.rst of the kernel.

use crate::words::words;

words! {
    /// What a sample is about, and so which file it is read from.
    Kind {
        Device   "device"   "a block device behind a target, or all disks: /sys/block/*/stat";
        Memory   "memory"   "the machine's memory: /proc/meminfo";
        Pressure "pressure" "time in which work waited for cpu, io or memory: /proc/pressure/*";
        Cpu      "cpu"      "the machine's processors: /proc/stat";
        Load     "load"     "the load of the machine: /proc/loadavg";
        Process  "process"  "the supervisor, or a process of the replay: /proc/PID/stat";
    }
}

/// One metric: a number in a file of /proc or /sys, and how it is read.
#[derive(Clone, Copy, Debug)]
pub struct Metric {
    /// What the metric is about, and so which file it is read from.
    pub kind: Kind,
    /// Its name in the table `samples`; ends with the unit (`_bytes`, `_ns`, `_milli`) unless it is a plain count.
    pub name: &'static str,
    /// Whether it is a counter, reported as its growth since the start of the replay; otherwise the current value is
    /// reported.
    pub counts: bool,
    /// What the metric means, for the documentation.
    pub doc: &'static str,
    /// First word of the line in the file; empty for a file of one line.
    line: &'static str,
    /// Index of the field in the line, from 0, split at white space.
    field: usize,
    /// Factor from the unit of the file to that of the metric.
    scale: i64,
}

/// A metric that is a counter: reported as growth since the start of the replay.
const fn count(kind: Kind, name: &'static str, line: &'static str, field: usize, scale: i64, doc: &'static str) -> Metric {
    Metric { kind, name, counts: true, doc, line, field, scale }
}
/// A metric that is a current value.
const fn level(kind: Kind, name: &'static str, line: &'static str, field: usize, scale: i64, doc: &'static str) -> Metric {
    Metric { kind, name, counts: false, doc, line, field, scale }
}

const SECTOR: i64 = 512;
const KIB: i64 = 1024;
const PAGE: i64 = 4096;
const US: i64 = 1_000;
const MS: i64 = 1_000_000;
/// A tick of USER_HZ, ns: USER_HZ is 100 on x86_64.
const TICK: i64 = 10 * MS;

use Kind::*;

/// Every metric; in the table `samples` a reading of each kind has a row for each of its metrics.
#[rustfmt::skip]
pub const METRICS: &[Metric] = &[
    count(Device,   "reads",           "",              0,  1,      "reads that completed"),
    count(Device,   "read_bytes",      "",              2,  SECTOR, "bytes read"),
    count(Device,   "read_ns",         "",              3,  MS,     "time that reads waited and took, summed"),
    count(Device,   "writes",          "",              4,  1,      "writes that completed"),
    count(Device,   "written_bytes",   "",              6,  SECTOR, "bytes written"),
    count(Device,   "write_ns",        "",              7,  MS,     "time that writes waited and took, summed"),
    level(Device,   "queue",           "",              8,  1,      "requests issued and not yet completed"),
    count(Device,   "busy_ns",         "",              9,  MS,     "time with at least one request in the queue"),
    count(Device,   "queue_ns",        "",             10,  MS,     "time of all requests in the queue, summed: over elapsed time it is the mean queue"),
    count(Device,   "discarded_bytes", "",             13,  SECTOR, "bytes discarded"),
    count(Device,   "flushes",         "",             15,  1,      "flushes of the device's cache that completed"),
    level(Memory,   "free_bytes",      "MemFree:",      1,  KIB,    "memory that nothing uses"),
    level(Memory,   "available_bytes", "MemAvailable:", 1,  KIB,    "memory that programs could get without swapping"),
    level(Memory,   "cached_bytes",    "Cached:",       1,  KIB,    "page cache"),
    level(Memory,   "dirty_bytes",     "Dirty:",        1,  KIB,    "page cache that must be written yet"),
    level(Memory,   "writeback_bytes", "Writeback:",    1,  KIB,    "page cache that is being written"),
    count(Pressure, "some_ns",         "some",          4,  US,     "time in which some task waited"),
    count(Pressure, "full_ns",         "full",          4,  US,     "time in which all tasks that had work waited"),
    count(Cpu,      "user_ns",         "cpu",           1,  TICK,   "time in programs, all processors"),
    count(Cpu,      "system_ns",       "cpu",           3,  TICK,   "time in the kernel"),
    count(Cpu,      "idle_ns",         "cpu",           4,  TICK,   "time with nothing to do"),
    count(Cpu,      "iowait_ns",       "cpu",           5,  TICK,   "time with nothing to do but wait for a device"),
    count(Cpu,      "irq_ns",          "cpu",           6,  TICK,   "time in interrupts"),
    count(Cpu,      "softirq_ns",      "cpu",           7,  TICK,   "time in deferred interrupts"),
    count(Cpu,      "steal_ns",        "cpu",           8,  TICK,   "time that the host of a virtual machine took"),
    count(Cpu,      "switches",        "ctxt",          1,  1,      "context switches"),
    level(Cpu,      "running",         "procs_running", 1,  1,      "tasks that run or could"),
    level(Cpu,      "blocked",         "procs_blocked", 1,  1,      "tasks that wait for a device"),
    level(Load,     "load1_milli",     "",              0,  1000,   "load average of one minute, in thousandths"),
    count(Process,  "user_ns",         "",             11,  TICK,   "its time in programs; a process of the replay counts from its own start"),
    count(Process,  "system_ns",       "",             12,  TICK,   "its time in the kernel, likewise"),
    count(Process,  "minor_faults",    "",              7,  1,      "page faults without a device, likewise"),
    count(Process,  "major_faults",    "",              9,  1,      "page faults that read from a device, likewise"),
    level(Process,  "threads",         "",             17,  1,      "its threads"),
    level(Process,  "rss_bytes",       "",             21,  PAGE,   "its memory"),
];

/// The metrics of a kind, in the order of [`METRICS`].
pub fn of(kind: Kind) -> impl Iterator<Item = &'static Metric> {
    METRICS.iter().filter(move |metric| metric.kind == kind)
}

impl Metric {
    /// The metric's value in the text of its file; `None` when this kernel does not report it.
    #[expect(clippy::cast_possible_truncation, reason = "a reading with a fraction is rounded down")]
    pub fn read(&self, text: &str) -> Option<i64> {
        let mut lines = text.lines();
        let line = lines.find(|line| self.line.is_empty() || line.split(' ').next() == Some(self.line))?;
        // The name of a program may hold anything, also blanks and parentheses; fields are counted behind it.
        let line = if self.kind == Process { line.rsplit_once(')')?.1 } else { line };
        let field = line.split_ascii_whitespace().nth(self.field)?;
        let field = field.split_once('=').map_or(field, |(_, value)| value);
        match field.parse::<i64>() {
            Ok(number) => Some(number.saturating_mul(self.scale)),
            Err(_) => Some((field.parse::<f64>().ok()? * self.scale as f64) as i64),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(kind: Kind, name: &str, text: &str) -> Option<i64> {
        of(kind).find(|metric| metric.name == name).unwrap().read(text)
    }

    #[test]
    fn metrics_are_found_in_what_kernels_print() {
        let disk = "  3720543 118462 248874762 6186425 1132976 906470 524623328 2549852 3 409444 8923275 1090940 425 405028512 166527 136758 20469\n";
        assert_eq!(read(Device, "reads", disk), Some(3_720_543));
        assert_eq!(read(Device, "written_bytes", disk), Some(524_623_328 * 512));
        assert_eq!(read(Device, "queue", disk), Some(3));
        assert_eq!(read(Device, "flushes", disk), Some(136_758));
        assert_eq!(read(Device, "flushes", "1 2 3 4 5 6 7 8 9 10 11\n"), None, "a kernel before 5.5");
        let memory = "MemTotal:       24684092 kB\nDirty:               104 kB\nWriteback:             0 kB\nWritebackTmp:          9 kB\n";
        assert_eq!(read(Memory, "dirty_bytes", memory), Some(104 * 1024));
        assert_eq!(read(Memory, "writeback_bytes", memory), Some(0));
        let pressure =
            "some avg10=0.00 avg60=0.08 avg300=0.65 total=211966417\nfull avg10=0.00 avg60=0.05 avg300=0.48 total=76991551\n";
        assert_eq!(read(Pressure, "full_ns", pressure), Some(76_991_551_000));
        let stat = "cpu  10 2 3 4 5 6 7 8 0 0\ncpu0 1 1 1 1 1 1 1 1 0 0\nctxt 25721857\nprocs_running 4\n";
        assert_eq!(read(Cpu, "user_ns", stat), Some(100 * MS));
        assert_eq!(read(Cpu, "switches", stat), Some(25_721_857));
        assert_eq!(read(Load, "load1_milli", "1.81 1.33 1.04 5/101 30961\n"), Some(1810));
        let process = "42 (a ) b) S 1 42 42 0 -1 4194560 77 0 5 0 12 34 0 0 20 0 9 0 100 1000000 250 18446744073709551615\n";
        let facts = ["minor_faults", "major_faults", "user_ns", "system_ns", "threads", "rss_bytes"];
        let read: Vec<_> = facts.iter().map(|name| read(Process, name, process).unwrap()).collect();
        assert_eq!(read, [77, 5, 12 * TICK, 34 * TICK, 9, 250 * PAGE]);
    }

    #[test]
    fn every_kind_has_metrics_of_different_names() {
        for kind in Kind::ALL {
            let names: Vec<_> = of(*kind).map(|metric| metric.name).collect();
            assert!(!names.is_empty());
            assert!((1..names.len()).all(|at| !names[..at].contains(&names[at])), "{names:?}");
        }
    }
}
