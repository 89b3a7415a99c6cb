//! A trace of Perfetto: tracks of processes and threads, a slice for each call, counters of what is in flight.
//!
//! The calls of a thread stand on its track, those inside others (a page fault in a read) below these. What overlaps there and is
//! not inside, such as requests of io_uring, gets a track of its own below the thread. Slices end on their track in the opposite
//! order of their beginnings. Memory grows with the number of threads and of calls in flight, not with the length of the capture.

mod message;
mod tracks;

use super::rows::{Ints, Rows, Texts};
use super::{Left, Source};
use crate::syscall::Syscall;
use crate::text::shown;
use anyhow::Result;
use message::{Annotation, Packet, TrackEvent};
use prost::Message;
use std::collections::HashMap;
use std::io::Write;
use tracks::{Call, Tracks};

/// Who wrote the packets, all of them.
const SEQUENCE: u32 = 1;
/// Tag of a packet in a trace: field 1, with a length.
const PACKET: u8 = 1 << 3 | 2;

/// Writes the trace.
///
/// # Errors
/// When there are no calls on files, or the output cannot be written.
pub fn write(source: &Source<'_>, out: &mut (dyn Write + Send)) -> Result<Left> {
    let mut left = Left::default();
    let mut commands = HashMap::new();
    if source.desk.has(&["processes".to_owned()]) {
        source.each("commands", |rows| {
            let (pids, names) = (rows.ints("pid")?, rows.texts("comm")?);
            for row in 0..rows.len() {
                if let (Some(pid), Some(name)) = (pids.get(row), names.get(row)) {
                    commands.insert(pid, shown(name).into_owned());
                }
            }
            Ok(())
        })?;
    }
    let mut tracks = Tracks::new(Trace { out, packet: Vec::new() }, commands);
    source.each("slices", |rows| {
        let columns = Columns::of(rows)?;
        for row in 0..rows.len() {
            match columns.call(row) {
                None => left.add("calls without a start are not in the trace"),
                Some(call) => {
                    if columns.durations.get(row).is_none() {
                        left.add("calls without a duration have no length");
                    }
                    tracks.call(&call, || columns.event(row))?;
                }
            }
        }
        Ok(())
    })?;
    tracks.end()?;
    Ok(left)
}

/// Where packets go.
struct Trace<'o> {
    out: &'o mut (dyn Write + Send),
    /// The bytes of a packet, reused.
    packet: Vec<u8>,
}

impl Trace<'_> {
    fn write(&mut self, packet: Packet) -> Result<()> {
        let packet = Packet { trusted_packet_sequence_id: Some(SEQUENCE), ..packet };
        self.packet.clear();
        self.packet.push(PACKET);
        packet.encode_length_delimited(&mut self.packet)?;
        Ok(self.out.write_all(&self.packet)?)
    }
}

/// The columns of `sql/export/slices.sql`.
struct Columns<'b> {
    starts: &'b arrow::array::Float64Array,
    durations: Ints<'b>,
    pids: Ints<'b>,
    tids: Ints<'b>,
    numbers: [(&'static str, Ints<'b>); 3],
    texts: [(&'static str, Texts); 2],
    syscalls: Texts,
    classes: Texts,
}

impl<'b> Columns<'b> {
    fn of(rows: &'b Rows<'_>) -> Result<Columns<'b>> {
        let number = |name| Ok::<_, anyhow::Error>((name, rows.ints(name)?));
        let text = |name| Ok::<_, anyhow::Error>((name, rows.texts(name)?));
        Ok(Columns {
            starts: rows.reals("time_s")?,
            durations: rows.ints("dur_ns")?,
            pids: rows.ints("pid")?,
            tids: rows.ints("tid")?,
            numbers: [number("offset")?, number("bytes")?, number("errno")?],
            texts: [text("path")?, text("path2")?],
            syscalls: rows.texts("syscall")?,
            classes: rows.texts("class")?,
        })
    }

    /// When and where the call of a row was made; `None` where its start is not known.
    fn call(&self, row: usize) -> Option<Call<'_>> {
        use arrow::array::Array;
        let start = self.starts.is_valid(row).then(|| (self.starts.value(row) * 1e9).round().max(0.0) as u64)?;
        let length = self.durations.get(row).unwrap_or_default().max(0).unsigned_abs();
        let request = self.syscalls.get(row).and_then(|name| Syscall::parse(name.as_bytes())?.interface()).is_some();
        Some(Call {
            start,
            end: start.saturating_add(length),
            pid: self.pids.get(row).unwrap_or_default(),
            tid: self.tids.get(row).unwrap_or_default(),
            class: self.classes.get(row).unwrap_or_default(),
            request,
        })
    }

    /// What the slice of a row says.
    fn event(&self, row: usize) -> TrackEvent {
        let text = |(name, texts): &(&str, Texts)| {
            let value = Some(shown(texts.get(row)?).into_owned());
            Some(Annotation { name: Some((*name).to_owned()), string_value: value, int_value: None })
        };
        let number = |(name, ints): &(&str, Ints<'_>)| {
            // Most calls move nothing, and succeed.
            let value = ints.get(row).filter(|value| *value != 0 || *name == "offset")?;
            Some(Annotation { name: Some((*name).to_owned()), string_value: None, int_value: Some(value) })
        };
        let annotations = self.texts.iter().filter_map(text).chain(self.numbers.iter().filter_map(number));
        TrackEvent {
            debug_annotations: annotations.collect(),
            categories: vec![shown(self.classes.get(row).unwrap_or_default()).into_owned()],
            name: Some(shown(self.syscalls.get(row).unwrap_or_default()).into_owned()),
            ..TrackEvent::default()
        }
    }
}
