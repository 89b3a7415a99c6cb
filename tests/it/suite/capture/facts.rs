//! What a live capture observes of files, and what would be inferred without it.

use super::{allowed, capture, scratch};
use crate::tool::{csv_text, expect, number, rows};
use ioriot::event::{Col, Text};
use serde_json::Value;
use std::fs;
use std::path::Path;

/// Makes a workload; its summary.
fn generate(capture: &Path, workload: &Path) -> Value {
    let [capture, workload] = [capture, workload].map(|path| path.to_str().unwrap());
    serde_json::from_str(&expect(0, &["generate", capture, "-o", workload, "--format", "json"])).unwrap()
}

/// The same capture, with calls only: as a text capture would have it.
fn stripped(whole: &Path, blind: &Path) {
    fs::create_dir(blind).unwrap();
    for entry in fs::read_dir(whole).unwrap().map(Result::unwrap) {
        fs::copy(entry.path(), blind.join(entry.file_name())).unwrap();
    }
    let observed = [Col::Dev, Col::Ino, Col::Pos, Col::StSize, Col::StMode];
    let column = |col: &Col| match col.name() {
        name if observed.contains(col) => format!("CAST(NULL AS BIGINT) AS {name}"),
        name => name.to_owned(),
    };
    let columns: Vec<String> = Col::ALL.iter().map(column).chain(Text::ALL.iter().map(|text| text.name().to_owned())).collect();
    let sql = format!("SELECT host, seq, syscall, {} FROM events ORDER BY seq", columns.join(", "));
    let events = blind.join("events.parquet");
    fs::remove_file(&events).unwrap();
    expect(0, &["query", whole.to_str().unwrap(), &sql, "--format", "parquet", "-o", events.to_str().unwrap()]);
}

/// Two names of one file: one is written, the other is read. Nobody is seen to link them.
#[test]
fn hard_links_are_known_by_their_identity() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let at = |name: &str| dir.path().join(name);
    fs::write(at("one"), "12345").unwrap();
    fs::hard_link(at("one"), at("two")).unwrap();
    let script = "echo more >> two && cat one > copy";
    capture(0, &at("capture"), &["--", "sh", "-c", &format!("cd \"$0\" && {script}"), dir.path().to_str().unwrap()]);
    stripped(&at("capture"), &at("blind"));

    let fileset = |workload: &str, name: &str| {
        rows(&[&at(workload)], &format!("SELECT size, target FROM fileset WHERE path LIKE '%/{name}'"))
    };
    let (whole, blind) = (generate(&at("capture"), &at("workload")), generate(&at("blind"), &at("guessed")));
    let one = fs::canonicalize(at("one")).unwrap();
    assert_eq!(fileset("workload", "one"), ["5,"]);
    assert_eq!(fileset("workload", "two"), [format!("0,{}", csv_text(&one))]);
    assert_eq!(fileset("guessed", "one"), ["10,"], "what one name was given was there in the other, as far as calls tell");
    let inferred = |summary: &Value, kind: &str| summary.pointer(&format!("/inferences/{kind}/inferred")).and_then(Value::as_u64);
    assert_eq!((inferred(&whole, "identities"), inferred(&whole, "positions")), (Some(0), Some(0)));
    assert!(inferred(&blind, "positions") > Some(0) && inferred(&blind, "identities") > Some(0), "{blind}");

    let [workload, root, run] = ["workload", "root", "run"].map(|name| at(name).to_str().unwrap().to_owned());
    for _ in 0..2 {
        expect(0, &["init", &workload, "--root", &root, "--force"]);
        let _ = fs::remove_dir_all(&run);
        expect(0, &["replay", &workload, "--root", &root, "-o", &run, "--min-match", "100"]);
        assert_eq!(number(&[Path::new(&run)], "SELECT count(*) FROM state WHERE verdict <> 'same'"), 0.0);
        expect(0, &["init", &workload, "--root", &root, "--reset"]);
        let tree = |name: &str| Path::new(&root).join("tree").join(dir.path().strip_prefix("/").unwrap()).join(name);
        use std::os::unix::fs::MetadataExt;
        let [one, two] = ["one", "two"].map(|name| fs::metadata(tree(name)).unwrap());
        assert_eq!((one.ino(), one.nlink(), one.len()), (two.ino(), 2, 5));
    }
}

/// What stat found, before anybody changed it, is what init makes.
#[test]
fn owners_and_times_are_those_that_stat_found() {
    use std::os::unix::fs::{MetadataExt, chown};
    use std::time::{Duration, UNIX_EPOCH};
    let dir = scratch();
    let at = |name: &str| dir.path().canonicalize().unwrap().join(name);
    let times = [("one", 1_000_000_000_123_456_789_u64), ("two", 1_234_567_890_000_000_001)];
    for (name, nanos) in times {
        let file = fs::File::create(at(name)).unwrap();
        file.set_modified(UNIX_EPOCH + Duration::from_nanos(nanos)).unwrap();
        if crate::tool::root() {
            chown(at(name), Some(1234), Some(4321)).unwrap();
        }
    }
    let script = "[ one -nt two ]; ls -l one two > /dev/null; echo more >> two";
    let command = format!("cd \"$0\" && {script}");
    for backend in ["ptrace", "ebpf"] {
        if backend == "ebpf" && !allowed() {
            continue;
        }
        if backend == "ebpf" {
            fs::File::options()
                .write(true)
                .open(at("two"))
                .unwrap()
                .set_modified(UNIX_EPOCH + Duration::from_nanos(times[1].1))
                .unwrap();
        }
        let out = at(backend);
        capture(0, &out, &["--backend", backend, "--", "sh", "-c", &command, at("").to_str().unwrap()]);
        let (workload, root) = (at(&format!("workload-{backend}")), at(&format!("root-{backend}")));
        generate(&out, &workload);
        expect(0, &["init", workload.to_str().unwrap(), "--root", root.to_str().unwrap()]);
        for (name, nanos) in times {
            let made = fs::metadata(root.join("tree").join(at(name).strip_prefix("/").unwrap())).unwrap();
            assert_eq!(made.modified().unwrap(), UNIX_EPOCH + Duration::from_nanos(nanos), "{backend}: {name}");
            let there = fs::metadata(at(name)).unwrap();
            assert_eq!((made.uid(), made.gid()), (there.uid(), there.gid()), "{backend}: {name}");
        }
    }
}

/// How the clock stood to UTC, at the start and at the end, around the events.
#[test]
fn a_capture_says_how_good_its_clock_was() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let out = dir.path().join("capture");
    capture(0, &out, &["--", "sh", "-c", "cat /etc/passwd >/dev/null"]);
    let manifest: Value = serde_json::from_str(&fs::read_to_string(out.join("manifest.json")).unwrap()).unwrap();
    let Some([began, ended]) = manifest["utc"].as_array().map(Vec::as_slice) else { panic!("{}", manifest["utc"]) };
    let at = |look: &Value| look["ts"].as_i64().unwrap();
    let [first, last] = ["first_ts", "last_ts"].map(|key| manifest[key].as_i64().unwrap());
    assert!(at(began) <= first && first <= last && last <= at(ended), "{began} {first} {last} {ended}");
    for look in [began, ended] {
        assert!(look["offset"].is_i64() && (look["error"].is_null() || look["error"].as_i64() >= Some(0)), "{look}");
    }
}
