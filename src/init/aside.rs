//! Moves roots aside to make room for new ones, and back.

use super::Stamp;
use super::root::{Root, resolved};
use crate::files::{self, Dir, Lock};
use anyhow::{Context, Result, bail, ensure};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// Separator between the name of a root that was moved aside and its number.
const OLD: &[u8] = b".old-";

impl Root {
    /// Checks whether [`Root::make`] could make a root here. Returns the lock of the old root that would be moved aside, if
    /// there is one.
    ///
    /// # Errors
    /// As for [`Root::make`], as far as it can be known before anything is made.
    pub fn could_make(path: &Path, force: bool) -> Result<Option<Lock>> {
        files::no_url(path)?;
        let path = resolved(path);
        if let Some(old) = Root::free(&path, force)? {
            let lock = old.hold()?;
            let places = old.places(&old.stamp()?);
            let seats = || places.iter().chain([&old]).try_for_each(|root| root.seat().map(drop));
            seats().with_context(|| cannot_move(&path))?;
            return Ok(Some(lock));
        }
        let there = || match Dir::open(&path) {
            // The directory would be closed to others, so it matters who can replace it.
            Ok(dir) if files::ours(&dir.stat()?) => files::trusted(&Dir::open(&path.join(".."))?),
            Ok(dir) => files::private(&dir),
            Err(_) => Dir::could_prepare(&path),
        };
        there().with_context(|| format!("cannot make {}", path.display()))?;
        Ok(None)
    }

    /// Renames the root and its places to free names beside their own (`NAME.old-1` ...); returns the root's new path.
    ///
    /// # Errors
    /// When another command works in it, or other users could put something else in its place.
    pub(super) fn move_aside(&self) -> Result<PathBuf> {
        self.rename(vacant).with_context(|| cannot_move(self.path()))
    }

    /// Renames the root and its places back to the names they had before they were moved aside.
    ///
    /// # Errors
    /// As for [`Root::move_aside`], or when something exists under the old name.
    pub(super) fn put_back(&self) -> Result<PathBuf> {
        self.rename(former)
    }

    /// Renames the root and its places, each to the name that `new` gives, all of them or none; returns the root's new path.
    fn rename(&self, new: fn(&Dir, &OsStr) -> Result<OsString>) -> Result<PathBuf> {
        let _lock = self.hold()?;
        let mut stamp = self.stamp()?;
        let (parent, name) = self.seat()?;
        let renamed = new(&parent, &name)?;
        let path = parent.at(&renamed);
        let before = stamp.clone();
        let mut moved = Vec::new();
        let mut all = || -> Result<()> {
            for place in self.places(&before) {
                let (beside, name) = place.seat()?;
                let (renamed, was) = (new(&beside, &name)?, place.stamp()?);
                for map in stamp.maps.iter_mut().filter(|map| map.place == place.path()) {
                    map.place = beside.at(&renamed);
                }
                place.write(&Stamp { part_of: Some(path.clone()), ..was.clone() })?;
                let done = beside.rename(&name, &beside, &renamed);
                moved.push((place, was, done.is_ok().then_some((beside, name, renamed))));
                done?;
            }
            self.write(&stamp)?;
            Ok(parent.rename(&name, &parent, &renamed)?)
        };
        let Err(error) = all() else { return Ok(path) };
        // Undo what was done, as far as that is possible.
        let _ = self.write(&before);
        for (place, was, seat) in moved.into_iter().rev() {
            let back = seat.map_or(Ok(()), |(beside, name, renamed)| beside.rename(&renamed, &beside, &name));
            if let Err(error) = back.map_err(Into::into).and_then(|()| place.write(&was)) {
                log::warn!("{} is no part of its tree any more: {error:#}", place.path().display());
            }
        }
        Err(error)
    }

    /// The directory that the root is in, and its name there.
    pub(super) fn seat(&self) -> Result<(Dir, OsString)> {
        let (parent, name) = Dir::around(self.path())?;
        files::trusted(&parent)?;
        let there = parent.look(&name)?;
        ensure!(
            files::Id::of(&there) == self.dir().id()?,
            "{} is another one now, or a symlink: name the directory itself",
            self.path().display()
        );
        // A mount point cannot be renamed (EBUSY, rename(2)).
        ensure!(!parent.mounted(&name)?, "{} is a mount point", self.path().display());
        Ok((parent, name))
    }
}

fn cannot_move(path: &Path) -> String {
    format!("cannot move the tree in {} aside", path.display())
}

/// Renames a root that was moved aside back; when that fails, warns where it is now.
pub(super) fn put_back(moved: &Path) {
    let back = || Root::open(moved)?.context("it is no root any more")?.put_back();
    if let Err(error) = back() {
        log::warn!("the old tree is in {} now: {error:#}", moved.display());
    }
}

/// Whether this is the name of a root that was moved aside.
pub(super) fn is_old(name: &OsStr) -> bool {
    split(name).is_some()
}

/// A free name beside one: `NAME.old-1`, `NAME.old-2` ...
fn vacant(dir: &Dir, name: &OsStr) -> Result<OsString> {
    for number in 1..=u32::MAX {
        let mut aside = name.to_owned();
        aside.push(format!(".old-{number}"));
        if dir.look(&aside).is_err() {
            return Ok(aside);
        }
    }
    bail!("no free name beside {}", dir.at(name).display())
}

/// The name that a root had before it was moved aside.
fn former(dir: &Dir, name: &OsStr) -> Result<OsString> {
    let former = split(name).with_context(|| format!("{} was not moved aside", dir.at(name).display()))?;
    Ok(OsString::from_vec(former.to_vec()))
}

/// The part of a name before `.old-NUMBER`; `None` for other names.
fn split(name: &OsStr) -> Option<&[u8]> {
    let name = name.as_bytes();
    let at = memchr::memmem::rfind(name, OLD)?;
    let number = &name[at + OLD.len()..];
    (!number.is_empty() && number.iter().all(u8::is_ascii_digit)).then_some(&name[..at])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::init::{Allocation, Data, Mapping, Stamp, State};

    fn stamp(maps: Vec<Mapping>, part_of: Option<PathBuf>) -> Stamp {
        let state = State::Fresh;
        let (fingerprint, workload, ioriot) = ("1".into(), "w".into(), "0".into());
        Stamp {
            state,
            fingerprint,
            workload,
            ioriot,
            data: Data::default(),
            sparse_unread: false,
            source: None,
            allocation: Allocation::Plain,
            owner: None,
            maps,
            part_of,
            made: vec![],
        }
    }

    #[test]
    fn a_root_and_its_places_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        let [root, place] = ["w.root", "w.root.home"].map(|name| dir.path().join(name));
        let maps = vec![Mapping { captured: b"/home".to_vec(), place: place.clone() }];
        let made = [(&root, stamp(maps, None)), (&place, stamp(vec![], Some(root.clone())))];
        made.iter().for_each(|(path, stamp)| drop(Root::make(path, false, stamp).unwrap()));
        let error = Root::could_make(&root, false).unwrap_err().to_string();
        assert!(error.contains("--force"), "{error}");
        let held = Root::could_make(&root, true).unwrap();
        assert!(Root::could_make(&root, true).unwrap_err().to_string().contains("is not free"));
        drop(held);

        let aside = Root::open(&root).unwrap().unwrap().move_aside().unwrap();
        assert_eq!(aside, dir.path().join("w.root.old-1"));
        assert!(!root.exists() && !place.exists() && dir.path().join("w.root.home.old-1").exists());
        let old = Root::open(&aside).unwrap().unwrap();
        assert_eq!(old.places(&old.stamp().unwrap()).len(), 1);
        put_back(&aside);
        assert!(!aside.exists());
        for (path, stamp) in &made {
            assert_eq!(Root::open(path).unwrap().unwrap().stamp().unwrap(), *stamp);
        }
    }

    #[test]
    fn a_place_that_cannot_move_keeps_all_where_it_was() {
        let dir = tempfile::tempdir().unwrap();
        let [root, one, two] = ["w.root", "w.root.a", "two/w.root.b"].map(|name| dir.path().join(name));
        let map = |captured: &[u8], place: &PathBuf| Mapping { captured: captured.to_vec(), place: place.clone() };
        let maps = vec![map(b"/a", &one), map(b"/b", &two)];
        let part = || stamp(vec![], Some(root.clone()));
        let made = [(&root, stamp(maps, None)), (&one, part()), (&two, part())];
        made.iter().for_each(|(path, stamp)| drop(Root::make(path, false, stamp).unwrap()));
        let old = Root::open(&root).unwrap().unwrap();
        // The second place has moved when the third finds no name.
        fn none_in_two(dir: &Dir, name: &OsStr) -> Result<OsString> {
            ensure!(!dir.path().ends_with("two"), "no name");
            vacant(dir, name)
        }
        assert!(old.rename(none_in_two).is_err());
        for (path, stamp) in &made {
            assert_eq!(Root::open(path).unwrap().unwrap().stamp().unwrap(), *stamp, "{}", path.display());
        }
    }

    #[test]
    fn names_of_old_roots() {
        for (name, old) in
            [("w.root.old-1", true), ("w.old-2.old-34", true), ("w.old-1x", false), ("w.old-", false), ("w", false)]
        {
            assert_eq!(is_old(OsStr::new(name)), old, "{name}");
        }
    }
}
