//! Comparisons of runs: what is said, what is refused, and the exit codes.

use super::{matrix, word};
use crate::tool::{expect, ioriot};
use serde_json::{Value, json};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A copy of a run in which everything takes `factor` times as long.
fn slower(run: &Path, to: &Path, factor: f64) -> PathBuf {
    assert!(Command::new("cp").arg("-a").args([run, to]).status().unwrap().success());
    let file = to.join("manifest.json");
    let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
    let scale = |value: &mut Value| *value = json!((value.as_f64().unwrap() * factor) as i64);
    scale(&mut manifest["summary"]["wall"]);
    for call in manifest["summary"]["calls"].as_array_mut().unwrap() {
        ["total", "p50", "p90", "p99"].iter().for_each(|key| scale(&mut call["latency"][key]));
    }
    fs::write(&file, manifest.to_string()).unwrap();
    to.to_owned()
}

/// A group of five runs, each a little slower than the one before, all times `factor`.
fn group(dir: &Path, run: &Path, name: &str, factor: f64) -> PathBuf {
    for number in 1..=5 {
        slower(run, &dir.join(format!("{name}-{number}")), factor * (1.0 + f64::from(number) / 100.0));
    }
    dir.join(name)
}

#[test]
fn groups_of_runs_are_compared() {
    let dir = tempfile::tempdir().unwrap();
    let place = matrix(dir.path());
    let run = place.join("run");
    let [before, same, after] =
        [("before", 1.0), ("same", 1.001), ("after", 1.5)].map(|(name, factor)| group(dir.path(), &run, name, factor));
    let text = expect(0, &["compare", word(&before), word(&after)]);
    assert!(text.contains("time of the whole") && text.contains("slower") && !text.contains("no interval"), "{text}");
    let text = expect(0, &["compare", word(&before), word(&same), "--max-regression", "5%"]);
    assert!(text.contains("no difference shown") && !text.contains("slower"), "{text}");
    // Faster is no regression; slower is one, and said to be.
    expect(0, &["compare", word(&after), word(&before), "--max-regression", "5%"]);
    let output = ioriot(&["compare", word(&before), word(&after), "--max-regression", "5%"]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.code() == Some(1) && said.contains("slower than allowed: time of the whole"), "{said}");
    expect(0, &["compare", word(&before), word(&after), "--max-regression", "80"]);

    let xml = dir.path().join("c.xml");
    let output = ioriot(&["compare", word(&before), word(&after), "--max-regression", "5", "-o", word(&xml)]);
    assert_eq!(output.status.code(), Some(1));
    let junit = fs::read_to_string(&xml).unwrap();
    assert!(junit.contains("<testcase classname=\"ioriot.compare\" name=\"time of the whole\"><failure"), "{junit}");
    let html = dir.path().join("c.html");
    expect(0, &["compare", word(&before), word(&same), word(&after), "-o", word(&html)]);
    assert!(fs::read_to_string(&html).unwrap().starts_with("<!doctype html>"));
    let page: Value = serde_json::from_str(&expect(0, &["compare", word(&before), word(&after), "--format", "json"])).unwrap();
    let whole = &page["parts"][0]["sections"][1]["rows"][0];
    assert!((whole[4].as_f64().unwrap() - 0.5).abs() < 0.01, "{whole}");

    // A baseline stands for the runs that it was made of.
    let baseline = dir.path().join("baseline.json");
    expect(0, &["compare", word(&before), "--save-baseline", word(&baseline)]);
    assert_eq!(ioriot(&["compare", word(&baseline), word(&after), "--max-regression", "5%"]).status.code(), Some(1));
    expect(0, &["compare", word(&baseline), word(&same), "--max-regression", "5%"]);
    fs::write(&baseline, "{\"ioriot_baseline\": 99}").unwrap();
    let output = ioriot(&["compare", word(&baseline), word(&same)]);
    assert!(output.status.code() == Some(2) && String::from_utf8_lossy(&output.stderr).contains("is no baseline"));
}

#[test]
fn what_cannot_be_said_is_not_said() {
    let dir = tempfile::tempdir().unwrap();
    let place = matrix(dir.path());
    let run = place.join("run");
    let other = slower(&run, &dir.path().join("other"), 3.0);
    let text = expect(0, &["compare", word(&run), word(&other)]);
    assert!(text.contains("no interval") && !text.contains("no difference shown"), "{text}");
    let refused = |args: &[&str], why: &str| {
        let output = ioriot(&[&["compare"], args].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(why), "{said}");
    };
    refused(&[word(&run), word(&other), "--max-regression", "5%"], "needs 5 runs of each group");
    refused(&[word(&run)], "name another group");
    refused(&[word(&run), word(&place.join("workload"))], "is a workload");
    refused(&[word(&run), word(&dir.path().join("none"))], "there are no runs none-1");
    let foreign = dir.path().join("foreign");
    slower(&run, &foreign, 1.0);
    let file = foreign.join("manifest.json");
    let text = fs::read_to_string(&file).unwrap();
    let print = serde_json::from_str::<Value>(&text).unwrap()["fingerprint"].as_str().unwrap().to_owned();
    fs::write(&file, text.replace(&print, "0123456789abcdef")).unwrap();
    refused(&[word(&run), word(&foreign)], "different workloads");
    fs::write(&file, text.replace("\"complete\":true", "\"complete\":false")).unwrap();
    refused(&[word(&run), word(&foreign)], "is not complete");
    // A capture has times, too.
    let text = expect(0, &["compare", word(&place.join("capture")), word(&run)]);
    assert!(text.contains("time of the whole") && text.contains("captured by"), "{text}");
}

/// A gate that cannot measure says so: it lets nothing through.
#[test]
fn a_gate_needs_times_of_all_runs() {
    let dir = tempfile::tempdir().unwrap();
    let place = matrix(dir.path());
    let before = group(dir.path(), &place.join("run"), "before", 1.0);
    for number in 1..=5 {
        let file = slower(&place.join("run"), &dir.path().join(format!("after-{number}")), 9.0).join("manifest.json");
        let mut manifest: Value = serde_json::from_slice(&fs::read(&file).unwrap()).unwrap();
        manifest["summary"].as_object_mut().unwrap().remove("wall");
        manifest["summary"]["calls"] = json!([]);
        fs::write(&file, manifest.to_string()).unwrap();
    }
    let after = dir.path().join("after");
    for (first, second) in [(&before, &after), (&after, &before), (&after, &after)] {
        let output = ioriot(&["compare", word(first), word(second), "--max-regression", "5%"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains("not so many of"), "{said}");
    }
}

/// Of before-1 to before-5 one was put elsewhere: the others are a group all the same.
#[test]
fn a_run_that_is_missing_hides_no_other() {
    let dir = tempfile::tempdir().unwrap();
    let place = matrix(dir.path());
    let before = group(dir.path(), &place.join("run"), "before", 1.0);
    fs::rename(dir.path().join("before-3"), dir.path().join("partial")).unwrap();
    let page: Value = serde_json::from_str(&expect(0, &["compare", word(&before), word(&before), "--format", "json"])).unwrap();
    assert_eq!(page["datasets"].as_array().unwrap().len(), 8);
}

/// A baseline may come from anybody, and so may the names in it.
#[test]
fn names_in_a_baseline_do_no_harm() {
    let dir = tempfile::tempdir().unwrap();
    let place = matrix(dir.path());
    let (run, baseline) = (place.join("run"), dir.path().join("baseline.json"));
    expect(0, &["compare", word(&run), "--save-baseline", word(&baseline)]);
    let mut told: Value = serde_json::from_slice(&fs::read(&baseline).unwrap()).unwrap();
    told["label"] = json!("\u{1b}[2J|<img src=x>_*");
    fs::write(&baseline, told.to_string()).unwrap();
    for format in ["text", "md", "html", "junit"] {
        let text = expect(0, &["compare", word(&baseline), word(&run), word(&run), "--format", format]);
        assert!(!text.contains('\x1b'), "{text:?}");
        if format == "md" {
            let outside: String = text.split('`').step_by(2).collect();
            assert!(!outside.contains("<img"), "{text}");
        } else {
            assert!(format == "text" || !text.contains("<img"), "{text}");
        }
    }
}

/// Captures have no repeats mostly; what can be said is how far their calls are apart.
#[test]
fn captures_are_compared_by_their_calls() {
    let dir = tempfile::tempdir().unwrap();
    let capture = |name: &str, size: u32, slow: &str| {
        let mut lines = String::from("7 1700000000.000000 openat(AT_FDCWD, \"/tmp/f\", O_RDWR|O_CREAT, 0644) = 3 <0.000010>\n");
        for at in 0..100 {
            let dur = if at % 4 == 0 { slow } else { "0.000020" };
            lines.push_str(&format!("7 1700000{at:03}.500000 pwrite64(3, \"\"..., {size}, 0) = {size} <{dur}>\n"));
        }
        let place = dir.path().join(name);
        fs::create_dir(&place).unwrap();
        super::ingested(&place, &lines)
    };
    let (one, two) = (capture("one", 4096, "0.000020"), capture("two", 8192, "0.004000"));
    let report = |one: &Path, two: &Path| -> Value {
        serde_json::from_str(&expect(0, &["compare", word(one), word(two), "--format", "json"])).unwrap()
    };
    let found = report(&one, &two);
    let row =
        |name: &str| super::rows(&found, name).iter().find(|row| row[0] == "writes").unwrap().as_array().unwrap()[1..].to_vec();
    // A quarter of the writes take longer, and all move more.
    assert_eq!(row("durations"), [json!(100), json!(100), json!(0.25), json!(18_432)]);
    assert_eq!(row("distances_of_sizes"), [json!(100), json!(100), json!(1.0), json!(4096)]);
    let mix = &super::rows(&found, "mix")[0];
    assert_eq!((&mix[0], &mix[1], &mix[2], &mix[3]), (&json!("pwrite64"), &json!(100), &json!(100), &mix[4]));
    assert!((mix[3].as_f64().unwrap() - 100.0 / 101.0).abs() < 1e-12, "{mix}");
    assert!(super::rows(&report(&one, &one), "durations").iter().all(|row| row[3] == json!(0.0)));
    // As a baseline they are the same, and a run has calls, too.
    let baseline = dir.path().join("one.json");
    expect(0, &["compare", word(&one), "--save-baseline", word(&baseline)]);
    assert_eq!(super::rows(&report(&baseline, &two), "durations"), super::rows(&found, "durations"));
    let place = matrix(dir.path());
    let found = report(&place.join("capture"), &place.join("run"));
    assert!(super::rows(&found, "distances_of_sizes").iter().all(|row| row[3] == json!(0.0)), "{found}");
}
