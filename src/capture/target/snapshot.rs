//! The snapshot: what exists when a capture begins: tasks in its scope, their open files, working directories and mounts.
//!
//! eBPF iterators list the tasks and their descriptors ([`crate::capture::probe::walk`]), /proc tells the rest. The programs
//! that follow calls are attached before the walk, so a descriptor is in the events, in the snapshot, or in both; if in both,
//! the events are believed and the row of the snapshot is removed.

use super::path_filter::Paths;
use super::program;
use crate::capture::kernel::record::{file_at, task_at};
use crate::exec::Ran;
use crate::mounts;
use crate::os::description;
use crate::schema::{Manifest, Table};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// A process of the snapshot: one row of table `processes`. Processes that come into the scope later (newcomers) are added.
#[derive(Clone, Debug, Default)]
pub struct Process {
    /// Process id, as captured.
    pub pid: i64,
    /// Process id of the parent process.
    pub parent: i64,
    /// Real user id of the process.
    pub uid: i64,
    /// Real group id of the process.
    pub gid: i64,
    /// Its name (`comm` of its leading thread, at most 15 bytes).
    pub comm: Vec<u8>,
    /// Path of its working directory; `None` when that could not be read.
    pub cwd: Option<Vec<u8>>,
    /// Path of its root directory; `None` when that could not be read.
    pub root: Option<Vec<u8>>,
    /// Its mount namespace as a small number (the first one seen is 0): [`Mount::space`] of its mounts. `None` when unknown.
    pub mounts: Option<i64>,
    /// Its command line, control group, rank and job.
    pub ran: Ran,
}

/// A descriptor that was open when the capture began: one row of table `open_files`.
#[derive(Clone, Debug)]
pub struct OpenFile {
    /// Process id of the process that has the descriptor.
    pub pid: i64,
    /// Number of the descriptor.
    pub fd: i64,
    /// Small number of its open file description: descriptors with equal numbers share one.
    pub ofd: i64,
    /// Path of the file as the kernel shows it, with ` (deleted)` behind it if unlinked; `pipe:[7]` and the like for no files.
    pub path: Vec<u8>,
    /// Flags of the open file description (O_RDWR, O_APPEND ...); whether exec closes the descriptor is in `cloexec`.
    pub flags: i64,
    /// Is the descriptor closed by exec (FD_CLOEXEC)?
    pub cloexec: bool,
    /// Position of the open file description, bytes.
    pub pos: i64,
    /// Device number of its file, as stat(2) shows it.
    pub dev: i64,
    /// Inode number of its file.
    pub ino: i64,
    /// Size of its file, bytes.
    pub size: i64,
    /// Kind and permission bits of its file (`st_mode`).
    pub mode: i64,
}

/// A mount point of a mount namespace: one row of table `mounts`, from /proc/PID/mountinfo.
#[derive(Clone, Debug)]
pub struct Mount {
    /// Small number of the mount namespace, as in [`Process::mounts`].
    pub space: i64,
    /// Path of the mount point.
    pub path: Vec<u8>,
    /// Device number of the file system, as stat(2) shows it.
    pub dev: i64,
    /// Directory of the file system that is mounted there (`/` unless it is a bind mount or subvolume).
    pub root: Vec<u8>,
    /// Type of the file system: `ext4`, `tmpfs` ...
    pub kind: Vec<u8>,
    /// Source of the mount: a device or a name.
    pub source: Vec<u8>,
    /// Mount options of this mount point.
    pub options: Vec<u8>,
    /// As [`mounts::Mount::size`].
    pub size: Option<u64>,
}

/// The snapshot of what existed when the capture began.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Processes in the scope at the start; newcomers are added at the end of the capture.
    pub processes: Vec<Process>,
    /// Number of threads of the processes that were in the scope at the start.
    pub threads: u64,
    /// Descriptors that these processes had open.
    pub files: Vec<OpenFile>,
    /// Mount points of the mount namespaces that these processes are in.
    pub mounts: Vec<Mount>,
    /// The kernel's numbers of the mount namespaces; the index in this vector is the small number in [`Process::mounts`].
    pub spaces: Vec<u64>,
    /// Small numbers given to their open file descriptions so far.
    pub ofds: Numbers,
}

/// Gives small numbers to the kernel addresses of open file descriptions (`struct file`). A capture must not show kernel
/// addresses; it only needs to know which of them are equal.
#[derive(Clone, Debug, Default)]
pub struct Numbers {
    known: HashMap<u64, i64>,
    next: i64,
}

impl Numbers {
    /// How many addresses are remembered. When there are more all are forgotten, so that an old address gets a new number.
    const MOST: usize = 1 << 20;

    /// The small number of an address; a new address gets the next number, from 0 on.
    pub fn of(&mut self, address: u64) -> i64 {
        if self.known.len() >= Numbers::MOST {
            self.known.clear();
        }
        *self.known.entry(address).or_insert_with(|| {
            self.next += 1;
            self.next - 1
        })
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).map_or(0, |four| u32::from_ne_bytes([four[0], four[1], four[2], four[3]]))
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

/// A number of things in memory as the number of a column.
fn count(things: usize) -> i64 {
    i64::try_from(things).unwrap_or(i64::MAX)
}

/// Converts a device number from the kernel's own encoding (20 bits of minor) to that of stat(2).
pub fn device(kernel: u32) -> i64 {
    device_of(kernel >> 20, kernel & 0xf_ffff)
}

/// The device number of a major and a minor number, as stat(2) shows it.
pub fn device_of(major: u32, minor: u32) -> i64 {
    libc::makedev(major, minor).cast_signed()
}

impl Snapshot {
    /// Makes a snapshot from the output of the two eBPF iterators (layouts [`task_at`] and [`file_at`]) and from /proc. `lines`: with
    /// command lines.
    pub fn new(tasks: &[u8], files: &[u8], lines: bool) -> Snapshot {
        let mut snapshot = Snapshot::default();
        let mut processes: BTreeMap<i64, Process> = BTreeMap::new();
        for task in tasks.chunks_exact(task_at::SIZE) {
            snapshot.threads += 1;
            let pid = i64::from(u32_at(task, task_at::PID));
            // The leading thread comes first; its name is that of the process.
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
        snapshot.look_around(lines);
        snapshot
    }

    /// Makes a snapshot of these processes from /proc and kcmp(2) alone, where no eBPF programs can be loaded. `lines`: with command lines.
    pub fn of_proc(pids: &[u32], lines: bool) -> Snapshot {
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
                let same =
                    |other: &&OpenFile| u32::try_from(other.pid).is_ok_and(|of| description::same((of, other.fd), (*pid, fd)));
                let shared = snapshot.files.iter().filter(like).find(same);
                file.ofd = shared.map_or(count(snapshot.files.len()), |other| other.ofd);
                snapshot.files.push(file);
            }
        }
        snapshot.look_around(lines);
        snapshot
    }

    /// Removes the open files that the path patterns leave out.
    pub fn keep_files(&mut self, paths: &Paths) {
        self.files.retain(|file| paths.all() || paths.keep(file.path.strip_suffix(b" (deleted)").unwrap_or(&file.path)));
    }

    /// Adds newcomers: processes that came into the scope later; those already in the snapshot are left as they are.
    pub fn add_processes(&mut self, later: impl Iterator<Item = Process>) {
        let known: BTreeSet<i64> = self.processes.iter().map(|process| process.pid).collect();
        self.processes.extend(later.filter(|process| !known.contains(&process.pid)));
    }

    fn add_files(&mut self, mut bytes: &[u8]) {
        let mut seen = BTreeSet::new();
        while bytes.len() >= file_at::FIXED {
            let length = u32_at(bytes, file_at::PATH) as usize;
            let path = bytes.get(file_at::FIXED..file_at::FIXED + length).unwrap_or_default();
            let (pid, fd) = (i64::from(u32_at(bytes, file_at::PID)), i64::from(u32_at(bytes, file_at::FD)));
            let ofd = self.ofds.of(u64_at(bytes, file_at::FILE));
            if seen.insert((pid, fd)) {
                self.files.push(OpenFile {
                    pid,
                    fd,
                    ofd,
                    path: path.strip_suffix(b"\0").unwrap_or(path).to_vec(),
                    // It stays in f_flags of the kernel, whatever becomes of the descriptor.
                    flags: i64::from(u32_at(bytes, file_at::FLAGS)) & !i64::from(libc::O_CLOEXEC),
                    cloexec: u32_at(bytes, file_at::CLOEXEC) != 0,
                    pos: u64_at(bytes, file_at::POS).cast_signed(),
                    dev: device(u32_at(bytes, file_at::DEV)),
                    ino: u64_at(bytes, file_at::INO).cast_signed(),
                    size: u64_at(bytes, file_at::SIZE).cast_signed(),
                    mode: i64::from(u32_at(bytes, file_at::MODE)),
                });
            }
            bytes = bytes.get(file_at::FIXED + length..).unwrap_or_default();
        }
    }

    /// Reads working directory, root, mounts and what each process runs from /proc. A process that has ended, or that this process may
    /// not inspect, gets none.
    fn look_around(&mut self, lines: bool) {
        let mut processes = std::mem::take(&mut self.processes);
        for process in &mut processes {
            let proc = PathBuf::from(format!("/proc/{}", process.pid));
            let link = |name: &str| std::fs::read_link(proc.join(name)).ok();
            process.cwd = link("cwd").map(|path| path.as_os_str().as_bytes().to_vec());
            process.root = link("root").map(|path| path.as_os_str().as_bytes().to_vec());
            process.ran = program::of_proc(process.pid, lines);
            process.mounts = link("ns/mnt").and_then(|name| self.space(process.pid, space_number(&name)?));
        }
        self.processes = processes;
    }

    /// Reads the mounts of this process's own mount namespace: most newcomers are in the same one, and may have ended before
    /// anybody could read theirs.
    pub fn know_own_mounts(&mut self) {
        let own = std::fs::read_link("/proc/self/ns/mnt").ok().and_then(|name| space_number(&name));
        let _ = own.and_then(|own| self.space(i64::from(std::process::id()), own));
    }

    /// The small number of a mount namespace that process `pid` is in; `None` when it is new and its mounts cannot be read. The
    /// mounts of a new namespace are read now; unlike a working directory anybody may read them (proc_pid_mountinfo(5)), so that
    /// this works after capabilities are dropped.
    pub fn space(&mut self, pid: i64, space: u64) -> Option<i64> {
        let known = self.spaces.iter().position(|seen| *seen == space).map(count);
        known.or_else(|| {
            let text = std::fs::read(format!("/proc/{pid}/mountinfo")).ok().filter(|text| !text.is_empty())?;
            let number = count(self.spaces.len());
            self.mounts.extend(text.split(|byte| *byte == b'\n').filter_map(|line| mount(number, line)));
            self.spaces.push(space);
            Some(number)
        })
    }

    /// Adds the counts of processes and open files and the mounts of namespace 0 to a manifest.
    pub fn describe(&self, manifest: &mut Manifest) {
        manifest.insert(Table::Processes.name().into(), json!(self.processes.len()));
        manifest.insert(Table::OpenFiles.name().into(), json!(self.files.len()));
        // Generate and replay use the mounts of one namespace only, the first one seen.
        let seen = self.mounts.iter().filter(|mount| mount.space == 0).map(|mount| mounts::Mount {
            path: mount.path.clone(),
            fs: String::from_utf8_lossy(&mount.kind).into_owned(),
            writable: true,
            size: mount.size,
        });
        manifest.insert(mounts::KEY.into(), mounts::to_json(&seen.collect::<Vec<_>>()));
    }
}

/// Reads from /proc what a descriptor of a process or thread is open on; `None` when it is closed or may not be read. The
/// number of the open file description is left at 0.
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
        // fdinfo shows close-on-exec among the flags.
        flags: flags & !i64::from(libc::O_CLOEXEC),
        cloexec: flags & i64::from(libc::O_CLOEXEC) != 0,
        pos: field("pos:").and_then(|pos| pos.parse().ok()).unwrap_or(0),
        dev: meta.dev().cast_signed(),
        ino: meta.ino().cast_signed(),
        size: meta.size().cast_signed(),
        mode: i64::from(meta.mode()),
    })
}

/// The number of a mount namespace from the link /proc/PID/ns/mnt, `mnt:[4026531841]` (namespaces(7)).
fn space_number(name: &Path) -> Option<u64> {
    name.to_str()?.strip_prefix("mnt:[")?.strip_suffix(']')?.parse().ok()
}

/// Parses a line of /proc/PID/mountinfo; `None` when it is malformed.
fn mount(space: i64, line: &[u8]) -> Option<Mount> {
    let mounts::Line { device, root, path, options, fs, source, more } = mounts::Line::parse(line)?;
    let dev = device_of(device.0, device.1);
    Some(Mount { space, path, dev, root, kind: fs.to_vec(), source, options: options.to_vec(), size: mounts::size(more) })
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
        let snapshot = Snapshot::new(&[1; 39], &bytes, true);
        assert_eq!((snapshot.processes.len(), snapshot.files.len()), (0, 1));
    }
}
