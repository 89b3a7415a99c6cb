//! Table `losses`: what a capture missed, from whichever source. It is the only place where a dataset says so.

use super::read::{batches, ints, texts};
use super::{Dataset, Draft, Table};
use crate::loss::Loss;
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, StringArray};
use serde::Serialize;
use std::sync::Arc;

/// A row of table `losses`: how much of one kind was missed, and when.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Kind of the loss: what was missed.
    pub kind: Loss,
    /// How many of them were missed.
    pub count: u64,
    /// Earliest and latest time at which it may have happened, ns on the clock of column `ts`. `None` when it may have
    /// been at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<(i64, i64)>,
}

impl Lost {
    /// Rows for counts by kind at unknown times; kinds with a count of 0 are left out.
    pub fn some(counts: impl IntoIterator<Item = (Loss, u64)>) -> impl Iterator<Item = Lost> {
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        counts.map(|(kind, count)| Lost { kind, count, between: None })
    }
}

/// Writes table `losses` into a draft.
///
/// # Errors
/// When it cannot be written.
pub fn write(draft: &Draft, rows: &[Lost]) -> Result<()> {
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.kind.name()))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::try_from(row.count).unwrap_or(i64::MAX)))),
        Arc::new(rows.iter().map(|row| Some(row.kind.of_events())).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.between.map(|(first, _)| first)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.between.map(|(_, last)| last)).collect::<Int64Array>()),
    ];
    super::write(draft, Table::Losses, columns)
}

/// Reads table `losses` of a capture; a capture without the table gives no rows.
///
/// # Errors
/// When the table is damaged or has an unknown kind of loss.
pub fn read(capture: &Dataset) -> Result<Vec<Lost>> {
    let file = capture.table(Table::Losses);
    let mut rows = Vec::new();
    if !capture.has(Table::Losses) {
        return Ok(rows);
    }
    for batch in batches(&file, &["kind", "count", "first", "last"])? {
        let batch = batch?;
        let (kinds, counts) = (texts(&batch, "kind")?, ints(&batch, "count")?);
        let (firsts, lasts) = (ints(&batch, "first")?, ints(&batch, "last")?);
        for row in 0..batch.num_rows() {
            let word = kinds.value(row);
            rows.push(Lost {
                kind: kind(word).with_context(|| format!("{}: {word:?} is no kind of loss", file.display()))?,
                count: u64::try_from(counts.value(row)).unwrap_or(0),
                between: super::read::int(firsts, row).zip(super::read::int(lasts, row)),
            });
        }
    }
    Ok(rows)
}

/// The kind of loss that a word in the table means. Captures by older versions of `ioriot ingest` have other words for
/// four kinds.
fn kind(word: &str) -> Option<Loss> {
    match word {
        "end" => Some(Loss::NoEnd),
        "events" => Some(Loss::Transport),
        "beginnings" => Some(Loss::NoEntry),
        "in_flight" => Some(Loss::Unfinished),
        word => Loss::parse(word),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema::Manifest;
    use crate::schema::dataset::Kind;

    #[test]
    fn what_is_written_is_read() {
        let dir = tempfile::tempdir().unwrap();
        let draft = Draft::create(&dir.path().join("capture"), Kind::Capture).unwrap();
        let rows: Vec<Lost> = [None, Some((5, 9))]
            .iter()
            .flat_map(|between| Loss::ALL.iter().map(|kind| Lost { kind: *kind, count: 3, between: *between }))
            .collect();
        write(&draft, &rows).unwrap();
        let capture = draft.commit(Manifest::new()).unwrap();
        assert_eq!(read(&capture).unwrap(), rows);
    }

    #[test]
    fn words_of_older_captures_are_known() {
        assert_eq!(
            ["end", "events", "beginnings", "in_flight", "lost"].map(kind),
            [Some(Loss::NoEnd), Some(Loss::Transport), Some(Loss::NoEntry), Some(Loss::Unfinished), None]
        );
    }
}
