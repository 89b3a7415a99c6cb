//! Sizes and numbers that are too large: refused, with how much is needed or allowed.

use crate::suite::replay::work::Work;
use crate::tool::ioriot;

/// What a verb that refuses says.
fn refused(args: &[&str]) -> String {
    let output = ioriot(args);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2), "{args:?}: {said}");
    assert!(output.stdout.is_empty() && !said.contains("panicked"), "{args:?}: {said}");
    said
}

#[test]
fn a_tree_of_more_bytes_than_there_are_numbers_is_refused_before_it_is_begun() {
    let mut work = Work::new();
    for (name, size) in [("/f0", i64::MAX), ("/f1", i64::MAX), ("/f2", 4098)] {
        work.need(name, "file", size);
    }
    let place = work.write();
    let root = work.place("root");
    let said = refused(&["init", place.to_str().unwrap(), "--root", root.to_str().unwrap()]);
    assert!(said.contains("the tree needs ") && said.contains("TiB"), "{said}");
    assert!(!root.exists());
}

#[test]
fn more_threads_than_any_machine_has_are_refused() {
    for verb in [&["ingest", "x", "-o", "y"][..], &["init", "w"], &["replay", "w", "-o", "r"]] {
        for number in ["0", "1025", "1000000", "99999999999999999999999"] {
            let said = refused(&[verb, &["--threads", number]].concat());
            assert!(said.contains("from 1 to 1024"), "{said}");
        }
    }
    let said = refused(&["replay", "w", "-o", "r", "--processes", "1000000"]);
    assert!(said.contains("from 1 to 1024"), "{said}");
}
