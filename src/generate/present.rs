//! Tells the model what a live capture noted of its start: tables `processes` and `open_files`.

use crate::exec::Ran;
use crate::model::{Config, Name, Notes, Open, Present, Requests};
use crate::schema::read::{batches, bools, bytes, int, ints, texts};
use crate::schema::{Dataset, Table};
use anyhow::Result;
use arrow::array::StringArray;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// The columns of table `processes` that are read.
const COLUMNS: [&str; 9] = ["pid", "uid", "comm", "cwd", "root", "command_line", "cgroup", "rank", "job"];

/// Adds to the model's configuration the processes and descriptors that were there when the capture began, and how its
/// source writes paths and tells of asynchronous requests, page faults and the page cache.
///
/// # Errors
/// When one of the tables is damaged.
pub fn tell(config: &mut Config, capture: &Dataset) -> Result<()> {
    let there = |table: Table| capture.has(table).then(|| capture.table(table));
    let mut present: BTreeMap<i64, Present> = BTreeMap::new();
    if let Some(file) = there(Table::Processes) {
        for batch in batches(&file, &COLUMNS)? {
            let batch = batch?;
            let (pids, uids, comms) = (ints(&batch, "pid")?, ints(&batch, "uid")?, texts(&batch, "comm")?);
            let (cwds, roots) = (texts(&batch, "cwd")?, texts(&batch, "root")?);
            // Captures of earlier versions have none of these.
            let later = |name: &str| batch.column_by_name(name).is_some().then(|| texts(&batch, name)).transpose();
            let (lines, groups, jobs) = (later("command_line")?, later("cgroup")?, later("job")?);
            let ranks = batch.column_by_name("rank").is_some().then(|| ints(&batch, "rank")).transpose()?;
            for row in 0..batch.num_rows() {
                let pid = pids.value(row);
                let text = |column: Option<&StringArray>| Some(bytes(column?, row)?.into_owned());
                let ran = Ran {
                    command_line: text(lines),
                    user: None,
                    cgroup: text(groups),
                    rank: ranks.and_then(|ranks| int(ranks, row)),
                    job: text(jobs),
                };
                let [comm, cwd, root] = [comms, cwds, roots].map(|texts| bytes(texts, row).map(|text| Name::from(&*text)));
                present.insert(pid, Present { pid, comm, uid: Some(uids.value(row)), ran, cwd, root, open: Vec::new() });
            }
        }
    }
    if let Some(file) = there(Table::OpenFiles) {
        open_files(&mut present, file)?;
    }
    config.present = present.into_values().collect();
    let source = capture.manifest.get("source").and_then(|source| source.as_str());
    // SystemTap asks d_path(), which tells a path as the process itself sees it.
    if matches!(source, Some("stap" | "capture")) {
        config.notes = Notes::Process;
    }
    config.requests = match source {
        Some("ebpf") => Requests::All,
        Some("ptrace") => Requests::Submitted,
        _ => Requests::None,
    };
    (config.faults, config.cache) = (tells(capture, "faults"), tells(capture, "cache"));
    Ok(())
}

/// Does the capture say that it tells this?
pub fn tells(capture: &Dataset, key: &str) -> bool {
    capture.manifest.get(key).and_then(|tells| tells.as_bool()) == Some(true)
}

fn open_files(present: &mut BTreeMap<i64, Present>, file: PathBuf) -> Result<()> {
    let columns = ["pid", "fd", "ofd", "path", "flags", "cloexec", "position", "dev", "ino", "st_size", "st_mode"];
    for batch in batches(&file, &columns)? {
        let batch = batch?;
        let number = |name: &str| ints(&batch, name);
        let (pids, fds, ofds, flags) = (number("pid")?, number("fd")?, number("ofd")?, number("flags")?);
        let (positions, sizes, modes) = (number("position")?, number("st_size")?, number("st_mode")?);
        let (devs, inos) = (number("dev")?, number("ino")?);
        let (paths, cloexecs) = (texts(&batch, "path")?, bools(&batch, "cloexec")?);
        for row in 0..batch.num_rows() {
            let pid = pids.value(row);
            let process = present.entry(pid).or_insert_with(|| Present { pid, ..Present::default() });
            process.open.push(Open {
                fd: fds.value(row),
                ofd: ofds.value(row),
                path: bytes(paths, row).map_or_else(|| Arc::from(&b""[..]), |path| Name::from(&*path)),
                flags: flags.value(row),
                cloexec: cloexecs.value(row),
                pos: int(positions, row).unwrap_or(0),
                dev: devs.value(row),
                ino: inos.value(row),
                st_mode: modes.value(row),
                size: sizes.value(row),
            });
        }
    }
    Ok(())
}
