//! A job file of fio: for each class of threads a job that reads and writes in the same sizes, mix, order and depth.
//!
//! ```text
//! rows by thread and size ──▶ Part: what a thread did in one way ──▶ Job: parts of one shape ──▶ a section
//! ```
//! It is a synthesis: fio draws sizes, places and order by chance. Memory grows with the number of threads, not of calls.

mod part;
mod section;

use super::{Left, Source};
use crate::syscall::{Op, Syscall};
use anyhow::Result;
use part::{Engine, Part, Shape, Way};
use section::Job;
use std::collections::{BTreeMap, HashMap};
use std::io::Write;

/// Jobs of a file, at most.
const MOST: usize = 32;

/// Writes the job file.
///
/// # Errors
/// When there are no calls on files, or the output cannot be written.
pub fn write(source: &Source<'_>, out: &mut (dyn Write + Send)) -> Result<Left> {
    let mut left = Left::default();
    let parts = parts(source, &mut left)?;
    let mut files: HashMap<(i64, i64), (u64, u64)> = HashMap::new();
    source.each("job_files", |rows| {
        let (pids, tids, count, extent) = (rows.ints("pid")?, rows.ints("tid")?, rows.ints("files")?, rows.ints("extent")?);
        for row in 0..rows.len() {
            let number = |value: Option<i64>| value.unwrap_or_default().max(0).unsigned_abs();
            let key = (pids.get(row).unwrap_or_default(), tids.get(row).unwrap_or_default());
            files.insert(key, (number(count.get(row)), number(extent.get(row))));
        }
        Ok(())
    })?;
    let mut jobs: BTreeMap<Shape, Job> = BTreeMap::new();
    for ((pid, tid, way), part) in parts {
        if part.moved() == 0 {
            left.some("syncs of threads that read and wrote nothing else are in no job", part.syncs());
            continue;
        }
        let (count, extent) = files.get(&(pid, tid)).copied().unwrap_or((1, 0));
        jobs.entry(part.shape(way)).or_default().add(&part, count, extent);
    }
    let mut jobs: Vec<(Shape, Job)> = jobs.into_iter().collect();
    jobs.sort_by_key(|(_, job)| std::cmp::Reverse(job.calls()));
    for (_, job) in jobs.iter().skip(MOST) {
        left.some("reads and writes of the threads that did least are in no job", job.calls());
    }
    jobs.truncate(MOST);
    writeln!(
        out,
        "; Made by ioriot {} from the reads and writes of a capture: sizes, mix, order and depth.",
        env!("CARGO_PKG_VERSION")
    )?;
    writeln!(out, "; fio --directory=DIR FILE makes files of its own and runs all jobs at once.")?;
    for (number, (shape, job)) in jobs.iter().enumerate() {
        job.write(number + 1, shape.way, out)?;
    }
    Ok(left)
}

/// What each thread did in each way.
fn parts(source: &Source<'_>, left: &mut Left) -> Result<BTreeMap<(i64, i64, Way), Part>> {
    let mut parts: BTreeMap<(i64, i64, Way), Part> = BTreeMap::new();
    // Syncs belong to the way of opening of the file, and to the engine of the thread's writes.
    source.each("jobs", |rows| {
        let ([pids, tids], calls) = ([rows.ints("pid")?, rows.ints("tid")?], rows.texts("syscall")?);
        let (classes, sizes) = (rows.texts("class")?, rows.ints("size")?);
        let (direct, synchronous) = (rows.truths("direct")?, rows.truths("synchronous")?);
        let counts = [rows.ints("calls")?, rows.ints("total_ns")?, rows.ints("known")?, rows.ints("random")?];
        let times = [rows.reals("first_s")?, rows.reals("last_s")?];
        for row in 0..rows.len() {
            let syscall = calls.get(row).and_then(|name| Syscall::parse(name.as_bytes()));
            let engine = Engine::of(syscall.and_then(Syscall::interface));
            let way = Way { engine, direct: direct.value(row), synchronous: synchronous.value(row) };
            let [calls, total, known, random] = counts.map(|column| column.get(row).unwrap_or_default().max(0).unsigned_abs());
            let key = (pids.get(row).unwrap_or_default(), tids.get(row).unwrap_or_default(), way);
            let part = parts.entry(key).or_default();
            let size = sizes.get(row).unwrap_or_default().max(0).unsigned_abs();
            match (classes.get(row), syscall.and_then(Syscall::op)) {
                (Some("reads"), _) => part.reads.add(size, calls, known, random),
                (Some("writes"), _) => part.writes.add(size, calls, known, random),
                (_, Some(Op::Fsync)) => part.fsyncs += calls,
                (_, Some(Op::Fdatasync)) => part.fdatasyncs += calls,
                _ => left.some("syncs of a range, a file system or all are in no job", calls),
            }
            if size > 0 {
                part.busy += total;
                part.during(times[0].value(row), times[1].value(row));
            }
        }
        Ok(())
    })?;
    Ok(parts)
}
