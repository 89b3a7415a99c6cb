//! The formats there are: those of the program, and the user's own.

use super::head::{Head, Reader};
use crate::files::{self, Dir};
use anyhow::{Context, Result, bail, ensure};
use std::borrow::Cow;
use std::ffi::OsStr;
use std::io::ErrorKind;
use std::path::Path;

macro_rules! formats {
    ($($name:literal)*) => {
        /// Name and SQL of each format of the program.
        pub static FORMATS: &[(&str, &str)] = &[$(($name, include_str!(concat!("../../sql/ingest/", $name, ".sql")))),*];
    };
}

formats! {
    "blkparse"
    "bpftrace"
    "cloudphysics"
    "darshan_dxt"
    "dftracer"
    "fio_iolog"
    "msr_cambridge"
    "perf_script"
    "perf_trace"
    "sysdig"
}

/// A format: how inputs are read, and the SELECT that makes events of them.
#[derive(Clone, Debug)]
pub struct Format {
    /// Its name: the stem of its file.
    pub name: String,
    /// Its file, for messages.
    pub file: String,
    /// The contents of its file.
    pub sql: Cow<'static, str>,
    /// What the head of the file says.
    pub head: Head,
}

impl Format {
    /// The format of this name: that of `dir`, if it has one, or that of the program.
    ///
    /// # Errors
    /// When there is none, `dir` or the file in it is one that other users can change, or its head is wrong.
    pub fn find(name: &str, dir: Option<&Path>) -> Result<Format> {
        if let Some(dir) = dir
            && let Some(sql) = theirs(name, dir)?
        {
            return Format::new(name, dir.join(format!("{name}.sql")).display().to_string(), sql.into());
        }
        let Some((_, sql)) = FORMATS.iter().find(|(known, _)| *known == name) else {
            let names: Vec<_> = FORMATS.iter().map(|(name, _)| *name).collect();
            let near = dir.map_or(String::new(), |dir| format!(", nor is {name}.sql in {}", dir.display()));
            bail!("there is no format {name}{near}: there are capture, strace, {}", names.join(", "))
        };
        Format::new(name, format!("sql/ingest/{name}.sql"), Cow::Borrowed(sql))
    }

    fn new(name: &str, file: String, sql: Cow<'static, str>) -> Result<Format> {
        let head = Head::parse(&sql).with_context(|| file.clone())?;
        Ok(Format { name: name.to_owned(), file, sql, head })
    }

    /// Every format: those of `dir`, and those of the program that `dir` does not replace.
    ///
    /// # Errors
    /// As [`Format::find`].
    pub fn all(dir: Option<&Path>) -> Result<Vec<Format>> {
        let mut names: Vec<String> = FORMATS.iter().map(|(name, _)| (*name).to_owned()).collect();
        if let Some(dir) = dir {
            for (entry, _) in open(dir)?.entries().with_context(|| format!("cannot list {}", dir.display()))? {
                let stem = Path::new(&entry).file_stem().and_then(OsStr::to_str).unwrap_or_default().to_owned();
                let sql = Path::new(&entry).extension().is_some_and(|ending| ending == "sql");
                if sql && is_name(&stem) && !names.contains(&stem) {
                    names.push(stem);
                }
            }
        }
        names.sort_unstable();
        names.iter().map(|name| Format::find(name, dir)).collect()
    }
}

/// Is this the name of a format: of letters, digits, `_` and `-`?
fn is_name(name: &str) -> bool {
    let letters = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-'));
    letters && (1..=64).contains(&name.len())
}

/// Opens a directory of formats: what other users may change in it would be theirs to say.
fn open(dir: &Path) -> Result<Dir> {
    let opened = Dir::open(dir).with_context(|| format!("cannot open {}", dir.display()))?;
    files::trusted(&opened)?;
    Ok(opened)
}

/// The SQL of a format in a directory; `None` when it has none of this name.
fn theirs(name: &str, dir: &Path) -> Result<Option<String>> {
    ensure!(is_name(name), "{name:?} is no name of a format: of letters, digits, _ and -");
    let dir = open(dir)?;
    let file = format!("{name}.sql");
    let shown = || dir.at(&file).display().to_string();
    let opened = match dir.file(&file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.with_context(|| format!("cannot open {}", shown()))?,
    };
    ensure!(files::only_ours(&opened)?, "{} belongs to another user, or others may write it: it is not read", shown());
    let sql = files::whole(opened).with_context(|| format!("cannot read {}", shown()))?;
    Ok(Some(String::from_utf8(sql).with_context(|| format!("{} is no UTF-8", shown()))?))
}

impl Head {
    /// The reader in words.
    fn reads(&self) -> &'static str {
        match self.reader {
            Reader::Lines => "lines",
            Reader::Csv(..) => "CSV",
            Reader::Ndjson => "JSON lines",
            Reader::Parquet => "Parquet",
        }
    }
}

/// The formats as text, for `ioriot ingest --formats`.
pub fn describe(formats: &[Format]) -> String {
    let mut text = String::new();
    for Format { name, head, .. } in formats {
        let meaning = head.text.split("\n\n").next().unwrap_or_default().trim().replace('\n', " ");
        text.push_str(&format!("{name} ({})\n  {meaning}\n  Made {}.\n", head.reads(), head.made));
    }
    text
}

/// The formats of the program as a chapter of docs/SQL.md.
///
/// # Errors
/// When the head of one is wrong.
pub fn markdown() -> Result<String> {
    let mut page = String::from(
        "\n## Foreign formats\n\n`ioriot ingest INPUT --format NAME` reads traces of other tools: [FORMAT.md](FORMAT.md#foreign-formats-by-sql) \
         says how a file of `sql/ingest/` does that, and how to write one.\n",
    );
    for Format { name, head, .. } in Format::all(None)? {
        page.push_str(&format!("\n### {name}\n\n{}\n\n", head.text.trim()));
        page.push_str(&format!(
            "File `sql/ingest/{name}.sql`, made {}; reader: {}; clock: {}.\n\n",
            head.made,
            head.reads(),
            head.clock.name()
        ));
        let lists = [("Absent", &head.absent), ("Invented", &head.invented), ("Inserted", &head.inserted)];
        for (what, said) in lists.iter().flat_map(|(what, list)| list.iter().map(move |said| (what, said))) {
            page.push_str(&format!("- {what}: {said}.\n"));
        }
    }
    Ok(page)
}
