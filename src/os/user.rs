//! Users and groups: who runs this program, who called sudo, and users given by name or number. Names are looked up in all
//! databases of the machine (nsswitch.conf(5)).

use anyhow::{Context, Result, bail};
use std::ffi::{CStr, CString};
use std::io::Error;

/// A user with the groups that a process of that user runs with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// User id of the user.
    pub uid: u32,
    /// Id of the user's primary group.
    pub gid: u32,
    /// Ids of all groups that the user is in, the primary group first.
    pub groups: Vec<u32>,
}

/// An entry of the user database (passwd(5)).
struct Entry {
    name: CString,
    uid: u32,
    gid: u32,
}

/// Effective user id of this process.
pub fn us() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::geteuid() }
}

/// Effective group id of this process.
pub fn our_group() -> u32 {
    // SAFETY: no arguments.
    unsafe { libc::getegid() }
}

/// Is root (0) the effective user of this process?
pub fn is_root() -> bool {
    us() == 0
}

/// User id of the caller of sudo(8), from SUDO_UID; `None` when this process is not root or that is root. Only root and sudo
/// itself can set that variable for a process of root.
pub fn asker() -> Option<u32> {
    if is_root() { variable("SUDO_UID").filter(|uid| *uid != 0) } else { None }
}

/// The user who called sudo(8) ([`asker`]) with group and further groups; `None` when there is none.
pub fn invoker() -> Option<User> {
    Some(User::of(asker()?, variable("SUDO_GID")?))
}

fn variable(name: &str) -> Option<u32> {
    std::env::var(name).ok()?.parse().ok()
}

impl User {
    /// The user of these ids, with all groups of the user database; with `gid` alone when the user has no entry.
    pub fn of(uid: u32, gid: u32) -> User {
        let known = by_id(uid).ok().flatten();
        User { uid, gid, groups: known.map_or_else(|| vec![gid], |entry| groups(&entry.name, gid)) }
    }

    /// The user of these ids who is in group `gid` and no other.
    pub fn alone(uid: u32, gid: u32) -> User {
        User { uid, gid, groups: vec![gid] }
    }

    /// Finds a user by name or number in the user database; text `UID:GID` needs no entry and means no other group.
    ///
    /// # Errors
    /// When there is no user of this name or number.
    pub fn find(text: &str) -> Result<User> {
        if let Some((uid, gid)) = text.split_once(':')
            && let (Some(uid), Some(gid)) = (id(uid), id(gid))
        {
            return Ok(User::alone(uid, gid));
        }
        let entry = match id(text) {
            Some(uid) => by_id(uid)?,
            None => by_name(text)?,
        };
        let Some(Entry { name, uid, gid }) = entry else {
            bail!("there is no user {text}: give a name or number of this machine, or UID:GID")
        };
        Ok(User { uid, gid, groups: groups(&name, gid) })
    }
}

/// The user id of a user given by name or number; a number needs no entry in the user database.
///
/// # Errors
/// When there is no user of this name.
pub fn number(text: &str) -> Result<u32> {
    id(text).map_or_else(|| Ok(User::find(text)?.uid), Ok)
}

/// Parses a user or group id; `None` when it is no number, or the largest one, which means "no change" to chown(2).
fn id(text: &str) -> Option<u32> {
    text.parse().ok().filter(|id| *id != u32::MAX && text.bytes().all(|byte| byte.is_ascii_digit()))
}

fn by_name(name: &str) -> Result<Option<Entry>> {
    let text = CString::new(name).context("a user's name has no NUL")?;
    // SAFETY: the text ends in NUL, the buffer has the length that is said, the other two are writable.
    entry(|entry, buffer, found| unsafe { libc::getpwnam_r(text.as_ptr(), entry, buffer.as_mut_ptr(), buffer.len(), found) })
        .with_context(|| format!("cannot look up user {name}"))
}

fn by_id(uid: u32) -> Result<Option<Entry>> {
    // SAFETY: the buffer has the length that is said, the other two are writable.
    entry(|entry, buffer, found| unsafe { libc::getpwuid_r(uid, entry, buffer.as_mut_ptr(), buffer.len(), found) })
        .with_context(|| format!("cannot look up user {uid}"))
}

type Look<'a> = dyn Fn(&mut libc::passwd, &mut [libc::c_char], &mut *mut libc::passwd) -> libc::c_int + 'a;

/// Calls a function such as getpwnam_r(3) with a growing buffer; `None` when there is no such entry.
fn entry(look: impl Fn(&mut libc::passwd, &mut [libc::c_char], &mut *mut libc::passwd) -> libc::c_int) -> Result<Option<Entry>> {
    let look: &Look<'_> = &look;
    let mut buffer = vec![0; 4 << 10];
    loop {
        // SAFETY: passwd is pointers and numbers, and zeroes are such.
        let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        return match look(&mut entry, &mut buffer, &mut found) {
            libc::ERANGE if buffer.len() < 1 << 20 => {
                buffer.resize(buffer.len() * 4, 0);
                continue;
            }
            _ if !found.is_null() => {
                // SAFETY: what was found has a name that ends in NUL, in the buffer.
                let name = unsafe { CStr::from_ptr(entry.pw_name) };
                Ok(Some(Entry { name: name.into(), uid: entry.pw_uid, gid: entry.pw_gid }))
            }
            // Errors that mean that there is no such user (getpwnam(3), ERRORS).
            0 | libc::ENOENT | libc::ESRCH | libc::EBADF | libc::EPERM => Ok(None),
            error => Err(Error::from_raw_os_error(error).into()),
        };
    }
}

/// Ids of all groups of a user, `gid` included (getgrouplist(3)).
fn groups(name: &CStr, gid: u32) -> Vec<u32> {
    let mut groups = vec![gid; 64];
    loop {
        let mut count = groups.len() as libc::c_int;
        // SAFETY: the name ends in NUL, and the array has as many elements as is said.
        let fits = unsafe { libc::getgrouplist(name.as_ptr(), gid, groups.as_mut_ptr(), &raw mut count) } >= 0;
        if fits || groups.len() >= 1 << 16 {
            groups.truncate(count.max(0) as usize);
            return groups;
        }
        groups.resize(groups.len() * 4, gid);
    }
}

/// Is this process in one of the groups of these names? Unknown names do not count.
pub fn in_group(names: &[&CStr]) -> bool {
    let mut ours = vec![0; 1 << 16]; // NGROUPS_MAX of linux/limits.h
    // SAFETY: the array has as many elements as is said.
    let count = unsafe { libc::getgroups(ours.len() as libc::c_int, ours.as_mut_ptr()) };
    ours.truncate(usize::try_from(count).unwrap_or(0));
    ours.push(our_group());
    let mut buffer = vec![0; 64 << 10];
    names.iter().any(|name| {
        // SAFETY: group is pointers and numbers, and zeroes are such.
        let mut entry: libc::group = unsafe { std::mem::zeroed() };
        let mut found = std::ptr::null_mut();
        // SAFETY: the name ends in NUL, the buffer has the length that is said, the other two are writable.
        unsafe { libc::getgrnam_r(name.as_ptr(), &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found) };
        !found.is_null() && ours.contains(&entry.gr_gid)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_found_by_name_and_number() {
        let root = User::find("root").unwrap();
        assert_eq!((root.uid, root.gid, root.groups.first()), (0, 0, Some(&0)));
        assert_eq!(User::find("0").unwrap(), root);
        assert_eq!(User::find("12:34").unwrap(), User { uid: 12, gid: 34, groups: vec![34] });
        for text in ["nobody-of-this-name", "", "4294967294", "4294967295", "-1", "+0", "1:", ":1", "1:4294967295", "ro\0ot"] {
            assert!(User::find(text).is_err(), "{text:?}");
        }
        // Whose calls are captured needs no entry.
        assert_eq!((number("root").unwrap(), number("4294967294").unwrap()), (0, u32::MAX - 1));
        for text in ["nobody-of-this-name", "4294967295", "-1", ""] {
            assert!(number(text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn who_has_no_entry_is_in_one_group() {
        assert_eq!(User::of(u32::MAX - 1, 7), User::alone(u32::MAX - 1, 7));
        assert_eq!(User::of(0, 0), User::find("root").unwrap());
    }

    #[test]
    fn our_groups_are_known_by_name() {
        assert!(!in_group(&[c"nobody-has-this-group"]));
        if our_group() == 0 {
            assert!(in_group(&[c"nobody-has-this-group", c"root"]));
        }
    }
}
