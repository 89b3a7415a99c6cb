//! Writes the results as they come in.

use super::compare::Outcome;
use super::record::{Record, UNKNOWN, errno};
use crate::schema::{Draft, Table, writer_properties};
use anyhow::{Context, Result};
use arrow::array::{ArrayRef, Int64Builder, RecordBatch, StringBuilder};
use parquet::arrow::ArrowWriter;
use std::fs::File;
use std::sync::Arc;

/// Rows that are handed to the Parquet writer at once.
const CHUNK: usize = 16 * 1024;

/// A column in the making.
enum Column {
    Int(Int64Builder),
    Text(StringBuilder),
}

/// The table of results, a chunk of rows at a time.
pub struct Results {
    writer: ArrowWriter<File>,
    columns: Vec<Column>,
    rows: usize,
}

impl Results {
    /// Begins the table in a run.
    ///
    /// # Errors
    /// When it cannot be created.
    pub fn create(draft: &Draft) -> Result<Results> {
        let table = Table::Results;
        let properties = writer_properties(&table).build();
        let writer = ArrowWriter::try_new(draft.file(&table.file())?, table.schema(), Some(properties))?;
        let columns = table.columns().into_iter().map(|column| match column.ty {
            crate::schema::Type::Int => Column::Int(Int64Builder::with_capacity(CHUNK)),
            _ => Column::Text(StringBuilder::with_capacity(CHUNK, CHUNK * 12)),
        });
        Ok(Results { writer, columns: columns.collect(), rows: 0 })
    }

    /// Adds a result.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn push(&mut self, record: &Record, outcome: Outcome, kind: Option<&'static str>) -> Result<()> {
        let split = |ret: i64| if errno(ret) == 0 { (ret, 0) } else { (-1, i64::from(errno(ret))) };
        let (ret, error) = split(record.ret);
        let captured = record.captured().map(split);
        let ints = [
            Some(record.op_id),
            Some(record.seq),
            Some(record.lane),
            Some(i64::from(record.worker)),
            None,
            Some(record.begin),
            Some(record.dur),
            Some(ret),
            Some(error),
            captured.map(|(ret, _)| ret),
            captured.map(|(_, errno)| errno),
            Some(record.captured_dur).filter(|dur| *dur != UNKNOWN),
        ];
        let texts = [Some(record.origin().name()), Some(record.syscall().name()), Some(outcome.name()), kind];
        // Numbers and texts each in the order of the table.
        let (mut ints, mut texts) = (ints.into_iter(), texts.into_iter());
        for column in &mut self.columns {
            match column {
                Column::Int(column) => column.append_option(ints.next().flatten()),
                Column::Text(column) => column.append_option(texts.next().flatten()),
            }
        }
        self.rows += 1;
        if self.rows == CHUNK { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> Result<()> {
        self.rows = 0;
        let columns = self.columns.iter_mut().map(|column| -> ArrayRef {
            match column {
                Column::Int(column) => Arc::new(column.finish()),
                Column::Text(column) => Arc::new(column.finish()),
            }
        });
        let batch = RecordBatch::try_new(Table::Results.schema(), columns.collect())?;
        self.writer.write(&batch).context("cannot write the results")
    }

    /// Ends the table.
    ///
    /// # Errors
    /// When the disk is full.
    pub fn finish(mut self) -> Result<()> {
        self.flush()?;
        self.writer.close().context("cannot write the results").map(drop)
    }
}
