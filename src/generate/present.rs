//! What a live capture knows of its start, for the model: tables `processes`, `open_files` and `mounts`.

use crate::model::{Config, Name, Open, Place, Present};
use crate::schema::read::{batches, bools, bytes, int, ints, texts};
use crate::schema::{Dataset, Table};
use anyhow::Result;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// Kinds of file systems whose files are made by the kernel. Memory file systems (tmpfs) are not among them: what
/// programs write there is theirs, and where a system keeps its own, the usual rules say so.
const PSEUDO: &[&str] = &[
    "proc",
    "sysfs",
    "devtmpfs",
    "devpts",
    "cgroup",
    "cgroup2",
    "debugfs",
    "tracefs",
    "securityfs",
    "pstore",
    "bpf",
    "mqueue",
    "configfs",
    "fusectl",
    "binfmt_misc",
    "autofs",
    "rpc_pipefs",
    "nsfs",
    "efivarfs",
    "selinuxfs",
    "hugetlbfs",
];

/// Adds what the capture knows to the model's rules and start.
///
/// # Errors
/// When a table is damaged.
pub fn tell(config: &mut Config, capture: &Dataset) -> Result<()> {
    let there = |table: Table| Some(capture.table(table)).filter(|file| file.exists());
    if let Some(file) = there(Table::Mounts) {
        mounts(config, file)?;
    }
    let mut present: BTreeMap<i64, Present> = BTreeMap::new();
    if let Some(file) = there(Table::Processes) {
        for batch in batches(&file, &["pid", "cwd"])? {
            let batch = batch?;
            let (pids, cwds) = (ints(&batch, "pid")?, texts(&batch, "cwd")?);
            for row in 0..batch.num_rows() {
                let pid = pids.value(row);
                let cwd = bytes(cwds, row).map(|cwd| Name::from(&*cwd));
                present.insert(pid, Present { pid, cwd, open: Vec::new() });
            }
        }
    }
    if let Some(file) = there(Table::OpenFiles) {
        open_files(&mut present, file)?;
    }
    config.present = present.into_values().collect();
    Ok(())
}

fn mounts(config: &mut Config, file: PathBuf) -> Result<()> {
    for batch in batches(&file, &["path", "kind"])? {
        let batch = batch?;
        let (paths, kinds) = (texts(&batch, "path")?, texts(&batch, "kind")?);
        for row in 0..batch.num_rows() {
            let Some(path) = bytes(paths, row).filter(|path| **path != *b"/") else { continue };
            match kinds.value(row) {
                kind if PSEUDO.contains(&kind) => config.rules.push((path.into_owned(), Place::Pseudo)),
                "tmpfs" | "ramfs" => {}
                // A stored file system may be mounted below a place that usually is none.
                _ => config.rules.push((path.into_owned(), Place::Keep)),
            }
        }
    }
    Ok(())
}

fn open_files(present: &mut BTreeMap<i64, Present>, file: PathBuf) -> Result<()> {
    let columns = ["pid", "fd", "ofd", "path", "flags", "cloexec", "position", "st_size", "st_mode"];
    for batch in batches(&file, &columns)? {
        let batch = batch?;
        let number = |name: &str| ints(&batch, name);
        let (pids, fds, ofds, flags) = (number("pid")?, number("fd")?, number("ofd")?, number("flags")?);
        let (positions, sizes, modes) = (number("position")?, number("st_size")?, number("st_mode")?);
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
                st_mode: modes.value(row),
                size: sizes.value(row),
            });
        }
    }
    Ok(())
}
