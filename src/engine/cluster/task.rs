//! A task of an executor: looked at before it runs, run on threads of ours, and stopped when its query is over.

use super::HEARTBEAT;
use super::check::{Side, check, is_job};
use super::guard::EXECUTOR;
use super::scan::{Allowed, bind};
use crate::engine::optimizer::skip::show;
use async_trait::async_trait;
use ballista_core::JobId;
use ballista_core::serde::protobuf::job_status::Status as Job;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    GetJobStatusParams, RuntimeStatsReport, ShuffleWritePartition, TaskColumnStats, WindowStateReport,
};
use ballista_executor::execution_engine::{DefaultExecutionEngine, ExecutionEngine, QueryStageExecutor};
use datafusion::common::{Result, exec_datafusion_err, exec_err, plan_err};
use datafusion::execution::TaskContext;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::MetricsSet;
use datafusion::prelude::SessionConfig;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tonic::Request;
use tonic::metadata::MetadataValue;
use tonic::transport::Channel;

/// Interval between two questions for tasks: the shortest, and the longest.
const ASK: [Duration; 2] = [Duration::from_millis(2), Duration::from_millis(50)];

/// How often an executor asks for tasks and says which are done: the sooner, the less time has gone by since one began or ended.
pub struct Pace {
    last: Mutex<Instant>,
    ask: Arc<Notify>,
}

impl Default for Pace {
    fn default() -> Pace {
        Pace { last: Mutex::new(Instant::now()), ask: Arc::default() }
    }
}

impl Pace {
    /// What wakes up who asks.
    pub fn ask(&self) -> Arc<Notify> {
        Arc::clone(&self.ask)
    }

    /// A task begins or ends.
    fn changed(&self) {
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = Instant::now();
    }

    /// Has it asked again and again. Of the time that a task takes, an eighth is added at most before its end is known.
    pub async fn keep(&self) {
        loop {
            let since = self.last.lock().unwrap_or_else(PoisonError::into_inner).elapsed();
            tokio::time::sleep((since / 8).clamp(ASK[0], ASK[1])).await;
            self.ask.notify_one();
        }
    }
}

/// Makes tasks only of plans that were looked at, over files that were checked.
pub struct CheckedEngine {
    inner: DefaultExecutionEngine,
    allowed: Arc<Allowed>,
    threads: Handle,
    pace: Arc<Pace>,
    scheduler: SchedulerGrpcClient<Channel>,
}

impl CheckedEngine {
    /// Runs tasks on these threads, over files that are allowed.
    pub fn new(
        allowed: Arc<Allowed>,
        threads: Handle,
        pace: Arc<Pace>,
        scheduler: SchedulerGrpcClient<Channel>,
    ) -> CheckedEngine {
        CheckedEngine { inner: DefaultExecutionEngine::new(), allowed, threads, pace, scheduler }
    }
}

impl ExecutionEngine for CheckedEngine {
    fn create_query_stage_exec(
        &self,
        job: JobId,
        stage: usize,
        task: usize,
        partitions: Vec<usize>,
        plan: Arc<dyn ExecutionPlan>,
        rows: &str,
        config: &SessionConfig,
    ) -> Result<Arc<dyn QueryStageExecutor>> {
        if !is_job(job.as_str()) {
            return plan_err!("that is no name of a job");
        }
        check(&plan, Side::Executor)?;
        let plan = bind(show(plan)?, &self.allowed)?;
        let inner = self.inner.create_query_stage_exec(job.clone(), stage, task, partitions, plan, rows, config)?;
        let (threads, pace, scheduler) = (self.threads.clone(), Arc::clone(&self.pace), self.scheduler.clone());
        Ok(Arc::new(Task { inner, job: job.as_str().to_owned(), threads, pace, scheduler }))
    }
}

/// A task as Ballista made it, run on other threads.
struct Task {
    inner: Arc<dyn QueryStageExecutor>,
    job: String,
    threads: Handle,
    pace: Arc<Pace>,
    scheduler: SchedulerGrpcClient<Channel>,
}

impl Task {
    /// Waits until the query is over or nobody knows it. The scheduler has no other way to stop a task: it connects to nobody.
    async fn over(&self) {
        let mut scheduler = self.scheduler.clone();
        loop {
            tokio::time::sleep(HEARTBEAT).await;
            let mut request = Request::new(GetJobStatusParams { job_id: self.job.clone() });
            request.metadata_mut().insert(EXECUTOR, MetadataValue::from_static("1"));
            // While the scheduler does not answer, it may still want the rows.
            if let Ok(answer) = scheduler.get_job_status(request).await
                && !matches!(answer.into_inner().status.and_then(|job| job.status), Some(Job::Queued(_) | Job::Running(_)))
            {
                return;
            }
        }
    }
}

#[async_trait]
impl QueryStageExecutor for Task {
    async fn execute_query_stage(&self, task: usize, context: Arc<TaskContext>) -> Result<Vec<ShuffleWritePartition>> {
        self.pace.changed();
        let inner = Arc::clone(&self.inner);
        // What is in the set ends with it.
        let mut running = JoinSet::new();
        running.spawn_on(async move { inner.execute_query_stage(task, context).await }, &self.threads);
        let done = tokio::select! {
            done = running.join_next() => done,
            () = self.over() => return exec_err!("the query is over"),
        };
        self.pace.changed();
        done.ok_or_else(|| exec_datafusion_err!("there is no task"))?
            .map_err(|error| exec_datafusion_err!("a task has failed: {error}"))?
    }

    fn collect_plan_metrics(&self) -> Vec<MetricsSet> {
        self.inner.collect_plan_metrics()
    }

    fn collect_runtime_stats_reports(&self) -> Vec<RuntimeStatsReport> {
        self.inner.collect_runtime_stats_reports()
    }

    fn collect_window_state_reports(&self) -> Result<Vec<WindowStateReport>> {
        self.inner.collect_window_state_reports()
    }

    fn collect_column_stats(&self) -> Vec<TaskColumnStats> {
        self.inner.collect_column_stats()
    }
}

impl fmt::Debug for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.inner.fmt(f)
    }
}

impl fmt::Display for Task {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.inner, f)
    }
}
