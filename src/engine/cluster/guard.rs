//! What a scheduler answers: the calls that our clients and executors make, and no others; plans and options only after a look at
//! them.
//!
//! Executors fetch their tasks, so that the scheduler connects to nobody, and an executor takes tasks from nobody else.

use super::check::{Side, check, is_job};
use super::client::{PARTITIONS, SLOTS};
use super::codec::Codec;
use super::known::{Known, Polled, State};
use crate::process::panics;
use anyhow::{Context, Result};
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::execute_query_result::Result as Queued;
use ballista_core::serde::protobuf::executor_resource::Resource;
use ballista_core::serde::protobuf::failed_task::FailedReason;
use ballista_core::serde::protobuf::job_status::Status as Job;
use ballista_core::serde::protobuf::scheduler_grpc_server::SchedulerGrpc;
use ballista_core::serde::protobuf::{
    CancelJobParams, CancelJobResult, CleanJobDataParams, CleanJobDataResult, CreateUpdateSessionParams,
    CreateUpdateSessionResult, ExecuteQueryParams, ExecuteQueryResult, ExecutionError, ExecutorRegistration,
    ExecutorStoppedParams, ExecutorStoppedResult, FailedJob, GetJobMetricsParams, GetJobMetricsResult, GetJobStatusParams,
    GetJobStatusResult, HeartBeatParams, HeartBeatResult, JobStatus, PollWorkParams, PollWorkResult, RegisterExecutorParams,
    RegisterExecutorResult, RemoveSessionParams, RemoveSessionResult, UpdateTaskStatusParams, UpdateTaskStatusResult,
    task_status,
};
use ballista_scheduler::scheduler_server::SchedulerServer;
use datafusion::prelude::SessionContext;
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::{LogicalPlanNode, PhysicalPlanNode};
use futures::stream::Empty;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use tonic::metadata::MetadataValue;
use tonic::{Request, Response, Status, async_trait};

/// Ballista's scheduler.
pub type Inner = SchedulerServer<LogicalPlanNode, PhysicalPlanNode>;

/// How long a client waits for a first executor.
const WAIT: Duration = Duration::from_secs(3);
/// How often it is looked for jobs whose executors or clients are gone.
const WATCH: Duration = Duration::from_millis(500);
/// Parts of a stage that run side by side, at most.
const MOST: usize = 256;

/// How long an executor without tasks waits for one: while there is no query, and while there are some.
const HOLD: [Duration; 2] = [Duration::from_secs(1), Duration::from_millis(50)];
/// The header by which an executor asks for the state of a job, which keeps no job alive.
pub const EXECUTOR: &str = "ioriot-executor";

/// The header of a state by which a client knows that it may ask the same anew.
pub const AGAIN: &str = "ioriot-again";

/// The calls that are answered.
pub struct Guard {
    inner: Inner,
    /// Woken when there are tasks.
    work: Arc<Notify>,
    /// A session by which plans are read.
    session: SessionContext,
    known: Known,
}

type Answer<T> = std::result::Result<Response<T>, Status>;

fn never<T>() -> Answer<T> {
    Err(Status::unimplemented("a scheduler of ioriot does not do that"))
}

fn named(job: &str) -> std::result::Result<(), Status> {
    if is_job(job) { Ok(()) } else { Err(Status::invalid_argument("that is no name of a job")) }
}

/// The state of a job that has lost an executor, with the word for it that a client knows.
fn lost(job: &str) -> Response<GetJobStatusResult> {
    let failed = FailedJob { error: "an executor was lost".into(), ..FailedJob::default() };
    let status = JobStatus { job_id: job.to_owned(), job_name: String::new(), status: Some(Job::Failed(failed)) };
    let mut answer = Response::new(GetJobStatusResult { status: Some(status), flight_proxy: None });
    answer.metadata_mut().insert(AGAIN, MetadataValue::from_static("1"));
    answer
}

/// What an executor says of itself, if it says all that the scheduler relies on; and how many tasks it runs at once.
fn whole(executor: Option<&ExecutorRegistration>) -> std::result::Result<(String, usize), Status> {
    let said = executor.and_then(|executor| {
        let slots = executor
            .specification
            .as_ref()?
            .resources
            .iter()
            .find_map(|known| known.resource.map(|Resource::Vcores(slots)| slots as usize));
        let there = executor.os_info.is_some() && executor.host.is_some() && u16::try_from(executor.port).is_ok();
        (there && is_job(&executor.id)).then_some((executor.id.clone(), slots?))
    });
    said.ok_or_else(|| Status::invalid_argument("that is no executor of ioriot"))
}

impl Guard {
    /// Before this scheduler, which wakes up `work` when it has tasks.
    pub fn new(inner: Inner, work: Arc<Notify>, session: SessionContext) -> Guard {
        Guard { inner, work, session, known: Known::default() }
    }

    /// How many tasks all executors run at once that are there.
    fn slots(&self) -> usize {
        self.known.slots().min(MOST)
    }

    /// Lets an executor say what became of its tasks, and gives it others.
    ///
    /// Ballista would compute again what is lost, but counts rows twice then: what the other tasks of the same stage have made stays, and
    /// they are run anew (Ballista 55.0, `rollback_running_stage`). So a task that fails for any reason has its job fail, and who asked
    /// may ask again.
    async fn deal(&self, mut polled: PollWorkParams, executor: &str) -> Answer<PollWorkResult> {
        for task in &mut polled.task_status {
            let Some(task_status::Status::Failed(failed)) = &mut task.status else { continue };
            if let Some(FailedReason::FetchPartitionError(_) | FailedReason::ExecutorLost(_) | FailedReason::ResultLost(_)) =
                failed.failed_reason
            {
                self.known.lose(&task.job_id);
            }
            failed.retryable = false;
            failed.failed_reason = Some(FailedReason::ExecutionError(ExecutionError::default()));
        }
        let answer = self.inner.poll_work(Request::new(polled)).await?;
        answer.get_ref().tasks.iter().for_each(|task| self.known.dealt(&task.job_id, executor));
        Ok(answer)
    }

    /// Stops jobs.
    async fn stop(&self, jobs: Vec<String>) {
        for job in jobs {
            if let Err(error) = self.inner.cancel_job(job.into()).await {
                log::warn!("a query goes on that nobody can have: {error}");
            }
        }
    }

    /// Reads a plan that a client submits, and checks it.
    fn look(&self, plan: &[u8]) -> Result<()> {
        panics::contain(|| {
            let node = PhysicalPlanNode::try_decode(plan)?;
            let plan = node.try_into_physical_plan(self.session.task_ctx().as_ref(), &Codec::default());
            check(&plan.context("the plan cannot be read")?, Side::Scheduler)?;
            Ok(())
        })
    }

    /// Stops the jobs whose executors or clients are gone, again and again.
    pub async fn watch(self: Arc<Guard>) {
        loop {
            tokio::time::sleep(WATCH).await;
            self.stop(self.known.abandoned()).await;
        }
    }
}

#[async_trait]
impl SchedulerGrpc for Guard {
    type ExecuteQueryPushStream = Empty<std::result::Result<GetJobStatusResult, Status>>;

    /// Gives out tasks. An executor that has none, nor anything to say, is kept waiting until there are some.
    async fn poll_work(&self, request: Request<PollWorkParams>) -> Answer<PollWorkResult> {
        let polled = request.into_inner();
        let (id, slots) = whole(polled.metadata.as_ref())?;
        self.known.heard(id.clone(), slots);
        let idle = polled.task_status.is_empty() && polled.num_free_vcores as usize >= slots;
        let said = if idle { Polled::Idle } else { Polled::Busy };
        self.stop(self.known.polled(&id, polled.task_status.len(), said)).await;
        let again = PollWorkParams { task_status: Vec::new(), ..polled.clone() };
        let mut woken = pin!(self.work.notified());
        woken.as_mut().enable();
        let answer = self.deal(polled, &id).await?;
        let nothing = answer.get_ref().tasks.is_empty() && answer.get_ref().jobs_to_clean.is_empty();
        if !(idle && nothing) {
            return Ok(answer);
        }
        let hold = if self.known.idle() { HOLD[0] } else { HOLD[1] };
        match tokio::time::timeout(hold, woken).await {
            Ok(()) => self.deal(again, &id).await,
            Err(_) => Ok(answer),
        }
    }

    async fn heart_beat_from_executor(&self, request: Request<HeartBeatParams>) -> Answer<HeartBeatResult> {
        let said = whole(request.get_ref().metadata.as_ref())?;
        let known = self.inner.state.executor_manager.get_executor_metadata(&said.0).await.is_ok();
        self.known.heard(said.0, said.1);
        match known {
            true => self.inner.heart_beat_from_executor(request).await,
            // It is when it fetches its first task.
            false => Ok(Response::new(HeartBeatResult { reregister: false })),
        }
    }

    async fn executor_stopped(&self, request: Request<ExecutorStoppedParams>) -> Answer<ExecutorStoppedResult> {
        self.stop(self.known.leave(&request.get_ref().executor_id)).await;
        self.inner.executor_stopped(request).await
    }

    /// Waits for an executor, and says how many tasks all of them run at once. Sessions are not kept: each query has its own.
    async fn create_update_session(&self, _: Request<CreateUpdateSessionParams>) -> Answer<CreateUpdateSessionResult> {
        let began = Instant::now();
        while self.slots() == 0 {
            if began.elapsed() > WAIT {
                return Err(Status::unavailable("it has no executors (ioriot cluster executor)"));
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let mut answer = Response::new(CreateUpdateSessionResult::default());
        answer.metadata_mut().insert(SLOTS, self.slots().into());
        Ok(answer)
    }

    async fn execute_query(&self, request: Request<ExecuteQueryParams>) -> Answer<ExecuteQueryResult> {
        let (metadata, extensions, mut query) = request.into_parts();
        let Some(Query::PhysicalPlan(plan)) = &query.query else {
            return Err(Status::invalid_argument("only physical plans are run here"));
        };
        self.look(plan).map_err(|error| Status::permission_denied(format!("{error:#}")))?;
        if self.slots() == 0 {
            return Err(Status::unavailable("it has no executors any more (ioriot cluster executor)"));
        }
        // Any other option is the scheduler's own.
        query.settings.retain(|setting| {
            let number = setting.value.as_ref().and_then(|value| value.parse().ok());
            setting.key == PARTITIONS && number.is_some_and(|number: usize| (1..=MOST).contains(&number))
        });
        query.session_id.clear();
        let answer = self.inner.execute_query(Request::from_parts(metadata, extensions, query)).await?;
        if let Some(Queued::Success(queued)) = &answer.get_ref().result {
            self.known.asked(&queued.job_id);
        }
        Ok(answer)
    }

    async fn get_job_status(&self, request: Request<GetJobStatusParams>) -> Answer<GetJobStatusResult> {
        let job = request.get_ref().job_id.clone();
        named(&job)?;
        let client = !request.metadata().contains_key(EXECUTOR);
        let answer = match self.known.state(&job) {
            State::Runs => self.inner.get_job_status(request).await?,
            State::Lost => lost(&job),
        };
        let status = answer.get_ref().status.as_ref().and_then(|status| status.status.as_ref());
        match status {
            _ if !client => {}
            Some(Job::Successful(_) | Job::Failed(_)) => self.known.over(&job),
            Some(Job::Queued(_) | Job::Running(_)) => self.known.asked(&job),
            None => {}
        }
        Ok(answer)
    }

    async fn cancel_job(&self, request: Request<CancelJobParams>) -> Answer<CancelJobResult> {
        named(&request.get_ref().job_id)?;
        SchedulerGrpc::cancel_job(&self.inner, request).await
    }

    async fn clean_job_data(&self, request: Request<CleanJobDataParams>) -> Answer<CleanJobDataResult> {
        named(&request.get_ref().job_id)?;
        self.inner.clean_job_data(request).await
    }

    async fn register_executor(&self, _: Request<RegisterExecutorParams>) -> Answer<RegisterExecutorResult> {
        never()
    }

    async fn update_task_status(&self, _: Request<UpdateTaskStatusParams>) -> Answer<UpdateTaskStatusResult> {
        never()
    }

    async fn remove_session(&self, _: Request<RemoveSessionParams>) -> Answer<RemoveSessionResult> {
        never()
    }

    async fn execute_query_push(&self, _: Request<ExecuteQueryParams>) -> Answer<Self::ExecuteQueryPushStream> {
        never()
    }

    async fn get_job_metrics(&self, _: Request<GetJobMetricsParams>) -> Answer<GetJobMetricsResult> {
        never()
    }
}
