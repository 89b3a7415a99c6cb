//! What directories say of themselves: manifests, stamps, lists of mounts.
#![no_main]

use std::sync::LazyLock;
use tempfile::TempDir;

static PLACE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir_in("/dev/shm").expect("a directory in memory"));

libfuzzer_sys::fuzz_target!(|text: &[u8]| ioriot::fuzz::manifest(PLACE.path(), text).expect("a manifest can be written"));
