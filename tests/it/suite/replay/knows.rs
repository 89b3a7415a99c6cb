//! What a run knows: samples, latencies, bytes, the machine; and that text and JSON say the same.

use super::work::{Work, op, run};
use ioriot::amount::{Bytes, Nanos};
use ioriot::replay::{Options, Pace};
use ioriot::schema::{Dataset, Table, read};
use libc::{O_CREAT, O_RDWR};
use serde_json::Value;
use std::collections::BTreeSet;

/// Reads, writes and a failing open over 2.2 s.
fn paced() -> Work {
    let mut work = Work::new();
    let mut at = 0;
    let mut step = |work: &mut Work, row: super::work::Row| {
        work.op(row.set("ts", 1_795_000_000_000_000_000_i64 + at).set("dur", 1000));
        at += 100_000_000;
    };
    work.need("/f", "file", 1 << 20);
    step(&mut work, op("open", 3).raw("/f").flags(O_RDWR).ofd(0));
    for _ in 0..10 {
        step(&mut work, op("pread64", 65536).ofd(0).count(65536).set("offset", 0));
    }
    for _ in 0..10 {
        step(&mut work, op("pwrite64", 4096).ofd(0).count(4096).set("offset", 0));
    }
    step(&mut work, op("open", -2).raw("/none").flags(O_RDWR).ofd(1));
    step(&mut work, op("open", 4).raw("/new").flags(O_RDWR | O_CREAT).set("mode", 0o600).ofd(2));
    work.need("/none", "absent", 0).need("/new", "absent", 0);
    work
}

#[test]
fn a_run_knows_how_it_went() {
    let work = paced();
    work.write();
    work.init().unwrap();
    let summary = run(&Options { pace: Some(Pace::Realtime), ..work.options() }).unwrap();
    let text = summary.to_string();
    assert!(text.contains("1 worker,") && summary.different == 0, "{text}");
    // From when it was due a call takes what it takes, and what it comes late.
    let pread = summary.figures.calls.iter().find(|call| call.syscall == "pread64").unwrap();
    let from_due = pread.from_due.unwrap();
    assert!(from_due.p50 >= pread.latency.p50 && from_due.max >= pread.latency.max, "{text}");
    assert!(
        text.contains("\nFrom when they were due to their end, as somebody sees it who does not wait for answers:\n"),
        "{text}"
    );

    // The same figures as JSON.
    let json: Value = serde_json::to_value(&summary).unwrap();
    assert_eq!((&json["read_bytes"], &json["written_bytes"]), (&Value::from(10 * 65536), &Value::from(10 * 4096)));
    for said in [Bytes(10 * 65536).to_string(), Bytes(10 * 4096).to_string(), Nanos(json["wall"].as_i64().unwrap()).to_string()] {
        assert!(text.contains(&said), "{said} is not in {text}");
    }
    assert_eq!((&json["order"], &json["order_violations"]["violations"]), (&Value::from("resource"), &Value::from(0)));
    let calls = json["calls"].as_array().unwrap();
    assert_eq!(calls.len(), 3);
    for call in calls {
        let (name, calls, failed) = match call["syscall"].as_str().unwrap() {
            "open" => ("open", 3, 1),
            "pread64" => ("pread64", 10, 0),
            other => (other, 10, 0),
        };
        assert_eq!((&call["calls"], &call["failed"]), (&Value::from(calls), &Value::from(failed)), "{name}");
        let latency = ["p50", "p90", "p99", "max"].map(|key| call["latency"][key].as_i64().unwrap());
        assert!(latency.is_sorted() && latency[0] > 0 && call["captured"]["p50"] == 1000, "{call}");
        let line = text.lines().find(|line| line.trim_start().starts_with(&format!("{name} "))).unwrap();
        assert!(latency.iter().all(|ns| line.contains(&Nanos(*ns).to_string())), "{latency:?} {line}");
    }
    assert!(json["lag"]["ops"].as_i64() == Some(23) && text.contains("  lag "), "{text}");

    let run = Dataset::open(&work.place("run")).unwrap();
    let target = &run.manifest["machine"]["targets"][0];
    assert!(target["file_system"].is_string() && target["mount_options"].is_string(), "{target}");
    assert_eq!(run.manifest["fingerprint"], "1234");
    let planned = run.manifest["workers"][0]["planned"].as_i64();
    assert!(planned >= Some(23_000), "an op is reckoned as 1 us at least: {planned:?}");
    assert!(run.manifest["options"]["pace"] == "realtime" && run.manifest["machine"]["kernel"].is_string());

    // 0, 1, 2 s and the end.
    assert!(json["samples"]["rounds"].as_i64() >= Some(4), "{}", json["samples"]);
    let (mut times, mut kinds) = (BTreeSet::new(), BTreeSet::new());
    for batch in read::batches(&run.table(Table::Samples), &["taken", "kind"]).unwrap() {
        let batch = batch.unwrap();
        times.extend(read::ints(&batch, "taken").unwrap().values().iter().copied());
        kinds.extend(read::texts(&batch, "kind").unwrap().iter().flatten().map(str::to_owned));
    }
    assert_eq!(times.len() as i64, json["samples"]["rounds"].as_i64().unwrap());
    assert!(times.last() > Some(&2_200_000_000) && times.first() < Some(&1_000_000_000), "{times:?}");
    for kind in ["cpu", "load", "memory", "process"] {
        assert!(kinds.contains(kind), "{kinds:?}");
    }
}

/// Lanes that share a worker hold each other up where they ran at the same time, and not where one came after the other.
#[test]
fn lanes_that_share_a_worker_are_told() {
    for (lanes, told) in [([0, 1, 0, 1, 0, 1], true), ([0, 0, 0, 1, 1, 1], false)] {
        let mut work = Work::new();
        for (at, lane) in lanes.into_iter().enumerate() {
            let at = at as i64;
            let row = op("mkdir", 0).raw(format!("/d{at}")).set("mode", 0o755).set("lane", lane);
            work.op(row.set("ts", 1000 * at).set("dur", 10));
        }
        work.write();
        work.init().unwrap();
        let summary = run(&Options { pace: Some(Pace::Think), threads: Some(1), ..work.options() }).unwrap();
        assert_eq!(summary.time.caveats.iter().any(|caveat| caveat.name() == "shared"), told, "{lanes:?}: {summary}");
    }
}
