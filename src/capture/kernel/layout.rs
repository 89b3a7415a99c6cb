//! Offsets and type ids in the running kernel that the eBPF programs are made with.

use super::btf::{Btf, Kind};
use anyhow::Result;
use std::fmt;

/// Offsets of structure fields (bytes) and BTF ids of a kernel, resolved by [`Btf`].
#[derive(Clone, Debug)]
pub struct Layout {
    /// Offsets in `struct pt_regs` of the registers that hold the six arguments of a call.
    pub args: [i16; 6],
    /// Offset in `struct pt_regs` of the register that holds the number of the call.
    pub number: i16,
    /// Offset in `struct task_struct` of the flags that tell whether a task is in a 32-bit call, and the bits that say so.
    pub compat: (i16, i32),
    /// How calls of 32-bit programs are recognised and read; `None` where they are not captured.
    pub narrow: Option<Narrow>,
    /// BTF ids for typed reads through any kernel pointer (`bpf_rdonly_cast`, Linux 6.2), which are several times faster than
    /// copying field by field; `None` where the kernel has no such function.
    pub cast: Option<Cast>,
    /// Has the kernel `bpf_loop` (Linux 5.17), which calls a function of a program repeatedly?
    pub loops: bool,
    /// Offsets of kernel structure fields by name, bytes.
    pub at: Fields,
}

/// How calls of 32-bit (i386) programs are recognised and where their arguments are.
#[derive(Clone, Copy, Debug, Default)]
pub struct Narrow {
    /// Offset in `struct pt_regs` of the code segment register, and its value for 32-bit code.
    pub segment: (i16, i32),
    /// Offsets in `struct pt_regs` of the registers that hold the six arguments of a 32-bit call.
    pub args: [i16; 6],
}

/// BTF ids for `bpf_rdonly_cast`, which makes a typed pointer of any address.
#[derive(Clone, Copy, Debug)]
pub struct Cast {
    /// BTF id of the function `bpf_rdonly_cast` itself.
    pub function: u32,
    /// BTF id of `struct task_struct`.
    pub task: u32,
    /// BTF id of `struct file`.
    pub file: u32,
    /// BTF id of `struct mount`.
    pub mount: u32,
    /// BTF id of `struct path`.
    pub path: u32,
    /// BTF id of a structure that begins with an 8-byte number (`struct timespec64`), used to read any such number.
    pub word: u32,
}

macro_rules! fields {
    ($($field:ident $path:literal;)*) => {
        /// Offsets of fields of kernel structures, bytes; the paths below say which structure and field each is.
        #[derive(Clone, Debug, Default)]
        pub struct Fields { $(pub $field: i16),* }
        impl Fields {
            fn find(btf: &Btf) -> Result<Fields> {
                Ok(Fields { $($field: btf.offset($path)?),* })
            }
            /// Each field as `structure.field`, with its offset.
            fn list(&self) -> Vec<(&'static str, i16)> {
                vec![$(($path, self.$field)),*]
            }
        }
    };
}

fields! {
    pid "task_struct.pid";
    tgid "task_struct.tgid";
    files "task_struct.files";
    comm "task_struct.comm";
    cred "task_struct.cred";
    parent "task_struct.real_parent";
    cgroups "task_struct.cgroups";
    leader "task_struct.group_leader";
    stack "task_struct.stack";
    mm "task_struct.mm";
    words "mm_struct.arg_start";
    words_end "mm_struct.arg_end";
    variables "mm_struct.env_start";
    variables_end "mm_struct.env_end";
    fs "task_struct.fs";
    pwd "fs_struct.pwd";
    root "fs_struct.root";
    spaces "task_struct.nsproxy";
    mount_space "nsproxy.mnt_ns";
    space_number "mnt_namespace.ns.inum";
    uid "cred.uid";
    gid "cred.gid";
    effective "cred.euid";
    cgroup "css_set.dfl_cgrp";
    cgroup_node "cgroup.kn";
    cgroup_parent "cgroup.self.parent";
    css_cgroup "cgroup_subsys_state.cgroup";
    node_id "kernfs_node.id";
    table "files_struct.fdt";
    most "fdtable.max_fds";
    file "fdtable.fd";
    cloexec "fdtable.close_on_exec";
    inode "file.f_inode";
    pos "file.f_pos";
    flags "file.f_flags";
    path "file.f_path";
    mount "path.mnt";
    dentry "path.dentry";
    ino "inode.i_ino";
    size "inode.i_size";
    mode "inode.i_mode";
    super_block "inode.i_sb";
    dev "super_block.s_dev";
    name "dentry.d_name.name";
    name_length "dentry.d_name.len";
    dentry_parent "dentry.d_parent";
    hashed "dentry.d_hash.pprev";
    mount_root "vfsmount.mnt_root";
    mount_inner "mount.mnt";
    mount_parent "mount.mnt_parent";
    mountpoint "mount.mnt_mountpoint";
}

/// Environment variable that makes this kernel pass for an older one, so that a test can load the programs made for that:
/// `IORIOT_AS_KERNEL=6.1`.
const AS_KERNEL: &str = "IORIOT_AS_KERNEL";

/// Is this kernel to pass (by [`AS_KERNEL`]) for one older than this version?
fn older_than(version: (u32, u32)) -> bool {
    let Ok(said) = std::env::var(AS_KERNEL) else { return false };
    let mut numbers = said.split('.').map(|number| number.parse().unwrap_or(0));
    (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0)) < version
}

impl Layout {
    /// Resolves the layout from the BTF of a kernel.
    ///
    /// # Errors
    /// When the kernel lacks a structure or field that is needed.
    pub fn find(btf: &Btf) -> Result<Layout> {
        let cast = || -> Result<Cast> {
            Ok(Cast {
                function: btf.id(Kind::Func, "bpf_rdonly_cast")?,
                task: btf.id(Kind::Struct, "task_struct")?,
                file: btf.id(Kind::Struct, "file")?,
                mount: btf.id(Kind::Struct, "mount")?,
                path: btf.id(Kind::Struct, "path")?,
                word: btf.id(Kind::Struct, "timespec64")?,
            })
        };
        let mut args = [0; 6];
        for (slot, path) in args.iter_mut().zip(arch::ARGS) {
            *slot = btf.offset(path)?;
        }
        #[cfg(not(target_arch = "x86_64"))]
        for (place, slot) in args.iter_mut().enumerate().skip(1) {
            // `regs` is an array; the first argument is kept apart in `orig_x0`, since the result overwrites it.
            *slot += 8 * place as i16;
        }
        Ok(Layout {
            args,
            number: btf.offset(arch::NUMBER)?,
            compat: (btf.offset(arch::COMPAT.0)?, arch::COMPAT.1),
            narrow: arch::narrow(btf)?,
            cast: cast().ok().filter(|_| !older_than((6, 2))),
            loops: btf.id(Kind::Func, "bpf_loop").is_ok() && !older_than((5, 17)),
            at: Fields::find(btf)?,
        })
    }
}

/// Names of the register fields of x86_64 (`struct pt_regs`).
#[cfg(target_arch = "x86_64")]
mod arch {
    use super::{Btf, Narrow, Result};
    pub const ARGS: [&str; 6] = ["pt_regs.di", "pt_regs.si", "pt_regs.dx", "pt_regs.r10", "pt_regs.r8", "pt_regs.r9"];
    pub const NUMBER: &str = "pt_regs.orig_ax";
    /// Field and bit that mark a task in a 32-bit call (TS_COMPAT).
    pub const COMPAT: (&str, i32) = ("task_struct.thread_info.status", 2);
    /// Code segment of 32-bit code (__USER32_CS).
    const SEGMENT: i32 = 0x23;

    pub fn narrow(btf: &Btf) -> Result<Option<Narrow>> {
        let names = ["pt_regs.bx", "pt_regs.cx", "pt_regs.dx", "pt_regs.si", "pt_regs.di", "pt_regs.bp"];
        let mut narrow = Narrow { segment: (btf.offset("pt_regs.cs")?, SEGMENT), args: [0; 6] };
        for (slot, name) in narrow.args.iter_mut().zip(names) {
            *slot = btf.offset(name)?;
        }
        Ok(Some(narrow))
    }
}

#[cfg(not(target_arch = "x86_64"))]
mod arch {
    use super::{Btf, Narrow, Result};
    pub const ARGS: [&str; 6] =
        ["pt_regs.orig_x0", "pt_regs.regs", "pt_regs.regs", "pt_regs.regs", "pt_regs.regs", "pt_regs.regs"];
    pub const NUMBER: &str = "pt_regs.syscallno";
    /// Field and bit that mark a 32-bit task (TIF_32BIT).
    pub const COMPAT: (&str, i32) = ("task_struct.thread_info.flags", 1 << 22);

    /// 32-bit calls are not decoded here.
    pub fn narrow(_: &Btf) -> Result<Option<Narrow>> {
        Ok(None)
    }
}

/// Message for kernels without [`Layout::cast`].
pub const COPIED: &str = "bpf_rdonly_cast is missing (Linux 6.2 has it): fields are copied one by one, so a call costs more";

impl fmt::Display for Layout {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (path, offset) in arch::ARGS.iter().zip(self.args).chain([(&arch::NUMBER, self.number)]) {
            writeln!(f, "{path:<32} {offset:>6}")?;
        }
        for (path, offset) in self.at.list() {
            writeln!(f, "{path:<32} {offset:>6}")?;
        }
        match self.cast {
            Some(cast) => writeln!(f, "{:<32} {:>6}", "bpf_rdonly_cast", cast.function),
            None => writeln!(f, "{COPIED}"),
        }
    }
}

#[cfg(test)]
impl Layout {
    /// A kernel whose fields are all at 0 but the registers, for tests of what the programs are.
    pub fn example() -> Layout {
        Layout {
            args: [112, 104, 96, 56, 72, 64],
            number: 120,
            compat: (16, 2),
            narrow: Some(Narrow { segment: (136, 0x23), args: [40, 88, 96, 104, 112, 32] }),
            cast: Some(Cast { function: 1, task: 5, file: 2, mount: 3, word: 4, path: 6 }),
            loops: true,
            at: Fields::default(),
        }
    }
}
