//! Statements that are too long or too deep.

use crate::tool::{data, expect, ioriot};
use std::fs;

#[test]
fn a_statement_that_would_overflow_the_stack_is_refused_and_one_below_the_limit_runs() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (capture, file) = (place("cap"), place("deep.sql"));
    expect(0, &["ingest", &data("matrix.strace"), "-o", &capture]);
    let ask = |sql: &str| {
        fs::write(&file, sql).unwrap();
        let output = ioriot(&["query", &capture, "-f", &file, "--format", "csv"]);
        let said = [output.stdout, output.stderr].map(|said| String::from_utf8_lossy(&said).into_owned()).concat();
        (output.status.code(), said)
    };
    let terms = |count: usize, term: &str| {
        let terms: Vec<_> = (0..count).map(|number| term.replace('#', &number.to_string())).collect();
        format!("SELECT count(*) AS n FROM events WHERE {}", terms.join(" OR "))
    };
    let (code, said) = ask(&terms(30_000, "seq = #"));
    assert!(code == Some(2) && said.contains("are the limit"), "{code:?}: {said}");
    let (code, said) = ask(&terms(499, "seq = #"));
    assert!(code == Some(0) && said.starts_with("n\n"), "{code:?}: {said}");
    let (code, said) = ask(&terms(249, "NOT (seq + # > 0 AND path LIKE '%#%')"));
    assert!(code == Some(0), "{code:?}: {said}");
    let (code, said) = ask(&format!("SELECT 1 {}", "UNION ALL SELECT 1 ".repeat(30_000)));
    assert!(code == Some(2) && said.contains("are the limit"), "{code:?}: {said}");
    let (code, said) = ask(&format!("SELECT {}1{}", "(".repeat(30_000), ")".repeat(30_000)));
    assert!(code == Some(2), "{code:?}: {said}");
    // A list is long and not deep.
    let list: Vec<_> = (0..30_000).map(|number| number.to_string()).collect();
    let (code, said) = ask(&format!("SELECT count(*) AS n FROM events WHERE seq IN ({})", list.join(", ")));
    assert!(code == Some(0), "{code:?}: {said}");
    let (code, said) = ask("SELECT (1 FROM events");
    assert!(code == Some(2) && said.starts_with("error: in ") && !said.contains("ParserError"), "{said}");
    let (_, said) = ask("SELECT sum(syscall) FROM events");
    let plain = |line: &str| line.starts_with("error: ") || line.starts_with("  because: ");
    assert!(said.lines().all(plain), "{said}");
    let output = ioriot(&["generate", &capture, "-o", &place("work"), "--where", &terms(5000, "seq = #")]);
    assert_eq!(output.status.code(), Some(2));
}
