//! The server: takes one replay at a time.

use super::access::{self, ANSWER, ASK, WINDOW};
use super::message::{Body, CALL, LARGEST, Message, SERVICE, VERSION};
use super::session::{self, Place, Talk, pong};
use super::spool::Spool;
use super::{clock::Clock, runtime};
use crate::peers::{Arrivals, Certificates, Purpose, Token};
use crate::process::panics;
use crate::process::signal::{self, Signal};
use anyhow::{Result, ensure};
use futures::Stream;
use futures::stream::poll_fn;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::time::Duration;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tonic::codegen::{BoxFuture, Context as Task, Poll, Service, http};
use tonic::server::{Grpc, NamedService, StreamingService};
use tonic::transport::Server as Transport;
use tonic::{Request, Response, Status, Streaming};
use tonic_prost::ProstCodec;

/// How often it is looked whether a signal came.
const LOOK: Duration = Duration::from_millis(50);
/// How long the tasks of connections may take to end.
const LAST: Duration = Duration::from_secs(5);
/// How long a coordinator may take to begin, and from one piece of the workload to the next.
const PATIENCE: Duration = Duration::from_secs(60);
/// Messages that may be under way to or from a replay, of [`super::message::PIECE`] bytes each at most, mostly.
const QUEUE: usize = 16;

/// What a server is told.
#[derive(Clone, Debug)]
pub struct Server {
    /// Address and port at which it listens; port 0: any free one.
    pub bind: SocketAddr,
    /// The roots in which it replays.
    pub roots: Vec<PathBuf>,
    /// Directory for workloads and runs; `None` for that of temporary files.
    pub spool: Option<PathBuf>,
    /// Most bytes of a workload.
    pub limit: u64,
    /// File with the secret that coordinators must know.
    pub token: PathBuf,
    /// Directory with certificates ([`Certificates::read`]), needed where others can come in.
    pub certificates: Option<PathBuf>,
    /// By how much its clock is said to be wrong, for tests: ns, and millionths that it gains.
    pub wrong: (i64, f64),
}

/// Serves until a signal comes, which is returned. `ready` is called with the address that it listens at. `program` is started as the
/// replay process.
///
/// # Errors
/// When it cannot listen there, or may not, or a file that it was told cannot be used.
pub fn serve(told: &Server, program: PathBuf, ready: impl FnOnce(SocketAddr) -> Result<()> + Send) -> Result<Signal> {
    ensure!(!told.roots.is_empty(), "name the trees in which it may replay: --root DIR");
    let certificates = told.certificates.as_deref().map(Certificates::read).transpose()?;
    access::may_listen(told.bind, certificates.as_ref())?;
    let token = Token::read(&told.token, Purpose::Replays)?;
    let spool = Spool::make(&told.spool.clone().unwrap_or_else(std::env::temp_dir))?;
    let clock = Clock::new(told.wrong.0, told.wrong.1);
    let place = Place { roots: told.roots.clone(), spool, limit: told.limit, clock, program };
    // A signal ends it in order: the replay ends early, and the directory is removed.
    let _held = signal::hold();
    let runtime = runtime()?;
    let signal = runtime.block_on(async {
        let mut transport = Transport::builder()
            .http2_keepalive_interval(Some(ASK))
            .http2_keepalive_timeout(Some(ANSWER))
            .initial_stream_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        if let Some(certificates) = &certificates {
            transport = certificates.serve(transport)?;
        }
        let arrivals = Arrivals::at(told.bind).await?;
        let at = arrivals.address()?;
        let busy = AtomicBool::new(false);
        let service = ReplayService(Arc::new(Inside { place, token, busy }));
        let inside = Arc::clone(&service.0);
        let server = tokio::spawn(transport.add_service(service).serve_with_incoming(arrivals.stream()));
        ready(at)?;
        let signal = loop {
            if let Some(signal) = signal::asked() {
                break signal;
            }
            ensure!(!server.is_finished(), "the server does not listen any more");
            tokio::time::sleep(LOOK).await;
        };
        server.abort();
        // A replay that is under way looks at signals, too, and ends soon.
        for _ in 0..100 {
            if !inside.busy.load(SeqCst) {
                break;
            }
            tokio::time::sleep(LOOK).await;
        }
        Ok(signal)
    });
    // What the service holds goes with the last task that knows it, and the directory of the server with it.
    runtime.shutdown_timeout(LAST);
    signal
}

/// What the service holds.
struct Inside {
    place: Place,
    token: Token,
    /// Whether a replay is under way.
    busy: AtomicBool,
}

/// Lets the next replay in when it is dropped.
struct Busy(Arc<Inside>);

impl Busy {
    /// The turn, unless another replay has it.
    fn take(inside: &Arc<Inside>) -> Result<Busy, Status> {
        match inside.busy.swap(true, SeqCst) {
            false => Ok(Busy(Arc::clone(inside))),
            true => Err(Status::resource_exhausted("it is busy with another replay")),
        }
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, SeqCst);
    }
}

/// What a coordinator hears.
type Said = Pin<Box<dyn Stream<Item = Result<Message, Status>> + Send>>;

/// The only call of the service.
#[derive(Clone)]
struct ReplayService(Arc<Inside>);

impl NamedService for ReplayService {
    const NAME: &'static str = SERVICE;
}

impl Service<http::Request<tonic::body::Body>> for ReplayService {
    type Response = http::Response<tonic::body::Body>;
    type Error = Infallible;
    type Future = BoxFuture<Self::Response, Infallible>;

    fn poll_ready(&mut self, _: &mut Task<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: http::Request<tonic::body::Body>) -> Self::Future {
        let service = self.clone();
        Box::pin(async move {
            if request.uri().path() != CALL {
                return Ok(Status::unimplemented("a server of replays does not do that").into_http());
            }
            let mut grpc = Grpc::new(ProstCodec::<Message, Message>::default()).max_decoding_message_size(LARGEST);
            Ok(grpc.streaming(service, request).await)
        })
    }
}

impl StreamingService<Message> for ReplayService {
    type Response = Message;
    type ResponseStream = Said;
    type Future = BoxFuture<Response<Said>, Status>;

    fn call(&mut self, request: Request<Streaming<Message>>) -> Self::Future {
        let inside = Arc::clone(&self.0);
        Box::pin(async move {
            access::demand(&inside.token, &request)?;
            let busy = Busy::take(&inside)?;
            let (say, mut said) = mpsc::channel::<Message>(QUEUE);
            let (hear, heard) = mpsc::channel(QUEUE);
            let hello = say.send(Body::Hello(VERSION).into()).await;
            hello.map_err(|_| Status::internal("it cannot say hello"))?;
            tokio::spawn(listen(request.into_inner(), Arc::clone(&inside), hear, say.clone()));
            let runtime = Handle::current();
            let replay = move || {
                panics::contain_thread();
                session::run(&busy.0.place, Talk { heard, say, runtime, patience: PATIENCE });
            };
            let thread = std::thread::Builder::new().name("session".into()).spawn(replay);
            thread.map_err(|_| Status::resource_exhausted("it cannot start a thread"))?;
            let said: Said = Box::pin(poll_fn(move |task| said.poll_recv(task).map(|message| message.map(Ok))));
            Ok(Response::new(said))
        })
    }
}

/// Hands what a coordinator says to the replay, and tells it the time at once, whatever the replay is at.
async fn listen(mut stream: Streaming<Message>, inside: Arc<Inside>, hear: mpsc::Sender<Message>, say: mpsc::Sender<Message>) {
    // A stream that breaks is a coordinator that is gone.
    while let Ok(Some(message)) = stream.message().await {
        let over = match message.body {
            Some(Body::Ping(ping)) => say.send(pong(&inside.place.clock, ping).into()).await.is_err(),
            _ => hear.send(message).await.is_err(),
        };
        if over {
            break;
        }
    }
}
