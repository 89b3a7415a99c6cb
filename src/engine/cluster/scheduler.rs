//! The scheduler: one for a cluster.

use super::codec::Codec;
use super::guard::{Guard, Inner};
use super::link::{Exposure, Link, MESSAGE, Secrets};
use super::{LOST, serve, session};
use crate::engine::{MEMORY, setup};
use crate::peers::Arrivals;
use anyhow::{Context, Result};
use ballista_core::config::TaskSchedulingPolicy;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpcServer;
use ballista_scheduler::cluster::BallistaCluster;
use ballista_scheduler::config::SchedulerConfig;
use ballista_scheduler::scheduler_process::create_scheduler;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::Notify;
use tonic::service::interceptor::InterceptedService;

/// Seconds for which the executors keep rows of a query that nobody has fetched.
const KEEP: u64 = 60;
/// Seconds after which Ballista forgets an executor. Its jobs are stopped long before: it would compute a part of them again, and counts
/// rows twice ([`Guard`]).
const FORGET: u64 = 3 * LOST.as_secs();
/// Seconds for which the scheduler knows a query that is over.
const KNOW: u64 = 300;

/// What a scheduler is told.
#[derive(Clone, Debug)]
pub struct Scheduler {
    /// Address and port to listen at.
    pub bind: SocketAddr,
    /// What all of the cluster have.
    pub secrets: Secrets,
    /// Whom it serves.
    pub exposure: Exposure,
}

/// Runs a scheduler. `ready` is called with the address that it listens at.
///
/// # Errors
/// When it cannot listen there, or may not.
pub fn schedule(told: &Scheduler, ready: impl FnOnce(SocketAddr) -> Result<()> + Send) -> Result<()> {
    let link = Link::by(&told.secrets)?;
    link.may_serve(told.bind, told.exposure)?;
    serve(setup::processors(), async {
        let arrivals = Arrivals::at(told.bind).await?;
        let at = arrivals.address()?;
        let work = Arc::new(Notify::new());
        let guard = Arc::new(Guard::new(
            inner(&link, Arc::clone(&work)).await?,
            work,
            session::context(session::config(MEMORY, &link)?, session::runtime(MEMORY, None)?),
        ));
        tokio::spawn(Arc::clone(&guard).watch());
        let service = SchedulerGrpcServer::from_arc(guard).max_decoding_message_size(MESSAGE).max_encoding_message_size(MESSAGE);
        ready(at)?;
        let server = link.server()?.add_service(InterceptedService::new(service, link.clone()));
        server.serve_with_incoming(arrivals.stream()).await.context("the scheduler has stopped")
    })
}

/// Ballista's scheduler, with our session and our codec. It wakes up `work` when it has tasks.
async fn inner(link: &Link, work: Arc<Notify>) -> Result<Inner> {
    let (config, runtime) = (session::config(MEMORY, link)?, session::runtime(MEMORY, None)?);
    let told = Arc::new(SchedulerConfig {
        scheduling_policy: TaskSchedulingPolicy::PullStaged,
        executor_timeout_seconds: FORGET,
        expire_dead_executor_interval_seconds: 1,
        no_executors_grace_period_seconds: FORGET,
        finished_job_data_clean_up_interval_seconds: KEEP,
        finished_job_state_clean_up_interval_seconds: KNOW,
        grpc_server_max_decoding_message_size: MESSAGE as u32,
        grpc_server_max_encoding_message_size: MESSAGE as u32,
        override_physical_codec: Some(Arc::new(Codec::default())),
        override_config_producer: Some(Arc::new(move || config.clone())),
        override_session_builder: Some(Arc::new(move |config| Ok(session::state(config, Arc::clone(&runtime))))),
        override_create_grpc_client_endpoint: Some(link.endpoints()),
        on_work_available: Some(Arc::new(move |_| work.notify_waiters())),
        ..SchedulerConfig::default()
    });
    told.validate()?;
    Ok(create_scheduler(BallistaCluster::new_from_config(&told).await?, told).await?)
}
