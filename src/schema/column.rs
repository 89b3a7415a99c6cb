//! Columns of tables: name, type, unit, meaning, and how their values differ.

use crate::event::Unit;
use arrow::datatypes::DataType;

/// Type of a column of a table: plain types that every Parquet reader understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Signed 64-bit integer.
    Int,
    /// UTF-8 text; paths in the form of [`crate::text`].
    Text,
    /// Truth value.
    Bool,
}

impl Type {
    /// The Arrow type of such a column.
    pub fn arrow(self) -> DataType {
        match self {
            Type::Int => DataType::Int64,
            Type::Text => DataType::Utf8,
            Type::Bool => DataType::Boolean,
        }
    }

    /// The SQL name of the type.
    pub const fn name(self) -> &'static str {
        match self {
            Type::Int => "BIGINT",
            Type::Text => "VARCHAR",
            Type::Bool => "BOOLEAN",
        }
    }
}

/// Definition of a column of a dataset's table.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// Name of the column in SQL and Parquet.
    pub name: &'static str,
    /// Type of the column's values.
    pub ty: Type,
    /// May a value of the column be absent (NULL)?
    pub nullable: bool,
    /// What its numbers count.
    pub unit: Unit,
    /// Meaning of its values without their unit, for docs/SCHEMA.md and the metadata of files.
    pub doc: &'static str,
}

impl Column {
    /// The same column with a unit.
    pub(super) const fn unit(self, unit: Unit) -> Column {
        Column { unit, ..self }
    }

    /// Was the column thought of after captures had been kept? One that lacks it is read as if no value were there.
    pub fn later(&self) -> bool {
        later(self.name)
    }

    /// Meaning of its values, with their unit.
    pub fn meaning(&self) -> String {
        match self.unit {
            Unit::None => self.doc.to_owned(),
            unit => format!("{} ({})", self.doc, unit.name()),
        }
    }

    /// Do the values seldom repeat but differ little from one row to the next? Then packed differences are smaller than
    /// a dictionary, and cheaper.
    pub(super) fn differs(&self) -> bool {
        const DIFFER: &[&str] = &[
            "seq",
            "ts",
            "taken",
            "op_id",
            "after",
            "line",
            "begin",
            "scheduled",
            "lag",
            "first_row",
            "first_edge",
            "dur",
            "captured_dur",
        ];
        DIFFER.contains(&self.name)
    }
}

/// As [`Column::later`], by the name of a column.
pub fn later(name: &str) -> bool {
    const LATER: [&str; 4] = ["command_line", "cgroup", "rank", "job"];
    LATER.contains(&name)
}

pub(super) const fn int(name: &'static str, doc: &'static str) -> Column {
    Column { name, ty: Type::Int, nullable: false, unit: Unit::None, doc }
}
pub(super) const fn int_(name: &'static str, doc: &'static str) -> Column {
    Column { name, ty: Type::Int, nullable: true, unit: Unit::None, doc }
}
pub(super) const fn text(name: &'static str, doc: &'static str) -> Column {
    Column { name, ty: Type::Text, nullable: false, unit: Unit::None, doc }
}
pub(super) const fn text_(name: &'static str, doc: &'static str) -> Column {
    Column { name, ty: Type::Text, nullable: true, unit: Unit::None, doc }
}
pub(super) const fn yes(name: &'static str, doc: &'static str) -> Column {
    Column { name, ty: Type::Bool, nullable: false, unit: Unit::None, doc }
}
