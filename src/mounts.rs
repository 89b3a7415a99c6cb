//! Mount points: those of a captured machine, and those of this one.
//!
//! A capture that knows its mounts has them in its manifest, `"mounts": [{"path": "/", "fs": "ext4"}, ..]`, in the order
//! they were mounted; a workload has those of its capture. A plain text stands for a mount of unknown file system.

use crate::fate::StaysOnDisk;
use crate::schema::Manifest;
use anyhow::{Context, Result, ensure};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

/// A mount point of the captured machine, or of this one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Absolute path of the mount point.
    pub path: Vec<u8>,
    /// Type of the mounted file system, empty when unknown.
    pub fs: String,
    /// Is it mounted writable? True for all mounts that come from a manifest.
    pub writable: bool,
    /// Most bytes that a file system in memory may hold (option `size` of tmpfs(5)); `None` when unknown, or the kernel's default.
    pub size: Option<u64>,
}

/// A file system in memory of the captured machine that files of a workload are on: an item of the list [`MEMORY`] of its manifest.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InMemory {
    /// Absolute path of the mount point, in the form of [`crate::text`].
    pub path: String,
    /// As [`Mount::size`].
    pub size: Option<u64>,
    /// Why a replay does not make it anew, a word of [`StaysOnDisk`]; `None` when one by root does.
    pub stays: Option<String>,
}

/// Key of the list of file systems in memory in the manifests of workloads.
pub const MEMORY: &str = "memory";

/// Most file systems in memory that a workload lists.
pub const MOST_IN_MEMORY: usize = 1024;

/// Key of the list of mounts in manifests.
pub const KEY: &str = "mounts";

/// Types of file systems whose files the kernel makes, or which are gone at the next boot (filesystems(5)).
const PSEUDO: &[&str] = &[
    "autofs",
    "binfmt_misc",
    "bpf",
    "cgroup",
    "cgroup2",
    "configfs",
    "debugfs",
    "devpts",
    "devtmpfs",
    "efivarfs",
    "fusectl",
    "hugetlbfs",
    "mqueue",
    "nsfs",
    "pipefs",
    "proc",
    "pstore",
    "ramfs",
    "rpc_pipefs",
    "securityfs",
    "selinuxfs",
    "sockfs",
    "sysfs",
    "tmpfs",
    "tracefs",
];

impl Mount {
    /// Is a pseudo or memory file system mounted there? Never at `/`: whatever a machine runs from counts as its disk.
    pub fn pseudo(&self) -> bool {
        self.path != b"/" && PSEUDO.contains(&self.fs.as_str())
    }

    /// Is a path at or below the mount point?
    pub fn holds(&self, path: &[u8]) -> bool {
        below(path, &self.path).is_some()
    }
}

/// The rest of a path below a directory, beginning with `/` (`/` for the directory itself); `None` when the path is not below
/// it. Whole names are compared: `/data2` is not below `/data`.
pub fn below<'a>(path: &'a [u8], dir: &[u8]) -> Option<&'a [u8]> {
    let dir = dir.strip_suffix(b"/").unwrap_or(dir);
    match path.strip_prefix(dir)? {
        b"" => Some(b"/"),
        rest if rest[0] == b'/' => Some(rest),
        _ => None,
    }
}

/// Mounts of a text in the form of /proc/self/mountinfo (proc_pid_mountinfo(5)), in its order. Of several at one path only
/// the last can be seen, so it is the only one here.
///
/// # Errors
/// The number of the first line that is not of that form.
pub fn parse(text: &[u8]) -> std::result::Result<Vec<Mount>, usize> {
    let mut mounts: Vec<Mount> = Vec::new();
    for (number, line) in text.split(|byte| *byte == b'\n').enumerate() {
        if line.is_empty() {
            continue;
        }
        let mount = mount(line).ok_or(number + 1)?;
        mounts.retain(|known| known.path != mount.path);
        mounts.push(mount);
    }
    Ok(mounts)
}

fn mount(line: &[u8]) -> Option<Mount> {
    let Line { path, options, fs, more, .. } = Line::parse(line)?;
    let writable = [options, more].into_iter().flat_map(|list| list.split(|byte| *byte == b',')).all(|option| option != b"ro");
    Some(Mount { path, fs: String::from_utf8_lossy(fs).into_owned(), writable, size: size(more) })
}

/// A line in the form of /proc/PID/mountinfo (proc_pid_mountinfo(5)):
/// `36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line<'a> {
    /// Major and minor number of the device.
    pub device: (u32, u32),
    /// Directory of the file system that is shown at the mount point.
    pub root: Vec<u8>,
    /// Absolute path of the mount point.
    pub path: Vec<u8>,
    /// Options of this mount, separated by commas.
    pub options: &'a [u8],
    /// Type of the file system.
    pub fs: &'a [u8],
    /// What is mounted: a device, or a name that the file system chose.
    pub source: Vec<u8>,
    /// Options of the file system, separated by commas; empty where none are shown.
    pub more: &'a [u8],
}

impl Line<'_> {
    /// Parses a line; `None` when it is not of that form.
    pub fn parse(line: &[u8]) -> Option<Line<'_>> {
        let mut words = line.split(|byte| *byte == b' ');
        let device = std::str::from_utf8(words.nth(2)?).ok()?;
        let (major, minor) = device.split_once(':')?;
        let (root, path, options) = (unescape(words.next()?), unescape(words.next()?), words.next()?);
        // The optional fields (`master:1`), of any number, end with a dash.
        words.find(|word| *word == b"-")?;
        let (fs, source, more) = (words.next()?, words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let device = (major.parse().ok()?, minor.parse().ok()?);
        path.starts_with(b"/").then(|| Line { device, root, path, options, fs, source: unescape(source), more })
    }
}

/// Decodes the octal escapes (`\040`) of space, tab, newline and backslash.
fn unescape(field: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(field.len());
    let mut rest = field;
    while let Some((first, tail)) = rest.split_first() {
        let code = (*first == b'\\').then(|| tail.get(..3)).flatten().and_then(|digits| std::str::from_utf8(digits).ok());
        match code.and_then(|digits| u8::from_str_radix(digits, 8).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[3..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

/// The size among the options of a tmpfs, as mountinfo shows them (`rw,size=65536k`), bytes; `None` without one.
pub fn size(options: &[u8]) -> Option<u64> {
    let options = std::str::from_utf8(options).ok()?;
    let kib: u64 = options.split(',').find_map(|option| option.strip_prefix("size=")?.strip_suffix('k'))?.parse().ok()?;
    kib.checked_mul(1024)
}

/// The list of mounts as it stands in a manifest: path, file system type, and size where there is one.
pub fn to_json(mounts: &[Mount]) -> Value {
    let one = |mount: &Mount| {
        let mut one = json!({ "path": crate::text::encode(&mount.path), "fs": mount.fs });
        if let Some(size) = mount.size {
            one["size"] = json!(size);
        }
        one
    };
    mounts.iter().map(one).collect()
}

/// The file systems in memory of a workload, by path, outer before inner.
///
/// # Errors
/// When the list in the manifest is not of its form: a path that is relative, not clean, the root, or there twice, a word that
/// nobody knows, or more than [`MOST_IN_MEMORY`] of them.
pub fn in_memory(manifest: &Manifest) -> Result<Vec<(Vec<u8>, InMemory)>> {
    let Some(list) = manifest.get(MEMORY) else { return Ok(Vec::new()) };
    let invalid = || format!("invalid workload: {MEMORY} in its manifest is no list of file systems in memory");
    let list: Vec<InMemory> = Vec::deserialize(list).with_context(invalid)?;
    ensure!(list.len() <= MOST_IN_MEMORY, "invalid workload: it lists {} file systems in memory", list.len());
    let mut known: Vec<(Vec<u8>, InMemory)> = Vec::new();
    for one in list {
        let path = crate::text::decode(&one.path).into_owned();
        let names = path.strip_prefix(b"/").into_iter().flat_map(|below| below.split(|byte| *byte == b'/'));
        let clean = names.clone().count() > 0 && names.clone().all(|name| !matches!(name, b"" | b"." | b".."));
        let word = one.stays.as_deref().is_none_or(|word| StaysOnDisk::parse(word).is_some());
        ensure!(clean && word && known.iter().all(|(other, _)| *other != path), "{}", invalid());
        known.push((path, one));
    }
    known.sort_by_key(|(path, _)| path.len());
    Ok(known)
}

/// The mounts in a manifest; `None` when the capture did not know them.
pub fn of(manifest: &Manifest) -> Option<Vec<Mount>> {
    let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
    let one = |value: &Value| {
        let path = value.as_str().map(str::to_owned).or_else(|| text(value, "path"))?;
        let path = crate::text::decode(&path).into_owned();
        path.starts_with(b"/").then(|| Mount {
            path,
            fs: text(value, "fs").unwrap_or_default(),
            writable: true,
            size: value.get("size").and_then(Value::as_u64),
        })
    };
    let list = manifest.get(KEY)?.as_array()?;
    Some(list.iter().filter_map(one).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &[u8] = b"22 1 252:0 / / rw,relatime shared:1 - ext4 /dev/vda rw\n\
        23 22 0:21 / /proc rw,nosuid - proc proc rw\n\
        30 22 7:0 / /mnt/my\\040disk rw - xfs /dev/loop0 rw,attr2\n\
        31 22 7:1 /sub /mnt/ro ro,nodev master:1 propagate_from:2 - btrfs /dev/loop1 rw\n\
        32 30 0:40 / /mnt/my\\040disk rw - tmpfs tmpfs rw\n";

    #[test]
    fn mountinfo_is_read() {
        let mounts = parse(TEXT).unwrap();
        let seen: Vec<_> = mounts.iter().map(|m| (&*m.path, &*m.fs, m.writable, m.pseudo())).collect();
        assert_eq!(
            seen,
            [
                (&b"/"[..], "ext4", true, false),
                (b"/proc", "proc", true, true),
                (b"/mnt/ro", "btrfs", false, false),
                (b"/mnt/my disk", "tmpfs", true, true),
            ]
        );
        assert_eq!(parse(b"22 1 252:0 / / rw - ext4 /dev/vda rw\nnonsense"), Err(2));
        assert!(parse(&std::fs::read("/proc/self/mountinfo").unwrap()).is_ok());
    }

    #[test]
    fn a_line_says_what_is_shown_where() {
        let line =
            Line::parse(b"36 35 98:5 /a\\040b /mnt1 rw,noatime master:1 - ext3 /dev/my\\040disk rw,errors=continue").unwrap();
        assert_eq!((line.device, &*line.root, &*line.path), ((98, 5), &b"/a b"[..], &b"/mnt1"[..]));
        assert_eq!((line.options, line.fs, &*line.source), (&b"rw,noatime"[..], &b"ext3"[..], &b"/dev/my disk"[..]));
        for damaged in
            [&b"36 35"[..], b"36 35 98:5 / /mnt rw", b"36 35 98 / /mnt rw - ext4 x rw", b"36 35 98:5 / mnt rw - ext4 x rw"]
        {
            assert_eq!(Line::parse(damaged), None);
        }
    }

    #[test]
    fn a_manifest_keeps_them() {
        let mounts = vec![
            Mount { path: b"/".to_vec(), fs: "ext4".into(), writable: true, size: None },
            Mount { path: b"/a\xff".to_vec(), fs: String::new(), writable: true, size: Some(1 << 20) },
        ];
        let mut manifest = Manifest::new();
        assert_eq!(of(&manifest), None);
        manifest.insert(KEY.into(), to_json(&mounts));
        assert_eq!(of(&manifest), Some(mounts));
        manifest.insert(KEY.into(), json!(["/home", "relative", 7]));
        assert_eq!(of(&manifest).unwrap().len(), 1);
    }

    #[test]
    fn file_systems_in_memory_are_clean_paths_or_refused() {
        let of = |list: Value| in_memory(&Manifest::from_iter([(MEMORY.to_owned(), list)]));
        let one = |path: &str| json!({ "path": path, "size": null, "stays": null });
        assert_eq!(in_memory(&Manifest::new()).unwrap(), []);
        let found = of(json!([one("/dev/shm"), { "path": "/tmp", "size": 4096, "stays": "unmounted" }])).unwrap();
        let seen: Vec<_> = found.iter().map(|(path, one)| (&**path, one.size, one.stays.as_deref())).collect();
        assert_eq!(seen, [(&b"/tmp"[..], Some(4096), Some("unmounted")), (b"/dev/shm", None, None)]);
        for path in ["/", "", "tmp", "/tmp/", "/a//b", "/a/../b", "/."] {
            assert!(of(json!([one(path)])).is_err(), "{path}");
        }
        assert!(of(json!([one("/tmp"), one("/tmp")])).is_err());
        assert!(of(json!([{ "path": "/tmp", "size": -1 }])).is_err());
        assert!(of(json!([{ "path": "/tmp", "stays": "why not" }])).is_err());
        assert!(of(json!("/tmp")).is_err());
        assert!(of((0..1025).map(|number| one(&format!("/{number}"))).collect()).is_err());
    }

    #[test]
    fn the_size_of_a_tmpfs_is_read() {
        let cases = [
            ("rw,size=65536k,nr_inodes=400", Some(64 << 20)),
            ("rw", None),
            ("size=1m", None),
            ("size=99999999999999999999k", None),
        ];
        for (options, bytes) in cases {
            assert_eq!(size(options.as_bytes()), bytes, "{options}");
        }
    }

    #[test]
    fn names_are_whole() {
        assert_eq!(below(b"/data/x", b"/data"), Some(&b"/x"[..]));
        assert_eq!(below(b"/data", b"/data/"), Some(&b"/"[..]));
        assert_eq!(below(b"/data2/x", b"/data"), None);
        assert_eq!(below(b"/data", b"/"), Some(&b"/data"[..]));
        assert_eq!(below(b"/", b"/"), Some(&b"/"[..]));
    }
}
