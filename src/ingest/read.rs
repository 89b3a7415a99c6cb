//! Reads inputs as chunks of whole lines: files and standard input, plain, gzip or zstd, recognised by their first
//! bytes.

use crate::progress::Progress;
use anyhow::{Context, Result, ensure};
use flate2::bufread::MultiGzDecoder;
use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};

/// Bytes of a chunk, about: the unit of parallel work. Its events should still be in the caches when they are
/// sequenced.
const CHUNK: usize = 256 * 1024;
/// Longest line that is kept, bytes. strace prints up to four bytes for each byte of data that it was told to show
/// (`-s`).
const LONGEST: usize = 8 << 20;
/// Bytes that are kept of a line longer than [`LONGEST`].
const START: usize = 256;
/// How often a reader that waits for standard input checks whether its input is still wanted, milliseconds.
const PATIENCE: libc::c_int = 200;

/// Where a text capture is read from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file, maybe compressed.
    Path(PathBuf),
    /// Standard input, maybe compressed.
    Stdin,
}

impl Input {
    /// The input that a word on the command line means: a file, or standard input for `-`.
    pub fn parse(word: &Path) -> Input {
        if word.as_os_str() == "-" { Input::Stdin } else { Input::Path(word.to_owned()) }
    }

    /// Name of the input in messages and in table `rejects`.
    pub fn name(&self) -> String {
        match self {
            Input::Path(path) => path.display().to_string(),
            Input::Stdin => "standard input".into(),
        }
    }

    /// The file's name without endings that tell format and compression: the default name of the host.
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

    /// The process that `strace -ff -o NAME` wrote this file for, from its name `NAME.PID`; `None` for other names.
    pub fn pid(&self) -> Option<i64> {
        let name = self.stem();
        let digits = name.rsplit_once('.').map(|(_, digits)| digits)?;
        let all = digits.bytes().all(|c| c.is_ascii_digit());
        digits.parse().ok().filter(|pid| all && (1..=1 << 22).contains(pid))
    }

    /// Size of the input in bytes as stored (compressed); 0 when unknown.
    pub fn size(&self) -> u64 {
        match self {
            Input::Path(path) => path.metadata().map_or(0, |meta| meta.len()),
            Input::Stdin => 0,
        }
    }

    /// Checks that the input exists and can be read. Only a regular file is opened for that: opening a FIFO would make
    /// its writer believe that its reader has come.
    ///
    /// # Errors
    /// When it does not exist, is a directory, or cannot be opened.
    pub fn check(&self) -> Result<()> {
        let Input::Path(path) = self else { return Ok(()) };
        let cannot = || format!("cannot open {}", path.display());
        let meta = path.metadata().with_context(cannot)?;
        ensure!(!meta.is_dir(), "{} is a directory, and an input is a file", path.display());
        if meta.is_file() {
            File::open(path).with_context(cannot)?;
        }
        Ok(())
    }

    /// Opens the input for reading. Once `stop` is set, reads of standard input no longer wait for data, and fail.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn open<'p>(&self, progress: &'p Progress, stop: &'p AtomicBool) -> Result<Lines<'p>> {
        let source: Box<dyn Read + Send + 'p> = match self {
            Input::Path(path) => Box::new(File::open(path).with_context(|| format!("cannot open {}", path.display()))?),
            Input::Stdin => Box::new(Patient { stdin: File::from(io::stdin().as_fd().try_clone_to_owned()?), stop }),
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

/// Standard input, which may never give any more (a pipe whose writer waits for something else): reads end when `stop`
/// is set.
struct Patient<'p> {
    stdin: File,
    stop: &'p AtomicBool,
}

impl Read for Patient<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let mut poll = libc::pollfd { fd: self.stdin.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: poll writes to the one pollfd that it is given (poll(2)).
        while unsafe { libc::poll(&raw mut poll, 1, PATIENCE) } == 0 {
            if self.stop.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::BrokenPipe.into());
            }
        }
        self.stdin.read(buf)
    }
}

/// A reader that adds the bytes read to the progress.
struct Counted<'p> {
    source: Box<dyn Read + Send + 'p>,
    progress: &'p Progress,
}

impl Read for Counted<'_> {
    fn read(&mut self, buf: &mut [u8]) -> io::Result<usize> {
        let len = self.source.read(buf)?;
        self.progress.add(len as u64);
        Ok(len)
    }
}

/// A piece of an input: consecutive whole lines.
#[derive(Debug)]
pub struct Chunk {
    /// Line number of the first line, from 1.
    pub first: u64,
    /// The lines, decompressed; every one but the last of the input ends with a newline.
    pub bytes: Vec<u8>,
    /// Are the bytes the start of one line that was too long to keep?
    pub cut: bool,
}

/// An open input that is read chunk by chunk.
pub struct Lines<'p> {
    name: String,
    reader: Box<dyn Read + Send + 'p>,
    carry: Vec<u8>,
    next: u64,
    skipping: bool,
    done: bool,
}

impl Lines<'_> {
    /// The next chunk; `None` at the end of the input.
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
                None if self.done && self.carry.len() <= LONGEST => self.carry.len(),
                None if self.carry.len() <= LONGEST => continue,
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
            // The last line may lack its end.
            let end = if self.done { self.carry.len() } else { end };
            let mut bytes = Vec::with_capacity(if self.done { 0 } else { 2 * CHUNK });
            bytes.extend_from_slice(&self.carry[end..]);
            std::mem::swap(&mut bytes, &mut self.carry);
            bytes.truncate(end);
            let first = self.next;
            self.next += memchr::memchr_iter(b'\n', &bytes).count() as u64 + u64::from(!bytes.ends_with(b"\n"));
            return Ok(Some(Chunk { first, bytes, cut: false }));
        }
        Ok(None)
    }

    /// Reads about as much as a chunk, or the rest of the input.
    fn fill(&mut self) -> Result<()> {
        if self.done {
            return Ok(());
        }
        let mut len = self.carry.len();
        let full = len + CHUNK;
        self.carry.resize(full, 0);
        while len < full && !self.done {
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
        if self.done {
            // Thousands of small inputs may be open side by side: none keeps its file, or more memory than it needs.
            self.reader = Box::new(io::empty());
            self.carry.shrink_to_fit();
        }
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
        let stop = AtomicBool::new(false);
        let mut lines = Input::Path(file.path().to_owned()).open(&progress, &stop).unwrap();
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
    fn a_line_that_is_too_long_keeps_its_start() {
        let text = [b"a\n".to_vec(), b"y".repeat(3 * LONGEST), b"\nb\nlast".to_vec()].concat();
        let found: Vec<(u64, usize, bool)> = chunks(&text).iter().map(|c| (c.first, c.bytes.len(), c.cut)).collect();
        assert_eq!(found, [(1, 2, false), (2, START, true), (3, 6, false)]);
        let text = [b"y".repeat(3 * CHUNK), b"\nlast".to_vec()].concat();
        assert_eq!(chunks(&text).iter().map(|chunk| chunk.bytes.len()).sum::<usize>(), text.len());
        assert_eq!(chunks(b"").len(), 0);
    }

    #[test]
    fn hosts_are_called_after_files() {
        let stem = |name: &str| Input::Path(name.into()).stem();
        assert_eq!(stem("/x/web1.capture.gz"), "web1");
        assert_eq!(stem("db.strace"), "db");
        assert_eq!(stem(".gz"), ".gz");
    }

    #[test]
    fn files_of_strace_ff_tell_the_process() {
        let pid = |name: &str| Input::Path(name.into()).pid();
        assert_eq!((pid("/x/trace.4711"), pid("trace.12.gz")), (Some(4711), Some(12)));
        assert_eq!((pid("4711"), pid("trace.0"), pid("trace.+7"), pid("trace.99999999")), (None, None, None, None));
    }
}
