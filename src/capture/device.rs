//! What block devices did for tasks: counted by a program at the issue of each request, read here.
//!
//! A capture counts for its tasks, and a replay (by root) for its processes with the same program.

use super::kernel::asm::Map;
use super::kernel::bpf::{Attach, Maps, Program, word};
use super::kernel::btf::Btf;
use super::kernel::counter::Counter;
use super::kernel::layout::Layout;
use super::probe::cached;
use super::probe::device::{self, KERNEL, TASKS, Whose};
use super::probe::optional::Optional;
use crate::os::device::{Device, Requests, name};
use anyhow::Result;
use std::collections::BTreeMap;

/// Loads the program and attaches it.
///
/// # Errors
/// When the kernel does not show requests, or refuses the program.
pub(super) fn attach(btf: &Btf, layout: &Layout, maps: &Maps, whose: Whose) -> Result<Program> {
    let Optional { name, code, hook } = device::program(btf, layout, whose)?;
    let mut program = Program::load(name, &code, maps, Attach::Tracepoint, hook)?;
    program.attach()?;
    Ok(program)
}

/// What was counted so far, by the names of devices.
///
/// # Errors
/// When the kernel refuses.
pub(super) fn counted(maps: &Maps) -> Result<Vec<Device>> {
    let mut devices: BTreeMap<String, Device> = BTreeMap::new();
    for (who, words) in maps.devices()? {
        let at = |word: usize| words[word];
        let requests = Requests {
            reads: at(word::READS),
            read_bytes: at(word::READ_BYTES),
            meta_reads: at(word::META_READS),
            writes: at(word::WRITES),
            written_bytes: at(word::WRITTEN_BYTES),
            flushes: at(word::FLUSHES),
            others: at(word::OTHERS),
            seeks: at(word::SEEKS),
        };
        let number = words[word::DEVICE];
        let name = name((number >> 32) as u32, number as u32);
        let device = devices.entry(name.clone()).or_insert_with(|| Device { name, ..Device::default() });
        match who {
            TASKS => device.tasks.add(requests),
            KERNEL => device.kernel.add(requests),
            _ => {}
        }
    }
    Ok(devices.into_values().collect())
}

/// Counts the requests of some processes and their children, and of the kernel meanwhile, and what they bring into the page cache.
pub struct BlockWatch {
    maps: Maps,
    _program: Program,
    /// Counts what they add to the page cache; `None` where the kernel does not show it.
    cached: Option<Program>,
}

impl BlockWatch {
    /// Begins to count.
    ///
    /// # Errors
    /// Without CAP_BPF and CAP_PERFMON, or when the kernel does not show requests.
    pub fn begin() -> Result<BlockWatch> {
        let btf = Btf::kernel()?;
        let layout = Layout::find(&btf)?;
        let maps = Maps::some(&[Map::Pids, Map::Ends, Map::Devices, Map::Counters])?;
        let _program = attach(&btf, &layout, &maps, Whose::Listed)?;
        let cached = || -> Result<Program> {
            let Optional { name, code, hook } = cached::program(&btf, &layout)?;
            let mut program = Program::load(name, &code, &maps, Attach::Tracepoint, hook)?;
            program.attach()?;
            Ok(program)
        };
        let cached = cached().inspect_err(|error| log::debug!("what comes into the page cache is not counted: {error:#}")).ok();
        Ok(BlockWatch { maps, _program, cached })
    }

    /// Counts for this process, too, and for its children.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add(&self, pid: u32) -> Result<()> {
        self.maps.add_pid(pid)
    }

    /// Number of pages of files that they added to the page cache so far; `None` where nobody counts them.
    pub fn cached(&self) -> Option<u64> {
        self.cached.as_ref().and_then(|_| self.maps.counters().ok()).map(|sums| Counter::CachePages.of(&sums))
    }

    /// What was counted so far.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn counted(&self) -> Result<Vec<Device>> {
        counted(&self.maps)
    }
}
