//! What is there already when a capture begins: tasks in its scope, their open files, working directories and mounts.
//!
//! Two iterators of the kernel walk over all tasks and all their descriptors; that is some twenty times faster than /proc
//! and shows what /proc does not: which descriptors share one open file description. The programs that follow calls are
//! attached before, so a descriptor is in the one or the other, or in both; then the events say it better.

use super::asm::Alu::And;
use super::asm::Helper;
use super::asm::If::{Eq, Gt, SignedGt};
use super::asm::Reg::{R0, R1, R2, R3, R4, R6, R7, R8, R9, R10};
use super::asm::Size::{DW, H, W};
use super::asm::{Alu, Asm, Code, Map};
use super::layout::Layout;
use super::parts::read_kernel;
use super::program::{Counter, count, find_mark};
use super::scope::{Match, matches};
use super::sieve::Paths;
use super::tracee::same_file;
use crate::mounts;
use crate::schema::{Manifest, Table};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// What the iterators' programs are given (include/linux/bpf.h, `struct bpf_iter__task` and `bpf_iter__task_file`).
mod given {
    pub const META: i16 = 0;
    pub const TASK: i16 = 8;
    pub const FD: i16 = 16;
    pub const FILE: i16 = 24;
}

/// A task, as the iterator tells it.
mod task_at {
    pub const PID: usize = 0;
    pub const TID: usize = 4;
    pub const PARENT: usize = 8;
    pub const UID: usize = 12;
    pub const GID: usize = 16;
    pub const COMM: usize = 24;
    pub const SIZE: usize = 40;
}

/// An open file, as the iterator tells it; its path follows.
mod file_at {
    pub const PID: usize = 0;
    pub const FD: usize = 8;
    pub const FLAGS: usize = 12;
    pub const POS: usize = 16;
    pub const INO: usize = 24;
    pub const SIZE: usize = 32;
    pub const DEV: usize = 40;
    pub const MODE: usize = 44;
    pub const PATH: usize = 48;
    pub const CLOEXEC: usize = 52;
    pub const FILE: usize = 56;
    pub const FIXED: usize = 64;
}

const PATH_MAX: i32 = 4096;

/// Marks the tasks of the scope, and tells them.
pub(super) fn mark(k: &Layout, scope: &Match) -> Code {
    const FRAME: i16 = -192;
    let mut a = Asm::default();
    let (out, tell, made) = (a.label(), a.label(), a.label());
    a.mov(R6, R1);
    a.load(DW, R7, R6, given::TASK);
    a.jump(Eq, R7, 0, out);
    matches(&mut a, k, scope, R7, out);
    find_mark(&mut a, R7, false);
    a.jump(Gt, R0, 0, tell);
    find_mark(&mut a, R7, true);
    a.jump(Gt, R0, 0, made);
    count(&mut a, Counter::NoMark);
    a.goto(out);
    a.here(made);
    count(&mut a, Counter::Marked);
    a.here(tell);
    let to = |at: usize| FRAME + at as i16;
    a.load(W, R1, R7, k.at.tgid);
    a.store(W, R10, to(task_at::PID), R1);
    a.load(W, R1, R7, k.at.pid);
    a.store(W, R10, to(task_at::TID), R1);
    a.load(DW, R1, R7, k.at.parent);
    a.load(W, R1, R1, k.at.tgid);
    a.store(W, R10, to(task_at::PARENT), R1);
    a.load(DW, R2, R7, k.at.cred);
    a.load(W, R1, R2, k.at.uid);
    a.store(W, R10, to(task_at::UID), R1);
    a.load(W, R1, R2, k.at.gid);
    a.store(DW, R10, to(task_at::GID), R1);
    a.mov(R3, R7);
    a.add(R3, i32::from(k.at.comm));
    a.store(DW, R10, to(task_at::COMM), 0);
    a.store(DW, R10, to(task_at::COMM + 8), 0);
    read_kernel(&mut a, to(task_at::COMM), 16);
    a.load(DW, R1, R6, given::META);
    a.load(DW, R1, R1, 0);
    a.mov(R2, R10);
    a.add(R2, i32::from(FRAME));
    a.mov(R3, task_at::SIZE as i32);
    a.call(Helper::SeqWrite);
    a.here(out);
    a.exit();
    a.finish()
}

/// Tells the open files of marked tasks.
pub(super) fn files(k: &Layout) -> Code {
    const KEY: i16 = -8;
    const WORD: i16 = -16;
    let mut a = Asm::default();
    let (out, named, no_table) = (a.label(), a.label(), a.label());
    a.mov(R6, R1);
    a.load(DW, R7, R6, given::FILE);
    a.jump(Eq, R7, 0, out);
    a.load(DW, R8, R6, given::TASK);
    a.jump(Eq, R8, 0, out);
    find_mark(&mut a, R8, false);
    a.jump(Eq, R0, 0, out);
    a.store(W, R10, KEY, 0);
    a.mov(R2, R10);
    a.add(R2, i32::from(KEY));
    a.map(R1, Map::Scratch);
    a.call(Helper::MapLookup);
    a.jump(Eq, R0, 0, out);
    a.mov(R9, R0);
    let to = |at: usize| at as i16;
    a.load(W, R1, R8, k.at.tgid);
    a.store(W, R9, to(file_at::PID), R1);
    a.load(W, R1, R6, given::FD);
    a.store(W, R9, to(file_at::FD), R1);
    a.load(W, R1, R7, k.at.flags);
    a.store(W, R9, to(file_at::FLAGS), R1);
    a.load(DW, R1, R7, k.at.pos);
    a.store(DW, R9, to(file_at::POS), R1);
    a.load(DW, R2, R7, k.at.inode);
    a.load(DW, R1, R2, k.at.ino);
    a.store(DW, R9, to(file_at::INO), R1);
    a.load(DW, R1, R2, k.at.size);
    a.store(DW, R9, to(file_at::SIZE), R1);
    a.load(H, R1, R2, k.at.mode);
    a.store(W, R9, to(file_at::MODE), R1);
    a.load(DW, R1, R2, k.at.super_block);
    a.load(W, R1, R1, k.at.dev);
    a.store(W, R9, to(file_at::DEV), R1);
    a.store(DW, R9, to(file_at::FILE), R7);
    // Close-on-exec is a bit of the table, not of the file.
    a.store(W, R9, to(file_at::CLOEXEC), 0);
    a.load(DW, R1, R8, k.at.files);
    a.jump(Eq, R1, 0, no_table);
    a.load(DW, R1, R1, k.at.table);
    a.load(DW, R3, R1, k.at.cloexec);
    a.load(W, R2, R6, given::FD);
    a.alu(Alu::Rsh, R2, 6);
    a.alu(Alu::Lsh, R2, 3);
    a.add(R3, R2);
    a.store(DW, R10, WORD, 0);
    read_kernel(&mut a, WORD, 8);
    a.load(DW, R1, R10, WORD);
    a.load(W, R2, R6, given::FD);
    a.alu(And, R2, 63);
    a.alu(Alu::Rsh, R1, R2);
    a.alu(And, R1, 1);
    a.store(W, R9, to(file_at::CLOEXEC), R1);
    a.here(no_table);
    a.mov(R1, R7);
    a.add(R1, i32::from(k.at.path));
    a.mov(R2, R9);
    a.add(R2, file_at::FIXED as i32);
    a.mov(R3, PATH_MAX);
    a.call(Helper::DPath);
    a.jump(SignedGt, R0, 0, named);
    a.mov(R0, 0);
    a.here(named);
    a.alu(And, R0, PATH_MAX - 1);
    a.store(W, R9, to(file_at::PATH), R0);
    a.mov(R3, R0);
    a.add(R3, file_at::FIXED as i32);
    a.load(DW, R1, R6, given::META);
    a.load(DW, R1, R1, 0);
    a.mov(R2, R9);
    a.mov(R4, 0);
    a.call(Helper::SeqWrite);
    a.here(out);
    a.exit();
    a.finish()
}

/// A process that was there.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Its id.
    pub pid: i64,
    /// Its parent's.
    pub parent: i64,
    /// Its user and group.
    pub uid: i64,
    /// Its group.
    pub gid: i64,
    /// Its name.
    pub comm: Vec<u8>,
    /// Its working directory; absent when that could not be seen.
    pub cwd: Option<Vec<u8>>,
    /// Its root directory.
    pub root: Option<Vec<u8>>,
    /// Its mount namespace, as a small number: the first one seen is 0.
    pub mounts: Option<i64>,
}

/// A descriptor that was open.
#[derive(Clone, Debug)]
pub struct OpenFile {
    /// Its process.
    pub pid: i64,
    /// Its number.
    pub fd: i64,
    /// Which open file description: equal numbers are shared ones.
    pub ofd: i64,
    /// What it is open on.
    pub path: Vec<u8>,
    /// Flags of the description.
    pub flags: i64,
    /// Is it closed by exec?
    pub cloexec: bool,
    /// Position.
    pub pos: i64,
    /// Device number of its file.
    pub dev: i64,
    /// Inode number.
    pub ino: i64,
    /// Size, bytes.
    pub size: i64,
    /// Kind and permission bits.
    pub mode: i64,
}

/// A mount of a namespace.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Number of the namespace, as in [`Process::mounts`].
    pub space: i64,
    /// Where.
    pub path: Vec<u8>,
    /// Device number.
    pub dev: i64,
    /// Directory of the file system that is shown there.
    pub root: Vec<u8>,
    /// Kind of file system.
    pub kind: Vec<u8>,
    /// What is mounted.
    pub source: Vec<u8>,
    /// Options.
    pub options: Vec<u8>,
}

/// What was there when the capture began.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Processes in the scope.
    pub processes: Vec<Process>,
    /// Their threads.
    pub threads: u64,
    /// Their descriptors.
    pub files: Vec<OpenFile>,
    /// The mounts they see.
    pub mounts: Vec<Mount>,
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A device number of the kernel as stat(2) shows it.
pub fn device(kernel: u32) -> i64 {
    device_of(kernel >> 20, kernel & 0xf_ffff)
}

/// A device number of its two parts, as stat(2) shows it.
pub fn device_of(major: u32, minor: u32) -> i64 {
    libc::makedev(major, minor) as i64
}

impl Snapshot {
    /// Puts together what the iterators told, and what /proc says of the processes.
    pub fn new(tasks: &[u8], files: &[u8]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut processes: BTreeMap<i64, Process> = BTreeMap::new();
        for task in tasks.chunks_exact(task_at::SIZE) {
            snapshot.threads += 1;
            let pid = i64::from(u32_at(task, task_at::PID));
            // The leader comes first; what it is called is what the process is called.
            processes.entry(pid).or_insert_with(|| Process {
                pid,
                parent: i64::from(u32_at(task, task_at::PARENT)),
                uid: i64::from(u32_at(task, task_at::UID)),
                gid: i64::from(u32_at(task, task_at::GID)),
                comm: task[task_at::COMM..].split(|byte| *byte == 0).next().unwrap_or_default().to_vec(),
                ..Process::default()
            });
        }
        snapshot.add_files(files);
        snapshot.processes = processes.into_values().collect();
        snapshot.look_around();
        snapshot
    }

    /// The same out of /proc alone, where programs cannot be loaded.
    pub fn of_proc(pids: &[u32]) -> Snapshot {
        let mut snapshot = Snapshot::default();
        for pid in pids {
            let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
            let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)?.split_ascii_whitespace().next());
            let number = |name: &str| field(name).and_then(|word| word.parse().ok()).unwrap_or(0);
            snapshot.processes.push(Process {
                pid: i64::from(*pid),
                parent: number("PPid:"),
                uid: number("Uid:"),
                gid: number("Gid:"),
                comm: std::fs::read(format!("/proc/{pid}/comm")).unwrap_or_default().trim_ascii_end().to_vec(),
                ..Process::default()
            });
            let fds = std::fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
            let mut fds: Vec<i64> = fds.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
            fds.sort_unstable();
            for fd in fds {
                let Some(mut file) = open_file(*pid, fd) else { continue };
                let like = |other: &&OpenFile| (other.dev, other.ino, other.pos) == (file.dev, file.ino, file.pos);
                let shared = snapshot.files.iter().filter(like).find(|other| same_file((other.pid as u32, other.fd), (*pid, fd)));
                file.ofd = shared.map_or(snapshot.files.len() as i64, |other| other.ofd);
                snapshot.files.push(file);
            }
        }
        snapshot.look_around();
        snapshot
    }

    /// Leaves out files that are not wanted.
    pub fn keep_files(&mut self, paths: &Paths) {
        self.files.retain(|file| paths.all() || paths.keep(file.path.strip_suffix(b" (deleted)").unwrap_or(&file.path)));
    }

    /// Adds processes that came later, and were not there.
    pub fn add_processes(&mut self, later: impl Iterator<Item = Process>) {
        let known: BTreeSet<i64> = self.processes.iter().map(|process| process.pid).collect();
        self.processes.extend(later.filter(|process| !known.contains(&process.pid)));
    }

    fn add_files(&mut self, mut bytes: &[u8]) {
        let mut ofds = HashMap::new();
        let mut seen = BTreeSet::new();
        while bytes.len() >= file_at::FIXED {
            let length = u32_at(bytes, file_at::PATH) as usize;
            let path = bytes.get(file_at::FIXED..file_at::FIXED + length).unwrap_or_default();
            let next = ofds.len() as i64;
            let (pid, fd) = (i64::from(u32_at(bytes, file_at::PID)), i64::from(u32_at(bytes, file_at::FD)));
            // Addresses of the kernel are no business of a capture: only which of them are equal.
            let ofd = *ofds.entry(u64_at(bytes, file_at::FILE)).or_insert(next);
            if seen.insert((pid, fd)) {
                self.files.push(OpenFile {
                    pid,
                    fd,
                    ofd,
                    path: path.strip_suffix(b"\0").unwrap_or(path).to_vec(),
                    flags: i64::from(u32_at(bytes, file_at::FLAGS)),
                    cloexec: u32_at(bytes, file_at::CLOEXEC) != 0,
                    pos: u64_at(bytes, file_at::POS) as i64,
                    dev: device(u32_at(bytes, file_at::DEV)),
                    ino: u64_at(bytes, file_at::INO) as i64,
                    size: u64_at(bytes, file_at::SIZE) as i64,
                    mode: i64::from(u32_at(bytes, file_at::MODE)),
                });
            }
            bytes = bytes.get(file_at::FIXED + length..).unwrap_or_default();
        }
    }

    /// Working directory, root and mounts of each process. One that ends meanwhile, or may not be looked at, keeps none.
    fn look_around(&mut self) {
        let mut spaces: Vec<PathBuf> = Vec::new();
        for process in &mut self.processes {
            let proc = PathBuf::from(format!("/proc/{}", process.pid));
            let link = |name: &str| std::fs::read_link(proc.join(name)).ok();
            process.cwd = link("cwd").map(|path| path.as_os_str().as_bytes().to_vec());
            process.root = link("root").map(|path| path.as_os_str().as_bytes().to_vec());
            let Some(space) = link("ns/mnt") else { continue };
            let known = spaces.iter().position(|seen| *seen == space);
            process.mounts = Some(known.unwrap_or(spaces.len()) as i64);
            if known.is_none() {
                let text = std::fs::read(proc.join("mountinfo")).unwrap_or_default();
                self.mounts.extend(text.split(|byte| *byte == b'\n').filter_map(|line| mount(spaces.len() as i64, line)));
                spaces.push(space);
            }
        }
    }

    /// For the manifest.
    pub fn describe(&self, manifest: &mut Manifest) {
        manifest.insert(Table::Processes.name().into(), json!(self.processes.len()));
        manifest.insert(Table::OpenFiles.name().into(), json!(self.files.len()));
        // What generate and replay go by: the mounts of one namespace, that of the first process.
        let seen = self.mounts.iter().filter(|mount| mount.space == 0).map(|mount| mounts::Mount {
            path: mount.path.clone(),
            fs: String::from_utf8_lossy(&mount.kind).into_owned(),
            writable: true,
        });
        manifest.insert(mounts::KEY.into(), mounts::to_json(&seen.collect::<Vec<_>>()));
    }
}

/// What a descriptor of a task is open on, out of /proc.
pub fn open_file(pid: u32, fd: i64) -> Option<OpenFile> {
    let link = format!("/proc/{pid}/fd/{fd}");
    let path = std::fs::read_link(&link).ok()?;
    let meta = std::fs::metadata(&link).ok()?;
    let info = std::fs::read_to_string(format!("/proc/{pid}/fdinfo/{fd}")).ok()?;
    let field = |name: &str| info.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let flags = field("flags:").and_then(|flags| i64::from_str_radix(flags, 8).ok()).unwrap_or(0);
    Some(OpenFile {
        pid: i64::from(pid),
        fd,
        ofd: 0,
        path: path.as_os_str().as_bytes().to_vec(),
        // It shows close-on-exec among them.
        flags: flags & !i64::from(libc::O_CLOEXEC),
        cloexec: flags & i64::from(libc::O_CLOEXEC) != 0,
        pos: field("pos:").and_then(|pos| pos.parse().ok()).unwrap_or(0),
        dev: meta.dev() as i64,
        ino: meta.ino() as i64,
        size: meta.size() as i64,
        mode: i64::from(meta.mode()),
    })
}

/// What a line of /proc/PID/mountinfo tells.
fn mount(space: i64, line: &[u8]) -> Option<Mount> {
    let mounts::Line { device, root, path, options, fs, source, .. } = mounts::Line::parse(line)?;
    let dev = device_of(device.0, device.1);
    Some(Mount { space, path, dev, root, kind: fs.to_vec(), source, options: options.to_vec() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_mountinfo_is_read() {
        let line = b"36 35 98:5 /mnt1 /mnt\\0402 rw,noatime master:1 - ext3 /dev/root rw,errors=continue";
        let mount = mount(0, line).unwrap();
        assert_eq!((mount.path.as_slice(), mount.kind.as_slice()), (&b"/mnt 2"[..], &b"ext3"[..]));
        assert_eq!(mount.dev, device_of(98, 5));
        assert!(super::mount(0, b"36 35").is_none());
    }

    #[test]
    fn files_of_a_damaged_list_do_not_panic() {
        let mut bytes = vec![0xff; 100];
        bytes[file_at::PATH..file_at::PATH + 4].copy_from_slice(&8u32.to_ne_bytes());
        let snapshot = Snapshot::new(&[1; 39], &bytes);
        assert_eq!((snapshot.processes.len(), snapshot.files.len()), (0, 1));
    }
}
