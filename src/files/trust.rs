//! Checks of owners and modes: whether other users could replace or change what ioriot makes in a directory.

use super::Dir;
use crate::os::user::asker;
pub use crate::os::user::{our_group, us};
use anyhow::{Context, Result, bail};
use rustix::fs::{Gid, Mode, OFlags, Stat, Uid};
use std::os::fd::AsFd;
use std::path::Path;

const ROOT: u32 = 0;
/// Permission bits of group and others.
const OTHERS: u32 = 0o077;

/// Does a file belong to the effective user of this process or, under sudo(8), to the user who called it?
pub fn ours(stat: &Stat) -> bool {
    stat.st_uid == us() || Some(stat.st_uid) == asker()
}

/// Does a file belong to the effective user of this process, and is it not writable by group or others?
pub fn mine(stat: &Stat) -> bool {
    stat.st_uid == us() && stat.st_mode & 0o022 == 0
}

/// As [`mine`], of an open file; false when its attributes cannot be read.
pub fn mine_open(file: impl AsFd) -> bool {
    rustix::fs::fstat(file).is_ok_and(|stat| mine(&stat))
}

/// Does an open file belong to root or to us ([`ours`]), and can nobody else write it?
///
/// # Errors
/// When its attributes cannot be read.
pub fn only_ours(file: impl AsFd) -> std::io::Result<bool> {
    let stat = rustix::fs::fstat(file)?;
    Ok((stat.st_uid == ROOT || ours(&stat)) && stat.st_mode & 0o022 == 0)
}

/// Makes a directory that is [`ours`] private: owned by the effective user of this process, mode 0700.
///
/// # Errors
/// When it belongs to another user, or its file system has no owners and modes.
pub fn close(dir: &Dir) -> Result<()> {
    let stat = dir.stat()?;
    if ours(&stat) {
        let failed = || format!("cannot close {} to others", dir.path().display());
        if stat.st_uid != us() {
            rustix::fs::fchown(dir, Some(Uid::from_raw(us())), Some(Gid::from_raw(our_group()))).with_context(failed)?;
        }
        rustix::fs::fchmod(dir, Mode::RWXU).with_context(failed)?;
    }
    private(dir)
}

/// Checks that a directory is private: owned by the effective user of this process, without permissions for group and others,
/// so that nobody else can have put anything there.
///
/// # Errors
/// When it is not private; the message names its owner and mode.
pub fn private(dir: &Dir) -> Result<()> {
    let stat = dir.stat()?;
    if stat.st_uid == us() && stat.st_mode & OTHERS == 0 {
        return Ok(());
    }
    bail!(
        "{} belongs to user {} and has mode {:04o}, and should belong to user {} and have mode 0700: what others can change is \
         not trusted",
        dir.path().display(),
        stat.st_uid,
        stat.st_mode & 0o7777,
        us(),
    )
}

/// Checks that no other user can replace what this process writes, deletes or mounts in a directory: it and all directories
/// above must belong to root or be [`ours`], and be writable for nobody else, unless they are sticky like /tmp.
///
/// # Errors
/// When one of them is not so; the message names it and says what to do.
pub fn trusted(dir: &Dir) -> Result<()> {
    let shown = || std::fs::canonicalize(dir.path()).unwrap_or_else(|_| dir.path().to_owned());
    let mut stat = dir.stat()?;
    let mut above: Option<std::os::fd::OwnedFd> = None;
    for level in 0.. {
        if let Some(fault) = fault(&stat) {
            let shown = shown();
            let at = shown.ancestors().nth(level).unwrap_or(Path::new("/"));
            bail!(
                "{} is no place to work in: {} (user {}, mode {:04o}) {fault}. Choose another directory, or {}",
                shown.display(),
                at.display(),
                stat.st_uid,
                stat.st_mode & 0o7777,
                fault.remedy(at),
            );
        }
        let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let next = match &above {
            None => rustix::fs::openat(dir, "..", flags, Mode::empty()),
            Some(fd) => rustix::fs::openat(fd, "..", flags, Mode::empty()),
        };
        let next = next.with_context(|| format!("cannot see who may write above {}", shown().display()))?;
        let found = rustix::fs::fstat(&next)?;
        if super::Id::of(&found) == super::Id::of(&stat) {
            break; // `..` of / is / (path_resolution(7))
        }
        (stat, above) = (found, Some(next));
    }
    Ok(())
}

/// Why a directory is not trusted: its owner is another user, or others may write to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fault {
    Owner,
    Writers,
}

fn fault(stat: &Stat) -> Option<Fault> {
    if stat.st_uid != ROOT && !ours(stat) {
        return Some(Fault::Owner);
    }
    // A group with the number of its owner is that user's private group, as distributions make them (useradd(8),
    // USERGROUPS_ENAB): group write permission is then no fault.
    let shared = if stat.st_gid == stat.st_uid { 0o002 } else { 0o022 };
    // In a sticky directory only the owner of an entry, or of the directory, can move it (inode(7)).
    (stat.st_mode & shared != 0 && stat.st_mode & 0o1000 == 0).then_some(Fault::Writers)
}

impl Fault {
    fn remedy(self, at: &Path) -> String {
        match self {
            Fault::Owner => "work as that user".into(),
            Fault::Writers => format!("take that from them: chmod go-w {}", at.display()),
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Fault::Owner => "is another user's, who can replace what is in it",
            Fault::Writers => "lets others replace what is in it",
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::skip::{Need, skip};
    use std::fs::{self, Permissions};
    use std::os::unix::fs::{PermissionsExt, chown};

    /// A directory with a directory with this owner and mode in it, and one of ours in that.
    fn below(uid: Option<u32>, mode: u32) -> (tempfile::TempDir, Dir) {
        let temp = tempfile::tempdir().unwrap();
        let middle = temp.path().join("middle");
        fs::create_dir_all(middle.join("inner")).unwrap();
        fs::set_permissions(&middle, Permissions::from_mode(mode)).unwrap();
        fs::set_permissions(middle.join("inner"), Permissions::from_mode(0o700)).unwrap();
        chown(&middle, uid, uid).unwrap();
        let dir = Dir::open(&middle.join("inner")).unwrap();
        (temp, dir)
    }

    #[test]
    fn all_above_must_be_out_of_reach_of_others() {
        for (mode, fine) in [(0o700, true), (0o755, true), (0o1777, true), (0o757, false), (0o777, false), (0o2777, false)] {
            let (_temp, dir) = below(None, mode);
            let said = trusted(&dir);
            assert_eq!(said.is_ok(), fine, "{mode:o}: {said:?}");
            if let Err(error) = said {
                let error = error.to_string();
                assert!(error.contains("middle (user ") && error.contains("chmod go-w /"), "{error}");
            }
        }
    }

    #[test]
    fn a_group_of_ones_own_is_not_others() {
        let (_temp, dir) = below(None, 0o775);
        let stat = fs::metadata(dir.path().parent().unwrap()).unwrap();
        use std::os::unix::fs::MetadataExt;
        assert_eq!(trusted(&dir).is_ok(), stat.uid() == stat.gid());
        if us() == ROOT {
            chown(dir.path().parent().unwrap(), None, Some(100)).unwrap();
            assert!(trusted(&dir).is_err());
        }
    }

    #[test]
    fn another_users_directory_is_no_place() {
        if us() != ROOT {
            return skip(Need::Root, "nobody else can give a directory away");
        }
        let (_temp, dir) = below(Some(65534), 0o755);
        private(&dir).unwrap();
        let error = trusted(&dir).unwrap_err().to_string();
        assert!(error.contains("middle (user 65534, mode 0755) is another user's"), "{error}");
        let (_temp, dir) = below(Some(65534), 0o1777);
        assert!(trusted(&dir).is_err(), "the owner of a sticky directory may move everything in it");
    }

    #[test]
    fn what_is_private_is_of_this_user_and_closed() {
        let (_temp, dir) = below(None, 0o755);
        private(&dir).unwrap();
        for mode in [0o750, 0o701, 0o770] {
            fs::set_permissions(dir.path(), Permissions::from_mode(mode)).unwrap();
            assert!(private(&dir).unwrap_err().to_string().contains(&format!("mode {mode:04o}")));
        }
        if us() == ROOT {
            fs::set_permissions(dir.path(), Permissions::from_mode(0o700)).unwrap();
            chown(dir.path(), Some(65534), None).unwrap();
            assert!(private(&dir).unwrap_err().to_string().contains("belongs to user 65534"));
        }
    }
}
