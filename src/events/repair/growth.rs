//! Repairs the order of calls where observed file sizes prove another one.
//!
//! By the syscall table a write takes effect at its entry; yet the file grows near its return. A call in between sees
//! the old size: as the end that lseek(SEEK_END) or fstat gives, or where a read stops short. Databases do this all
//! day, when one process adds a page and another asks how many there are. The result of such a call tells whether it
//! came before or after the write.
//!
//! Files are told apart by device and inode where the capture has them, else by the path of the descriptor.

use super::{Kind, Moves, Overlaps, spans};
use crate::event::{Col, Event, Text};
use crate::events::order::Window;
use crate::syscall::position::{self, Start};
use crate::syscall::{self, Op, flag};
use hashbrown::HashMap;
use xxhash_rust::xxh3::xxh3_64;

/// What a call proves of the size of its file, bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Proof {
    /// A write: afterwards the file had at least this size.
    Wrote(i64),
    /// A read to the end, seek or stat: the file had exactly this size.
    Saw(i64),
}

/// For each file (by identity) the proofs by earlier calls that later ones may overlap, with their places in the
/// window.
type Open = HashMap<u64, Vec<(usize, Proof)>>;

/// Looks for contradicting sizes among the overlapping calls of the sorted window, and adds the moves that resolve
/// them.
pub fn run(window: &Window, overlaps: &Overlaps, moves: &mut Moves) {
    let tickets = window.tickets();
    let mut open = Open::new();
    // Pairs of a call that saw a size and the overlapping write that made it.
    let mut seen = Vec::new();
    for place in (0..window.len()).filter(|place| overlaps.any[*place]) {
        let Some((file, proof)) = proof(window.event(place)) else { continue };
        let earlier = open.entry(file).or_default();
        earlier.retain(|(other, _)| tickets[*other].exit >= overlaps.least[place]);
        for (other, before) in earlier.iter().filter(|(other, _)| spans(tickets, *other, place)) {
            match (*before, proof) {
                // The file was not so large yet: the write took effect later.
                (Proof::Wrote(end), Proof::Saw(size)) if size < end => moves.later(*other, tickets[place].key, Kind::SizeOld),
                (Proof::Wrote(end), Proof::Saw(size)) if size == end => seen.push((place, *other)),
                (Proof::Saw(size), Proof::Wrote(end)) if size == end => seen.push((*other, place)),
                _ => {}
            }
        }
        earlier.push((place, proof));
    }
    // Now the instants of the writes are known: a call that saw a size took effect after the write that made it.
    for (reader, writer) in seen {
        let (ticket, made) = (tickets[reader], moves.place(writer).unwrap_or(tickets[writer].key));
        if ticket.key < made && made.at <= ticket.exit {
            moves.later(reader, made, Kind::SizeNew);
        }
    }
}

fn proof(event: &Event) -> Option<(u64, Proof)> {
    let int = |col| event.int(col);
    // Position after a call that moves it; text captures do not tell it (`None`).
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

/// Identity (hash) of the regular file that the call's descriptor is open on; `None` when it is another kind of file,
/// or unknown.
pub fn file(event: &Event) -> Option<u64> {
    if event.int(Col::StMode).is_some_and(|mode| mode & flag::S_IFMT != flag::S_IFREG) {
        return None;
    }
    match (event.int(Col::Dev), event.int(Col::Ino)) {
        (Some(dev), Some(ino)) => Some((ino as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ dev as u64),
        _ => event.text(Text::FdPath).filter(|path| path.first() == Some(&b'/')).map(xxh3_64),
    }
}
