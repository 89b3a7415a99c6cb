//! What every session of ours has, here and on the machines of a cluster: threads, options, functions, rules, bounded memory.

use super::function::arithmetic;
use super::function::at_most::AtMost;
use super::function::bucket::Bucket;
use super::function::causes::Caused;
use super::function::hosts::Hosts;
use super::function::numbered::Numbered;
use super::function::order::{Pruned, Touched};
use super::function::percentile::Percentile;
use super::function::tenant;
use super::function::touch;
use super::function::virtualize::{Arguments, Virtualize};
use super::function::{Function, Planner};
use super::optimizer::checked::Checked;
use super::optimizer::rules::{logical_rules, physical_rules};
use super::rows::pool::Pool;
use super::rows::spill::Spill;
use crate::process::panics;
use anyhow::{Context, Result, ensure};
use datafusion::config::Dialect;
use datafusion::execution::disk_manager::DiskManagerBuilder;
use datafusion::execution::memory_pool::TrackConsumersPool;
use datafusion::execution::runtime_env::{RuntimeEnv, RuntimeEnvBuilder};
use datafusion::execution::session_state::SessionStateBuilder;
use datafusion::logical_expr::{AggregateUDF, ScalarUDF};
use datafusion::prelude::{SessionConfig, SessionContext};
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::sync::Arc;
use tokio::runtime::Runtime;

/// Least memory of a session, bytes (16 MiB): with less not even an aggregation of a few rows can begin.
const LEAST: u64 = 16 << 20;

/// Spilled runs that are merged at once, at most. A merge takes memory for as many as it may, and would leave none for
/// the operators beside it.
const MERGED: usize = 8;

/// Stack of the threads that plan and run queries, bytes: planning recurses, and deeply in a debug build.
pub(super) const STACK: usize = 16 << 20;

/// The number of processors, at least 1.
pub(super) fn processors() -> usize {
    std::thread::available_parallelism().map_or(1, NonZeroUsize::get)
}

/// Starts the tokio threads that queries run on.
///
/// # Errors
/// When a thread cannot be started.
pub(super) fn start(threads: usize) -> Result<Runtime> {
    // When tokio cannot start one of them it panics, and then waits forever for those that it has started.
    panics::abandon(move || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(threads).thread_stack_size(STACK).on_thread_start(panics::contain_thread);
        // Clients of stores that SQL names itself, and of a cluster, wait on these threads.
        #[cfg(any(feature = "s3", feature = "cluster"))]
        builder.enable_all();
        Ok(builder.build()?)
    })
    .context("cannot start the threads of the SQL engine")
}

/// Memory of this many bytes, and files without a name in the directory `spill` (`None`: the system's for temporary files) for what
/// does not fit.
///
/// # Errors
/// When that is less than anything needs.
pub(super) fn runtime(memory: u64, spill: Option<PathBuf>) -> Result<RuntimeEnvBuilder> {
    ensure!(
        memory >= LEAST,
        "the SQL engine has {memory} bytes of memory, and needs {LEAST} at least: give it more (--memory 64M)"
    );
    // It names the greedy ones when it is short.
    let pool = Pool::new(usize::try_from(memory)?);
    let consumers = NonZeroUsize::new(3).context("three is not zero")?;
    let env = RuntimeEnvBuilder::new().with_memory_pool(Arc::new(TrackConsumersPool::new(pool, consumers)));
    let spill = Spill(spill.unwrap_or_else(std::env::temp_dir));
    let disk = DiskManagerBuilder::default().with_temp_file_factory(Arc::new(spill));
    Ok(env.with_disk_manager_builder(disk.with_max_spill_merge_fan_in(MERGED)))
}

/// The options of a session whose plans have so many partitions and share `memory` bytes.
///
/// # Errors
/// When the engine does not know one of them.
pub(super) fn config(partitions: usize, memory: u64) -> Result<SessionConfig> {
    let mut config = SessionConfig::new().with_target_partitions(partitions).with_information_schema(true);
    let options = config.options_mut();
    // The default dialect takes `offset` in a list of columns for a clause.
    options.sql_parser.dialect = Dialect::PostgreSQL;
    // A view keeps its order: `SELECT * FROM file_times LIMIT 5` gives its first five rows. Useless sorts are removed later
    // all the same.
    options.sql_parser.enable_subquery_sort_elimination = false;
    // Views of text keep whole pages alive: a sort would count, and hold, many times what it sorts.
    options.execution.parquet.schema_force_view_types = false;
    // One sort that spills beats several that share the pool and leave none for the merge above them.
    options.optimizer.repartition_sorts = false;
    options.optimizer.enable_round_robin_repartition = false;
    // Files of one host each are not shuffled to have more partitions (`fleet.rs`).
    options.optimizer.preserve_file_partitions = 1;
    // A filter that a join or a sort learns as it runs is applied to columns by name, and where two have the same name
    // rows are lost silently (DataFusion up to 55.2). All it saves is the reading of some row groups.
    options.set("datafusion.optimizer.enable_dynamic_filter_pushdown", "false")?;
    // A merge of spilled runs reserves this much up front, in every partition: keep it a part of a small pool.
    options.execution.sort_spill_reservation_bytes = usize::try_from(memory / 32)?.min(10 << 20);
    Ok(config)
}

/// The table functions.
pub(super) fn functions() -> Vec<Arc<dyn Function>> {
    vec![
        Arc::new(Virtualize(Arguments::Issued)),
        Arc::new(Virtualize(Arguments::Captured)),
        Arc::new(Numbered),
        Arc::new(Touched),
        Arc::new(Caused),
        Arc::new(Pruned),
    ]
}

/// A session with our functions, which are given rows of these hosts, and rules.
pub(super) fn context(config: SessionConfig, env: Arc<RuntimeEnv>, hosts: Hosts) -> SessionContext {
    let (functions, hosts) = (functions(), Arc::new(hosts));
    let state = SessionStateBuilder::new()
        .with_config(config)
        .with_runtime_env(env)
        .with_default_features()
        .with_relation_planners(vec![Arc::new(Planner { functions, hosts })])
        .with_optimizer_rules(logical_rules())
        .with_physical_optimizer_rules(physical_rules())
        .build();
    let ctx = SessionContext::new_with_state(state);
    // After the rules of DataFusion, which give both sides of an operator one type.
    ctx.add_analyzer_rule(Arc::new(Checked));
    ctx.register_udaf(AggregateUDF::from(Percentile::default()));
    arithmetic::functions().for_each(|function| ctx.register_udf(function));
    tenant::functions().into_iter().for_each(|function| ctx.register_udf(function));
    touch::functions().into_iter().for_each(|function| ctx.register_udf(function));
    ctx.register_udf(ScalarUDF::from(AtMost::default()));
    ctx.register_udf(ScalarUDF::from(Bucket::default()));
    ctx
}
