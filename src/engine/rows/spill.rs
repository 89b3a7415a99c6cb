//! Temporary files, without a name, to which sorts, joins and aggregations spill.
//!
//! A nameless file is gone when the process that has it open ends, however it ends, and nobody else can open it.

use crate::files;
use crate::process::signal::Transient;
use bytes::Bytes;
use datafusion::common::{DataFusionError, Result};
use datafusion::execution::spill_file::{SpillFile, SpillWriter, TempFileFactory};
use futures::{Stream, stream};
use std::fs::File;
use std::io::{self, Write};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

/// Bytes of a spill file that are read at once.
const PIECE: usize = 128 << 10;

/// Makes nameless files on the file system of this directory.
#[derive(Debug)]
pub struct Spill(pub PathBuf);

impl TempFileFactory for Spill {
    fn create_temp_file(&self, _: &str) -> Result<Arc<dyn SpillFile>> {
        // Where O_TMPFILE is not supported the file has a name for a moment: signals are held off until it is removed.
        let made = Transient::make(|| true, || files::nameless(&self.0));
        let (_, file) = made.map_err(|error| {
            let text = format!("cannot spill to {}: {error}", self.0.display());
            DataFusionError::IoError(io::Error::new(error.kind(), text))
        })?;
        Ok(Arc::new(Spilled(Arc::new(file))))
    }
}

struct Spilled(Arc<File>);

impl SpillFile for Spilled {
    fn size(&self) -> Option<u64> {
        self.0.metadata().ok().map(|meta| meta.len())
    }

    fn read_stream(&self) -> Result<Pin<Box<dyn Stream<Item = Result<Bytes>> + Send>>> {
        let pieces = stream::try_unfold((Arc::clone(&self.0), 0), |(file, at)| async move {
            let mut piece = vec![0; PIECE];
            let read = file.read_at(&mut piece, at)?;
            piece.truncate(read);
            Ok((read > 0).then(|| (Bytes::from(piece), (file, at + read as u64))))
        });
        Ok(Box::pin(pieces))
    }

    fn open_writer(&self) -> Result<Box<dyn SpillWriter>> {
        Ok(Box::new(Writer(Arc::clone(&self.0))))
    }
}

/// Appends to a spill file with write(2), which moves the descriptor's position; readers use pread(2).
struct Writer(Arc<File>);

impl Write for Writer {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self.0).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl SpillWriter for Writer {
    fn finish(&mut self) -> Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    #[test]
    fn what_was_written_is_read_and_has_no_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = Spill(dir.path().into()).create_temp_file("a test").unwrap();
        let text: Vec<u8> = (0..3 * PIECE + 7).map(|at| (at % 251) as u8).collect();
        let mut writer = file.open_writer().unwrap();
        text.chunks(1000).for_each(|part| writer.write_all(part).unwrap());
        writer.finish().unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        for _ in 0..2 {
            let pieces = file.read_stream().unwrap().map(|piece| piece.unwrap());
            let pieces: Vec<Bytes> = runtime.block_on(pieces.collect());
            assert!(pieces.concat() == text);
        }
        assert_eq!(file.size(), Some(text.len() as u64));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
        let error = Spill(dir.path().join("none")).create_temp_file("a test").err().unwrap().to_string();
        assert!(error.contains("none: "), "{error}");
    }
}
