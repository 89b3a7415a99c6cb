//! An executor: fetches tasks from the scheduler, computes them, and keeps their rows for whoever comes next.

use super::codec::Codec;
use super::flight::Rows;
use super::link::{Exposure, Link, MESSAGE, Secrets};
use super::scan::Allowed;
use super::task::{CheckedEngine, Pace};
use super::{HEARTBEAT, PATIENCE, serve, session};
use crate::engine::setup;
use crate::files::{self, Dir, Lock};
use crate::peers::Arrivals;
use crate::process::signal::{self, Signal};
use anyhow::{Context, Result, bail, ensure};
use arrow_flight::flight_service_server::FlightServiceServer;
use ballista_core::registry::BallistaFunctionRegistry;
use ballista_core::serde::protobuf::executor_resource::Resource;
use ballista_core::serde::protobuf::executor_status::Status as State;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    ExecutorOperatingSystemSpecification, ExecutorRegistration, ExecutorResource, ExecutorSpecification, ExecutorStatus,
    ExecutorStoppedParams, HeartBeatParams,
};
use ballista_core::serde::{BallistaCodec, BallistaLogicalExtensionCodec};
use ballista_core::{BALLISTA_PROTOCOL_VERSION, ids::new_instance_id};
use ballista_executor::execution_loop::poll_loop;
use ballista_executor::executor::Executor as Inner;
use ballista_executor::flight_service::BallistaFlightService;
use ballista_executor::health::ExecutorHealth;
use ballista_executor::metrics::LoggingMetricsCollector;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::Code;
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Channel;

/// How often it is looked whether a signal came.
const LOOK: Duration = Duration::from_millis(50);
/// What the names of the directories for rows begin with.
const NAME: &str = "ioriot-executor-";

/// What an executor is told.
#[derive(Clone, Debug)]
pub struct Executor {
    /// `HOST:PORT` of the scheduler.
    pub scheduler: String,
    /// Address and port at which others fetch rows; port 0: any free one.
    pub bind: SocketAddr,
    /// Directories below which it may read.
    pub allow: Vec<PathBuf>,
    /// Number of tasks that it runs at once; `None`: one per processor.
    pub slots: Option<usize>,
    /// Bytes that all its tasks together hold in memory before they spill.
    pub memory: u64,
    /// What all of the cluster have.
    pub secrets: Secrets,
    /// Whom it serves.
    pub exposure: Exposure,
}

/// Runs an executor until a signal comes, which is returned. `ready` is called with the address that it listens at, once the
/// scheduler knows it.
///
/// # Errors
/// When a directory cannot be read, the scheduler does not answer or refuses the token, or it cannot listen there, or may not.
pub fn execute(told: &Executor, ready: impl FnOnce(SocketAddr) -> Result<()> + Send) -> Result<Signal> {
    ensure!(!told.allow.is_empty(), "name the directories that it may read: --allow DIR");
    let link = Link::by(&told.secrets)?;
    link.may_serve(told.bind, told.exposure)?;
    let allowed = Arc::new(Allowed::new(&told.allow)?);
    let slots = told.slots.unwrap_or_else(setup::processors);
    let rows = Directory::make(&std::env::temp_dir())?;
    // A signal ends it in order: the scheduler is told, and the directory removed.
    let _held = signal::hold();
    // Tasks have threads of their own, so that heartbeats do not wait for them; Ballista's have a stack that a deep plan overflows.
    let threads = setup::start(slots)?;
    let done = serve(setup::processors().max(2), async {
        let arrivals = Arrivals::at(told.bind).await?;
        let at = arrivals.address()?;
        let me = registration(at, slots);
        let channel = link.connect(&told.scheduler, PATIENCE).await.context("the scheduler cannot be asked")?;
        let client = SchedulerGrpcClient::new(channel).max_encoding_message_size(MESSAGE).max_decoding_message_size(MESSAGE);
        let mut speaker = Speaker { client: client.clone(), me: me.clone(), silent: None };
        if let Err(status) = speaker.say(State::Active(String::new())).await {
            bail!("the scheduler at {} does not take this executor: {}", told.scheduler, status.message());
        }
        let path = rows.path.to_str().context("the directory for temporary files has a name that is no UTF-8")?;
        let served = FlightServiceServer::new(Rows(BallistaFlightService::new(path.to_owned())));
        let served = served.max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE);
        let server = link.server()?.add_service(InterceptedService::new(served, link.clone()));
        let server = tokio::spawn(server.serve_with_incoming(arrivals.stream()));
        let codec = BallistaCodec::<LogicalPlanNode, PhysicalPlanNode>::new(
            Arc::new(BallistaLogicalExtensionCodec::default()),
            Arc::new(Codec::default()),
        );
        let pace = Arc::new(Pace::default());
        let engine = CheckedEngine::new(allowed, threads.handle().clone(), Arc::clone(&pace), client.clone());
        let inner = Arc::new(inner(me, path, slots, told, &link, engine)?);
        let tasks = tokio::spawn(poll_loop(client, inner, codec, Some(pace.ask()), None, ExecutorHealth::new()));
        tokio::spawn(async move { pace.keep().await });
        ready(at)?;
        let signal = loop {
            if let Some(signal) = signal::asked() {
                break signal;
            }
            ensure!(!server.is_finished(), "the executor does not listen any more");
            ensure!(!tasks.is_finished(), "the executor fetches no tasks any more");
            speaker.beat().await;
            tokio::time::sleep(LOOK).await;
        };
        tasks.abort();
        speaker.leave(signal).await;
        Ok(signal)
    });
    threads.shutdown_background();
    done
}

/// Ballista's executor, with our session and a look at what it is to compute.
fn inner(
    me: ExecutorRegistration,
    rows: &str,
    slots: usize,
    told: &Executor,
    link: &Link,
    engine: CheckedEngine,
) -> Result<Inner> {
    let (config, runtime) = (session::config(told.memory, link)?, session::runtime(told.memory, None)?);
    let functions = BallistaFunctionRegistry::from(&session::state(config.clone(), Arc::clone(&runtime)));
    Ok(Inner::new(
        me,
        rows,
        Arc::new(move |_| Ok(Arc::clone(&runtime))),
        Arc::new(move || config.clone()),
        Arc::new(functions),
        Arc::new(LoggingMetricsCollector::default()),
        slots,
        Arc::new(engine),
    ))
}

fn registration(at: SocketAddr, slots: usize) -> ExecutorRegistration {
    let slots = Some(Resource::Vcores(u32::try_from(slots).unwrap_or(u32::MAX)));
    ExecutorRegistration {
        id: new_instance_id(),
        host: Some(if at.is_ipv6() { format!("[{}]", at.ip()) } else { at.ip().to_string() }),
        port: at.port().into(),
        grpc_port: at.port().into(),
        specification: Some(ExecutorSpecification { resources: vec![ExecutorResource { resource: slots }] }),
        os_info: Some(ExecutorOperatingSystemSpecification { system_name: "Linux".into(), ..Default::default() }),
        ballista_protocol_version: BALLISTA_PROTOCOL_VERSION,
    }
}

/// Tells the scheduler that the executor is there.
struct Speaker {
    client: SchedulerGrpcClient<Channel>,
    me: ExecutorRegistration,
    /// When it spoke last.
    silent: Option<Instant>,
}

impl Speaker {
    async fn say(&mut self, state: State) -> std::result::Result<(), tonic::Status> {
        self.silent = Some(Instant::now());
        let status = Some(ExecutorStatus { status: Some(state) });
        let metadata = Some(self.me.clone());
        let said = HeartBeatParams { executor_id: self.me.id.clone(), metrics: Vec::new(), status, metadata };
        self.client.heart_beat_from_executor(said).await.map(drop)
    }

    /// Says so when it is time.
    async fn beat(&mut self) {
        if self.silent.is_some_and(|since| since.elapsed() < HEARTBEAT) {
            return;
        }
        match self.say(State::Active(String::new())).await {
            Err(status) if status.code() == Code::Unauthenticated => log::error!("{}", status.message()),
            Err(status) => log::warn!("the scheduler does not answer: {}", status.message()),
            Ok(()) => {}
        }
    }

    /// Says that it is going.
    async fn leave(&mut self, signal: Signal) {
        let said = ExecutorStoppedParams { executor_id: self.me.id.clone(), reason: format!("ended by {}", signal.name()) };
        // Where the scheduler does not answer, it will notice.
        let _ = tokio::time::timeout(HEARTBEAT, self.client.executor_stopped(said)).await;
    }
}

/// The directory for the rows of jobs. It is locked, and removed when it is dropped; what others have left that were killed is removed
/// too.
struct Directory {
    path: PathBuf,
    above: Dir,
    name: String,
    _lock: Lock,
}

impl Directory {
    fn make(above: &Path) -> Result<Directory> {
        let cannot = || format!("cannot keep rows in {}", above.display());
        let dir = Dir::open(above).with_context(cannot)?;
        for (left, _) in dir.entries().with_context(cannot)? {
            if left.to_string_lossy().starts_with(NAME) {
                remove(&dir, &left.to_string_lossy());
            }
        }
        let name = format!("{NAME}{}", new_instance_id());
        let made = dir.make(&name, 0o700).with_context(cannot)?;
        let lock = Lock::alone(&made)?;
        let path = above.canonicalize().with_context(cannot)?.join(&name);
        Ok(Directory { path, above: dir, name, _lock: lock })
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        if let Ok(id) = self.above.dir(&self.name).and_then(files::Id::of_open) {
            let _ = files::remove_tree(&self.above, &self.name, id);
        }
    }
}

/// Removes the directory of an executor that is no more, if it is ours: what cannot be removed stays.
fn remove(above: &Dir, name: &str) {
    let Ok(dir) = above.dir(name) else { return };
    let ours = dir.stat().is_ok_and(|stat| stat.st_uid == files::us());
    if ours
        && let Ok(id) = files::Id::of_open(&dir)
        && Lock::alone(&dir).is_ok()
    {
        let _ = files::remove_tree(above, name, id);
    }
}
