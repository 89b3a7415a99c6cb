//! Stages: a stage is a file with one SELECT, and its stem is the name of the relation it defines.
//!
//! The comments at its head say what the relation means and holds, and list its columns:
//! ```sql
//! -- What became of each event.
//! -- @needs walk
//! -- @order seq
//! -- @from fates seq fate
//! -- @column calls BIGINT how often
//! SELECT ...
//! ```
//! `@column` lines have name, SQL type and meaning. `@from` names columns of a dataset table, of `walk` or of
//! `measures` (all columns when it names none), whose type and meaning are defined there. The list is checked against
//! what the SQL engine plans, so the documentation made from it cannot be wrong. The word `{arguments}` stands, in the
//! head and in the SQL, for the event columns that an op carries, with commas between them ([`ARGUMENTS`]); beside it the word
//! `{op}` stands in the SQL for what else an op has of its row of the walk.

use super::function::virtualize::STEP;
use super::measures::MEASURES;
use super::session::Engine;
use super::statement::table_macro::Parameter;
use crate::event::Col;
use crate::files;
use crate::schema::Table;
use crate::schema::arguments::ARGUMENTS;
use anyhow::{Context, Result, bail, ensure};
use arrow::datatypes::{DataType, Schema, TimeUnit};
use datafusion::dataframe::DataFrame;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::path::Path;

/// The placeholder that is replaced by the names of [`ARGUMENTS`].
const WORD: &str = "{arguments}";
/// The placeholder that is replaced by [`OP`].
const OP_WORD: &str = "{op}";

/// What an op has of its row of the walk, under the names of table ops. `offset` is the argument where the call has one, else the
/// shared position of its descriptor at that moment; calls with two descriptors pass positions by pointer, and NULL there has a
/// meaning of its own.
const OP: &str = "seq, origin, vtid AS lane, vpid, vtid, syscall, op, ofd, ofd2, dir, dir2, file, file2, at_path AS path, \
    at_path2 AS path2, cwd, path AS raw, path2 AS raw2, name, coalesce(offset, CASE WHEN ofd2 IS NULL THEN at_offset END) AS offset";

/// Words behind an `@` that sections and findings of reports (`src/report/page`) and macros have in their heads. A word on several
/// lines is one text.
const MARKS: &[&str] = &["title", "part", "plot", "severity", "advice", "source", "example", "makes"];

/// A stage: a named relation and the SQL file that defines it.
#[derive(Clone, Debug)]
pub struct Stage {
    /// Name of the relation that the stage defines, and stem of its file.
    pub name: &'static str,
    /// Contents of the SQL file, head comments included.
    pub sql: Cow<'static, str>,
}

/// The head comments of a stage, parsed.
#[derive(Clone, Debug, Default)]
pub struct Doc {
    /// Meaning and invariants of the relation, as Markdown: the comment lines without `@`.
    pub text: String,
    /// Relations that must exist before this one is defined (`@needs`).
    pub needs: Vec<String>,
    /// Parameters of a macro (`@parameter`).
    pub parameters: Vec<Parameter>,
    /// Columns by which the rows are sorted in ascending order (`@order`).
    pub order: Vec<String>,
    /// Name, SQL type and meaning of each column, in order (`@column` and `@from`).
    pub columns: Vec<(String, String, String)>,
    /// What else the head says of the relation, by the word behind the `@` (`MARKS`).
    pub marks: BTreeMap<&'static str, String>,
}

impl Doc {
    /// What the head says under this word; empty where it does not.
    pub fn mark(&self, word: &str) -> &str {
        self.marks.get(word).map_or("", String::as_str)
    }
}

impl Stage {
    /// A stage whose SQL is compiled into the program.
    pub const fn new(name: &'static str, sql: &'static str) -> Stage {
        Stage { name, sql: Cow::Borrowed(sql) }
    }

    /// The stage with its SQL read from `dir/NAME.sql`; the built-in SQL when there is no such file.
    ///
    /// # Errors
    /// When the file exists and cannot be read, or is not UTF-8.
    pub fn edited(&self, dir: &Path) -> Result<Stage> {
        let file = dir.join(format!("{}.sql", self.name));
        match files::text(&file) {
            Ok(sql) => {
                let sql = String::from_utf8(sql).with_context(|| format!("{} is no UTF-8", file.display()))?;
                Ok(Stage { name: self.name, sql: Cow::Owned(sql) })
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(self.clone()),
            Err(error) => Err(error).with_context(|| format!("cannot read {}", file.display())),
        }
    }

    /// Does the SQL come from a file of the user?
    pub fn is_edited(&self) -> bool {
        matches!(self.sql, Cow::Owned(_))
    }

    /// The SQL text with the placeholders `{arguments}` and `{op}` replaced.
    pub fn text(&self) -> Cow<'_, str> {
        if !self.sql.contains(WORD) {
            return Cow::Borrowed(&self.sql);
        }
        Cow::Owned(self.sql.replace(OP_WORD, OP).replace(WORD, &ARGUMENTS.map(Col::name).join(", ")))
    }

    /// Parses the head comments of the file.
    ///
    /// # Errors
    /// When a `@column` line lacks its type, or a `@from` line names a table or column that does not exist.
    pub fn doc(&self) -> Result<Doc> {
        let mut doc = Doc::default();
        let sql = self.text();
        let head = sql.lines().map_while(|line| line.strip_prefix("--")).map(str::trim);
        for (number, line) in head.enumerate() {
            if let Some(column) = line.strip_prefix("@column ") {
                let mut words = column.splitn(3, ' ');
                let (Some(name), Some(ty)) = (words.next(), words.next()) else {
                    bail!("{}.sql, line {}: `-- @column NAME TYPE MEANING` is expected", self.name, number + 1)
                };
                doc.columns.push((name.into(), ty.into(), words.next().unwrap_or_default().trim().into()));
            } else if let Some(from) = line.strip_prefix("@from ") {
                let columns = shared(from).with_context(|| format!("{}.sql, line {}", self.name, number + 1))?;
                doc.columns.extend(columns);
            } else if let Some(needs) = line.strip_prefix("@needs ") {
                doc.needs.extend(needs.split_whitespace().map(String::from));
            } else if let Some(parameter) = line.strip_prefix("@parameter ") {
                let parameter = Parameter::parse(parameter).with_context(|| format!("{}.sql, line {}", self.name, number + 1))?;
                doc.parameters.push(parameter);
            } else if let Some(order) = line.strip_prefix("@order ") {
                doc.order.extend(order.split_whitespace().map(String::from));
            } else if let Some((word, said)) = mark(line) {
                let text = doc.marks.entry(word).or_default();
                *text = format!("{text} {said}").trim().to_owned();
            } else {
                doc.text.push_str(line);
                doc.text.push('\n');
            }
        }
        Ok(doc)
    }

    /// Plans the stage's query and checks that its columns are those that its head lists.
    ///
    /// # Errors
    /// When the SQL cannot be planned or makes other columns than the head lists.
    pub fn plan(&self, engine: &Engine) -> Result<DataFrame> {
        let frame = engine.sql(&self.text()).with_context(|| format!("stage {}.sql", self.name))?;
        self.check(frame.schema().as_arrow())?;
        Ok(frame)
    }

    /// Plans the stage and registers it as a view under its name, for later stages; a relation of that name is
    /// replaced.
    ///
    /// # Errors
    /// As [`Stage::plan`].
    pub fn define(&self, engine: &Engine) -> Result<()> {
        let view = self.plan(engine)?.into_view();
        engine.ctx().deregister_table(self.name)?;
        engine.ctx().register_table(self.name, view)?;
        Ok(())
    }

    fn check(&self, schema: &Schema) -> Result<()> {
        let said = self.doc()?.columns;
        let made: Vec<_> = schema.fields().iter().map(|field| (field.name(), type_name(field.data_type()))).collect();
        for (at, ((name, ty, _), (made_name, made_ty))) in said.iter().zip(&made).enumerate() {
            ensure!(
                name == *made_name && ty == made_ty,
                "stage {}.sql: column {} is `{made_name} {made_ty}`, its head says `{name} {ty}`",
                self.name,
                at + 1,
            );
        }
        ensure!(said.len() == made.len(), "stage {}.sql makes {} columns, its head lists {}", self.name, made.len(), said.len(),);
        Ok(())
    }
}

/// The word of [`MARKS`] that a line of a head begins with, and what it says.
fn mark(line: &str) -> Option<(&'static str, &str)> {
    let (word, said) = line.strip_prefix('@')?.split_once(' ')?;
    MARKS.iter().find(|mark| **mark == word).map(|mark| (*mark, said.trim()))
}

/// Columns (name, SQL type, meaning) that a `@from` line takes over: `RELATION COLUMN ...`.
fn shared(line: &str) -> Result<Vec<(String, String, String)>> {
    let mut words = line.split([' ', ',']).filter(|word| !word.is_empty());
    let relation = words.next().unwrap_or_default();
    let names: Vec<_> = words.collect();
    let all: Vec<(String, String, String)> = match Table::parse(relation) {
        Some(table) => {
            let columns = table.columns().into_iter();
            columns.map(|column| (column.name.into(), column.ty.name().into(), column.meaning())).collect()
        }
        None if relation == "walk" => {
            STEP.iter().map(|step| (step.name.into(), type_name(step.field().data_type()), step.meaning())).collect()
        }
        None if relation == "measures" => {
            MEASURES.iter().map(|(name, ty, doc)| ((*name).into(), (*ty).into(), (*doc).into())).collect()
        }
        None => bail!("{relation:?} is no table of a dataset"),
    };
    if names.is_empty() {
        return Ok(all);
    }
    let one = |name: &str| all.iter().find(|(known, ..)| known == name).cloned();
    names.iter().map(|name| one(name).with_context(|| format!("{relation} has no column {name}"))).collect()
}

/// The SQL name of an Arrow type; all Arrow types for text are VARCHAR.
pub fn type_name(ty: &DataType) -> String {
    match ty {
        DataType::Int64 => "BIGINT".into(),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View => "VARCHAR".into(),
        DataType::Dictionary(_, value) => type_name(value),
        DataType::List(item) => format!("{}[]", type_name(item.data_type())),
        DataType::Boolean => "BOOLEAN".into(),
        DataType::Float64 => "DOUBLE".into(),
        DataType::Timestamp(TimeUnit::Nanosecond, None) => "TIMESTAMP".into(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::Settings;

    #[test]
    fn a_head_that_lies_is_found() {
        let engine = Engine::new(&Settings::default()).unwrap();
        let good = Stage::new("s", "-- One.\n-- @column a BIGINT the one\nSELECT 1 AS a");
        good.define(&engine).unwrap();
        assert_eq!(good.doc().unwrap().text, "One.\n");
        for (sql, says) in [
            ("-- @column b BIGINT x\nSELECT 1 AS a", "column 1 is `a BIGINT`, its head says `b BIGINT`"),
            ("-- @column a VARCHAR x\nSELECT 1 AS a", "its head says `a VARCHAR`"),
            ("SELECT 1 AS a", "makes 1 columns, its head lists 0"),
            ("SELECT nothing", "stage s.sql"),
            ("-- @column a\nSELECT 1 AS a", "line 1"),
            ("-- @from nowhere a\nSELECT 1 AS a", "\"nowhere\" is no table"),
            ("-- @from results a\nSELECT 1 AS a", "results has no column a"),
            ("-- @from fates\nSELECT 1 AS seq", "makes 1 columns, its head lists 5"),
        ] {
            let error = format!("{:#}", Stage { name: "s", sql: sql.into() }.define(&engine).unwrap_err());
            assert!(error.contains(says), "{error}");
        }
    }
}
