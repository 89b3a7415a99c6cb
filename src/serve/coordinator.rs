//! The coordinator: sends a workload to servers, starts their replays together, passes on how far they are, fetches their runs.

use super::access;
use super::clock::{Offset, TRIPS};
use super::guest::Guest;
use super::message::{self, Body, CALL, LARGEST, Manner, Message, VERSION};
use super::parcel;
use super::runtime;
use super::summary::{Machine, Summary};
use crate::fleet;
use crate::peers::{Certificates, Purpose, Token};
use crate::process::signal::{self, Signal};
use crate::progress::{Progress, Unit};
use crate::replay::MACHINES;
use crate::replay::link::frame::{BYTES, Frame};
use crate::replay::link::hub::{Hub, News};
use crate::replay::shared::clock::now;
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Table, read};
use anyhow::{Context, Result, anyhow, bail, ensure};
use futures::stream::poll_fn;
use serde_json::json;
use std::collections::{BTreeSet, VecDeque};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};
use tokio::runtime::Runtime;
use tokio::sync::mpsc::{self, Receiver, Sender};
use tonic::client::Grpc;
use tonic::codegen::http::uri::PathAndQuery;
use tonic::{Code, Request, Status};
use tonic_prost::ProstCodec;

/// Messages that may be under way to one machine, or from all.
const QUEUE: usize = 32;
/// How often it is looked whether a signal came.
const LOOK: Duration = Duration::from_millis(100);
/// How long a machine may take to say hello, and to answer a ping.
const PATIENCE: Duration = Duration::from_secs(10);
/// Time from now to the start, beside two of the longest round trips, ns: so long a machine may be busy with something else.
const LEAD: i64 = 1_000_000_000;
/// How long a machine may say nothing after another one has ended, and how long it may take to end after a signal.
const SILENCE: Duration = Duration::from_secs(60);
/// Most events that wait while a clock is measured: nobody has much to say then.
const BACKLOG: usize = 4096;
/// Most bytes of a run: so many, and more for each op.
const ROOM: u64 = 2 << 30;
/// For each op.
const ROOM_OF_OP: u64 = 1 << 10;

/// What is to be replayed, and where.
#[derive(Clone, Debug)]
pub struct Asked {
    /// Directory of the workload.
    pub workload: PathBuf,
    /// `HOST:PORT` of each server; the first one checks and locks the root.
    pub on: Vec<String>,
    /// The root, as the servers were told it; `None` for the only one that they were told.
    pub root: Option<String>,
    /// The directory that the runs come into.
    pub out: PathBuf,
    /// Options of the replay.
    pub manner: Manner,
    /// File with the secret of the servers.
    pub token: PathBuf,
    /// Directory with certificates ([`Certificates::read`]), needed where servers are not on this machine.
    pub certificates: Option<PathBuf>,
}

/// Replays a workload on several machines.
///
/// # Errors
/// When it cannot begin: a server is not there, busy, or refuses it, or the root does not fit. Once it has begun a machine that is
/// lost is no error, nor is a signal: then [`Summary::complete`] is false.
pub fn coordinate(asked: &Asked, progress: &Progress) -> Result<Summary> {
    names(&asked.on)?;
    let workload = Dataset::expect(&asked.workload, Kind::Workload)?;
    let token = Token::read(&asked.token, Purpose::Replays)?;
    let certificates = asked.certificates.as_deref().map(Certificates::read).transpose()?;
    let _place = fleet::Place::begin(&asked.out)?;
    let edges = read::builder(&workload.table(Table::Edges), &[])?.rows() as u64;
    let ops = read::builder(&workload.table(Table::Ops), &[])?.rows() as u64;
    let runtime = runtime()?;
    let mut servers = Servers::gather(&runtime, asked, &token, certificates.as_ref())?;
    servers.send(&workload, asked, progress)?;
    progress.begin("replay", Unit::Count, 0);
    servers.ready()?;
    let offsets = servers.start()?;
    // From here on runs may exist, so a signal ends the replay in order.
    let _held = signal::hold();
    let ends = servers.replay(&asked.out, ROOM.saturating_add(ops.saturating_mul(ROOM_OF_OP)), &offsets)?;
    let signal = servers.signal;
    runtime.shutdown_background();
    Ok(Summary::new(asked.out.clone(), ends, edges, asked.manner.min_match, signal))
}

/// Refuses names that are no addresses, or stand twice: the runs are named after them.
fn names(on: &[String]) -> Result<()> {
    ensure!((1..=MACHINES).contains(&on.len()), "{} machines are named, and there may be 1 to {MACHINES}", on.len());
    let plain = |name: &str| name.chars().all(|c| c.is_ascii_alphanumeric() || ".:-_[]".contains(c)) && name.len() < 200;
    if let Some(odd) = on.iter().find(|name| !plain(name) || !name.contains(':')) {
        bail!("{odd:?} is no HOST:PORT");
    }
    ensure!(on.iter().collect::<BTreeSet<_>>().len() == on.len(), "a machine is named twice with --on");
    Ok(())
}

/// What is heard of a machine.
enum Event {
    /// It said this, at this time on our CLOCK_MONOTONIC, ns.
    Said(Body, i64),
    /// It is gone, and why.
    Gone(String),
}

/// The servers of a replay.
struct Servers<'r> {
    runtime: &'r Runtime,
    names: Vec<String>,
    say: Vec<Sender<Message>>,
    events: Receiver<(usize, Event)>,
    /// Events that came while something else was waited for.
    backlog: VecDeque<(usize, Event)>,
    hub: Hub,
    signal: Option<Signal>,
}

impl<'r> Servers<'r> {
    /// Connects to all, and waits until each has said hello.
    fn gather(runtime: &'r Runtime, asked: &Asked, token: &Token, certificates: Option<&Certificates>) -> Result<Servers<'r>> {
        let (tell, events) = mpsc::channel(QUEUE);
        let say = asked.on.iter().cloned().enumerate().map(|(machine, address)| {
            let (say, said) = mpsc::channel(QUEUE);
            let (token, certificates, tell) = (token.clone(), certificates.cloned(), tell.clone());
            runtime.spawn(async move {
                let talked = talk(machine, &address, certificates, token, said, &tell).await;
                let why = talked.err().map_or("it has ended the connection".into(), |error| format!("{error:#}"));
                let _ = tell.send((machine, Event::Gone(why))).await;
            });
            say
        });
        let say: Vec<_> = say.collect();
        let (names, hub) = (asked.on.clone(), Hub::new(asked.on.len()));
        let mut servers = Servers { runtime, names, say, events, backlog: VecDeque::new(), hub, signal: None };
        let began = Instant::now();
        servers.each(
            |body| match body {
                Body::Hello(VERSION) => Ok(true),
                Body::Hello(other) => bail!("it speaks version {other}, and this program version {VERSION}"),
                _ => bail!("it is no server of replays"),
            },
            Some(began + PATIENCE),
        )?;
        Ok(servers)
    }

    /// The next event; `None` when none came for a moment.
    fn next(&mut self) -> Option<(usize, Event)> {
        self.backlog.pop_front().or_else(|| self.fresh())
    }

    fn fresh(&mut self) -> Option<(usize, Event)> {
        let events = &mut self.events;
        self.runtime.block_on(async { tokio::time::timeout(LOOK, events.recv()).await.ok().flatten() })
    }

    fn error(&self, machine: usize, why: impl std::fmt::Display) -> anyhow::Error {
        anyhow!("{}: {why}", self.names[machine])
    }

    /// Waits until each machine has said what is waited for.
    fn each(&mut self, mut heard: impl FnMut(Body) -> Result<bool>, until: Option<Instant>) -> Result<()> {
        let mut left: BTreeSet<usize> = (0..self.names.len()).collect();
        while !left.is_empty() {
            self.ask()?;
            match self.next() {
                Some((machine, Event::Gone(why))) => return Err(self.error(machine, why)),
                Some((machine, Event::Said(Body::Failed(why), _))) => return Err(self.error(machine, why)),
                Some((machine, Event::Said(body, _))) => {
                    if heard(body).map_err(|error| self.error(machine, error))? {
                        left.remove(&machine);
                    }
                }
                None => {
                    if let Some(machine) = left.first().filter(|_| until.is_some_and(|until| Instant::now() > until)) {
                        return Err(self.error(*machine, "it does not answer"));
                    }
                }
            }
        }
        Ok(())
    }

    /// Gives up when a signal came before the start.
    fn ask(&self) -> Result<()> {
        signal::asked().map_or(Ok(()), |signal| bail!("ended by {} before the start: there is no run", signal.name()))
    }

    /// Sends all the workload, side by side, and waits until they have it.
    fn send(&mut self, workload: &Dataset, asked: &Asked, progress: &Progress) -> Result<()> {
        progress.begin("send the workload", Unit::Bytes, 0);
        let sent = std::thread::scope(|scope| {
            let threads: Vec<_> = self
                .say
                .iter()
                .enumerate()
                .map(|(number, say)| {
                    let (names, root, manner) = (self.names.clone(), asked.root.clone(), asked.manner);
                    scope.spawn(move || {
                        let text = serde_json::to_vec(&message::Asked { version: VERSION, number, names, root, manner })?;
                        let say = |message: Message| say.blocking_send(message).context("it is gone");
                        say(Body::Begin(text).into())?;
                        parcel::send(workload, |message| {
                            if let Some(Body::Piece(bytes)) = &message.body {
                                progress.add(bytes.len() as u64);
                            }
                            say(message)
                        })
                    })
                })
                .collect();
            threads.into_iter().map(|thread| thread.join().unwrap_or_else(|_| bail!("it panicked"))).collect::<Vec<Result<()>>>()
        });
        // Who refuses it says why, and that is what counts.
        let whole = |body| match body {
            Body::Whole(_) => Ok(true),
            _ => bail!("it says something else than that it has the workload"),
        };
        self.each(whole, None)?;
        sent.into_iter().enumerate().try_for_each(|(machine, sent)| sent.map_err(|error| self.error(machine, error)))
    }

    /// Lets the first machine check and lock the root, then the others come in, and waits until all are ready.
    fn ready(&mut self) -> Result<()> {
        let machines = self.names.len();
        self.tell(0, Body::Go(true));
        let mut ready = 0;
        while ready < machines {
            self.ask()?;
            match self.next() {
                None => {}
                Some((machine, Event::Gone(why))) => return Err(self.error(machine, why)),
                Some((machine, Event::Said(Body::Failed(why), _))) => return Err(self.error(machine, why)),
                // It looks at a large tree.
                Some((_, Event::Said(Body::Pong(_), _))) => {}
                // Its replay has ended: it says why next.
                Some((machine, Event::Said(Body::Go(_), _))) => self.tell(machine, Body::Go(true)),
                // Its replay has ended early: it says why next.
                Some((_, Event::Said(Body::Frames(bytes), _))) if bytes.ends_with(&Frame::Failed.bytes()) => {}
                Some((machine, Event::Said(Body::Frames(bytes), _))) => {
                    let whole = bytes.as_slice() == Frame::Ready.bytes() && (machine == 0 || ready > 0);
                    ensure!(whole, "{} says something else than that it is ready", self.names[machine]);
                    if self.hub.hear(machine, Frame::Ready, |_, _| {}) == News::Lost {
                        return Err(self.error(machine, "it is ready twice"));
                    }
                    ready += 1;
                    if machine == 0 {
                        (1..machines).for_each(|machine| self.tell(machine, Body::Go(true)));
                    }
                }
                Some((machine, Event::Said(..))) => {
                    return Err(self.error(machine, "it says something else than that it is ready"));
                }
            }
        }
        Ok(())
    }

    /// Who is gone is heard of as an event; who takes nothing any more, too.
    fn tell(&mut self, machine: usize, body: Body) {
        let say = &self.say[machine];
        let late = self.runtime.block_on(async { tokio::time::timeout(PATIENCE, say.send(body.into())).await.is_err() });
        if late {
            self.leave(machine);
            self.backlog.push_back((machine, Event::Gone("it takes nothing any more".into())));
        }
    }

    /// Says nothing to a machine from now on, which ends the replay there.
    fn leave(&mut self, machine: usize) {
        self.say[machine] = mpsc::channel(1).0;
    }

    /// Measures how the clock of a machine stands to ours; `None` when it does not answer.
    fn measure(&mut self, machine: usize) -> Option<Offset> {
        let mut trips = Vec::with_capacity(TRIPS);
        for number in 0..TRIPS as i64 {
            let began = Instant::now();
            let sent = now();
            self.tell(machine, Body::Ping(number));
            loop {
                match self.fresh() {
                    Some((from, Event::Said(Body::Pong(pong), came))) if from == machine && pong.ping == number => {
                        trips.push([sent, pong.clock, came]);
                        break;
                    }
                    // The answer to an earlier ping came late.
                    Some((from, Event::Said(Body::Pong(_), _))) if from == machine => {}
                    Some((from, event)) => {
                        let gone = from == machine && matches!(event, Event::Gone(_));
                        self.backlog.push_back((from, event));
                        if gone || self.backlog.len() > BACKLOG {
                            return None;
                        }
                    }
                    None if began.elapsed() > PATIENCE => return None,
                    None => {}
                }
            }
        }
        Offset::of(&trips)
    }

    /// Measures all clocks and gives the start.
    fn start(&mut self) -> Result<Vec<Offset>> {
        let mut offsets = Vec::new();
        for machine in 0..self.names.len() {
            let offset = self.measure(machine);
            offsets.push(offset.with_context(|| format!("{}: it does not tell the time", self.names[machine]))?);
        }
        let longest = offsets.iter().map(|offset| offset.error).max().unwrap_or(0);
        let start = now().saturating_add(LEAD).saturating_add(longest.saturating_mul(4));
        for (machine, offset) in offsets.iter().enumerate() {
            self.tell(machine, Body::Frames(Frame::Start { at: start.saturating_add(offset.ns) }.bytes().to_vec()));
        }
        Ok(offsets)
    }

    /// Passes frames on until all machines have ended, and takes their runs.
    fn replay(&mut self, out: &Path, room: u64, offsets: &[Offset]) -> Result<Vec<Machine>> {
        let mut guests: Vec<Guest> = self.names.iter().map(|name| Guest::new(out.join(fleet::dataset(name)), room)).collect();
        let mut ends: Option<Vec<Option<Offset>>> = None;
        while guests.iter().any(|guest| guest.end.is_none()) {
            if self.signal.is_none()
                && let Some(signal) = signal::asked()
            {
                self.signal = Some(signal);
                guests.iter_mut().for_each(Guest::hear);
                let stop = Body::Frames(Frame::Lost { machine: u32::MAX }.bytes().to_vec());
                (0..guests.len()).filter(|machine| guests[*machine].replays).for_each(|machine| self.tell(machine, stop.clone()));
            }
            let event = self.next();
            for machine in self.late(&guests) {
                self.lose(machine, &mut guests, "it does not end".into());
            }
            let Some((machine, event)) = event else { continue };
            let body = match event {
                Event::Gone(why) => {
                    self.lose(machine, &mut guests, why);
                    continue;
                }
                Event::Said(body, _) => body,
            };
            match body {
                Body::Frames(bytes) => match self.pass(machine, &bytes, &mut guests) {
                    News::AllDone => ends = Some((0..guests.len()).map(|machine| self.measure(machine)).collect()),
                    News::Lost => self.lose(machine, &mut guests, "it says what no worker does".into()),
                    News::Nothing | News::AllReady | News::Ended => {}
                },
                Body::Go(_) => {
                    // All that it had to say of its ops it has said. If that was not the end, others wait in vain.
                    self.tell(machine, Body::Go(true));
                    guests[machine].replays = false;
                    if ends.is_none() {
                        self.hub_lose(machine, &guests);
                    }
                }
                Body::Failed(why) => self.lose(machine, &mut guests, why),
                // It is busy with what takes long. That does not count once it is to end.
                Body::Pong(_) if self.signal.is_none() => guests[machine].hear(),
                Body::Pong(_) => {}
                body => {
                    let clock = json!({ "before": offsets[machine], "after": ends.as_ref().and_then(|ends| ends[machine]) });
                    if let Err(error) = guests[machine].take(&self.names[machine], body, clock) {
                        self.lose(machine, &mut guests, format!("{error:#}"));
                    }
                }
            }
        }
        let ended = guests.into_iter().zip(&self.names).zip(offsets).enumerate();
        Ok(ended
            .map(|(number, ((guest, name), before))| {
                let machine = guest.end.unwrap_or_else(|| Machine::lost(name, "it said nothing".into()));
                Machine { clock: Some(*before), clock_end: ends.as_ref().and_then(|ends| ends[number]), ..machine }
            })
            .collect())
    }

    /// The machines that should have ended: after the first one, where they say nothing; after a signal, whatever they say but their
    /// run; at once after a second one.
    fn late(&self, guests: &[Guest]) -> Vec<usize> {
        let patience = match self.signal {
            Some(_) if signal::came() > 1 => Duration::ZERO,
            Some(_) => SILENCE,
            None if guests.iter().any(|guest| guest.end.is_some()) => SILENCE,
            None => return Vec::new(),
        };
        let waits = |machine: &usize| guests[*machine].end.is_none() && guests[*machine].silence() >= patience;
        (0..guests.len()).filter(waits).collect()
    }

    /// Hands frames of a machine to the others, all of a message together.
    fn pass(&mut self, machine: usize, bytes: &[u8], guests: &mut [Guest]) -> News {
        let mut outs = vec![Vec::new(); guests.len()];
        let (frames, rest) = bytes.as_chunks::<BYTES>();
        let mut news = News::Nothing;
        for frame in frames {
            let heard = match Frame::parse(frame) {
                Ok(frame) => self.hub.hear(machine, frame, |to, frame| outs[to].extend(frame.bytes())),
                Err(_) => News::Lost,
            };
            if heard != News::Nothing {
                news = heard;
            }
        }
        if !rest.is_empty() || news == News::Lost {
            self.hub.lose(machine, |to, frame| outs[to].extend(frame.bytes()));
            news = News::Lost;
        }
        for (to, bytes) in outs.into_iter().enumerate().filter(|(to, bytes)| !bytes.is_empty() && guests[*to].replays) {
            self.tell(to, Body::Frames(bytes));
        }
        news
    }

    fn hub_lose(&mut self, machine: usize, guests: &[Guest]) {
        let mut told = Vec::new();
        self.hub.lose(machine, |to, frame| told.push((to, frame)));
        for (to, frame) in told.into_iter().filter(|(to, _)| guests[*to].replays) {
            self.tell(to, Body::Frames(frame.bytes().to_vec()));
        }
    }

    /// Notes that a machine gives no run any more, and tells the others.
    fn lose(&mut self, machine: usize, guests: &mut [Guest], why: String) {
        guests[machine].lose(&self.names[machine], why);
        self.leave(machine);
        self.hub_lose(machine, guests);
    }
}

/// Talks to one server until one of both ends it.
async fn talk(
    machine: usize,
    address: &str,
    certificates: Option<Certificates>,
    token: Token,
    mut said: Receiver<Message>,
    tell: &Sender<(usize, Event)>,
) -> Result<()> {
    let channel = access::connect(address, certificates.as_ref()).await?;
    let mut grpc = Grpc::new(channel).max_decoding_message_size(LARGEST);
    grpc.ready().await.context("the connection is lost")?;
    let mut request = Request::new(poll_fn(move |task| said.poll_recv(task)));
    access::show(&token, request.metadata_mut())?;
    let codec = ProstCodec::<Message, Message>::default();
    let refused = |status: Status| match status.code() {
        Code::Unauthenticated | Code::ResourceExhausted | Code::Unimplemented => anyhow!("{}", status.message()),
        _ => anyhow!("the connection is lost ({})", status.message()),
    };
    let answer = grpc.streaming(request, PathAndQuery::from_static(CALL), codec).await.map_err(refused)?;
    let mut stream = answer.into_inner();
    while let Some(message) = stream.message().await.map_err(refused)? {
        let body = message.body.context("it says nothing that this version knows")?;
        if tell.send((machine, Event::Said(body, now()))).await.is_err() {
            break;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests;
