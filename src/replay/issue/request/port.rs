//! Where a worker hands requests over: by io_uring(7) or by io_submit(2).

use super::aio::Aio;
use super::uring::Uring;
use crate::syscall::{Interface, Op};
use std::io::Result;

/// What a request does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Code {
    /// Reads from a place in a file.
    Read,
    /// Writes to a place in a file.
    Write,
    /// fsync(2).
    Fsync,
    /// fdatasync(2).
    Fdatasync,
}

impl Code {
    /// The code of a call; `None` for calls that are never handed over: they are made, and the worker waits for them.
    pub const fn of(op: Op) -> Option<Code> {
        Some(match op {
            Op::Pread => Code::Read,
            Op::Pwrite => Code::Write,
            Op::Fsync => Code::Fsync,
            Op::Fdatasync => Code::Fdatasync,
            _ => return None,
        })
    }
}

/// A request, ready to be handed over.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// What it does.
    pub code: Code,
    /// The descriptor that it is about, -1 for one that is not open.
    pub fd: i32,
    /// Where its bytes come from or go to.
    pub address: *mut u8,
    /// How many they are.
    pub length: u32,
    /// Where in the file they are.
    pub offset: i64,
}

/// A way to the kernel for requests.
#[derive(Debug)]
pub enum Port {
    /// A ring of io_uring.
    Uring(Uring),
    /// A context of io_setup.
    Aio(Aio),
}

impl Port {
    /// Makes a way for `entries` requests at a time, of these codes.
    ///
    /// # Errors
    /// When the kernel gives none.
    pub fn new(interface: Interface, entries: usize, codes: &[Code]) -> Result<Port> {
        match interface {
            Interface::Uring => Uring::new(entries as u32, codes).map(Port::Uring),
            Interface::Aio => Aio::new(entries).map(Port::Aio),
        }
    }

    /// Room for how many requests there is at a time.
    pub fn entries(&self) -> usize {
        match self {
            Port::Uring(ring) => ring.entries(),
            Port::Aio(aio) => aio.entries(),
        }
    }

    /// Takes tags below `tags` from now on, as [`Aio::tags`] says.
    pub fn tags(&mut self, tags: usize) {
        match self {
            Port::Uring(_) => {}
            Port::Aio(aio) => aio.tags(tags),
        }
    }

    /// Queues a request, whose result will have this tag; `apart`: as [`Uring::push`] says.
    pub fn push(&mut self, tag: u16, request: &Request, apart: bool) {
        match self {
            Port::Uring(ring) => ring.push(tag, request, apart),
            Port::Aio(aio) => aio.push(tag, request),
        }
    }

    /// Hands over what is queued.
    ///
    /// # Errors
    /// The errno of what cannot succeed later either.
    pub fn flush(&mut self) -> std::result::Result<(), i32> {
        match self {
            Port::Uring(ring) if ring.queued() => ring.enter(false, None),
            Port::Uring(_) => Ok(()),
            Port::Aio(aio) if aio.queued() => {
                aio.flush();
                Ok(())
            }
            Port::Aio(_) => Ok(()),
        }
    }

    /// Hands over what is queued, and waits for a result, up to `limit` ns (`None`: without end).
    ///
    /// # Errors
    /// As [`Port::flush`].
    pub fn wait(&mut self, limit: Option<i64>) -> std::result::Result<(), i32> {
        match self {
            Port::Uring(ring) => ring.enter(true, limit),
            Port::Aio(aio) => {
                aio.flush();
                aio.take(true, limit)
            }
        }
    }

    /// Takes the next result that is there: its tag and its value.
    pub fn pop(&mut self) -> Option<(u16, i64)> {
        match self {
            Port::Uring(ring) => ring.pop(),
            Port::Aio(aio) => aio.pop().or_else(|| {
                // What cannot be had shows when somebody waits for it.
                let _ = aio.take(false, None);
                aio.pop()
            }),
        }
    }
}
