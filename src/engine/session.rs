//! The SQL session: its threads, its bounded memory that spills to disk, and the tables that SQL can name.

#[cfg(feature = "cluster")]
use super::cluster::{self, Client};
use super::fleet::Fleet;
use super::function::hosts::Hosts;
use super::function::{Function, spell_out};
use super::made::Made;
use super::optimizer::distinct;
use super::optimizer::lists;
use super::setup::{self, STACK};
use super::statement::access::Access;
use super::statement::advice::no_memory;
use super::statement::depth;
use super::statement::dialect::Postgres;
use super::statement::refuse;
use super::statement::table_macro::{self, TableMacro};
#[cfg(feature = "s3")]
use super::stores;
use super::table::{Stored, Texts};
use crate::process::panics;
use crate::schema::calls::calls;
use crate::schema::check::Checked;
use crate::schema::encode::Encoders;
use crate::syscall::columns::COLUMNS;
use anyhow::{Context, Result, anyhow, ensure};
use datafusion::common::DFSchema;
use datafusion::dataframe::DataFrame;
use datafusion::error::DataFusionError;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::Expr;
#[cfg(feature = "cluster")]
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser::{DFParser, DFParserBuilder};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, RwLock};
use tokio::runtime::Runtime;

/// Default of [`Settings::memory`]: bytes that sorts, joins and aggregations may hold before they spill, 256 MiB.
pub const MEMORY: u64 = 256 << 20;

/// What is said when the memory was not enough for what cannot spill.
const NO_MEMORY: &str = "the SQL engine has no memory left, and not everything can go to disk: give it more (--memory 1G)";

/// Settings of an [`Engine`]: threads, memory, spilling, and what SQL may do.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Number of threads, and of partitions of a plan; `None`: one per processor.
    pub threads: Option<usize>,
    /// Bytes of memory that sorts, joins and aggregations may hold together before they spill to disk.
    pub memory: u64,
    /// Directory in which they spill; `None`: the system's directory for temporary files.
    pub spill: Option<PathBuf>,
    /// Of which hosts the rows are that table functions are given, and for each the configuration of the model that `virtualize` runs:
    /// which paths it leaves out, and what is known of the capture's start.
    pub hosts: Hosts,
    /// Whether SQL may read and write files beside the registered tables.
    pub access: Access,
}

impl Default for Settings {
    fn default() -> Settings {
        Settings { threads: None, memory: MEMORY, spill: None, hosts: Hosts::default(), access: Access::default() }
    }
}

/// A SQL engine: a DataFusion session with ioriot's tables, functions and limits.
pub struct Engine {
    runtime: Runtime,
    threads: usize,
    encoders: OnceLock<Encoders>,
    ctx: SessionContext,
    access: Access,
    functions: Vec<Arc<dyn Function>>,
    made: Made,
    macros: RwLock<Vec<TableMacro>>,
    /// The files that tables are read from, for the message when the engine panics on one of them.
    files: Mutex<Vec<PathBuf>>,
    /// The cluster that computes the rows of queries, if one does.
    #[cfg(feature = "cluster")]
    cluster: Option<Client>,
}

impl Engine {
    /// Sets up an engine without tables.
    ///
    /// # Errors
    /// When threads cannot be started or the place for spilling cannot be used.
    pub fn new(settings: &Settings) -> Result<Engine> {
        let threads = settings.threads.unwrap_or_else(setup::processors).max(1);
        let runtime = setup::start(threads)?;
        let env = setup::runtime(settings.memory, settings.spill.clone())?;
        #[cfg(feature = "s3")]
        let env = match settings.access {
            Access::Tables => env,
            Access::Files => env.with_object_store_registry(Arc::new(stores::Stores::default())),
        };
        let config = setup::config(threads, settings.memory)?;
        let ctx = setup::context(config, env.build_arc()?, settings.hosts.clone());
        ctx.register_batch("syscall_def", calls(COLUMNS.iter())?)?;
        let ctx = match settings.access {
            Access::Tables => ctx,
            Access::Files => ctx.enable_url_table(),
        };
        Ok(Engine {
            runtime,
            threads,
            encoders: OnceLock::new(),
            ctx,
            access: settings.access,
            functions: setup::functions(),
            made: Made::default(),
            macros: RwLock::default(),
            files: Mutex::default(),
            #[cfg(feature = "cluster")]
            cluster: None,
        })
    }

    /// Runs a future to its end on a new thread whose stack is large enough for planning (`STACK`); a panic becomes an
    /// error.
    ///
    /// # Errors
    /// What the future returns, or that the thread could not be started.
    pub fn block_on<T: Send>(&self, future: impl Future<Output = Result<T>> + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let handle = self.runtime.handle();
            let thread = std::thread::Builder::new().name("sql".into()).stack_size(STACK);
            let thread = thread.spawn_scoped(scope, move || panics::contain(|| Ok(handle.block_on(future))))?;
            let done = thread.join().unwrap_or_else(|panic| Err(panics::error(&*panic)));
            let answered = done.with_context(|| self.given_up())?;
            answered.map_err(|error| if no_memory(&error) { error.context(NO_MEMORY) } else { error })
        })
    }

    /// The message when a decoder or the engine itself panicked: it names the files that were read.
    fn given_up(&self) -> String {
        let files = self.files.lock().map_or(Vec::new(), |files| files.clone());
        let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        format!("one of these files is damaged, or the SQL engine is at fault: {}", names.join(", "))
    }

    /// The DataFusion session, for the modules of `engine`.
    pub fn ctx(&self) -> &SessionContext {
        &self.ctx
    }

    /// Whether integers that leave 64 bits are errors in the statements that follow (`optimizer/checked.rs`). They are not at first:
    /// our own statements answer what they can of captures with absurd numbers.
    pub fn check_arithmetic(&self, checked: bool) {
        self.ctx.state_ref().write().config_mut().options_mut().execution.enable_ansi_mode = checked;
    }

    /// The threads that encode columns of Parquet files, as many as the engine has itself; the first call starts them.
    ///
    /// # Errors
    /// When they cannot be started.
    pub fn encoders(&self) -> Result<Encoders> {
        match self.encoders.get() {
            Some(encoders) => Ok(encoders.clone()),
            None => {
                let encoders = Encoders::new(self.threads)?;
                Ok(self.encoders.get_or_init(|| encoders).clone())
            }
        }
    }

    /// Sets an option of DataFusion for the statements that follow.
    ///
    /// # Errors
    /// When there is no such option.
    pub fn set(&self, option: &str, value: &str) -> Result<()> {
        Ok(self.ctx.state_ref().write().config_mut().options_mut().set(option, value)?)
    }

    /// Plans one statement. A CREATE or DROP takes effect at once; the rows of a query are computed when the result is
    /// executed.
    ///
    /// # Errors
    /// When it is not exactly one SQL statement, names what does not exist, is answered wrongly by the engine
    /// (`refuse.rs`), or does what the settings do not allow.
    pub fn sql(&self, sql: &str) -> Result<DataFrame> {
        depth::check(sql)?;
        self.block_on(async {
            let state = self.ctx.state();
            let dialect = Postgres::bounded(sql);
            let mut statements = self.parser(sql, &dialect)?.parse_statements().map_err(plain)?;
            let mut statement = statements.pop_front().context("there is no SQL to run")?;
            ensure!(statements.is_empty(), "one statement at a time is answered, and there are {}", statements.len() + 1);
            table_macro::expand(&mut statement, &self.macros.read().unwrap_or_else(PoisonError::into_inner))?;
            spell_out(&mut statement, &self.functions);
            let plan = state.statement_to_plan(statement).await?;
            self.access.check(&plan)?;
            refuse::check(&plan)?;
            #[cfg(feature = "cluster")]
            if self.cluster.is_some() {
                cluster::refuse(&plan)?;
            }
            let plan = distinct::once(lists::apart(self.made.gather(plan, &self.ctx).await?)?)?;
            Ok(self.ctx.execute_logical_plan(plan).await?)
        })
    }

    /// From now on the rows of queries are computed by this cluster.
    ///
    /// # Errors
    /// When it does not answer, refuses the token, or has no executors.
    #[cfg(feature = "cluster")]
    pub fn attach(&mut self, target: &cluster::Target) -> Result<()> {
        let client = self.block_on(Client::connect(target))?;
        self.ctx = client.session(&self.ctx)?;
        // Executors know no other sum.
        self.check_arithmetic(true);
        self.cluster = Some(client);
        Ok(())
    }

    /// Starts a query: its rows stream from here, or from the cluster that is attached.
    ///
    /// # Errors
    /// When it cannot be planned or, on a cluster, computed.
    pub async fn rows(&self, frame: DataFrame) -> Result<SendableRecordBatchStream> {
        #[cfg(feature = "cluster")]
        if let (Some(client), false) = (&self.cluster, matches!(frame.logical_plan(), LogicalPlan::Explain(_))) {
            return client.rows(frame).await;
        }
        Ok(frame.execute_stream().await?)
    }

    /// Plans a predicate or another SQL expression over rows of this schema.
    ///
    /// # Errors
    /// When the text is no expression, or names a column that does not exist.
    pub fn expression(&self, sql: &str, schema: &DFSchema) -> Result<Expr> {
        depth::check(sql)?;
        let parsed = self.parser(sql, &Postgres::bounded(sql))?.parse_into_expr().map_err(plain)?;
        Ok(lists::replaced(self.ctx.state().create_logical_expr_from_sql_expr(parsed, schema)?)?.data)
    }

    /// Adds a macro to those that statements can call; one of the same name is replaced.
    pub fn add_macro(&self, new: TableMacro) {
        let mut macros = self.macros.write().unwrap_or_else(PoisonError::into_inner);
        macros.retain(|known| known.name() != new.name());
        macros.push(new);
    }

    /// How each of the macros is called, sorted by name: `read_write_mix(width DURATION = '1s')`.
    pub fn macros(&self) -> Vec<String> {
        let macros = self.macros.read().unwrap_or_else(PoisonError::into_inner);
        let mut usages: Vec<String> = macros.iter().map(TableMacro::usage).collect();
        usages.sort_unstable();
        usages
    }

    fn parser<'a>(&self, sql: &'a str, dialect: &'a Postgres) -> Result<DFParser<'a>> {
        let deepest = self.ctx.state_ref().read().config_options().sql_parser.recursion_limit.get();
        DFParserBuilder::new(sql).with_dialect(dialect).with_recursion_limit(deepest).build().map_err(plain)
    }

    /// Registers a Parquet file as table `name`; its stated sort order is kept. `path` is used in messages only. The
    /// file's contents are trusted: for a file from elsewhere the caller checks all of it first
    /// ([`crate::schema::check::whole`]).
    ///
    /// # Errors
    /// When the name is taken, or the file's columns cannot be read as a table.
    pub fn register(&self, name: &str, path: &Path, file: Checked) -> Result<()> {
        self.table(name, path, file, Texts::Whole)
    }

    /// As [`Engine::register`], for a table whose rows only stream by: its texts are views into the decoded Parquet
    /// pages instead of copies.
    ///
    /// # Errors
    /// As [`Engine::register`].
    pub fn register_views(&self, name: &str, path: &Path, file: Checked) -> Result<()> {
        // What has no order that is believed is sorted, and a sort would hold the pages of each view.
        let texts = if file.file.local().is_some() { Texts::Views } else { Texts::Whole };
        self.table(name, path, file, texts)
    }

    /// Registers the files of one table of several datasets as table `name`, each with the label of its dataset, which the column
    /// `dataset` has. Returns whether it could: where each file has the rows of one host, in an order that was checked.
    ///
    /// # Errors
    /// When the name is taken, or the columns of a file cannot be read as a table.
    pub fn register_fleet(&self, name: &str, files: &[(String, PathBuf, Checked)]) -> Result<bool> {
        let part = |(label, path, file): &(String, PathBuf, Checked)| {
            let table = Stored::new(path, file.clone(), Texts::Whole);
            Ok((label.clone(), table.with_context(|| format!("cannot use {} as the table {name}", path.display()))?))
        };
        match Fleet::new(files.iter().map(part).collect::<Result<_>>()?) {
            Some(fleet) => Ok(self.ctx.register_table(name, Arc::new(fleet))?.is_none()),
            None => Ok(false),
        }
    }

    fn table(&self, name: &str, path: &Path, file: Checked, texts: Texts) -> Result<()> {
        if let Ok(mut known) = self.files.lock() {
            known.push(path.to_owned());
        }
        let table =
            Stored::new(path, file, texts).with_context(|| format!("cannot use {} as the table {name}", path.display()))?;
        self.ctx.register_table(name, Arc::new(table))?;
        Ok(())
    }
}

/// An error without DataFusion's wrapping when the SQL text itself is at fault.
fn plain(error: DataFusionError) -> anyhow::Error {
    match error.find_root() {
        DataFusionError::SQL(fault, _) => anyhow!("{fault}"),
        _ => error.into(),
    }
}
