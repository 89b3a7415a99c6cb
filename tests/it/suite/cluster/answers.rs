//! A cluster gives the same rows as this machine.

use super::processes::{Cluster, fed, refused, said};
use crate::skip::{Need, skip};
use crate::suite::query::runs;
use crate::tool::{asked, command, data, expect};
use ioriot::report::{REPORTS, VIEWS};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

/// Largest difference of two numbers that count as the same, as a share.
const SAME: f64 = 1e-9;

/// Longest time for many statements.
const MANY: Duration = Duration::from_secs(900);
/// For each of them, where there are so many that it comes to more.
const EACH: Duration = Duration::from_secs(10);

/// The rows of an answer: columns that are not NULL, by their names.
type Rows = Vec<Map<String, Value>>;

/// Rows in an order that only they decide.
fn sorted(rows: &Rows) -> Vec<&Map<String, Value>> {
    let mut rows: Vec<_> = rows.iter().collect();
    rows.sort_by_cached_key(|row| serde_json::to_string(row).unwrap());
    rows
}

/// Are these the same rows, in whatever order? Numbers with a fraction may differ by the order in which they were added up.
fn same(one: &Rows, other: &Rows) -> bool {
    let alike = |one: &Value, other: &Value| {
        one == other
            || match (one, other) {
                (Value::Number(one), Value::Number(other)) if one.is_f64() && other.is_f64() => {
                    let (one, other) = (one.as_f64().unwrap(), other.as_f64().unwrap());
                    (one - other).abs() <= SAME * one.abs().max(other.abs())
                }
                _ => false,
            }
    };
    let row = |(one, other): (&&Map<String, Value>, &&Map<String, Value>)| {
        one.len() == other.len() && one.iter().all(|(name, value)| other.get(name).is_some_and(|found| alike(value, found)))
    };
    one.len() == other.len() && sorted(one).iter().zip(&sorted(other)).all(row)
}

#[test]
fn the_same_rows_are_told_from_others() {
    let rows = |text: &str| serde_json::from_str::<Rows>(text).unwrap();
    let one = rows(r#"[{"a":1,"b":"x"},{"a":2}]"#);
    assert!(same(&one, &rows(r#"[{"a":2},{"b":"x","a":1}]"#)));
    assert!(same(&rows(r#"[{"a":1.0000000001}]"#), &rows(r#"[{"a":1.0000000002}]"#)));
    for other in [
        r#"[{"a":1,"b":"x"}]"#,
        r#"[{"a":1,"b":"x"},{"a":1,"b":"x"}]"#,
        r#"[{"a":1,"b":"x"},{"a":3}]"#,
        r#"[{"a":1,"c":"x"},{"a":2}]"#,
    ] {
        assert!(!same(&one, &rows(other)), "{other}");
    }
    assert!(!same(&rows(r#"[{"a":1.001}]"#), &rows(r#"[{"a":1.002}]"#)));
    assert!(!same(&rows(r#"[{"a":10000000001}]"#), &rows(r#"[{"a":10000000002}]"#)));
}

/// What a program answers to statements that it reads, or the error for those that it does not answer.
fn answers(program: impl Fn() -> Command, statements: &[String]) -> Vec<Result<Rows, String>> {
    let mut answers = Vec::new();
    while answers.len() < statements.len() {
        let left = &statements[answers.len()..];
        let limit = MANY.max(EACH * left.len() as u32);
        let output = fed(limit, program(), left.iter().map(|statement| format!("{statement};\n")).collect());
        let found = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<Rows>().map_while(Result::ok);
        let before = answers.len();
        answers.extend(found.map(Ok));
        if answers.len() - before < left.len() {
            answers.push(Err(refused(&output)));
        } else {
            said(&output);
        }
    }
    answers
}

/// The command that asks this machine.
fn local(datasets: &[PathBuf]) -> Command {
    let mut query = command(&["query", "--format", "json"]);
    query.args(datasets);
    query
}

/// The command that asks a cluster.
fn remote(cluster: &Cluster, datasets: &[PathBuf]) -> Command {
    let mut query = command(&["query", "--format", "json", "--cluster", &cluster.scheduler.at]);
    query.args(datasets);
    query
}

/// Asks both, and compares; the statements and what this machine answers.
fn compared(cluster: &Cluster, datasets: &[PathBuf], statements: &[String]) -> Vec<(Rows, Rows)> {
    let here = answers(|| local(datasets), statements);
    let there = answers(|| remote(cluster, datasets), statements);
    let both = statements.iter().zip(here).zip(there);
    let compared = both.map(|((sql, here), there)| {
        let here = here.unwrap_or_else(|error| panic!("{sql}: {error}"));
        let there = there.unwrap_or_else(|error| panic!("{sql}: {error}"));
        assert!(same(&here, &there), "{sql}:\n{here:?}\n{there:?}");
        (here, there)
    });
    compared.collect()
}

/// The datasets of a case, of two runs, and of a fleet.
fn datasets(dir: &Path) -> Vec<Vec<PathBuf>> {
    let [one, again, other] = runs(dir);
    let place = |name: &str| dir.join(name);
    let fleet = place("fleet");
    expect(0, &["ingest", &data("matrix.strace"), &data("e-fio.strace.gz"), "-o", fleet.to_str().unwrap()]);
    vec![
        vec![place("a/capture"), place("a/workload"), one.clone()],
        vec![place("a/workload"), one, again],
        vec![place("b/workload"), other],
        vec![fleet],
    ]
}

#[test]
fn every_view_has_the_same_rows_on_executors() {
    let dir = tempfile::tempdir().unwrap();
    let sets = datasets(dir.path());
    let sizes = [1, 2].into_iter().chain(asked("CLUSTER_EXECUTORS").map(|executors| executors as usize));
    let clusters: Vec<_> = sizes.map(|executors| Cluster::start(executors, dir.path())).collect();
    let names: BTreeSet<&str> = VIEWS.iter().chain(REPORTS).map(|view| view.name).collect();
    let mut answered = BTreeSet::new();
    for datasets in &sets {
        let all: Vec<String> = names.iter().map(|view| format!("SELECT * FROM {view}")).collect();
        // A view is there where its tables are.
        let here = answers(|| local(datasets), &all);
        let (asked, expected): (Vec<String>, Vec<Rows>) =
            all.into_iter().zip(here).filter_map(|(sql, rows)| Some((sql, rows.ok()?))).unzip();
        for cluster in &clusters {
            let found = answers(|| remote(cluster, datasets), &asked);
            for ((sql, expected), found) in asked.iter().zip(&expected).zip(found) {
                let executors = cluster.executors.len();
                let found = found.unwrap_or_else(|error| panic!("{sql} of {datasets:?} by {executors}: {error}"));
                assert!(same(expected, &found), "{sql} of {datasets:?} by {executors}:\n{expected:?}\n{found:?}");
            }
        }
        answered.extend(names.iter().filter(|view| asked.contains(&format!("SELECT * FROM {view}"))));
    }
    assert_eq!(answered, names);
}

#[test]
fn what_only_we_have_goes_over_the_wire() {
    let dir = tempfile::tempdir().unwrap();
    let sets = datasets(dir.path());
    let cluster = Cluster::start(2, dir.path());
    let ask = |set: usize, statements: &[&str]| {
        let statements: Vec<String> = statements.iter().map(|&sql| sql.to_owned()).collect();
        let compared = compared(&cluster, &sets[set], &statements);
        for (sql, (here, _)) in statements.iter().zip(&compared) {
            assert!(!here.is_empty(), "{sql} has no rows");
        }
        compared
    };
    // The table of fates is in the workload.
    ask(
        0,
        &[
            // Table functions, with the configuration of the model that is of this capture.
            "SELECT seq, pos, tag, op, path FROM virtualize(events)",
            "SELECT fate, count(*) FROM numbered((SELECT * FROM virtualize(events))) GROUP BY 1",
            "SELECT count(seq) FROM virtualize((SELECT * FROM events WHERE seq < 20))",
            // Functions of our own.
            "SELECT syscall, percentile(dur, 0.5), percentile(dur, 0.99) FROM events GROUP BY syscall",
            "SELECT touch('position', seq, 'write'), chance(path), below('/x', path) FROM events",
            // Tables that are no files.
            "SELECT * FROM manifests",
            "SELECT d.syscall, count(e.seq) FROM syscall_def d LEFT JOIN events e ON e.syscall = d.syscall GROUP BY 1",
            "SELECT * FROM generate_series(1, 5)",
            // A subquery, sets, and windows.
            "SELECT seq FROM events WHERE dur > (SELECT avg(dur) FROM events)",
            "SELECT seq, (SELECT max(seq) FROM fates) AS m FROM events",
            "SELECT seq FROM events WHERE seq NOT IN (SELECT seq FROM fates WHERE fate = 'op')",
            "SELECT syscall, tid, count(*) FROM events GROUP BY CUBE (syscall, tid)",
            "SELECT seq, lag(seq) OVER (PARTITION BY tid ORDER BY seq) FROM events",
            // The rows are in the reverse of this order, and then in one that another stage has made.
            "SELECT seq, lag(seq) OVER (ORDER BY seq DESC) FROM events",
            "SELECT seq, row_number() OVER (PARTITION BY fate ORDER BY seq), first_value(seq) OVER (PARTITION BY fate ORDER BY seq DESC) FROM fates",
            "SELECT count(*), sum(a.seq) FROM fates a FULL JOIN events b ON a.seq = b.seq + 2 WHERE b.seq IS NULL",
            "SELECT DISTINCT ON (syscall) syscall, seq FROM events ORDER BY syscall, seq",
            "SELECT * FROM access_sizes()",
        ],
    );
    // What is in order is in order.
    let ordered = ask(
        0,
        &[
            "SELECT seq, reason FROM fates ORDER BY seq LIMIT 6 OFFSET 5",
            "SELECT * FROM (SELECT seq, reason FROM fates ORDER BY seq LIMIT 6 OFFSET 5) ORDER BY seq, reason",
            "SELECT seq, syscall FROM events ORDER BY seq DESC",
            "SELECT syscall, count(*) AS n FROM events GROUP BY 1 ORDER BY n DESC, 1 LIMIT 3",
        ],
    );
    for (here, there) in ordered {
        assert_eq!(here, there);
    }
    ask(
        3,
        &[
            "SELECT host, syscall, count(*), sum(dur) FROM events GROUP BY 1, 2",
            "SELECT count(*) FROM events",
            "SELECT dataset, max(seq) FROM events GROUP BY 1",
        ],
    );
    // Nothing is computed here in the belief that it was there.
    let capture = sets[0][0].as_path();
    for (sql, says) in [
        ("CREATE TABLE t AS SELECT 1", "computed on this machine"),
        ("EXPLAIN ANALYZE SELECT count(*) FROM events", "computed on this machine"),
        ("WITH RECURSIVE r(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM r WHERE n < 3) SELECT * FROM r", "leave out --cluster"),
        ("SELECT nothing FROM events", "nothing"),
        ("SELECT seq, ts * 9223372036854775807 AS x FROM events WHERE ts > 1", "verflow"),
        ("SELECT syscall, max(ts * 9223372036854775807) FROM events WHERE ts > 1 GROUP BY syscall", "verflow"),
        ("SELECT touch('nonsense', seq, 'write') FROM events", "no kind of resource"),
    ] {
        let error = refused(&cluster.ask(&[capture], sql));
        assert!(error.contains(says), "{sql}: {error}");
    }
    // Limits of rows that the plan brings.
    for sql in ["SELECT * FROM manifests LIMIT 2", "SELECT * FROM (VALUES (1), (2), (3)) AS t(a) LIMIT 2"] {
        assert_eq!(said(&cluster.ask(&[capture], sql)).lines().count(), 3, "{sql}");
    }
    let plan = said(&cluster.ask(&[capture], "EXPLAIN SELECT syscall, count(*) FROM events GROUP BY 1"));
    assert!(plan.contains("AggregateExec"), "{plan}");
}

/// The statements that are compared with DuckDB's answers.
#[test]
fn random_questions_have_the_same_rows_on_executors() {
    let dir = tempfile::tempdir().unwrap();
    let sets = datasets(dir.path());
    let datasets = &sets[0];
    let named = std::env::var_os("IORIOT_PYTHON");
    let mut python = Command::new(named.as_deref().unwrap_or("python3".as_ref()));
    python.arg(format!("{}/scripts/fuzz_sql.py", env!("CARGO_MANIFEST_DIR"))).arg("-").args(datasets);
    let (number, seed) = match asked("CLUSTER_QUERIES") {
        Some(number) => (number, std::process::id()),
        None => (50, 1),
    };
    let written = python.args(["--print", "--queries", &number.to_string(), "--seed", &seed.to_string()]).output().unwrap();
    if written.status.code() == Some(77) {
        return skip(Need::Readers, String::from_utf8_lossy(&written.stdout));
    }
    let statements: Vec<String> = said(&written).lines().map(str::to_owned).collect();
    assert_eq!(statements.len(), number as usize);
    let cluster = Cluster::start(2, dir.path());
    println!("seed {seed}");
    compared(&cluster, datasets, &statements);
}

#[test]
fn a_report_says_the_same_of_executors() {
    let dir = tempfile::tempdir().unwrap();
    let sets = datasets(dir.path());
    let cluster = Cluster::start(2, dir.path());
    let page = |args: &[&str]| -> Value {
        let mut report = command(&["report", "--format", "json"]);
        report.args(&sets[0]).args(args);
        serde_json::from_str(&said(&fed(MANY, report, String::new()))).unwrap()
    };
    let (here, there) = (page(&[]), page(&["--cluster", &cluster.scheduler.at]));
    assert!(here["parts"].as_array().is_some_and(|parts| parts.len() > 2));
    assert_eq!(here, there);
}
