//! Syscall numbers of each architecture, and names that logs use: for calls whose name the tracer did not know, or knew
//! otherwise.

mod generic;
mod i386;
mod x86_64;

use super::Syscall;

/// From this number on a call has the same number on (nearly) every architecture: those added since Linux 5.1.
const COMMON: usize = 424;

/// Names of the calls from number [`COMMON`] on, by number.
#[rustfmt::skip]
const LATER: &[&str] = &[
    "pidfd_send_signal", "io_uring_setup", "io_uring_enter", "io_uring_register", "open_tree", "move_mount",
    "fsopen", "fsconfig", "fsmount", "fspick", "pidfd_open", "clone3", "close_range", "openat2", "pidfd_getfd",
    "faccessat2", "process_madvise", "epoll_pwait2", "mount_setattr", "quotactl_fd", "landlock_create_ruleset",
    "landlock_add_rule", "landlock_restrict_self", "memfd_secret", "process_mrelease", "futex_waitv",
    "set_mempolicy_home_node", "cachestat", "fchmodat2", "map_shadow_stack", "futex_wake", "futex_wait",
    "futex_requeue", "statmount", "listmount", "lsm_get_self_attr", "lsm_set_self_attr", "lsm_list_modules",
    "mseal", "setxattrat", "getxattrat", "listxattrat", "removexattrat", "open_tree_attr", "file_getattr",
    "file_setattr", "listns",
];

/// Which numbering of syscalls a program uses: the kernel has a table for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abi {
    /// Syscall numbers of 64-bit programs on x86.
    X86_64,
    /// Syscall numbers of 32-bit programs on x86.
    I386,
    /// Syscall numbers of newer architectures: aarch64, riscv64 and others (asm-generic/unistd.h).
    Generic,
}

impl Abi {
    /// The table for the architecture that this program was built for.
    pub const NATIVE: Abi = if cfg!(target_arch = "x86_64") { Abi::X86_64 } else { Abi::Generic };

    const fn first(self) -> &'static [&'static str] {
        match self {
            Abi::X86_64 => x86_64::FIRST,
            Abi::I386 => i386::FIRST,
            Abi::Generic => generic::FIRST,
        }
    }

    /// The name of the call with this number, as the kernel's table has it; `None` if there is none.
    pub fn name(self, number: usize) -> Option<&'static str> {
        self.first().get(number).copied().filter(|name| !name.is_empty()).or_else(|| common(number))
    }

    /// The number of the call with this name; `None` if the table has none.
    pub fn number(self, name: &str) -> Option<u16> {
        let at = |names: &[&str]| names.iter().position(|known| *known == name && !name.is_empty());
        let number = at(self.first()).or_else(|| Some(at(LATER)? + COMMON))?;
        u16::try_from(number).ok()
    }
}

/// Calls of ours whose name in the kernel's table of i386 is another (`Some`), or that have none there (`None`): there the
/// plain name is the call with 16-bit owners, or (mmap) takes its arguments in a structure.
const RENAMED: &[(Syscall, Option<&str>)] = &[
    (Syscall::chown16, Some("chown")),
    (Syscall::chown, None),
    (Syscall::lchown16, Some("lchown")),
    (Syscall::lchown, None),
    (Syscall::fchown16, Some("fchown")),
    (Syscall::fchown, None),
    (Syscall::setuid16, Some("setuid")),
    (Syscall::setuid, None),
    (Syscall::setreuid16, Some("setreuid")),
    (Syscall::setreuid, None),
    (Syscall::setresuid16, Some("setresuid")),
    (Syscall::setresuid, None),
    (Syscall::setfsuid16, Some("setfsuid")),
    (Syscall::setfsuid, None),
    (Syscall::mmap, None),
];

impl Syscall {
    /// The call's number; `None` when the table has no such call.
    pub fn number(self, abi: Abi) -> Option<u16> {
        let renamed = RENAMED.iter().find(|(syscall, _)| abi == Abi::I386 && *syscall == self);
        abi.number(renamed.map_or(Some(self.name()), |(_, name)| *name)?)
    }
}

/// The name of a call that has this number on every architecture; `None` for a number below 424 or one not known.
pub fn common(number: usize) -> Option<&'static str> {
    LATER.get(number.checked_sub(COMMON)?).copied()
}

/// Names of calls that appear in logs and in no table of numbers here; all of other architectures than x86_64.
#[rustfmt::skip]
const FOREIGN: &[&str] = &[
    "arm_fadvise64_64", "chown16", "fchown16", "lchown16", "old_mmap", "recv", "send", "set_tls", "setfsuid16",
    "setresuid16", "setreuid16", "setuid16", "sync_file_range2",
];

/// Is this the name of a call that x86_64 does not have, but i386 or another architecture?
pub fn foreign(name: &str) -> bool {
    FOREIGN.contains(&name) || Abi::I386.number(name).is_some() && Abi::X86_64.number(name).is_none()
}

/// Is this the name of a call that x86_64 has, and newer architectures left out?
pub fn only_x86(name: &str) -> bool {
    Abi::X86_64.number(name).is_some() && Abi::Generic.number(name).is_none()
}

/// The call that other tracers or other architectures call by this name, with the same arguments; `None` for a name that is no
/// such alias.
pub fn alias(name: &[u8]) -> Option<Syscall> {
    Some(match name {
        b"pread" => Syscall::pread64,
        b"pwrite" => Syscall::pwrite64,
        b"preadv64" => Syscall::preadv,
        b"pwritev64" => Syscall::pwritev,
        b"preadv64v2" => Syscall::preadv2,
        b"pwritev64v2" => Syscall::pwritev2,
        b"llseek" => Syscall::_llseek,
        b"fstatat" => Syscall::newfstatat,
        b"oldstat" => Syscall::stat,
        b"oldlstat" => Syscall::lstat,
        b"oldfstat" => Syscall::fstat,
        // strace decodes the one argument of old_mmap, a structure, and puts those of arm in the usual order.
        b"old_mmap" => Syscall::mmap,
        b"arm_fadvise64_64" => Syscall::fadvise64_64,
        b"utimensat_time64" => Syscall::utimensat,
        b"old_readdir" => Syscall::readdir,
        b"_exit" => Syscall::exit,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashMap;

    #[test]
    fn numbers_are_those_of_the_architecture() {
        for (abi, known) in [
            (Abi::X86_64, [(0, "read"), (17, "pread64"), (257, "openat"), (332, "statx"), (439, "faccessat2")]),
            (Abi::I386, [(3, "read"), (180, "pread64"), (295, "openat"), (383, "statx"), (439, "faccessat2")]),
            (Abi::Generic, [(63, "read"), (67, "pread64"), (56, "openat"), (291, "statx"), (439, "faccessat2")]),
        ] {
            for (number, name) in known {
                assert_eq!((abi.name(number), abi.number(name)), (Some(name), Some(number as u16)));
            }
            assert_eq!((abi.name(9999), abi.number("no such call"), abi.number("")), (None, None, None));
        }
        assert_eq!((Abi::X86_64.name(400), common(332), common(435)), (None, None, Some("clone3")));
        for (syscall, x86_64, i386, generic) in [
            (Syscall::open, Some(2), Some(5), None),
            (Syscall::renameat, Some(264), Some(302), Some(38)),
            (Syscall::fchmodat2, Some(452), Some(452), Some(452)),
            (Syscall::chown, Some(92), None, None),
            (Syscall::chown16, None, Some(182), None),
            (Syscall::mmap, Some(9), None, Some(222)),
            (Syscall::fork, Some(57), Some(2), None),
            (Syscall::uring_read, None, None, None),
        ] {
            let numbers = [Abi::X86_64, Abi::I386, Abi::Generic].map(|abi| syscall.number(abi));
            assert_eq!(numbers, [x86_64, i386, generic], "{}", syscall.name());
        }
    }

    #[test]
    fn the_numbers_are_those_of_the_kernel_s_table() {
        for line in include_str!("../../../tests/data/syscall_64.txt").lines() {
            let mut words = line.split_whitespace();
            let number = words.next().and_then(|number| number.parse().ok()).unwrap();
            assert_eq!(Abi::X86_64.name(number), words.next(), "{number}");
        }
    }

    #[test]
    fn no_two_calls_have_one_number() {
        for abi in [Abi::X86_64, Abi::I386, Abi::Generic] {
            let mut seen = HashMap::new();
            for syscall in Syscall::ALL {
                if let Some(number) = syscall.number(abi) {
                    assert!(number < 512, "{}", syscall.name());
                    assert_eq!(seen.insert(number, syscall.name()), None, "{}", syscall.name());
                }
            }
        }
    }

    /// Calls of the table that an architecture lacks.
    #[test]
    fn few_calls_have_no_number() {
        let without = |abi| {
            let calls = Syscall::ALL.iter().filter(|call| call.is_call() && call.number(abi).is_none());
            calls.map(|call| call.name()).collect::<Vec<_>>().join(" ")
        };
        let of_32_bits = "sendfile64 _llseek fcntl64 truncate64 ftruncate64 sync_file_range2 fadvise64_64 mmap2 stat64 lstat64 \
                          fstat64 fstatat64 statfs64 fstatfs64 readdir chown16 chown32 lchown16 lchown32 fchown16 fchown32 \
                          setuid16 setuid32 setreuid16 setreuid32 setresuid16 setresuid32 setfsuid16 setfsuid32 umount";
        assert_eq!(without(Abi::X86_64), of_32_bits);
        assert_eq!(
            without(Abi::I386),
            "sync_file_range2 mmap newfstatat chown lchown fchown setuid setreuid setresuid setfsuid accept"
        );
    }

    #[test]
    fn what_is_foreign_has_no_number() {
        assert!(["stat64", "waitpid", "old_mmap", "utimensat_time64"].iter().all(|name| foreign(name)));
        assert!(["stat", "wait4", "statx", "no such call"].iter().all(|name| !foreign(name)));
        assert!(["open", "stat", "fork"].iter().all(|name| only_x86(name)));
        assert!(["openat", "stat64", "no such call"].iter().all(|name| !only_x86(name)));
        assert!(alias(b"read").is_none());
    }
}
