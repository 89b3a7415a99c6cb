//! The side that asks: hands a plan to the scheduler, waits for its job, and fetches the rows from the executors.

use super::codec::Codec;
use super::guard::AGAIN;
use super::link::{Link, MESSAGE, Secrets};
use super::{PATIENCE, session};
use crate::engine::MEMORY;
use crate::engine::optimizer::rules::cluster_rules;
use crate::engine::optimizer::skip::hide;
use anyhow::{Context, Result, anyhow, bail, ensure};
use ballista_core::client::BallistaClient;
use ballista_core::extension::{BallistaConfigGrpcEndpoint, SessionConfigExt};
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::execute_query_result::Result as Queued;
use ballista_core::serde::protobuf::job_status::Status as Job;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    CleanJobDataParams, CreateUpdateSessionParams, ExecuteQueryParams, GetJobStatusParams, KeyValuePair, PartitionLocation,
};
use ballista_core::version::insert_version_header;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::arrow::record_batch::RecordBatch;
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::memory::MemorySourceConfig;
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{DdlStatement, LogicalPlan};
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::limit::LocalLimitExec;
use datafusion::physical_plan::stream::RecordBatchStreamAdapter;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use futures::{StreamExt, TryStreamExt, stream};
use prost::Message;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tonic::transport::Channel;
use tonic::{Request, Status};

/// The option that a client sets: how many parts of a stage run side by side.
pub(super) const PARTITIONS: &str = "datafusion.execution.target_partitions";
/// In which header the scheduler says how many tasks its executors run at once.
pub(super) const SLOTS: &str = "ioriot-slots";
/// Interval between two questions for the state of a job, which is an eighth of the time that it has taken: the shortest and the longest.
const ASK: [Duration; 2] = [Duration::from_millis(5), Duration::from_millis(200)];

/// How often a query is begun, at most, that loses executors.
const TRIES: usize = 3;

/// Where a cluster is.
#[derive(Clone, Debug)]
pub struct Target {
    /// `HOST:PORT` of its scheduler.
    pub scheduler: String,
    /// What all of the cluster have.
    pub secrets: Secrets,
}

/// A scheduler that has executors.
pub struct Client {
    scheduler: SchedulerGrpcClient<Channel>,
    link: Link,
    /// How many tasks the executors run at once, all together.
    slots: usize,
}

/// Mark of a session whose plans go to a cluster.
struct Remote;

/// Do the plans of this session go to a cluster?
pub fn computes(config: &SessionConfig) -> bool {
    config.get_extension::<Remote>().is_some()
}

/// Refuses a statement that would compute rows on this machine while a cluster is asked.
///
/// # Errors
/// When it is one.
pub fn refuse(plan: &LogicalPlan) -> Result<()> {
    let what = match plan {
        LogicalPlan::Ddl(DdlStatement::CreateMemoryTable(_)) => "CREATE TABLE",
        LogicalPlan::Analyze(_) => "EXPLAIN ANALYZE",
        LogicalPlan::Copy(_) | LogicalPlan::Dml(_) => "a statement that writes",
        _ => return Ok(()),
    };
    bail!("{what} is computed on this machine, and a cluster is asked: leave out --cluster")
}

impl Client {
    /// Finds a scheduler, and learns how much its executors do at once.
    ///
    /// # Errors
    /// When it does not answer, refuses the token, or has no executors, also a few seconds later.
    pub async fn connect(target: &Target) -> Result<Client> {
        let link = Link::by(&target.secrets)?;
        let at = &target.scheduler;
        let channel = link.connect(at, PATIENCE).await.context("the cluster cannot be asked")?;
        let mut scheduler =
            SchedulerGrpcClient::new(channel).max_encoding_message_size(MESSAGE).max_decoding_message_size(MESSAGE);
        let said = scheduler.create_update_session(CreateUpdateSessionParams::default()).await;
        let said = said.map_err(|status| told(&status).context(format!("the cluster at {at} cannot be asked")))?;
        let slots = said.metadata().get(SLOTS).and_then(|slots| slots.to_str().ok()?.parse().ok());
        let slots = slots.with_context(|| format!("what answers at {at} is no scheduler of ioriot"))?;
        Ok(Client { scheduler, link, slots })
    }

    /// The session whose plans are for this cluster: as this one, which has the tables.
    ///
    /// # Errors
    /// When the engine does not know one of the options.
    pub fn session(&self, ctx: &SessionContext) -> Result<SessionContext> {
        // The tables are in the catalog that is there.
        let mut config = ctx.copied_config().with_create_default_catalog_and_schema(false);
        let options = config.options_mut();
        // It would hold the result of a subquery in the memory of one process (ballista issue 1909).
        options.set("datafusion.optimizer.enable_physical_uncorrelated_scalar_subquery", "false")?;
        // A join whose small side is collected is made one of many parts when that is not right for its kind, and what is above it
        // goes on to take them for one: an aggregate without groups above a FULL JOIN gave many rows (Ballista 55.0).
        options.set("datafusion.optimizer.hash_join_single_partition_threshold", "0")?;
        options.set("datafusion.optimizer.hash_join_single_partition_threshold_rows", "0")?;
        options.set(PARTITIONS, &self.slots.to_string())?;
        config.set_extension(Arc::new(Remote));
        let state = SessionStateBuilder::new_from_existing(ctx.state()).with_config(config);
        Ok(SessionContext::new_with_state(state.with_physical_optimizer_rules(cluster_rules()).build()))
    }

    /// Computes the rows of a query.
    ///
    /// # Errors
    /// When it cannot be planned, a node of its plan cannot go to a cluster, or the cluster fails.
    pub async fn rows(&self, frame: DataFrame) -> Result<SendableRecordBatchStream> {
        let schema: SchemaRef = Arc::new(frame.schema().as_arrow().clone());
        let plan = hide(frame.create_physical_plan().await?)?;
        let plan = PhysicalPlanNode::try_from_physical_plan(limited(plan)?, &Codec::default()).map_err(|error| {
            log::debug!("{error}");
            anyhow!("a node of its plan cannot be sent to a cluster: leave out --cluster")
        })?;
        let plan = plan.encode_to_vec();
        ensure!(plan.len() < MESSAGE, "the plan takes {} bytes, and {MESSAGE} are the limit of a cluster", plan.len());
        let mut scheduler = self.scheduler.clone();
        let mut tries = 1..TRIES;
        let (job, parts) = loop {
            let job = self.submit(plan.clone()).await?;
            match done(&mut scheduler, &job).await? {
                Outcome::Rows(parts) => break (job, parts),
                Outcome::Lost if tries.next().is_some() => log::warn!("an executor was lost: the query is computed anew"),
                Outcome::Lost => bail!("the cluster has lost executors {TRIES} times while it computed the query"),
            }
        };
        let config = session::config(MEMORY, &self.link)?;
        let endpoints = config.ballista_override_create_grpc_client_endpoint();
        let fetched = stream::iter(parts).then(move |part| fetch(part, endpoints.clone())).try_flatten();
        let typed = Arc::clone(&schema);
        let rows = fetched.map(move |batch| Ok(RecordBatch::try_new(Arc::clone(&typed), batch?.columns().to_vec())?));
        // When all is fetched, the executors need not keep it.
        let cleaned = stream::once(async move {
            let _ = scheduler.clean_job_data(CleanJobDataParams { job_id: job, remove_stage_ids: Vec::new() }).await;
        });
        let rows = rows.chain(cleaned.filter_map(|()| std::future::ready(None)));
        Ok(Box::pin(RecordBatchStreamAdapter::new(schema, rows)))
    }

    /// Submits a plan; the name of its job.
    async fn submit(&self, plan: Vec<u8>) -> Result<String> {
        let mut request = Request::new(ExecuteQueryParams {
            query: Some(Query::PhysicalPlan(plan)),
            settings: vec![KeyValuePair { key: PARTITIONS.into(), value: Some(self.slots.to_string()) }],
            ..ExecuteQueryParams::default()
        });
        insert_version_header(request.metadata_mut());
        let queued = self.scheduler.clone().execute_query(request).await.map_err(|status| told(&status))?.into_inner().result;
        match queued.context("the scheduler has answered nothing")? {
            Queued::Success(queued) => Ok(queued.job_id),
            Queued::Failure(failure) => bail!("the cluster does not take the query: {failure:?}"),
        }
    }
}

/// What becomes of a job.
enum Outcome {
    /// Where its rows are.
    Rows(Vec<PartitionLocation>),
    /// One of its executors was lost.
    Lost,
}

/// Puts the limits of rows that the plan itself brings into nodes of their own: Ballista forgets them when it gives a task its part of
/// such rows (Ballista 55.0, `select_output_partitions`), and `SELECT * FROM manifests LIMIT 2` gave all of them.
fn limited(plan: Arc<dyn ExecutionPlan>) -> PlanResult<Arc<dyn ExecutionPlan>> {
    let limited = plan.transform_up(|node| {
        let scan = node.downcast_ref::<DataSourceExec>().filter(|scan| scan.data_source().is::<MemorySourceConfig>());
        let Some((fetch, whole)) = scan.and_then(|scan| Some((scan.fetch()?, scan.with_fetch(None)?))) else {
            return Ok(Transformed::no(node));
        };
        Ok(Transformed::yes(Arc::new(LocalLimitExec::new(whole, fetch)) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(limited.data)
}

/// What an executor said, without the errors around it, which Ballista (55.0) writes as for debugging: `...(External(Execution("...")))`.
/// It is the last text of several that is not empty.
fn cause(said: &str) -> String {
    let texts = said.match_indices("(\"").map(|(at, _)| quoted(&said[at + 2..]));
    texts.filter(|text| !text.is_empty()).last().unwrap_or_else(|| said.to_owned())
}

/// The text up to the quote that ends it, with what was escaped.
fn quoted(text: &str) -> String {
    let (mut found, mut escaped) = (String::new(), false);
    for c in text.chars() {
        match c {
            '"' if !escaped => break,
            '\\' if !escaped => escaped = true,
            c => {
                found.push(c);
                escaped = false;
            }
        }
    }
    found
}

/// Waits for a job.
async fn done(scheduler: &mut SchedulerGrpcClient<Channel>, job: &str) -> Result<Outcome> {
    let (began, mut unknown) = (Instant::now(), None);
    loop {
        let asked = scheduler.get_job_status(GetJobStatusParams { job_id: job.to_owned() }).await;
        let answer = asked.map_err(|status| told(&status))?;
        if answer.metadata().contains_key(AGAIN) {
            return Ok(Outcome::Lost);
        }
        let status = answer.into_inner().status.and_then(|status| status.status);
        match status {
            Some(Job::Successful(done)) => return Ok(Outcome::Rows(done.partition_location)),
            Some(Job::Failed(failed)) => bail!("the cluster has failed: {}", cause(&failed.error)),
            Some(Job::Queued(_) | Job::Running(_)) => unknown = None,
            // It is not known yet, or not any more.
            None => {
                let since = *unknown.get_or_insert_with(Instant::now);
                ensure!(since.elapsed() < PATIENCE, "the scheduler does not know the query that it took: was it started anew?");
            }
        }
        tokio::time::sleep((began.elapsed() / 8).clamp(ASK[0], ASK[1])).await;
    }
}

/// The rows of one part, from the executor that has them.
async fn fetch(
    part: PartitionLocation,
    endpoints: Option<Arc<BallistaConfigGrpcEndpoint>>,
) -> PlanResult<SendableRecordBatchStream> {
    let layout = part.layout();
    let lacks = || DataFusionError::Execution("the scheduler does not say where the rows are".into());
    let executor = part.executor_meta.ok_or_else(lacks)?;
    let number = part.partition_id.ok_or_else(lacks)?.into();
    let port = u16::try_from(executor.port).map_err(|_| lacks())?;
    let lost = |error| DataFusionError::Execution(format!("the executor at {}:{port} is lost: {error}", executor.host));
    let mut client = BallistaClient::try_new(&executor.host, port, MESSAGE, false, endpoints, 1, 0, 0, 0).await.map_err(lost)?;
    // As they were written: by the other way columns of words come as plain text.
    client.fetch_partition(&executor.id, &number, part.file_id, layout, false).await.map_err(lost)
}

/// What the other side says, without what tonic adds.
fn told(status: &Status) -> anyhow::Error {
    anyhow!("{}", if status.message().is_empty() { status.to_string() } else { status.message().to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cause_is_what_was_said_first() {
        let wrapped = r#"Task failed: DataFusionError(Shared(External(Execution("no \"x\" (\"y\") here"))))"#;
        assert_eq!(cause(wrapped), r#"no "x" ("y") here"#);
        let arrow = r#"Task failed: DataFusionError(ArrowError(ArithmeticOverflow("Overflow happened on: 5 * 9"), Some("")))"#;
        assert_eq!(cause(arrow), "Overflow happened on: 5 * 9");
        assert_eq!(cause("plain (really)"), "plain (really)");
        assert_eq!(cause("(\""), "(\"");
    }
}
