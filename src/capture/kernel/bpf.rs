//! The bpf(2) system call without a library: maps, programs, links and iterators. The unsafe code for that is here, and in
//! [`super::ring`], which reads the memory that programs write.

use super::asm::{Code, Map};
use super::counter::{COUNTERS, Counter};
use super::percpu::{Buffers, last_processor};
use super::thread_slot::{MARK, SLOT, SLOTS, stamp};
use super::{record, row};
use anyhow::{Context, Result, anyhow, ensure};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};

/// Commands of bpf(2): `enum bpf_cmd` of linux/bpf.h.
mod cmd {
    pub const MAP_CREATE: i32 = 0;
    pub const MAP_LOOKUP: i32 = 1;
    pub const MAP_UPDATE: i32 = 2;
    pub const MAP_NEXT_KEY: i32 = 4;
    pub const PROG_LOAD: i32 = 5;
    pub const OBJ_GET_INFO: i32 = 15;
    pub const RAW_TRACEPOINT_OPEN: i32 = 17;
    pub const BTF_LOAD: i32 = 18;
    pub const LINK_CREATE: i32 = 28;
    pub const ITER_CREATE: i32 = 33;
}

/// Types of maps: `enum bpf_map_type` of linux/bpf.h.
mod kind {
    pub const HASH: u32 = 1;
    pub const ARRAY: u32 = 2;
    pub const PERCPU_HASH: u32 = 5;
    pub const PERCPU_ARRAY: u32 = 6;
    pub const RINGBUF: u32 = 27;
    pub const TASK_STORAGE: u32 = 29;
}

/// Most contexts of io_setup(2) whose rings are looked at.
const CONTEXTS: u32 = 16 * 1024;
/// Most block devices of which is counted what they did.
const DEVICES: u32 = 256;

/// Words of an element of map `devices`: what was counted of one device for one who gives requests.
pub mod word {
    pub const READS: usize = 0;
    pub const READ_BYTES: usize = 1;
    pub const WRITES: usize = 2;
    pub const WRITTEN_BYTES: usize = 3;
    pub const FLUSHES: usize = 4;
    pub const OTHERS: usize = 5;
    pub const SEEKS: usize = 6;
    pub const META_READS: usize = 7;
    /// Major number of the device, times 2^32, and its minor number. Those before it are sums.
    pub const DEVICE: usize = 8;
    /// Number of words.
    pub const COUNT: usize = 9;
}

/// Flag BPF_F_NO_PREALLOC of a map, without which the kernel refuses task storage.
const NO_PREALLOC: u32 = 1;
/// BPF_F_MMAPABLE: an array whose memory can be mapped into this process.
const MMAPABLE: u32 = 1 << 10;
/// BPF_PROG_TYPE_TRACING: the type of all programs here.
const TRACING: u32 = 26;

/// What a program is attached to; the values are those of `enum bpf_attach_type`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attach {
    /// A tracepoint with BTF-typed arguments (BPF_TRACE_RAW_TP).
    Tracepoint = 23,
    /// An iterator, which runs the program for each task or descriptor (BPF_TRACE_ITER).
    Iterator = 28,
}

/// `union bpf_attr`, the argument of bpf(2): zeroes, and fields put in at their byte offsets.
struct Attr([u64; 18]);

impl Attr {
    fn new() -> Attr {
        Attr([0; 18])
    }

    fn u32(mut self, at: usize, value: u32) -> Attr {
        let shift = if at.is_multiple_of(8) == cfg!(target_endian = "little") { 0 } else { 32 };
        self.0[at / 8] |= u64::from(value) << shift;
        self
    }

    fn u64(mut self, at: usize, value: u64) -> Attr {
        self.0[at / 8] = value;
        self
    }

    fn slice<T>(self, at: usize, slice: &[T]) -> Attr {
        self.u64(at, slice.as_ptr() as u64)
    }

    fn slice_mut<T>(self, at: usize, slice: &mut [T]) -> Attr {
        self.u64(at, slice.as_mut_ptr() as u64)
    }

    fn name(mut self, at: usize, name: &str) -> Attr {
        for (i, byte) in name.bytes().take(15).enumerate() {
            let at = at + i;
            let shift = if cfg!(target_endian = "little") { at % 8 } else { 7 - at % 8 } * 8;
            self.0[at / 8] |= u64::from(byte) << shift;
        }
        self
    }

    /// Calls bpf(2) with this command. Every slice that the attributes point to must outlive the call and be as long as they say.
    fn issue(mut self, cmd: i32) -> io::Result<i32> {
        // SAFETY: the kernel reads 144 bytes of attributes, which are there; what they point to is borrowed by the callers
        // in this file for the length of the call.
        let done = unsafe { libc::syscall(libc::SYS_bpf, cmd, self.0.as_mut_ptr(), size_of_val(&self.0)) };
        if done < 0 { Err(io::Error::last_os_error()) } else { Ok(done as i32) }
    }

    fn issue_fd(self, cmd: i32) -> io::Result<OwnedFd> {
        let fd = self.issue(cmd)?;
        // SAFETY: commands that make an object return a descriptor that nobody else owns.
        Ok(unsafe { OwnedFd::from_raw_fd(fd) })
    }
}

/// The BPF maps of a capture, created and owned by this process.
pub struct Maps {
    fds: Vec<(Map, OwnedFd)>,
    processors: usize,
}

impl Maps {
    /// Creates all maps and fills map `calls` with `rows`; `ring`: size of the ring in bytes, a power of two and a multiple of
    /// the page size.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn create(ring: u32, buffers: Buffers, rows: &[row::Row]) -> Result<Maps> {
        let maps = Maps::make(Map::ALL, ring, buffers)?;
        let rows: Vec<u8> = rows.iter().flat_map(|row| row.bytes()).collect();
        ensure!(rows.len() == row::ROW * row::ROWS, "internal error: {} bytes of rows", rows.len());
        maps.update(Map::Calls, &0u32.to_ne_bytes(), &rows)?;
        Ok(maps)
    }

    /// Creates these maps alone, none of which is the ring or the buffers.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn some(maps: &[Map]) -> Result<Maps> {
        Maps::make(maps, 0, Buffers::new(0))
    }

    fn make(list: &[Map], ring: u32, buffers: Buffers) -> Result<Maps> {
        // A per-CPU map has an element for each possible processor, not only for those online.
        let mut maps = Maps { fds: Vec::new(), processors: last_processor("possible") as usize + 1 };
        for map in list {
            let attr = |kind: u32, key: u32, value: u32, most: u32| {
                Attr::new().u32(0, kind).u32(4, key).u32(8, value).u32(12, most).name(28, map.name())
            };
            let whole = |size: usize| size as u32;
            let attr = match map {
                Map::Ring => attr(kind::RINGBUF, 0, 0, ring),
                Map::Buffers => attr(kind::ARRAY, 4, whole(buffers.size()), 1).u32(16, MMAPABLE),
                Map::ThreadSlots => attr(kind::ARRAY, 4, whole(SLOT * SLOTS), 1).u32(16, MMAPABLE),
                Map::Calls => attr(kind::ARRAY, 4, whole(row::ROW * row::ROWS), 1),
                Map::Counters => attr(kind::PERCPU_ARRAY, 4, whole(8 * COUNTERS), 1),
                Map::Scratch => attr(kind::PERCPU_ARRAY, 4, record::LONGEST as u32, 1),
                Map::Pids => attr(kind::HASH, 4, 1, 64 * 1024),
                Map::Settled => attr(kind::ARRAY, 4, 8, 1),
                Map::Timing => attr(kind::PERCPU_ARRAY, 4, 16, 1),
                Map::Reaped => attr(kind::HASH, 16, 8, CONTEXTS),
                Map::Ends => attr(kind::HASH, 8, 8, DEVICES),
                Map::Devices => attr(kind::PERCPU_HASH, 16, whole(8 * word::COUNT), 2 * DEVICES),
                Map::Tasks | Map::Told => {
                    let types = mark_types()?;
                    let fd = attr(kind::TASK_STORAGE, 4, MARK, 0)
                        .u32(16, NO_PREALLOC)
                        .u32(48, types.as_raw_fd() as u32)
                        .u32(52, 1)
                        .u32(56, 3)
                        .issue_fd(cmd::MAP_CREATE)
                        .context("cannot mark tasks (task storage: Linux 5.12)")?;
                    maps.fds.push((*map, fd));
                    continue;
                }
            };
            let fd = attr.issue_fd(cmd::MAP_CREATE).with_context(|| format!("cannot make map {}", map.name()))?;
            maps.fds.push((*map, fd));
        }
        Ok(maps)
    }

    /// The descriptor of a map; -1 when it was not created.
    pub fn fd(&self, map: Map) -> RawFd {
        self.fds.iter().find(|(known, _)| *known == map).map_or(-1, |(_, fd)| fd.as_raw_fd())
    }

    /// Sets an element of a map; both slices must be as long as the map's keys and values.
    fn update(&self, map: Map, key: &[u8], value: &[u8]) -> Result<()> {
        let attr = Attr::new().u32(0, self.fd(map) as u32).slice(8, key).slice(16, value);
        attr.issue(cmd::MAP_UPDATE).with_context(|| format!("cannot write map {}", map.name()))?;
        Ok(())
    }

    /// Adds a process id to map `pids`, which puts the process into the scope.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn add_pid(&self, pid: u32) -> Result<()> {
        self.update(Map::Pids, &pid.to_ne_bytes(), &[1])
    }

    /// Sets map `settled`: every task that was in the scope at the start has a mark now, so a task without one is not captured.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn settle(&self) -> Result<()> {
        self.update(Map::Settled, &0u32.to_ne_bytes(), &1u64.to_ne_bytes())
    }

    /// The values of map `counters`, summed over the processors.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn counters(&self) -> Result<[u64; COUNTERS]> {
        let key = 0u32.to_ne_bytes();
        let mut values = vec![0u64; COUNTERS * self.processors];
        let attr = Attr::new().u32(0, self.fd(Map::Counters) as u32).slice(8, &key).slice_mut(16, &mut values);
        attr.issue(cmd::MAP_LOOKUP).context("cannot read the counters")?;
        let mut sums = [0; COUNTERS];
        for of_one in values.chunks_exact(COUNTERS) {
            sums.iter_mut().zip(of_one).for_each(|(sum, value)| *sum += value);
        }
        Ok(sums)
    }

    /// The elements of map `devices`, summed over the processors: who asked, and the words ([`word`]).
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn devices(&self) -> Result<Vec<(u64, [u64; word::COUNT])>> {
        let map = self.fd(Map::Devices) as u32;
        let (mut key, mut found) = (None::<[u64; 2]>, Vec::new());
        while found.len() < 2 * DEVICES as usize {
            let mut next = [0u64; 2];
            // Without a key the kernel gives the first one.
            let attr = key.iter().fold(Attr::new().u32(0, map), |attr, key| attr.slice(8, key));
            match attr.slice_mut(16, &mut next).issue(cmd::MAP_NEXT_KEY) {
                Ok(_) => {}
                Err(error) if error.raw_os_error() == Some(libc::ENOENT) => break,
                Err(error) => return Err(error).context("cannot read what devices did"),
            }
            let mut values = vec![0u64; word::COUNT * self.processors];
            Attr::new()
                .u32(0, map)
                .slice(8, &next)
                .slice_mut(16, &mut values)
                .issue(cmd::MAP_LOOKUP)
                .context("cannot read what devices did")?;
            let mut words = [0; word::COUNT];
            for of_one in values.chunks_exact(word::COUNT) {
                words[..word::DEVICE].iter_mut().zip(of_one).for_each(|(sum, value)| *sum += value);
                words[word::DEVICE] = words[word::DEVICE].max(of_one[word::DEVICE]);
            }
            found.push((next[1], words));
            key = Some(next);
        }
        Ok(found)
    }

    /// As [`Maps::counters`], with the calls that were counted in the thread slots; slower, since all 16,384 slots are read.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn totals(&self) -> Result<[u64; COUNTERS]> {
        let mut sums = self.counters()?;
        let key = 0u32.to_ne_bytes();
        let mut slots = vec![0u64; SLOT * SLOTS / 8];
        let attr = Attr::new().u32(0, self.fd(Map::ThreadSlots) as u32).slice(8, &key).slice_mut(16, &mut slots);
        attr.issue(cmd::MAP_LOOKUP).context("cannot read the slots")?;
        let entered = slots.chunks_exact(SLOT / 8).map(|slot| slot[stamp::ENTERED as usize / 8]);
        sums[Counter::Entered as usize] += entered.sum::<u64>();
        Ok(sums)
    }
}

/// String section of the BTF that is loaded: names of its types.
const NAMES: &[u8] = b"\0u32\0u64\0mark\0a\0b\0run\0";

/// Offset of a name in [`NAMES`].
fn place(name: &str) -> u32 {
    memchr::memmem::find(NAMES, format!("{name}\0").as_bytes()).unwrap_or_default() as u32
}

/// Loads BTF for the maps of marks: the kernel wants to know the types of key (id 1: u32) and value (id 3: a struct) of task
/// storage.
fn mark_types() -> Result<OwnedFd> {
    describe(&[
        [place("u32"), 1 << 24, 4, 32].as_slice(),
        &[place("u64"), 1 << 24, 8, 64],
        &[place("mark"), 4 << 24 | 2, MARK, place("a"), 2, 0, place("b"), 2, 8 * (MARK - 8)],
    ])
}

/// Loads BTF for programs with functions that helpers call: every function (id 3) has a prototype (id 2) without parameters
/// that returns a number (id 1).
fn function_types() -> Result<OwnedFd> {
    describe(&[&[place("u64"), 1 << 24, 8, 64], &[0, 13 << 24, 1], &[place("run"), 12 << 24, 2]])
}

/// Loads types as BTF into the kernel (Documentation/bpf/btf.rst) and returns the descriptor.
fn describe(types: &[&[u32]]) -> Result<OwnedFd> {
    let types = types.concat();
    let length = 4 * types.len() as u32;
    let mut bytes = 0xeb9f_u16.to_ne_bytes().to_vec();
    bytes.extend([1, 0]);
    for word in [24, 0, length, length, NAMES.len() as u32].iter().chain(&types) {
        bytes.extend(word.to_ne_bytes());
    }
    bytes.extend(NAMES);
    let attr = Attr::new().slice(0, &bytes).u32(16, bytes.len() as u32);
    attr.issue_fd(cmd::BTF_LOAD).context("cannot describe types to the kernel")
}

/// An eBPF program that is loaded into the kernel.
pub struct Program {
    fd: OwnedFd,
    /// The link by which it is attached; `None` while it is not.
    link: Option<OwnedFd>,
    attach: Attach,
    name: &'static str,
}

impl Program {
    /// Loads a program, which the kernel verifies; `hook` is the BTF id of the tracepoint or iterator it will be attached to.
    ///
    /// # Errors
    /// When the kernel refuses it; the message has the last lines of the verifier's log.
    pub fn load(name: &'static str, code: &Code, maps: &Maps, attach: Attach, hook: u32) -> Result<Program> {
        let insns = code.link(|map| maps.fd(map));
        let license = b"Dual MIT/GPL\0";
        // Index of the first instruction of each function, and the id of its type.
        let functions: Vec<[u32; 2]> = code.functions().iter().map(|at| [*at, 3]).collect();
        let types = if functions.len() > 1 { Some(function_types()?) } else { None };
        let described = |attr: Attr| match &types {
            Some(types) => attr
                .u32(72, types.as_raw_fd() as u32)
                .u32(76, size_of::<[u32; 2]>() as u32)
                .slice(80, &functions)
                .u32(88, functions.len() as u32),
            None => attr,
        };
        let attr = || {
            described(Attr::new())
                .u32(0, TRACING)
                .u32(4, insns.len() as u32)
                .slice(8, &insns)
                .slice(16, license)
                .name(48, name)
                .u32(68, attach as u32)
                .u32(108, hook)
        };
        let fd = attr().issue_fd(cmd::PROG_LOAD).or_else(|error| {
            let mut log = vec![0u8; 4 << 20];
            let again = attr().u32(24, 1).u32(28, log.len() as u32).slice_mut(32, &mut log).issue_fd(cmd::PROG_LOAD);
            again.map_err(|_| {
                let end = log.iter().position(|byte| *byte == 0).unwrap_or(log.len());
                let text = String::from_utf8_lossy(&log[..end]).into_owned();
                let lines: Vec<&str> = text.lines().collect();
                let tail = lines[lines.len().saturating_sub(24)..].join("\n");
                anyhow!(error).context(format!("the kernel refuses program {name}\n{tail}"))
            })
        })?;
        Ok(Program { fd, link: None, attach, name })
    }

    /// Attaches the program to its tracepoint, so that it runs from now on.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn attach(&mut self) -> Result<()> {
        let attr = Attr::new().u32(8, self.fd.as_raw_fd() as u32);
        let link = attr.issue_fd(cmd::RAW_TRACEPOINT_OPEN).with_context(|| format!("cannot attach program {}", self.name))?;
        self.link = Some(link);
        Ok(())
    }

    /// Detaches the program from its tracepoint; it does not begin to run any more.
    pub fn detach(&mut self) {
        self.link = None;
    }

    /// Runs the program of an iterator over all elements; returns the bytes that it wrote.
    ///
    /// # Errors
    /// When the kernel refuses.
    pub fn walk(&self) -> Result<Vec<u8>> {
        ensure!(self.attach == Attach::Iterator, "internal error: program {} is no iterator", self.name);
        let failed = || format!("cannot run program {}", self.name);
        let link = Attr::new().u32(0, self.fd.as_raw_fd() as u32).u32(8, Attach::Iterator as u32);
        let link = link.issue_fd(cmd::LINK_CREATE).with_context(failed)?;
        let walk = Attr::new().u32(0, link.as_raw_fd() as u32).issue_fd(cmd::ITER_CREATE).with_context(failed)?;
        let mut told = Vec::new();
        File::from(walk).read_to_end(&mut told).with_context(failed)?;
        Ok(told)
    }

    /// How often the kernel skipped the program because it was running on that processor already (`recursion_misses` of
    /// `struct bpf_prog_info`); 0 when the kernel does not tell.
    pub fn misses(&self) -> u64 {
        const MISSES: usize = 208;
        let mut info = vec![0u8; 256];
        let attr = Attr::new().u32(0, self.fd.as_raw_fd() as u32).u32(4, info.len() as u32).slice_mut(8, &mut info);
        match attr.issue(cmd::OBJ_GET_INFO) {
            Ok(_) => info[MISSES..].first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes)),
            Err(_) => 0,
        }
    }
}
