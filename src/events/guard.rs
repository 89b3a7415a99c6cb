//! Makes a Parquet file that is written for long survive a kill of its writer. A Parquet file has its footer (table of
//! contents) at its end, so one without it is worthless. So the footer for what has been written so far is kept in a
//! file beside it from time to time; to restore the file, what was written since is cut off and the footer is appended.

use crate::files;
use anyhow::{Context, Result, ensure};
use parquet::file::metadata::{FileMetaData, ParquetMetaData, ParquetMetaDataWriter, RowGroupMetaData};
use std::fs::{self, OpenOptions};
use std::io::{Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// Path of the file that holds the footer of a table which is being written: `NAME.contents`.
pub fn beside(table: &Path) -> PathBuf {
    table.with_extension("contents")
}

/// Keeps a footer for the first `length` bytes of a table, in which all of these row groups have been written.
///
/// # Errors
/// When the footer's file cannot be written.
pub fn keep(table: &Path, groups: &[RowGroupMetaData], length: u64) -> Result<()> {
    let Some(first) = groups.first() else { return Ok(()) };
    let rows = groups.iter().map(RowGroupMetaData::num_rows).sum();
    let by = Some(format!("ioriot {}", env!("CARGO_PKG_VERSION")));
    let file = FileMetaData::new(1, rows, by, None, first.schema_descr_ptr(), None);
    let contents = ParquetMetaData::new(file, groups.to_vec());
    let mut bytes = length.to_le_bytes().to_vec();
    ParquetMetaDataWriter::new(&mut bytes, &contents).finish().context("cannot put together a table of contents")?;
    let (place, aside) = (beside(table), table.with_extension("contents.new"));
    let write = || -> std::io::Result<()> {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(&aside)?.write_all(&bytes)?;
        fs::rename(&aside, &place)
    };
    write().with_context(|| format!("cannot write {}", place.display()))
}

/// Makes a table whole whose writer was killed: it ends where its footer was kept last.
///
/// # Errors
/// When no footer was kept, the table is shorter than it was then, or files cannot be changed.
pub fn restore(table: &Path) -> Result<()> {
    let place = beside(table);
    let mut kept = Vec::new();
    files::open(&place)
        .and_then(|mut file| file.read_to_end(&mut kept))
        .with_context(|| format!("nothing of {} was kept: there is no {}", table.display(), place.display()))?;
    let (length, contents) = kept.split_first_chunk().with_context(|| format!("{} is damaged", place.display()))?;
    let length = u64::from_le_bytes(*length);
    let mut file = files::change(table).with_context(|| format!("cannot open {}", table.display()))?;
    ensure!(file.metadata()?.len() >= length, "{} is shorter than it was: it is damaged", table.display());
    file.set_len(length)?;
    file.seek(SeekFrom::End(0))?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::remove_file(&place)?;
    Ok(())
}
