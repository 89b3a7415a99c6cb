//! One replay on a server: takes the workload, replays its part of it, sends the run back.

use super::clock::Clock;
use super::message::{Asked, Body, LARGEST, Message, PIECE, Pong, VERSION};
use super::parcel::{self, Parcel};
use super::spool::Spool;
use crate::files;
use crate::init::Tmpfs;
use crate::progress::Progress;
use crate::replay::link::frame::{BYTES, Frame};
use crate::replay::link::{Line, Role};
use crate::replay::{self, MACHINES, Options, Part};
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::{Context, Result, bail, ensure};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::sync::mpsc::{Receiver, Sender};

/// Most bytes of the options of a replay.
const ASKED: usize = 64 << 10;
/// Most characters of the name of a machine.
const NAME: usize = 256;

/// What a server knows for every replay.
#[derive(Debug)]
pub struct Place {
    /// The roots in which it replays, as it was told them.
    pub roots: Vec<PathBuf>,
    /// Where it keeps workload and run.
    pub spool: Spool,
    /// Most bytes of a workload.
    pub limit: u64,
    /// Its clock.
    pub clock: Clock,
    /// The program that is started as the replay process.
    pub program: PathBuf,
}

/// The way to and from the coordinator.
pub struct Talk {
    /// What it says.
    pub heard: Receiver<Message>,
    /// What it is told.
    pub say: Sender<Message>,
}

/// What is said to a coordinator that is gone is an error.
fn tell(say: &Sender<Message>, body: Body) -> Result<()> {
    say.blocking_send(body.into()).context("the coordinator is gone")
}

/// Does one replay, and tells the coordinator why when there is no run. Nothing stays of it.
pub fn run(place: &Place, talk: Talk) {
    let say = talk.say.clone();
    if let Err(error) = replay(place, talk) {
        log::warn!("there is no run of a replay: {error:#}");
        let mut text = format!("{error:#}");
        text.truncate(text.floor_char_boundary(LARGEST / 2));
        let _ = tell(&say, Body::Failed(text));
    }
    if let Err(error) = place.spool.empty() {
        log::error!("{error:#}");
    }
}

fn replay(place: &Place, mut talk: Talk) -> Result<()> {
    place.spool.empty()?;
    let asked = begin(&mut talk)?;
    let root = place.root(asked.root.as_deref())?.to_owned();
    receive(place, &mut talk)?;
    tell(&talk.say, Body::Whole(true))?;
    match talk.next()? {
        Body::Go(_) => {}
        other => bail!("it says {} before it is to get ready", name(&other)),
    }
    let (ours, stream) = UnixStream::pair().context("no socket for the link")?;
    let options = options(place, &asked, root, stream);
    let summary = std::thread::scope(|scope| {
        let (out, say) = (ours.try_clone()?, talk.say.clone());
        let (ours, heard) = (&ours, &mut talk.heard);
        scope.spawn(move || frames_out(out, &say));
        scope.spawn(move || frames_in(heard, ours, &place.clock));
        let done = replay::run_with(&options, &place.program, &Progress::default());
        drop(options);
        // Both threads end with it: what the coordinator says from here on is nothing for the replay.
        let _ = ours.shutdown(Shutdown::Both);
        // The one that listens to the coordinator is waked by the end of what it hears.
        tell(&talk.say, Body::Go(true))?;
        done
    })?;
    parcel::send(&Dataset::expect(&summary.run, Kind::Run)?, |message| {
        talk.say.blocking_send(message).context("the coordinator is gone")
    })
}

impl Talk {
    fn next(&mut self) -> Result<Body> {
        let message = self.heard.blocking_recv().context("the coordinator is gone")?;
        message.body.context("it says nothing that this version knows")
    }
}

/// What a message is, for other messages.
fn name(body: &Body) -> &'static str {
    match body {
        Body::Begin(_) => "what to replay",
        Body::File(_) | Body::Piece(_) | Body::Whole(_) => "a part of a dataset",
        Body::Go(_) => "to go on",
        Body::Ping(_) | Body::Pong(_) => "the time",
        Body::Frames(_) => "how far workers are",
        Body::Failed(_) => "that it failed",
        Body::Hello(_) => "hello",
    }
}

/// Takes and checks what is asked.
fn begin(talk: &mut Talk) -> Result<Asked> {
    let text = match talk.next()? {
        Body::Begin(text) if text.len() <= ASKED => text,
        other => bail!("it begins with {}", name(&other)),
    };
    let asked: Asked = files::json(&text).context("what is to be replayed cannot be read: is it the same version of ioriot?")?;
    ensure!(asked.version == VERSION, "it speaks version {}, and this server version {VERSION}", asked.version);
    let machines = asked.names.len();
    ensure!((1..=MACHINES).contains(&machines), "it is of {machines} machines, and there are {MACHINES} at most");
    ensure!(asked.number < machines && asked.names.iter().all(|name| name.len() <= NAME), "its list of machines is damaged");
    ensure!(asked.manner.sane(), "its options are out of range");
    Ok(asked)
}

/// Takes the workload.
fn receive(place: &Place, talk: &mut Talk) -> Result<()> {
    let mut parcel = Parcel::new(&place.spool.workload(), Kind::Workload, place.limit).context("the workload cannot be kept")?;
    loop {
        match talk.next()? {
            Body::File(head) => parcel.begin(&head),
            Body::Piece(bytes) => parcel.piece(&bytes),
            Body::Whole(_) => return parcel.whole(|_| {}).map(drop).context("the workload is refused"),
            other => bail!("it says {} in the middle of the workload", name(&other)),
        }
        .context("the workload is refused")?;
    }
}

impl Place {
    /// The root that is meant: one of those that the server was told, and no other.
    fn root(&self, said: Option<&str>) -> Result<&Path> {
        match (said, self.roots.as_slice()) {
            (None, [root]) => Ok(root),
            (None, roots) => bail!("this server has {} roots: say which with --root", roots.len()),
            (Some(said), roots) => roots
                .iter()
                .find(|root| root.as_os_str() == said)
                .map(PathBuf::as_path)
                .with_context(|| format!("this server was not told the root {said:?} (ioriot serve --root DIR)")),
        }
    }
}

fn options(place: &Place, asked: &Asked, root: PathBuf, stream: UnixStream) -> Options {
    let manner = asked.manner;
    let part = Part { number: asked.number, of: asked.names.len() };
    let role = if asked.number == 0 { Role::Leads } else { Role::Follows };
    Options {
        processes: manner.processes,
        threads: manner.threads,
        engine: manner.engine,
        pace: manner.pace,
        speed: manner.speed,
        compute_scale: manner.compute_scale,
        min_match: manner.min_match,
        dirty: manner.dirty,
        delay: manner.delay,
        asynchrony: manner.asynchrony,
        cache: manner.cache,
        tmpfs: Tmpfs::Disk,
        line: Some(Arc::new(Line { part, role, names: asked.names.clone(), stream })),
        ..Options::new(place.spool.workload(), root, place.spool.run())
    }
}

/// Sends the frames of the replay to the coordinator, as many at a time as there are.
fn frames_out(mut stream: UnixStream, say: &Sender<Message>) {
    let mut bytes = vec![0; PIECE / BYTES * BYTES];
    let mut kept = 0;
    while let Ok(read @ 1..) = stream.read(&mut bytes[kept..]) {
        let whole = (kept + read) / BYTES * BYTES;
        if whole > 0 && tell(say, Body::Frames(bytes[..whole].to_vec())).is_err() {
            break;
        }
        bytes.copy_within(whole..kept + read, 0);
        kept = kept + read - whole;
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// Gives the frames of the coordinator to the replay; the start by the right clock. What is no frame, or no more, ends the link.
fn frames_in(heard: &mut Receiver<Message>, mut stream: &UnixStream, clock: &Clock) {
    while let Some(message) = heard.blocking_recv() {
        let Some(Body::Frames(bytes)) = message.body else { break };
        let (frames, rest) = bytes.as_chunks::<BYTES>();
        let mut right = Vec::with_capacity(bytes.len());
        for frame in frames {
            match Frame::parse(frame) {
                Ok(Frame::Start { at }) => right.extend(Frame::Start { at: clock.right(at) }.bytes()),
                Ok(frame) => right.extend(frame.bytes()),
                Err(_) => return drop(stream.shutdown(Shutdown::Both)),
            }
        }
        if !rest.is_empty() || stream.write_all(&right).is_err() {
            break;
        }
    }
    let _ = stream.shutdown(Shutdown::Both);
}

/// What the clock of the server says, for a ping.
pub fn pong(clock: &Clock, ping: i64) -> Body {
    Body::Pong(Pong { ping, clock: clock.now() })
}
