//! Moves instants where sizes prove another order.
//!
//! A write takes effect at its entry, says the table; a file grows near its return. Who looks in between sees the old
//! size: the end it seeks to, or where its read stops short. Databases do this all day, when one process adds a page and
//! another asks how many there are. Whether such a call came before or after the write its result tells.
//!
//! Files are known by device and inode where the capture has them, else by the path of the descriptor.

use super::{Kind, Moves, Overlaps, spans};
use crate::event::{Col, Event, Text};
use crate::events::order::Window;
use crate::syscall::position::{self, Start};
use crate::syscall::{self, Op, flag};
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// What a call proves of the size of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// It was at least this large afterwards.
    Wrote(i64),
    /// It was this large.
    Saw(i64),
}

/// Proofs by calls that later ones may overlap, by file. At most one by each thread is of use.
type Open = HashMap<u64, Vec<(usize, Proof)>>;

/// Looks at the overlapping calls of the sorted window.
pub fn run(window: &Window, overlaps: &Overlaps, moves: &mut Moves) {
    let tickets = window.tickets();
    let mut open = Open::new();
    // Who saw the size that an overlapping write made, and that write.
    let mut seen = Vec::new();
    for place in (0..window.len()).filter(|place| overlaps.any[*place]) {
        let Some((file, proof)) = proof(window.event(place)) else { continue };
        let earlier = open.entry(file).or_default();
        earlier.retain(|(other, _)| tickets[*other].exit >= overlaps.least[place]);
        for (other, before) in earlier.iter().filter(|(other, _)| spans(tickets, *other, place)) {
            match (*before, proof) {
                // Not yet so large: the write took effect later.
                (Proof::Wrote(end), Proof::Saw(size)) if size < end => moves.later(*other, tickets[place].key, Kind::SizeOld),
                (Proof::Wrote(end), Proof::Saw(size)) if size == end => seen.push((place, *other)),
                (Proof::Saw(size), Proof::Wrote(end)) if size == end => seen.push((*other, place)),
                _ => {}
            }
        }
        earlier.push((place, proof));
    }
    // Now it is known when the writes took effect: who saw what they made did so later.
    for (reader, writer) in seen {
        let (ticket, made) = (tickets[reader], moves.place(writer).unwrap_or(tickets[writer].key));
        if ticket.key < made && made.at <= ticket.exit {
            moves.later(reader, made, Kind::SizeNew);
        }
    }
}

fn proof(event: &Event) -> Option<(u64, Proof)> {
    let int = |col| event.int(col);
    // Where it was after the call, of one that moves the position: text captures do not tell.
    let done = |ret: i64| match position::start(event) {
        Start::At(at) => at.checked_add(ret),
        Start::Shared => int(Col::Pos),
    };
    let ret = event.success()?;
    let op = event.syscall.op()?;
    let proof = match op {
        _ if op.moves() == syscall::Moves::Writes && ret > 0 => Proof::Wrote(done(ret)?),
        _ if op.moves() == syscall::Moves::Reads && ret < int(Col::Count)? => Proof::Saw(done(ret)?),
        Op::Lseek if int(Col::Whence) == Some(flag::SEEK_END) => Proof::Saw(ret.checked_sub(int(Col::Offset)?)?),
        Op::Fstat => Proof::Saw(int(Col::StSize)?),
        _ => return None,
    };
    Some((file(event)?, proof))
}

/// Identity of the regular file that a descriptor is open on, as far as the call alone tells.
pub fn file(event: &Event) -> Option<u64> {
    if event.int(Col::StMode).is_some_and(|mode| mode & flag::S_IFMT != flag::S_IFREG) {
        return None;
    }
    match (event.int(Col::Dev), event.int(Col::Ino)) {
        (Some(dev), Some(ino)) => Some((ino as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ dev as u64),
        _ => event.text(Text::FdPath).filter(|path| path.first() == Some(&b'/')).map(xxh3_64),
    }
}
