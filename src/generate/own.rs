//! Stages of the user: files of `--sql-dir` with names of their own, whose heads say what they make (`@makes table`, `@makes view`). They
//! run when all other stages have, and read what is there then: the tables of the capture and of the workload, and each other.

use super::stages::STAGES;
use super::work::Work;
use crate::engine::{self, Engine, Stage, Written};
use crate::files::Dir;
use crate::report;
use crate::schema::check::Checked;
use crate::schema::{Table, own};
use crate::text::{shown, word};
use anyhow::{Context, Result, bail, ensure};
use arrow::datatypes::{DataType, Field, FieldRef, Schema, SchemaRef};
use datafusion::dataframe::DataFrame;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

/// Word in the head of a file that is a stage of the user.
pub const MAKES: &str = "makes";
/// Most files that are read.
const MOST: usize = 100;

/// What a stage of the user makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Makes {
    /// A table of the workload.
    Table,
    /// A view that others of them read.
    View,
}

/// A stage of the user.
#[derive(Clone, Debug)]
pub(super) struct Own {
    stage: Stage,
    makes: Makes,
    needs: Vec<String>,
}

/// The stages of the user in a directory, each behind those that it needs. Files without the word in their heads are left alone: they
/// are edited stages, or views for queries.
///
/// # Errors
/// When the directory or a file cannot be read, a file has a name that is taken or none of a relation, or files are made from each other.
pub(super) fn stages(dir: &Path) -> Result<Vec<Own>> {
    let open = Dir::open(dir).with_context(|| format!("cannot open {}", word(dir)))?;
    let mut found = BTreeMap::new();
    for (name, _) in open.entries().with_context(|| format!("cannot read {}", word(dir)))? {
        let Some(name) = name.to_str().and_then(|name| name.strip_suffix(".sql")) else { continue };
        let here = || format!("{}.sql in {}", shown(name), word(dir));
        let ours = STAGES.iter().find(|(stage, _)| stage.name == name).map(|(stage, _)| stage.name);
        let sql = open.text(format!("{name}.sql")).with_context(here)?;
        let sql = String::from_utf8(sql).context("it is no UTF-8").with_context(here)?;
        // A new name is needed until the process ends, and there are few.
        let stage = Stage { name: ours.unwrap_or_else(|| name.to_owned().leak()), sql: sql.into() };
        let own = read(stage).with_context(here)?;
        if ours.is_some() {
            ensure!(
                own.is_none(),
                "{}: it has the name of a stage of ours, which an edited one takes without @makes: give a new stage another name",
                here()
            );
            continue;
        }
        if let Some(own) = own {
            ensure!(found.len() < MOST, "{} has more than {MOST} stages", word(dir));
            found.insert(name.to_owned(), own);
        }
    }
    let mut sorted: Vec<Own> = Vec::new();
    while !found.is_empty() {
        let waits = |own: &Own| own.needs.iter().any(|need| found.contains_key(need));
        let Some(next) = found.iter().find(|(_, own)| !waits(own)).map(|(name, _)| name.clone()) else {
            bail!("{} in {} are made from each other", found.into_keys().collect::<Vec<_>>().join(", "), word(dir));
        };
        sorted.extend(found.remove(&next));
    }
    Ok(sorted)
}

/// The stage of the user; `None` when its head does not say that it makes something.
fn read(stage: Stage) -> Result<Option<Own>> {
    let name = stage.name;
    let doc = stage.doc()?;
    let makes = match doc.mark(MAKES) {
        "" => return Ok(None),
        "table" => Makes::Table,
        "view" => Makes::View,
        other => bail!("its head says `@makes {}`: a stage makes a table or a view", shown(other)),
    };
    ensure!(own::name(name), "a table is named by lower-case letters, digits and _");
    let taken = Table::parse(name).is_some() || report::taken(name);
    ensure!(!taken, "{name} is a table or a view already: give it another name");
    ensure!(!doc.columns.is_empty(), "its head lists no columns: `-- @column NAME TYPE MEANING`");
    for (column, ty, _) in &doc.columns {
        let known = ["BIGINT", "VARCHAR", "BOOLEAN", "DOUBLE"].contains(&ty.as_str());
        ensure!(
            makes == Makes::View || known,
            "column {column} is of type {ty}: a table has BIGINT, VARCHAR, BOOLEAN and DOUBLE"
        );
    }
    Ok(Some(Own { needs: doc.needs, stage, makes }))
}

impl Own {
    /// Plans the stage.
    fn plan(&self, engine: &Engine, dir: &Path) -> Result<DataFrame> {
        for need in &self.needs {
            let there = engine.ctx().table_exist(need.as_str())?;
            ensure!(
                there,
                "stage {}.sql in {} needs {need}, which is not there when stages of one's own run: they read tables of the capture and \
                 the workload, and each other",
                self.stage.name,
                word(dir)
            );
        }
        self.stage.plan(engine).map_err(|error| {
            let unnamed = engine::no_table(&error).filter(|table| !self.needs.contains(table));
            let advice = unnamed.map(|table| {
                let table = shown(&table);
                format!("; if {table} is made by another stage of one's own, the head has to say so: -- @needs {table}")
            });
            error.context(format!("in {}{}", word(dir), advice.unwrap_or_default()))
        })
    }
}

impl Work<'_> {
    /// Runs the stages of the user. Returns the tables they made, by name.
    pub(super) fn make_own(&self) -> Result<BTreeMap<String, Written>> {
        let mut made = BTreeMap::new();
        let Some(dir) = &self.options().sql_dir else { return Ok(made) };
        // What streamed by has ended, and whoever read it now would wait for ever; scratch files are nobody's.
        for (stage, _) in STAGES.iter().filter(|(stage, _)| Table::parse(stage.name).is_none()) {
            self.engine.ctx().deregister_table(stage.name)?;
        }
        for stage in stages(dir)? {
            let rows = stage.plan(&self.engine, dir)?;
            match stage.makes {
                Makes::Table if !self.is_rehearsal() => {
                    let written = self.own_table(&stage, rows).with_context(|| format!("in {}", word(dir)))?;
                    made.insert(stage.stage.name.to_owned(), written);
                }
                Makes::Table | Makes::View => stage.stage.define(&self.engine)?,
            }
        }
        Ok(made)
    }

    /// Writes the rows of a stage of the user to a table of the workload.
    fn own_table(&self, stage: &Own, rows: DataFrame) -> Result<Written> {
        let (name, draft) = (stage.stage.name, self.draft()?);
        let columns: SchemaRef = Arc::clone(rows.schema().inner());
        let file = draft.file(&own::file(name))?;
        let again = file.try_clone()?;
        let properties = own::properties(&stage.stage.doc()?.columns);
        let written = self.engine.block_on(async {
            let rows = rows.execute_stream().await?;
            engine::write(rows, columns, file, properties, None, self.engine.encoders()?, |_| ()).await
        });
        let written = written.with_context(|| format!("stage {name}.sql"))?;
        self.engine.register(name, &draft.path(&own::file(name)), Checked::ours(again)?)?;
        Ok(written)
    }
}

/// Refuses an edited stage that is no table unless its head lists the columns that ours has, in their order; it may have more behind
/// them. Later stages, the summary and the manifest read these.
///
/// # Errors
/// When it is another column or another type, or a head that cannot be read.
pub(super) fn keeps(ours: &Stage, edited: &Stage) -> Result<()> {
    // What a table has, its rows say (`widened`).
    if !edited.is_edited() || Table::parse(ours.name).is_some() {
        return Ok(());
    }
    let (expected, said) = (ours.doc()?.columns, edited.doc()?.columns);
    for (at, (name, ty, _)) in expected.iter().enumerate() {
        let found = said.get(at).map_or("nothing".to_owned(), |(name, ty, _)| format!("`{} {}`", shown(name), shown(ty)));
        ensure!(
            found == format!("`{name} {ty}`"),
            "stage {}.sql: its head lists {found} as column {}, and what reads it needs `{name} {ty}` there",
            ours.name,
            at + 1
        );
    }
    Ok(())
}

/// Refuses an edited stage whose rows do not have the columns of its table, in their order; it may have more behind them. Returns the
/// schema of what is written.
///
/// # Errors
/// When it is another column or another type, or a type that no table has.
pub(super) fn widened(table: Table, rows: &SchemaRef) -> Result<SchemaRef> {
    let ours = table.schema();
    let plain = |ty: &DataType| engine::type_name(ty);
    for (at, field) in ours.fields().iter().enumerate() {
        let made =
            rows.fields().get(at).with_context(|| format!("column {} of table {} is missing", field.name(), table.name()))?;
        ensure!(
            made.name() == field.name() && plain(made.data_type()) == plain(field.data_type()),
            "column {} is `{} {}`, and has to be `{} {}`: columns of your own stand behind those of table {}",
            at + 1,
            made.name(),
            plain(made.data_type()),
            field.name(),
            plain(field.data_type()),
            table.name()
        );
    }
    let more = &rows.fields()[ours.fields().len()..];
    for field in more {
        let known = ["BIGINT", "VARCHAR", "BOOLEAN"].contains(&plain(field.data_type()).as_str());
        ensure!(
            known,
            "column {} is of type {}: a table has BIGINT, VARCHAR and BOOLEAN",
            field.name(),
            plain(field.data_type())
        );
    }
    if more.is_empty() {
        return Ok(ours);
    }
    let stored = |field: &FieldRef| {
        let ty = match field.data_type() {
            DataType::Int64 | DataType::Boolean => field.data_type().clone(),
            _ => DataType::Utf8,
        };
        Arc::new(Field::new(field.name(), ty, true))
    };
    let fields = ours.fields().iter().cloned().chain(more.iter().map(stored));
    Ok(Arc::new(Schema::new(fields.collect::<Vec<_>>())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn stages_stand_behind_those_that_they_need() {
        let dir = tempfile::tempdir().unwrap();
        let put = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        let column = "-- @column a BIGINT x\nSELECT 1 AS a";
        put("a.sql", &format!("-- @makes table\n-- @needs c ops\n{column}"));
        put("b.sql", &format!("-- @makes view\n{column}"));
        put("c.sql", &format!("-- @makes table\n-- @needs b\n{column}"));
        put("for_queries.sql", column);
        put("ops.sql", "SELECT");
        put("notes.txt", "");
        let names = || stages(dir.path()).map(|own| own.iter().map(|own| own.stage.name).collect::<Vec<_>>());
        assert_eq!(names().unwrap(), ["b", "c", "a"]);
        for (name, head, says) in [
            ("results", "-- @makes table", "results.sql in"),
            ("latency", "-- @makes table", "already"),
            ("Mine", "-- @makes table", "lower-case"),
            ("memory", "-- @makes table", "stage of ours"),
            ("grouped", "-- @makes view", "stage of ours"),
            ("mine", "-- @makes nothing", "a table or a view"),
            ("mine", "-- @makes table\n-- @column d DATE x", "column d is of type DATE"),
            ("b", "-- @makes view\n-- @needs a", "a, b, c in"),
        ] {
            let old = fs::read(dir.path().join(format!("{name}.sql"))).ok();
            put(&format!("{name}.sql"), &format!("{head}\n{column}"));
            let error = format!("{:#}", names().unwrap_err());
            assert!(error.contains(says), "{name}: {error}");
            match old {
                Some(old) => fs::write(dir.path().join(format!("{name}.sql")), old).unwrap(),
                None => fs::remove_file(dir.path().join(format!("{name}.sql"))).unwrap(),
            }
        }
        put("mine.sql", "-- @makes table\nSELECT 1 AS a");
        assert!(format!("{:#}", names().unwrap_err()).contains("lists no columns"));
    }
}
