//! What is read of a store, and with how many requests and bytes.

use super::server::{Request, Server};
use crate::tool::{data, expect, rows};
use parquet::file::reader::{FileReader, SerializedFileReader};
use serde_json::Value;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const BY_CALL: &str = "SELECT syscall, count(*), sum(ret) FROM events GROUP BY 1 ORDER BY 1";

fn fleet(dir: &Path) -> PathBuf {
    let fleet = dir.join("fleet");
    let inputs = ["matrix.strace", "e-fio.strace.gz", "a-sqlite.strace.gz"].map(data);
    let [a, b, c] = inputs.each_ref().map(String::as_str);
    expect(0, &["ingest", a, b, c, "-o", fleet.to_str().unwrap()]);
    fleet
}

/// A capture of some hundred thousand events, in `cap` of the bucket and of the server's directory.
fn large(server: &Server) -> PathBuf {
    let at = |name: &str| server.dir.path().join(name);
    expect(0, &["synth", "--lines", "400000", "-o", at("big.capture").to_str().unwrap()]);
    expect(0, &["ingest", at("big.capture").to_str().unwrap(), "-o", at("cap").to_str().unwrap()]);
    server.put_all(&at("cap"), "cap");
    server.seen();
    at("cap")
}

fn bytes(requests: &[Request]) -> u64 {
    requests.iter().map(|request| request.bytes).sum()
}

#[test]
fn a_fleet_is_asked_as_a_local_one() {
    let Some(server) = Server::s3() else { return };
    let local = fleet(server.dir.path());
    server.put_all(&local, "a/fleet");
    let expected = rows(&[&local], BY_CALL);
    assert!(expected.len() > 20);
    for places in [
        &["s3://bucket/a/fleet"][..],
        &["s3://bucket/a/fleet/"],
        &["s3://bucket/a/fleet/host=*"],
        &["s3://bucket/*/fleet/host=[aem]*"],
        &["s3://bucket/a/fleet/host=a-sqlite", "s3://bucket/a/fleet/host=e-fio", "s3://bucket/a/fleet/host=matrix"],
    ] {
        assert_eq!(server.rows(places, BY_CALL), expected, "{places:?}");
    }
    // Beside a local one, and by every view that there is.
    let matrix = local.join("host=matrix");
    let mixed = ["s3://bucket/a/fleet/host=e-fio", matrix.to_str().unwrap()];
    assert_eq!(server.rows(&mixed, "SELECT count(DISTINCT dataset) FROM events"), ["2"]);
    for view in ["io", "accesses"] {
        let sql = format!("SELECT * FROM {view}");
        let prefix = local.to_str().unwrap();
        let mut here = rows(&[&local], &sql);
        let mut there: Vec<_> = server.rows(&["s3://bucket/a/fleet"], &sql);
        there.iter_mut().for_each(|row| *row = row.replace("s3://bucket/a/fleet", prefix));
        there.sort();
        here.sort();
        assert_eq!(there, here, "{view}");
    }
    let refused = |place: &str| server.expect(2, &["query", place, "SELECT 1"]).1;
    assert!(refused("s3://bucket/a/none").contains("not a dataset"));
    assert!(refused("s3://bucket/a/none*").contains("nothing matches"));
    assert!(refused("s3://none/a").contains("none"));
    let twice = server.expect(2, &["query", "s3://bucket/a/fleet", "s3://bucket/a/fleet/host=e-fio", "SELECT 1"]).1;
    assert!(twice.contains("twice"), "{twice}");
}

#[test]
fn a_count_reads_footers_and_each_with_one_request_of_the_right_size() {
    let Some(server) = Server::s3() else { return };
    let cap = large(&server);
    let counted = server.rows(&["s3://bucket/cap"], "SELECT count(*) FROM events");
    let seen = server.seen();
    assert_eq!(counted, rows(&[&cap], "SELECT count(*) FROM events"));
    let text = fs::read(cap.join("manifest.json")).unwrap();
    let manifest: Value = serde_json::from_slice(&text).unwrap();
    let files = manifest["files"].as_object().unwrap();
    for (name, said) in files {
        let asked: Vec<_> = seen.iter().filter(|request| request.path.ends_with(name.as_str())).collect();
        assert!(asked.len() == 1 && asked[0].bytes == said["footer"].as_u64().unwrap(), "{name}: {asked:?}");
        assert_eq!(said["bytes"].as_u64(), fs::metadata(cap.join(name)).ok().map(|meta| meta.len()));
    }
    // Beside footers the manifest and what is there at all.
    let footers: u64 = files.values().map(|said| said["footer"].as_u64().unwrap()).sum();
    let others = seen.len() - files.len();
    assert!(others <= 3 && bytes(&seen) < footers + 2 * text.len() as u64 + 4096, "{seen:?}");
}

#[test]
fn a_query_of_two_columns_fetches_little_more_than_these() {
    let Some(server) = Server::s3() else { return };
    let cap = large(&server);
    let sql = "SELECT sum(ret), count(path) FROM events";
    let expected = rows(&[&cap], sql);
    let footers: u64 = {
        server.rows(&["s3://bucket/cap"], "SELECT count(*) FROM events");
        bytes(&server.seen())
    };
    assert_eq!(server.rows(&["s3://bucket/cap"], sql), expected);
    let fetched = bytes(&server.seen()) - footers;
    let file = SerializedFileReader::new(File::open(cap.join("events.parquet")).unwrap()).unwrap();
    let chunks = file.metadata().row_groups().iter().flat_map(|group| group.columns());
    let wanted = chunks.filter(|chunk| ["ret", "path"].contains(&chunk.column_path().string().as_str()));
    let wanted: u64 = wanted.map(|chunk| chunk.compressed_size() as u64).sum();
    assert!(file.metadata().num_row_groups() > 1 && wanted > 100_000);
    assert!(fetched as f64 <= 1.3 * wanted as f64, "{fetched} bytes for {wanted}");
}

/// Datasets whose manifests name no files are found by a listing, and their footers are guessed.
#[test]
fn a_manifest_need_not_name_files() {
    let Some(server) = Server::s3() else { return };
    let cap = large(&server);
    let mut manifest: Value = serde_json::from_slice(&fs::read(cap.join("manifest.json")).unwrap()).unwrap();
    manifest.as_object_mut().unwrap().remove("files");
    server.put("/bucket/cap/manifest.json", manifest.to_string().as_bytes());
    assert_eq!(server.rows(&["s3://bucket/cap"], BY_CALL), rows(&[&cap], BY_CALL));
    // One that lies about them is not believed.
    for lie in ["{\"events.parquet\": {\"footer\": 9}}", "{\"events.parquet\": {\"footer\": 1e18}}"] {
        manifest["files"] = serde_json::from_str(lie).unwrap();
        server.put("/bucket/cap/manifest.json", manifest.to_string().as_bytes());
        if !lie.contains("e18") {
            assert_eq!(server.rows(&["s3://bucket/cap"], BY_CALL), rows(&[&cap], BY_CALL), "{lie}");
        }
    }
}

#[test]
fn what_is_damaged_is_refused() {
    let Some(server) = Server::s3() else { return };
    let cap = fleet(server.dir.path()).join("host=a-sqlite");
    server.put_all(&cap, "cap");
    let events = fs::read(cap.join("events.parquet")).unwrap();
    let file = SerializedFileReader::new(File::open(cap.join("events.parquet")).unwrap()).unwrap();
    let ret = file.metadata().row_group(0).columns().iter().find(|chunk| chunk.column_path().string() == "ret").unwrap();
    let first = usize::try_from(ret.data_page_offset()).unwrap();
    let with = |change: &dyn Fn(&mut Vec<u8>)| {
        let mut changed = events.clone();
        change(&mut changed);
        server.put("/bucket/cap/events.parquet", &changed);
        server.expect(2, &["query", "s3://bucket/cap", "SELECT sum(ret) FROM events"]).1
    };
    let said = with(&|file| file.truncate(file.len() / 2));
    assert!(said.contains("events.parquet"), "{said}");
    // The header of a page of the column claims another length.
    let said = with(&|file| file[first..first + 8].fill(0x7f));
    assert!(said.contains("events.parquet") && said.contains("ret"), "{said}");
    let said = with(&|file| file.clear());
    assert!(said.contains("events.parquet"), "{said}");
    server.put("/bucket/cap/events.parquet", &events);
    // The same for a reader by columns, of a file that was read whole with its end, as nobody had said how large its footer is.
    let work = server.dir.path().join("work");
    expect(0, &["generate", cap.to_str().unwrap(), "-o", work.to_str().unwrap()]);
    server.put_all(&work, "made");
    let mut manifest: Value = serde_json::from_slice(&fs::read(work.join("manifest.json")).unwrap()).unwrap();
    manifest.as_object_mut().unwrap().remove("files");
    server.put("/bucket/made/manifest.json", manifest.to_string().as_bytes());
    let root = server.dir.path().join("root");
    let init = ["init", "s3://bucket/made", "--root", root.to_str().unwrap()];
    server.expect(0, &init);
    let mut fileset = fs::read(work.join("fileset.parquet")).unwrap();
    let file = SerializedFileReader::new(File::open(work.join("fileset.parquet")).unwrap()).unwrap();
    let paths = file.metadata().row_group(0).column(0);
    let first = usize::try_from(paths.dictionary_page_offset().unwrap_or(paths.data_page_offset())).unwrap();
    assert!(fileset.len() < 64 << 10);
    fileset[first..first + 8].fill(0x7f);
    server.put("/bucket/made/fileset.parquet", &fileset);
    let said = server.expect(2, &[&init[..], &["--force"]].concat()).1;
    assert!(said.contains("fileset.parquet") && said.contains("damaged"), "{said}");
    server.put("/bucket/cap/manifest.json", b"{");
    assert!(server.expect(2, &["query", "s3://bucket/cap", "SELECT 1"]).1.contains("damaged"));
}

#[test]
fn sql_names_stores_only_when_it_may() {
    let Some(server) = Server::s3() else { return };
    let cap = fleet(server.dir.path()).join("host=a-sqlite");
    server.put_all(&cap, "cap");
    let sql = "SELECT count(*) FROM 's3://bucket/cap/events.parquet'";
    server.seen();
    server.expect(2, &["query", cap.to_str().unwrap(), sql]);
    assert!(server.seen().is_empty());
    let allowed = server.expect(0, &["query", cap.to_str().unwrap(), sql, "--allow-files", "--format", "csv"]).0;
    assert_eq!(allowed.lines().nth(1), rows(&[&cap], "SELECT count(*) FROM events").first().map(String::as_str));
}

#[test]
fn a_web_server_is_read_by_the_names_in_the_manifest() {
    let dir = tempfile::tempdir().unwrap();
    let fleet = fleet(dir.path());
    let Some(server) = Server::http(dir.path()) else { return };
    let url = format!("http://127.0.0.1:{}/fleet/host=a-sqlite", server.port);
    assert_eq!(server.rows(&[&url], BY_CALL), rows(&[&fleet.join("host=a-sqlite")], BY_CALL));
    let seen = server.seen();
    assert!(seen.iter().all(|request| request.method == "GET"), "{seen:?}");
    let ranged = seen.iter().filter(|request| request.path.ends_with(".parquet")).all(|request| request.range != "-");
    assert!(ranged, "{seen:?}");
    let refused = |url: &str| server.expect(2, &["query", url, "SELECT 1"]).1;
    assert!(refused(&format!("http://127.0.0.1:{}/fleet/host=*", server.port)).contains("lists nothing"));
    assert!(refused(&format!("http://me:word@127.0.0.1:{}/x", server.port)).contains("password"));
    assert!(refused(&format!("http://127.0.0.1:{}/none", server.port)).contains("not a dataset"));
}
