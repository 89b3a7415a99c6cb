//! What the parsers of all formats share: the result of parsing a chunk, in which each line is accounted for.
//!
//! Parsing a line needs nothing but the line, so chunks are parsed on all cores; what needs to know other lines
//! (joining the two halves of a call, clocks that count from the line before) is left to [`super::sequence`].

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
        Unknown    "unknown"      "a call of a name that no kernel has, or an action that the format does not have";
    }
}

/// When a line says that its call began.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// The line tells no time.
    None,
    /// A time in nanoseconds since 1970 (`strace -ttt`).
    Unix(i64),
    /// Time of day: nanoseconds since midnight.
    Day(i64),
    /// Nanoseconds since the line before (`strace -r`).
    Step(i64),
    /// Entry (`None` when the capture lost it) and return of the call, nanoseconds since 1970 or since boot.
    Span(Option<i64>, i64),
}

/// A parsed line that tells of a call, a part of one, or the end of a thread.
#[derive(Debug)]
pub struct Parsed {
    /// Line number, from 1.
    pub line: u64,
    /// The time on the line, as its format tells it.
    pub stamp: Stamp,
    /// The thread id on the line; `None` when the format leaves it out because there is only one thread.
    pub tid: Option<i64>,
    /// What the line tells of: a call, a half of one, or the end of a thread.
    pub what: What,
}

/// What a parsed line tells.
#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "nearly every line is a call, and a box for each would cost more")]
pub enum What {
    /// A whole call with its outcome.
    Call(Event),
    /// The first half of a call, to be joined with a later line; its rest may be on the very next line, without thread
    /// and time.
    Half(Box<[u8]>),
    /// A first half that no `<unfinished ...>` ends, because other output broke the line: its rest may be on a line
    /// without a name.
    Split(Box<[u8]>),
    /// A line that may be the rest of such a half; if there is none it is a reject.
    Tail {
        /// The text of the line.
        text: Box<[u8]>,
        /// The reason to reject it for.
        why: Why,
    },
    /// The second half of a call (`<... NAME resumed>`).
    Rest {
        /// Name of the call, to check that it is that of the first half.
        name: Box<[u8]>,
        /// The text that follows: the rest of the arguments, and the outcome.
        text: Box<[u8]>,
    },
    /// A thread ended. Counted as a note, except for a killed one, whose end becomes an event if no exit call was seen.
    End {
        /// Was it ended by a signal, so that no exit call was seen?
        killed: bool,
    },
    /// An execve of thread `by` took over the thread id on the line (that of its leader). Counted as a note.
    Superseded {
        /// The thread that called execve.
        by: i64,
    },
}

/// A rejected line, for table `rejects`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reject {
    /// Line number, from 1.
    pub line: u64,
    /// Why the line was rejected.
    pub why: Why,
    /// Start of the line, at most 240 bytes.
    pub text: Box<[u8]>,
}

/// Bytes of a rejected line that are kept.
const REJECT_TEXT: usize = 240;

impl Reject {
    /// A reject of this line; only the start of `text` is kept.
    pub fn new(line: u64, why: Why, text: &[u8]) -> Reject {
        Reject { line, why, text: text[..text.len().min(REJECT_TEXT)].into() }
    }
}

/// Result of parsing the lines of a chunk.
#[derive(Debug, Default)]
pub struct Batch {
    /// Lines that tell of calls or of ends of threads, in order.
    pub parsed: Vec<Parsed>,
    /// Lines that could not be parsed.
    pub rejects: Vec<Reject>,
    /// Number of lines in the chunk.
    pub lines: u64,
    /// Number of lines that name the format, or end a capture.
    pub headers: u64,
    /// Number of comment lines.
    pub comments: u64,
    /// Number of lines about something else: signals, exits, banners, blank lines.
    pub notes: u64,
    /// Number of paths so long that the probes of I/O Riot in C may have cut them.
    pub cut_paths: u64,
    /// Number of headers of captures that promise a last line (`.capture` version 5).
    pub begun: u64,
    /// Contents of the last lines of captures: the tracer's counts.
    pub ended: Vec<Ended>,
    /// Number of events of captures that promise a last line.
    pub marked: u64,
    /// Counts of what was read without being sure of it.
    pub doubts: Doubts,
}

/// Counts in the last line of a `.capture` of version 5, by the tracer itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ended {
    /// Number of events that the tracer wrote.
    pub events: u64,
    /// Number of probes that were skipped: events that it may have missed.
    pub skipped: u64,
    /// Number of calls whose entry it did not see.
    pub unstarted: u64,
    /// Number of arguments that it could not read from memory.
    pub unreadable: u64,
    /// Number of texts for which there was no room in their line.
    pub crowded: u64,
    /// Number of calls that had not returned at the end.
    pub in_flight: u64,
}

impl Batch {
    /// Adds a rejected line.
    pub fn reject(&mut self, line: u64, why: Why, text: &[u8]) {
        self.rejects.push(Reject::new(line, why, text));
    }
}

/// Parser of one text format.
pub trait Parser: Sync {
    /// Parses one line (without its newline) and accounts for it in `batch` exactly once; [`Batch::lines`] is counted
    /// by the caller.
    fn line(&self, number: u64, line: &[u8], batch: &mut Batch);

    /// Parses a call whose two halves were joined or, when it never returned, its first half alone.
    ///
    /// # Errors
    /// Why the text is no call.
    fn call(&self, text: &[u8], doubts: &mut Doubts) -> Result<Event, Why>;
}

/// Parses a decimal number with an optional minus sign; values up to 2^64-1 keep their bits. [`Why::Number`] when the
/// text is none.
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
