//! Targets of a prediction and the trees that are made there.

use crate::files::{Dir, Lock};
use crate::init::{self, Map};
use crate::process::signal::Transient;
use crate::process::stdio;
use crate::progress::Progress;
use crate::text::word;
use anyhow::{Context, Result, ensure};
use std::path::{Path, PathBuf};

/// A directory that the workload is replayed in, usually one on a device or file system of its own.
#[derive(Clone, Debug)]
pub struct Target {
    /// Its name in tables and in names of runs.
    pub label: String,
    /// The directory.
    pub dir: PathBuf,
    /// Where its tree is made.
    pub root: PathBuf,
    /// What of the tree lies in the directory; empty when all of it does.
    pub maps: Vec<Map>,
}

/// What lies on the targets.
#[derive(Clone, Copy, Debug)]
pub enum Share<'a> {
    /// All of the tree; its root has this name.
    All(&'a str),
    /// What is below these captured directories; the roots with the rest are made in this directory.
    Parts(&'a [Vec<u8>], &'a Path),
}

impl Target {
    /// Targets of these directories. Each is called by the end of its path, as much of it as tells it
    /// from the others.
    ///
    /// # Errors
    /// When two of them are one directory, or one cannot be opened.
    pub fn all(dirs: &[PathBuf], share: Share<'_>) -> Result<Vec<Target>> {
        let mut seen = Vec::new();
        for dir in dirs {
            let open = || anyhow::Ok(Dir::open(dir)?.id()?);
            let id = open().with_context(|| format!("{} is no directory to replay in", dir.display()))?;
            ensure!(!seen.contains(&id), "{} is named twice", dir.display());
            seen.push(id);
        }
        let ends = |dir: &Path, parts: usize| {
            let all: Vec<_> = dir.components().map(|part| part.as_os_str().to_string_lossy().into_owned()).collect();
            let end = all[all.len().saturating_sub(parts)..].join("-").replace(['/', '.'], "");
            Some(end).filter(|end| !end.is_empty()).unwrap_or_else(|| "root".into())
        };
        let labels = |parts| dirs.iter().map(|dir| ends(dir, parts)).collect::<Vec<_>>();
        let distinct = |labels: &Vec<String>| (1..labels.len()).all(|at| !labels[..at].contains(&labels[at]));
        let numbered = || dirs.iter().enumerate().map(|(at, dir)| format!("{}-{}", ends(dir, 1), at + 1)).collect();
        let labels = (1..=3).map(labels).find(distinct).unwrap_or_else(numbered);
        let target = |(label, dir): (String, &PathBuf)| match share {
            Share::All(root) => Target { label, dir: dir.clone(), root: dir.join(root), maps: Vec::new() },
            Share::Parts(captured, out) => {
                let map = |captured: &Vec<u8>| Map { captured: captured.clone(), target: dir.clone() };
                let maps = captured.iter().map(map).collect();
                Target { root: out.join(format!("{label}.root")), label, dir: dir.clone(), maps }
            }
        };
        Ok(labels.into_iter().zip(dirs).map(target).collect())
    }

    /// Keeps other predictions out of the directory as long as the lock lives: they would move each other's trees, and change each
    /// other's times.
    ///
    /// # Errors
    /// When another one works there, with who it is.
    pub fn hold(&self) -> Result<Lock> {
        let dir = Dir::open(&self.dir).with_context(|| format!("cannot open {}", self.dir.display()))?;
        Lock::alone(dir).with_context(|| format!("{} is not free", self.dir.display()))
    }

    /// The options of `init` for its tree.
    pub fn options(&self, tree: &init::Options) -> init::Options {
        init::Options { root: self.root.clone(), maps: self.maps.clone(), ..tree.clone() }
    }
}

/// What becomes of the trees of a prediction at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// They are deleted.
    No,
    /// They stay.
    Yes,
}

/// The trees of a prediction. When a signal ends this process, they stay, and where is said.
pub struct Trees {
    roots: Vec<PathBuf>,
    keep: Keep,
    transient: Option<Transient>,
}

impl Trees {
    /// Makes a tree on every target; on an error none of them stays.
    ///
    /// # Errors
    /// When one cannot be made, or not all of it.
    pub fn make(targets: &[Target], options: &init::Options, keep: Keep, progress: &Progress) -> Result<Trees> {
        let roots: Vec<_> = targets.iter().map(|target| target.root.clone()).collect();
        let told = {
            let roots = roots.clone();
            move || {
                roots.iter().filter(|root| init::Root::open(root).is_ok_and(|root| root.is_some())).for_each(|root| left(root));
                true
            }
        };
        let (transient, ()) = Transient::make(told, || anyhow::Ok(()))?;
        let mut trees = Trees { roots: Vec::new(), keep, transient: Some(transient) };
        for target in targets {
            let made = init::run(&target.options(options), progress)?;
            trees.roots.push(target.root.clone());
            let root = target.root.display();
            made.whole().with_context(|| format!("the tree in {root} is not whole, so nothing was replayed"))?;
        }
        Ok(trees)
    }

    /// All is done.
    pub fn done(self) {}
}

impl Drop for Trees {
    fn drop(&mut self) {
        self.transient = None;
        if self.keep == Keep::Yes {
            return;
        }
        for root in &self.roots {
            if let Err(error) = remove(root) {
                log::warn!("{error:#}");
                left(root);
            }
        }
    }
}

/// Says how a tree that stays can be deleted.
fn left(root: &Path) {
    stdio::mention(format_args!("the tree {} stays: `ioriot clean {0} --roots` deletes it", word(root)));
}

/// Deletes what ioriot made at a place: a tree with its parts, or a run.
///
/// # Errors
/// When it cannot be deleted, or something else is there.
pub fn remove(place: &Path) -> Result<()> {
    init::find(place)?.iter().filter(|found| found.path == place).try_for_each(init::remove)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn targets_are_called_by_what_tells_them_apart() {
        let tmp = tempfile::tempdir().unwrap();
        let at = |name: &str| {
            let dir = tmp.path().join(name);
            fs::create_dir_all(&dir).unwrap();
            dir
        };
        let labels = |dirs: &[PathBuf]| {
            let all = Target::all(dirs, Share::All("w.root")).unwrap();
            all.into_iter().map(|target| target.label).collect::<Vec<_>>()
        };
        assert_eq!(labels(&[at("nvme"), at("hdd")]), ["nvme", "hdd"]);
        assert_eq!(labels(&[at("nvme/data"), at("hdd/data")]), ["nvme-data", "hdd-data"]);
        assert_eq!(labels(&[at("a/x/y/z"), at("b/x/y/z")]), ["z-1", "z-2"]);
        assert_eq!(labels(&["/".into()]), ["root"]);
        let one = Target::all(&[at("nvme")], Share::All("w.root")).unwrap();
        assert_eq!(one[0].root, tmp.path().join("nvme/w.root"));
        let parts = Target::all(&[at("nvme")], Share::Parts(&[b"/srv".to_vec()], Path::new("out"))).unwrap();
        assert_eq!(
            (&parts[0].root, &parts[0].maps),
            (&"out/nvme.root".into(), &vec![Map { captured: b"/srv".to_vec(), target: at("nvme") }])
        );
        std::os::unix::fs::symlink(at("nvme"), tmp.path().join("link")).unwrap();
        let error = Target::all(&[at("nvme"), tmp.path().join("link")], Share::All("w.root")).unwrap_err().to_string();
        assert!(error.contains("named twice"), "{error}");
        let error = Target::all(&[tmp.path().join("none")], Share::All("w.root")).unwrap_err().to_string();
        assert!(error.contains("no directory to replay in"), "{error}");
    }
}
