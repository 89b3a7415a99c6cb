//! Registers the tables of datasets in an engine, under their names, beside the ready-made views.
//!
//! A table that one dataset has is registered under its name. One that several have (two runs, the hosts of a capture)
//! is the union of theirs, with a column `dataset` that tells them apart.

use super::views::{Part, Shelf, define, fingerprint, label, quoted, united};
use super::{MACROS, REPORTS, VIEWS, clock};
use crate::engine::{Access, Engine, Stage, TableMacro, no_table};
use crate::fleet;
use crate::generate;
use crate::limits;
use crate::schema::dataset::Kind;
use crate::schema::{Column, Dataset, Table, Type, check};
use crate::store;
use crate::text::shown;
use anyhow::{Context, Result, bail, ensure};
use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::DataType;
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;

/// A query session: a SQL engine with all tables of some datasets registered.
pub struct Desk {
    /// The SQL engine in which the datasets' tables and views are registered.
    pub engine: Engine,
    /// Ready-made views that cannot be asked of these datasets, by name, with the reason.
    pub missing: BTreeMap<&'static str, String>,
    /// Tables that lack columns, as those of another version of ioriot may, with what they lack: nothing ready-made is asked of them.
    pub short: BTreeMap<&'static str, String>,
    /// The open datasets; their locks keep others from deleting them.
    datasets: Vec<Dataset>,
}

impl Desk {
    /// Opens the datasets and registers their tables, their manifests, and the views whose tables are there. `memory`
    /// is in bytes.
    ///
    /// # Errors
    /// When a directory is no dataset, one is given twice, or one of its files is damaged or cannot be read.
    pub fn open(dirs: &[PathBuf], access: Access, memory: u64) -> Result<Desk> {
        Desk::with(dirs, access, memory, Vec::new())
    }

    /// As [`Desk::open`], with views and macros of the user's own, which may stand in the place of ours.
    ///
    /// # Errors
    /// As [`Desk::open`], and when one of these is wrong.
    pub fn with(dirs: &[PathBuf], access: Access, memory: u64, own: Vec<Stage>) -> Result<Desk> {
        // Each table keeps its file open.
        limits::raise_files();
        let mut places = Vec::new();
        for dir in dirs {
            places.extend(fleet::of(dir)?.unwrap_or_else(|| vec![dir.clone()]));
        }
        let datasets = store::each(&places, |place| Dataset::open(place))?;
        let mut known = BTreeSet::new();
        for dataset in &datasets {
            let place = match store::is(&dataset.dir) {
                true => dataset.dir.clone(),
                false => dataset.dir.canonicalize().with_context(|| format!("cannot find {}", dataset.dir.display()))?,
            };
            ensure!(known.insert(place), "{} is there twice, and would count twice", dataset.dir.display());
            // Of several captures the answer would leave it out without a word.
            let whole = dataset.kind != Kind::Capture || dataset.has(Table::Events);
            ensure!(whole, "{} is damaged: it has no table events", dataset.dir.display());
        }
        let engine = Engine::new(&generate::settings(&datasets, access, memory)?)?;
        let mut shelf = Shelf::new(&datasets);
        let mut short = BTreeMap::new();
        for table in Table::ALL {
            let having: Vec<usize> = (0..datasets.len()).filter(|at| datasets[*at].has(*table)).collect();
            let files: Vec<PathBuf> = having.iter().map(|at| datasets[*at].table(*table)).collect();
            let checked = store::each(&files, |file| check::whole(file))?;
            let (mut parts, mut together) = (Vec::new(), Vec::new());
            for (number, ((at, file), opened)) in having.iter().zip(&files).zip(checked).enumerate() {
                let relation =
                    if files.len() == 1 { table.name().to_owned() } else { format!("{}_{}", table.name(), number + 1) };
                if files.len() > 1 && table.columns().iter().any(|column| column.name == HOST) {
                    together.push((label(&datasets[*at].dir), file.clone(), opened.clone()));
                }
                engine.register(&relation, file, opened)?;
                if let Some(lacks) = lacking(&engine, *table, &relation)? {
                    let text = format!("{} of {} {lacks}", table.name(), shown(&label(&datasets[*at].dir)));
                    short.entry(table.name()).or_insert(text);
                }
                shelf.put(*at, table.name(), &relation);
                parts.push(format!("SELECT {} AS dataset, * FROM {relation}", quoted(&label(&datasets[*at].dir))));
            }
            if parts.len() > 1 && !(together.len() == parts.len() && engine.register_fleet(table.name(), &together)?) {
                union(&engine, *table, &parts)?;
            }
        }
        own_tables(&engine, &datasets, &mut shelf)?;
        clock::register(&engine, &datasets, &mut shelf)?;
        engine.ctx().register_batch("manifests", manifests(&datasets)?)?;
        let mut desk = Desk { engine, missing: BTreeMap::new(), short, datasets: Vec::new() };
        let runs: Vec<&Dataset> = datasets.iter().filter(|data| data.kind == Kind::Run).collect();
        for view in VIEWS.iter().chain(REPORTS) {
            let needs = view.doc()?.needs;
            match needs.iter().any(|need| need == PAIR).then(|| differ(&runs)).flatten() {
                Some(why) => drop(desk.missing.insert(view.name, why)),
                None => desk.add(view, &mut shelf)?,
            }
            if view.name == OF_OPS && desk.calls_of_ops()? {
                shelf.alias(CALLS, OF_OPS);
            }
        }
        for stage in MACROS {
            desk.add(stage, &mut shelf)?;
        }
        desk.add_own(own, &mut shelf)?;
        Ok(Desk { datasets, ..desk })
    }

    /// The session with its rows computed by a cluster.
    ///
    /// # Errors
    /// When the cluster cannot be asked.
    #[cfg(feature = "cluster")]
    pub fn on(mut self, cluster: &crate::engine::cluster::Target) -> Result<Desk> {
        self.engine.attach(cluster)?;
        Ok(self)
    }

    /// Defines the user's own views and macros, which may be made from each other.
    fn add_own(&mut self, mut own: Vec<Stage>, shelf: &mut Shelf) -> Result<()> {
        while !own.is_empty() {
            let names: BTreeSet<&str> = own.iter().map(|stage| stage.name).collect();
            let mut later = Vec::new();
            for stage in &own {
                let waits = |need: &str| need != stage.name && names.contains(need);
                if stage.doc()?.needs.iter().any(|need| waits(need)) {
                    later.push(stage.clone());
                } else if let Err(error) = self.add(stage, shelf) {
                    match no_table(&error) {
                        Some(table) if waits(&table) => later.push(stage.clone()),
                        Some(_) => drop(self.missing.insert(stage.name, format!("{error:#}"))),
                        None => return Err(error.context(format!("{}.sql cannot be used", stage.name))),
                    }
                }
            }
            ensure!(later.len() < own.len(), "{} are made from each other", names.into_iter().collect::<Vec<_>>().join(", "));
            own = later;
        }
        Ok(())
    }

    /// Defines a view or, if the file has parameters or is one of ours, a macro; or says in `missing` why it cannot be asked.
    fn add(&mut self, stage: &Stage, shelf: &mut Shelf) -> Result<()> {
        let doc = stage.doc()?;
        let parts = match self.lacks(&doc.needs).map_or_else(|| shelf.parts(stage, &doc.needs), Err) {
            Err(why) => {
                self.missing.insert(stage.name, why);
                return Ok(());
            }
            Ok(parts) => parts,
        };
        let ours = MACROS.iter().any(|known| known.name == stage.name);
        if ours || !doc.parameters.is_empty() {
            let made = TableMacro::new(stage.name, doc.parameters, one(stage, &parts));
            if !ours {
                made.query()?;
            }
            self.engine.add_macro(made);
            return Ok(());
        }
        self.define(stage, &parts, shelf)?;
        shelf.made(stage.name, &doc.needs);
        self.missing.remove(stage.name);
        Ok(())
    }

    /// Defines a view: that of one dataset under its name; of several each with a number behind it, and all of them under the name.
    fn define(&self, view: &Stage, parts: &[Part], shelf: &mut Shelf) -> Result<()> {
        if let [part] = parts {
            shelf.put(part.dataset, view.name, view.name);
            return define(view.name, &part.sql, &self.engine);
        }
        let mut numbered = Vec::new();
        for (at, part) in parts.iter().enumerate() {
            let relation = format!("{}_{}", view.name, at + 1);
            define(&relation, &part.sql, &self.engine)?;
            shelf.put(part.dataset, view.name, &relation);
            numbered.push(Part { sql: format!("SELECT * FROM {relation}"), ..part.clone() });
        }
        define(view.name, &one(view, &numbered), &self.engine)
    }

    /// Why a view that needs these relations cannot be defined: it names the first that is missing. `None` when all are
    /// there.
    fn lacks(&self, needs: &[String]) -> Option<String> {
        if let Some(short) = needs.iter().find_map(|need| self.short.get(need.as_str())) {
            return Some(short.clone());
        }
        let lacking = needs.iter().find(|need| !self.engine.ctx().table_exist(need.as_str()).unwrap_or(false))?;
        Some(match lacking.as_str() {
            PAIR | "results_1" => "it needs two runs, and nothing else with results".into(),
            table => match Table::ALL.iter().find(|known| known.name() == table) {
                Some(known) => format!("it needs the table {table} of a {}", known.kind().name()),
                None => format!("it needs {table}"),
            },
        })
    }

    /// Where no capture is given, what a workload has of it stands for the calls on files. Returns whether it does.
    fn calls_of_ops(&mut self) -> Result<bool> {
        let there = |name: &str| self.engine.ctx().table_exist(name).unwrap_or(false);
        if there(CALLS) || !there(OF_OPS) {
            return Ok(false);
        }
        self.missing.remove(CALLS);
        define(CALLS, "SELECT * FROM io_of_ops", &self.engine)?;
        Ok(true)
    }

    /// Computes what many statements read once, into temporary files ([`Engine::keep`]): the calls on files, and their accesses.
    /// For the datasets of one case: at most one of them is a capture.
    ///
    /// # Errors
    /// When that fails.
    pub fn settle(&self) -> Result<()> {
        for name in [CALLS, ACCESSES] {
            if !self.engine.ctx().table_exist(name)? {
                return Ok(());
            }
            if name == ACCESSES
                && let Some(view) = VIEWS.iter().find(|view| view.name == name)
            {
                // Its plan still reads what was there before.
                define(name, &view.text(), &self.engine)?;
            }
            self.engine.keep(name)?;
        }
        Ok(())
    }

    /// Are all of these relations there, and whole?
    pub fn has(&self, needs: &[String]) -> bool {
        self.lacks(needs).is_none()
    }

    /// Refuses tables that lack columns.
    ///
    /// # Errors
    /// When there is one, with what it lacks.
    pub fn whole(&self) -> Result<()> {
        self.short.values().next().map_or(Ok(()), |short| bail!("{short}"))
    }

    /// The datasets of the session, in the order in which they were given.
    pub fn datasets(&self) -> &[Dataset] {
        &self.datasets
    }

    /// Names of all tables and views, sorted.
    pub fn names(&self) -> Vec<String> {
        let ctx = self.engine.ctx();
        let schemas = ctx.catalog_names().into_iter().filter_map(|name| ctx.catalog(&name)?.schema("public"));
        let mut names: Vec<String> = schemas.flat_map(|schema| schema.table_names()).collect();
        names.sort_unstable();
        names
    }
}

/// Registers the tables that stages of the user have made; those of several datasets under one name, too.
fn own_tables(engine: &Engine, datasets: &[Dataset], shelf: &mut Shelf) -> Result<()> {
    let mut places: BTreeMap<String, Vec<(usize, PathBuf)>> = BTreeMap::new();
    for (at, dataset) in datasets.iter().enumerate() {
        // A manifest may say anything: what has the name of a relation of ours is none of these.
        let ours = |name: &str| Table::parse(name).is_some() || super::taken(name);
        for (name, file) in dataset.own().into_iter().filter(|(name, _)| !ours(name)) {
            places.entry(name).or_default().push((at, file));
        }
    }
    for (name, having) in places {
        let mut parts = Vec::new();
        for (number, (at, file)) in having.iter().enumerate() {
            let relation = if having.len() == 1 { name.clone() } else { format!("{name}_{}", number + 1) };
            engine.register(&relation, file, check::whole(file)?)?;
            shelf.put(*at, &name, &relation);
            parts.push(format!("SELECT {} AS dataset, * FROM {relation}", quoted(&label(&datasets[*at].dir))));
        }
        shelf.made(&name, &[Table::Ops.name().to_owned()]);
        if parts.len() > 1 {
            let all =
                engine.sql(&parts.join(" UNION ALL BY NAME ")).with_context(|| format!("cannot unite the tables {name}"))?;
            engine.ctx().register_table(&*name, all.into_view())?;
        }
    }
    Ok(())
}

/// What a table lacks of its columns, for people; `None` when all are there.
fn lacking(engine: &Engine, table: Table, relation: &str) -> Result<Option<String>> {
    let found = engine.sql(&format!("SELECT * FROM {relation}"))?;
    let alike = |ty: Type, found: &DataType| match ty {
        Type::Int => *found == DataType::Int64,
        Type::Bool => *found == DataType::Boolean,
        Type::Text => matches!(found, DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Dictionary(..)),
    };
    let there = |column: &Column| {
        let fields = found.schema().fields();
        fields.iter().any(|field| field.name() == column.name && alike(column.ty, field.data_type()))
    };
    let lacking: Vec<&str> = table.columns().iter().filter(|column| !there(column)).map(|column| column.name).collect();
    Ok((!lacking.is_empty()).then(|| format!("lacks {}, as this version of ioriot writes it: make it anew", lacking.join(", "))))
}

/// Column that names the host of a row.
const HOST: &str = "host";
/// The view of all calls on files.
const CALLS: &str = "io";
/// The same, made of a workload.
const OF_OPS: &str = "io_of_ops";
/// Those of them that read or write at some place of a file.
const ACCESSES: &str = "accesses";

/// Results of the second run: a view that needs this relation compares two runs.
const PAIR: &str = "results_2";

/// Why two runs cannot be compared: they replayed different workloads, or there are not exactly two. `None` when they
/// can.
fn differ(runs: &[&Dataset]) -> Option<String> {
    let [one, two, rest @ ..] = runs else { return Some("it needs two runs".into()) };
    if !rest.is_empty() {
        return Some(format!("it compares two runs, and there are {}", runs.len()));
    }
    let (first, second) = (fingerprint(one), fingerprint(two));
    (first != second || first.is_none()).then(|| {
        let [first, second] = [first, second].map(|print| print.unwrap_or("unknown"));
        let (one, two) = (one.dir.display(), two.dir.display());
        format!("{one} and {two} are runs of different workloads (fingerprints {first} and {second}), which cannot be compared")
    })
}

/// SQL of a view, or of a macro, over all the datasets that it is about.
fn one(view: &Stage, parts: &[Part]) -> String {
    match parts {
        [part] => part.sql.clone(),
        several => united(view, &several.iter().map(|part| (part.label.as_str(), part.sql.as_str())).collect::<Vec<_>>()),
    }
}

/// The manifests as a table: one row per value, with its key in dotted form (`a.b.0`).
fn manifests(datasets: &[Dataset]) -> Result<RecordBatch> {
    fn flatten(key: &str, value: &Value, rows: &mut Vec<(String, String)>) {
        let under = |name: &str| if key.is_empty() { name.to_owned() } else { format!("{key}.{name}") };
        match value {
            Value::Object(fields) => fields.iter().for_each(|(name, value)| flatten(&under(name), value, rows)),
            Value::Array(values) => {
                values.iter().enumerate().for_each(|(at, value)| flatten(&under(&at.to_string()), value, rows))
            }
            Value::Null => {}
            Value::String(text) => rows.push((key.into(), text.clone())),
            other => rows.push((key.into(), other.to_string())),
        }
    }
    let mut columns: [Vec<String>; 4] = Default::default();
    for data in datasets {
        let mut rows = Vec::new();
        data.manifest.iter().for_each(|(key, value)| flatten(key, value, &mut rows));
        for (key, value) in rows {
            let cells = [label(&data.dir), data.kind.name().into(), key, value];
            columns.iter_mut().zip(cells).for_each(|(column, cell)| column.push(cell));
        }
    }
    let [dataset, kind, key, value] = columns.map(|column| -> ArrayRef { Arc::new(StringArray::from(column)) });
    Ok(RecordBatch::try_from_iter([("dataset", dataset), ("kind", kind), ("key", key), ("value", value)])?)
}

fn union(engine: &Engine, table: Table, parts: &[String]) -> Result<()> {
    let all =
        engine.sql(&parts.join(" UNION ALL BY NAME ")).with_context(|| format!("cannot unite the tables {}", table.name()))?;
    engine.ctx().register_table(table.name(), all.into_view())?;
    Ok(())
}
