//! What was taken from elsewhere, and what is not as the fileset has it.

use crate::amount::{Bytes, Things};
use crate::text;
use crate::words::words;
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

/// Most examples of each difference that are kept; all are counted.
const SHOWN: usize = 5;

words! {
    /// How a source differs from the fileset. What it lacks is made up; kinds, sizes and modes are made as captured.
    #[derive(Serialize)]
    #[serde(rename_all = "lowercase")]
    Difference {
        Missing    "missing"    "not there: made up";
        Kind       "kind"       "of another kind: made up";
        Unreadable "unreadable" "cannot be read, or lies behind a symlink: made up";
        Shorter    "shorter"    "shorter than captured: the rest is made up";
        Longer     "longer"     "longer than captured: only the first part was taken";
        Mode       "mode"       "with another mode: made with the captured one";
        Target     "target"     "symlinks with another content: made with the captured one";
    }
}

/// How often a difference was seen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Seen {
    /// Number of entries.
    pub count: u64,
    /// The first of them, in the form of [`crate::text`], with what was found; 5 at most.
    pub examples: Vec<String>,
}

/// What was taken from a source.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Taken {
    /// Path of the source.
    #[serde(serialize_with = "crate::text::path::serialize")]
    pub dir: PathBuf,
    /// Number of entries of the fileset that the source has, of the same kind.
    pub found: u64,
    /// Number of files whose content was taken, in whole or in part.
    pub files: u64,
    /// Bytes of these files that were taken, holes included.
    pub bytes: u64,
    /// Bytes of these that share their blocks with the source.
    pub shared: u64,
    /// What differs from the fileset.
    pub differences: BTreeMap<Difference, Seen>,
}

impl Taken {
    /// Nothing was taken yet.
    pub fn new(dir: &Path) -> Taken {
        Taken { dir: dir.to_owned(), ..Taken::default() }
    }

    /// Counts a difference of an entry; `found` says what is there.
    pub fn differ(&mut self, difference: Difference, path: &[u8], found: &str) {
        let seen = self.differences.entry(difference).or_default();
        seen.count += 1;
        if seen.examples.len() < SHOWN {
            let path = text::encode(path);
            seen.examples.push(if found.is_empty() { path.into_owned() } else { format!("{path} ({found})") });
        }
    }

    /// Adds what another thread took.
    pub fn add(&mut self, other: Taken) {
        let Taken { dir: _, found, files, bytes, shared, differences } = other;
        self.found += found;
        self.files += files;
        self.bytes = self.bytes.saturating_add(bytes);
        self.shared = self.shared.saturating_add(shared);
        for (difference, more) in differences {
            let seen = self.differences.entry(difference).or_default();
            seen.count += more.count;
            seen.examples.extend(more.examples);
            seen.examples.sort();
            seen.examples.truncate(SHOWN);
        }
    }

    /// Number of entries with this difference.
    pub fn count(&self, difference: Difference) -> u64 {
        self.differences.get(&difference).map_or(0, |seen| seen.count)
    }
}

impl fmt::Display for Taken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (dir, found) = (self.dir.display(), Things(self.found, "entry"));
        write!(f, "From {dir}: {found} found",)?;
        if self.files > 0 {
            write!(
                f,
                ", {} of {} taken, {} of them as shared blocks",
                Bytes(self.bytes),
                Things(self.files, "file"),
                Bytes(self.shared)
            )?;
        }
        writeln!(f, ".")?;
        for (difference, seen) in &self.differences {
            writeln!(f, "  {:>6} {}", seen.count, difference.doc())?;
            seen.examples.iter().try_for_each(|example| writeln!(f, "           {}", text::shown(example)))?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_are_counted_and_some_are_shown() {
        let mut taken = Taken::new(Path::new("/backup"));
        let mut other = Taken { files: 2, bytes: 2048, shared: 1024, found: 3, ..Taken::default() };
        for at in 0..9 {
            taken.differ(Difference::Missing, format!("/b{at}").as_bytes(), "");
            other.differ(Difference::Missing, format!("/a{at}\x1b").as_bytes(), "");
        }
        other.differ(Difference::Shorter, b"/s", "1 bytes, captured as 2");
        taken.add(other);
        assert_eq!((taken.count(Difference::Missing), taken.count(Difference::Kind)), (18, 0));
        let text = taken.to_string();
        assert!(
            text.starts_with("From /backup: 3 entries found, 2.00 KiB of 2 files taken, 1.00 KiB of them as shared blocks.\n")
        );
        assert_eq!(text.lines().count(), 1 + 1 + SHOWN + 2, "{text}");
        assert!(text.contains("    18 not there: made up\n") && text.contains("/s (1 bytes, captured as 2)"), "{text}");
        assert!(!text.contains('\x1b'));
    }
}
