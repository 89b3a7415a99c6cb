//! Several captures of one machine as one: their events by time, and what was open when each began.

use super::work::Work;
use super::{open, places};
use crate::model::{Config, Present};
use crate::progress::Progress;
use crate::schema::{Dataset, Table, check, read};
use anyhow::{Context, Result, bail, ensure};
use arrow::array::AsArray;
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use serde_json::Value;
use std::path::{Path, PathBuf};

/// Numbers of open file descriptions of each capture begin at a multiple of this.
const OFDS: i64 = 1 << 40;

/// Opens the captures that are merged into the first one.
///
/// # Errors
/// When one is no capture, or has another machine, clock or boot, or tells other things than the first.
pub(super) fn others(first: &Dataset, dirs: &[PathBuf]) -> Result<Vec<Dataset>> {
    let all = dirs.iter().map(|dir| open(dir)).collect::<Result<Vec<_>>>()?;
    for other in &all {
        same(first, other)?;
    }
    Ok(all)
}

/// Are two captures of one machine, on one clock?
fn same(one: &Dataset, other: &Dataset) -> Result<()> {
    let text = |data: &Dataset, key: &str| data.manifest.get(key).filter(|value| !value.is_null()).map(Value::to_string);
    let names = || format!("{} and {} cannot be merged", one.dir.display(), other.dir.display());
    for (key, what) in [
        ("host", "are of different machines"),
        ("clock", "have different clocks"),
        ("boot", "are of different boots of the machine, so times and process ids of one mean nothing in the other"),
        ("source", "were captured by different means, which tell different things"),
        ("faults", "tell of page faults in one and not in the other"),
        ("waits", "tell of waits in one and not in the other"),
    ] {
        let (mine, its) = (text(one, key), text(other, key));
        ensure!(
            mine == its,
            "{}: they {what} ({key}: {} and {})",
            names(),
            mine.unwrap_or("none".into()),
            its.unwrap_or("none".into())
        );
    }
    let clock = text(one, "clock").unwrap_or_default();
    ensure!(
        clock.contains("unix") || text(one, "boot").is_some(),
        "{}: their times are not times of day, and they do not say of which boot",
        names()
    );
    Ok(())
}

/// The model's configuration for several captures: that of the first, with what was open in each.
///
/// # Errors
/// When a table is damaged.
pub(super) fn config(mut config: Config, others: &[&Dataset]) -> Result<Config> {
    let mut present: Vec<Present> = config.present.to_vec();
    for (other, part) in others.iter().zip(1..) {
        let more = places(other, &[], &[])?.present;
        present.extend(more.iter().cloned().map(|mut process| {
            process.open.iter_mut().for_each(|open| open.ofd += part * OFDS);
            process
        }));
    }
    config.present = present.into();
    Ok(config)
}

impl Work<'_> {
    /// Makes table `events` of the events of all captures, in the order of the ends of calls.
    pub(super) fn merge(&self, captures: &[&Dataset]) -> Result<()> {
        let columns = Table::Events.columns();
        let columns: Vec<&str> = columns.iter().map(|column| column.name).collect();
        let mut parts = Vec::new();
        for (capture, part) in captures.iter().zip(0..) {
            let (file, name) = (capture.table(Table::Events), format!("events_{part}"));
            read::builder(&file, &columns)?;
            self.engine.register(&name, &file, check::whole(&file)?)?;
            let of = columns.iter().map(|column| match *column {
                "arg" => format!("CASE WHEN syscall = 'joined_fd' THEN arg + {} ELSE arg END AS arg", part * OFDS),
                column => format!("\"{column}\""),
            });
            // Of a hostile capture the sum may be more than a BIGINT.
            let moment = "max(ts + least(greatest(coalesce(dur, 0), 0), 9223372036854775807 - greatest(ts, 0))) OVER (ORDER BY seq ROWS BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)";
            parts.push(format!("SELECT {}, {part} AS part, {moment} AS moment FROM {name}", of.collect::<Vec<_>>().join(", ")));
        }
        let parts = self.engine.sql(&parts.join(" UNION ALL "))?;
        self.engine.ctx().register_table("parts", parts.into_view())?;
        if !self.is_rehearsal() {
            self.apart(captures)?;
        }
        self.scratch("merged", self.plan("merged")?, &Progress::default())?;
        let events = self.engine.sql("SELECT * FROM merged")?;
        self.engine.ctx().register_table(Table::Events.name(), events.into_view())?;
        Ok(())
    }

    /// Refuses captures that have a process in common: each call of it would be there twice.
    fn apart(&self, captures: &[&Dataset]) -> Result<()> {
        let sql = "SELECT pid, min(part) AS one, max(part) AS other FROM parts WHERE pid IS NOT NULL GROUP BY pid HAVING min(part) <> \
                   max(part) ORDER BY pid";
        let answer = self.engine.first(sql, 1)?;
        let Some(row) = answer.batches.iter().find(|batch| batch.num_rows() > 0) else { return Ok(()) };
        let number = |at: usize| -> Result<i64> {
            let column = cast(row.column(at), &DataType::Int64)?;
            Ok(column.as_primitive::<Int64Type>().value(0))
        };
        let dir = |at: usize| -> Result<&Path> {
            let capture = captures.get(usize::try_from(number(at)?)?).context("a part is a capture")?;
            Ok(capture.dir.as_path())
        };
        bail!("process {} is in {} and in {}: its calls would be there twice", number(0)?, dir(1)?.display(), dir(2)?.display())
    }
}
