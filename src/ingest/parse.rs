//! What every format's parser gives: the lines of a chunk, each accounted for.
//!
//! Parsing a line needs nothing but the line, so chunks are parsed on all cores; what needs to know other lines (joining
//! the two halves of a call, clocks that count from the line before) is left to [`super::sequence`].

use super::doubt::Doubts;
use crate::event::Event;
use crate::words::words;

words! {
    /// Why a line was rejected.
    Why {
        NotEvent   "not_event"    "no line of this format";
        Cut        "cut"          "the line ends before its last field";
        Glued      "glued"        "a second line begins inside the line, or a call stands in a comment";
        Key        "key"          "a field is missing, unknown, twice or out of order";
        Number     "number"       "a number is malformed or out of range";
        Nul        "nul"          "a NUL byte: binary data or a damaged file";
        Long       "long"         "longer than any line of this format, or than 8 MiB: give strace a smaller -s";
        Resumed    "resumed"      "the second half of a call whose first half is missing";
        Argument   "argument"     "an argument is missing, malformed or one too many, or a symbolic constant is unknown";
        Check      "check"        "the check at its end is wrong: the line was damaged";
        Outcome    "outcome"      "the return value is malformed or the error name unknown";
        Address    "address"      "an argument is an address or cut short, and the call cannot be known without it: leave out -e raw, -e verbose, -s 0";
        Impossible "impossible"  "a call that is said to have succeeded, with arguments that every kernel refuses or a result that none gives";
        Version    "version"      "a header of a version that is not known";
    }
}

/// When a line says the call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// It does not.
    None,
    /// Nanoseconds since 1970.
    Unix(i64),
    /// Nanoseconds since midnight.
    Day(i64),
    /// Nanoseconds since the line before.
    Step(i64),
    /// Entry (absent when the capture lost it) and return, nanoseconds since 1970 or since boot.
    Span(Option<i64>, i64),
}

/// A line that means something.
#[derive(Debug)]
pub struct Parsed {
    /// Its number, from 1.
    pub line: u64,
    /// Its time.
    pub stamp: Stamp,
    /// The thread; absent when the format leaves it out because there is but one.
    pub tid: Option<i64>,
    /// What it means.
    pub what: What,
}

/// What a line means.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every line is a call, and a box for each would cost more")]
pub enum What {
    /// A whole call.
    Call(Event),
    /// The first half of a call, to be joined; the rest may be the next line, without thread and time.
    Half(Box<[u8]>),
    /// A first half that something else than a mark ends: what follows may stand on a line without a name.
    Split(Box<[u8]>),
    /// What may follow such a half; without one it is a reject.
    Tail {
        /// The line.
        text: Box<[u8]>,
        /// Why it is nothing else.
        why: Why,
    },
    /// The second half of a call of this name.
    Rest {
        /// Name of the call, as a check.
        name: Box<[u8]>,
        /// What follows.
        text: Box<[u8]>,
    },
    /// A thread ended. Counted as a note, unless it was killed and its end is no event yet.
    End {
        /// By a signal, so that no exit call was seen.
        killed: bool,
    },
    /// An execve of thread `by` took over this thread id. Counted as a note.
    Superseded {
        /// The thread that called execve.
        by: i64,
    },
}

/// A rejected line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Its number, from 1.
    pub line: u64,
    /// Why.
    pub why: Why,
    /// Its start.
    pub text: Box<[u8]>,
}

/// How much of a rejected line is kept.
const REJECT_TEXT: usize = 240;

impl Reject {
    /// Rejects a line.
    pub fn new(line: u64, why: Why, text: &[u8]) -> Reject {
        Reject { line, why, text: text[..text.len().min(REJECT_TEXT)].into() }
    }
}

/// The lines of a chunk.
#[derive(Debug, Default)]
pub struct Batch {
    /// Lines that mean something, in order.
    pub parsed: Vec<Parsed>,
    /// Lines that could not be parsed.
    pub rejects: Vec<Reject>,
    /// Number of lines.
    pub lines: u64,
    /// Lines that name the format.
    pub headers: u64,
    /// Comment lines.
    pub comments: u64,
    /// Lines about something else: signals, exits, banners, blanks.
    pub notes: u64,
    /// Paths of the length at which the probes of the C tool cut: they may be incomplete.
    pub cut_paths: u64,
    /// Headers of captures that promise a last line.
    pub begun: u64,
    /// The last lines of such captures.
    pub ended: Vec<Ended>,
    /// Events of such captures.
    pub marked: u64,
    /// What was read without being sure of it.
    pub doubts: Doubts,
}

/// What a tracer says at the end of its capture.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Events it wrote.
    pub events: u64,
    /// Probes that were skipped: events it may have missed.
    pub skipped: u64,
    /// Calls whose beginning it did not see.
    pub unstarted: u64,
    /// Arguments it could not read.
    pub unreadable: u64,
    /// Texts that found no room in their line.
    pub crowded: u64,
    /// Calls that had not returned.
    pub in_flight: u64,
}

impl Batch {
    /// A line was rejected.
    pub fn reject(&mut self, line: u64, why: Why, text: &[u8]) {
        self.rejects.push(Reject::new(line, why, text));
    }
}

/// A format.
pub trait Parser: Sync {
    /// Parses one line (without its end) and accounts for it in `batch` once, except for [`Batch::lines`].
    fn line(&self, number: u64, line: &[u8], batch: &mut Batch);

    /// Parses a call whose two halves were put together, or, when it never returned, its first half alone.
    ///
    /// # Errors
    /// Why the text is no call.
    fn call(&self, text: &[u8], doubts: &mut Doubts) -> Result<Event, Why>;
}

/// Why a string of digits is no number.
pub fn digits(text: &[u8]) -> Result<i64, Why> {
    let (minus, digits) = match text.split_first() {
        Some((b'-', digits)) => (true, digits),
        _ => (false, text),
    };
    if digits.is_empty() || digits.len() > 20 {
        return Err(Why::Number);
    }
    let mut total = 0u64;
    for digit in digits {
        if !digit.is_ascii_digit() {
            return Err(Why::Number);
        }
        total = total.checked_mul(10).and_then(|t| t.checked_add(u64::from(digit - b'0'))).ok_or(Why::Number)?;
    }
    match minus {
        // Addresses and lengths above i64::MAX keep their bits, as in the kernel's own registers.
        false => Ok(total as i64),
        true if total <= 1 << 63 => Ok((total as i64).wrapping_neg()),
        true => Err(Why::Number),
    }
}
