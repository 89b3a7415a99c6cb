//! A text capture of any format, through all of ingest: threads, windows, runs, Parquet.
#![no_main]

use ioriot::ingest::{self, Input, Options};
use ioriot::progress::Progress;
use std::fs;
use std::sync::LazyLock;
use tempfile::TempDir;

static PLACE: LazyLock<TempDir> = LazyLock::new(|| tempfile::tempdir_in("/dev/shm").expect("a directory in memory"));

libfuzzer_sys::fuzz_target!(|text: &[u8]| {
    let (input, out) = (PLACE.path().join("input"), PLACE.path().join("out"));
    fs::write(&input, text).expect("an input can be written");
    // A window this small makes stragglers and runs of a few lines.
    let options = Options { threads: 1, window: 8, ..Options::new(vec![Input::Path(input)], &out) };
    match ingest::run(&options, &Progress::default()) {
        Ok(_) => fs::remove_dir_all(&out).expect("a dataset"),
        Err(error) => assert!(!format!("{error:#}").contains("internal error"), "{error:#}"),
    }
    assert_eq!(fs::read_dir(PLACE.path()).expect("it is there").count(), 1, "something is left");
});
