//! Flaws and hindrances: why a replay is not good enough, whatever else its results say.

use crate::replay::shared::record::{Record, errno};
use crate::syscall::Moves;
use crate::words::words;

words! {
    /// A reason why a replay is not good enough; one is enough for exit code 1.
    Flaw {
        Incomplete "incomplete"  "a process of the replay was killed, a signal ended it, or it could not go on";
        Hindered   "hindered"    "the machine kept calls from doing what they did in the capture";
        Losses     "lost_events" "the capture had lost events";
        Match      "match"       "fewer outcomes were the same than asked for";
        Nothing    "nothing"     "nothing could be compared";
    }
}

words! {
    /// A hindrance: an outcome caused by the machine and not by what was asked. It says nothing about the workload, and
    /// outcomes after it say little. Named after errno(3).
    Hindrance {
        Space    "ENOSPC"  "the file system was full";
        Quota    "EDQUOT"  "a quota was used up";
        Device   "EIO"     "a device or the file system failed";
        Damaged  "EUCLEAN" "the file system is damaged";
        ReadOnly "EROFS"   "the file system became read-only";
        Memory   "ENOMEM"  "there was no memory";
        Files    "ENFILE"  "the system had too many open files";
        Short    "short"   "a write was cut short: no more had room, or a limit was met";
    }
}

/// Serialises these enums as their words, as manifests have them.
macro_rules! by_name {
    ($($enum:ident),*) => {
        $(impl serde::Serialize for $enum {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.name())
            }
        })*
    };
}
by_name!(Flaw, Hindrance);

impl Hindrance {
    /// The hindrance that an errno stands for; `None` for all other errnos.
    fn find(errno: i32) -> Option<Hindrance> {
        match errno {
            libc::ENOSPC => Some(Hindrance::Space),
            libc::EDQUOT => Some(Hindrance::Quota),
            libc::EIO => Some(Hindrance::Device),
            libc::EUCLEAN => Some(Hindrance::Damaged),
            libc::EROFS => Some(Hindrance::ReadOnly),
            libc::ENOMEM => Some(Hindrance::Memory),
            libc::ENFILE => Some(Hindrance::Files),
            _ => None,
        }
    }

    /// The hindrance that an op met; `None` if there was none, or if the captured machine had trouble of this kind at the
    /// same op.
    pub fn of(record: &Record) -> Option<Hindrance> {
        let captured = record.captured();
        match errno(record.ret()) {
            // write(2): less than was asked for when the medium has no room for more, or at the limit of a file's size.
            0 => captured
                .filter(|&wrote| wrote > record.ret() && record.op().is_some_and(|op| op.moves() == Moves::Writes))
                .map(|_| Hindrance::Short),
            error => {
                let captured = captured.map_or(0, errno);
                Hindrance::find(error).filter(|_| Hindrance::find(captured).is_none() && captured != libc::EFBIG)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::shared::record::{Fact, Stamp, UNKNOWN};
    use crate::syscall::Op;

    fn of(captured: i64, ret: i64) -> Option<Hindrance> {
        done(Op::Openat, captured, ret)
    }

    fn done(op: Op, captured: i64, ret: i64) -> Option<Hindrance> {
        let (fact, stamp) = (Fact { op: op as u8, captured, ..Fact::default() }, Stamp { ret, ..Stamp::default() });
        Hindrance::of(&Record { fact, stamp, worker: 0 })
    }

    #[test]
    fn the_machine_is_to_blame_for_what_the_captured_one_did_not_do() {
        let (full, broken) = (-i64::from(libc::ENOSPC), -i64::from(libc::EIO));
        assert_eq!(of(4096, full), Some(Hindrance::Space));
        assert_eq!(of(UNKNOWN, broken), Some(Hindrance::Device));
        assert_eq!(of(-i64::from(libc::ENOENT), broken), Some(Hindrance::Device));
        assert_eq!((of(full, full), of(full, broken), of(full, 4096)), (None, None, None));
        assert_eq!((of(4096, 4096), of(4096, -i64::from(libc::ENOENT))), (None, None));
    }

    #[test]
    fn a_write_that_is_cut_short_is_the_machines_doing_and_a_read_is_not() {
        assert_eq!(done(Op::Write, 8192, 4096), Some(Hindrance::Short));
        assert_eq!(done(Op::Pwritev2, 8192, 0), Some(Hindrance::Short));
        assert_eq!((done(Op::Write, 4096, 8192), done(Op::Write, 4096, 4096), done(Op::Write, UNKNOWN, 0)), (None, None, None));
        assert_eq!((done(Op::Write, -4, 4096), done(Op::Read, 8192, 4096)), (None, None));
    }
}
