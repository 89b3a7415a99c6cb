//! Answers are right: whatever the plan, and as DuckDB gives them.

use super::{runs, text};
use crate::skip::{Need, skip};
use crate::suite::generate::{capture, story};
use crate::tool::{asked, csv_text, data, expect, ioriot, rows, sql_text};
use ioriot::rows::Format;
use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

#[test]
fn a_filter_that_reorders_its_columns_can_be_sorted_by_another() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(2, 1));
    let ask = |sql: &str| text(dir.path(), &[&capture], Format::Csv, sql);
    let all = ask("SELECT tid, syscall, path FROM events WHERE syscall = 'openat' ORDER BY seq");
    let paths: Vec<&str> = all.lines().map(|line| line.rsplit('/').next().unwrap()).collect();
    assert_eq!(paths, ["tid,syscall,path", "file0", "common", "none", "file0", "common", "none"]);
    let last = ask("SELECT tid, syscall, path FROM events WHERE syscall = 'openat' ORDER BY seq DESC LIMIT 1");
    assert_eq!(last, "tid,syscall,path\n101,openat,/data/none\n");
    // Both sides have the columns of the filter, and a row of one side only must not be lost.
    let both = ask("SELECT a.seq FROM events a LEFT JOIN (SELECT seq, path, tid FROM events WHERE path = '/data/none') b \
                    ON b.seq = a.seq WHERE b.path IS NULL AND a.tid = 100 ORDER BY a.seq LIMIT 2");
    assert_eq!(both, "seq\n0\n1\n");
}

/// The parser would take all that follows for its right side.
#[test]
fn is_distinct_from_ends_where_a_weaker_operator_begins() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let ask = |sql: &str| text(dir.path(), &[&capture], Format::Csv, sql);
    for (predicate, seqs) in [
        ("(seq = 3) IS DISTINCT FROM true OR seq = 3", "0 1 2 3 4 5 6 7 8 9"),
        ("(seq = 3) IS NOT DISTINCT FROM false AND seq < 5", "0 1 2 4"),
        ("NOT (seq = 3) IS DISTINCT FROM true AND true", "3"),
        ("(seq = 3) IS DISTINCT FROM (true OR seq = 3)", "0 1 2 4 5 6 7 8 9"),
        ("(seq = 3) IS DISTINCT FROM seq < 4", "0 1 2"),
    ] {
        let rows = ask(&format!("SELECT seq FROM events WHERE {predicate} ORDER BY seq"));
        assert_eq!(rows.lines().skip(1).collect::<Vec<_>>().join(" "), seqs, "{predicate}");
        // Where columns are listed, too.
        let rows =
            ask(&format!("SELECT count(*) FILTER (WHERE {predicate}) AS n, sum(CASE WHEN {predicate} THEN 1 END) FROM events"));
        let n = seqs.split(' ').count();
        assert_eq!(rows.lines().last(), Some(format!("{n},{n}").as_str()), "{predicate}");
    }
    // Such a query is written anew, to keep the order of the view.
    let all = ask("SELECT syscall FROM calls");
    assert_eq!(ask("SELECT syscall FROM calls WHERE (syscall = 'read') IS DISTINCT FROM true OR syscall = 'read'"), all);
}

/// A second mention in ORDER BY says nothing.
#[test]
fn distinct_on_takes_an_order_that_names_a_column_twice() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(2, 1));
    let ask = |sql: &str| text(dir.path(), &[&capture], Format::Csv, sql);
    let first = "tid,seq\n100,9\n101,19\n";
    for order in ["tid, seq DESC", "tid, tid DESC, seq DESC", "tid, seq DESC, seq", "tid, seq DESC, tid, seq"] {
        assert_eq!(ask(&format!("SELECT DISTINCT ON (tid) tid, seq FROM events ORDER BY {order}")), first, "{order}");
        let inside = format!("SELECT * FROM (SELECT DISTINCT ON (tid) tid, seq FROM events ORDER BY {order}) AS a ORDER BY tid");
        assert_eq!(ask(&inside), first, "{order}");
    }
}

#[test]
fn who_needs_more_memory_is_told_how_to_get_it() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let sql = "SELECT count(*) FROM range(1, 3000000) AS a(x) JOIN range(1, 3000000) AS b(y) ON x = y";
    let said = ioriot(&["query", capture.to_str().unwrap(), sql, "--memory", "16M"]);
    let error = String::from_utf8_lossy(&said.stderr);
    assert!(said.status.code() == Some(2) && error.contains("--memory 1G"), "{error}");
}

#[test]
fn percentiles_are_right_and_the_same_whatever_the_plan() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("fio");
    expect(0, &["ingest", &data("e-fio.strace.gz"), "-o", place.to_str().unwrap()]);
    let ask = |sql: &str| text(dir.path(), &[&place], Format::Csv, sql);
    let row = |sql: &str| ask(sql).lines().nth(1).unwrap().to_owned();

    // The independent computation: sort, and count.
    let exact = |syscall: &str, share: f64| -> i64 {
        let all = ask(&format!("SELECT dur FROM events WHERE syscall = '{syscall}' AND dur IS NOT NULL"));
        let mut all: Vec<i64> = all.lines().skip(1).map(|line| line.parse().unwrap()).collect();
        all.sort_unstable();
        all[((all.len() as f64 * share).ceil() as usize).max(1) - 1]
    };
    let calls = ask("SELECT syscall FROM calls WHERE calls > 300");
    let calls: Vec<&str> = calls.lines().skip(1).collect();
    assert!(calls.len() > 3, "{calls:?}");
    for call in calls {
        let said = row(&format!("SELECT p50_ns, p99_ns FROM calls WHERE syscall = '{call}'"));
        let (p50, p99) = said.split_once(',').unwrap();
        for (said, share) in [(p50, 0.5), (p99, 0.99)] {
            let (said, exact) = (said.parse::<i64>().unwrap(), exact(call, share));
            assert!(exact <= said && said <= exact + exact / 128, "{call}, {share}: {said}, exactly {exact}");
        }
        for plan in [
            format!("SELECT p50_ns, p99_ns FROM (SELECT * FROM calls ORDER BY p99_ns) WHERE syscall = '{call}'"),
            format!("SELECT p50_ns, p99_ns FROM calls WHERE syscall = '{call}' LIMIT 1"),
            format!("SELECT a.p50_ns, a.p99_ns FROM calls a JOIN calls b USING (syscall) WHERE b.syscall = '{call}'"),
            format!("SELECT percentile(dur, 0.5), percentile(dur, 0.99) FROM events WHERE syscall = '{call}'"),
            format!(
                "SELECT percentile(dur, 0.5), percentile(dur, 0.99) FROM (SELECT * FROM events ORDER BY dur DESC) WHERE syscall = '{call}'"
            ),
            format!(
                "SELECT percentile(dur, 0.5) FILTER (WHERE syscall = '{call}'), percentile(CASE WHEN syscall = '{call}' THEN dur END, 0.99) FROM events"
            ),
        ] {
            assert_eq!(row(&plan), said, "{plan}");
        }
    }
    let none = row("SELECT percentile(dur, 0.5) AS none, count(*) AS n FROM events WHERE seq < 0");
    assert_eq!(none, ",0");
    let running =
        ask("SELECT percentile(dur, 1) OVER (ORDER BY seq) = max(dur) OVER (ORDER BY seq) AS largest FROM events LIMIT 3");
    assert_eq!(running, "largest\ntrue\ntrue\ntrue\n");
}

#[test]
fn the_summary_of_a_replay_and_the_view_say_the_same() {
    let dir = tempfile::tempdir().unwrap();
    let [run, ..] = runs(dir.path());
    let ask = |sql: &str| text(dir.path(), &[&run], Format::Csv, sql);
    let view = ask("SELECT syscall, p50_ns, p90_ns, p99_ns, max_ns, captured_p99_ns FROM latency");
    let summary = ask("SELECT key, value FROM manifests WHERE key LIKE 'summary.calls.%'");
    let summary: BTreeMap<&str, &str> = summary.lines().filter_map(|line| line.split_once(',')).collect();
    let mut calls = 0;
    for (key, call) in &summary {
        let Some(at) = key.strip_suffix(".syscall") else { continue };
        let times = ["latency.p50", "latency.p90", "latency.p99", "latency.max", "captured.p99"];
        let times = times.map(|time| *summary.get(format!("{at}.{time}").as_str()).unwrap_or(&"")).join(",");
        assert!(view.lines().any(|line| line == format!("{call},{times}")), "{call},{times} is not in {view}");
        calls += 1;
    }
    assert!(calls > 5 && calls == view.lines().count() - 1, "{summary:?}\n{view}");
}

#[test]
fn a_view_of_several_datasets_tells_them_apart() {
    let dir = tempfile::tempdir().unwrap();
    let [one, two, other] = runs(dir.path());
    let [work, strange] = ["a/workload", "b/workload"].map(|name| dir.path().join(name));
    let ask = |datasets: &[&Path], sql: &str| text(dir.path(), datasets, Format::Csv, sql);
    for (view, key, needs) in [
        ("latency", "syscall", [&one, &two]),
        ("outcomes", "outcome, kind", [&one, &two]),
        ("timeline", "second", [&one, &two]),
        ("workers", "worker", [&one, &two]),
        ("devices", "name, second", [&one, &two]),
        ("hot_files", "path", [&work, &strange]),
        ("drops", "seq", [&work, &strange]),
    ] {
        let columns = format!("* FROM {view}");
        let both = ask(&needs.map(PathBuf::as_path), &format!("SELECT {columns} ORDER BY dataset, {key}"));
        let mut alone = String::new();
        for dataset in needs {
            let rows = ask(&[dataset], &format!("SELECT {columns} ORDER BY {key}"));
            let (header, rows) = rows.split_once('\n').unwrap();
            if alone.is_empty() {
                alone = format!("dataset,{header}\n");
            }
            rows.lines().for_each(|row| alone.push_str(&format!("{},{row}\n", csv_text(dataset))));
        }
        let sorted = |text: &str| text.lines().map(str::to_owned).collect::<BTreeSet<_>>();
        assert_eq!(sorted(&both), sorted(&alone), "{view}");
    }
    // Each run is joined with its own workload, and with no other.
    let files = ask(
        &[&one, &other, &strange, &work],
        "SELECT dataset, sum(calls) AS n FROM file_times GROUP BY dataset ORDER BY dataset",
    );
    for (run, work) in [(&one, &work), (&other, &strange)] {
        let alone = ask(&[run, work], "SELECT sum(calls) AS n FROM file_times");
        let line = format!("{},{}", csv_text(run), alone.lines().nth(1).unwrap());
        assert!(files.lines().any(|row| row == line), "{line} is not in {files}");
    }
    let refused = super::ask(dir.path(), &[&one, &strange], Format::Csv, "SELECT * FROM file_times").unwrap_err();
    assert!(format!("{refused:#}").contains("of another workload (fingerprint "), "{refused:#}");
    // The first rows are those of the order that the view's file says, over all datasets.
    let top = ask(&[&one, &two], "SELECT total_ns FROM latency LIMIT 1");
    assert_eq!(top, ask(&[&one, &two], "SELECT max(total_ns) AS total_ns FROM latency"));
}

#[test]
fn calls_of_two_captures_are_counted_apart() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name);
    // Of `story`, 1 and 3 rounds by 2 threads: these calls in a round, of which one fails, of 1000 ns each.
    let round = [("openat", 3, 1), ("close", 2, 0), ("read", 2, 0), ("write", 1, 0), ("pread64", 1, 0), ("mmap", 1, 0)];
    let mut captures = Vec::new();
    let mut expected = BTreeSet::new();
    for (name, rounds) in [("one", 1), ("three", 3)] {
        std::fs::create_dir(place(name)).unwrap();
        let capture = capture(&place(name), &story(2, rounds));
        for (syscall, calls, failed) in round {
            let (calls, failed) = (calls * 2 * rounds, failed * 2 * rounds);
            expected.insert(format!("{},{syscall},{calls},{failed},{}", csv_text(&capture), calls * 1000));
        }
        captures.push(capture);
    }
    let [one, three] = [0, 1].map(|at: usize| captures[at].as_path());
    let ask = |sql: &str| text(dir.path(), &[one, three], Format::Csv, sql);
    let rows = ask("SELECT dataset, syscall, calls, failed, total_ns FROM calls");
    let found: BTreeSet<_> = rows.lines().skip(1).map(str::to_owned).collect();
    assert_eq!((found, rows.lines().count() - 1), (expected, 12));
    // Everything else that it says is said as of each alone, and as counted by hand from the events.
    let hand = "SELECT dataset, syscall, count(*) AS calls, min(dur) AS least, max(dur) AS most FROM events GROUP BY 1, 2";
    let by_hand = ask(&format!(
        "SELECT count(*) AS n, sum(a.calls) AS calls FROM calls a JOIN ({hand}) b USING (dataset, syscall, calls) \
                                WHERE a.p50_ns BETWEEN least AND least + least / 128 AND a.p99_ns BETWEEN most AND most + most / 128"
    ));
    assert_eq!(by_hand, "n,calls\n12,80\n");
    for capture in [one, three] {
        let alone = text(dir.path(), &[capture], Format::Csv, "SELECT * FROM calls ORDER BY syscall");
        let columns = alone.lines().next().unwrap();
        let sql = format!("SELECT {columns} FROM calls WHERE dataset = {} ORDER BY syscall", sql_text(capture));
        assert_eq!(ask(&sql), alone);
    }
}

/// Runs a script with an interpreter that has the packages it needs, and must have them where the variable names it;
/// `None` when the test is skipped without.
pub fn python(variable: &str, args: &[&str]) -> Option<Output> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts").join(args[0]);
    let named = std::env::var_os(variable);
    let mut command = Command::new(named.as_deref().unwrap_or("python3".as_ref()));
    let output = match command.arg(script).args(&args[1..]).output() {
        Err(error) if error.kind() == ErrorKind::NotFound && named.is_none() => {
            skip(Need::Readers, "there is no python3");
            return None;
        }
        output => output.unwrap(),
    };
    let said = String::from_utf8_lossy(&output.stdout);
    if output.status.code() == Some(77) && named.is_none() {
        skip(Need::Readers, format_args!("python3 {said}"));
        return None;
    }
    assert!(output.status.success(), "{said}{}", String::from_utf8_lossy(&output.stderr));
    Some(output)
}

/// Needs python3 with duckdb. `IORIOT_QUERIES` says how many, and then asks others each time.
#[test]
fn random_queries_are_answered_as_duckdb_answers_them() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("made");
    expect(0, &["run", &data("v5-copy.capture.gz"), "-o", place.to_str().unwrap()]);
    let parts = ["capture", "workload", "run"].map(|part| place.join(part).to_str().unwrap().to_owned());
    let asked = asked("IORIOT_QUERIES");
    let seed = asked.map_or(12, |_| std::process::id()).to_string();
    let queries = asked.unwrap_or(1000).to_string();
    let mut args = vec!["fuzz_sql.py", env!("CARGO_BIN_EXE_ioriot"), "--seed", &seed, "--queries", &queries];
    args.extend(parts.iter().map(String::as_str));
    python("IORIOT_PYTHON", &args);
}

/// Of a table that is in the order of `seq`, which begins with 0, and has more rows than are asked for.
#[test]
fn rows_that_are_left_out_below_a_sort_are_no_others() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("made");
    expect(0, &["run", &data("matrix.strace"), "-o", place.to_str().unwrap(), "--engine", "null"]);
    let ask = |sql: &str| rows(&[&place.join("workload")], sql).join(" ");
    let inner = "(SELECT seq, reason FROM fates ORDER BY seq LIMIT 6 OFFSET 5)";
    assert_eq!(ask(&format!("SELECT seq FROM {inner} ORDER BY seq, reason")), "5 6 7 8 9 10");
    assert_eq!(ask(&format!("SELECT seq FROM {inner} ORDER BY seq, reason LIMIT 3 OFFSET 1")), "6 7 8");
    assert_eq!(ask(&format!("SELECT seq FROM {inner} ORDER BY seq DESC, reason LIMIT 2")), "10 9");
    assert_eq!(ask(&format!("SELECT count(*) OVER (ORDER BY seq, reason) FROM {inner}")), "1 2 3 4 5 6");
    let capture = place.join("capture");
    let of_events = |sql: &str| rows(&[&capture], sql).join(" ");
    let last = "(SELECT line FROM events ORDER BY seq DESC OFFSET 3)";
    assert_eq!(of_events(&format!("SELECT max(line) FROM {last}")), "117");
    assert_eq!(of_events(&format!("SELECT line FROM events WHERE line NOT IN {last} ORDER BY line")), "118 119 120");
    assert_eq!(of_events(&format!("SELECT max(line + 1) FROM (SELECT line FROM {last} WHERE line < 100)")), "100");
    assert_eq!(of_events(&format!("WITH few AS {last} SELECT count(*) FROM few JOIN events USING (line)")), "117");
    assert_eq!(ask("SELECT seq FROM (SELECT seq, reason FROM fates ORDER BY seq OFFSET 5) ORDER BY seq, reason LIMIT 2"), "5 6");
    // A window in the other order.
    for limit in ["LIMIT 2", ""] {
        let sql =
            format!("SELECT count(*) OVER (ORDER BY seq DESC) FROM fates WHERE reason IS NULL ORDER BY seq {limit} OFFSET 4");
        assert!(ask(&sql).starts_with("95 94"), "{sql}: {}", ask(&sql));
        let sql =
            format!("SELECT r FROM (SELECT rank() OVER (ORDER BY seq DESC) AS r, seq FROM fates ORDER BY seq) {limit} OFFSET 4");
        assert!(ask(&sql).starts_with("116 115"), "{sql}: {}", ask(&sql));
    }
}

#[test]
fn what_grouping_sets_and_outer_joins_leave_out_is_no_constant() {
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path().join("made");
    expect(0, &["run", &data("matrix.strace"), "-o", place.to_str().unwrap(), "--engine", "null"]);
    let ask = |part: &str, sql: &str| rows(&[&place.join(part)], sql).join(" ");
    let sets = "FROM results WHERE lane = 0 GROUP BY CUBE (outcome, lane)";
    let sql = format!("SELECT coalesce(lane, -1) FROM (SELECT lane, count(*) AS n {sets} ORDER BY lane NULLS FIRST LIMIT 3)");
    assert!(ask("run", &sql).starts_with("-1 -1 0"), "{}", ask("run", &sql));
    let sets = "SELECT errno, syscall, count(*) AS n FROM events WHERE errno = 2 GROUP BY CUBE (errno, syscall)";
    let sql = format!("SELECT max(r) FROM (SELECT rank() OVER (PARTITION BY errno ORDER BY n, syscall) AS r FROM ({sets}))");
    let half = format!("SELECT count(*) / 2 FROM ({sets})");
    assert_eq!(ask("capture", &sql), ask("capture", &half));
    let few = "(SELECT op_id, lane FROM results WHERE lane = 0 AND op_id < 50)";
    for join in [
        format!("results a LEFT JOIN {few} b ON a.op_id = b.op_id"),
        format!("{few} b RIGHT JOIN results a ON a.op_id = b.op_id"),
        format!("results a FULL JOIN {few} b ON a.op_id = b.op_id"),
        format!("results a LEFT JOIN {few} b ON a.op_id < b.op_id - 48"),
    ] {
        let sql = format!("SELECT coalesce(lane, -1) FROM (SELECT b.lane FROM {join} ORDER BY b.lane NULLS FIRST LIMIT 3)");
        assert_eq!(ask("run", &sql), "-1 -1 -1", "{join}");
        let sql = format!(
            "SELECT count(*) FROM (SELECT rank() OVER (PARTITION BY b.lane ORDER BY a.op_id) AS r FROM {join}) WHERE r = 1"
        );
        assert_eq!(ask("run", &sql), "2", "{join}");
    }
}

#[test]
fn of_null_lists_that_share_nothing_say_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("cap");
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    let count = |test: &str| rows(&[&capture], &format!("SELECT count(*) FROM events WHERE {test}")).join(" ");
    let (all, known) = (count("true"), count("fd2 IS NOT NULL"));
    assert_ne!(all, known);
    assert_eq!(count("fd2 NOT IN (1, 2, 3, 4) OR fd2 NOT IN (5, 6, 7, 8)"), known);
    assert_eq!(count("NOT (fd2 IN (1, 2, 3, 4) AND fd2 IN (5, 6, 7, 8))"), known);
    assert_eq!(count("NOT (fd2 IN (1, 2, 3, 4) AND fd2 NOT IN (1, 2, 3, 4, 5))"), known);
    assert_eq!(count("(fd2 IN (1, 2, 3, 4) AND fd2 IN (5, 6, 7, 8)) IS NULL OR fd2 IS NOT NULL"), all);
    let named =
        rows(&[&capture], "SELECT count(x) FROM (SELECT fd2 NOT IN (1, 2, 3, 4) OR fd2 NOT IN (5, 6, 7, 8) AS x FROM events)");
    assert_eq!(named.join(" "), known);
}

/// Statements that DataFusion answers wrongly, with what is said instead of the answer.
const REFUSED: &[(&str, &str)] = &[
    ("SELECT x FROM (VALUES (1),(2)) a(x) FULL JOIN (VALUES (2),(3)) b(x) USING (x)", "coalesce(a.x, b.x)"),
    ("SELECT x FROM (VALUES (1),(2)) a(x) NATURAL RIGHT JOIN (VALUES (2),(3)) b(x)", "coalesce(a.x, b.x)"),
    ("SELECT count(*) FROM events WHERE seq = ANY (SELECT seq FROM events WHERE fd = 4)", "use IN"),
    ("SELECT count(*) FROM events WHERE seq <> ALL (SELECT seq FROM events WHERE fd = 4)", "use IN"),
    ("SELECT count(*) FROM events WHERE fd NOT IN (SELECT fd2 FROM events) OR fd = 3", "between the ANDs"),
    ("SELECT count(*) FROM events WHERE (fd IN (SELECT fd2 FROM events)) IS NULL", "between the ANDs"),
    ("SELECT fd IN (SELECT fd2 FROM events) FROM events", "between the ANDs"),
    ("SELECT count(*) FROM events e WHERE fd NOT IN (SELECT fd2 FROM events x WHERE x.fd2 = e.fd)", "NOT EXISTS"),
    ("SELECT count(*) FROM events e WHERE EXISTS (SELECT count(*) FROM events x WHERE x.fd2 = e.fd)", "always true"),
    ("SELECT count(*) FROM events e WHERE EXISTS (SELECT 1 FROM events x WHERE x.fd = e.fd OFFSET 1)", "OFFSET"),
    ("SELECT count(*) FROM events TABLESAMPLE BERNOULLI (10)", "TABLESAMPLE"),
];

/// Statements whose condition is about no row, and which gave one: the row of an aggregation over none.
const OF_NONE: &[&str] = &[
    "SELECT n FROM (SELECT 'a' AS d, count(*) AS n FROM events) WHERE d = 'b'",
    "SELECT n FROM (SELECT * FROM (SELECT 'a' AS d, max(seq) AS n FROM events) WHERE n > 0) WHERE d LIKE '%b'",
    "SELECT n FROM (SELECT 'a' AS d, count(*) AS n FROM events) WHERE random() < 0",
    "SELECT n FROM (SELECT 'a' AS d, count(*) AS n FROM events) WHERE (SELECT max(seq) FROM events) < 0",
    "SELECT n FROM (SELECT 'a' AS d, syscall, count(*) AS n FROM events GROUP BY ROLLUP (syscall)) WHERE d = 'b'",
    "SELECT n FROM (SELECT 'a' AS d, count(*) AS n FROM events UNION ALL SELECT 'c', max(seq) FROM events) WHERE d = 'b'",
];

#[test]
fn a_condition_that_no_row_meets_gives_none() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("cap");
    let capture = capture.to_str().unwrap();
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture]);
    for sql in OF_NONE {
        assert_eq!(expect(0, &["query", capture, sql, "--format", "csv"]), "n\n", "{sql}");
    }
}

#[test]
fn what_the_engine_answers_wrongly_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("cap");
    let capture = capture.to_str().unwrap();
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture]);
    for (sql, says) in REFUSED {
        let output = ioriot(&["query", capture, sql]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(says), "{sql}: {said}");
    }
    let answers = [
        ("SELECT count(*) AS n FROM events a RIGHT JOIN events b ON a.seq = b.seq + 3 WHERE a.seq IS NULL", "3"),
        ("SELECT count(*) AS n FROM events a LEFT JOIN events b ON a.seq = b.seq + 3 WHERE b.seq IS NULL", "3"),
        ("SELECT count(*) AS n FROM events WHERE seq IN (SELECT seq FROM events WHERE seq < 4) AND seq > 0", "3"),
        ("SELECT count(*) AS n FROM events e WHERE NOT EXISTS (SELECT 1 FROM events x WHERE x.seq = e.seq + 2)", "2"),
    ];
    for (sql, answer) in answers {
        assert_eq!(expect(0, &["query", capture, sql, "--format", "csv"]), format!("n\n{answer}\n"), "{sql}");
    }
    let twice = ioriot(&["query", capture, capture, "SELECT 1"]);
    assert!(String::from_utf8_lossy(&twice.stderr).contains("twice"), "{twice:?}");
}

/// The parser tries what begins with such a word in two ways, and so its work doubles with each.
#[test]
fn what_is_nested_deeply_is_refused_soon() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("cap");
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    let nested = |open: &str, middle: &str, levels: usize| open.repeat(levels) + middle + &")".repeat(levels);
    let whole = format!("SELECT count(*) AS n FROM events WHERE {}", nested("NOT (", "seq = 3", 12));
    assert_eq!(expect(0, &["query", capture.to_str().unwrap(), &whole, "--format", "csv"]), "n\n1\n");
    for condition in [nested("NOT (", "seq = 3", 40), nested("NOT (", "seq =", 30), nested("CAST(", "1x", 30)] {
        let sql = format!("SELECT * FROM events WHERE {condition}");
        let mut query = Command::new("timeout");
        query.args(["60", env!("CARGO_BIN_EXE_ioriot"), "query", capture.to_str().unwrap(), &sql]);
        let output = query.output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{sql}: {output:?}");
    }
}

/// A footer may say that rows are sorted, and the engine believes it.
#[test]
fn an_order_that_a_file_does_not_have_is_not_believed() {
    use parquet::arrow::ArrowWriter;
    use parquet::file::metadata::SortingColumn;
    use parquet::file::properties::WriterProperties;
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("cap");
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    let table = capture.join("events.parquet");
    let file = std::fs::File::open(&table).unwrap();
    let reader = parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
    let batch = reader.with_batch_size(1 << 20).build().unwrap().next().unwrap().unwrap();
    let write = |batch: &arrow::array::RecordBatch| {
        let seq = batch.schema().index_of("seq").unwrap() as i32;
        let sorted = Some(vec![SortingColumn { column_idx: seq, descending: false, nulls_first: false }]);
        let properties = WriterProperties::builder().set_sorting_columns(sorted).build();
        let mut writer = ArrowWriter::try_new(std::fs::File::create(&table).unwrap(), batch.schema(), Some(properties)).unwrap();
        writer.write(batch).unwrap();
        writer.close().unwrap();
    };
    write(&batch);
    let ask = || ioriot(&["query", capture.to_str().unwrap(), "SELECT seq FROM events ORDER BY seq LIMIT 3"]);
    assert!(ask().status.success());
    let turned: arrow::array::UInt64Array = (0..batch.num_rows() as u64).rev().collect();
    write(&arrow::compute::take_record_batch(&batch, &turned).unwrap());
    let output = ask();
    assert!(String::from_utf8_lossy(&output.stderr).contains("not in the order that it claims"), "{output:?}");
    // Whoever writes the file may give it our name as that of its writer.
    let owner = |uid| std::os::unix::fs::chown(&table, Some(uid), None);
    let text = std::fs::read(&table).unwrap();
    let at = memchr::memmem::find(&text, b"parquet-rs version").unwrap();
    let mut named = text.clone();
    named[at..at + 18].copy_from_slice(b"ioriot 0.1.0, last");
    std::fs::write(&table, named).unwrap();
    assert!(ask().status.success(), "what is ours is believed");
    if owner(65534).is_err() {
        return skip(Need::Root, "nobody else gives a file away");
    }
    assert!(String::from_utf8_lossy(&ask().stderr).contains("not in the order that it claims"));
}

#[test]
fn what_leaves_64_bits_is_an_error_and_no_other_number() {
    let dir = tempfile::tempdir().unwrap();
    let capture = dir.path().join("cap");
    expect(0, &["ingest", &data("matrix.strace"), "-o", capture.to_str().unwrap()]);
    let ask = |sql: &str| ioriot(&["query", capture.to_str().unwrap(), sql]);
    for sql in [
        "SELECT seq, ret * 9223372036854775807 AS x FROM events WHERE ret > 1",
        "SELECT seq FROM events WHERE ts - 9223372036854775807 - 9223372036854775807 > 0",
        "SELECT ts + 9223372036854775807 AS x, count(*) FROM events WHERE ts > 0 GROUP BY ts + 9223372036854775807",
        "SELECT syscall, max(ts * ts * ts * ts * ts) FROM events WHERE ts > 10000 GROUP BY syscall",
        "SELECT max(ret) FILTER (WHERE ret * 9223372036854775807 > 0) FROM events",
        "SELECT seq, max(ts * 9223372036854775807) OVER (ORDER BY seq) FROM events WHERE ts > 1",
        "SELECT seq, lag(ts) OVER (PARTITION BY ts * 9223372036854775807 ORDER BY seq) FROM events WHERE ts > 1",
        "SELECT seq, lag(ts) OVER (ORDER BY ts * 9223372036854775807) FROM events WHERE ts > 1",
        "SELECT seq FROM events WHERE ts > 1 ORDER BY ts * 9223372036854775807",
        "SELECT a.seq FROM events a JOIN events b ON a.seq = b.seq AND a.ts * 9223372036854775807 > b.ts",
        "SELECT a.seq FROM events a LEFT JOIN events b ON a.seq = b.seq * 9223372036854775807",
        "SELECT a.seq FROM events a, events b WHERE a.ts * 9223372036854775807 < b.ts",
        "SELECT a.seq FROM events a WHERE EXISTS (SELECT 1 FROM events b WHERE b.seq = a.seq AND b.ts * 9223372036854775807 > a.ts)",
        "SELECT seq FROM events WHERE seq > (SELECT max(ts * 9223372036854775807) FROM events)",
        "SELECT 9223372036854775807 + 1",
        "SELECT CAST(-9223372036854775807 AS BIGINT) - 2",
        "SELECT seq FROM events WHERE ts > 4611686018427387904 * 2",
        "SELECT -(seq - seq - 9223372036854775807 - 1) FROM events",
        "SELECT sum(9223372036854775807 - seq) FROM events",
        "SELECT syscall, sum(9223372036854775807 - seq) FROM events GROUP BY syscall",
        "SELECT sum(DISTINCT 9223372036854775807 - seq), count(*) FROM events",
        "SELECT seq, sum(9223372036854775807 - seq) OVER (ORDER BY seq ROWS BETWEEN 3 PRECEDING AND CURRENT ROW) FROM events",
        "SELECT seq, sum(9223372036854775807 - seq) OVER (ORDER BY seq) FROM events",
        "SELECT seq, sum(DISTINCT 9223372036854775807 - seq) OVER (ORDER BY seq ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) FROM events",
        "SELECT syscall FROM events GROUP BY syscall HAVING sum(9223372036854775807 - seq) > 0",
        "SELECT CASE WHEN ts > 1 THEN ts * 9223372036854775807 END FROM events",
        "WITH big AS (SELECT 9223372036854775807 - seq AS x FROM events) SELECT sum(x), count(DISTINCT x) FROM big",
        "SELECT CAST(seq AS INT) * CAST(2147483647 AS INT) FROM events",
    ] {
        let output = ask(sql);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && said.contains("verflow"), "{sql}: {output:?}");
    }
    let output = ask("SELECT max(ts + dur), min(ret - 1), max(ret * 2) FROM events");
    assert!(output.status.success(), "{output:?}");
    // What fits is right, whatever its parts were, and columns have the names of what was written.
    for (sql, answer) in [
        (
            "SELECT sum(x) FROM (VALUES (9223372036854775807), (9223372036854775807), (-9223372036854775807)) AS v(x)",
            "9223372036854775807",
        ),
        (
            "SELECT y, sum(x) FROM (VALUES (1, 9223372036854775807), (1, 5), (1, -5), (2, NULL)) AS v(y, x) GROUP BY y ORDER BY y",
            "1,9223372036854775807\n2,",
        ),
        (
            "SELECT sum(x) OVER (ORDER BY x) FROM (VALUES (-7), (9223372036854775807), (NULL)) AS v(x) ORDER BY 1",
            "-7\n9223372036854775800\n9223372036854775800",
        ),
        ("SELECT \"v.x + Int64(1) * Int64(2)\" FROM (SELECT (x + 1) * 2 FROM (VALUES (3)) AS v(x))", "8"),
        (
            "SELECT sum(DISTINCT x) OVER (ORDER BY y ROWS BETWEEN 1 PRECEDING AND CURRENT ROW) \
             FROM (VALUES (1, 5), (2, 5), (3, 6), (4, 6), (5, 7)) AS v(y, x) ORDER BY y",
            "5\n5\n11\n6\n13",
        ),
        ("SELECT -x, x - 1, 2 * -x FROM (VALUES (3)) AS v(x) GROUP BY x", "-3,2,-6"),
    ] {
        let output = ioriot(&["query", "--format", "csv", capture.to_str().unwrap(), sql]);
        let text = String::from_utf8(output.stdout).unwrap();
        let rows = text.split_once('\n').map(|(_, rows)| rows.trim_end().replace("\r", ""));
        assert_eq!(rows.as_deref(), Some(answer), "{sql}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
