//! Runs the stages of generate on one capture.

use super::stages::{Make, Role, STAGES, after, now, stage};
use super::{Causes, Options, WhatIf, merge, own, places};
use crate::engine::{self, Engine, Hosts, Settings, Stage, Tee, Written};
use crate::model::Config;
use crate::progress::{Progress, Unit};
use crate::schema::check::Checked;
use crate::schema::entries::SPILL;
use crate::schema::{self, Dataset, Draft, Table, check, read};
use crate::text::word;
use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use arrow::datatypes::{DataType, SchemaRef};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::{col, lit};
use datafusion::physical_plan::common::collect;
use datafusion::scalar::ScalarValue;
use parquet::basic::{Compression, Encoding};
use parquet::file::metadata::SortingColumn;
use parquet::file::properties::{EnabledStatistics, WriterProperties};
use parquet::schema::types::ColumnPath;
use std::collections::BTreeMap;
use std::fs;
use std::sync::Arc;

/// While rows are grouped by lane they may take the engine's memory divided by this.
const LANES_SHARE: u64 = 2;

/// Bytes of memory that a row takes in a hash join, estimated.
const JOIN_ROW: u64 = 128;

/// Bytes of the engine's memory for each row of a batch. A sort needs room for a batch or two, and every sort has a
/// part of the memory only, so little memory means short batches.
const BATCH_ROW: u64 = 32 << 10;
/// Rows of a batch, at least, however little memory there is.
const BATCH_LEAST: u64 = 512;
/// Rows of a batch, at most.
const BATCH: u64 = 8192;

/// Name of the stage that `--explain-order` runs.
pub(super) const EXAMPLES: &str = "edge_examples";

/// Tables of a capture that tell of its files beside the events; an older one may lack them.
const BESIDE: [Table; 2] = [Table::Layouts, Table::Contents];

/// The stage that says what is known of the content of files.
const CONTENT: &str = "content";

/// The stages of which `--no-cause` leaves out all rows, and what ops have of causes.
const CAUSES: &str = "causes";
const OPS: &str = "ops";
/// Columns of ops that tell what the lane of an op did before it.
const BEFORE: [&str; 4] = ["think", "compute", "unexplained", "timer"];

/// The rows of stage `ops` without what the lanes did before.
fn without(rows: DataFrame) -> Result<DataFrame> {
    let columns = rows.schema().fields().iter().map(|field| match field.name().as_str() {
        name if BEFORE.contains(&name) => lit(ScalarValue::Int64(None)).alias(name),
        name => col(format!("\"{name}\"")),
    });
    Ok(rows.clone().select(columns.collect::<Vec<_>>())?)
}

/// What the stages have made.
#[derive(Default)]
pub(super) struct Made {
    /// The tables written to the workload, each with its number of rows and hash.
    pub tables: Vec<(Table, Written)>,
    /// Rows of the stages of role `Make::Sums` and of `edge_examples`, by stage.
    pub sums: BTreeMap<&'static str, Vec<RecordBatch>>,
}

/// A relation that streams by, to be computed while the stages of role `Now` read it.
pub(super) struct Streaming {
    tee: Tee,
    /// The plans of these stages, in their order.
    plans: Vec<DataFrame>,
}

/// What one stage has made.
enum Part {
    Table(Table, Written),
    Sums(&'static str, Vec<RecordBatch>),
    /// A scratch file with this number of rows.
    Scratch(u64),
}

impl Made {
    fn add(&mut self, part: Part) {
        match part {
            Part::Table(table, written) => self.tables.push((table, written)),
            Part::Sums(stage, rows) => drop(self.sums.insert(stage, rows)),
            Part::Scratch(_) => {}
        }
    }
}

/// The stages of generate on one capture: the SQL engine with the capture's table `events`, the options, and the draft.
pub(super) struct Work<'a> {
    pub engine: Engine,
    options: &'a Options,
    /// The workload that is being written; `None` when stages are only planned.
    draft: Option<&'a Draft>,
    /// Start of the first event, ns; with `--stretch` only.
    begin: i64,
}

impl<'a> Work<'a> {
    pub fn new(options: &'a Options, captures: &[&Dataset], draft: Option<&'a Draft>) -> Result<Work<'a>> {
        let (capture, others) = captures.split_first().context("a workload is made of a capture")?;
        let config = places(capture, &options.ignore, &options.keep)?;
        let mut work = Work::begin(options, merge::config(config, others)?, draft)?;
        if others.is_empty() {
            let events = capture.table(Table::Events);
            // A capture of another version is told as such, and not by what the first stage misses.
            let columns = Table::Events.columns();
            read::builder(&events, &columns.iter().map(|column| column.name).collect::<Vec<_>>())?;
            work.engine.register_views(Table::Events.name(), &events, check::whole(&events)?)?;
        } else {
            work.merge(captures)?;
        }
        work.beside(Table::Layouts, captures)?;
        let sampled = work.beside(Table::Contents, captures)?;
        work.content(sampled)?;
        work.register_processes(captures)?;
        work.begin = work.first_moment()?;
        Ok(work)
    }

    /// Prepares the stages on an empty table of events, to check their query plans before there is a capture.
    pub fn on_nothing(options: &'a Options) -> Result<Work<'a>> {
        let work = Work::begin(options, Config::default(), None)?;
        [Table::Events].into_iter().chain(BESIDE).try_for_each(|table| work.nothing(table.name(), table.schema()))?;
        work.content(false)?;
        work.register_processes(&[])?;
        Ok(work)
    }

    /// Makes a table of captures known under its name: of those that have it, one behind the other. Tells whether one has.
    fn beside(&self, table: Table, captures: &[&Dataset]) -> Result<bool> {
        let columns = table.columns();
        let columns: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let mut parts = Vec::new();
        for (capture, part) in captures.iter().zip(0..).filter(|(capture, _)| capture.has(table)) {
            let file = capture.table(table);
            let name = if captures.len() == 1 { table.name().to_owned() } else { format!("{}_{part}", table.name()) };
            read::builder(&file, &columns)?;
            self.engine.register(&name, &file, check::whole(&file)?)?;
            parts.push(format!("SELECT {} FROM {name}", columns.join(", ")));
        }
        if parts.is_empty() {
            self.nothing(table.name(), table.schema())?;
        }
        if parts.is_empty() || captures.len() == 1 {
            return Ok(!parts.is_empty());
        }
        let all = self.engine.sql(&parts.join(" UNION ALL "))?;
        self.engine.ctx().register_table(table.name(), all.into_view())?;
        Ok(true)
    }

    /// Makes a relation without rows. The planner is told so: of a join with it nothing is left.
    fn nothing(&self, name: &str, schema: SchemaRef) -> Result<()> {
        let none = self.engine.ctx().read_table(Arc::new(EmptyTable::new(schema)))?.filter(lit(false))?;
        self.engine.ctx().register_table(name, none.into_view())?;
        Ok(())
    }

    /// Defines what is known of the content of files. Where the capture has no samples that is nothing, which an edited stage
    /// may see in another way.
    fn content(&self, sampled: bool) -> Result<()> {
        let stage = self.stage(CONTENT)?;
        if sampled || stage.is_edited() {
            return stage.define(&self.engine);
        }
        self.nothing(CONTENT, Arc::clone(stage.plan(&self.engine)?.schema().inner()))
    }

    fn begin(options: &'a Options, places: Config, draft: Option<&'a Draft>) -> Result<Work<'a>> {
        let spill = draft.map(|draft| draft.path(SPILL));
        if let Some(spill) = &spill {
            fs::create_dir(spill).with_context(|| format!("cannot make {}", spill.display()))?;
        }
        let hosts = Hosts::One(places);
        let settings = Settings { threads: options.threads, memory: options.memory, spill, hosts, access: options.access };
        let engine = Engine::new(&settings)?;
        // Everything comes in an order that is kept. Several streams of one file would have to be merged again, which costs
        // more than reading them at once gains, and memory that a sort above, which fills the pool before it spills, does
        // not leave.
        engine.set("datafusion.optimizer.repartition_file_scans", "false")?;
        let rows = (options.memory / BATCH_ROW).clamp(BATCH_LEAST, BATCH);
        engine.set("datafusion.execution.batch_size", &rows.to_string())?;
        Ok(Work { engine, options, draft, begin: 0 })
    }

    /// The rows of a stage with the times between calls `factor` times as long.
    fn stretched(&self, rows: DataFrame, factor: f64) -> Result<DataFrame> {
        let times = ["think", "unexplained", "timer", "delay"];
        let columns = rows.schema().fields().iter().map(|field| {
            let name = field.name().as_str();
            let text = match name {
                "ts" => format!("{0} + CAST(round(CAST(ts - {0} AS DOUBLE) * {factor:?}) AS BIGINT)", self.begin),
                name if times.contains(&name) => format!("CAST(round(CAST({name} AS DOUBLE) * {factor:?}) AS BIGINT)"),
                name => return Ok(col(format!("\"{name}\""))),
            };
            Ok(self.engine.expression(&text, rows.schema())?.alias(name))
        });
        Ok(rows.clone().select(columns.collect::<Result<Vec<_>>>()?)?)
    }

    /// Start of the first event, from which `--stretch` counts.
    fn first_moment(&self) -> Result<i64> {
        match self.options.what_if.stretch {
            Some(_) => Ok(self.numbers("SELECT min(ts) AS first FROM events")?.first().copied().flatten().unwrap_or(0)),
            None => Ok(0),
        }
    }

    pub(super) fn draft(&self) -> Result<&Draft> {
        self.draft.context("nothing is written while a plan is explained")
    }

    /// The stage of this name, from the user's directory of edited stages if it is there.
    pub fn stage(&self, name: &str) -> Result<Stage> {
        let stage = stage(name)?;
        match &self.options.sql_dir {
            Some(dir) => {
                let edited = stage.edited(dir)?;
                own::keeps(stage, &edited).with_context(|| format!("in {}", word(dir)))?;
                Ok(edited)
            }
            None => Ok(stage.clone()),
        }
    }

    pub(super) fn plan(&self, name: &str) -> Result<DataFrame> {
        let rows = self.stage(name)?.plan(&self.engine)?;
        let rows = match (self.options.causes, name) {
            (Causes::LeftOut, CAUSES) => rows.filter(lit(false))?,
            (Causes::LeftOut, OPS) => without(rows)?,
            _ => rows,
        };
        match (self.options.what_if.stretch, name) {
            (Some(factor), OPS | CAUSES) => self.stretched(rows, factor),
            _ => Ok(rows),
        }
    }

    /// Defines the relations that the other stages read: `chosen`, the rows of the walk to replay. Returns the relation that streams
    /// by; `None` if it was written to a file.
    pub fn choose(&self, progress: &Progress) -> Result<Option<Streaming>> {
        if self.options.is_captured() {
            return self.stream("walk", "walk", self.plan("walk")?, progress);
        }
        self.revise(progress)
    }

    /// What is to be other than captured.
    pub(super) fn what_if(&self) -> &WhatIf {
        &self.options.what_if
    }

    /// The options of this run.
    pub(super) fn options(&self) -> &Options {
        self.options
    }

    /// Are stages only planned, on whatever there is?
    pub(super) fn is_rehearsal(&self) -> bool {
        self.draft.is_none()
    }

    /// Runs a stage into a scratch file that later stages read under its name; without a draft the relation is only
    /// defined.
    pub(super) fn scratch(&self, name: &'static str, rows: DataFrame, progress: &Progress) -> Result<()> {
        if self.draft.is_none() {
            return Tee::new(&self.engine, name, rows, self.stage(name)?.doc()?.order).map(drop);
        }
        self.engine.block_on(async {
            let rows = rows.execute_stream().await?;
            self.file(name, rows, |rows| progress.add(rows)).await.map(drop)
        })
    }

    /// Writes the rows of a stage to a scratch file and registers it under the stage's name; `tick` is called with
    /// numbers of rows.
    async fn file(&self, name: &'static str, rows: SendableRecordBatchStream, tick: impl Fn(u64) + Send) -> Result<Written> {
        let columns = rows.schema();
        let mut properties = WriterProperties::builder()
            .set_compression(Compression::UNCOMPRESSED)
            .set_max_row_group_row_count(Some(schema::ROW_GROUP)) // it is in memory until it is written
            .set_max_row_group_bytes(Some(schema::GROUP_BYTES))
            .set_statistics_enabled(EnabledStatistics::None);
        for field in columns.fields().iter().filter(|field| *field.data_type() == DataType::Int64) {
            // Less to hash than a dictionary, less to write than plain numbers.
            let path = ColumnPath::from(field.name().as_str());
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
            properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
        let order = self.stage(name)?.doc()?.order;
        let sorting = order.iter().map(|name| {
            let column_idx = columns.index_of(name)? as i32;
            Ok(SortingColumn { column_idx, descending: false, nulls_first: false })
        });
        let properties = properties.set_sorting_columns(Some(sorting.collect::<Result<_>>()?)).build();
        let (draft, scratch) = (self.draft()?, scratch_name(name));
        let file = draft.file(&scratch)?;
        let again = file.try_clone()?;
        let written = engine::write(rows, columns, file, properties, None, self.engine.encoders()?, tick).await;
        let written = written.with_context(|| format!("stage {name}"))?;
        self.engine.register(name, &draft.path(&scratch), Checked::ours(again)?)?;
        Ok(written)
    }

    /// Makes the rows of stage `of` ready for the stages that read them as relation `name`: they stream to them or, when one of them
    /// reads it in several places and so might wait for its end, are written to a file first (then `None`).
    pub(super) fn stream(
        &self,
        of: &'static str,
        name: &'static str,
        rows: DataFrame,
        progress: &Progress,
    ) -> Result<Option<Streaming>> {
        let tee = Tee::new(&self.engine, name, rows, self.stage(of)?.doc()?.order)?;
        if name == "walk" {
            self.all_chosen()?;
        }
        let plans = self.plans()?;
        let mut scans = 0;
        for plan in &plans {
            scans = scans.max(tee.scans(plan.logical_plan())?);
        }
        if self.draft.is_none() || scans <= 1 {
            return Ok(Some(Streaming { tee, plans }));
        }
        self.scratch(name, tee.into_rows(), progress)?;
        if name == "walk" {
            self.all_chosen()?;
        }
        Ok(None)
    }

    /// Defines relation `chosen` as the whole walk: everything is replayed.
    fn all_chosen(&self) -> Result<()> {
        let all = self.engine.sql("SELECT * FROM walk")?;
        self.engine.ctx().deregister_table("chosen")?;
        self.engine.ctx().register_table("chosen", all.into_view())?;
        Ok(())
    }

    /// The plans of the stages of role `Now`, in their order.
    fn plans(&self) -> Result<Vec<DataFrame>> {
        now().map(|(stage, _)| self.plan(stage)).collect()
    }

    /// Runs all stages but those of [`Work::choose`]: makes the tables of the workload and the counts for the manifest.
    pub fn make(&self, streaming: Option<Streaming>, progress: &Progress) -> Result<Made> {
        let mut made = Made::default();
        let (tee, plans) = match streaming {
            Some(Streaming { tee, plans }) => (Some(tee), plans),
            None => (None, self.plans()?),
        };
        let parts = self.engine.block_on(async {
            // Every reader of the tee must be planned before the tee is computed.
            let mut parts = Vec::new();
            for ((stage, make), plan) in now().zip(plans) {
                let rows = plan.execute_stream().await.with_context(|| format!("stage {stage}"))?;
                parts.push(self.part(stage, make, engine::aside(rows)));
            }
            engine::together(parts, tee, |rows| progress.add(rows)).await
        })?;
        // A join holds its smaller side. When that may be too much, both sides are sorted, which spills, and merged.
        let rows = parts.iter().map(|part| if let Part::Scratch(rows) = part { *rows } else { 0 }).sum::<u64>();
        if rows * JOIN_ROW > self.options.memory {
            self.engine.set("datafusion.optimizer.prefer_hash_join", "false")?;
        }
        parts.into_iter().for_each(|part| made.add(part));
        progress.begin("order", Unit::Count, 0);
        for (stage, make) in after() {
            if make == Make::View {
                self.stage(stage)?.define(&self.engine)?;
                continue;
            }
            let rows = self.plan(stage)?;
            made.add(self.engine.block_on(async { self.part(stage, make, rows.execute_stream().await?).await })?);
        }
        if self.options.explain_order {
            let rows = self.plan(EXAMPLES)?;
            made.sums.insert(EXAMPLES, self.engine.block_on(async { Ok(rows.collect().await?) })?);
        }
        Ok(made)
    }

    /// Puts the rows of a stage where they belong: into a table, a scratch file or memory.
    async fn part(&self, stage: &'static str, make: Make, rows: SendableRecordBatchStream) -> Result<Part> {
        Ok(match make {
            Make::Table => self.table(stage, rows).await?,
            Make::Sums => Part::Sums(stage, collect(rows).await.with_context(|| format!("stage {stage}"))?),
            Make::Scratch | Make::View => Part::Scratch(self.file(stage, rows, |_| ()).await?.rows),
        })
    }

    /// Plans a stage as a run would, without running any stage.
    pub fn rehearse(&self, name: &str) -> Result<DataFrame> {
        let role = STAGES.iter().find(|(stage, _)| stage.name == name).map(|(_, role)| *role);
        let captured = self.options.is_captured();
        ensure!(
            !captured || role != Some(Role::WhatIf),
            "stage {name} is run with options that choose or change something only, such as --where: give one"
        );
        ensure!(
            role != Some(Role::Merge) || !self.options.merge.is_empty(),
            "stage {name} is run with --merge only: give another capture"
        );
        if !matches!(role, Some(Role::Walk | Role::Merge)) {
            self.choose(&Progress::default())?;
        }
        if let Some(Role::After(_) | Role::Explain) = role {
            for (stage, make) in now().chain(after()).take_while(|(stage, _)| *stage != name) {
                match make {
                    Make::Scratch => self.scratch(stage, self.plan(stage)?, &Progress::default())?,
                    _ => self.stage(stage)?.define(&self.engine)?,
                }
            }
        }
        self.plan(name)
    }

    /// Writes the rows of a stage to the table of the workload that has its name, grouped by lane where that is its order.
    async fn table(&self, stage: &str, rows: SendableRecordBatchStream) -> Result<Part> {
        let table = Table::parse(stage);
        let table = table.with_context(|| format!("there is no table {stage}"))?;
        let draft = self.draft()?;
        let mut properties = schema::writer_properties(&table);
        let mut by = None;
        if let [lane @ "lane", _, ..] = table.sorted_by() {
            let memory = usize::try_from(self.options.memory / LANES_SHARE)?;
            by = Some(engine::By { column: lane, memory, dir: draft.path(SPILL) });
        }
        let file = draft.file(&table.file())?;
        let again = file.try_clone()?;
        let columns = own::widened(table, &rows.schema()).with_context(|| format!("stage {stage}.sql"))?;
        let more = &columns.fields()[table.columns().len()..];
        if !more.is_empty() {
            properties = properties.set_key_value_metadata(Some(schema::meanings(&table, more)));
        }
        let written = engine::write(rows, columns, file, properties.build(), by, self.engine.encoders()?, |_| ()).await;
        let written = written.with_context(|| format!("stage {stage}"))?;
        self.engine.register(table.name(), &draft.path(&table.file()), Checked::ours(again)?)?;
        Ok(Part::Table(table, written))
    }
}

/// File name, in the draft, of the scratch file of a relation.
fn scratch_name(relation: &str) -> String {
    format!("{relation}.scratch.parquet")
}

/// Removes the scratch files and the directory for spilling from the draft.
pub(super) fn clear(draft: &Draft) -> Result<()> {
    for (stage, _) in STAGES {
        let file = draft.path(&scratch_name(stage.name));
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    let spill = draft.path(SPILL);
    fs::remove_dir_all(&spill).with_context(|| format!("cannot remove {}", spill.display()))
}
