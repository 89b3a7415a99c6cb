//! Option `--syscalls`: a list of calls to capture, such as `@io,@meta,!fsync`.

use crate::syscall::{Op, Replay, Ret, Role, Syscall};
use anyhow::{Context, Result};

/// A set of system calls: one flag for each row of the syscall table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Calls(Vec<bool>);

/// Named groups of calls that a list may use, each with a description.
pub const GROUPS: &[(&str, &str)] = &[
    ("@all", "every call of the table"),
    ("@io", "calls that move data, positions or sizes, and that make them durable"),
    ("@fd", "calls that make, copy and close descriptors"),
    ("@meta", "calls on names and attributes"),
    ("@proc", "fork, exec, exit, and what else a replay needs to know of processes"),
];

/// Is a call in a group? `None` when there is no such group. Every call is in exactly one group beside `@all`.
fn in_group(group: &str, syscall: Syscall) -> Option<bool> {
    let def = syscall.def();
    let moves = matches!(def.ret, Ret::Bytes | Ret::Pos) || def.has(Role::Iov);
    let process = syscall == Syscall::other || def.op().is_some_and(Op::of_process);
    let fd = def.ret == Ret::NewFd
        || matches!(def.op(), Some(Op::Close | Op::CloseRange | Op::Dup | Op::Fcntl))
        || matches!(def.replay, Replay::Model(Op::Special));
    let names = def.args.iter().any(|role| matches!(role, Role::Path | Role::Stat | Role::Statx | Role::Name));
    let meta =
        !process && !fd && !moves && (names || matches!(def.op(), Some(Op::Getdents | Op::Getdents64 | Op::Fchmod | Op::Fchown)));
    Some(match group {
        "@all" => true,
        "@io" => !process && !fd && !meta,
        "@fd" => fd,
        "@meta" => meta,
        "@proc" => process,
        _ => return None,
    })
}

impl Calls {
    /// The set of all calls of the syscall table.
    pub fn all() -> Calls {
        Calls(vec![true; Syscall::ALL.len()])
    }

    /// Parses a list of groups and names, from left to right; `!` in front removes a call or group from the set. A list that
    /// begins with `!` starts with all calls.
    ///
    /// # Errors
    /// When a word names no call and no group.
    pub fn parse(list: &str) -> Result<Calls> {
        let mut set = vec![list.trim_start().starts_with('!'); Syscall::ALL.len()];
        for word in list.split(',').map(str::trim).filter(|word| !word.is_empty()) {
            let (name, wanted) = word.strip_prefix('!').map_or((word, true), |name| (name, false));
            if name.starts_with('@') {
                let groups = || GROUPS.iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
                for (slot, syscall) in set.iter_mut().zip(Syscall::ALL) {
                    let inside = in_group(name, *syscall);
                    if inside.with_context(|| format!("there is no group {name} of calls: there are {}", groups()))? {
                        *slot = wanted;
                    }
                }
                continue;
            }
            let syscall = Syscall::parse(name.as_bytes());
            let syscall = syscall.with_context(|| format!("the table has no call {name}: `ioriot syscalls` lists them"))?;
            set[syscall as usize] = wanted;
        }
        Ok(Calls(set))
    }

    /// Does the set have all of groups `@fd` and `@proc`, which are needed to know which file a descriptor refers to?
    pub fn follows(&self) -> bool {
        let matters = |syscall: &Syscall| in_group("@fd", *syscall) == Some(true) || in_group("@proc", *syscall) == Some(true);
        Syscall::ALL.iter().filter(|syscall| matters(syscall)).all(|syscall| self.has(*syscall))
    }

    /// Is this call in the set?
    pub fn has(&self, syscall: Syscall) -> bool {
        self.0[syscall as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_names_add_up_from_left_to_right() {
        let calls = Calls::parse("@io,openat,!fsync").unwrap();
        assert!(calls.has(Syscall::read) && calls.has(Syscall::openat) && calls.has(Syscall::ftruncate));
        assert!(!calls.has(Syscall::fsync) && !calls.has(Syscall::stat));
        let all_but_one = Calls::parse("!read").unwrap();
        assert!(all_but_one.has(Syscall::write) && !all_but_one.has(Syscall::read));
        assert!(Calls::parse("@nothing").is_err() && Calls::parse("no_such_call").is_err());
    }

    /// Every call is in one group, so that the groups together are all.
    #[test]
    fn the_groups_split_the_table() {
        for syscall in Syscall::ALL {
            let groups = ["@io", "@fd", "@meta", "@proc"].iter().filter(|group| in_group(group, *syscall) == Some(true));
            assert_eq!(groups.count(), 1, "{}", syscall.name());
        }
        let has = |group: &str, call| in_group(group, call).unwrap();
        assert!(has("@meta", Syscall::rename) && has("@meta", Syscall::getxattr) && has("@fd", Syscall::pipe2));
        assert!(has("@io", Syscall::fallocate) && has("@io", Syscall::copy_file_range) && has("@proc", Syscall::chdir));
    }
}
