//! Decodes requests of io_uring(7): where the running kernel has the arguments of each opcode, and which event it becomes.
//!
//! The fields are kernel-internal and their offsets change between versions. Requests of an opcode whose fields are not all
//! found in BTF, or that is not listed here, are only counted (as losses).

use super::requests::{request, vectored};
use crate::capture::kernel::btf::Btf;
use crate::capture::kernel::record::{Record, at};
use crate::event::{Col, Event, Text};
use crate::loss::Loss;
use crate::syscall::position::SHARED;
use crate::syscall::{Role, Syscall, flag};
use anyhow::{Result, ensure};

/// Bytes of a request for the data of its opcode (`struct io_cmd_data`).
pub const COMMAND: i32 = 64;

/// Layout of io_uring requests in the running kernel: offsets in `struct io_kiocb`, bytes, and those of each opcode's data.
#[derive(Clone, Debug, Default)]
pub struct Rings {
    /// Offset in `struct io_kiocb` of the pointer to the `struct file` of the request; null until the kernel has looked it up.
    pub file: i16,
    /// Offset in `struct io_kiocb` of the opcode (u8).
    pub opcode: i16,
    /// Offset in `struct io_kiocb` of the flags of the request, of which the low 32 bits are read.
    pub flags: i16,
    /// Offset in `struct io_kiocb` of the descriptor that the request is about (i32).
    pub fd: i16,
    /// Offset in `struct io_kiocb` of the result of the request (i32), set at its completion.
    pub result: i16,
    /// Offset in `struct io_kiocb` of what the program calls the request (u64).
    pub user_data: i16,
    /// Offset in `struct io_kiocb` of the pointer to its ring (`struct io_ring_ctx`).
    pub ring: i16,
    /// Offset in `struct io_ring_ctx` of the pointer to the memory that it shares with the program (`struct io_rings`).
    pub shared: i16,
    /// Offset in `struct io_rings` of how many requests the program has put into the submission queue (u32).
    pub queued: i16,
    /// Offset in `struct io_ring_ctx` of how many of them the kernel has taken from it (u32).
    pub begun: i16,
    /// Offset in `struct io_rings` of how many results the program has taken from the completion queue (u32).
    pub head: i16,
    /// Offset in `struct io_ring_ctx` of the flags that the ring was made with (u32, io_uring_setup(2)).
    pub setup: i16,
    /// Offset in `struct io_ring_ctx` of how many results were put into the completion queue (u32).
    pub tail: i16,
    /// Offset in `struct filename` of the pointer to the text of a path.
    pub text: i16,
    /// Offsets in the data of a read or write: file offset (i64), length (u32).
    rw: (usize, usize),
    /// Offset in the data of an fsync of its flags (u32).
    sync: usize,
    /// Layouts of the other opcodes that this kernel has.
    pub kinds: Vec<Kind>,
}

/// Layout of the data of one opcode that stands for one call, resolved for the running kernel.
#[derive(Clone, Debug)]
pub struct Kind {
    /// Number of the opcode (IORING_OP_*).
    pub opcode: u8,
    syscall: Syscall,
    /// Columns of the event, each with the offset and size in bytes (negative: signed) of its field.
    fields: Vec<(Col, usize, i8)>,
    /// Offset of a number (u32): 0, or 1 more than the index in the ring's own table of files that the request is about instead of
    /// a descriptor.
    slot: Option<usize>,
    /// Texts of the event, in the order of the record's strings, each with the offset of the pointer to its `struct filename`; of a
    /// name ([`Text::Name`]) with that of the pointer to the text itself.
    pub names: Vec<(Text, usize)>,
}

/// As [`Kind`], with the names of the fields instead of offsets (include/uapi/linux/io_uring.h, io_uring/*.c of the kernel).
struct Row {
    opcode: u8,
    syscall: Syscall,
    fields: &'static [(Col, &'static str, i8)],
    slot: Option<&'static str>,
    names: &'static [(Text, &'static str)],
}

const fn row(opcode: u8, syscall: Syscall, fields: &'static [(Col, &'static str, i8)]) -> Row {
    Row { opcode, syscall, fields, slot: None, names: &[] }
}

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row(8, Syscall::uring_sync_range, &[(Col::Offset, "io_sync.off", 8), (Col::Count, "io_sync.len", 8), (Col::Flags, "io_sync.flags", 4)]),
    row(17, Syscall::uring_fallocate, &[(Col::Offset, "io_sync.off", 8), (Col::Count, "io_sync.len", 8), (Col::Flags, "io_sync.mode", 4)]),
    row(24, Syscall::uring_fadvise, &[(Col::Offset, "io_fadvise.offset", 8), (Col::Count, "io_fadvise.len", 8), (Col::Flags, "io_fadvise.advice", 4)]),
    row(55, Syscall::uring_ftruncate, &[(Col::Count, "io_ftrunc.len", 8)]),
    Row { slot: Some("io_close.file_slot"), ..row(19, Syscall::uring_close, &[(Col::Fd, "io_close.fd", -4)]) },
    Row { slot: Some("io_open.file_slot"), names: &[(Text::Path, "io_open.filename")], ..row(18, Syscall::uring_openat,
        &[(Col::DirFd, "io_open.dfd", -4), (Col::Flags, "io_open.how.flags", 8), (Col::Mode, "io_open.how.mode", 8)]) },
    Row { slot: Some("io_open.file_slot"), names: &[(Text::Path, "io_open.filename")], ..row(28, Syscall::uring_openat2,
        &[(Col::DirFd, "io_open.dfd", -4), (Col::Flags, "io_open.how.flags", 8), (Col::Mode, "io_open.how.mode", 8), (Col::Resolve, "io_open.how.resolve", 8)]) },
    Row { names: &[(Text::Path, "io_statx.filename")], ..row(21, Syscall::uring_statx,
        &[(Col::DirFd, "io_statx.dfd", -4), (Col::Flags, "io_statx.flags", 4)]) },
    Row { names: &[(Text::Path, "io_rename.oldpath"), (Text::Path2, "io_rename.newpath")], ..row(35, Syscall::uring_renameat,
        &[(Col::DirFd, "io_rename.old_dfd", -4), (Col::DirFd2, "io_rename.new_dfd", -4), (Col::Flags, "io_rename.flags", 4)]) },
    Row { names: &[(Text::Path, "io_unlink.filename")], ..row(36, Syscall::uring_unlinkat,
        &[(Col::DirFd, "io_unlink.dfd", -4), (Col::Flags, "io_unlink.flags", 4)]) },
    Row { names: &[(Text::Path, "io_mkdir.filename")], ..row(37, Syscall::uring_mkdirat,
        &[(Col::DirFd, "io_mkdir.dfd", -4), (Col::Mode, "io_mkdir.mode", 2)]) },
    Row { names: &[(Text::Path2, "io_link.oldpath"), (Text::Path, "io_link.newpath")], ..row(38, Syscall::uring_symlinkat,
        &[(Col::DirFd, "io_link.new_dfd", -4)]) },
    row(SPLICE, Syscall::uring_splice, &[(Col::Fd, "io_splice.splice_fd_in", -4), (Col::Offset, "io_splice.off_in", 8),
        (Col::Offset2, "io_splice.off_out", 8), (Col::Count, "io_splice.len", 8), (Col::Flags, "io_splice.flags", 4)]),
    Row { names: &[(Text::Path, "io_xattr.filename"), (Text::Name, "io_xattr.ctx.kname")], ..row(42, Syscall::uring_setxattr,
        &[(Col::Count, "io_xattr.ctx.size", 8), (Col::Flags, "io_xattr.ctx.flags", 4)]) },
    Row { names: &[(Text::Name, "io_xattr.ctx.kname")], ..row(41, Syscall::uring_fsetxattr,
        &[(Col::Count, "io_xattr.ctx.size", 8), (Col::Flags, "io_xattr.ctx.flags", 4)]) },
    Row { names: &[(Text::Path, "io_xattr.filename"), (Text::Name, "io_xattr.ctx.kname")], ..row(44, Syscall::uring_getxattr,
        &[(Col::Count, "io_xattr.ctx.size", 8)]) },
    Row { names: &[(Text::Name, "io_xattr.ctx.kname")], ..row(43, Syscall::uring_fgetxattr, &[(Col::Count, "io_xattr.ctx.size", 8)]) },
    Row { names: &[(Text::Path, "io_link.oldpath"), (Text::Path2, "io_link.newpath")], ..row(39, Syscall::uring_linkat,
        &[(Col::DirFd, "io_link.old_dfd", -4), (Col::DirFd2, "io_link.new_dfd", -4), (Col::Flags, "io_link.flags", 4)]) },
];

impl Rings {
    /// Resolves the layout from the BTF of the running kernel.
    ///
    /// # Errors
    /// When a field that every request has is missing, or lies outside of the copied data.
    pub fn find(btf: &Btf) -> Result<Rings> {
        let command = |path: &str, size: usize| -> Result<usize> {
            let at = btf.offset(path)? as usize;
            ensure!(at + size <= COMMAND as usize, "{path} lies too far inside");
            Ok(at)
        };
        let kind = |row: &Row| -> Result<Kind> {
            let field = |(col, path, size): &(Col, &str, i8)| Ok((*col, command(path, size.unsigned_abs().into())?, *size));
            let name = |(text, path): &(Text, &str)| Ok((*text, command(path, 8)?));
            Ok(Kind {
                opcode: row.opcode,
                syscall: row.syscall,
                fields: row.fields.iter().map(field).collect::<Result<_>>()?,
                slot: row.slot.map(|path| command(path, 4)).transpose()?,
                names: row.names.iter().map(name).collect::<Result<_>>()?,
            })
        };
        Ok(Rings {
            file: btf.offset("io_kiocb.file")?,
            opcode: btf.offset("io_kiocb.opcode")?,
            flags: btf.offset("io_kiocb.flags")?,
            fd: btf.offset("io_kiocb.cqe.fd")?,
            result: btf.offset("io_kiocb.cqe.res")?,
            user_data: btf.offset("io_kiocb.cqe.user_data")?,
            ring: btf.offset("io_kiocb.ctx")?,
            shared: btf.offset("io_ring_ctx.rings")?,
            queued: btf.offset("io_rings.sq.tail")?,
            begun: btf.offset("io_ring_ctx.cached_sq_head")?,
            head: btf.offset("io_rings.cq.head")?,
            setup: btf.offset("io_ring_ctx.flags")?,
            tail: btf.offset("io_ring_ctx.cached_cq_tail")?,
            text: btf.offset("filename.name")?,
            rw: (command("io_rw.kiocb.ki_pos", 8)?, command("io_rw.len", 4)?),
            sync: command("io_sync.flags", 4)?,
            // An older kernel has fewer opcodes.
            kinds: ROWS.iter().filter_map(|row| kind(row).ok()).collect(),
        })
    }

    /// Decodes a submitted request, still without times.
    pub fn asked(&self, record: &Record<'_>) -> Asked {
        /// The descriptor is an index in the ring's own file table (REQ_F_FIXED_FILE).
        const FIXED_FILE: u64 = 1;
        /// Requests on sockets, pipes, memory, time, other requests: by their numbers in include/uapi/linux/io_uring.h (Linux 6.18).
        const NO_FILE: &[u64] = &[
            0, 6, 7, 9, 10, 11, 12, 13, 14, 15, 16, 20, 25, 26, 27, 29, 31, 32, 33, 34, 40, 45, 47, 48, 49, 50, 51, 52, 53, 54,
            56, 57, 58, 59, 62, 63,
        ];
        let fixed = record.u64(at::ARGS + 24) & FIXED_FILE != 0;
        let index = i64::from(record.arg(2) as u32 as i32);
        let fd = (!fixed).then_some(index);
        let slot = fixed.then(|| u32::try_from(index).unwrap_or(u32::MAX));
        let plain = |event: Option<Event>| event.map_or(Asked::Lost(Loss::Requests), |event| Asked::Event(event, slot));
        match record.arg(1) {
            // READ_FIXED, READ; WRITE_FIXED, WRITE; READV, READV_FIXED; WRITEV, WRITEV_FIXED.
            4 | 22 => plain(self.transfer(record, fd, [Syscall::uring_read, Syscall::uring_read_on])),
            5 | 23 => plain(self.transfer(record, fd, [Syscall::uring_write, Syscall::uring_write_on])),
            1 | 60 => plain(self.transfer(record, fd, [Syscall::uring_read, Syscall::uring_read_on]).map(vectored)),
            2 | 61 => plain(self.transfer(record, fd, [Syscall::uring_write, Syscall::uring_write_on]).map(vectored)),
            3 => plain(self.sync(record, fd)),
            46 | 64 => Asked::Lost(Loss::Commands),
            opcode if NO_FILE.contains(&opcode) => Asked::NoFile,
            opcode => match self.kinds.iter().find(|kind| u64::from(kind.opcode) == opcode) {
                Some(kind) => kind.decoded(record, fd, slot).unwrap_or(Asked::Lost(lost(opcode))),
                None => Asked::Lost(lost(opcode)),
            },
        }
    }

    /// A read or write: the first of these calls at a place in the file, the second at the position of the descriptor.
    fn transfer(&self, record: &Record<'_>, fd: Option<i64>, [at_place, on]: [Syscall; 2]) -> Option<Event> {
        let field = |at, size| number(record.behind(), at, size);
        let (count, offset) = (field(self.rw.1, 4)?, field(self.rw.0, 8)?);
        let mut event = request(if offset == SHARED { on } else { at_place }, fd, Some((count, offset)));
        if offset == SHARED {
            event.put(Col::Offset, None);
        }
        Some(event)
    }

    fn sync(&self, record: &Record<'_>, fd: Option<i64>) -> Option<Event> {
        const DATASYNC: i64 = 1;
        let data = number(record.behind(), self.sync, 4)? & DATASYNC != 0;
        Some(request(if data { Syscall::uring_fdatasync } else { Syscall::uring_fsync }, fd, None))
    }
}

/// What a submitted request is.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "one is made for each request, and taken apart at once")]
pub enum Asked {
    /// A call on a file. Where it is about an entry of the ring's own table of files in place of a descriptor: that entry,
    /// `u32::MAX` for one that the kernel chooses.
    Event(Event, Option<u32>),
    /// Something that is not captured.
    Lost(Loss),
    /// Nothing that concerns a file.
    NoFile,
}

impl Kind {
    fn decoded(&self, record: &Record<'_>, fd: Option<i64>, fixed: Option<u32>) -> Option<Asked> {
        let command = record.behind();
        let mut slot = fixed;
        if let Some(at) = self.slot
            && let own @ 1.. = number(command, at, 4)?
        {
            // IORING_FILE_INDEX_ALLOC (all bits set): the kernel chooses.
            slot = Some(u32::try_from(own - 1).ok().filter(|slot| *slot != u32::MAX - 1).unwrap_or(u32::MAX));
        }
        let mut event = Event::new(self.syscall);
        if self.syscall.def().has(Role::Fd) {
            event.put(Col::Fd, fd);
        }
        for (col, at, size) in &self.fields {
            event.set(*col, number(command, *at, *size)?);
        }
        for (which, (text, _)) in self.names.iter().enumerate() {
            event.set_text(*text, record.string(which)?);
        }
        if self.syscall == Syscall::uring_splice {
            // The descriptor of the request is the one that is written to; an offset of -1 is the position of its descriptor.
            const IN_FIXED: i64 = 1 << 31;
            let both = event.int(Col::Flags).is_some_and(|flags| flags & IN_FIXED == 0) && fixed.is_none();
            event.set(Col::Fd2, fd.filter(|_| both)?);
            for col in [Col::Offset, Col::Offset2] {
                let at = event.int(col).filter(|at| *at != SHARED);
                event.put(col, at);
            }
        }
        // Without O_CREAT the mode is not used.
        let makes = |flags| flags & (flag::O_CREAT | flag::TMPFILE) != 0;
        if event.int(Col::Flags).is_some_and(|flags| !makes(flags)) && self.syscall.def().has(Role::OpenFlags) {
            event.put(Col::Mode, None);
        }
        Some(Asked::Event(event, slot))
    }
}

/// IORING_OP_SPLICE.
const SPLICE: u8 = 30;

/// What is lost with a request of this opcode that is not understood.
fn lost(opcode: u64) -> Loss {
    match opcode {
        30 => Loss::Splices,
        41..=44 => Loss::Attributes,
        _ => Loss::Requests,
    }
}

/// A number of `|size|` bytes at offset `at`, signed when `size` is negative; `None` when the bytes end before it.
fn number(bytes: &[u8], at: usize, size: i8) -> Option<i64> {
    let bytes = bytes.get(at..)?;
    Some(match size {
        2 => i64::from(u16::from_ne_bytes(*bytes.first_chunk()?)),
        4 => i64::from(u32::from_ne_bytes(*bytes.first_chunk()?)),
        -4 => i64::from(i32::from_ne_bytes(*bytes.first_chunk()?)),
        _ => i64::from_ne_bytes(*bytes.first_chunk()?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::capture::kernel::record::{FIXED, Maker, flag};

    /// A record of a request whose command has these bytes.
    fn record(opcode: u64, command: &[u8], names: &[&[u8]]) -> Vec<u8> {
        let mut maker = Maker::default();
        maker.begin(1, 1, flag::ASKED);
        maker.put(at::ARGS + 8, &opcode.to_ne_bytes());
        for (which, name) in (0..).zip(names) {
            maker.append(at::STRINGS + 2 * which, name);
        }
        maker.append(at::BEHIND, command);
        assert!(maker.bytes().len() >= FIXED as usize);
        maker.bytes().to_vec()
    }

    #[test]
    fn every_opcode_fills_the_arguments_of_its_call() {
        for row in ROWS {
            let columns = row.fields.iter().map(|(col, ..)| *col);
            let known: Vec<_> = row.syscall.def().args.iter().filter_map(|role| role.col()).collect();
            assert!(columns.clone().all(|col| known.contains(&col) || col == Col::Resolve), "{}", row.syscall.name());
            let texts: Vec<_> = row.syscall.def().args.iter().filter_map(|role| role.text()).collect();
            assert!(row.names.len() == texts.len() && row.names.iter().all(|(text, _)| texts.contains(text)));
        }
    }

    #[test]
    fn a_kind_is_read_from_where_the_kernel_has_it() {
        let fields = vec![(Col::DirFd, 8, -4), (Col::Flags, 16, 8), (Col::Mode, 24, 8)];
        let names = vec![(Text::Path, 32)];
        let kind = Kind { opcode: 18, syscall: Syscall::uring_openat, fields, slot: Some(12), names };
        let rings = Rings { kinds: vec![kind], ..Rings::default() };
        let mut command = vec![0; COMMAND as usize];
        command[8..12].copy_from_slice(&(-100i32).to_ne_bytes());
        command[16..24].copy_from_slice(&0o102u64.to_ne_bytes());
        command[24..32].copy_from_slice(&0o640u64.to_ne_bytes());
        let bytes = record(18, &command, &[b"a/b\0"]);
        let Asked::Event(event, None) = rings.asked(&Record::parse(&bytes).unwrap()) else { panic!("no event") };
        assert_eq!((event.int(Col::DirFd), event.int(Col::Flags), event.int(Col::Mode)), (Some(-100), Some(0o102), Some(0o640)));
        assert_eq!((event.text(Text::Path), event.int(Col::Fd)), (Some(&b"a/b"[..]), None));
        // Without a name, of an unknown kind: not told.
        let bytes = record(18, &command, &[]);
        let asked = |bytes: &[u8]| rings.asked(&Record::parse(bytes).unwrap());
        assert_eq!(asked(&bytes), Asked::Lost(Loss::Requests));
        assert_eq!(asked(&record(99, &command, &[])), Asked::Lost(Loss::Requests));
        assert_eq!(
            [30, 44, 46].map(|opcode| asked(&record(opcode, &command, &[]))),
            [Loss::Splices, Loss::Attributes, Loss::Commands].map(Asked::Lost)
        );
        assert_eq!(asked(&record(13, &command, &[])), Asked::NoFile, "accept");
        // Into the table of the ring: at a place, or where the kernel likes.
        for (number, expected) in [(7_u32, 6), (u32::MAX, u32::MAX)] {
            command[12..16].copy_from_slice(&number.to_ne_bytes());
            let bytes = record(18, &command, &[b"a/b\0"]);
            let Asked::Event(_, slot) = asked(&bytes) else { panic!("no event") };
            assert_eq!(slot, Some(expected));
        }
    }

    #[test]
    fn an_offset_of_all_bits_is_the_position_of_the_descriptor() {
        let rings = Rings { rw: (0, 8), ..Rings::default() };
        let asked = |offset: i64| {
            let mut command = vec![0; COMMAND as usize];
            command[..8].copy_from_slice(&offset.to_ne_bytes());
            command[8..12].copy_from_slice(&10_u32.to_ne_bytes());
            let bytes = record(23, &command, &[]);
            let Asked::Event(event, _) = rings.asked(&Record::parse(&bytes).unwrap()) else { panic!("no event") };
            (event.syscall, event.int(Col::Offset), event.int(Col::Count))
        };
        assert_eq!(asked(-1), (Syscall::uring_write_on, None, Some(10)));
        assert_eq!(asked(7), (Syscall::uring_write, Some(7), Some(10)));
    }
}
