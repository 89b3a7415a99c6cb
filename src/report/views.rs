//! Defines the ready-made views for several datasets, one dataset at a time.
//!
//! A view is about one capture, workload or run. Over several it is computed for each and the rows are put together,
//! with a column `dataset` that tells them apart: percentiles over two runs pooled would be those of neither. A run is
//! joined with its own workload only, found by its fingerprint.

use crate::engine::{Engine, Postgres, Stage};
use crate::schema::dataset::Kind;
use crate::schema::{Dataset, Table};
use anyhow::{Context, Result};
use datafusion::sql::sqlparser::ast::{OrderBy, Statement};
use datafusion::sql::sqlparser::parser::Parser;
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// Which SQL relation holds which table of which dataset.
pub struct Shelf<'a> {
    datasets: &'a [Dataset],
    /// Name of the relation, by number of the dataset and name of the table.
    relations: BTreeMap<(usize, &'static str), String>,
}

/// Name of a table, and of the relation that stands for it in a view.
type Stand<'a> = (&'static str, &'a str);

impl<'a> Shelf<'a> {
    /// A shelf (map of tables to relations) of these datasets without any relation yet.
    pub fn new(datasets: &'a [Dataset]) -> Shelf<'a> {
        Shelf { datasets, relations: BTreeMap::new() }
    }

    /// Notes that `relation` holds this table of this dataset (by number), and no other rows.
    pub fn put(&mut self, dataset: usize, table: Table, relation: &str) {
        self.relations.insert((dataset, table.name()), relation.to_owned());
    }

    /// The view's SQL as it must be for these datasets; `Err` says why the view cannot be defined.
    pub fn view(&self, view: &Stage, needs: &[String]) -> Result<Stage, String> {
        let tables: Vec<Table> =
            Table::ALL.iter().copied().filter(|table| needs.iter().any(|need| need == table.name())).collect();
        let Some(chief) = tables.iter().map(|table| table.kind()).max_by_key(|kind| *kind as u8) else { return Ok(view.clone()) };
        let of_kind = |kind: Kind| tables.iter().copied().filter(move |table| table.kind() == kind);
        let has = |at: usize, kind: Kind| of_kind(kind).all(|table| self.relations.contains_key(&(at, table.name())));
        let with = |kind: Kind| {
            let all = self.datasets.iter().enumerate();
            all.filter(move |(at, data)| data.kind == kind && has(*at, kind)).map(|(at, _)| at)
        };
        let mut parts = Vec::new();
        for at in with(chief) {
            let mut stands = Vec::new();
            for kind in [Kind::Capture, Kind::Workload, Kind::Run] {
                if of_kind(kind).next().is_none() {
                    continue;
                }
                let partner = if kind == chief { Some(at) } else { with(kind).find(|other| self.belong(at, *other)) };
                let partner = partner.ok_or_else(|| self.strange(at, kind))?;
                stands.extend(of_kind(kind).filter_map(|table| self.stand(partner, table)));
            }
            parts.push((label(&self.datasets[at].dir), alone(view, &stands)));
        }
        match parts.as_slice() {
            [] => Err(format!("none of the datasets has all of {}", needs.join(", "))),
            [(_, one)] => Ok(Stage { name: view.name, sql: one.clone().into() }),
            several => Ok(Stage { name: view.name, sql: united(view, several).into() }),
        }
    }

    fn stand(&self, dataset: usize, table: Table) -> Option<Stand<'_>> {
        self.relations.get(&(dataset, table.name())).map(|relation| (table.name(), relation.as_str()))
    }

    fn belong(&self, run: usize, workload: usize) -> bool {
        let print = fingerprint(&self.datasets[run]);
        print.is_some() && print == fingerprint(&self.datasets[workload])
    }

    fn strange(&self, at: usize, kind: Kind) -> String {
        let data = &self.datasets[at];
        let print = fingerprint(data).unwrap_or("unknown");
        let (dir, its, kind) = (data.dir.display(), data.kind.name(), kind.name());
        format!("{dir} is a {its} of another {kind} (fingerprint {print}) than those that are given")
    }
}

/// Hash that identifies the workload that a dataset is, or that it is a run of; `None` when unknown.
pub fn fingerprint(data: &Dataset) -> Option<&str> {
    data.manifest.get("fingerprint").and_then(Value::as_str).filter(|print| !print.is_empty() && *print != "unknown")
}

/// Name of a dataset in column `dataset`: its path as given, without slashes at its end.
pub fn label(dir: &Path) -> String {
    dir.to_string_lossy().trim_end_matches('/').to_owned()
}

/// The text as a SQL string literal.
pub fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// SQL of the view over one dataset's tables, each of them replaced by the relation that stands for it.
fn alone(view: &Stage, stands: &[Stand]) -> String {
    let other = stands.iter().filter(|(table, relation)| table != relation);
    let with: Vec<String> = other.map(|(table, relation)| format!("{table} AS (SELECT * FROM {relation})")).collect();
    match with.as_slice() {
        [] => view.sql.clone().into_owned(),
        with => {
            format!("WITH {} SELECT * FROM (\n{}\n)", with.join(", "), view.sql)
        }
    }
}

/// The ORDER BY of the view's query; `None` when it has none.
fn order(view: &Stage) -> Option<OrderBy> {
    match Parser::parse_sql(&Postgres::bounded(&view.sql), &view.sql).ok()?.pop()? {
        Statement::Query(query) => query.order_by,
        _ => None,
    }
}

fn united(view: &Stage, parts: &[(String, String)]) -> String {
    let part = |(label, sql): &(String, String)| format!("SELECT {} AS dataset, * FROM (\n{sql}\n)", quoted(label));
    let order = order(view).map_or(String::new(), |order| format!(" {order}, dataset"));
    format!("SELECT * FROM ({}){order}", parts.iter().map(part).collect::<Vec<_>>().join("\nUNION ALL "))
}

/// Registers a view under its name.
///
/// # Errors
/// When its SQL cannot be planned.
pub fn define(view: &Stage, engine: &Engine) -> Result<()> {
    let rows = engine.sql(&view.sql).with_context(|| format!("view {}", view.name))?;
    engine.ctx().register_table(view.name, rows.into_view())?;
    Ok(())
}
