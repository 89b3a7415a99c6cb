//! Filling a file system before the tree is made (`--fill`): file systems place data, and devices write, otherwise when little is free.

use super::super::root::Root;
use crate::amount::Bytes;
use anyhow::{Context, Result, bail, ensure};
use rustix::fs::{FallocateFlags, StatVfs, fallocate, fstatfs, fstatvfs};
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

/// Name of the directory in a root that holds what fills its file system.
pub const FILLER: &str = ".ioriot-fill";
/// Size of a file that fills, bytes.
const PIECE: u64 = 1 << 30;
/// Kinds of file systems that live in memory (statfs(2)): tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A file system that was filled.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Filled {
    /// The root or place that holds what fills it.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub place: PathBuf,
    /// Bytes that were allocated; 0 where it was as full already.
    pub bytes: u64,
    /// How full it is then, 0 to 1.
    pub share: f64,
}

impl fmt::Display for Filled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (place, share) = (self.place.display(), 100.0 * self.share);
        match self.bytes {
            0 => writeln!(f, "The file system of {place} was {share:.1} % full already."),
            bytes => writeln!(f, "Filled the file system of {place} to {share:.1} % with {}; they go with it.", Bytes(bytes)),
        }
    }
}

/// Bytes that the file system of an open directory lacks to be full to this share, 0 to 1.
///
/// # Errors
/// When it is in memory, or does not say how full it is.
pub fn wanted(dir: impl AsFd, shown: &Path, share: f64) -> Result<u64> {
    let cannot = || format!("cannot see how full the file system of {} is", shown.display());
    let kind = fstatfs(&dir).with_context(cannot)?.f_type.cast_unsigned();
    ensure!(!IN_MEMORY.contains(&kind), "{} is in memory, which is not filled: choose another --root", shown.display());
    let stat = fstatvfs(&dir).with_context(cannot)?;
    Ok(((stat.f_blocks as f64 * share - used(&stat)).max(0.0) * stat.f_frsize as f64) as u64)
}

/// Number of its blocks that are in use.
fn used(stat: &StatVfs) -> f64 {
    stat.f_blocks.saturating_sub(stat.f_bfree) as f64
}

/// Fills the file system of a root to this share, with files in the root that have blocks and no data (fallocate(2)).
///
/// # Errors
/// When there is no room for them, or the file system cannot give a file blocks without data; what was made goes with the root.
pub fn fill(root: &Root, share: f64) -> Result<Filled> {
    let (dir, place) = (root.dir(), root.path());
    let bytes = wanted(dir, place, share)?;
    if bytes > 0 {
        let filler = dir.make(FILLER, 0o700).with_context(|| format!("cannot make {}", dir.at(FILLER).display()))?;
        let (mut left, mut number) = (bytes, 0_u64);
        while left > 0 {
            let file: File = filler.create(number.to_string())?;
            match fallocate(&file, FallocateFlags::empty(), 0, left.min(PIECE)) {
                Ok(()) => {}
                Err(rustix::io::Errno::OPNOTSUPP) => {
                    bail!("the file system of {} cannot reserve space (fallocate(2)), which --fill needs", place.display())
                }
                Err(error) => {
                    return Err(error).with_context(|| format!("cannot fill the file system of {}", place.display()));
                }
            }
            (left, number) = (left - left.min(PIECE), number + 1);
        }
        rustix::fs::syncfs(&filler)?;
    }
    let stat = fstatvfs(dir)?;
    Ok(Filled { place: place.to_owned(), bytes, share: used(&stat) / (stat.f_blocks.max(1) as f64) })
}
