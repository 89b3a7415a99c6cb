//! What the content of files is like (`--content-samples`): samples of the files that were opened, looked at when the capture is
//! over, so that nothing of it is slower and nothing is in the page cache for it.
//!
//! ```text
//! paths ─▶ this process: opens, with the rights of the user ── sendfile ─▶ pipe ─▶ child: compresses, hashes, wipes
//!                      contents (numbers) ◀─────────────────────────────── pipe ◀─┘
//! ```
//!
//! No content is in the memory of this process: the kernel puts it from the file into the pipe.

pub mod child;
mod measure;
mod moved;
mod noise;

use super::layouts::{KIND, Names, REGULAR};
use crate::amount::{Bytes, Things};
use crate::files::{self, Dir};
use crate::mounts::{self, Mount};
use crate::process::signal;
use crate::progress::{Progress, Unit};
use crate::schema::contents::{Content, Sampled};
use crate::schema::profile::{Profile, SAMPLE, places};
use anyhow::{Context, Result};
use child::{ANSWER, END, NUMBERS, VERB};
use moved::Moved;
use serde::Serialize;
use std::fmt;
use std::fs::File;
use std::io::{Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

/// Bytes that are looked at, at most.
const MOST: u64 = 1 << 30;
/// Time after which no other file is looked at.
const LONGEST: Duration = Duration::from_secs(60);

/// What was looked at, and what was not.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Told {
    /// Regular files that were opened.
    pub files: u64,
    /// Of these, files that were looked at.
    pub sampled: u64,
    /// Files that had no name any more at the end, or one in another directory.
    pub gone: u64,
    /// Files that this user may not read, or that cannot be read.
    pub unreadable: u64,
    /// Files that were empty at the end.
    pub empty: u64,
    /// Files for which no time or no bytes were left, or that a signal came before.
    pub left_out: u64,
    /// Why none was looked at, or not all; `None` if nothing stood in the way.
    pub refused: Option<String>,
    /// The numbers of all that were looked at.
    #[serde(flatten)]
    pub content: Sum,
}

/// The numbers of a [`Content`] as they are told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Sum {
    /// Bytes that were looked at.
    pub bytes: i64,
    /// Bytes that they take compressed.
    pub compressed: i64,
    /// Bytes of samples that save no block.
    pub incompressible: i64,
    /// Bytes of blocks that are all zero.
    pub zeroes: i64,
    /// Bytes of blocks that equal one before.
    pub repeated: i64,
}

/// Looks at the content of the files that were opened with these paths. What cannot be looked at is counted. A signal that comes meanwhile (Ctrl-C) ends it: the
/// capture has ended, whether by a signal or not.
pub fn sample(paths: &Names, progress: &Progress) -> (Vec<Sampled>, Told) {
    let mut told = Told { files: paths.len() as u64, ..Told::default() };
    let mut rows = Vec::new();
    progress.begin("contents", Unit::Count, told.files);
    if let Err(error) = all(paths, &mut rows, &mut told, progress) {
        told.refused = Some(format!("{error:#}"));
        let known = told.sampled + told.gone + told.unreadable + told.empty + told.left_out;
        told.left_out += told.files.saturating_sub(known);
    }
    rows.sort_by(|a, b| a.path.cmp(&b.path));
    (rows, told)
}

fn all(paths: &Names, rows: &mut Vec<Sampled>, told: &mut Told, progress: &Progress) -> Result<()> {
    // Before anybody can see that the command has ended, and samples begin.
    let came = signal::came();
    signal::take_back();
    let root = Dir::open(Path::new("/")).context("cannot open /")?;
    let mounts = std::fs::read("/proc/self/mountinfo").ok().and_then(|text| mounts::parse(&text).ok()).unwrap_or_default();
    let mut sampler = Sampler::start().context("cannot start the process that measures samples")?;
    let (start, mut left) = (Instant::now(), MOST);
    // In no order of names: where not all can be looked at, those that are stand for the others.
    let mut moved = Moved::new();
    for (path, inode) in paths {
        progress.add(1);
        // What the kernel makes up when it is read is no content.
        if mounts.iter().filter(|mount| mount.holds(path)).max_by_key(|mount| mount.path.len()).is_some_and(Mount::pseudo) {
            told.files -= 1;
            continue;
        }
        if start.elapsed() > LONGEST || left == 0 || signal::came() != came {
            told.left_out += 1;
            continue;
        }
        let found = root.find(path).ok().or_else(|| moved.find(&root, path, *inode));
        let Some(handle) = found.filter(|handle| handle.stat().st_mode & KIND == REGULAR) else {
            told.gone += 1;
            continue;
        };
        let Ok(file) = handle.open() else {
            told.unreadable += 1;
            continue;
        };
        let size = handle.stat().st_size;
        match u64::try_from(size) {
            Ok(0) | Err(_) => told.empty += 1,
            Ok(length) => {
                let content =
                    sampler.file(&file, length, &mut left).context("the process that measures samples has ended early")?;
                match content.sampled {
                    0 => told.unreadable += 1,
                    _ => {
                        told.sampled += 1;
                        told.content.add(content);
                        rows.push(Sampled { path: path.clone(), size, content });
                    }
                }
            }
        }
    }
    sampler.end()
}

/// The process that measures samples.
struct Sampler {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Sampler {
    /// Starts it, and waits until it says that its walls stand.
    fn start() -> Result<Sampler> {
        let mut command = Command::new("/proc/self/exe");
        command.arg(VERB).env_clear().stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn()?;
        let (input, output) = (child.stdin.take().context("no pipe")?, child.stdout.take().context("no pipe")?);
        let mut sampler = Sampler { child, input, output };
        sampler.answer().context("it could not shut itself in")?;
        Ok(sampler)
    }

    /// What it tells of a file, and the letters of its samples.
    fn answer(&mut self) -> Result<(Content, Vec<u8>)> {
        let mut numbers = [0; NUMBERS];
        self.output.read_exact(&mut numbers)?;
        let mut letters = vec![0; ANSWER - NUMBERS];
        self.output.read_exact(&mut letters)?;
        letters.retain(|letter| *letter != 0);
        Ok((Content::of_bytes(&numbers), letters))
    }

    /// Has samples of a file of this length measured, as far as bytes are left.
    fn file(&mut self, file: &File, length: u64, left: &mut u64) -> Result<Content> {
        for start in places(length) {
            let count = SAMPLE.min(length - start).min(*left);
            if count == 0 {
                break;
            }
            *left -= count;
            self.number(u32::try_from(count)?)?;
            let sent = files::send(file, start, count, &self.input).unwrap_or(0);
            // The length was promised; how much of it is valid is said behind it.
            std::io::copy(&mut std::io::repeat(0).take(count - sent), &mut self.input)?;
            self.number(u32::try_from(sent)?)?;
        }
        self.number(END)?;
        let (content, letters) = self.answer()?;
        let text = std::str::from_utf8(&letters).ok();
        let profile = text.zip(i64::try_from(length).ok()).and_then(|(text, length)| Profile::of(text, length));
        Ok(Content { profile, ..content })
    }

    fn number(&mut self, number: u32) -> Result<()> {
        Ok(self.input.write_all(&number.to_le_bytes())?)
    }

    /// Ends it, and waits until it has ended.
    fn end(self) -> Result<()> {
        let Sampler { mut child, input, output } = self;
        drop((input, output));
        child.wait()?;
        Ok(())
    }
}

impl Sum {
    fn add(&mut self, content: Content) {
        self.bytes += content.sampled;
        self.compressed += content.compressed;
        self.incompressible += content.incompressible;
        self.zeroes += content.zeroes;
        self.repeated += content.repeated;
    }
}

impl fmt::Display for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Told { files, sampled, content, .. } = self;
        let share = |part: i64| part as f64 * 100.0 / content.bytes.max(1) as f64;
        writeln!(
            f,
            "  Content: {} of {sampled} of {} looked at: compressed {:.1} %, incompressible {:.1} %, zeroes {:.1} %, repeated {:.1} %",
            Bytes(content.bytes.unsigned_abs()),
            Things(*files, "opened file"),
            share(content.compressed),
            share(content.incompressible),
            share(content.zeroes),
            share(content.repeated),
        )?;
        let others = [
            (self.gone, "files of unknown content: at the end they were deleted, or in another directory"),
            (self.unreadable, "files of unknown content: they could not be read with the rights of this user"),
            (self.left_out, "files of unknown content: for them no time was left, no bytes, or a signal came"),
        ];
        for (count, what) in others.iter().filter(|(count, _)| *count > 0) {
            writeln!(f, "  {count:>9} {what}")?;
        }
        if let Some(why) = &self.refused {
            writeln!(f, "  Content could not be looked at, or not all: {why}")?;
        }
        Ok(())
    }
}
