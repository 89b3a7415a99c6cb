//! Pipes, pairs of sockets and counters (eventfd): who read there did so after somebody had written.
//!
//! Nothing on them is replayed, but what passes through them makes one process wait for another. The bytes of a stream come
//! out as they went in (pipe(7), unix(7)), so counting them tells which write each read has got its bytes from: a *message*.
//! Which calls are on one stream is known from the call that made it (pipe, socketpair) and from what the capture shows of a
//! descriptor: `pipe:[N]`, and both ends of a connection where strace prints them (`-yy`).
//!
//! A read takes effect when it begins, as calls that use something do, so one that waited comes before the write that it waited
//! for: it is noted, and the write is told who was waiting for it.
//!
//! Memory: a bounded number of streams, and of each a bounded number of writes and reads. What is forgotten orders nothing.

use hashbrown::HashMap;
use std::collections::{BTreeMap, VecDeque};

/// Most streams that are remembered, and names of streams; those that were first used longest ago are forgotten.
const STREAMS: usize = 4096;
/// Most writes of a stream that are remembered until they are read.
const WRITES: usize = 256;
/// Most reads of a stream that wait for a write.
const READERS: usize = 64;

/// One end of a stream: what is written at one end of a connection is read at the other. Both ends of a pipe are the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct End {
    /// Number of the stream, never reused.
    stream: u64,
    side: Side,
}

/// Which end of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Pipe,
    /// Who reads gets all that was written, in one number.
    Counter,
    One,
    Other,
}

impl Side {
    /// The end at which one reads what was written at this one.
    fn peer(self) -> Side {
        match self {
            Side::Pipe => Side::Pipe,
            Side::Counter => Side::Counter,
            Side::One => Side::Other,
            Side::Other => Side::One,
        }
    }
}

/// Bytes that go one way.
#[derive(Debug, Default)]
struct Flow {
    written: i64,
    read: i64,
    /// Writes that were not read to their end: the number of bytes up to their end, and the number of the message.
    writes: VecDeque<(i64, i64)>,
    /// Reads that got bytes which were not seen to be written yet.
    readers: VecDeque<Reader>,
}

/// A read that began before the write of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reader {
    /// The thread that reads.
    pub(super) tid: i64,
    /// Which of its calls the read is ([`super::task::Tasks::calls`]). Once the thread makes another one, the bytes came from
    /// outside the capture.
    pub(super) call: u64,
    upto: i64,
}

/// All streams that are known, and what is under way in them.
#[derive(Debug, Default)]
pub(super) struct Streams {
    /// Bytes under way, by the stream and the side that reads them.
    flows: BTreeMap<(u64, Side), Flow>,
    named: HashMap<Box<[u8]>, u64>,
    next_stream: u64,
    next_message: i64,
}

impl Streams {
    /// The end of a new pipe.
    pub(super) fn pipe(&mut self) -> End {
        End { stream: self.number(), side: Side::Pipe }
    }

    /// The end of a new counter (eventfd(2)). One with EFD_SEMAPHORE gives each reader one of what was written, as a pipe does:
    /// what each write adds is not captured, and taken for one.
    pub(super) fn counter(&mut self, flags: i64) -> End {
        match flags & i64::from(libc::EFD_SEMAPHORE) {
            0 => End { stream: self.number(), side: Side::Counter },
            _ => self.pipe(),
        }
    }

    /// The two ends of a new pair of connected sockets.
    pub(super) fn pair(&mut self) -> [End; 2] {
        let stream = self.number();
        [Side::One, Side::Other].map(|side| End { stream, side })
    }

    /// The end that the capture's annotation of a descriptor names; `None` where that does not tell both ends.
    pub(super) fn named(&mut self, note: &[u8]) -> Option<End> {
        let (name, side) = parse(note)?;
        if let Some(stream) = self.named.get(&*name) {
            return Some(End { stream: *stream, side });
        }
        if self.named.len() >= STREAMS {
            self.named.clear();
        }
        let stream = self.number();
        self.named.insert(name, stream);
        Some(End { stream, side })
    }

    /// Bytes were written at this end: gives the number of the message. Readers that waited for it go to `to`; `waits` says
    /// whether a reader is still in its call.
    pub(super) fn write(&mut self, end: End, bytes: i64, waits: impl Fn(&Reader) -> bool, mut to: impl FnMut(Reader)) -> i64 {
        let message = self.next_message;
        self.next_message += 1;
        let flow = self.flow(end.stream, end.side.peer());
        while let Some(reader) = flow.readers.front().copied().filter(|reader| reader.upto <= flow.written || !waits(reader)) {
            flow.written = flow.written.max(reader.upto);
            flow.readers.pop_front();
        }
        let before = flow.written;
        flow.written = before.saturating_add(bytes);
        flow.readers.iter().filter(|reader| reader.upto > before).for_each(|reader| to(*reader));
        if flow.written > flow.read {
            if flow.writes.len() == WRITES {
                flow.writes.pop_front();
            }
            flow.writes.push_back((flow.written, message));
        }
        message
    }

    /// Bytes were read at this end by call number `call` of thread `tid`: gives the messages that they were from to `from`, the
    /// oldest first.
    pub(super) fn read(&mut self, end: End, bytes: i64, (tid, call): (i64, u64), mut from: impl FnMut(i64)) {
        let flow = self.flow(end.stream, end.side);
        let bytes = match end.side {
            Side::Counter => bytes.max(flow.written.saturating_sub(flow.read)),
            Side::Pipe | Side::One | Side::Other => bytes,
        };
        flow.read = flow.read.saturating_add(bytes);
        while let Some((upto, message)) = flow.writes.front().copied() {
            from(message);
            if upto > flow.read {
                break;
            }
            flow.writes.pop_front();
            if upto == flow.read {
                break;
            }
        }
        if flow.read > flow.written {
            if flow.readers.len() == READERS {
                flow.readers.pop_front();
            }
            flow.readers.push_back(Reader { tid, call, upto: flow.read });
        }
    }

    fn flow(&mut self, stream: u64, side: Side) -> &mut Flow {
        if self.flows.len() >= STREAMS && !self.flows.contains_key(&(stream, side)) {
            self.flows.pop_first();
        }
        self.flows.entry((stream, side)).or_default()
    }

    fn number(&mut self) -> u64 {
        self.next_stream += 1;
        self.next_stream
    }
}

/// The name of a stream and which end it is, from an annotation: `pipe:[7]`, `UNIX-STREAM:[12->34,"/run/x"]`,
/// `TCP:[10.0.0.1:22->10.0.0.2:50000]`. Of datagrams bytes say nothing.
fn parse(note: &[u8]) -> Option<(Box<[u8]>, Side)> {
    if note.starts_with(b"pipe:[") {
        return Some((note.into(), Side::Pipe));
    }
    let at = memchr::memmem::find(note, b":[")?;
    let (kind, rest) = (&note[..at], &note[at + 2..]);
    if !matches!(kind, b"UNIX-STREAM" | b"UNIX" | b"TCP" | b"TCPv6") {
        return None;
    }
    let rest = rest.strip_suffix(b"]")?;
    let arrow = memchr::memmem::find(rest, b"->")?;
    let (one, other) = (&rest[..arrow], &rest[arrow + 2..]);
    let other = memchr::memchr(b',', other).map_or(other, |end| &other[..end]);
    if one == other || one.is_empty() || other.is_empty() {
        return None;
    }
    let (first, second, side) = if one < other { (one, other, Side::One) } else { (other, one, Side::Other) };
    Some(([first, b"->", second].concat().into(), side))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(streams: &mut Streams, end: End, bytes: i64) -> Vec<i64> {
        let mut from = Vec::new();
        streams.read(end, bytes, (7, 1), |message| from.push(message));
        from
    }

    fn write(streams: &mut Streams, end: End, bytes: i64) -> i64 {
        streams.write(end, bytes, |_| true, |_| ())
    }

    #[test]
    fn a_read_is_of_the_writes_whose_bytes_it_got() {
        let mut streams = Streams::default();
        let pipe = streams.pipe();
        assert_eq!((0..3).map(|_| write(&mut streams, pipe, 10)).collect::<Vec<_>>(), [0, 1, 2]);
        assert_eq!(read(&mut streams, pipe, 4), [0]);
        assert_eq!(read(&mut streams, pipe, 6), [0]);
        assert_eq!(read(&mut streams, pipe, 15), [1, 2]);
        assert_eq!(read(&mut streams, pipe, 5), [2]);
        assert_eq!(read(&mut streams, pipe, 5), [] as [i64; 0]);
    }

    #[test]
    fn a_write_is_told_who_waits_for_it_and_bytes_from_outside_shift_nothing() {
        let mut streams = Streams::default();
        let pipe = streams.pipe();
        let to = |streams: &mut Streams, bytes, waits: bool| {
            let mut told = Vec::new();
            let message = streams.write(pipe, bytes, |_| waits, |reader| told.push((reader.tid, reader.call)));
            (message, told)
        };
        streams.read(pipe, 5, (7, 1), |_| panic!());
        assert_eq!(to(&mut streams, 3, true), (0, vec![(7, 1)]));
        assert_eq!(to(&mut streams, 4, true), (1, vec![(7, 1)]));
        assert_eq!(read(&mut streams, pipe, 2), [1]);
        // Nobody in the capture wrote these.
        streams.read(pipe, 100, (8, 1), |_| panic!());
        assert_eq!(to(&mut streams, 2, false), (2, vec![]));
        assert_eq!(read(&mut streams, pipe, 2), [2]);
    }

    #[test]
    fn sockets_read_what_the_other_end_wrote() {
        let mut streams = Streams::default();
        let [one, other] = streams.pair();
        let message = write(&mut streams, one, 3);
        assert_eq!((read(&mut streams, one, 3), read(&mut streams, other, 3)), (vec![], vec![message]));
    }

    #[test]
    fn a_counter_is_read_at_once_and_a_semaphore_one_by_one() {
        let mut streams = Streams::default();
        for (flags, parts) in [(0, [vec![0, 1, 2], vec![]]), (libc::EFD_SEMAPHORE | libc::EFD_CLOEXEC, [vec![3], vec![4]])] {
            let counter = streams.counter(flags.into());
            assert_eq!((0..3).filter(|_| write(&mut streams, counter, 8) >= 0).count(), 3);
            assert_eq!([0; 2].map(|_| read(&mut streams, counter, 8)), parts);
        }
        // A reader that waits is told of the write, and the next one is another's.
        let counter = streams.counter(0);
        let mut told = Vec::new();
        streams.read(counter, 8, (7, 1), |_| panic!());
        let first = streams.write(counter, 8, |_| true, |reader| told.push(reader.tid));
        let second = streams.write(counter, 8, |_| true, |reader| told.push(reader.tid));
        assert_eq!((told, read(&mut streams, counter, 8), second), (vec![7], vec![second], first + 1));
    }

    #[test]
    fn annotations_name_streams_and_their_ends() {
        let mut streams = Streams::default();
        let mut named = |note: &[u8]| streams.named(note);
        assert_eq!(named(b"pipe:[7]"), named(b"pipe:[7]"));
        assert_ne!(named(b"pipe:[7]"), named(b"pipe:[8]"));
        let ends = [named(b"UNIX-STREAM:[12->34,\"/run/x\"]"), named(b"UNIX-STREAM:[34->12]")].map(Option::unwrap);
        assert!(ends[0].stream == ends[1].stream && ends[0].side == ends[1].side.peer());
        let ends = [named(b"TCP:[10.0.0.1:22->10.0.0.2:500]"), named(b"TCP:[10.0.0.2:500->10.0.0.1:22]")].map(Option::unwrap);
        assert!(ends[0].stream == ends[1].stream && ends[0].side != ends[1].side);
        for note in ["socket:[5]", "UNIX-DGRAM:[1->2]", "TCP:[1->1]", "TCP:[->2]", "TCP:[1->", "anon_inode:[eventfd]", "/a->b"] {
            assert_eq!(named(note.as_bytes()), None, "{note}");
        }
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut streams = Streams::default();
        let pipe = streams.pipe();
        for _ in 0..2 * WRITES {
            write(&mut streams, pipe, 1);
        }
        assert_eq!(streams.flows.values().next().unwrap().writes.len(), WRITES);
        for at in 0..2 * STREAMS {
            let end = streams.named(format!("pipe:[{at}]").as_bytes()).unwrap();
            write(&mut streams, end, 1);
        }
        for _ in 0..2 * READERS {
            read(&mut streams, pipe, 1000);
        }
        assert!(streams.flows.values().all(|flow| flow.readers.len() <= READERS));
        assert!(streams.flows.len() <= STREAMS && streams.named.len() <= STREAMS);
    }
}
