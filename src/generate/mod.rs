//! A capture to a workload: opens the capture, runs the SQL stages, checks the ledger, writes the dataset.
//!
//! The walk (sql/generate/walk.sql) runs once, into a file beside the tables; every other stage reads that file.

pub mod docs;
mod present;
mod stages;
mod summary;

pub use stages::{Role, STAGES};
pub use summary::{Count, Summary};

use crate::engine::{self, Engine, Settings, Stage};
use crate::model::{Config, Place};
use crate::progress::{Progress, Unit};
use crate::schema::dataset::Kind;
use crate::schema::{self, Dataset, Draft, Manifest, Table};
use anyhow::{Context, Result, ensure};
use arrow::datatypes::DataType;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::col;
use parquet::basic::{Compression, Encoding};
use parquet::file::properties::WriterProperties;
use parquet::schema::types::ColumnPath;
use serde_json::json;
use stages::stage;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

/// Rows in a row group of ops: what a replay worker holds decoded for each lane it runs.
const OPS_ROW_GROUP: usize = 16 * 1024;

/// Ops may hold this part of the memory while they are put together by lane: each is there twice for a moment.
const OPS_SHARE: u64 = 4;

/// What to make out of what.
#[derive(Clone, Debug)]
pub struct Options {
    /// The capture: one host's.
    pub capture: PathBuf,
    /// The workload to make.
    pub out: PathBuf,
    /// A SQL predicate over the columns of ops: only what it picks is replayed, and what that cannot do without.
    pub where_: Option<String>,
    /// Where edited stages are; the built-in ones stand in for those that are not there.
    pub sql_dir: Option<PathBuf>,
    /// Paths below which nothing is replayed.
    pub ignore: Vec<PathBuf>,
    /// Paths below which everything is replayed, though a rule says otherwise.
    pub keep: Vec<PathBuf>,
    /// Threads; one per processor when absent.
    pub threads: Option<usize>,
    /// Bytes that sorts and aggregations may hold before they spill to disk.
    pub memory: u64,
}

/// Makes a workload.
///
/// # Errors
/// When the capture is none, a stage or the predicate is wrong, the ledger does not close, or something cannot be
/// written. Then nothing is left behind.
pub fn run(options: &Options, progress: &Progress) -> Result<Summary> {
    let began = Instant::now();
    let capture = open(&options.capture)?;
    let draft = Draft::create(&options.out, Kind::Workload)?;
    let work = Work::new(options, &capture, Some(&draft))?;
    let events = capture.manifest.get("events").and_then(serde_json::Value::as_u64);
    progress.begin("walk", Unit::Count, events.unwrap_or(0));
    work.scratch("walk", progress)?;
    work.one_stream()?;
    work.choose(progress)?;
    let mut written = Vec::new();
    for table in [Table::Ops, Table::Lanes, Table::Fates, Table::Fileset, Table::Extents, Table::Expect] {
        progress.begin(table.name(), Unit::Count, 0);
        written.push((table, work.table(table, progress)?));
    }
    let mut summary = Summary::collect(&work.engine, &work.stage("ledger")?, &work.stage("guesses")?)?;
    summary.tables(&written);
    summary.fileset(&work.engine)?;
    summary.check(events)?;
    let manifest = manifest(&summary, options, &capture);
    drop(work); // the scratch files go before the dataset is made durable
    let draft = without_scratch(draft)?;
    draft.commit(manifest)?;
    summary.seconds = began.elapsed().as_secs_f64();
    Ok(summary)
}

/// The plan of a stage, as the engine would run it.
///
/// # Errors
/// When there is no such stage, or it cannot be planned.
pub fn explain(options: &Options, name: &str) -> Result<String> {
    let names = || STAGES.iter().map(|(stage, _)| stage.name).collect::<Vec<_>>().join(", ");
    ensure!(STAGES.iter().any(|(stage, _)| stage.name == name), "there is no stage {name}: the stages are {}", names());
    let capture = open(&options.capture)?;
    let work = Work::new(options, &capture, None)?;
    work.views_until(name)?;
    let frame = work.stage(name)?.plan(&work.engine)?;
    let batches = work.engine.block_on(async { Ok(frame.explain(false, false)?.collect().await?) })?;
    let mut text = String::new();
    for batch in &batches {
        let plans =
            arrow::util::display::ArrayFormatter::try_new(batch.column(1), &arrow::util::display::FormatOptions::default())?;
        (0..batch.num_rows()).for_each(|row| text.push_str(&format!("{}\n", plans.value(row))));
    }
    Ok(text)
}

/// Opens the capture, or says which of its hosts to name.
fn open(dir: &Path) -> Result<Dataset> {
    let hosts = hosts(dir);
    if !dir.join("manifest.json").exists() && !hosts.is_empty() {
        let list = hosts.iter().map(|host| host.display().to_string()).collect::<Vec<_>>().join("\n  ");
        anyhow::bail!(
            "{} holds the captures of {} hosts, and a workload is made of one: name one of\n  {list}",
            dir.display(),
            hosts.len()
        );
    }
    Dataset::expect(dir, Kind::Capture)
}

/// The captures of single hosts in a directory, by name.
pub(crate) fn hosts(dir: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let mut hosts: Vec<_> =
        entries.filter(|entry| entry.file_name().as_bytes().starts_with(b"host=")).map(|e| e.path()).collect();
    hosts.sort();
    hosts
}

/// What the model is told: its defaults, then what the capture knows, then what the user says.
fn places(options: &Options, capture: &Dataset) -> Result<Config> {
    let mut config = Config::default();
    present::tell(&mut config, capture)?;
    for (paths, place) in [(&options.ignore, Place::Ignore), (&options.keep, Place::Keep)] {
        for path in paths {
            ensure!(path.is_absolute(), "{} is relative, and a captured path is not: give the absolute path", path.display());
            config.rules.push((path.as_os_str().as_bytes().to_vec(), place));
        }
    }
    Ok(config)
}

/// Name of a scratch file in the draft.
fn scratch_name(stage: &str) -> String {
    format!("{stage}.scratch.parquet")
}

fn without_scratch(draft: Draft) -> Result<Draft> {
    for (stage, role) in STAGES {
        let file = draft.path(&scratch_name(stage.name));
        if matches!(role, Role::Scratch) && file.exists() {
            fs::remove_file(&file).with_context(|| format!("cannot remove {}", file.display()))?;
        }
    }
    let spill = draft.path("spill");
    fs::remove_dir_all(&spill).with_context(|| format!("cannot remove {}", spill.display()))?;
    Ok(draft)
}

/// The stages at work on one capture.
struct Work<'a> {
    engine: Engine,
    options: &'a Options,
    draft: Option<&'a Draft>,
}

impl<'a> Work<'a> {
    fn new(options: &'a Options, capture: &Dataset, draft: Option<&'a Draft>) -> Result<Work<'a>> {
        let spill = draft.map(|draft| draft.path("spill"));
        if let Some(spill) = &spill {
            fs::create_dir(spill).with_context(|| format!("cannot make {}", spill.display()))?;
        }
        let settings = Settings { threads: options.threads, memory: options.memory, spill, places: places(options, capture)? };
        let engine = Engine::new(&settings)?;
        engine.register(Table::Events.name(), &[capture.table(Table::Events)])?;
        Ok(Work { engine, options, draft })
    }

    /// A stage, edited if the user has edited it.
    fn stage(&self, name: &str) -> Result<Stage> {
        let stage = stage(name)?;
        match &self.options.sql_dir {
            Some(dir) => {
                ensure!(dir.is_dir(), "{} is no directory", dir.display());
                stage.edited(dir)
            }
            None => Ok(stage.clone()),
        }
    }

    /// Runs a stage into a file that later stages read under its name.
    fn scratch(&self, name: &str, progress: &Progress) -> Result<()> {
        let frame = self.stage(name)?.plan(&self.engine)?;
        let draft = self.draft.context("nothing is written while explaining")?;
        let schema = frame.schema().as_arrow().clone().into();
        let file = scratch_name(name);
        let mut properties = WriterProperties::builder().set_compression(Compression::UNCOMPRESSED);
        for field in frame.schema().fields().iter().filter(|field| *field.data_type() == DataType::Int64) {
            // Less to hash than a dictionary, less to write than plain numbers.
            let path = ColumnPath::from(field.name().as_str());
            properties = properties.set_column_dictionary_enabled(path.clone(), false);
            properties = properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED);
        }
        if let Ok(pos) = frame.schema().as_arrow().index_of("pos") {
            let by_pos = parquet::file::metadata::SortingColumn { column_idx: pos as i32, descending: false, nulls_first: false };
            properties = properties.set_sorting_columns(Some(vec![by_pos]));
        }
        let write = engine::write(frame, schema, draft.file(&file)?, properties.build(), None, |rows| progress.add(rows));
        self.engine.block_on(write).with_context(|| format!("stage {name}"))?;
        self.engine.register(name, &[draft.path(&file)])
    }

    /// From here on a file is read as one stream: merging several by `pos` needs memory that a sort above, which fills
    /// the pool before it spills, does not leave.
    fn one_stream(&self) -> Result<()> {
        self.engine.sql("SET datafusion.optimizer.repartition_file_scans = false").map(drop)
    }

    /// Defines relation `chosen`: the walk, or what `--where` leaves of it.
    fn choose(&self, progress: &Progress) -> Result<()> {
        if self.options.where_.is_none() {
            let walk = self.engine.sql("SELECT * FROM walk")?;
            self.engine.ctx().register_table("chosen", walk.into_view())?;
            return Ok(());
        }
        // The stages name the small side of each join first: that one is held, the walk streams by and stays in order.
        // The engine would guess anew from statistics, and split what comes in order over partitions to sort it again.
        self.engine.sql("SET datafusion.optimizer.join_reordering = false")?;
        self.engine.sql("SET datafusion.execution.target_partitions = 1")?;
        self.picked()?;
        for name in ["wanted", "chosen"] {
            progress.begin("filter", Unit::Count, 0);
            self.scratch(name, progress)?;
        }
        Ok(())
    }

    /// Defines relation `picked`: the descriptors of the ops that the predicate holds for.
    fn picked(&self) -> Result<()> {
        let text = self.options.where_.as_deref().unwrap_or("true");
        let candidates = self.stage("candidates")?.plan(&self.engine)?;
        let picked =
            self.pick(candidates, text).with_context(|| format!("--where {text:?} is no predicate over the columns of ops"))?;
        self.engine.ctx().register_table("picked", picked.into_view())?;
        Ok(())
    }

    fn pick(&self, candidates: DataFrame, text: &str) -> Result<DataFrame> {
        let predicate = self.engine.ctx().parse_sql_expr(text, candidates.schema())?;
        let picked = candidates.filter(predicate)?;
        Ok(picked.select(["pos", "ofd", "ofd2", "dir", "dir2"].map(col))?)
    }

    /// Runs a stage into a table of the workload.
    fn table(&self, table: Table, progress: &Progress) -> Result<engine::Written> {
        let frame = self.stage(table.name())?.plan(&self.engine)?;
        let draft = self.draft.context("nothing is written while explaining")?;
        let mut properties = schema::writer_properties(&table);
        let mut by = None;
        if table == Table::Ops {
            properties = properties.set_max_row_group_row_count(Some(OPS_ROW_GROUP));
            let memory = usize::try_from(self.options.memory / OPS_SHARE)?;
            by = Some(engine::By { column: "lane", memory, dir: draft.path("spill") });
        }
        let file = draft.file(&table.file())?;
        let write = engine::write(frame, table.schema(), file, properties.build(), by, |rows| progress.add(rows));
        let written = self.engine.block_on(write).with_context(|| format!("stage {}", table.name()))?;
        self.engine.register(table.name(), &[draft.path(&table.file())])?;
        Ok(written)
    }

    /// Defines every stage before this one as a view: enough to plan it.
    fn views_until(&self, name: &str) -> Result<()> {
        for (stage, role) in STAGES {
            if stage.name == name {
                break;
            }
            match role {
                Role::Where if self.options.where_.is_none() => {}
                _ => self.stage(stage.name)?.define(&self.engine)?,
            }
            match stage.name {
                "candidates" if self.options.where_.is_some() => self.picked()?,
                "walk" if self.options.where_.is_none() => self.choose(&Progress::default())?,
                _ => {}
            }
        }
        Ok(())
    }
}

fn manifest(summary: &Summary, options: &Options, capture: &Dataset) -> Manifest {
    let mut manifest = match serde_json::to_value(summary) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => Manifest::new(),
    };
    manifest.remove("seconds"); // the same input gives the same manifest
    manifest.insert("where".into(), json!(options.where_));
    manifest.insert("capture".into(), json!(capture.manifest));
    let paths = |paths: &[PathBuf]| paths.iter().map(|path| path.to_string_lossy().into_owned()).collect::<Vec<_>>();
    let sql_dir = options.sql_dir.as_ref().map(|dir| dir.to_string_lossy().into_owned());
    let choice = json!({ "ignore": paths(&options.ignore), "keep": paths(&options.keep), "sql_dir": sql_dir });
    manifest.insert("options".into(), choice);
    manifest
}
