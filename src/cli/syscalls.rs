//! `ioriot syscalls`: the table, for people and programs.

use super::Exit;
use super::ui::TableFormat;
use crate::syscall::{Def, TABLE};
use crate::{files, stdio};
use anyhow::{Result, bail};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::csv;
use arrow::json::ArrayWriter;
use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::ArrowWriter;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::sync::Arc;

/// List every syscall ioriot knows, and what becomes of it in a replay
///
/// support is full (issued as captured), partly (issued, the note says what is lost), model (bookkeeping, other ops
/// carry its effect) or drop (the note says why). at is the instant inside the call when its effect is taken to happen.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot syscalls
  ioriot syscalls --format json
  ioriot syscalls --format csv | grep ,drop,
  ioriot syscalls --format parquet -o syscalls.parquet")]
pub struct Args {
    /// How to print the table
    #[arg(long, value_enum, default_value_t, value_name = "FORMAT")]
    format: TableFormat,
    /// Write the table to this file
    #[arg(short, long = "output", value_name = "FILE")]
    out: Option<PathBuf>,
}

/// A column of the listing: its name, and how a row of the table fills it.
type Column = (&'static str, fn(&Def) -> String);

/// The columns, in their order.
pub const COLUMNS: &[Column] = &[
    ("syscall", |def| def.name.into()),
    ("arguments", |def| def.args.iter().map(|role| format!("{role:?}")).collect::<Vec<_>>().join(", ")),
    ("returns", |def| format!("{:?}", def.ret)),
    ("at", |def| format!("{:?}", def.at).to_lowercase()),
    ("support", |def| def.support().into()),
    ("op", |def| def.op().map(|op| op.name().to_owned()).unwrap_or_default()),
    ("note", |def| def.note().into()),
];

/// Further ones of the page and of `syscall_def`.
pub const MORE: &[Column] = &[
    ("moves", |def| def.moves().name().into()),
    ("given", |def| def.given.name().into()),
    ("given2", |def| def.given2.name().into()),
];

fn batch() -> Result<RecordBatch> {
    let column = |(name, cell): &Column| {
        let cells: ArrayRef = Arc::new(TABLE.iter().map(|def| Some(cell(def))).collect::<StringArray>());
        (*name, cells)
    };
    Ok(RecordBatch::try_from_iter(COLUMNS.iter().map(column))?)
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let batch = batch()?;
        match &self.out {
            Some(file) => files::write(file, |out| print(&batch, self.format, out))?,
            None if matches!(self.format, TableFormat::Parquet) && io::stdout().is_terminal() => {
                bail!("Parquet is not for terminals: -o FILE writes it to a file")
            }
            None => print(&batch, self.format, stdio::Answer)?,
        }
        Ok(Exit::Done)
    }
}

fn print(batch: &RecordBatch, format: TableFormat, mut out: impl Write + Send) -> Result<()> {
    match format {
        TableFormat::Table => writeln!(out, "{}", pretty_format_batches(std::slice::from_ref(batch))?)?,
        TableFormat::Csv => csv::Writer::new(&mut out).write(batch)?,
        TableFormat::Json => {
            let mut writer = ArrayWriter::new(&mut out);
            writer.write(batch)?;
            writer.finish()?;
            writeln!(out)?;
        }
        TableFormat::Parquet => {
            let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None)?;
            writer.write(batch)?;
            writer.close()?;
        }
    }
    Ok(out.flush()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_listing_has_a_row_for_every_syscall() {
        let batch = batch().unwrap();
        assert_eq!((batch.num_rows(), batch.num_columns()), (TABLE.len(), COLUMNS.len()));
    }
}
