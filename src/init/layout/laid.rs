//! How files lie, beside how they lay.

use super::super::Parts;
use super::super::plan::Entry;
use crate::amount::Things;
use crate::model::Kind;
use crate::os::extents;
use crate::text;
use anyhow::{Context, Result};
use serde::Serialize;
use std::fmt;

/// Most files that are shown; all are counted.
const SHOWN: usize = 5;
/// A file counts as off when it has more or fewer pieces than this share of the captured ones, per cent.
const NEAR: u64 = 25;
/// Extents of one file that are looked at, at most.
const MOST: u64 = 1 << 17;

/// How the files that lay in several pieces lie in a new tree.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Laid {
    /// Number of files of the fileset whose captured layout is known.
    pub known: u64,
    /// Number of these that lay in more than one piece.
    pub files: u64,
    /// Number of pieces in which those lay.
    pub captured: u64,
    /// Number of pieces in which they lie.
    pub made: u64,
    /// Number of files with more than 25 % more or fewer pieces than captured.
    pub off: u64,
    /// The first of these, with both numbers, in the form of [`crate::text`]; 5 at most.
    pub examples: Vec<String>,
    /// Number of files whose file system does not say how they lie.
    pub unknown: u64,
}

impl Laid {
    /// Looks at the files of a tree.
    ///
    /// # Errors
    /// When a file system cannot be written back, before which nobody knows where files will lie.
    pub fn of(parts: &Parts, entries: &[&Entry]) -> Result<Laid> {
        for top in parts.tops() {
            rustix::fs::syncfs(top).with_context(|| format!("cannot write {} back", top.path().display()))?;
        }
        let mut laid = Laid::default();
        for entry in entries.iter().filter(|entry| entry.kind == Kind::File && entry.same().is_none()) {
            laid.known += u64::from(entry.pieces.is_some());
            let Some(captured) = entry.pieces.filter(|pieces| *pieces > 1) else { continue };
            let (part, inside) = parts.trees.part(&entry.path);
            let opened = parts.tops().nth(part).and_then(|top| top.find(inside).ok()?.open().ok());
            match opened.and_then(|file| extents::of(&file, MOST).ok()) {
                Some(found) => laid.add(&entry.path, captured, found.reckoned(entry.size)),
                None => laid.unknown += 1,
            }
        }
        Ok(laid)
    }

    fn add(&mut self, path: &[u8], captured: u64, made: u64) {
        self.files += 1;
        self.captured = self.captured.saturating_add(captured);
        self.made = self.made.saturating_add(made);
        if made.abs_diff(captured) > captured.saturating_mul(NEAR) / 100 {
            self.off += 1;
            if self.examples.len() < SHOWN {
                self.examples.push(format!("{}: {made}, captured {captured}", text::encode(path)));
            }
        }
    }
}

impl fmt::Display for Laid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Laid { known, files, captured, made, off, unknown, .. } = self;
        if *known == 0 {
            return writeln!(
                f,
                "Layout: the capture does not know how its files lay; only their order is as captured, if it is known."
            );
        }
        let (files, pieces) = (Things(*files, "file"), Things(*captured, "piece"));
        writeln!(f, "Layout: {files} that lay in {pieces} in {made} now, {off} of them off by more than {NEAR} %.")?;
        self.examples.iter().try_for_each(|example| writeln!(f, "  {}", text::shown(example)))?;
        if *unknown > 0 {
            writeln!(f, "  Of {} the file system does not say.", Things(*unknown, "file"))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_that_are_off_are_shown() {
        let mut laid = Laid { known: 9, ..Laid::default() };
        laid.add(b"/near", 100, 125);
        laid.add(b"/off", 100, 126);
        laid.add(b"/one", 2, 1);
        assert_eq!((laid.files, laid.captured, laid.made, laid.off), (3, 202, 252, 2));
        let text = laid.to_string();
        assert!(
            text.starts_with("Layout: 3 files that lay in 202 pieces in 252 now, 2 of them off by more than 25 %.\n"),
            "{text}"
        );
        assert!(text.contains("  /off: 126, captured 100\n"), "{text}");
        assert!(Laid::default().to_string().contains("does not know"));
    }
}
