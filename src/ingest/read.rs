//! Inputs to chunks of whole lines: files and standard input, plain, gzip or zstd, as their first bytes say.

use crate::progress::Progress;
use anyhow::{Context, Result};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

/// Bytes of a chunk, about: the unit of parallel work. No line longer than a chunk is kept.
pub const CHUNK: usize = 1 << 20;
/// What is kept of a line longer than a chunk.
const START: usize = 256;

/// Where a capture comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file.
    Path(PathBuf),
    /// Standard input.
    Stdin,
}

impl Input {
    /// The input that a command line word means: `-` is standard input.
    pub fn parse(word: &Path) -> Input {
        if word.as_os_str() == "-" { Input::Stdin } else { Input::Path(word.to_owned()) }
    }

    /// Its name in messages and in table `rejects`.
    pub fn name(&self) -> String {
        match self {
            Input::Path(path) => path.display().to_string(),
            Input::Stdin => "standard input".into(),
        }
    }

    /// The thread a file is about when `strace -ff -o OUT` wrote it: the number that OUT.NUMBER ends in.
    pub fn thread(&self) -> Option<i64> {
        let Input::Path(path) = self else { return None };
        let name = path.file_name()?.to_str()?;
        let name = name.strip_suffix(".gz").or_else(|| name.strip_suffix(".zst")).unwrap_or(name);
        let (_, number) = name.rsplit_once('.')?;
        number.bytes().all(|c| c.is_ascii_digit()).then(|| number.parse().ok().filter(|thread| *thread > 0))?
    }

    /// The file's name without endings that tell format and compression: what a host is called by default.
    pub fn stem(&self) -> String {
        let Input::Path(path) = self else { return "stdin".into() };
        let mut name = path.file_name().unwrap_or(path.as_os_str()).to_string_lossy().into_owned();
        for ending in [".gz", ".zst", ".capture", ".strace", ".txt", ".log"] {
            if let Some(stem) = name.strip_suffix(ending).filter(|stem| !stem.is_empty()) {
                name.truncate(stem.len());
            }
        }
        name
    }

    /// Its size in bytes as stored; 0 when unknown.
    pub fn size(&self) -> u64 {
        match self {
            Input::Path(path) => path.metadata().map_or(0, |meta| meta.len()),
            Input::Stdin => 0,
        }
    }

    /// Opens it.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn open<'p>(&self, progress: &'p Progress) -> Result<Lines<'p>> {
        let source: Box<dyn Read + Send> = match self {
            Input::Path(path) => Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?),
            Input::Stdin => Box::new(io::stdin()),
        };
        let mut raw = BufReader::with_capacity(256 * 1024, Counted { source, progress });
        let magic = raw.fill_buf().with_context(|| format!("cannot read {}", self.name()))?;
        let reader: Box<dyn Read + Send + 'p> = match magic {
            [0x1f, 0x8b, ..] => Box::new(MultiGzDecoder::new(raw)),
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Box::new(zstd::Decoder::with_buffer(raw)?),
            _ => Box::new(raw),
        };
        Ok(Lines { name: self.name(), reader, carry: Vec::new(), next: 1, skipping: false, done: false })
    }
}

/// Tells the progress what was read.
struct Counted<'p> {
    source: Box<dyn Read + Send>,
    progress: &'p Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read(buf)?;
        self.progress.add(len as u64);
        Ok(len)
    }
}

/// Consecutive lines of an input.
#[derive(Debug)]
pub struct Chunk {
    /// Number of the first line, from 1.
    pub first: u64,
    /// The lines; every one but the last of the input ends with a newline.
    pub bytes: Vec<u8>,
    /// Is it the start of one line that was too long to keep?
    pub cut: bool,
}

/// An input, chunk by chunk.
pub struct Lines<'p> {
    name: String,
    reader: Box<dyn Read + Send + 'p>,
    carry: Vec<u8>,
    next: u64,
    skipping: bool,
    done: bool,
}

impl Lines<'_> {
    /// The next chunk; none at the end.
    ///
    /// # Errors
    /// When the input cannot be read, or its compressed data is damaged or cut.
    pub fn chunk(&mut self) -> Result<Option<Chunk>> {
        while !self.done || !self.carry.is_empty() {
            self.fill()?;
            if self.skipping {
                match memchr::memchr(b'\n', &self.carry) {
                    Some(end) => {
                        self.carry.drain(..=end);
                        self.skipping = false;
                    }
                    None => self.carry.clear(),
                }
                continue;
            }
            let end = match memchr::memrchr(b'\n', &self.carry) {
                Some(end) => end + 1,
                None if self.done && self.carry.len() < CHUNK => self.carry.len(),
                None => {
                    self.skipping = true;
                    self.carry.truncate(START);
                    let bytes = std::mem::take(&mut self.carry);
                    self.next += 1;
                    return Ok(Some(Chunk { first: self.next - 1, bytes, cut: true }));
                }
            };
            if end == 0 {
                continue;
            }
            let end = if self.done && self.carry.len() < CHUNK { self.carry.len() } else { end };
            let mut bytes = Vec::with_capacity(CHUNK);
            bytes.extend_from_slice(&self.carry[end..]);
            std::mem::swap(&mut bytes, &mut self.carry);
            bytes.truncate(end);
            let first = self.next;
            self.next += memchr::memchr_iter(b'\n', &bytes).count() as u64 + u64::from(!bytes.ends_with(b"\n"));
            return Ok(Some(Chunk { first, bytes, cut: false }));
        }
        Ok(None)
    }

    /// Reads until there is a chunk or the input ends.
    fn fill(&mut self) -> Result<()> {
        let mut len = self.carry.len();
        self.carry.resize(len.max(CHUNK), 0);
        while len < CHUNK && !self.done {
            match self.reader.read(&mut self.carry[len..]) {
                Ok(0) => self.done = true,
                Ok(read) => len += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => {
                    let hint = match error.kind() {
                        io::ErrorKind::UnexpectedEof => "its compressed data ends early: the file is truncated",
                        _ => "the file is damaged or cannot be read",
                    };
                    return Err(error).with_context(|| format!("{}, near line {}: {hint}", self.name, self.next));
                }
            }
        }
        self.carry.truncate(len);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunks(text: &[u8]) -> Vec<Chunk> {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        let progress = Progress::default();
        let mut lines = Input::Path(file.path().to_owned()).open(&progress).unwrap();
        std::iter::from_fn(|| lines.chunk().unwrap()).collect()
    }

    #[test]
    fn chunks_are_whole_lines() {
        let line = [b"x".repeat(99), b"\n".to_vec()].concat();
        let text = line.repeat(30_000);
        let chunks = chunks(&text);
        assert!(chunks.len() > 2);
        let mut next = 1;
        for chunk in &chunks {
            assert_eq!((chunk.first, chunk.bytes.len() % 100, chunk.cut), (next, 0, false));
            next += chunk.bytes.len() as u64 / 100;
        }
        assert_eq!(next, 30_001);
    }

    #[test]
    fn a_line_longer_than_a_chunk_keeps_its_start() {
        let text = [b"a\n".to_vec(), b"y".repeat(3 * CHUNK), b"\nb\nlast".to_vec()].concat();
        let found: Vec<(u64, usize, bool)> = chunks(&text).iter().map(|c| (c.first, c.bytes.len(), c.cut)).collect();
        assert_eq!(found, [(1, 2, false), (2, START, true), (3, 6, false)]);
        assert_eq!(chunks(b"").len(), 0);
    }

    #[test]
    fn hosts_are_called_after_files() {
        let stem = |name: &str| Input::Path(name.into()).stem();
        assert_eq!(stem("/x/web1.capture.gz"), "web1");
        assert_eq!(stem("db.strace"), "db");
        assert_eq!(stem(".gz"), ".gz");
    }
}
