//! One replay on a server: takes the workload, replays its part of it, sends the run back.

use super::clock::Clock;
use super::message::{Asked, Body, LARGEST, Message, PIECE, Pong, UNASKED, VERSION};
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
use std::sync::mpsc::RecvTimeoutError;
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc::{Receiver, Sender};
use tokio::time::timeout;

/// Most bytes of the options of a replay.
const ASKED: usize = 64 << 10;
/// Most characters of the name of a machine.
const NAME: usize = 256;
/// How often it is told that the replay is under way.
const BUSY: Duration = Duration::from_secs(10);

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
    /// Where time is kept while it says nothing.
    pub runtime: Handle,
    /// How long it may take to begin, and from one piece of the workload to the next.
    pub patience: Duration,
}

/// Why a replay ends where its coordinator has ended, or the way to it.
const GONE: &str = "the coordinator is gone";
/// Why it ends where it cannot be understood.
const UNKNOWN: &str = "it says nothing that this version knows";

/// What is said to a coordinator that is gone is an error.
fn tell(say: &Sender<Message>, body: Body) -> Result<()> {
    say.blocking_send(body.into()).context(GONE)
}

/// Does one replay, and tells the coordinator why when there is no run. Nothing stays of it.
pub fn run(place: &Place, talk: Talk) {
    let say = talk.say.clone();
    if let Err(error) = replay(place, talk) {
        log::warn!("there is no run of a replay: {error:#}");
        // What the coordinator named is not the copy that is here.
        let mut text = format!("{error:#}").replace(&place.spool.workload().display().to_string(), "WORKLOAD");
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
    // Others may still be taking the workload: as long as the connection is there, so is the coordinator.
    match talk.heard.blocking_recv().context(GONE)?.body.context(UNKNOWN)? {
        Body::Go(_) => {}
        other => bail!("it says {} before it is to get ready", name(&other)),
    }
    let (ours, stream) = UnixStream::pair().context("no socket for the link")?;
    let options = options(place, &asked, root, stream);
    let summary = std::thread::scope(|scope| {
        let (out, say) = (ours.try_clone()?, talk.say.clone());
        let (ours, heard, busy) = (&ours, &mut talk.heard, &talk.say);
        let (_ends, end) = std::sync::mpsc::channel::<()>();
        scope.spawn(move || frames_out(out, &say));
        scope.spawn(move || frames_in(heard, ours, &place.clock));
        scope.spawn(move || {
            while end.recv_timeout(BUSY) == Err(RecvTimeoutError::Timeout) && tell(busy, pong(&place.clock, UNASKED)).is_ok() {}
        });
        let done = replay::run_with(&options, &place.program, &Progress::default());
        drop(options);
        // The threads end with it: what the coordinator says from here on is nothing for the replay.
        let _ = ours.shutdown(Shutdown::Both);
        // The one that listens to the coordinator is waked by the end of what it hears.
        tell(&talk.say, Body::Go(true))?;
        done
    })?;
    parcel::send(&Dataset::expect(&summary.run, Kind::Run)?, |message| talk.say.blocking_send(message).context(GONE))
}

impl Talk {
    fn next(&mut self) -> Result<Body> {
        let heard = &mut self.heard;
        let message = self.runtime.block_on(async { timeout(self.patience, heard.recv()).await });
        let message = message.with_context(|| format!("the coordinator has said nothing for {} s", self.patience.as_secs()))?;
        message.context(GONE)?.body.context(UNKNOWN)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::replay::{Async, Engine};
    use crate::serve::message::{File, Manner};
    use serde_json::json;
    use tokio::sync::mpsc::channel;

    /// What a server says in the end to who says all this, and then ends the connection.
    fn answer(said: Vec<Body>) -> String {
        answered(said, drop, Duration::from_secs(60))
    }

    /// The same, where `then` is done with the way to the server.
    fn answered<R>(said: Vec<Body>, then: impl FnOnce(Sender<Message>) -> R, patience: Duration) -> String {
        let dir = tempfile::tempdir().unwrap();
        let spool = Spool::make(dir.path()).unwrap();
        let roots = vec!["/shared/a".into(), "/shared/b".into()];
        let place = Place { roots, spool, limit: 1 << 20, clock: Clock::new(0, 0.0), program: "/bin/false".into() };
        let (hear, heard) = channel(64);
        let (say, mut answers) = channel(64);
        said.into_iter().for_each(|body| hear.try_send(body.into()).unwrap());
        let _kept = then(hear);
        let runtime = crate::serve::runtime().unwrap();
        run(&place, Talk { heard, say, runtime: runtime.handle().clone(), patience });
        let kept = std::fs::read_dir(dir.path()).unwrap().flat_map(|spool| std::fs::read_dir(spool.unwrap().path()).unwrap());
        assert_eq!(kept.count(), 0, "nothing stays");
        let mut last = String::new();
        while let Some(message) = answers.blocking_recv() {
            if let Some(Body::Failed(why)) = message.body {
                last = why;
            }
        }
        last
    }

    #[test]
    fn a_coordinator_that_says_nothing_does_not_keep_others_waiting() {
        for said in [vec![], vec![begins(&asked())]] {
            let why = answered(said, |hear| hear, Duration::from_millis(20));
            assert!(why.contains("has said nothing"), "{why}");
        }
    }

    fn asked() -> Asked {
        let manner = Manner {
            processes: 1,
            threads: None,
            engine: Engine::Sys,
            pace: None,
            speed: 1.0,
            compute_scale: 1.0,
            min_match: 99.0,
            dirty: false,
            delay: None,
            asynchrony: Async::Native,
            cache: None,
        };
        Asked { version: VERSION, number: 0, names: vec!["a:1".into(), "b:1".into()], root: Some("/shared/b".into()), manner }
    }

    fn begins(asked: &Asked) -> Body {
        Body::Begin(serde_json::to_vec(asked).unwrap())
    }

    #[test]
    fn what_is_asked_wrongly_is_refused() {
        let file = |table: &str, size| Body::File(File { table: table.into(), size });
        let ours = asked();
        let but = |change: fn(&mut Asked)| {
            let mut asked = ours.clone();
            change(&mut asked);
            begins(&asked)
        };
        for (said, says) in [
            (vec![], "the coordinator is gone"),
            (vec![Body::Go(true)], "it begins with to go on"),
            (vec![Body::Begin(vec![0; ASKED + 1])], "it begins with"),
            (vec![Body::Begin(b"{}".to_vec())], "the same version"),
            (vec![Body::Begin(vec![b'['; 60_000])], "cannot be read"),
            (vec![but(|asked| asked.version = 9)], "version 9"),
            (vec![but(|asked| asked.number = 2)], "damaged"),
            (vec![but(|asked| asked.names = vec!["x".repeat(300); 2])], "damaged"),
            (vec![but(|asked| asked.names = vec!["x".into(); 65])], "64 at most"),
            (vec![but(|asked| asked.names.clear())], "of 0 machines"),
            (vec![but(|asked| asked.manner.speed = -1.0)], "out of range"),
            (vec![but(|asked| asked.manner.processes = 1 << 40)], "out of range"),
            (vec![but(|asked| asked.root = None)], "has 2 roots"),
            (vec![but(|asked| asked.root = Some("/shared/a/../b".into()))], "was not told the root"),
            (vec![begins(&ours)], "the coordinator is gone"),
            (vec![begins(&ours), Body::Go(true)], "in the middle of the workload"),
            (vec![begins(&ours), file("ops", 2 << 20)], "--limit"),
            (vec![begins(&ours), file("results", 1)], "no such table"),
            (vec![begins(&ours), Body::Piece(vec![1])], "before a file"),
            (vec![begins(&ours), Body::Whole(true)], "manifest is damaged"),
            (vec![begins(&ours), file("", 2), Body::Piece(b"{}".to_vec()), Body::Whole(true)], "no workload of this version"),
        ] {
            let why = answer(said.clone());
            assert!(why.contains(says), "{says}: {why}");
        }
        // A manifest and nothing else: there is nothing to replay.
        let text = serde_json::to_vec(&json!({ "format": 1, "kind": "workload", "ops": 0 })).unwrap();
        let whole = [begins(&ours), file("", text.len() as u64), Body::Piece(text), Body::Whole(true)];
        let with = |more: Body| answer(whole.iter().cloned().chain([more]).collect());
        assert!(with(Body::Frames(vec![])).contains("before it is to get ready"));
        let why = with(Body::Go(true));
        assert!(why.contains("lanes"), "{why}");
    }
}
