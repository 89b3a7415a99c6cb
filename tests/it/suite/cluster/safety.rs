//! What a cluster does not do, whoever asks: these clients are not ours.

use super::processes::{Cluster, LIMIT, Process, refused, said, within};
use crate::tool::{command, data, expect};
use arrow_flight::flight_service_client::FlightServiceClient;
use arrow_flight::{Action, Ticket};
use ballista_core::execution_plans::ShuffleReaderExec;
use ballista_core::serde::BallistaPhysicalExtensionCodec;
use ballista_core::serde::protobuf::execute_query_params::Query;
use ballista_core::serde::protobuf::execute_query_result::Result as Queued;
use ballista_core::serde::protobuf::job_status::Status as Job;
use ballista_core::serde::protobuf::scheduler_grpc_client::SchedulerGrpcClient;
use ballista_core::serde::protobuf::{
    self, CancelJobParams, ExecuteQueryParams, GetJobStatusParams, KeyValuePair, PollWorkParams, RegisterExecutorParams,
};
use ballista_core::version::insert_version_header;
use datafusion::arrow::datatypes::{DataType, Field, Schema};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::physical_plan::{ExecutionPlan, Partitioning};
use datafusion::prelude::{CsvReadOptions, SessionContext};
use datafusion_proto::physical_plan::AsExecutionPlan;
use datafusion_proto::protobuf::PhysicalPlanNode;
use prost::Message;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;
use tokio::runtime::Runtime;
use tonic::Request;
use tonic::transport::Channel;

/// A client that sends what it likes.
struct Stranger {
    runtime: Runtime,
    scheduler: SchedulerGrpcClient<Channel>,
}

impl Stranger {
    fn at(scheduler: &str) -> Stranger {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let scheduler = SchedulerGrpcClient::new(runtime.block_on(channel(scheduler)));
        Stranger { runtime, scheduler }
    }

    /// Submits a query and waits for its end.
    ///
    /// # Errors
    /// What the cluster says when it does not compute it.
    fn submit(&mut self, query: Query, settings: Vec<KeyValuePair>) -> Result<(), String> {
        let Stranger { runtime, scheduler } = self;
        runtime.block_on(async {
            let mut request = Request::new(ExecuteQueryParams { query: Some(query), settings, ..Default::default() });
            insert_version_header(request.metadata_mut());
            let queued = scheduler.execute_query(request).await.map_err(|status| status.to_string())?.into_inner();
            let job = match queued.result.unwrap() {
                Queued::Success(queued) => queued.job_id,
                Queued::Failure(failure) => return Err(format!("{failure:?}")),
            };
            let began = Instant::now();
            loop {
                let asked = GetJobStatusParams { job_id: job.clone() };
                let status = scheduler.get_job_status(asked).await.unwrap().into_inner().status.and_then(|status| status.status);
                match status {
                    Some(Job::Failed(failed)) => return Err(failed.error),
                    Some(Job::Successful(_)) => return Ok(()),
                    _ => assert!(began.elapsed() < LIMIT, "no end"),
                }
                tokio::time::sleep(std::time::Duration::from_millis(20)).await;
            }
        })
    }

    fn run(&mut self, plan: Arc<dyn ExecutionPlan>) -> Result<(), String> {
        let plan = PhysicalPlanNode::try_from_physical_plan(plan, &BallistaPhysicalExtensionCodec::default()).unwrap();
        self.submit(Query::PhysicalPlan(plan.encode_to_vec()), Vec::new())
    }

    fn planned(&self, sql: &str) -> Arc<dyn ExecutionPlan> {
        self.runtime.block_on(async { SessionContext::new().sql(sql).await.unwrap().create_physical_plan().await.unwrap() })
    }
}

async fn channel(at: &str) -> Channel {
    Channel::from_shared(format!("http://{at}")).unwrap().connect().await.unwrap()
}

/// A plan that reads the column `seq` of a file, as one of a table of ours does.
fn scan(file: &str, size: u64) -> Arc<dyn ExecutionPlan> {
    let schema = Arc::new(Schema::new(vec![Field::new("seq", DataType::Int64, true)]));
    let source = Arc::new(ParquetSource::new(schema));
    let scan = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source).with_file(PartitionedFile::new(file, size));
    DataSourceExec::from_data_source(scan.build())
}

fn size(file: &Path) -> u64 {
    fs::metadata(file).unwrap().len()
}

#[test]
fn no_plan_reads_or_writes_what_an_executor_may_not() {
    let dir = tempfile::tempdir().unwrap();
    let (open, closed) = (dir.path().join("open"), dir.path().join("closed"));
    for place in [&open, &closed] {
        fs::create_dir(place).unwrap();
        expect(0, &["ingest", &data("matrix.strace"), "-o", place.join("cap").to_str().unwrap()]);
    }
    let secret = closed.join("cap/events.parquet");
    symlink(&secret, open.join("link.parquet")).unwrap();
    symlink(&closed, open.join("dir")).unwrap();
    let bytes = size(&secret);
    let cluster = Cluster::start(1, &open);
    let mut stranger = Stranger::at(&cluster.scheduler.at);
    let file = |path: &Path| path.to_str().unwrap().to_owned();
    let inside = open.join("cap/events.parquet");
    // What it may, it does.
    stranger.run(scan(&file(&inside), size(&inside))).unwrap();
    for (path, says) in [
        ("/etc/passwd".to_owned(), "--allow"),
        (file(&secret), "--allow"),
        (file(&open.join("link.parquet")), "cannot be read"),
        (file(&open.join("dir/cap/events.parquet")), "cannot be read"),
        (format!("{}/../closed/cap/events.parquet", file(&open)), "no path"),
    ] {
        let error = stranger.run(scan(&path, bytes)).unwrap_err();
        assert!(error.contains(says), "{path}: {error}");
    }
    // A file that is not the one that was planned for.
    let error = stranger.run(scan(&file(&inside), size(&inside) + 1)).unwrap_err();
    assert!(error.contains("same files"), "{error}");

    // Sinks, and other sources.
    let target = open.join("made");
    for sql in [
        format!("COPY (SELECT 1 AS a) TO '{}.csv'", file(&target)),
        format!("COPY (SELECT 1 AS a) TO '{}.json'", file(&target)),
        format!("COPY (SELECT 1 AS a) TO '{}.parquet'", file(&target)),
    ] {
        let plan = stranger.planned(&sql);
        let error = stranger.run(plan).unwrap_err();
        assert!(error.contains("DataSinkExec"), "{sql}: {error}");
    }
    assert_eq!(fs::read_dir(&open).unwrap().count(), 3);
    let csv = stranger.runtime.block_on(async {
        let ctx = SessionContext::new();
        let schema = Schema::new(vec![Field::new("line", DataType::Utf8, true)]);
        let options = CsvReadOptions::new().file_extension("").has_header(false).schema(&schema);
        ctx.register_csv("passwd", "/etc/passwd", options).await.unwrap();
        ctx.sql("SELECT * FROM passwd").await.unwrap().create_physical_plan().await.unwrap()
    });
    let error = stranger.run(csv).unwrap_err();
    assert!(error.contains("DataSourceExec"), "{error}");
    // Rows of other queries, in whatever directory.
    let schema = Arc::new(Schema::new(vec![Field::new("seq", DataType::Int64, true)]));
    let reader = ShuffleReaderExec::try_new(1, vec![Vec::new()], schema, Partitioning::UnknownPartitioning(1)).unwrap();
    let error = stranger.run(Arc::new(reader)).unwrap_err();
    assert!(error.contains("ShuffleReaderExec"), "{error}");
    let plan = stranger.planned("EXPLAIN SELECT 1");
    assert!(stranger.run(plan).unwrap_err().contains("ExplainExec"));
    // What is no physical plan, and what is no plan.
    for query in [
        Query::LogicalPlan(Vec::new()),
        Query::SubstraitPlan(Vec::new()),
        Query::PhysicalPlan(Vec::new()),
        Query::PhysicalPlan(vec![0xff; 100]),
    ] {
        stranger.submit(query, Vec::new()).unwrap_err();
    }
    // Options are not taken from anybody: this one would have each task fail.
    let plan = stranger.planned("SELECT 1 AS a");
    let plan = PhysicalPlanNode::try_from_physical_plan(plan, &BallistaPhysicalExtensionCodec::default()).unwrap();
    let settings = [("ballista.testing.chaos_execution.enabled", "true"), ("datafusion.execution.batch_size", "0")];
    let settings = settings.map(|(key, value)| KeyValuePair { key: key.into(), value: Some(value.into()) });
    stranger.submit(Query::PhysicalPlan(plan.encode_to_vec()), settings.to_vec()).unwrap();
    // It still answers.
    said(&cluster.ask(&[&open.join("cap")], "SELECT count(*) FROM events"));
    let error = refused(&cluster.ask(&[&closed.join("cap")], "SELECT count(DISTINCT seq) FROM events"));
    assert!(error.contains("--allow"), "{error}");
}

#[test]
fn other_calls_are_not_answered() {
    let dir = tempfile::tempdir().unwrap();
    let cluster = Cluster::start(1, dir.path());
    let Stranger { runtime, mut scheduler } = Stranger::at(&cluster.scheduler.at);
    runtime.block_on(async {
        scheduler.register_executor(RegisterExecutorParams::default()).await.unwrap_err();
        scheduler.poll_work(PollWorkParams::default()).await.unwrap_err();
        scheduler.cancel_job(CancelJobParams { job_id: "../x".into() }).await.unwrap_err();
        scheduler.get_job_status(GetJobStatusParams { job_id: "/etc".into() }).await.unwrap_err();
        let mut executor = FlightServiceClient::new(channel(&cluster.executors[0].at).await);
        let ticket = |job: &str| {
            let part = protobuf::FetchPartition { job_id: job.into(), ..Default::default() };
            let kind = protobuf::action::ActionType::FetchPartition(part);
            protobuf::Action { action_type: Some(kind), settings: Vec::new() }.encode_to_vec()
        };
        for job in ["/etc", "../../..", "a/b", ""] {
            let error = executor.do_get(Ticket { ticket: ticket(job).into() }).await.unwrap_err();
            assert!(error.message().contains("no rows of a query"), "{error}");
            let action = Action { r#type: "IO_BLOCK_TRANSPORT".into(), body: ticket(job).into() };
            executor.do_action(action).await.unwrap_err();
        }
        executor.do_get(Ticket { ticket: ticket("none").into() }).await.unwrap_err();
    });
}

#[test]
fn nobody_comes_in_without_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("cap");
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    let [right, wrong] = ["right", "wrong"].map(|name| {
        let file = dir.path().join(name);
        fs::write(&file, format!("{name} 0123456789abcdef\n")).unwrap();
        file.to_str().unwrap().to_owned()
    });
    let mut cluster = Cluster {
        scheduler: Process::start(command(&["cluster", "scheduler", "--bind", "127.0.0.1:0", "--token", &right])).unwrap(),
        executors: Vec::new(),
        rows: tempfile::tempdir().unwrap(),
    };
    for token in [&[][..], &["--token", &wrong]] {
        let mut executor = cluster.executor(dir.path());
        executor.args(token);
        let error = Process::start(executor).map(drop).unwrap_err();
        assert!(error.contains("the token is missing or another one"), "{error}");
    }
    for _ in 0..2 {
        let mut executor = cluster.executor(dir.path());
        executor.args(["--token", &right]);
        cluster.executors.push(Process::start(executor).unwrap());
    }
    let sql = "SELECT syscall, count(*) FROM events GROUP BY 1";
    for (token, right) in [(&[][..], false), (&["--token", &wrong], false), (&["--token", &right], true)] {
        let mut query = cluster.query(&[&capture], sql);
        query.args(token);
        let output = within(LIMIT, query);
        match right {
            // Executors hand each other rows, and the client fetches some.
            true => assert!(said(&output).lines().count() > 10),
            false => assert!(refused(&output).contains("the token is missing or another one")),
        }
    }
    let Stranger { runtime, mut scheduler } = Stranger::at(&cluster.scheduler.at);
    runtime.block_on(async {
        scheduler.get_job_status(GetJobStatusParams { job_id: "a".into() }).await.unwrap_err();
        let mut executor = FlightServiceClient::new(channel(&cluster.executors[0].at).await);
        let error = executor.do_get(Ticket::default()).await.unwrap_err();
        assert_eq!(error.code(), tonic::Code::Unauthenticated, "{error}");
    });
}

#[test]
fn a_server_is_open_to_others_only_when_it_is_told_so() {
    let dir = tempfile::tempdir().unwrap();
    let token = dir.path().join("token");
    fs::write(&token, "0123456789abcdef").unwrap();
    let token = token.to_str().unwrap();
    for (args, says) in [
        (&["--bind", "192.0.2.1:0"][..], "--token"),
        (&["--bind", "192.0.2.1:0", "--token", token], "--insecure"),
        (&["--bind", "0.0.0.0:0", "--token", token, "--insecure"], "name one"),
        (&["--bind", "192.0.2.1:0", "--token", token, "--insecure"], "cannot listen"),
        (&["--token", "/none"], "/none"),
    ] {
        for part in [&["scheduler"][..], &["executor", "--scheduler", "127.0.0.1:1", "--allow", "/"]] {
            let mut server = command(&["cluster"]);
            server.args(part).args(args);
            let error = refused(&within(LIMIT, server));
            assert!(error.contains(says), "{part:?} {args:?}: {error}");
        }
    }
}
