//! A trace of Perfetto, as the descriptors of its own Python package read it.

use super::super::query::right::python;
use super::{export, hostile, ingested};
use crate::tool::{number, rows};
use serde_json::Value;
use std::path::Path;

/// What scripts/check_perfetto.py finds in the trace of a capture; `None` where it cannot be run.
fn trace(dir: &Path, cap: &Path) -> Option<Value> {
    let trace = dir.join("trace");
    export(cap, "perfetto", &["-o", trace.to_str().unwrap()]);
    let output = python("IORIOT_PYTHON", &["check_perfetto.py", trace.to_str().unwrap()])?;
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

#[test]
fn a_trace_has_every_call() {
    // Of several processes, of threads, and of many calls at once.
    for name in ["a-sqlite.capture.gz", "d-files.strace.gz", "e-fio.capture.gz"] {
        let dir = tempfile::tempdir().unwrap();
        let cap = ingested(dir.path(), name);
        let Some(found) = trace(dir.path(), &cap) else { return };
        let number = |sql: &str| number(&[&cap], &format!("SELECT {sql} FROM io WHERE time_s IS NOT NULL"));
        assert_eq!(found["slices"].as_f64().unwrap(), number("count(*)"), "{name}");
        assert_eq!(found["threads"].as_f64().unwrap(), number("count(DISTINCT tid)"), "{name}");
        assert_eq!(found["longest"].as_f64().unwrap(), number("max(dur_ns)"), "{name}");
        assert_eq!(found["processes"].as_array().unwrap().len() as f64, number("count(DISTINCT pid)"), "{name}");
        for row in rows(&[&cap], "SELECT syscall, count(*) FROM io WHERE time_s IS NOT NULL GROUP BY 1") {
            let (call, count) = row.split_once(',').unwrap();
            assert_eq!(found["names"][call].to_string(), count, "{name}: {call}");
        }
        for row in rows(&[&cap], "SELECT class, count(*) FROM io WHERE time_s IS NOT NULL GROUP BY 1") {
            let (class, count) = row.split_once(',').unwrap();
            assert_eq!(found["classes"][class].to_string(), count, "{name}: {class}");
            let counter = Value::from(format!("{class} in flight"));
            assert!(found["counters"].as_array().unwrap().contains(&counter), "{name}: {class}");
        }
    }
}

#[test]
fn names_in_a_trace_are_safe_to_show() {
    let dir = tempfile::tempdir().unwrap();
    let cap = hostile(dir.path());
    let Some(found) = trace(dir.path(), &cap) else { return };
    let paths: Vec<_> = found["paths"].as_array().unwrap().iter().map(|path| path.as_str().unwrap()).collect();
    assert!(paths.contains(&"/d/a;b 7\\nc") && paths.contains(&"/d/\\x1b[2J"), "{paths:?}");
    assert!(!paths.iter().any(|path| path.contains(char::is_control)), "{paths:?}");
}
