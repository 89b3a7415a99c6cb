//! The stages at work on one capture.

use super::stages::{Role, STAGES, stage, with};
use super::{Options, places};
use crate::engine::{self, Engine, Settings, Stage, Tee, Written};
use crate::progress::{Progress, Unit};
use crate::schema::{self, Dataset, Draft, Table};
use anyhow::{Context, Result, ensure};
use arrow::array::RecordBatch;
use arrow::datatypes::DataType;
use datafusion::dataframe::DataFrame;
use datafusion::execution::SendableRecordBatchStream;
use datafusion::logical_expr::col;
use futures::TryStreamExt;
use futures::future::{try_join_all, try_join3};
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use std::collections::BTreeMap;
use std::fs;

/// Rows in a row group of ops: what a replay worker holds decoded for each lane it runs.
const OPS_ROW_GROUP: usize = 16 * 1024;

/// Ops may hold this part of the memory while they are put together by lane.
const OPS_SHARE: u64 = 2;

/// What the stages made.
pub(super) struct Made {
    /// The tables.
    pub tables: Vec<(Table, Written)>,
    /// Rows of the stages that add up.
    pub sums: BTreeMap<&'static str, Vec<RecordBatch>>,
}

/// The stages at work on one capture.
pub(super) struct Work<'a> {
    pub engine: Engine,
    options: &'a Options,
    /// Where files go; nothing is run while a plan is explained.
    draft: Option<&'a Draft>,
}

impl<'a> Work<'a> {
    pub fn new(options: &'a Options, capture: &Dataset, draft: Option<&'a Draft>) -> Result<Work<'a>> {
        let spill = draft.map(|draft| draft.path("spill"));
        if let Some(spill) = &spill {
            fs::create_dir(spill).with_context(|| format!("cannot make {}", spill.display()))?;
        }
        let settings = Settings { threads: options.threads, memory: options.memory, spill, places: places(options)? };
        let engine = Engine::new(&settings)?;
        // Everything comes in an order that is kept. Several streams of one file would have to be merged again, which costs
        // more than reading them at once gains, and memory that a sort above, which fills the pool before it spills, does
        // not leave.
        engine.sql("SET datafusion.optimizer.repartition_file_scans = false")?;
        engine.register(Table::Events.name(), &[capture.table(Table::Events)])?;
        Ok(Work { engine, options, draft })
    }

    fn draft(&self) -> Result<&Draft> {
        self.draft.context("nothing is written while a plan is explained")
    }

    /// A stage, edited if the user has edited it.
    pub fn stage(&self, name: &str) -> Result<Stage> {
        let stage = stage(name)?;
        match &self.options.sql_dir {
            Some(dir) => {
                ensure!(dir.is_dir(), "{} is no directory", dir.display());
                stage.edited(dir)
            }
            None => Ok(stage.clone()),
        }
    }

    fn plan(&self, name: &str) -> Result<DataFrame> {
        self.stage(name)?.plan(&self.engine)
    }

    /// Defines the relations that the other stages read: the walk, and what is chosen of it. The one that streams by is
    /// returned, to be poured.
    pub fn choose(&self, progress: &Progress) -> Result<Option<Tee>> {
        let walk = self.plan("walk")?;
        if self.options.where_.is_none() {
            return self.stream("walk", walk, progress);
        }
        self.scratch("walk", walk, &["pos"], progress)?;
        // The stages name the small side of each join first: that one is held, the walk streams by and stays in order.
        // The engine would guess anew from statistics, and split what comes in order over partitions to sort it again.
        self.engine.sql("SET datafusion.optimizer.join_reordering = false")?;
        self.engine.sql("SET datafusion.execution.target_partitions = 1")?;
        self.picked()?;
        progress.begin("filter", Unit::Count, 0);
        self.scratch("wanted", self.plan("wanted")?, &[], progress)?;
        self.scratch("seeks", self.plan("seeks")?, &["pos"], progress)?;
        self.stream("chosen", self.plan("chosen")?, progress)
    }

    /// Defines relation `picked`: the descriptors of the ops that the predicate holds for.
    fn picked(&self) -> Result<()> {
        let text = self.options.where_.as_deref().unwrap_or("true");
        let picked = self
            .pick(self.plan("candidates")?, text)
            .with_context(|| format!("--where {text:?} is no predicate over the columns of ops"))?;
        self.engine.ctx().register_table("picked", picked.into_view())?;
        Ok(())
    }

    fn pick(&self, candidates: DataFrame, text: &str) -> Result<DataFrame> {
        let predicate = self.engine.ctx().parse_sql_expr(text, candidates.schema())?;
        let picked = candidates.filter(predicate)?;
        Ok(picked.select(["pos", "ofd", "ofd2", "dir", "dir2"].map(col))?)
    }

    /// Runs a query, whose rows come in the order of columns `by`, into a file that later stages read as relation `name`.
    fn scratch(&self, name: &'static str, rows: DataFrame, by: &'static [&'static str], progress: &Progress) -> Result<()> {
        if self.draft.is_none() {
            return Tee::new(&self.engine, name, rows, by).map(drop);
        }
        let schema = rows.schema().inner().clone();
        let mut properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED);
        for field in schema.fields().iter().filter(|field| *field.data_type() == DataType::Int64) {
            // Less to hash than a dictionary, less to write than plain numbers.
            let path = ColumnPath::from(field.name().as_str());
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
            properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
        let sorting = by.iter().map(|name| {
            let column_idx = schema.index_of(name)? as i32;
            Ok(parquet::file::metadata::SortingColumn { column_idx, descending: false, nulls_first: false })
        });
        let properties = properties.set_sorting_columns(Some(sorting.collect::<Result<_>>()?)).build();
        let (draft, file) = (self.draft()?, scratch_name(name));
        let write = async {
            let rows = rows.execute_stream().await?;
            engine::write(rows, schema, draft.file(&file)?, properties, None, |rows| progress.add(rows)).await
        };
        self.engine.block_on(write).with_context(|| format!("stage {name}"))?;
        self.engine.register(name, &[draft.path(&file)])
    }

    /// Makes relation `name` ready for the stages that read it: it streams by them, or, when one of them reads it in
    /// several places and so might wait for its end, it goes to a file first.
    fn stream(&self, name: &'static str, rows: DataFrame, progress: &Progress) -> Result<Option<Tee>> {
        let tee = Tee::new(&self.engine, name, rows, &["pos"])?;
        if name == "walk" {
            self.all_chosen()?;
        }
        let mut scans = 0;
        for stage in with(Role::Table).chain(with(Role::Sums)) {
            scans = scans.max(tee.scans(self.plan(stage)?.logical_plan())?);
        }
        if self.draft.is_none() || scans <= 1 {
            return Ok(Some(tee));
        }
        self.scratch(name, tee.into_rows(), &["pos"], progress)?;
        if name == "walk" {
            self.all_chosen()?;
        }
        Ok(None)
    }

    /// Defines relation `chosen` as the whole walk.
    fn all_chosen(&self) -> Result<()> {
        let all = self.engine.sql("SELECT * FROM walk")?;
        self.engine.ctx().deregister_table("chosen")?;
        self.engine.ctx().register_table("chosen", all.into_view())?;
        Ok(())
    }

    /// Makes the tables, and the sums for the manifest.
    pub fn make(&self, tee: Option<Tee>, progress: &Progress) -> Result<Made> {
        let (mut tables, sums) = self.engine.block_on(async {
            // Everything that reads the tee must be there before it is poured.
            let tables = self.start(Role::Table).await?;
            let sums = self.start(Role::Sums).await?;
            let tables = try_join_all(tables.into_iter().map(|(stage, rows)| self.table(stage, rows)));
            let sums = try_join_all(sums.into_iter().map(|(stage, rows)| sum(stage, rows)));
            let pour = async {
                match tee {
                    Some(tee) => tee.pour(|rows| progress.add(rows)).await,
                    None => Ok(()),
                }
            };
            let (tables, sums, ()) = try_join3(tables, sums, pour).await?;
            Ok((tables, sums))
        })?;
        for (stage, rows) in self.engine.block_on(self.start(Role::After))? {
            tables.push(self.engine.block_on(self.table(stage, rows))?);
        }
        Ok(Made { tables, sums: sums.into_iter().collect() })
    }

    /// Plans all stages of a role and opens their streams.
    async fn start(&self, role: Role) -> Result<Vec<(&'static str, SendableRecordBatchStream)>> {
        let mut streams = Vec::new();
        for stage in with(role) {
            let rows = self.plan(stage)?.execute_stream().await;
            streams.push((stage, rows.with_context(|| format!("stage {stage}"))?));
        }
        Ok(streams)
    }

    /// Plans a stage as a run would, without running any.
    pub fn rehearse(&self, name: &str) -> Result<DataFrame> {
        let role = STAGES.iter().find(|(stage, _)| stage.name == name).map(|(_, role)| *role);
        let filtered = self.options.where_.is_some();
        ensure!(filtered || role != Some(Role::Where), "stage {name} is run with --where only: give one");
        if role != Some(Role::Walk) {
            self.choose(&Progress::default())?;
        }
        if role == Some(Role::After) {
            with(Role::Table).try_for_each(|table| self.stage(table)?.define(&self.engine))?;
        }
        self.plan(name)
    }

    /// Writes the rows of a stage to a table of the workload.
    async fn table(&self, stage: &str, rows: SendableRecordBatchStream) -> Result<(Table, Written)> {
        let table = Table::ALL.iter().copied().find(|table| table.name() == stage);
        let table = table.with_context(|| format!("there is no table {stage}"))?;
        let draft = self.draft()?;
        let mut properties = schema::writer_properties(&table);
        let mut by = None;
        if table == Table::Ops {
            properties = properties.set_max_row_group_row_count(Some(OPS_ROW_GROUP));
            let memory = usize::try_from(self.options.memory / OPS_SHARE)?;
            by = Some(engine::By { column: "lane", memory, dir: draft.path("spill") });
        }
        let file = draft.file(&table.file())?;
        let written = engine::write(rows, table.schema(), file, properties.build(), by, |_| ()).await;
        let written = written.with_context(|| format!("stage {stage}"))?;
        self.engine.register(table.name(), &[draft.path(&table.file())])?;
        Ok((table, written))
    }
}

/// The rows of a stage that adds up.
async fn sum(stage: &'static str, rows: SendableRecordBatchStream) -> Result<(&'static str, Vec<RecordBatch>)> {
    Ok((stage, rows.try_collect().await.with_context(|| format!("stage {stage}"))?))
}

/// Name of a scratch file in the draft.
fn scratch_name(relation: &str) -> String {
    format!("{relation}.scratch.parquet")
}

/// Removes what only the stages needed.
pub(super) fn clear(draft: &Draft) -> Result<()> {
    for (stage, _) in STAGES {
        let file = draft.path(&scratch_name(stage.name));
        if file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    let spill = draft.path("spill");
    fs::remove_dir_all(&spill).with_context(|| format!("cannot remove {}", spill.display()))
}
