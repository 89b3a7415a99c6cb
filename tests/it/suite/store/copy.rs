//! What is written to a store, and what is left of it when it is cut short.

use super::server::Server;
use crate::tool::{data, expect, rows};
use ioriot::dice::Dice;
use serde_json::Value;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant};

const BY_CALL: &str = "SELECT syscall, count(*), sum(ret) FROM events GROUP BY 1 ORDER BY 1";

fn capture(server: &Server, name: &str, input: &str) -> String {
    let cap = server.dir.path().join(name).to_str().unwrap().to_owned();
    expect(0, &["ingest", input, "-o", &cap]);
    cap
}

/// Names and contents of the files of a directory.
fn files(dir: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        entries.map(|path| (path.file_name().unwrap().to_string_lossy().into_owned(), fs::read(&path).unwrap())).collect();
    files.sort();
    files
}

#[test]
fn a_dataset_goes_there_and_back_and_its_manifest_goes_last() {
    let Some(server) = Server::s3() else { return };
    let cap = capture(&server, "cap", &data("a-sqlite.strace.gz"));
    server.seen();
    server.expect(0, &["copy", &cap, "s3://bucket/up/cap"]);
    let put: Vec<String> =
        server.seen().into_iter().filter(|request| request.method == "PUT").map(|request| request.path).collect();
    assert!(put[0].ends_with("cap/unfinished.json") && put.last().unwrap().ends_with("cap/manifest.json"), "{put:?}");
    assert!(put.len() > 3);
    let back = server.dir.path().join("back");
    server.expect(0, &["copy", "s3://bucket/up/cap", back.to_str().unwrap()]);
    assert_eq!(files(Path::new(&cap)), files(&back));
    // The note of the upload is gone, and the same copy has nothing to do.
    assert_eq!(server.ask("GET", "/bucket/up/cap/unfinished.json", b"").0, 404);
    server.expect(0, &["copy", &cap, "s3://bucket/up/cap"]);
    assert!(server.seen().iter().all(|request| request.method != "PUT"));
    let other = capture(&server, "other", &data("matrix.strace"));
    assert!(server.expect(2, &["copy", &other, "s3://bucket/up/cap"]).1.contains("exists already"));
    server.expect(2, &["copy", &cap, back.to_str().unwrap()]);
    server.expect(2, &["copy", "s3://bucket/up/cap", "s3://bucket/up/cap2"]);
    server.expect(2, &["copy", "s3://bucket/up/cap", back.to_str().unwrap()]);
    assert!(server.expect(2, &["copy", &cap, "https://host/cap"]).1.contains("read only"));
    // What is not ioriot's is not touched.
    server.put("/bucket/theirs/notes", b"mine");
    assert!(server.expect(2, &["copy", &cap, "s3://bucket/theirs"]).1.contains("notes"));
    server.expect(2, &["copy", "--discard", "s3://bucket/theirs"]);
    server.expect(2, &["copy", "--discard", "s3://bucket/up/cap"]);
    assert_eq!(server.ask("GET", "/bucket/theirs/notes", b"").1, b"mine");
}

#[test]
fn a_fleet_goes_there_and_back() {
    let Some(server) = Server::s3() else { return };
    let fleet = server.dir.path().join("fleet");
    expect(0, &["ingest", &data("matrix.strace"), &data("e-fio.strace.gz"), "-o", fleet.to_str().unwrap()]);
    server.expect(0, &["copy", fleet.to_str().unwrap(), "s3://bucket/fleet"]);
    assert_eq!(server.rows(&["s3://bucket/fleet"], BY_CALL), rows(&[&fleet], BY_CALL));
    let back = server.dir.path().join("back");
    server.expect(0, &["copy", "s3://bucket/fleet", back.to_str().unwrap()]);
    for host in ["host=matrix", "host=e-fio"] {
        assert_eq!(files(&fleet.join(host)), files(&back.join(host)));
    }
}

/// Killed at many moments, an upload leaves nothing that looks whole, and the next one goes on.
#[test]
fn a_killed_upload_is_no_dataset_and_is_gone_on_with_or_discarded() {
    let Some(server) = Server::s3() else { return };
    let text = server.dir.path().join("big.capture");
    expect(0, &["synth", "--lines", "2500000", "-o", text.to_str().unwrap()]);
    let cap = capture(&server, "cap", text.to_str().unwrap());
    // Large enough for an upload in parts.
    assert!(fs::metadata(Path::new(&cap).join("events.parquet")).unwrap().len() > 17 << 20);
    let uploads = || {
        let text = server.ask("GET", "/bucket?uploads", b"").1;
        String::from_utf8_lossy(&text).matches("<UploadId>").count()
    };
    let mut cut = 0;
    for (at, delay) in [30, 100, 200, 300, 500, 800].into_iter().enumerate() {
        let url = format!("s3://bucket/killed{at}");
        let mut child = server.command(&["copy", &cap, &url]).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        child.kill().unwrap();
        let killed = !child.wait().unwrap().success();
        let there = server.ask("GET", &format!("/bucket/killed{at}/manifest.json"), b"").0 == 200;
        assert!(killed || there);
        if there {
            assert_eq!(server.rows(&[&url], BY_CALL), rows(&[Path::new(&cap)], BY_CALL));
            continue;
        }
        cut += 1;
        assert!(server.expect(2, &["query", &url, "SELECT 1"]).1.contains("not a dataset"));
        let begun = server.ask("GET", &format!("/bucket/killed{at}/unfinished.json"), b"").0 == 200;
        if at % 2 == 0 || !begun {
            server.expect(0, &["copy", &cap, &url]);
            assert_eq!(server.rows(&[&url], BY_CALL), rows(&[Path::new(&cap)], BY_CALL));
        } else {
            server.expect(0, &["copy", "--discard", &url]);
            let left = server.ask("GET", &format!("/bucket?list-type=2&prefix=killed{at}/"), b"").1;
            assert!(!String::from_utf8_lossy(&left).contains("<Key>"));
        }
    }
    assert!(cut > 0, "none was cut short");
    // Between the beginning of an upload in parts and the note of it lies one request: a kill that falls there leaves one to the store.
    assert!(uploads() <= 1, "{} uploads in parts are left", uploads());
}

/// What is written can be named afterwards.
#[test]
fn nothing_is_written_to_a_pattern() {
    let Some(server) = Server::s3() else { return };
    let cap = capture(&server, "cap", &data("matrix.strace"));
    for name in ["a*b", "a?", "[a]"] {
        let said = server.expect(2, &["copy", &cap, &format!("s3://bucket/{name}")]).1;
        assert!(said.contains("is a pattern"), "{said}");
    }
    for name in ["a b", "a%2Fb", "a#b", "é"] {
        let url = format!("s3://bucket/{name}");
        server.expect(0, &["copy", &cap, &url]);
        assert_eq!(server.rows(&[&url], BY_CALL), rows(&[Path::new(&cap)], BY_CALL));
    }
}

/// Of two copies to one place the later one goes on, and the earlier one puts nothing between what that sends.
#[test]
fn two_copies_to_one_place_do_not_mix() {
    let Some(server) = Server::s3() else { return };
    let text = server.dir.path().join("big.capture");
    expect(0, &["synth", "--lines", "2500000", "-o", text.to_str().unwrap()]);
    let first = capture(&server, "first", text.to_str().unwrap());
    let second = capture(&server, "second", &data("matrix.strace"));
    let mut child = server.command(&["copy", &first, "s3://bucket/cap"]).stderr(Stdio::piped()).spawn().unwrap();
    while server.ask("GET", "/bucket/cap/unfinished.json", b"").0 != 200 {
        std::thread::sleep(Duration::from_millis(1));
    }
    // SAFETY: plain numbers; the child has not been waited for.
    let signal = |signal| unsafe { libc::kill(child.id() as libc::pid_t, signal) };
    signal(libc::SIGSTOP);
    server.expect(0, &["copy", &second, "s3://bucket/cap"]);
    signal(libc::SIGCONT);
    let mut said = String::new();
    std::io::Read::read_to_string(&mut child.stderr.take().unwrap(), &mut said).unwrap();
    assert_eq!(child.wait().unwrap().code(), Some(2), "{said}");
    let back = server.dir.path().join("back");
    server.expect(0, &["copy", "s3://bucket/cap", back.to_str().unwrap()]);
    assert_eq!(files(Path::new(&second)), files(&back), "{said}");
}

/// Whenever the other begins, and wherever one is held up, what is there in the end is one of the two, or no dataset.
#[test]
fn copies_at_once_leave_one_dataset_or_none() {
    let Some(server) = Server::s3() else { return };
    let text = server.dir.path().join("text");
    expect(0, &["synth", "--lines", "3000", "-o", text.to_str().unwrap()]);
    let given = [capture(&server, "a", &data("matrix.strace")), capture(&server, "b", text.to_str().unwrap())];
    let mut dice = Dice::new(7);
    let mut whole = 0;
    for round in 0..16 {
        let url = format!("s3://bucket/round{round}");
        let copy =
            |from: &String| server.command(&["copy", from, &url]).stderr(Stdio::null()).stdout(Stdio::null()).spawn().unwrap();
        let mut copies = Vec::new();
        for from in &given {
            copies.push(copy(from));
            std::thread::sleep(Duration::from_millis(dice.below(120)));
        }
        for _ in 0..4 {
            let held = copies[dice.below(2) as usize].id() as libc::pid_t;
            // SAFETY: plain numbers; no child has been waited for.
            unsafe { libc::kill(held, libc::SIGSTOP) };
            std::thread::sleep(Duration::from_millis(dice.below(150)));
            // SAFETY: as before.
            unsafe { libc::kill(held, libc::SIGCONT) };
        }
        let ended: Vec<bool> = copies.iter_mut().map(|copy| copy.wait().unwrap().success()).collect();
        let done = server.ask("GET", &format!("/bucket/round{round}/manifest.json"), b"").0 == 200;
        assert_eq!(ended.iter().filter(|success| **success).count(), usize::from(done), "round {round}: {ended:?}");
        if let Some(which) = ended.iter().position(|success| *success) {
            let back = server.dir.path().join(format!("back{round}"));
            server.expect(0, &["copy", &url, back.to_str().unwrap()]);
            assert_eq!(files(Path::new(&given[which])), files(&back), "round {round}");
            whole += 1;
        }
    }
    assert!(whole > 4, "{whole}");
}

#[test]
fn a_resumed_upload_sends_what_is_missing() {
    let Some(server) = Server::s3() else { return };
    let cap = capture(&server, "cap", &data("a-sqlite.strace.gz"));
    server.expect(0, &["copy", &cap, "s3://bucket/cap"]);
    // As a kill before the manifest leaves it.
    let note = |files: &Value| serde_json::json!({ "ioriot_unfinished": 1, "files": files, "begun": null }).to_string();
    let manifest: Value = serde_json::from_slice(&fs::read(Path::new(&cap).join("manifest.json")).unwrap()).unwrap();
    let hash = |name: &str| blake3(&Path::new(&cap).join(name));
    let names = manifest["files"].as_object().unwrap();
    let said: serde_json::Map<String, Value> = names
        .iter()
        .map(|(name, said)| (name.clone(), serde_json::json!({ "bytes": said["bytes"], "blake3": hash(name) })))
        .collect();
    let delete = |name: &str| assert!(server.ask("DELETE", &format!("/bucket/cap/{name}"), b"").0 < 300);
    delete("manifest.json");
    delete("losses.parquet");
    server.put("/bucket/cap/unfinished.json", note(&said.clone().into()).as_bytes());
    server.seen();
    server.expect(0, &["copy", &cap, "s3://bucket/cap"]);
    let sent: Vec<String> = server.seen().into_iter().filter(|seen| seen.method == "PUT").map(|seen| seen.path).collect();
    assert!(!sent.iter().any(|path| path.ends_with("events.parquet")), "{sent:?}");
    assert!(sent.iter().any(|path| path.ends_with("losses.parquet")), "{sent:?}");
    // What was sent of another capture is not taken for this one's.
    let mut other = said;
    other["events.parquet"]["blake3"] = "0".into();
    delete("manifest.json");
    server.put("/bucket/cap/unfinished.json", note(&other.into()).as_bytes());
    server.seen();
    server.expect(0, &["copy", &cap, "s3://bucket/cap"]);
    assert!(server.seen().iter().any(|seen| seen.method == "PUT" && seen.path.ends_with("events.parquet")));
    assert_eq!(server.rows(&["s3://bucket/cap"], BY_CALL), rows(&[Path::new(&cap)], BY_CALL));
}

fn blake3(file: &Path) -> String {
    blake3::hash(&fs::read(file).unwrap()).to_hex().to_string()
}

/// Every step reads from and writes to the store, and comes to the same as on this machine.
#[test]
fn the_whole_way_in_a_store() {
    let Some(server) = Server::s3() else { return };
    let at = |name: &str| server.dir.path().join(name).to_str().unwrap().to_owned();
    let there = |args: &[&str]| {
        let output = server.command(args).current_dir(server.dir.path()).output().unwrap();
        super::server::ended(0, args, &output)
    };
    there(&["ingest", &data("matrix.strace"), "-o", "s3://bucket/cap"]);
    there(&["generate", "s3://bucket/cap", "-o", "s3://bucket/work"]);
    expect(0, &["ingest", &data("matrix.strace"), "-o", &at("cap")]);
    expect(0, &["generate", &at("cap"), "-o", &at("work")]);
    // But for the command, which is in the manifest.
    let ops = "SELECT * FROM ops ORDER BY op_id";
    assert_eq!(server.rows(&["s3://bucket/work"], ops), rows(&[Path::new(&at("work"))], ops));
    let edges = "SELECT * FROM edges ORDER BY op_id, after";
    assert_eq!(server.rows(&["s3://bucket/work"], edges), rows(&[Path::new(&at("work"))], edges));
    there(&["init", "s3://bucket/work", "--root", &at("root")]);
    there(&["replay", "s3://bucket/work", "--root", &at("root"), "-o", "s3://bucket/run"]);
    let same = server.rows(&["s3://bucket/run"], "SELECT outcome, count(*) FROM results GROUP BY 1 ORDER BY 2 DESC");
    assert!(same[0].starts_with("same,"), "{same:?}");
    let report = there(&["report", "s3://bucket/cap", "s3://bucket/work", "s3://bucket/run", "--format", "json"]).0;
    let report: Value = serde_json::from_str(&report).unwrap();
    assert!(report["parts"].as_array().unwrap().len() > 2);
    there(&["compare", "s3://bucket/run", "s3://bucket/run"]);
    for verb in [&["head"][..], &["export", "--to", "folded", "-o", &at("folded")], &["lint"]] {
        let dataset = if verb[0] == "lint" { "s3://bucket/work" } else { "s3://bucket/cap" };
        there(&[&[verb[0], dataset], &verb[1..]].concat());
    }
    // Nothing of it is left here.
    let left: Vec<_> = files_of(server.dir.path()).into_iter().filter(|name| name.contains("spool")).collect();
    assert!(left.is_empty() && !Path::new(&at("run.spool.workload")).exists(), "{left:?}");
}

fn files_of(dir: &Path) -> Vec<String> {
    fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned()).collect()
}

/// A capture loses nothing when the store is away: it is whole here, and the error says how to go on.
#[test]
fn a_capture_stays_here_when_the_store_is_away() {
    let Some(server) = Server::s3() else { return };
    let args = ["capture", "--backend", "ptrace", "-o", "s3://bucket/live", "--", "cat", "/etc/hostname"];
    let mut away = server.command(&args);
    away.current_dir(server.dir.path()).env("AWS_ENDPOINT", "http://127.0.0.1:9");
    let begun = Instant::now();
    let (_, said) = super::server::ended(2, &args, &away.output().unwrap());
    assert!(begun.elapsed() < Duration::from_secs(30) && said.contains("ioriot copy ./live.spool s3://bucket/live"), "{said}");
    let spool = server.dir.path().join("live.spool");
    let whole = rows(&[&spool], BY_CALL);
    assert!(whole.iter().any(|row| row.starts_with("read,")), "{whole:?}");
    // Another capture is not put over it.
    let again = server.command(&args).current_dir(server.dir.path()).output().unwrap();
    assert!(super::server::ended(2, &args, &again).1.contains("live.spool exists already"));
    server.expect(0, &["copy", spool.to_str().unwrap(), "s3://bucket/live"]);
    assert_eq!(server.rows(&["s3://bucket/live"], BY_CALL), whole);
    let args = ["capture", "--backend", "ptrace", "-o", "s3://bucket/live2", "--", "cat", "/etc/hostname"];
    let output = server.command(&args).current_dir(server.dir.path()).output().unwrap();
    super::server::ended(0, &args, &output);
    assert!(!server.dir.path().join("live2.spool").exists());
    assert!(server.rows(&["s3://bucket/live2"], BY_CALL).iter().any(|row| row.starts_with("read,")));
    // Without credentials nothing is begun.
    let bare = super::server::bare(&args).current_dir(server.dir.path()).output().unwrap();
    assert!(super::server::ended(2, &args, &bare).1.contains("AWS_ACCESS_KEY_ID"));
    assert!(!server.dir.path().join("live2.spool").exists());
}
