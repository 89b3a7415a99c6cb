//! The syscall table: everything the project knows about a syscall is in its row.
//!
//! From it parsers take the arguments, the event schema its columns, the model what a call means, the replay engine what to
//! issue, the documentation what is supported. To add a syscall is to add a row (and an arm where the compiler asks for one);
//! see docs/HOWTO_ADD_SYSCALL.md.

mod class;
pub mod columns;
mod elsewhere;
pub mod fcntl;
pub mod flag;
pub mod lock;
pub mod number;
mod op;
pub mod polled;
pub mod position;
mod registers;
pub mod request;
mod role;
mod table;
mod wake;

pub use class::Class;
pub use elsewhere::concerns_no_file;
pub use op::{Moves, Op};
pub use position::Given;
pub use role::{At, Ret, Role};
pub use table::{Syscall, TABLE};
pub use wake::Wake;

/// What becomes of a call in a replay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Replay {
    /// Issued in the replay as captured.
    As(Op),
    /// Issued, but not wholly as captured; the text says what is lost.
    Partly(Op, &'static str),
    /// Not issued, but tracked by the model (fork, exec, dup ...); other ops carry its effect.
    Model(Op),
    /// Not replayed; the text says why.
    Drop(&'static str),
}

/// How a program hands requests over to the kernel, which does them while the program goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interface {
    /// io_submit(2) and io_getevents(2).
    Aio,
    /// A ring of io_uring(7).
    Uring,
}

/// A row of the syscall table.
#[derive(Clone, Copy, Debug)]
pub struct Def {
    /// Name of the call as strace and the kernel's tables have it.
    pub name: &'static str,
    /// Its arguments by position (Linux ABI order of x86_64, or of i386 for calls that only i386 has).
    pub args: &'static [Role],
    /// What the return value means.
    pub ret: Ret,
    /// The instant inside the call at which its effect is taken to happen.
    pub at: At,
    /// What becomes of the call in a replay.
    pub replay: Replay,
    /// How the position in the file of `fd` is given.
    pub given: Given,
    /// How the position in the file of `fd2` is given.
    pub given2: Given,
}

impl Def {
    /// Makes a row; `given` and `given2` follow from its other columns.
    const fn row(name: &'static str, args: &'static [Role], ret: Ret, at: At, replay: Replay) -> Def {
        let mut def = Def { name, args, ret, at, replay, given: Given::Nowhere, given2: Given::Nowhere };
        (def.given, def.given2) = Given::of(&def);
        def
    }

    /// Operation that the call performs, for the model and the replay engine; `None` for a row that is dropped.
    pub const fn op(&self) -> Option<Op> {
        match self.replay {
            Replay::As(op) | Replay::Partly(op, _) | Replay::Model(op) => Some(op),
            Replay::Drop(_) => None,
        }
    }

    /// Does the call have an argument of this role?
    pub const fn has(&self, role: Role) -> bool {
        let mut at = 0;
        while at < self.args.len() {
            if self.args[at] as u8 == role as u8 {
                return true;
            }
            at += 1;
        }
        false
    }

    /// Whether the bytes that the call returns the number of are read from a file, written to one, or both.
    pub const fn moves(&self) -> Moves {
        match self.op() {
            Some(op) => op.moves(),
            None => Moves::Nothing,
        }
    }

    /// Support level of the call in words: `full`, `partly`, `model` or `drop`.
    pub const fn support(&self) -> &'static str {
        match self.replay {
            Replay::As(_) => "full",
            Replay::Partly(..) => "partly",
            Replay::Model(_) => "model",
            Replay::Drop(_) => "drop",
        }
    }

    /// What is lost in a replay, or why the call is not replayed; empty where it is issued as captured.
    pub const fn note(&self) -> &'static str {
        match self.replay {
            Replay::As(_) => "",
            Replay::Model(_) => "bookkeeping: other ops carry its effect",
            Replay::Partly(_, note) | Replay::Drop(note) => note,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn rows_and_variants_agree_and_names_are_unique() {
        let mut names = HashSet::new();
        for (i, syscall) in Syscall::ALL.iter().enumerate() {
            assert_eq!(*syscall as usize, i);
            assert!(names.insert(syscall.name()), "{} twice", syscall.name());
            assert_eq!(Syscall::parse(syscall.name().as_bytes()), Some(*syscall));
        }
    }

    #[test]
    fn roles_with_a_column_stand_once_in_a_row() {
        for def in TABLE {
            let mut seen = HashSet::new();
            for role in def.args {
                if let Some(col) = role.col() {
                    assert!(seen.insert(col), "{}: column {} twice", def.name, col.name());
                }
            }
        }
    }

    #[test]
    fn every_op_has_a_row() {
        for op in Op::ALL {
            assert!(TABLE.iter().any(|def| def.op() == Some(*op)), "{} has no row", op.name());
        }
    }

    #[test]
    fn every_note_says_something() {
        for def in TABLE {
            if let Replay::Partly(_, note) | Replay::Drop(note) = def.replay {
                assert!(note.len() > 3, "{}", def.name);
            }
        }
    }
}
