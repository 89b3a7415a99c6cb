//! What a coordinator and a server say to each other: one stream of messages each way, by gRPC.

use crate::replay::{Async, Cache, Engine, Pace};
use serde::{Deserialize, Serialize};

/// Largest message that is taken, bytes.
pub const LARGEST: usize = 1 << 20;
/// Bytes of a file in one message.
pub const PIECE: usize = 256 << 10;
/// Full name of the service.
pub const SERVICE: &str = "ioriot.Serve";
/// Path of its only call.
pub const CALL: &str = "/ioriot.Serve/Replay";
/// Number in a [`Pong`] that nobody asked for: the server is busy with the replay.
pub const UNASKED: i64 = -1;
/// Version of these messages; both sides must have the same.
pub const VERSION: u32 = 1;

/// A message.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Message {
    /// What it says.
    #[prost(oneof = "Body", tags = "1, 2, 3, 4, 5, 6, 7, 8, 9, 10")]
    pub body: Option<Body>,
}

/// What a message says.
#[derive(Clone, PartialEq, prost::Oneof)]
pub enum Body {
    /// To a server: the first message, [`Asked`] as JSON.
    #[prost(bytes = "vec", tag = "1")]
    Begin(Vec<u8>),
    /// A file of a dataset begins.
    #[prost(message, tag = "2")]
    File(File),
    /// The next bytes of the file that has begun.
    #[prost(bytes = "vec", tag = "3")]
    Piece(Vec<u8>),
    /// All files of the dataset have been sent.
    #[prost(bool, tag = "4")]
    Whole(bool),
    /// To a server: it may check the root and get ready.
    #[prost(bool, tag = "5")]
    Go(bool),
    /// To a server: what does its clock say? With a number that comes back.
    #[prost(sint64, tag = "6")]
    Ping(i64),
    /// Of a server: the answer.
    #[prost(message, tag = "7")]
    Pong(Pong),
    /// Frames of the replay ([`crate::replay::link::frame`]), one after the other.
    #[prost(bytes = "vec", tag = "8")]
    Frames(Vec<u8>),
    /// Of a server: why there is no run.
    #[prost(string, tag = "9")]
    Failed(String),
    /// Of a server: it is a server, this is its version, and it is not replaying anything else.
    #[prost(uint32, tag = "10")]
    Hello(u32),
}

/// The beginning of a file.
#[derive(Clone, PartialEq, prost::Message)]
pub struct File {
    /// Name of its table, or nothing for the manifest.
    #[prost(string, tag = "1")]
    pub table: String,
    /// Its size, bytes.
    #[prost(uint64, tag = "2")]
    pub size: u64,
}

/// The answer to a ping.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub struct Pong {
    /// The number of the ping.
    #[prost(sint64, tag = "1")]
    pub ping: i64,
    /// CLOCK_MONOTONIC of the server, ns.
    #[prost(sint64, tag = "2")]
    pub clock: i64,
}

impl From<Body> for Message {
    fn from(body: Body) -> Message {
        Message { body: Some(body) }
    }
}

/// What a coordinator asks of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Asked {
    /// [`VERSION`] of the coordinator.
    pub version: u32,
    /// Number of the part that the server replays.
    pub number: usize,
    /// Names of all machines.
    pub names: Vec<String>,
    /// Root of the replay, as the server was told it; `None` for the only one that it was told.
    pub root: Option<String>,
    /// As the options of a replay ([`crate::replay::Options`]).
    pub manner: Manner,
}

/// Options of a replay that are the same on all machines.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manner {
    /// Processes on each machine.
    pub processes: usize,
    /// Threads of each process; `None` for the default.
    pub threads: Option<usize>,
    /// What issues the ops.
    pub engine: Engine,
    /// When ops are issued; `None` for what suits the workload.
    pub pace: Option<Pace>,
    /// How many times faster than captured.
    pub speed: f64,
    /// Factor of the processor time of captured threads.
    pub compute_scale: f64,
    /// Least match, percent.
    pub min_match: f64,
    /// Allow a used root.
    pub dirty: bool,
    /// Seed of artificial delays.
    pub delay: Option<u64>,
    /// How requests are issued.
    pub asynchrony: Async,
    /// What is in the page cache before the first op; `None` for what suits the workload.
    pub cache: Option<Cache>,
}

impl Manner {
    /// Whether the numbers are such as the command line takes.
    pub fn sane(&self) -> bool {
        let factor = |factor: f64| factor.is_finite() && factor > 0.0;
        let threads = 1..=crate::limits::THREADS;
        threads.contains(&self.processes)
            && self.threads.is_none_or(|count| threads.contains(&count))
            && factor(self.speed)
            && factor(self.compute_scale)
            && (0.0..=100.0).contains(&self.min_match)
    }
}
