//! What a workload is to be other than its capture: which part of it, how changed, how often.

use crate::syscall::{Class, Op};
use anyhow::{Context, Result, bail, ensure};
use serde::Serialize;
use std::time::Duration;

/// Tenants of one workload, at most.
pub const TENANTS: u64 = 1000;

/// What is to be other than captured; by default nothing.
#[derive(Clone, Debug, Default, Serialize)]
pub struct WhatIf {
    /// Where the replay begins: what was there at this moment is its file tree, and what was open is opened first.
    pub from: Option<When>,
    /// Where it ends.
    pub to: Option<When>,
    /// Only the processes of these names (comm) or ids.
    pub processes: Vec<String>,
    /// Only the processes of these users, names or numbers of this machine.
    pub users: Vec<String>,
    /// Only calls on paths of these patterns.
    pub paths: Vec<String>,
    /// Only some files or processes.
    pub sample: Option<Sample>,
    /// Arguments to change, in this order.
    pub sets: Vec<Set>,
    /// Copies of the whole; `None`: one.
    pub scale: Option<Scale>,
    /// Factor for the times between calls; `None`: as captured.
    pub stretch: Option<f64>,
}

/// A moment of a capture, as people say it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// So long after the first event.
    After(Duration),
    /// A date and time of day, in UTC.
    Date(String),
    /// A time of day, in UTC, on the day of the first event or, if that is later, on the next.
    Day(String),
}

/// Some files or processes of all.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Sample {
    /// Which share of them, from 0 to 1.
    pub share: f64,
    /// Of what.
    pub by: By,
}

crate::words::words! {
    /// What is drawn for a sample.
    By {
        File    "file"    "files, by the path of each call";
        Process "process" "processes, by their ids";
    }
}

impl Serialize for By {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// Several copies of a workload that run side by side.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Scale {
    /// How many, at least one.
    pub tenants: u64,
    /// How much later each begins than the one before.
    pub shift: Duration,
}

/// An argument that is changed, by SQL over the columns of ops.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Set {
    /// Which argument.
    pub column: Settable,
    /// An expression for its new value; NULL leaves it as it is.
    pub sql: String,
}

macro_rules! settable {
    ($($variant:ident $name:literal $ty:literal $what:literal;)*) => {
        /// An argument that `--set` changes, of calls that succeeded.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum Settable { $(#[doc = $what] $variant),* }

        impl Settable {
            /// All of them.
            pub const ALL: &'static [Settable] = &[$(Settable::$variant),*];

            /// Its name, that of the column of ops.
            pub const fn name(self) -> &'static str { match self { $(Settable::$variant => $name),* } }

            /// Its SQL type.
            pub const fn ty(self) -> &'static str { match self { $(Settable::$variant => $ty),* } }

            /// Of which calls it is which argument.
            pub const fn doc(self) -> &'static str { match self { $(Settable::$variant => $what),* } }
        }
    };
}

settable! {
    Count   "count"   "BIGINT"  "bytes asked for, of calls that read, write or copy";
    Length  "length"  "BIGINT"  "size or length, of truncate, ftruncate and fallocate, bytes";
    Offset  "offset"  "BIGINT"  "position argument, of calls that read, write or copy and have one, bytes";
    Offset2 "offset2" "BIGINT"  "position argument where a copy writes, bytes";
    Flags   "flags"   "BIGINT"  "flags of calls that open (O_DIRECT and the like stand for their numbers)";
    Path    "path"    "VARCHAR" "path of a call on a name, absolute";
    Path2   "path2"   "VARCHAR" "new name of a rename or link, absolute";
}

impl Serialize for Settable {
    fn serialize<S: serde::Serializer>(&self, to: S) -> std::result::Result<S::Ok, S::Error> {
        to.serialize_str(self.name())
    }
}

/// Flags of open(2) that may stand for their numbers in `--set`.
const FLAGS: &[(&str, i32)] = &[
    ("O_APPEND", libc::O_APPEND),
    ("O_CLOEXEC", libc::O_CLOEXEC),
    ("O_CREAT", libc::O_CREAT),
    ("O_DIRECT", libc::O_DIRECT),
    ("O_DSYNC", libc::O_DSYNC),
    ("O_EXCL", libc::O_EXCL),
    ("O_NOATIME", libc::O_NOATIME),
    ("O_NONBLOCK", libc::O_NONBLOCK),
    ("O_SYNC", libc::O_SYNC),
    ("O_TRUNC", libc::O_TRUNC),
];

/// Flags that only say how data gets to its place: with or without them a call returns the same.
const HOW: i32 = libc::O_DIRECT | libc::O_SYNC | libc::O_DSYNC | libc::O_NOATIME | libc::O_NONBLOCK | libc::O_CLOEXEC;

impl Settable {
    /// A predicate: has a call this argument, and may it be changed?
    pub(super) fn guard(self) -> String {
        let ops = |of: &dyn Fn(Op) -> bool| {
            let names: Vec<String> = Op::ALL.iter().filter(|op| of(**op)).map(|op| format!("'{}'", op.name())).collect();
            format!("stays AND errno = 0 AND op IN ({})", names.join(", "))
        };
        let data = |op: Op| matches!(op.class(), Class::Reads | Class::Writes | Class::Copies);
        match self {
            Settable::Count => format!("count IS NOT NULL AND {}", ops(&data)),
            Settable::Length => {
                format!("count IS NOT NULL AND {}", ops(&|op| matches!(op, Op::Truncate | Op::Ftruncate | Op::Fallocate)))
            }
            Settable::Offset => format!("asked >= 0 AND {}", ops(&data)),
            Settable::Offset2 => format!("offset2 >= 0 AND {}", ops(&|op| op.class() == Class::Copies)),
            Settable::Flags => format!("flags IS NOT NULL AND {}", ops(&|op| op.class() == Class::Opens)),
            Settable::Path => "stays AND errno = 0 AND raw IS NOT NULL AND path IS NOT NULL AND op <> 'getcwd'".into(),
            Settable::Path2 => {
                let names = |op| matches!(op, Op::Rename | Op::Renameat | Op::Renameat2 | Op::Link | Op::Linkat);
                format!("raw2 IS NOT NULL AND path2 IS NOT NULL AND {}", ops(&names))
            }
        }
    }

    /// A predicate: does the new value (`new_NAME`) make the call return something that nobody knows?
    pub(super) fn alters(self) -> String {
        let name = self.name();
        match self {
            Settable::Flags => format!("coalesce((new_flags & {0}) <> (flags & {0}), false)", !i64::from(HOW)),
            Settable::Offset => "coalesce(new_offset <> asked, false)".into(),
            _ => format!("coalesce(new_{name} <> {name}, false)"),
        }
    }

    /// A predicate: is the new value one that no call can have?
    pub(super) fn wrong(self) -> String {
        match self.ty() {
            "VARCHAR" => format!("new_{0} NOT LIKE '/%'", self.name()),
            _ => format!("new_{0} < 0", self.name()),
        }
    }
}

impl Set {
    /// Parses `COLUMN = SQL`.
    ///
    /// # Errors
    /// A message that lists the columns.
    pub fn parse(text: &str) -> Result<Set> {
        let (name, sql) = text.split_once('=').with_context(|| format!("{text:?} is no COLUMN = SQL"))?;
        let (name, sql) = (name.trim().trim_matches('"').to_ascii_lowercase(), sql.trim());
        let names = || Settable::ALL.iter().map(|column| column.name()).collect::<Vec<_>>().join(", ");
        let column = Settable::ALL.iter().find(|column| column.name() == name);
        let Some(column) = column else { bail!("{name:?} cannot be set: {} can", names()) };
        ensure!(!sql.is_empty(), "{text:?} says nothing of what {name} is to be");
        Ok(Set { column: *column, sql: sql.into() })
    }

    /// The expression with numbers in place of flags.
    pub(super) fn spelled_out(&self) -> String {
        let (mut out, mut word, mut quoted) = (String::new(), String::new(), false);
        let end = |word: &mut String, out: &mut String, quoted: bool| {
            let flag = FLAGS.iter().find(|(name, _)| !quoted && name.eq_ignore_ascii_case(word));
            match flag {
                Some((_, number)) => out.push_str(&number.to_string()),
                None => out.push_str(word),
            }
            word.clear();
        };
        for c in self.sql.chars() {
            if c.is_ascii_alphanumeric() || c == '_' {
                word.push(c);
                continue;
            }
            end(&mut word, &mut out, quoted);
            quoted ^= c == '\'';
            out.push(c);
        }
        end(&mut word, &mut out, quoted);
        out
    }
}

impl When {
    /// Parses a time since the start (`90s`), a date and time (`2026-11-29T12:00:00`), or a time of day (`12:00:00`).
    ///
    /// # Errors
    /// A message that says what is understood.
    pub fn parse(text: &str) -> Result<When> {
        let numbers = |part: &str, of: usize| {
            let parts: Vec<&str> = part.split(':').collect();
            parts.len() == of
                && parts[0].len() == 2
                && parts.iter().all(|part| part.bytes().all(|b| b.is_ascii_digit() || b == b'.'))
        };
        let clock = |part: &str| numbers(part, 2) || numbers(part, 3);
        if let Ok(after) = crate::amount::typed::duration(text) {
            return Ok(When::After(after));
        }
        let full = |clock: &str| if clock.matches(':').count() == 1 { format!("{clock}:00") } else { clock.to_owned() };
        if clock(text) {
            return Ok(When::Day(full(text)));
        }
        let plain = text.strip_suffix('Z').unwrap_or(text);
        let date = |date: &str| date.len() == 10 && date.bytes().all(|b| b.is_ascii_digit() || b == b'-');
        match plain.split_once(['T', ' ']) {
            Some((day, time)) if date(day) && clock(time) => Ok(When::Date(format!("{day}T{}", full(time)))),
            _ => bail!(
                "{text:?} is no moment: that is a time since the first event, as in 90s or 5m, a time of day as in 12:30:00, or \
                 2026-11-29T12:30:00, both in UTC"
            ),
        }
    }
}

/// A pattern of paths as in `find -path` as a regular expression: `*` stands for any characters, `?` for one, `[a-z]` for one of
/// these; a pattern that matches a directory matches all below it.
pub(super) fn pattern(glob: &str) -> String {
    let mut out = String::from("^(");
    let mut rest = glob.strip_suffix('/').filter(|rest| !rest.is_empty()).unwrap_or(glob).chars().peekable();
    let literal = |c: char, out: &mut String| {
        if !c.is_ascii_alphanumeric() && c.is_ascii() && c != '/' && c != '_' {
            out.push('\\');
        }
        out.push(c);
    };
    while let Some(c) = rest.next() {
        match c {
            '*' => out.push_str(".*"),
            '?' => out.push('.'),
            '\\' => literal(rest.next().unwrap_or('\\'), &mut out),
            '[' if rest.clone().skip(1).any(|c| c == ']') => {
                out.push('[');
                if rest.next_if(|c| matches!(c, '!' | '^')).is_some() {
                    out.push('^');
                }
                let mut first = true;
                for c in rest.by_ref() {
                    match c {
                        ']' if !first => break,
                        '-' => out.push('-'),
                        c => literal(c, &mut out),
                    }
                    first = false;
                }
                out.push(']');
            }
            c => literal(c, &mut out),
        }
    }
    out.push_str(")(/.*)?$");
    out
}

impl WhatIf {
    /// Is everything to be as captured, but for times?
    pub fn is_nothing(&self) -> bool {
        let WhatIf { from, to, processes, users, paths, sample, sets, scale, stretch: _ } = self;
        from.is_none() && to.is_none() && [processes, users, paths].iter().all(|list| list.is_empty()) && {
            sample.is_none() && sets.is_empty() && scale.is_none_or(|scale| scale.tenants <= 1)
        }
    }

    /// How many copies there are.
    pub fn tenants(&self) -> u64 {
        self.scale.map_or(1, |scale| scale.tenants.max(1))
    }

    /// Refuses what is wrong whatever the capture holds.
    ///
    /// # Errors
    /// When a number is out of range, or an argument is set twice.
    pub fn check(&self) -> Result<()> {
        ensure!((1..=TENANTS).contains(&self.tenants()), "--scale {} is not from 1 to {TENANTS}", self.tenants());
        if let Some(Sample { share, .. }) = self.sample {
            ensure!(share > 0.0 && share <= 1.0, "--sample {share} is no share: that is more than 0 and at most 1");
        }
        if let Some(factor) = self.stretch {
            ensure!((0.001..=1000.0).contains(&factor), "--stretch {factor} is not from 0.001 to 1000");
        }
        for (at, set) in self.sets.iter().enumerate() {
            let twice = self.sets[..at].iter().any(|other| other.column == set.column);
            ensure!(!twice, "--set names {} twice: say both in one expression", set.column.name());
        }
        for path in &self.paths {
            ensure!(matches!(path.as_bytes().first(), Some(b'/' | b'*')), "--path {path:?} must begin with / or *");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_set_is_a_column_and_an_expression() {
        let set = Set::parse("flags = flags | O_DIRECT").unwrap();
        assert_eq!((set.column, &*set.spelled_out()), (Settable::Flags, "flags | 16384"));
        let set = Set::parse("path=replace(path, '/O_DIRECT', '/b=c')").unwrap();
        assert_eq!((set.column, &*set.spelled_out()), (Settable::Path, "replace(path, '/O_DIRECT', '/b=c')"));
        for (text, said) in [("ret = 1", "count, length, offset"), ("count", "COLUMN = SQL"), ("count = ", "says nothing")] {
            let error = Set::parse(text).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn moments_are_told_apart() {
        let known = |text: &str| When::parse(text).ok();
        assert_eq!(known("90s"), Some(When::After(Duration::from_secs(90))));
        assert_eq!(known("12:30"), Some(When::Day("12:30:00".into())));
        assert_eq!(known("2026-11-29T12:30:05.5Z"), Some(When::Date("2026-11-29T12:30:05.5".into())));
        assert_eq!(known("2026-11-29 12:30"), Some(When::Date("2026-11-29T12:30:00".into())));
        for text in ["yesterday", "12h30", "2026-11-29", "1:2:3:4"] {
            assert!(known(text).is_none(), "{text}");
        }
    }

    #[test]
    fn patterns_are_those_of_find() {
        let cases = [
            ("/data/*.db", r"^(/data/.*\.db)(/.*)?$"),
            ("/a?[!a-c]/", r"^(/a.[^a-c])(/.*)?$"),
            (r"/a\*b", r"^(/a\*b)(/.*)?$"),
            ("/a[b", r"^(/a\[b)(/.*)?$"),
        ];
        for (glob, regex) in cases {
            assert_eq!(pattern(glob), regex);
        }
    }
}
