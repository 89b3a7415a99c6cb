//! `ioriot syscalls`: the table, for people and programs.

use super::Exit;
use super::ui::TableFormat;
use crate::files;
use crate::process::stdio;
use crate::rows::{self, Format, Style, Writer};
use crate::schema::calls::calls;
use crate::syscall::columns::COLUMNS;
use anyhow::Result;
use arrow::array::RecordBatch;
use parquet::arrow::ArrowWriter;
use std::io::Write;
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
        let format = self.format.form();
        match &self.out {
            Some(file) => files::write(file, |out| print(&batch, Style { format, ..Style::default() }, out))?,
            None => {
                self.format.printable()?;
                print(
                    &batch,
                    Style { format, width: rows::terminal().map(|(wide, _)| wide), ..Style::default() },
                    stdio::Answer,
                )?;
            }
        }
        Ok(Exit::Done)
    }
}

fn print(batch: &RecordBatch, style: Style, mut out: impl Write + Send) -> Result<()> {
    if style.format == Format::Parquet {
        let mut writer = ArrowWriter::try_new(&mut out, batch.schema(), None)?;
        writer.write(batch)?;
        writer.close()?;
    } else {
        let mut writer = Writer::new(style, batch.schema(), &mut out)?;
        writer.write(batch)?;
        writer.finish()?;
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
