//! What a build without object stores says when one is named.

use anyhow::{Result, bail};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

fn refuse<T>(url: &Path) -> Result<T> {
    bail!(
        "{} is in a store, and this ioriot was built without them: build it with `cargo build --release --features s3`, or \
         copy the dataset to this machine",
        url.display()
    )
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn manifest(url: &Path) -> Result<Vec<u8>> {
    refuse(url)
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn know(url: &Path, _: Option<BTreeMap<String, u64>>) -> Result<()> {
    refuse(url)
}

/// Nothing is known of what is in a store.
pub fn holds(_: &Path) -> bool {
    false
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn hosts(url: &Path) -> Result<Vec<PathBuf>> {
    refuse(url)
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn expand(url: &Path) -> Result<Vec<PathBuf>> {
    refuse(url)
}

/// Refuses.
///
/// # Errors
/// Always.
pub fn ready(url: &Path) -> Result<()> {
    refuse(url)
}
