//! Every SQL stage and view against the `.slt` file beside it: rows in, SQL, rows out, on one screen.
//!
//! Besides SQL the files know two statements:
//! - `INPUT relation SELECT ...` defines a relation that stages read, anew if it is there; columns the SELECT does not name are absent;
//! - `STAGE name` defines the stage, view or format under test, `MACRO name` the table macro.

use arrow::util::display::{ArrayFormatter, FormatOptions};
use ioriot::engine::{Engine, Settings, Stage, TableMacro, type_name};
use ioriot::export::EXPORTS;
use ioriot::generate::STAGES;
use ioriot::generate::lint::RULES;
use ioriot::import::{FORMATS, Format};
use ioriot::report::page::sections::{FINDINGS, SECTIONS};
use ioriot::report::{LOOKS, MACROS, REPORTS, VIEWS};
use ioriot::schema::Table;
use sqllogictest::{DB, DBOutput, DefaultColumnType, Runner};
use std::path::Path;

/// A fresh session for each file.
struct Session(Engine);

#[derive(Debug)]
struct Failure(String);

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

impl From<anyhow::Error> for Failure {
    fn from(error: anyhow::Error) -> Failure {
        Failure(format!("{error:#}"))
    }
}

impl DB for Session {
    type Error = Failure;
    type ColumnType = DefaultColumnType;

    fn run(&mut self, sql: &str) -> Result<DBOutput<DefaultColumnType>, Failure> {
        if let Some(name) = sql.strip_prefix("STAGE ") {
            match FORMATS.iter().any(|(format, _)| *format == name.trim()) {
                true => Format::find(name.trim(), None)?.define(&self.0)?,
                false => named(name.trim())?.define(&self.0)?,
            }
            return Ok(DBOutput::StatementComplete(0));
        }
        if let Some(name) = sql.strip_prefix("MACRO ") {
            self.define_macro(name.trim())?;
            return Ok(DBOutput::StatementComplete(0));
        }
        if let Some(input) = sql.strip_prefix("INPUT ") {
            let (name, select) = input.split_once(char::is_whitespace).ok_or(Failure("INPUT relation SELECT ...".into()))?;
            self.input(name, select)?;
            return Ok(DBOutput::StatementComplete(0));
        }
        let frame = self.0.sql(sql)?;
        let types = vec![DefaultColumnType::Any; frame.schema().fields().len()];
        let mut rows = Vec::new();
        for batch in self.0.block_on(async { Ok(frame.collect().await?) })? {
            let options = FormatOptions::default().with_null("NULL");
            let columns = batch.columns().iter().map(|column| ArrayFormatter::try_new(column, &options));
            let columns = columns.collect::<Result<Vec<_>, _>>().map_err(|error| Failure(error.to_string()))?;
            rows.extend((0..batch.num_rows()).map(|row| columns.iter().map(|column| column.value(row).to_string()).collect()));
        }
        Ok(if types.is_empty() { DBOutput::StatementComplete(0) } else { DBOutput::Rows { types, rows } })
    }
}

impl Session {
    /// Defines a table macro, and holds what it gives with its defaults, and with what its example gives, against the columns of its
    /// head.
    fn define_macro(&self, name: &str) -> anyhow::Result<()> {
        let stage = named(name)?;
        let doc = stage.doc()?;
        self.0.add_macro(TableMacro::new(name, doc.parameters.clone(), stage.text().into_owned()));
        let columns: Vec<_> = doc.columns.iter().map(|(name, ty, _)| (name.clone(), ty.clone())).collect();
        for sql in [format!("SELECT * FROM {name}()"), doc.mark("example").to_owned()] {
            let frame = self.0.sql(&sql)?;
            let fields = frame.schema().fields().iter();
            let made: Vec<_> = fields.map(|field| (field.name().clone(), type_name(field.data_type()))).collect();
            anyhow::ensure!(made == columns, "{sql} makes {made:?}, the head of {name}.sql lists {columns:?}");
        }
        Ok(())
    }

    /// Defines a relation, with every column it has in life.
    fn input(&self, name: &str, select: &str) -> anyhow::Result<()> {
        let given = self.0.sql(select)?;
        let columns: Vec<(String, String)> = match Table::ALL.iter().find(|table| table.name() == name) {
            Some(table) => table.columns().iter().map(|column| (column.name.to_owned(), column.ty.name().to_owned())).collect(),
            None => match named(name) {
                Ok(stage) => stage.doc()?.columns.into_iter().map(|(name, ty, _)| (name, ty)).collect(),
                Err(_) => vec![],
            },
        };
        let mut list: Vec<String> = Vec::new();
        for (column, ty) in &columns {
            let there = given.schema().has_column_with_unqualified_name(column);
            list.push(format!("CAST({} AS {ty}) AS {column}", if there { column } else { "NULL" }));
        }
        for field in given.schema().fields() {
            if !columns.iter().any(|(column, _)| column == field.name()) {
                anyhow::ensure!(columns.is_empty(), "{name} has no column {}", field.name());
                list.push(field.name().clone());
            }
        }
        let view = self.0.sql(&format!("SELECT {} FROM ({select})", list.join(", ")))?.into_view();
        self.0.ctx().deregister_table(name)?;
        self.0.ctx().register_table(name, view)?;
        Ok(())
    }
}

fn named(name: &str) -> anyhow::Result<&'static Stage> {
    let stages = STAGES.iter().map(|(stage, _)| stage).chain(VIEWS).chain(REPORTS).chain(SECTIONS).chain(FINDINGS);
    let stages = stages.chain(LOOKS).chain(EXPORTS).chain(MACROS).chain(RULES);
    stages.into_iter().find(|stage| stage.name == name).ok_or_else(|| anyhow::anyhow!("there is no stage {name}"))
}

#[test]
fn every_stage_and_view_does_what_the_file_beside_it_says() {
    let stages = STAGES.iter().map(|(stage, _)| ("generate", stage.name));
    let views = VIEWS.iter().map(|view| ("query", view.name)).chain(REPORTS.iter().map(|report| ("report", report.name)));
    let sections = SECTIONS.iter().map(|section| ("sections", section.name));
    let findings = FINDINGS.iter().map(|finding| ("findings", finding.name));
    let looks = LOOKS.iter().map(|look| ("look", look.name)).chain(EXPORTS.iter().map(|export| ("export", export.name)));
    let macros = MACROS.iter().map(|stage| ("macros", stage.name));
    let formats = FORMATS.iter().map(|(format, _)| ("ingest", *format));
    let rules = RULES.iter().map(|rule| ("lint", rule.name));
    for (dir, name) in stages.chain(views).chain(sections).chain(findings).chain(looks).chain(macros).chain(formats).chain(rules)
    {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("sql/{dir}/{name}.slt"));
        assert!(file.exists(), "{} is missing: every stage has one", file.display());
        let session = || async { Ok(Session(Engine::new(&Settings { threads: Some(2), ..Settings::default() })?)) };
        if let Err(error) = Runner::new(session).run_file(&file) {
            panic!("{error}");
        }
    }
}
