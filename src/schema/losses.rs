//! Table `losses`: what a capture missed, whoever captured. It is the one place where a dataset says so.

use super::read::{batches, ints, texts};
use super::{Dataset, Draft, Table, writer_properties};
use crate::loss::Loss;
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use serde::Serialize;
use std::sync::Arc;

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// What was missed.
    pub kind: Loss,
    /// How much of it.
    pub count: u64,
    /// When, on the clock of `ts`: not before, and not after. Absent when it may have been at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub between: Option<(i64, i64)>,
}

impl Lost {
    /// So much at times that nobody knows, for each kind of which there was any.
    pub fn some(counts: impl IntoIterator<Item = (Loss, u64)>) -> impl Iterator<Item = Lost> {
        let counts = counts.into_iter().filter(|(_, count)| *count > 0);
        counts.map(|(kind, count)| Lost { kind, count, between: None })
    }
}

/// Writes the table.
///
/// # Errors
/// When it cannot be written.
pub fn write(draft: &Draft, rows: &[Lost]) -> Result<()> {
    let failed = || "cannot write table losses";
    let columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row.kind.name()))),
        Arc::new(Int64Array::from_iter_values(rows.iter().map(|row| i64::try_from(row.count).unwrap_or(i64::MAX)))),
        Arc::new(rows.iter().map(|row| Some(row.kind.of_events())).collect::<BooleanArray>()),
        Arc::new(rows.iter().map(|row| row.between.map(|(first, _)| first)).collect::<Int64Array>()),
        Arc::new(rows.iter().map(|row| row.between.map(|(_, last)| last)).collect::<Int64Array>()),
    ];
    let schema = Table::Losses.schema();
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns).with_context(failed)?;
    let properties = writer_properties(&Table::Losses).build();
    let mut writer = ArrowWriter::try_new(draft.file(&Table::Losses.file())?, schema, Some(properties)).with_context(failed)?;
    writer.write(&batch).with_context(failed)?;
    writer.close().with_context(failed)?;
    Ok(())
}

/// Reads the table of a capture; one without it says nothing.
///
/// # Errors
/// When it is damaged.
pub fn read(capture: &Dataset) -> Result<Vec<Lost>> {
    let file = capture.table(Table::Losses);
    let mut rows = Vec::new();
    if !file.exists() {
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

/// The kind that a word means. Captures that `ioriot ingest` wrote before it had the words of `ioriot capture` have others.
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
