//! The files that an executor reads: Parquet files below the prefixes that it was started with, opened by descriptor and checked
//! whole, as those of a local query are.
//!
//! A plan names a file by its path. That path is taken apart into the prefix that it lies below and the rest, which is opened beneath
//! the prefix: no `..` and no symlink leads out (openat2(2)).

use crate::engine::table::Opened;
use crate::files::Dir;
use crate::schema::check::{self, Checked};
use anyhow::{Context, Result, bail, ensure};
use datafusion::common::tree_node::{Transformed, TreeNode};
use datafusion::common::{DataFusionError, Result as PlanResult};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileScanConfig, FileScanConfigBuilder, ParquetFileReaderFactory, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::object_store::path::Path as Location;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::metrics::ExecutionPlanMetricsSet;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::file::reader::Length;
use std::collections::HashMap;
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// So many files are kept open, at most: a query has several tasks for each.
const KEPT: usize = 1024;

/// What an executor may read.
#[derive(Debug)]
pub struct Allowed {
    /// Directories, each with its path without symlinks.
    below: Vec<(PathBuf, Dir)>,
    /// Files that were checked, by what told them from others at that time.
    known: Mutex<HashMap<Identity, Checked>>,
}

/// What tells a file, and a version of it, from others: device, inode, size, and the times of its last changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Identity([i64; 7]);

impl Allowed {
    /// What lies in these directories and below them.
    ///
    /// # Errors
    /// When one cannot be opened.
    pub fn new(prefixes: &[PathBuf]) -> Result<Allowed> {
        let open = |prefix: &PathBuf| {
            let named = || format!("cannot allow {}", prefix.display());
            let path = prefix.canonicalize().with_context(named)?;
            let dir = Dir::open(&path).with_context(named)?;
            Ok((path, dir))
        };
        Ok(Allowed { below: prefixes.iter().map(open).collect::<Result<_>>()?, known: Mutex::default() })
    }

    /// Opens a file by its absolute path, if it is allowed, and checks it.
    ///
    /// # Errors
    /// When it lies below no prefix, is led there by a symlink, is no regular file, or is damaged.
    fn open(&self, path: &Path) -> Result<Checked> {
        let matching = self.below.iter().filter_map(|(prefix, dir)| Some((dir, path.strip_prefix(prefix).ok()?)));
        let Some((dir, rest)) = matching.max_by_key(|(dir, _)| dir.path().as_os_str().len()) else {
            bail!("{} is not below what this executor may read (--allow)", path.display());
        };
        let file = dir.file_below(rest.as_os_str().as_bytes());
        let file = file.with_context(|| format!("{} cannot be read by this executor", path.display()))?;
        let identity = file.metadata()?;
        let id = [identity.dev() as i64, identity.ino() as i64, identity.size() as i64, identity.mtime(), identity.mtime_nsec()];
        let id = Identity([id[0], id[1], id[2], id[3], id[4], identity.ctime(), identity.ctime_nsec()]);
        let known = |known: &mut HashMap<Identity, Checked>| known.get(&id).cloned();
        if let Some(known) = known(&mut self.known.lock().unwrap_or_else(PoisonError::into_inner)) {
            return Ok(known);
        }
        let checked = check::opened(path, file)?;
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= KEPT {
            known.clear();
        }
        known.insert(id, checked.clone());
        Ok(checked)
    }
}

/// Where a plan says that a file is: the URL of its store, and its place there, which is the absolute path of a file of this machine.
pub fn located(path: &Path) -> Result<(ObjectStoreUrl, Location)> {
    let path = path.canonicalize().with_context(|| format!("cannot find {}", path.display()))?;
    let text = path.to_str().with_context(|| format!("the name of {} is no UTF-8, which plans are", path.display()))?;
    Ok((ObjectStoreUrl::local_filesystem(), Location::from(text)))
}

/// The path that [`located`] was given, without symlinks.
fn path(location: &Location) -> Result<PathBuf> {
    let mut path = PathBuf::from("/");
    for part in location.parts() {
        let part = decoded(part.as_ref())?;
        ensure!(!part.is_empty() && part != b"." && part != b".." && !part.contains(&b'/'), "{location} is no path");
        path.push(OsStr::from_bytes(&part));
    }
    Ok(path)
}

/// Bytes without percent-encoding.
fn decoded(part: &str) -> Result<Vec<u8>> {
    let (mut bytes, mut rest) = (Vec::with_capacity(part.len()), part.as_bytes());
    while let [first, more @ ..] = rest {
        rest = more;
        match (*first, more) {
            (b'%', [high, low, more @ ..]) => {
                let digit = |byte: u8| char::from(byte).to_digit(16).context("a path of the plan is badly encoded");
                bytes.push((digit(*high)? * 16 + digit(*low)?) as u8);
                rest = more;
            }
            (b'%', _) => bail!("a path of the plan is badly encoded"),
            (byte, _) => bytes.push(byte),
        }
    }
    Ok(bytes)
}

/// Has each scan of a plan read what is allowed, and nothing else.
///
/// # Errors
/// When a scan reads something else than files of this machine.
pub fn bind(plan: Arc<dyn ExecutionPlan>, allowed: &Arc<Allowed>) -> PlanResult<Arc<dyn ExecutionPlan>> {
    let bound = plan.transform_up(|node| {
        let scan = node.downcast_ref::<DataSourceExec>();
        let Some(files) = scan.and_then(|scan| scan.data_source().downcast_ref::<FileScanConfig>()) else {
            return Ok(Transformed::no(node));
        };
        let source = files.file_source().downcast_ref::<ParquetSource>().filter(|_| {
            // Other stores are never asked.
            files.object_store_url == ObjectStoreUrl::local_filesystem()
        });
        let Some(source) = source else {
            return Err(DataFusionError::Plan("a plan reads something else than Parquet files of this machine".into()));
        };
        let factory = Arc::new(Below(Arc::clone(allowed))) as Arc<dyn ParquetFileReaderFactory>;
        let source = source.clone().with_parquet_file_reader_factory(factory);
        let files = FileScanConfigBuilder::from(files.clone()).with_source(Arc::new(source)).build();
        Ok(Transformed::yes(DataSourceExec::from_data_source(files) as Arc<dyn ExecutionPlan>))
    })?;
    Ok(bound.data)
}

/// Makes readers of allowed files.
#[derive(Debug)]
struct Below(Arc<Allowed>);

impl ParquetFileReaderFactory for Below {
    fn create_reader(
        &self,
        partition: usize,
        file: PartitionedFile,
        hint: Option<usize>,
        metrics: &ExecutionPlanMetricsSet,
    ) -> PlanResult<Box<dyn AsyncFileReader + Send>> {
        let open = || {
            let path = path(&file.object_meta.location)?;
            let checked = self.0.open(&path)?;
            let (found, planned) = (checked.file.len(), file.object_meta.size);
            ensure!(
                found == planned,
                "{} has {found} bytes on this executor, and the query was planned for {planned}: all machines of a cluster must see \
                 the same files",
                path.display()
            );
            Ok(checked)
        };
        let checked = open().map_err(|error: anyhow::Error| DataFusionError::Execution(format!("{error:#}")))?;
        Opened(checked).create_reader(partition, file, hint, metrics)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn paths_come_back_as_they_were() {
        let dir = tempfile::tempdir().unwrap();
        for name in ["plain", "host=a b", "ü%41\u{1}x", "a*?[]~^|<>\"#", "..a"] {
            let file = dir.path().join(name);
            fs::write(&file, "").unwrap();
            let (url, location) = located(&file).unwrap();
            let wire = Location::parse(location.as_ref()).unwrap();
            assert_eq!((url.as_str(), path(&wire).unwrap()), ("file:///", file.canonicalize().unwrap()), "{name}");
        }
        for bad in ["a/%2e%2e/b", "a/%2E/b", "a/b%2fc", "a/%", "a/%g0"] {
            assert!(Location::parse(bad).ok().is_none_or(|location| path(&location).is_err()), "{bad}");
        }
    }

    #[test]
    fn nothing_is_opened_that_is_not_below_a_prefix() {
        let dir = tempfile::tempdir().unwrap();
        let root = dir.path().canonicalize().unwrap();
        let (inside, outside) = (root.join("in"), root.join("inside-not"));
        fs::create_dir_all(inside.join("deep")).unwrap();
        fs::create_dir(&outside).unwrap();
        fs::write(outside.join("file"), "PAR1").unwrap();
        symlink(outside.join("file"), inside.join("link")).unwrap();
        symlink(&outside, inside.join("dir")).unwrap();
        symlink("../inside-not/file", inside.join("relative")).unwrap();
        fs::write(inside.join("deep/file"), "no Parquet").unwrap();
        let allowed = Allowed::new(std::slice::from_ref(&inside)).unwrap();
        for (path, says) in [
            (PathBuf::from("/etc/passwd"), "--allow"),
            (outside.join("file"), "--allow"),
            (inside.join("link"), "cannot be read"),
            (inside.join("dir/file"), "cannot be read"),
            (inside.join("relative"), "cannot be read"),
            (inside.join("../inside-not/file"), "cannot be read"),
            (inside.join("deep"), "cannot be read"),
            (inside.clone(), "cannot be read"),
            (inside.join("deep/file"), "no Parquet file"),
        ] {
            let error = format!("{:#}", allowed.open(&path).unwrap_err());
            assert!(error.contains(says), "{}: {error}", path.display());
        }
        Allowed::new(&[root.join("none")]).unwrap_err();
    }
}
