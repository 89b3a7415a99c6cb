//! What each op touches, as far as the columns of ops tell. Where they leave something open an op touches more rather than less.

use crate::syscall::{Class, Op};
use std::collections::{HashMap, HashSet};

/// Something by which the outcome of an op may depend on an earlier one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Key {
    /// An open file description.
    Ofd(i64),
    /// The shared position of an open file description.
    Position(i64),
    /// That a file is there, and its attributes, by its identity.
    File(i64),
    /// Content and size of a file.
    Data(i64),
    /// Locks of a file.
    Lock(i64),
    /// What a path leads to.
    Name(u32),
    /// What a directory holds, by its path.
    Entries(u32),
    /// All names below a path.
    Below(u32),
    /// Symbolic links, all together.
    Links,
    /// The order inside a lane.
    Lane(i64),
}

/// How an op touches it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Its outcome depends on it.
    Read,
    /// Changes it, and the outcome depends on it.
    Write,
    /// Changes it whatever it was before.
    Set,
    /// Adds to it whatever was added before.
    Add,
}

use Access::{Add, Read, Set, Write};

/// What is asked of an op.
#[derive(Clone, Debug, Default)]
pub struct Row {
    /// What is issued; `None` for a name that is not known.
    pub op: Option<Op>,
    /// Its lane.
    pub lane: i64,
    /// Open file descriptions.
    pub ofd: Option<i64>,
    /// The second one.
    pub ofd2: Option<i64>,
    /// Those of directories.
    pub dir: Option<i64>,
    /// The second one.
    pub dir2: Option<i64>,
    /// Identity of the file.
    pub file: Option<i64>,
    /// That of the second one.
    pub file2: Option<i64>,
    /// Absolute path, decoded.
    pub path: Option<Vec<u8>>,
    /// The second one; content of a symbolic link.
    pub path2: Option<Vec<u8>>,
    /// Working directory where a path starts at it.
    pub cwd: Option<Vec<u8>>,
    /// Path argument as issued.
    pub raw: Option<Vec<u8>>,
    /// The second one.
    pub raw2: Option<Vec<u8>>,
    /// Flags argument.
    pub flags: i64,
    /// Position argument.
    pub offset: Option<i64>,
    /// The second one.
    pub offset2: Option<i64>,
    /// Origin of a seek.
    pub whence: Option<i64>,
    /// Command of fcntl.
    pub cmd: Option<i64>,
    /// Argument of fcntl.
    pub arg: Option<i64>,
    /// Return value.
    pub ret: Option<i64>,
    /// Is it in a lane that hands requests over (io_uring, libaio)?
    pub requests: bool,
}

impl Row {
    /// Does it lock a range or a file?
    fn locks(&self) -> bool {
        let commands = [
            libc::F_SETLK,
            libc::F_SETLKW,
            libc::F_GETLK,
            libc::F_OFD_SETLK,
            libc::F_OFD_SETLKW,
            libc::F_OFD_GETLK,
            libc::F_SETLEASE,
        ];
        self.op == Some(Op::Flock)
            || self.op == Some(Op::Fcntl) && self.cmd.is_some_and(|cmd| commands.map(i64::from).contains(&cmd))
    }

    /// Does its outcome depend on what is in a directory?
    pub fn lists(&self) -> bool {
        use Op::{Getdents, Getdents64, Rename, Renameat, Renameat2, Rmdir, Unlinkat};
        self.op.is_none_or(|op| matches!(op, Getdents | Getdents64 | Rename | Renameat | Renameat2 | Rmdir | Unlinkat))
    }

    /// How it touches what it would set: a call that failed sets nothing.
    fn sets(&self) -> Access {
        if self.ret.is_some_and(|ret| ret >= 0) { Set } else { Write }
    }

    fn has(&self, flag: i32) -> bool {
        self.flags & i64::from(flag) == i64::from(flag)
    }
}

/// Paths as numbers, each with the number of the directory that it is in.
#[derive(Debug, Default)]
pub struct Paths {
    numbers: HashMap<Vec<u8>, u32>,
    parents: Vec<Option<u32>>,
}

impl Paths {
    /// The number of an absolute path.
    pub fn number(&mut self, path: &[u8]) -> u32 {
        if let Some(number) = self.numbers.get(path) {
            return *number;
        }
        let cut = path.iter().rposition(|byte| *byte == b'/');
        let parent = match cut {
            Some(0) if path.len() > 1 => Some(self.number(b"/")),
            Some(cut) if cut > 0 => Some(self.number(&path[..cut])),
            _ => None,
        };
        let number = self.parents.len() as u32;
        self.parents.push(parent);
        self.numbers.insert(path.to_owned(), number);
        number
    }

    /// The directories above, from the nearest.
    fn above(&self, path: u32) -> impl Iterator<Item = u32> {
        std::iter::successors(self.parents[path as usize], |path| self.parents[*path as usize])
    }
}

/// A path without what leads nowhere: `//`, `.` and, as text, `..`.
fn plain(path: &[u8]) -> Vec<u8> {
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|byte| *byte == b'/') {
        match part {
            b"" | b"." => {}
            b".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    let mut plain = Vec::new();
    parts.iter().for_each(|part| plain.extend([b"/", *part].concat()));
    if plain.is_empty() { b"/".to_vec() } else { plain }
}

/// What all ops touch, in order.
pub fn touches(rows: &[Row]) -> Vec<Vec<(Key, Access)>> {
    let locked = rows.iter().filter(|row| row.locks()).filter_map(|row| row.file).collect();
    let mut all = All { paths: Paths::default(), locked, appends: HashSet::new(), dirs: HashMap::new() };
    rows.iter().map(|row| all.of(row)).collect()
}

struct All {
    paths: Paths,
    /// Files with locks.
    locked: HashSet<i64>,
    /// Descriptions whose writes go to the end of the file.
    appends: HashSet<i64>,
    /// Paths of descriptions, as they were opened.
    dirs: HashMap<i64, Vec<u8>>,
}

type List = Vec<(Key, Access)>;

impl All {
    fn of(&mut self, row: &Row) -> List {
        let mut list = List::new();
        if row.requests {
            list.push((Key::Lane(row.lane), Write));
        }
        let Some(op) = row.op else {
            list.push((Key::Lane(row.lane), Write));
            return list;
        };
        let opens = op.class() == Class::Opens;
        for ofd in [row.ofd, row.ofd2, row.dir, row.dir2].into_iter().flatten() {
            let own = Some(ofd) == row.ofd;
            let access = match op {
                _ if opens && own => Set,
                Op::Close | Op::Fcntl | Op::Flock | Op::Ioctl if own => Write,
                _ => Read,
            };
            list.push((Key::Ofd(ofd), access));
        }
        for file in [row.file, row.file2].into_iter().flatten() {
            list.push((Key::File(file), Read));
        }
        self.walk(row, row.raw.as_deref(), row.path.as_deref(), row.dir, &mut list);
        if names_two(op) {
            self.walk(row, row.raw2.as_deref(), row.path2.as_deref(), row.dir2, &mut list);
        }
        match op.class() {
            Class::Opens => self.open(row, op, &mut list),
            Class::Changes => self.change(row, op, &mut list),
            Class::Reads => {
                self.position(
                    row.ofd,
                    matches!(op, Op::Read | Op::Readv) || op == Op::Preadv2 && row.offset.is_none_or(|at| at < 0),
                    &mut list,
                );
                list.extend(row.file.map(|file| (Key::Data(file), Read)));
            }
            Class::Writes => {
                self.position(
                    row.ofd,
                    matches!(op, Op::Write | Op::Writev) || op == Op::Pwritev2 && row.offset.is_none_or(|at| at < 0),
                    &mut list,
                );
                let appends = row.ofd.is_none_or(|ofd| self.appends.contains(&ofd)) || op == Op::Pwritev2;
                list.extend(row.file.map(|file| (Key::Data(file), if appends { Write } else { Add })));
            }
            Class::Copies => {
                self.position(row.ofd, row.offset.is_none(), &mut list);
                self.position(row.ofd2, row.offset2.is_none(), &mut list);
                list.extend([row.file, row.file2].into_iter().flatten().map(|file| (Key::Data(file), Write)));
            }
            Class::Maps => list.extend(row.file.map(|file| (Key::Data(file), Read))),
            Class::Looks => self.look(row, op, &mut list),
            Class::Syncs => {}
            Class::Rest => self.rest(row, op, &mut list),
        }
        list
    }

    /// A shared position that is used and moved.
    fn position(&self, ofd: Option<i64>, moves: bool, list: &mut List) {
        list.extend(ofd.filter(|_| moves).map(|ofd| (Key::Position(ofd), Write)));
    }

    /// What the path of a call leads through.
    fn walk(&mut self, row: &Row, raw: Option<&[u8]>, path: Option<&[u8]>, dir: Option<i64>, list: &mut List) {
        let Some(path) = path else { return };
        let number = self.paths.number(path);
        if raw.is_none() {
            return;
        }
        list.push((Key::Name(number), Read));
        list.extend(self.paths.above(number).map(|above| (Key::Name(above), Read)));
        if let Some(cwd) = &row.cwd {
            let cwd = self.paths.number(cwd);
            list.push((Key::Name(cwd), Read));
            list.extend(self.paths.above(cwd).map(|above| (Key::Name(above), Read)));
        }
        // Where the text leads elsewhere than the call, it went through symbolic links.
        let raw = raw.unwrap_or_default();
        let base = if raw.first() == Some(&b'/') {
            Some(&[][..])
        } else {
            dir.map_or(row.cwd.as_deref(), |dir| self.dirs.get(&dir).map(Vec::as_slice))
        };
        let same = base.is_some_and(|base| plain(&[base, b"/", raw].concat()) == path) && !raw.windows(2).any(|two| two == b"..");
        if !same {
            list.push((Key::Links, Read));
        }
    }

    fn open(&mut self, row: &Row, op: Op, list: &mut List) {
        let creates = op == Op::Creat || row.has(libc::O_CREAT) || row.has(libc::O_TMPFILE);
        let Some(path) = row.path.as_ref() else { return };
        let number = self.paths.number(path);
        let Some(ofd) = row.ofd.filter(|_| row.ret.is_none_or(|ret| ret >= 0)) else {
            // That a file with O_EXCL is there already, and the like.
            return;
        };
        list.push((Key::Position(ofd), Set));
        self.dirs.insert(ofd, path.clone());
        if row.has(libc::O_APPEND) {
            self.appends.insert(ofd);
        }
        if creates {
            let access = if row.has(libc::O_EXCL) { Write } else { Add };
            if access == Add {
                // Whether the file was there makes no difference.
                list.retain(|touch| {
                    *touch != (Key::Name(number), Read) && row.file.is_none_or(|file| *touch != (Key::File(file), Read))
                });
            }
            self.name(number, access, list);
            list.extend(row.file.map(|file| (Key::File(file), Add)));
        }
        if op == Op::Creat || row.has(libc::O_TRUNC) {
            list.extend(row.file.map(|file| (Key::Data(file), Set)));
        }
    }

    /// A name comes, goes, or leads elsewhere.
    fn name(&self, path: u32, access: Access, list: &mut List) {
        list.push((Key::Name(path), access));
        for (at, above) in self.paths.above(path).enumerate() {
            if at == 0 {
                list.push((Key::Entries(above), Add));
            }
            list.push((Key::Below(above), Add));
        }
    }

    fn change(&mut self, row: &Row, op: Op, list: &mut List) {
        let path = row.path.as_ref().map(|path| self.paths.number(path));
        let path2 = row.path2.as_ref().filter(|_| names_two(op)).map(|path| self.paths.number(path));
        let data = row.file.map(Key::Data);
        match op {
            Op::Mkdir | Op::Mkdirat | Op::Mknod | Op::Mknodat | Op::Symlink | Op::Symlinkat => {
                path.into_iter().for_each(|path| self.name(path, Write, list));
                list.extend(row.file.map(|file| (Key::File(file), Write)));
                if matches!(op, Op::Symlink | Op::Symlinkat) {
                    list.push((Key::Links, Add));
                }
            }
            Op::Unlink | Op::Unlinkat | Op::Rmdir => {
                path.into_iter().for_each(|path| self.name(path, Write, list));
                list.extend(path.map(|path| (Key::Entries(path), Read)));
                list.push((Key::Links, Add));
            }
            Op::Rename | Op::Renameat | Op::Renameat2 | Op::Link | Op::Linkat => {
                for path in [path, path2].into_iter().flatten() {
                    list.extend([(Key::Entries(path), Read), (Key::Below(path), Read)]);
                    self.name(path, Write, list);
                }
                list.push((Key::Links, Add));
            }
            Op::Truncate | Op::Ftruncate => list.extend(data.map(|data| (data, row.sets()))),
            Op::Fallocate => list.extend(data.map(|data| (data, Write))),
            Op::Utimensat => {}
            _ => {
                list.extend(row.file.map(|file| (Key::File(file), Write)));
                // The rights of a directory matter to all that goes through it.
                list.extend(path.map(|path| (Key::Name(path), Write)));
            }
        }
    }

    fn look(&mut self, row: &Row, op: Op, list: &mut List) {
        if matches!(op, Op::Getdents | Op::Getdents64) {
            self.position(row.ofd, true, list);
            let path = row.path.as_ref().map(|path| self.paths.number(path));
            list.extend(path.map(|path| (Key::Entries(path), Read)));
        }
    }

    fn rest(&mut self, row: &Row, op: Op, list: &mut List) {
        match op {
            Op::Lseek => {
                // From the end, or to data and holes: where that is depends on the file.
                let access = if row.whence == Some(i64::from(libc::SEEK_SET)) { row.sets() } else { Write };
                list.extend(row.ofd.map(|ofd| (Key::Position(ofd), access)));
                if row.whence.is_none_or(|whence| whence >= i64::from(libc::SEEK_END)) {
                    list.extend(row.file.map(|file| (Key::Data(file), Read)));
                }
            }
            Op::Close if row.file.is_some_and(|file| self.locked.contains(&file)) => {
                list.extend(row.file.map(|file| (Key::Lock(file), Write)))
            }
            Op::Close | Op::Readahead | Op::Fadvise | Op::Chdir | Op::Fchdir | Op::Msync => {}
            Op::Madvise | Op::Touch => list.extend(row.file.map(|file| (Key::Data(file), Write))),
            _ if row.locks() => list.extend(row.file.map(|file| (Key::Lock(file), Write))),
            Op::Fcntl => {
                let appends =
                    row.cmd == Some(i64::from(libc::F_SETFL)) && row.arg.is_none_or(|arg| arg & i64::from(libc::O_APPEND) != 0);
                self.appends.extend(row.ofd.filter(|_| appends));
            }
            _ => list.push((Key::Lane(row.lane), Write)),
        }
    }
}

/// Is the second path a name, too?
fn names_two(op: Op) -> bool {
    matches!(op, Op::Rename | Op::Renameat | Op::Renameat2 | Op::Link | Op::Linkat)
}
