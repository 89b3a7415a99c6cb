//! `ioriot syscalls`: the table, for people and programs.

use super::Exit;
use super::ui::TableFormat;
use crate::files;
use crate::process::stdio;
use crate::schema::calls::calls;
use crate::syscall::columns::COLUMNS;
use anyhow::{Result, bail};
use arrow::array::RecordBatch;
use arrow::csv;
use arrow::json::ArrayWriter;
use arrow::util::pretty::pretty_format_batches;
use parquet::arrow::ArrowWriter;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;

/// List every syscall ioriot knows, and what becomes of it in a replay
///
/// support is full (issued as captured), partly (issued, the note says what is lost), model (bookkeeping, other ops
/// carry its effect) or drop (the note says why). instant is when inside the call its effect is taken to happen. SQL has
/// more columns of it: the relation `syscall_def`.
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

fn listing() -> Result<RecordBatch> {
    Ok(calls(COLUMNS.iter().filter(|column| column.brief))?)
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let batch = listing()?;
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
    use crate::syscall::TABLE;

    #[test]
    fn the_listing_has_a_row_for_every_syscall() {
        assert_eq!(listing().unwrap().num_rows(), TABLE.len());
    }
}
