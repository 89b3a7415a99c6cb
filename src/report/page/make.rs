//! Makes a report: asks all sections and findings of each case.

use super::Options;
use super::again;
use super::case::{self, Case, Scope};
use super::cell::{Cell, rows};
use super::content::{Column, Evidence, Finding, Page, Part, Section};
use super::plot::Shape;
use super::sections::{self, FINDINGS, PARTS, SECTIONS};
use crate::engine::{Access, Stage};
use crate::report::tables::Desk;
use crate::report::views::label;
use crate::schema::Dataset;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeSet;

/// Rows of a table that are kept.
const TABLE_ROWS: usize = 100;
/// Rows of a plot that are kept.
const PLOT_ROWS: usize = 16_000;
/// Lines of evidence of a finding that are kept.
const EVIDENCE: usize = 5;

/// Opens the datasets and makes a report on them.
///
/// # Errors
/// When a dataset cannot be opened, there is nothing to report on, or a question cannot be answered.
pub fn make(options: &Options) -> Result<Page> {
    let dirs = &options.datasets;
    ensure!(!dirs.is_empty(), "name a capture, a workload or a run");
    let datasets = dirs.iter().map(|dir| Dataset::open(dir)).collect::<Result<Vec<_>>>()?;
    let cases = case::cases(&datasets)?;
    let several = cases.len() > 1;
    let mut page = Page {
        title: datasets.last().map(|data| label(&data.dir)).unwrap_or_default(),
        ioriot: env!("CARGO_PKG_VERSION"),
        datasets: case::named(&datasets),
        rules: FINDINGS.len(),
        commands: again::commands(&datasets),
        ..Page::default()
    };
    let mut parts: Vec<Vec<Section>> = vec![Vec::new(); PARTS.len()];
    for case in &cases {
        let name = several.then(|| case.label.clone());
        let desk = opened(case, options)?;
        page.notes.extend(desk.short.values().map(|short| format!("{short}. What needs it is left out.")));
        for stage in SECTIONS {
            let head = sections::section(stage)?;
            if !asked(&desk, case, &head.needs) {
                continue;
            }
            let most = if head.plot.shape == Shape::Table { TABLE_ROWS } else { PLOT_ROWS };
            let (rows, more) = answer(&desk, stage, most)?;
            if rows.is_empty() {
                page.empty.push(head.title);
                continue;
            }
            let columns = head.columns.iter().map(|(name, meaning)| Column::new(name, meaning)).collect();
            let sql = Some(sections::statement(stage).to_owned());
            let (title, meaning, plot) = (head.title, head.meaning, head.plot);
            parts[head.part].push(Section {
                name: stage.name,
                title,
                case: name.clone(),
                meaning,
                plot,
                columns,
                rows,
                more,
                sql,
            });
        }
        for stage in FINDINGS {
            page.findings.extend(found(&desk, case, stage, &name)?);
        }
    }
    page.findings.sort_by_key(|finding| finding.severity);
    let parts = PARTS.iter().zip(parts).filter(|(_, sections)| !sections.is_empty());
    page.parts = parts.map(|((name, title), sections)| Part { name, title, sections }).collect();
    page.notes.dedup();
    // One of several cases may have what another lacks.
    let filled = |title: &String| page.parts.iter().flat_map(|part| &part.sections).any(|section| section.title == *title);
    let mut seen = BTreeSet::new();
    page.empty =
        std::mem::take(&mut page.empty).into_iter().filter(|title| !filled(title) && seen.insert(title.clone())).collect();
    Ok(page)
}

/// The session of a case, on this machine with what many questions read computed.
fn opened(case: &Case, options: &Options) -> Result<Desk> {
    let desk = Desk::open(&case.dirs, Access::Tables, options.memory)?;
    #[cfg(feature = "cluster")]
    if let Some(cluster) = &options.cluster {
        // Executors do not see the temporary files of this machine.
        return desk.on(cluster);
    }
    if case.scope == Scope::Whole {
        desk.settle()?;
    }
    Ok(desk)
}

/// Is there what a question needs, and is it for this case to answer?
fn asked(desk: &Desk, case: &Case, needs: &[String]) -> bool {
    desk.has(needs) && (case.scope == Scope::Whole || sections::of_run(needs))
}

fn answer(desk: &Desk, stage: &Stage, most: usize) -> Result<(Vec<Vec<Cell>>, bool)> {
    let answer = desk.engine.first(&stage.sql, most).with_context(|| format!("{} of the report", stage.name))?;
    Ok((rows(&answer.batches)?, answer.more))
}

fn found(desk: &Desk, case: &Case, stage: &'static Stage, name: &Option<String>) -> Result<Option<Finding>> {
    let head = sections::finding(stage)?;
    if !asked(desk, case, &head.needs) {
        return Ok(None);
    }
    let (rows, _) = answer(desk, stage, EVIDENCE)?;
    let text = |cell: Option<&Cell>| match cell {
        Some(Cell::Text(text)) => text.clone(),
        _ => String::new(),
    };
    let evidence = rows.iter().map(|row| Evidence {
        subject: text(row.first()),
        numbers: text(row.get(1)),
        cost_ns: match row.get(2) {
            Some(Cell::Int(ns)) => Some(*ns),
            _ => None,
        },
    });
    let evidence: Vec<_> = evidence.collect();
    Ok((!evidence.is_empty()).then(|| Finding {
        name: stage.name,
        title: head.title,
        case: name.clone(),
        severity: head.severity,
        meaning: head.meaning,
        advice: head.advice,
        source: head.source,
        evidence,
        sql: sections::statement(stage).to_owned(),
    }))
}
