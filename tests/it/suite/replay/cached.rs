//! The state of the page cache before a replay, of workloads that say anything of it.

use super::work::{Row, Work, op, run};
use crate::alone::alone;
use crate::skip::{Need, skip};
use crate::tool::ioriot;
use ioriot::replay::{Cache, Options};
use serde_json::json;
use std::fs::{self, File};
use std::os::unix::fs::symlink;

/// A range of a file.
fn range(path: &str, what: &str, offset: i64, length: i64) -> Row {
    Row::default().set("path", path).set("what", what).set("offset", offset).set("length", length)
}

/// A workload of a file of 64 pages, of which pages 10 to 19 are warm and the first half is read.
fn warm() -> Work {
    let mut work = Work::new();
    work.need("/file", "file", 64 * 4096);
    work.extents.push(range("/file", "read", 0, 32 * 4096));
    work.extents.push(range("/file", "warm", 10 * 4096 + 5, 10 * 4096 - 5));
    work.op(op("open", 3).raw("/file").flags(0).ofd(0));
    work.manifest.insert("cache".into(), json!({ "read": 1, "warm": 10 * 4096 - 5, "files": 1, "added": 0 }));
    work.dir = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    work
}

#[test]
fn the_state_that_is_asked_for_is_made() {
    alone();
    let work = warm();
    work.write();
    assert!(work.init().unwrap().ok());
    let state = |cache, drop_caches| {
        let mut options = Options { cache, dirty: true, ..work.options() };
        options.conditions.drop_caches = drop_caches;
        let summary = run(&options).unwrap();
        fs::remove_dir_all(work.place("run")).unwrap();
        summary.cache.unwrap()
    };
    for (cache, expected, wanted, evicted, reached) in [
        (None, Cache::Captured, 10 * 4096 - 5, 1, Some(100.0)),
        (Some(Cache::Captured), Cache::Captured, 10 * 4096 - 5, 1, Some(100.0)),
        (Some(Cache::Warm), Cache::Warm, 32 * 4096, 0, Some(100.0)),
        (Some(Cache::AsIs), Cache::AsIs, 0, 0, None),
    ] {
        let state = state(cache, false);
        assert_eq!((state.state, state.wanted, state.evicted, state.failed), (Some(expected), wanted, evicted, 0), "{state:?}");
        if state.reached_percent.is_some() {
            assert_eq!(state.reached_percent, reached, "{state:?}");
        }
        assert!(!state.dropped && state.beside.is_none_or(|beside| beside == 0), "{state:?}");
    }
    // Its meaning is what it was.
    assert_eq!(state(None, true).state, Some(Cache::AsIs));
}

#[test]
fn what_is_not_known_is_not_made() {
    let mut work = warm();
    work.manifest.remove("cache");
    work.write();
    assert!(work.init().unwrap().ok());
    let error = run(&Options { cache: Some(Cache::Captured), ..work.options() }).unwrap_err();
    assert!(format!("{error:#}").contains("not known"), "{error:#}");
    assert_eq!(run(&work.options()).unwrap().cache.unwrap().state, Some(Cache::AsIs));
}

/// Ranges come from somebody else (those that no file can have init refuses): nothing outside of the tree is opened, nothing that is no file, and nothing is read twice.
#[test]
fn ranges_that_are_wrong_are_counted_or_cut() {
    let mut work = warm();
    let secret = work.place("secret");
    fs::write(&secret, vec![1; 1 << 20]).unwrap();
    work.extents.extend([
        range("/file", "warm", 15 * 4096, 10 * 4096),
        range("/file", "warm", 0, i64::MAX),
        range("/link", "warm", 0, 4096),
        range("/fifo", "warm", 0, 4096),
        range("/none", "warm", 0, 4096),
        range("/../../secret", "warm", 0, 4096),
        range("", "warm", 0, 4096),
        range("/", "warm", 0, 4096),
        range("relative", "warm", 0, 4096),
        range("/nul\\x00", "warm", 0, 4096),
    ]);
    work.need("/fifo", "fifo", 0);
    work.write();
    assert!(work.init().unwrap().ok());
    symlink(&secret, work.tree().join("link")).unwrap();
    let summary = run(&Options { min_match: 0.0, ..work.options() }).unwrap();
    let state = summary.cache.unwrap();
    // From page 10 to the end of the file.
    assert_eq!(state.wanted, 54 * 4096 - 5, "{state:?}");
    assert_eq!(state.failed, 8, "{state:?}");
    assert!(File::open(&secret).is_ok());
}

/// By a process of its own: the limit is for all of it.
#[test]
fn a_memory_limit_is_that_of_the_replay() {
    let work = warm();
    work.write();
    assert!(work.init().unwrap().ok());
    let [w, r, o] = ["work", "root", "run"].map(|name| work.place(name).to_str().unwrap().to_owned());
    let done = ioriot(&["replay", &w, "--root", &r, "-o", &o, "--memory-limit", "600M"]);
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        assert!(said.contains("--memory-limit") && said.contains("control group"), "{said}");
        return skip(Need::Groups, "a control group of its own");
    }
    let manifest: serde_json::Value = serde_json::from_slice(&fs::read(work.place("run/manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["machine"]["settings"]["memory_limit"], 600 << 20);
    assert_eq!(manifest["options"]["conditions"]["memory_limit"], 600 << 20);
}
