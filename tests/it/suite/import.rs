//! Ingest of foreign formats: files that real tools wrote, damaged ones, and formats of users.

use crate::tool::{data, expect, ioriot, number, piped, rows};
use serde_json::Value;
use std::fs;
use std::io::Read;
use std::path::{Path, PathBuf};
use tempfile::TempDir;

/// A real file of a format, and what is known of it from the file itself.
struct Sample {
    file: &'static str,
    format: &'static str,
    lines: u64,
    /// Events of lines, and inserted ones.
    events: [u64; 2],
    rejects: u64,
    /// Bytes that the file tells were read and written.
    bytes: [u64; 2],
}

const SAMPLES: &[Sample] = &[
    Sample { file: "blkparse.txt.gz", format: "blkparse", lines: 1144, events: [165, 1], rejects: 0, bytes: [598_016, 532_480] },
    Sample { file: "bpftrace.txt.gz", format: "bpftrace", lines: 115, events: [110, 0], rejects: 0, bytes: [42_341, 31_180] },
    Sample {
        file: "darshan-dxt.txt.gz",
        format: "darshan_dxt",
        lines: 174,
        events: [59, 4],
        rejects: 0,
        bytes: [4_202_504, 4_195_800],
    },
    Sample { file: "dftracer.pfw.gz", format: "dftracer", lines: 39, events: [26, 0], rejects: 0, bytes: [11_300, 31_180] },
    Sample { file: "fio-v2.log", format: "fio_iolog", lines: 25, events: [22, 0], rejects: 0, bytes: [0, 131_072] },
    Sample { file: "fio-v3.log", format: "fio_iolog", lines: 80, events: [77, 0], rejects: 0, bytes: [155_648, 106_496] },
    Sample {
        file: "perf-script.txt.gz",
        format: "perf_script",
        lines: 218,
        events: [109, 0],
        rejects: 0,
        bytes: [42_341, 31_180],
    },
    Sample { file: "perf-trace.txt.gz", format: "perf_trace", lines: 319, events: [111, 0], rejects: 0, bytes: [42_341, 31_180] },
];

fn ingest(dir: &Path, input: &str, format: &str) -> (PathBuf, Value) {
    let out = dir.join("cap");
    let args = ["ingest", input, "--format", format, "--format", "json", "-o", out.to_str().unwrap()];
    let summary = serde_json::from_str(&expect(0, &args)).unwrap();
    (out, summary)
}

fn count(value: &Value) -> u64 {
    value.as_u64().unwrap()
}

/// Bytes that a replay read and wrote, as CSV.
fn moved(run: &Path) -> String {
    let sql = "SELECT sum(CASE WHEN moves = 'reads' THEN ret END), sum(CASE WHEN moves = 'writes' THEN ret END) \
               FROM results JOIN syscall_def USING (syscall) WHERE ret > 0";
    rows(&[run], sql).concat()
}

/// What a real file tells is what its events tell, and what a replay moves.
#[test]
fn each_sample_is_replayed_byte_for_byte() {
    for sample in SAMPLES {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        let (cap, summary) = ingest(dir.path(), &data(&format!("foreign/{}", sample.file)), sample.format);
        let made = &summary["captures"][0];
        let ledger = &made["ledger"];
        let known = ["lines", "events", "rejects"].map(|name| count(&ledger[name]));
        assert_eq!(known, [sample.lines, sample.events[0], sample.rejects], "{}: {ledger}", sample.file);
        assert_eq!(count(&made["foreign"]["inserted"]), sample.events[1], "{}", sample.file);
        assert_eq!(number(&[&cap], "SELECT count(*) FROM events"), (sample.events[0] + sample.events[1]) as f64);

        let (work, root, run) = (at("work"), at("root"), at("run"));
        expect(0, &["generate", &at("cap"), "-o", &work]);
        expect(0, &["init", &work, "--root", &root]);
        let output = ioriot(&["replay", &work, "--root", &root, "-o", &run, "--format", "json"]);
        let replayed: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(count(&replayed["different"]), 0, "{}: {replayed}", sample.file);
        let [read, written] = sample.bytes.map(|bytes| if bytes == 0 { String::new() } else { bytes.to_string() });
        assert_eq!(moved(Path::new(&run)), format!("{read},{written}"), "{}", sample.file);
    }
}

/// Formats of which no real file was seen: what their documentation shows becomes events, and is replayed.
#[test]
fn what_the_documentation_of_a_format_shows_is_read() {
    let msr = "128166372003061629,usr,0,Read,14609920,24576,41286\n128166372016382155,usr,0,Write,17441536,8192,1963\n\
               128166372026382245,usr,0,Write,2436440064\n";
    let cloud = "version,time,op,size,lbn\n1,33898,2a,512,42745\n1,33898,28,6656,409911\n1,33899,35,0,0\n1,33899,2a,x,1\n";
    let sysdig = "{\"evt.dir\":\">\",\"evt.info\":\"\",\"evt.num\":1,\"evt.outputtime\":1594829482361018843,\"evt.type\":\"open\",\"thread.tid\":7}\n\
                  {\"evt.dir\":\"<\",\"evt.info\":\"fd=3(<f>/d/a) name=/d/a flags=1(O_RDONLY) mode=0 \",\"evt.outputtime\":1594829482361018943,\"evt.type\":\"open\",\"thread.tid\":7}\n\
                  {\"evt.dir\":\">\",\"evt.info\":\"fd=3(<f>/d/a) size=832 \",\"evt.outputtime\":1594829482361019000,\"evt.type\":\"read\",\"thread.tid\":7}\n\
                  {\"evt.dir\":\"<\",\"evt.info\":\"res=800 data=x \",\"evt.outputtime\":1594829482361019100,\"evt.type\":\"read\",\"thread.tid\":7}\n{\"evt\n";
    for (format, text, events, bytes) in
        [("msr_cambridge", msr, 3, "24576,8192"), ("cloudphysics", cloud, 4, "6656,512"), ("sysdig", sysdig, 2, "800,")]
    {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
        fs::write(at("in"), text).unwrap();
        let (cap, summary) = ingest(dir.path(), &at("in"), format);
        assert_eq!(number(&[&cap], "SELECT count(*) FROM events"), f64::from(events), "{summary}");
        assert_eq!(count(&summary["captures"][0]["ledger"]["rejects"]), 1, "{summary}");
        assert!(summary["captures"][0]["foreign"]["made"].as_str().unwrap().starts_with("after the documentation"));
        expect(0, &["generate", &at("cap"), "-o", &at("work")]);
        expect(0, &["init", &at("work"), "--root", &at("root")]);
        expect(0, &["replay", &at("work"), "--root", &at("root"), "-o", &at("run")]);
        assert_eq!(moved(Path::new(&at("run"))), bytes, "{format}");
    }
}

#[test]
fn damaged_lines_are_rejects_and_nothing_is_lost() {
    let dir = tempfile::tempdir().unwrap();
    let text = "fio version 3 iolog\n1 /d/f add\n2 /d/f open\n3 /d/f read 0 100\ngarbage\n4 /d/f write 0\n\
                5 /d/f read 99999999999999999999 1\n6 /d/f read 9223372036854775808 1\n7 \0f read 0 1\n8 /d/f close";
    fs::write(dir.path().join("f"), text).unwrap();
    let (cap, summary) = ingest(dir.path(), dir.path().join("f").to_str().unwrap(), "fio_iolog");
    let ledger = &summary["captures"][0]["ledger"];
    let known = ["lines", "notes", "events", "rejects"].map(|name| count(&ledger[name]));
    assert_eq!(known, [10, 2, 3, 5], "{summary}");
    let rejects = rows(&[&cap], "SELECT line, reason, text FROM rejects ORDER BY line");
    let expected = [
        "5,not_event,garbage",
        "6,not_event,4 /d/f write 0",
        "7,not_event,5 /d/f read 99999999999999999999 1",
        "8,impossible,6 /d/f read 9223372036854775808 1",
    ];
    assert_eq!(rejects[..4], expected);
    assert!(rejects[4].starts_with("9,nul,"), "{rejects:?}");
}

/// Bytes that are changed, cut out or doubled anywhere in a file cost lines, and never the ledger.
#[test]
fn damaged_files_keep_their_ledger() {
    let mut state = 1_u64;
    let mut dice = move |sides: usize| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % sides
    };
    for sample in SAMPLES {
        let mut file = fs::File::open(data(&format!("foreign/{}", sample.file))).unwrap();
        let mut bytes = Vec::new();
        match sample.file.ends_with(".gz") {
            true => flate2::read::GzDecoder::new(file).read_to_end(&mut bytes).unwrap(),
            false => file.read_to_end(&mut bytes).unwrap(),
        };
        // The first line may name the format.
        let first = 1 + bytes.iter().position(|byte| *byte == b'\n').unwrap();
        for _ in 0..2 + sample.lines / 20 {
            let at = first + dice(bytes.len() - first);
            match dice(4) {
                0 => bytes[at] = dice(256) as u8,
                1 => drop(bytes.drain(at..(at + dice(30)).min(bytes.len()))),
                2 => bytes.insert(at, b'\n'),
                _ => {
                    let piece = bytes[at..(at + dice(200)).min(bytes.len())].to_vec();
                    bytes.splice(at..at, piece);
                }
            }
        }
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("in"), &bytes).unwrap();
        let (_, summary) = ingest(dir.path(), dir.path().join("in").to_str().unwrap(), sample.format);
        let ledger = &summary["captures"][0]["ledger"];
        let [lines, headers, notes, events, rejects] =
            ["lines", "headers", "notes", "events", "rejects"].map(|name| count(&ledger[name]));
        let ends = bytes.iter().filter(|byte| **byte == b'\n').count() as u64 + u64::from(!bytes.ends_with(b"\n"));
        assert_eq!([lines, headers + notes + events + rejects], [ends, ends], "{}: {ledger}", sample.file);
        assert!(events > 0, "{}: {ledger}", sample.file);
    }
}

/// A directory with one format, and an input.
fn own(sql: &str, input: &str) -> TempDir {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("mine.sql"), sql).unwrap();
    fs::write(dir.path().join("in"), input).unwrap();
    dir
}

/// What ingest says with a format of the user's, and its exit code.
fn say(dir: &TempDir) -> (i32, String) {
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let output = ioriot(&["ingest", &at("in"), "--format", "mine", "--sql-dir", &at(""), "-o", &at("cap")]);
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

const CSV: &str = "-- Mine.\n-- @reader csv header\n-- @field what VARCHAR\n-- @field n BIGINT\n-- @made by hand\n";

#[test]
fn users_add_formats_of_their_own() {
    let sql = format!("{CSV}SELECT line, 'ftruncate' AS syscall, 3 AS fd, n AS count, 0 AS ret FROM input WHERE what = 'cut'");
    let dir = own(&sql, "n,what\n5,cut\n6,keep\nx,cut\n7,cut,more\n-1,cut\n");
    let (code, said) = say(&dir);
    assert_eq!(code, 0, "{said}");
    assert!(said.contains("6 lines = 1 headers + 0 comments + 1 notes + 0 halves + 1 events + 3 rejects"), "{said}");
    assert_eq!(rows(&[&dir.path().join("cap")], "SELECT line, count FROM events"), ["2,5"]);
    let list = expect(0, &["ingest", "--formats", "--sql-dir", dir.path().to_str().unwrap()]);
    assert!(list.contains("mine (CSV)\n  Mine.\n  Made by hand.\n") && list.contains("fio_iolog (lines)"), "{list}");
}

#[test]
fn a_parquet_file_is_an_input_too() {
    let sql = "-- @reader parquet\nSELECT line, 'close' AS syscall, fd, 0 AS ret FROM input WHERE fd > 3";
    let dir = own(sql, "");
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    let (cap, _) = ingest(dir.path(), &data("foreign/fio-v3.log"), "fio_iolog");
    let query = "SELECT CAST(fd AS BIGINT) AS fd FROM (VALUES (3), (4), (5)) AS t(fd)";
    expect(0, &["query", cap.to_str().unwrap(), query, "--format", "parquet", "-o", &at("other")]);
    fs::rename(at("other"), at("in")).unwrap();
    fs::remove_dir_all(&cap).unwrap();
    let (code, said) = say(&dir);
    assert_eq!(code, 0, "{said}");
    assert_eq!(rows(&[&cap], "SELECT line, fd FROM events ORDER BY 1"), ["2,4", "3,5"]);
}

#[test]
fn a_format_that_is_wrong_says_what() {
    for (sql, says) in [
        ("SELECT 1", "no `-- @reader"),
        ("-- @reader lines\nSELECT line FROM input", "it has no column syscall"),
        ("-- @reader lines\nSELECT line, 'sync' AS syscall, 1 AS colour FROM input", "it has a column \"colour\""),
        ("-- @reader lines\nSELECT line, 'sync' AS syscall, 1.5 AS ts FROM input", "its column ts is of type Float64"),
        ("-- @reader lines\nSELECT line, 'sync' AS syscall, 'bad' AS reject FROM input", "it gives the reject \"bad\""),
        ("-- @reader lines\nSELECT line, 'sync' AS syscall, 'x' AS inserted FROM input", "'before' or 'after'"),
        ("-- @reader lines\nSELECT line + 1 AS line, 'sync' AS syscall FROM input", "none of table input"),
        ("-- @reader lines\nSELECT line, 'nosuch' AS syscall FROM input", "no events in"),
        ("-- @reader lines\nSELECT line, 'sync' AS syscall FROM '/etc/passwd'", "etc/passwd"),
        ("-- @reader lines\nCOPY input TO '/tmp/x.csv'", "COPY may reach for files"),
        ("-- @reader lines\nSELECT line, 'sync' AS syscall FROM", "the SELECT of"),
        ("-- @reader csv header\n-- @field z VARCHAR\nSELECT line, 'sync' AS syscall FROM input", "has no column z"),
    ] {
        let dir = own(sql, "one\n");
        let (code, said) = say(&dir);
        assert!(code == 2 && said.contains(says), "{sql}: {code} {said}");
        assert!(!dir.path().join("cap").exists(), "{sql}");
    }
}

#[test]
fn formats_that_others_can_change_are_not_read() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let good = "-- @reader lines\nSELECT line, 'sync' AS syscall FROM input";
    let open = |mode| fs::Permissions::from_mode(mode);
    let dir = own(good, "one\n");
    fs::set_permissions(dir.path().join("mine.sql"), open(0o666)).unwrap();
    assert!(say(&dir).1.contains("others may write it"), "{:?}", say(&dir));
    let dir = own(good, "one\n");
    fs::set_permissions(dir.path(), open(0o777)).unwrap();
    assert!(say(&dir).1.contains("no place to work in"), "{:?}", say(&dir));
    let dir = own(good, "one\n");
    fs::rename(dir.path().join("mine.sql"), dir.path().join("other")).unwrap();
    symlink("other", dir.path().join("mine.sql")).unwrap();
    assert!(say(&dir).1.contains("symlink"), "{:?}", say(&dir));
    for name in ["../mine", "nosuch", ""] {
        let output = ioriot(&["ingest", "x", "--format", name, "--sql-dir", dir.path().to_str().unwrap(), "-o", "y"]);
        assert_eq!(output.status.code(), Some(2), "{name}");
    }
}

#[test]
fn standard_input_and_compressed_files_are_read() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("cap");
    let text = fs::read_to_string(data("foreign/fio-v2.log")).unwrap();
    let output = piped(&["ingest", "-", "--format", "fio_iolog", "-o", out.to_str().unwrap()], &text);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert!(rows(&[&out], "SELECT value FROM manifests WHERE key = 'foreign.made'")[0].contains("3.25"));
}

#[test]
fn run_goes_the_whole_way_from_a_foreign_format() {
    let dir = tempfile::tempdir().unwrap();
    let out = dir.path().join("all");
    let said = expect(0, &["run", &data("foreign/fio-v2.log"), "--format", "fio_iolog", "-o", out.to_str().unwrap()]);
    assert!(
        said.contains("absent    results and durations of calls") && said.contains("22 compared outcomes, all the same"),
        "{said}"
    );
}

#[test]
fn several_inputs_are_of_several_hosts() {
    let dir = tempfile::tempdir().unwrap();
    let cap = dir.path().join("cap").to_str().unwrap().to_owned();
    let [one, two] = ["foreign/fio-v2.log", "foreign/fio-v3.log"].map(data);
    let merged = ioriot(&["ingest", &one, &two, "--merge", "--format", "fio_iolog", "-o", &cap]);
    let text = String::from_utf8_lossy(&merged.stderr).into_owned();
    assert!(merged.status.code() == Some(2) && text.contains("cannot be merged"), "{text}");
    expect(0, &["ingest", &one, &two, "--format", "fio_iolog", "-o", &cap]);
    assert_eq!(rows(&[Path::new(&cap)], "SELECT host, count(*) FROM events GROUP BY 1 ORDER BY 1"), ["fio-v2,22", "fio-v3,77"]);
}
