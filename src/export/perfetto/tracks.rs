//! Tracks, and which slices are open on them.

use super::Trace;
use super::message::{CounterDescriptor, Packet, ProcessDescriptor, ThreadDescriptor, TrackDescriptor, TrackEvent, Type};
use crate::syscall::Class;
use anyhow::Result;
use std::cmp::Reverse;
use std::collections::{BinaryHeap, HashMap};

/// `UNIT_COUNT` of counters.
const COUNT: i32 = 2;

/// When and where a call was made.
#[derive(Clone, Copy, Debug)]
pub struct Call<'r> {
    /// Start, ns since the first call.
    pub start: u64,
    /// End likewise.
    pub end: u64,
    /// Process id.
    pub pid: i64,
    /// Thread id.
    pub tid: i64,
    /// Its class, a word of [`Class`].
    pub class: &'r str,
    /// Is it a request, which the thread does not wait for?
    pub request: bool,
}

/// A thread's tracks.
#[derive(Debug)]
struct Thread {
    uuid: u64,
    /// Ends of the calls that are open on its own track, one inside the other.
    ends: Vec<u64>,
    /// Tracks for what overlaps.
    beside: Vec<u64>,
    /// Numbers of those that are free; the lowest is taken.
    free: BinaryHeap<Reverse<usize>>,
}

/// A call that is under way: when it ends, how many began before it, and where it is.
type Open = Reverse<(u64, Reverse<u64>, Place)>;

/// Where a slice is, and what it counts for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    thread: usize,
    /// Number of its track in [`Thread::beside`]; `None`: on the thread's own.
    beside: Option<usize>,
    class: usize,
}

/// All tracks of a trace.
pub struct Tracks<'o> {
    trace: Trace<'o>,
    /// Names of processes, by id.
    commands: HashMap<i64, String>,
    /// Tracks made so far: the number of the last.
    made: u64,
    processes: HashMap<i64, u64>,
    threads: Vec<Thread>,
    /// Number of a thread in `threads`, by process and thread.
    known: HashMap<(i64, i64), usize>,
    open: BinaryHeap<Open>,
    /// Calls that began so far.
    begun: u64,
    /// Track and value of the counter of each class; made with its first call.
    counters: Vec<Option<(u64, i64)>>,
}

impl<'o> Tracks<'o> {
    /// No tracks yet.
    pub fn new(trace: Trace<'o>, commands: HashMap<i64, String>) -> Tracks<'o> {
        let (processes, threads, known) = (HashMap::new(), Vec::new(), HashMap::new());
        let counters = vec![None; Class::ALL.len()];
        Tracks { trace, commands, made: 0, processes, threads, known, open: BinaryHeap::new(), begun: 0, counters }
    }

    /// Begins the slice of a call; those of earlier ones that are over by then end first. Calls come in the order of their starts.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn call(&mut self, call: &Call<'_>, event: impl FnOnce() -> TrackEvent) -> Result<()> {
        while let Some(Reverse((end, _, place))) = self.open.peek().copied().filter(|Reverse((end, ..))| *end <= call.start) {
            self.open.pop();
            self.finish(end, place)?;
        }
        let thread = self.thread(call.pid, call.tid)?;
        let inside = !call.request && self.threads[thread].ends.last().is_none_or(|end| *end >= call.end);
        let beside = if inside {
            self.threads[thread].ends.push(call.end);
            None
        } else {
            Some(self.beside(thread)?)
        };
        let class = Class::ALL.iter().position(|class| class.name() == call.class).unwrap_or(Class::ALL.len() - 1);
        let place = Place { thread, beside, class };
        self.event(call.start, self.track(place), Type::SliceBegin, event())?;
        self.count(call.start, class, 1)?;
        self.open.push(Reverse((call.end, Reverse(self.begun), place)));
        self.begun += 1;
        Ok(())
    }

    /// Ends all slices.
    ///
    /// # Errors
    /// When the trace cannot be written.
    pub fn end(mut self) -> Result<()> {
        while let Some(Reverse((end, _, place))) = self.open.pop() {
            self.finish(end, place)?;
        }
        Ok(())
    }

    fn finish(&mut self, end: u64, place: Place) -> Result<()> {
        self.event(end, self.track(place), Type::SliceEnd, TrackEvent::default())?;
        let thread = &mut self.threads[place.thread];
        match place.beside {
            Some(number) => thread.free.push(Reverse(number)),
            None => drop(thread.ends.pop()),
        }
        self.count(end, place.class, -1)
    }

    fn track(&self, place: Place) -> u64 {
        let thread = &self.threads[place.thread];
        place.beside.map_or(thread.uuid, |number| thread.beside[number])
    }

    fn event(&mut self, at: u64, track: u64, kind: Type, event: TrackEvent) -> Result<()> {
        let event = TrackEvent { r#type: Some(kind.into()), track_uuid: Some(track), ..event };
        self.trace.write(Packet { timestamp: Some(at), track_event: Some(event), ..Packet::default() })
    }

    fn count(&mut self, at: u64, class: usize, more: i64) -> Result<()> {
        let (track, value) = match self.counters[class] {
            Some(counter) => counter,
            None => {
                let name = Some(format!("{} in flight", Class::ALL[class].name()));
                let counter = Some(CounterDescriptor { unit: Some(COUNT) });
                (self.describe(TrackDescriptor { name, counter, ..TrackDescriptor::default() })?, 0)
            }
        };
        self.counters[class] = Some((track, value + more));
        self.event(at, track, Type::Counter, TrackEvent { counter_value: Some(value + more), ..TrackEvent::default() })
    }

    /// Writes what a new track is; its number.
    fn describe(&mut self, track: TrackDescriptor) -> Result<u64> {
        self.made += 1;
        let track_descriptor = Some(TrackDescriptor { uuid: Some(self.made), ..track });
        self.trace.write(Packet { track_descriptor, ..Packet::default() })?;
        Ok(self.made)
    }

    /// The number of a thread, whose tracks are made with its first call.
    fn thread(&mut self, pid: i64, tid: i64) -> Result<usize> {
        if let Some(known) = self.known.get(&(pid, tid)) {
            return Ok(*known);
        }
        let process = match self.processes.get(&pid) {
            Some(known) => *known,
            None => {
                let process = Some(ProcessDescriptor { pid: Some(id(pid)), process_name: self.commands.get(&pid).cloned() });
                let made = self.describe(TrackDescriptor { process, ..TrackDescriptor::default() })?;
                self.processes.insert(pid, made);
                made
            }
        };
        let thread = Some(ThreadDescriptor { pid: Some(id(pid)), tid: Some(id(tid)) });
        let uuid = self.describe(TrackDescriptor { thread, parent_uuid: Some(process), ..TrackDescriptor::default() })?;
        self.threads.push(Thread { uuid, ends: Vec::new(), beside: Vec::new(), free: BinaryHeap::new() });
        self.known.insert((pid, tid), self.threads.len() - 1);
        Ok(self.threads.len() - 1)
    }

    /// A track beside that of the thread, on which nothing is open.
    fn beside(&mut self, thread: usize) -> Result<usize> {
        if let Some(Reverse(number)) = self.threads[thread].free.pop() {
            return Ok(number);
        }
        let name = Some("overlapping".to_owned());
        let parent_uuid = Some(self.threads[thread].uuid);
        let uuid = self.describe(TrackDescriptor { name, parent_uuid, ..TrackDescriptor::default() })?;
        let beside = &mut self.threads[thread].beside;
        beside.push(uuid);
        Ok(beside.len() - 1)
    }
}

/// An id as Perfetto has it; no kernel has one that does not fit.
fn id(number: i64) -> i32 {
    i32::try_from(number).unwrap_or(-1)
}

#[cfg(test)]
mod tests {
    use super::super::SEQUENCE;
    use super::*;
    use prost::Message;

    /// The packets of a trace of these calls (start, end, process, thread, is it a request).
    fn packets(calls: &[(u64, u64, i64, i64, bool)]) -> Vec<Packet> {
        let mut bytes = Vec::new();
        let mut tracks = Tracks::new(Trace { out: &mut bytes, packet: Vec::new() }, HashMap::from([(7, "sh".to_owned())]));
        for (start, end, pid, tid, request) in calls {
            let call = Call { start: *start, end: *end, pid: *pid, tid: *tid, class: "reads", request: *request };
            tracks.call(&call, TrackEvent::default).unwrap();
        }
        tracks.end().unwrap();
        let mut rest = bytes.as_slice();
        let mut packets = Vec::new();
        while let Some((10, after)) = rest.split_first() {
            rest = after;
            packets.push(Packet::decode_length_delimited(&mut rest).unwrap());
        }
        assert!(rest.is_empty());
        packets
    }

    /// What happens on tracks: time, number of the track, and `b` or `e` for slices, the value for counters.
    fn told(packets: &[Packet]) -> Vec<String> {
        let events = packets.iter().filter_map(|packet| Some((packet.timestamp?, packet.track_event.as_ref()?)));
        let told = events.map(|(at, event)| {
            let what = match event.r#type() {
                Type::SliceBegin => "b".to_owned(),
                Type::SliceEnd => "e".to_owned(),
                Type::Counter => event.counter_value.unwrap().to_string(),
            };
            format!("{at} {} {what}", event.track_uuid.unwrap())
        });
        told.collect()
    }

    #[test]
    fn slices_are_inside_each_other_or_on_tracks_of_their_own() {
        // A call, one inside it, one that ends later; the last two begin where those end.
        let all = packets(&[
            (0, 10, 7, 8, false),
            (2, 10, 7, 8, false),
            (4, 12, 7, 8, false),
            (10, 11, 7, 8, false),
            (12, 12, 7, 8, false),
        ]);
        // Tracks: 1 process, 2 thread, 3 counter, 4 beside.
        let wanted = "0 2 b|0 3 1|2 2 b|2 3 2|4 4 b|4 3 3|10 2 e|10 3 2|10 2 e|10 3 1|10 2 b|10 3 2|11 2 e|11 3 1|12 4 e|12 3 0|\
                      12 2 b|12 3 1|12 2 e|12 3 0";
        assert_eq!(told(&all).join("|"), wanted);
        let tracks: Vec<_> = all.iter().filter_map(|packet| packet.track_descriptor.clone()).collect();
        assert_eq!(tracks.len(), 4);
        assert_eq!(tracks[0].process.as_ref().unwrap().process_name.as_deref(), Some("sh"));
        assert_eq!((tracks[1].parent_uuid, tracks[3].parent_uuid), (Some(1), Some(2)));
        assert_eq!(tracks[2].name.as_deref(), Some("reads in flight"));
        assert!(all.iter().all(|packet| packet.trusted_packet_sequence_id == Some(SEQUENCE)));
    }

    #[test]
    fn requests_stand_beside_the_thread_and_tracks_are_used_again() {
        let all = packets(&[(0, 5, 7, 7, true), (1, 9, 7, 7, true), (2, 3, 7, 7, false), (6, 8, 7, 7, true)]);
        let slices: Vec<_> = told(&all).into_iter().filter(|line| line.ends_with(['b', 'e'])).collect();
        assert_eq!(slices.join("|"), "0 3 b|1 5 b|2 2 b|3 2 e|5 3 e|6 3 b|8 3 e|9 5 e");
    }

    #[test]
    fn many_calls_at_once_take_no_time_beyond_measure() {
        let calls: Vec<_> = (0..100_000).map(|at| (at, 1_000_000 + at, i64::MAX, at as i64 % 3, true)).collect();
        assert_eq!(told(&packets(&calls)).len(), 400_000);
    }
}
