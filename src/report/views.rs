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
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Which SQL relation holds which table, or which view, of which dataset.
pub struct Shelf<'a> {
    datasets: &'a [Dataset],
    /// Name of the relation, by number of the dataset and name of the table or view.
    relations: BTreeMap<(usize, String), String>,
    /// What the views that are defined are made from, by name.
    kinds: BTreeMap<String, BTreeSet<Kind>>,
}

/// Name of a table or view, and of the relation that stands for it in another view.
type Stand<'a> = (&'a str, &'a str);

/// A view, or a macro, of one dataset.
#[derive(Clone, Debug)]
pub struct Part {
    /// Number of the dataset.
    pub dataset: usize,
    /// Its name in column `dataset`.
    pub label: String,
    /// The SQL over its tables.
    pub sql: String,
}

impl<'a> Shelf<'a> {
    /// A shelf (map of tables to relations) of these datasets without any relation yet.
    pub fn new(datasets: &'a [Dataset]) -> Shelf<'a> {
        Shelf { datasets, relations: BTreeMap::new(), kinds: BTreeMap::new() }
    }

    /// Notes that `relation` holds this table or view of this dataset (by number), and no other rows.
    pub fn put(&mut self, dataset: usize, name: &str, relation: &str) {
        self.relations.insert((dataset, name.to_owned()), relation.to_owned());
    }

    /// Notes that a view is made from these relations.
    pub fn made(&mut self, view: &str, needs: &[String]) {
        self.kinds.insert(view.to_owned(), needs.iter().flat_map(|need| self.kinds(need)).collect());
    }

    /// Notes that a view stands under another name too.
    pub fn alias(&mut self, name: &str, view: &str) {
        let same: Vec<_> =
            self.relations.iter().filter(|((_, known), _)| known == view).map(|((at, _), to)| (*at, to.clone())).collect();
        same.into_iter().for_each(|(at, relation)| self.put(at, name, &relation));
        self.made(name, &[view.to_owned()]);
    }

    /// Kinds of the datasets that a table or view is made from; none for what is no dataset's.
    fn kinds(&self, name: &str) -> BTreeSet<Kind> {
        match Table::ALL.iter().find(|table| table.name() == name) {
            Some(table) => BTreeSet::from([table.kind()]),
            None => self.kinds.get(name).cloned().unwrap_or_default(),
        }
    }

    /// The SQL of a view that needs these relations, for each dataset that it is about; `Err` says why the view cannot be defined.
    pub fn parts(&self, view: &Stage, needs: &[String]) -> Result<Vec<Part>, String> {
        let needed: Vec<(&str, BTreeSet<Kind>)> = needs.iter().map(|need| (need.as_str(), self.kinds(need))).collect();
        let chief = needed.iter().flat_map(|(_, kinds)| kinds).copied().max_by_key(|kind| *kind as u8);
        let Some(chief) = chief else {
            return Ok(vec![Part { dataset: 0, label: String::new(), sql: view.text().into_owned() }]);
        };
        // A view over several kinds is one of the last of them in [`Kind`]'s order.
        let of_kind = |kind: Kind| {
            needed
                .iter()
                .filter(move |(_, kinds)| kinds.iter().max_by_key(|kind| **kind as u8) == Some(&kind))
                .map(|(need, _)| *need)
        };
        let has = |at: usize, kind: Kind| of_kind(kind).all(|need| self.relations.contains_key(&(at, need.to_owned())));
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
                stands.extend(of_kind(kind).filter_map(|need| self.stand(partner, need)));
            }
            parts.push(Part { dataset: at, label: label(&self.datasets[at].dir), sql: alone(view, &stands) });
        }
        if parts.is_empty() { Err(format!("none of the datasets has all of {}", needs.join(", "))) } else { Ok(parts) }
    }

    fn stand<'s>(&'s self, dataset: usize, need: &'s str) -> Option<Stand<'s>> {
        self.relations.get(&(dataset, need.to_owned())).map(|relation| (need, relation.as_str()))
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

/// The text as a SQL identifier, whatever is in it.
pub fn identifier(text: &str) -> String {
    format!("\"{}\"", text.replace('"', "\"\""))
}

/// SQL of the view over one dataset's tables, each of them replaced by the relation that stands for it.
fn alone(view: &Stage, stands: &[Stand]) -> String {
    let other = stands.iter().filter(|(table, relation)| table != relation);
    let with: Vec<String> = other.map(|(table, relation)| format!("{table} AS (SELECT * FROM {relation})")).collect();
    match with.as_slice() {
        [] => view.text().into_owned(),
        with => format!("WITH {} SELECT * FROM (\n{}\n)", with.join(", "), view.text()),
    }
}

/// The ORDER BY of the view's query; `None` when it has none.
fn order(view: &Stage) -> Option<OrderBy> {
    match Parser::parse_sql(&Postgres::bounded(&view.sql), &view.sql).ok()?.pop()? {
        Statement::Query(query) => query.order_by,
        _ => None,
    }
}

/// The rows of these queries, each with its label in column `dataset`, in the order of the view.
pub fn united(view: &Stage, parts: &[(&str, &str)]) -> String {
    let part = |(label, sql): &(&str, &str)| format!("SELECT {} AS dataset, * FROM (\n{sql}\n)", quoted(label));
    let order = order(view).map_or(String::new(), |order| format!(" {order}, dataset"));
    format!("SELECT * FROM ({}){order}", parts.iter().map(part).collect::<Vec<_>>().join("\nUNION ALL "))
}

/// Registers a query under a name, in place of what stood there.
///
/// # Errors
/// When its SQL cannot be planned.
pub fn define(name: &str, sql: &str, engine: &Engine) -> Result<()> {
    engine.define(name, sql).with_context(|| format!("view {name}")).map(drop)
}
