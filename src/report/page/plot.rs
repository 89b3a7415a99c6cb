//! How a section is drawn, as its head says: `@plot line x=time_s y=reads,writes by=class fill=zero log=x`.

use anyhow::{Result, bail, ensure};
use serde::Serialize;

/// Kind of a plot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Shape {
    /// Rows as they are.
    Table,
    /// Lines over x, one for each column of y, or for each value of `by`.
    Line,
    /// Bars side by side, over the values of x as names.
    Bars,
    /// Cells over x and y, coloured by z; one map for each value of `by`.
    Heat,
}

/// How a section is drawn: the shape, and which columns are what.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Plot {
    /// Its kind.
    pub shape: Shape,
    /// Column of the horizontal axis; empty for a table.
    pub x: String,
    /// Columns of the vertical axis.
    pub y: Vec<String>,
    /// Column whose values colour the cells of a heat map.
    pub z: Option<String>,
    /// Column whose values tell several lines or maps apart.
    pub by: Option<String>,
    /// Axes that are logarithmic: `x`, `y` or both.
    pub log: String,
    /// Does a value of x that a line lacks stand for zero?
    pub zero: bool,
}

impl Plot {
    /// A table.
    pub fn table() -> Plot {
        Plot { shape: Shape::Table, x: String::new(), y: Vec::new(), z: None, by: None, log: String::new(), zero: false }
    }

    /// Parses a description; `columns` are those that there are.
    ///
    /// # Errors
    /// When a word is not known, or names a column that there is not.
    pub fn parse(text: &str, columns: &[&str]) -> Result<Plot> {
        let mut words = text.split_whitespace();
        let shape = match words.next() {
            Some("table") => Shape::Table,
            Some("line") => Shape::Line,
            Some("bars") => Shape::Bars,
            Some("heat") => Shape::Heat,
            other => bail!("{:?} is no kind of plot", other.unwrap_or_default()),
        };
        let mut plot = Plot { shape, ..Plot::table() };
        let known = |name: &str| {
            ensure!(columns.contains(&name), "there is no column {name:?}");
            Ok(name.to_owned())
        };
        for word in words {
            match word.split_once('=') {
                Some(("x", name)) => plot.x = known(name)?,
                Some(("y", names)) => plot.y = names.split(',').map(known).collect::<Result<_>>()?,
                Some(("z", name)) => plot.z = Some(known(name)?),
                Some(("by", name)) => plot.by = Some(known(name)?),
                Some(("log", axes)) => plot.log = axes.to_owned(),
                Some(("fill", "zero")) => plot.zero = true,
                _ => bail!("{word:?} says nothing of a plot"),
            }
        }
        let whole = match shape {
            Shape::Table => plot.x.is_empty(),
            Shape::Line | Shape::Bars => !plot.x.is_empty() && !plot.y.is_empty(),
            Shape::Heat => !plot.x.is_empty() && plot.y.len() == 1 && plot.z.is_some(),
        };
        ensure!(whole, "{text:?} lacks columns, or has too many");
        Ok(plot)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plot_names_columns_that_there_are() {
        let columns = ["t", "n", "who"];
        let plot = Plot::parse("line x=t y=n by=who log=x fill=zero", &columns).unwrap();
        assert_eq!((plot.shape, plot.x.as_str(), plot.by.as_deref(), plot.zero), (Shape::Line, "t", Some("who"), true));
        for bad in ["", "pie", "line x=t", "line x=t y=m", "heat x=t y=n", "table x=t", "bars x=who y=n colour=red"] {
            assert!(Plot::parse(bad, &columns).is_err(), "{bad}");
        }
    }
}
