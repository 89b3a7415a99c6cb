//! Table `contents`: what the content of files is like, by samples of them: numbers, of which none is content.

use super::column::{Column, int, int_, text as path, text_};
use super::profile::Profile;
use super::{Draft, Table};
use crate::event::Unit;
use crate::text;
use anyhow::Result;
use arrow::array::{Array, ArrayRef, Int64Array, RecordBatch, StringArray};
use std::sync::Arc;

/// Names and meanings of the numbers of a [`Content`], in their order; tables of workloads have them, too.
pub const NUMBERS: [(&str, &str); 5] = [
    ("sampled", "its content that was looked at, in contiguous samples of up to 128 KiB"),
    (
        "compressed",
        "what these samples take, each compressed by itself (zstd level 3, the default of btrfs); those that are \
         incompressible count as they are",
    ),
    (
        "incompressible",
        "of samples those that save no block of 4 KiB, or that btrfs takes for noise and does not try to compress",
    ),
    ("zeroes", "of samples the blocks of 4 KiB that are all zero"),
    ("repeated", "of samples the blocks of 4 KiB, not zero, that equal one sampled before, in this file or another"),
];

/// Name and meaning of the text of a [`Profile`].
const PROFILE: (&str, &str) = (
    "profile",
    "what its samples are like one by one, in the order of the file, a letter for each: A is incompressible, B to W compress to 2^(-1/4), \
     2^(-2/4) ... of the size of their blocks that are not zero, Z is all zero",
);
/// Name and meaning of the size that a workload has beside it.
const PROFILE_SIZE: (&str, &str) = ("profile_size", "size of the file of which the profile tells, at the end of the capture");

/// The columns of the table.
pub(super) fn columns() -> Vec<Column> {
    let mut columns = vec![
        path(
            "path",
            "absolute path by which a regular file was opened that could be read at the end of the capture, under this name or another in the same directory; each once",
        ),
        int("size", "its size then").unit(Unit::Bytes),
    ];
    columns.extend(NUMBERS.iter().map(|(name, doc)| int(name, doc).unit(Unit::Bytes)));
    columns.push(text_(PROFILE.0, PROFILE.1));
    columns
}

/// The columns of a table of a workload: what is known of the content of a file. With `always`, each row knows the numbers.
pub(super) fn known(always: bool) -> impl Iterator<Item = Column> {
    let numbers = NUMBERS.iter().map(move |(name, doc)| Column { nullable: !always, ..int_(name, doc).unit(Unit::Bytes) });
    numbers.chain([text_(PROFILE.0, PROFILE.1), int_(PROFILE_SIZE.0, PROFILE_SIZE.1).unit(Unit::Bytes)])
}

/// Names of these columns.
pub fn names() -> [&'static str; NUMBERS.len() + 2] {
    let [a, b, c, d, e] = NUMBERS.map(|(name, _)| name);
    [a, b, c, d, e, PROFILE.0, PROFILE_SIZE.0]
}

/// What the rows of a batch say of contents; `None` where a number is absent.
///
/// # Errors
/// When a column is missing.
pub fn read(batch: &RecordBatch) -> Result<Vec<Option<Content>>> {
    let mut columns = Vec::new();
    for (name, _) in NUMBERS {
        columns.push(super::read::ints(batch, name)?);
    }
    let (profiles, sizes) = (super::read::texts(batch, PROFILE.0)?, super::read::ints(batch, PROFILE_SIZE.0)?);
    let content = |row| {
        let mut numbers = [0; NUMBERS.len()];
        for (number, column) in numbers.iter_mut().zip(&columns) {
            *number = super::read::int(column, row)?;
        }
        let profile = profiles.is_valid(row).then(|| profiles.value(row)).zip(super::read::int(sizes, row));
        Some(Content { profile: profile.and_then(|(text, size)| Profile::of(text, size)), ..Content::of(numbers) })
    };
    Ok((0..batch.num_rows()).map(content).collect())
}

/// What the samples of one or more files are like, bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Content {
    /// Bytes that were looked at.
    pub sampled: i64,
    /// Bytes that these take when each sample is compressed by itself.
    pub compressed: i64,
    /// Bytes of samples that save no block, or look like noise.
    pub incompressible: i64,
    /// Bytes of blocks that are all zero.
    pub zeroes: i64,
    /// Bytes of blocks that equal one before.
    pub repeated: i64,
    /// What the samples are like one by one; `None` of several files.
    pub profile: Option<Profile>,
}

impl Content {
    /// The numbers, in the order of [`NUMBERS`].
    pub fn numbers(&self) -> [i64; NUMBERS.len()] {
        [self.sampled, self.compressed, self.incompressible, self.zeroes, self.repeated]
    }

    /// The content with these numbers, in the order of [`NUMBERS`].
    pub fn of([sampled, compressed, incompressible, zeroes, repeated]: [i64; NUMBERS.len()]) -> Content {
        Content { sampled, compressed, incompressible, zeroes, repeated, profile: None }
    }

    /// The numbers as bytes, for another process of this program.
    pub fn to_bytes(self) -> Vec<u8> {
        self.numbers().iter().flat_map(|number| number.to_le_bytes()).collect()
    }

    /// The content of which [`Content::to_bytes`] made these bytes.
    pub fn of_bytes(bytes: &[u8; NUMBERS.len() * 8]) -> Content {
        let (words, _) = bytes.as_chunks::<8>();
        let mut numbers = [0; NUMBERS.len()];
        numbers.iter_mut().zip(words).for_each(|(number, word)| *number = i64::from_le_bytes(*word));
        Content::of(numbers)
    }
}

/// A row of the table.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sampled {
    /// Absolute path of the file.
    pub path: Vec<u8>,
    /// Size of the file, bytes.
    pub size: i64,
    /// What its samples are like.
    pub content: Content,
}

/// Writes the table into a draft.
///
/// # Errors
/// When it cannot be written.
pub fn write(draft: &Draft, rows: &[Sampled]) -> Result<()> {
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| text::encode(&row.path)))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.size))),
    ];
    for at in 0..NUMBERS.len() {
        columns.push(Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| row.content.numbers()[at]))));
    }
    let profiles = rows.iter().map(|row| row.content.profile.as_ref().map(Profile::text));
    columns.push(Arc::new(StringArray::from_iter(profiles)));
    super::write(draft, Table::Contents, columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_come_back() {
        let content = Content { sampled: 5, compressed: 4, incompressible: 3, zeroes: 2, repeated: -1, profile: None };
        let bytes: [u8; 40] = content.to_bytes().try_into().unwrap();
        assert_eq!(Content::of_bytes(&bytes), content);
    }
}
