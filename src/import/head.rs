//! Heads of formats: comments that say how the input is read and what it does not tell.
//!
//! ```sql
//! -- What the format is.
//! -- @reader csv header delimiter=tab
//! -- @field time BIGINT Timestamp
//! -- @clock unix
//! -- @made after files of a tool and its version, or after its documentation
//! -- @absent what a file does not tell
//! -- @invented columns whose values are made up, and how
//! -- @inserted calls that no line tells of, and where they stand
//! SELECT ...
//! ```
//! `@field NAME TYPE SOURCE` is a column of table `input`, of type BIGINT, DOUBLE or VARCHAR. Its source is a name in the header of
//! a CSV file, or a JSON pointer (RFC 6901); without one it is the next column of the CSV file, or `/NAME`.

use crate::ingest::Clock;
use anyhow::{Context, Result, bail, ensure};

/// How the lines of an input are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reader {
    /// As they are: columns `line` and `text`.
    Lines,
    /// As comma-separated values (RFC 4180), one record per line.
    Csv(Delimiter, Header),
    /// As JSON, one object per line; the brackets and commas of an array of objects, one per line, are stepped over.
    Ndjson,
    /// The input is one Parquet file: its columns, and `line`, the number of the row from 1.
    Parquet,
}

/// The byte between two values of a CSV file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Delimiter(pub u8);

/// Does a CSV file begin with the names of its columns?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Header {
    /// Its first line has values.
    None,
    /// Its first line has names, and fields are found by them.
    Names,
}

/// SQL type of a field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// A 64-bit integer.
    Bigint,
    /// A floating-point number.
    Double,
    /// A text.
    Varchar,
}

/// A column of table `input`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Field {
    /// Its name in SQL.
    pub name: String,
    /// Its type.
    pub ty: Type,
    /// Where its values are in a line.
    pub source: String,
}

/// The head of a format.
#[derive(Clone, Debug)]
pub struct Head {
    /// What the format is, as Markdown: the lines without `@`.
    pub text: String,
    /// How its lines are read.
    pub reader: Reader,
    /// Columns of table `input` besides `line` and `text`.
    pub fields: Vec<Field>,
    /// The clock of column `ts`.
    pub clock: Clock,
    /// What it was made after: files of a tool and its version, or its documentation.
    pub made: String,
    /// What a file does not tell.
    pub absent: Vec<String>,
    /// Columns whose values are made up, and how.
    pub invented: Vec<String>,
    /// Calls that no line tells of, and where they stand.
    pub inserted: Vec<String>,
}

/// Most fields of a format.
const MOST: usize = 200;

impl Head {
    /// Parses the comments at the head of a SQL text.
    ///
    /// # Errors
    /// When a word behind an `@` is unknown, or what follows it is malformed; when there is no `@reader`.
    pub fn parse(sql: &str) -> Result<Head> {
        let (mut reader, mut clock) = (None, Clock::None);
        let mut head = Head {
            text: String::new(),
            reader: Reader::Lines,
            fields: Vec::new(),
            clock,
            made: String::new(),
            absent: Vec::new(),
            invented: Vec::new(),
            inserted: Vec::new(),
        };
        let lines = sql.lines().map_while(|line| line.strip_prefix("--")).map(str::trim);
        for (number, line) in lines.enumerate() {
            let at = || format!("line {} of its head", number + 1);
            let Some(marked) = line.strip_prefix('@') else {
                head.text.push_str(line);
                head.text.push('\n');
                continue;
            };
            let (word, said) = marked.split_once(' ').unwrap_or((marked, ""));
            let said = said.trim();
            match word {
                "reader" => reader = Some(read(said).with_context(at)?),
                "field" => head.fields.push(field(said).with_context(at)?),
                "clock" => clock = of_clock(said).with_context(at)?,
                "made" => head.made = format!("{} {said}", head.made).trim().to_owned(),
                "absent" => head.absent.push(said.to_owned()),
                "invented" => head.invented.push(said.to_owned()),
                "inserted" => head.inserted.push(said.to_owned()),
                _ => bail!("{}: there is no @{word}", at()),
            }
        }
        head.reader = reader.context("its head has no `-- @reader lines|csv|ndjson|parquet`")?;
        head.clock = clock;
        ensure!(head.fields.len() <= MOST, "it has {} fields, and {MOST} are the most", head.fields.len());
        for (at, field) in head.fields.iter().enumerate() {
            let twice = head.fields[..at].iter().any(|other| other.name == field.name);
            ensure!(!twice && !matches!(field.name.as_str(), "line" | "text"), "there are two columns {}", field.name);
        }
        match head.reader {
            Reader::Lines | Reader::Parquet => ensure!(head.fields.is_empty(), "@field is for the readers csv and ndjson"),
            Reader::Csv(..) | Reader::Ndjson => ensure!(!head.fields.is_empty(), "its head has no @field"),
        }
        Ok(head)
    }
}

/// The clock of a name.
fn of_clock(name: &str) -> Result<Clock> {
    let clocks = [Clock::Unix, Clock::Boot, Clock::Day, Clock::Relative, Clock::None];
    clocks.into_iter().find(|clock| clock.name() == name).context("a clock is one of unix, boot, day, relative, none")
}

fn read(said: &str) -> Result<Reader> {
    let mut words = said.split_whitespace();
    let name = words.next().unwrap_or_default();
    let (mut delimiter, mut header) = (Delimiter(b','), Header::None);
    for word in words {
        match word.split_once('=') {
            _ if name != "csv" => bail!("the reader {name} has no option {word}"),
            None if word == "header" => header = Header::Names,
            Some(("delimiter", "tab")) => delimiter = Delimiter(b'\t'),
            Some(("delimiter", "space")) => delimiter = Delimiter(b' '),
            Some(("delimiter", byte)) => match byte.as_bytes() {
                [byte] if byte.is_ascii_graphic() && *byte != b'"' => delimiter = Delimiter(*byte),
                _ => bail!("a delimiter is one ASCII character, tab or space"),
            },
            _ => bail!("the reader csv has no option {word}: it has header and delimiter"),
        }
    }
    match name {
        "lines" => Ok(Reader::Lines),
        "csv" => Ok(Reader::Csv(delimiter, header)),
        "ndjson" => Ok(Reader::Ndjson),
        "parquet" => Ok(Reader::Parquet),
        _ => bail!("there is no reader {name:?}: there are lines, csv, ndjson and parquet"),
    }
}

fn field(said: &str) -> Result<Field> {
    let mut words = said.splitn(3, ' ');
    let (Some(name), Some(ty)) = (words.next(), words.next()) else { bail!("`-- @field NAME TYPE SOURCE` is expected") };
    let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
    ensure!(plain && !name.is_empty(), "the name of a field is of a-z, 0-9 and _");
    let ty = match ty {
        "BIGINT" => Type::Bigint,
        "DOUBLE" => Type::Double,
        "VARCHAR" => Type::Varchar,
        _ => bail!("a field is BIGINT, DOUBLE or VARCHAR"),
    };
    let source = words.next().map_or_else(|| name.to_owned(), |source| source.trim().to_owned());
    Ok(Field { name: name.to_owned(), ty, source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_says_how_to_read() {
        let sql = "-- One.\n-- @reader csv header delimiter=;\n-- @field a BIGINT The A\n-- @field b VARCHAR\n-- @clock unix\n\
                   -- @made by x\n-- @absent y\n-- @invented z\nSELECT 1\n-- @nothing\n";
        let head = Head::parse(sql).unwrap();
        assert_eq!(head.reader, Reader::Csv(Delimiter(b';'), Header::Names));
        assert_eq!((head.text.as_str(), head.made.as_str(), head.clock), ("One.\n", "by x", Clock::Unix));
        assert_eq!((head.absent, head.invented, head.inserted), (vec!["y".to_owned()], vec!["z".to_owned()], vec![]));
        assert_eq!((head.fields[0].source.as_str(), head.fields[1].source.as_str()), ("The A", "b"));
    }

    #[test]
    fn a_head_that_is_wrong_says_where() {
        for (sql, says) in [
            ("SELECT 1", "no `-- @reader"),
            ("-- @reader lines fast\n", "no option fast"),
            ("-- @reader xml\n", "no reader \"xml\""),
            ("-- a\n-- @reed lines\n", "line 2 of its head: there is no @reed"),
            ("-- @reader csv\n", "no @field"),
            ("-- @reader csv quote='\n-- @field a BIGINT\n", "no option quote='"),
            ("-- @reader csv delimiter=ab\n", "one ASCII character"),
            ("-- @reader lines\n-- @field a BIGINT\n", "@field is for"),
            ("-- @reader csv\n-- @field a INT\n", "BIGINT, DOUBLE or VARCHAR"),
            ("-- @reader csv\n-- @field A BIGINT\n", "a-z, 0-9"),
            ("-- @reader csv\n-- @field a BIGINT\n-- @field a BIGINT\n", "two columns a"),
            ("-- @reader csv\n-- @field line BIGINT\n", "two columns line"),
            ("-- @reader lines\n-- @clock noon\n", "a clock is one of"),
        ] {
            let error = format!("{:#}", Head::parse(sql).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
