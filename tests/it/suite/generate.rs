//! Tests of generate: from a capture that the test writes to a workload.

mod order;

use crate::tool::{expect, name_no_files, rows as answer};
use ioriot::engine::Access;
use ioriot::event::{Col, Event, Text};
use ioriot::generate::{self, Options, Summary};
use ioriot::init;
use ioriot::progress::Progress;
use ioriot::schema::dataset::Kind;
use ioriot::schema::{self, Dataset, Draft, Manifest, Table};
use ioriot::syscall::Syscall;
use ioriot::text;

use arrow::array::{ArrayRef, Int64Array, RecordBatch, StringArray};
use parquet::arrow::ArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A captured call of one thread.
pub fn call(syscall: Syscall, tid: i64, ret: i64, ints: &[(Col, i64)], path: Option<&str>) -> Event {
    let mut event = Event::new(syscall);
    event.set_outcome(ret);
    for (col, value) in [(Col::Pid, tid), (Col::Tid, tid), (Col::Dur, 1000)].iter().chain(ints) {
        event.set(*col, *value);
    }
    if let Some(path) = path {
        event.set_text(Text::Path, path.as_bytes());
    }
    event
}

/// Writes a capture dataset of these events.
pub fn capture(dir: &Path, events: &[Event]) -> PathBuf {
    capture_with(dir.join("capture"), events, Manifest::new())
}

/// The same at this place, with more in the manifest.
pub fn capture_with(place: PathBuf, events: &[Event], mut manifest: Manifest) -> PathBuf {
    let draft = Draft::create(&place, Kind::Capture).unwrap();
    let schema = Table::Events.schema();
    let mut columns: Vec<ArrayRef> = vec![
        Arc::new(StringArray::from_iter_values(events.iter().map(|_| "here"))),
        Arc::new(Int64Array::from_iter_values(0..events.len() as i64)),
        Arc::new(StringArray::from_iter_values(events.iter().map(Event::name))),
    ];
    for col in Col::ALL {
        columns.push(Arc::new(events.iter().map(|event| event.int(*col)).collect::<Int64Array>()));
    }
    for column in Text::ALL {
        columns.push(Arc::new(events.iter().map(|event| event.text(*column).map(text::encode)).collect::<StringArray>()));
    }
    let properties = schema::writer_properties(&Table::Events).build();
    let mut writer = ArrowWriter::try_new(draft.file("events.parquet").unwrap(), Arc::clone(&schema), Some(properties)).unwrap();
    writer.write(&RecordBatch::try_new(schema, columns).unwrap()).unwrap();
    writer.close().unwrap();
    manifest.insert("events".into(), events.len().into());
    draft.commit(manifest).unwrap();
    place
}

/// Several threads that open, read, write and close files of their own and a common one.
pub fn story(threads: i64, rounds: i64) -> Vec<Event> {
    let mut events = Vec::new();
    for round in 0..rounds {
        for tid in 100..100 + threads {
            let (fd, own) = (tid, format!("/data/t{tid}/file{round}"));
            events.push(call(
                Syscall::openat,
                tid,
                fd,
                &[(Col::DirFd, -100), (Col::Flags, 0o102), (Col::Mode, 0o644)],
                Some(&own),
            ));
            events.push(call(Syscall::write, tid, 4096, &[(Col::Fd, fd), (Col::Count, 4096)], None));
            events.push(call(Syscall::pread64, tid, 512, &[(Col::Fd, fd), (Col::Count, 512), (Col::Offset, 1024)], None));
            events.push(call(Syscall::mmap, tid, 0, &[(Col::Fd, -1)], None));
            events.push(call(Syscall::close, tid, 0, &[(Col::Fd, fd)], None));
            events.push(call(Syscall::openat, tid, fd, &[(Col::DirFd, -100), (Col::Flags, 0)], Some("/data/common")));
            events.push(call(Syscall::read, tid, 100, &[(Col::Fd, fd), (Col::Count, 100)], None));
            events.push(call(Syscall::read, tid, 100, &[(Col::Fd, fd), (Col::Count, 100)], None));
            events.push(call(Syscall::close, tid, 0, &[(Col::Fd, fd)], None));
            events.push(call(Syscall::openat, tid, -2, &[(Col::DirFd, -100), (Col::Flags, 0)], Some("/data/none")));
        }
    }
    events
}

pub fn options(capture: &Path, out: PathBuf) -> Options {
    Options {
        capture: capture.to_owned(),
        out,
        where_: None,
        what_if: generate::WhatIf::default(),
        merge: vec![],
        sql_dir: None,
        ignore: vec![],
        keep: vec![],
        causes: generate::Causes::Followed,
        explain_order: false,
        threads: Some(2),
        memory: 64 << 20,
        access: Access::default(),
    }
}

fn run(options: &Options) -> Summary {
    generate::run(options, &Progress::default()).unwrap()
}

fn rows(file: &Path) -> RecordBatch {
    let reader = ParquetRecordBatchReaderBuilder::try_new(File::open(file).unwrap()).unwrap().build().unwrap();
    let schema = arrow::array::RecordBatchReader::schema(&reader);
    let batches: Vec<_> = reader.map(Result::unwrap).collect();
    arrow::compute::concat_batches(&schema, &batches).unwrap()
}

#[test]
fn the_number_of_partitions_does_not_show() {
    let dir = tempfile::tempdir().unwrap();
    let events = story(7, 300);
    let capture = capture(dir.path(), &events);
    let made = |threads: usize| {
        let out = dir.path().join(format!("w{threads}"));
        let summary = run(&Options { threads: Some(threads), ..options(&capture, out.clone()) });
        assert_eq!(summary.events, events.len() as u64);
        (out, summary)
    };
    let (first, summary) = made(1);
    for threads in [2, 7] {
        let (other, same) = made(threads);
        assert_eq!(summary.fingerprint, same.fingerprint);
        for entry in fs::read_dir(&first).unwrap() {
            let name = entry.unwrap().file_name();
            let (a, b) = (fs::read(first.join(&name)).unwrap(), fs::read(other.join(&name)).unwrap());
            assert!(a == b, "{} differs between 1 and {threads} partitions", name.display());
        }
    }
}

#[test]
fn the_tables_are_as_the_schema_says_and_nothing_else_is_left() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(3, 20));
    let out = dir.path().join("w");
    let summary = run(&options(&capture, out.clone()));
    let mut names: Vec<_> = fs::read_dir(&out).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let tables = ["edges", "expect", "extents", "fates", "fileset", "lanes"].map(|name| format!("{name}.parquet"));
    assert_eq!(names, [&tables[..], &["manifest.json", "ops.parquet", "written.parquet"].map(String::from)].concat());
    for table in Table::ALL.iter().filter(|table| table.kind() == Kind::Workload) {
        let file = File::open(out.join(table.file())).unwrap();
        let reader = ParquetRecordBatchReaderBuilder::try_new(file).unwrap();
        let (made, said) = (reader.schema().fields().clone(), table.described().fields().clone());
        assert_eq!(made, said, "{}", table.name());
    }
    let dataset = Dataset::expect(&out, Kind::Workload).unwrap();
    for key in [
        "events",
        "ops",
        "ops_by_origin",
        "model",
        "drops",
        "file_events",
        "ofds",
        "lanes",
        "guesses",
        "inferences",
        "edges",
        "critical_path",
        "times",
        "shared_syncs",
        "grouped",
        "computed",
        "fingerprint",
        "capture",
        "options",
        "where",
    ] {
        assert!(dataset.manifest.contains_key(key), "{key}");
    }
    assert_eq!(rows(&out.join("fates.parquet")).num_rows() as u64, summary.events);
    assert_eq!(rows(&out.join("ops.parquet")).num_rows() as u64, summary.ops);
    assert_eq!(rows(&out.join("lanes.parquet")).num_rows() as u64, summary.lanes);
    let text = summary.to_string();
    assert!(text.contains("= ops + model + drops"), "{text}");
}

#[test]
fn no_stage_sorts_what_comes_in_order() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(2, 2));
    let options = options(&capture, dir.path().join("w"));
    let plan = |stage| {
        let text = generate::explain(&options, stage).unwrap();
        text[text.find("FunctionExec: virtualize").unwrap_or(0)..].to_owned()
    };
    let walk = plan("walk");
    assert!(walk.starts_with("FunctionExec: virtualize") && walk.contains("DataSourceExec"), "{walk}");
    assert!(!walk.contains("SortExec"), "{walk}");
    assert!(!walk.contains("line"), "the line number is not read for nothing: {walk}");
    for stage in ["ops", "fates", "expect", "contended", "edges"] {
        let plan = generate::explain(&options, stage).unwrap();
        assert_eq!(plan.matches("SortExec").count(), 0, "{plan}");
    }
    // What is sorted is narrow: integers only, and of what is contended only.
    for (stage, key) in [
        ("phases", "[resource@0 ASC NULLS LAST, first@3 ASC NULLS LAST, access@1 ASC NULLS LAST]"),
        ("pruned", "[op_id@0 ASC NULLS LAST, after@2 DESC NULLS LAST, kind@4 ASC NULLS LAST, delay@9 ASC NULLS LAST]"),
    ] {
        let plan = generate::explain(&options, stage).unwrap();
        assert_eq!(plan.matches("SortExec").count(), 1, "{plan}");
        assert!(plan.contains(&format!("SortExec: expr={key}")), "{plan}");
        assert!(!plan.contains("Utf8"), "{plan}");
    }
    // No file was sampled: nothing is joined with what is known of contents, and nobody looks for files that are written.
    let plan = generate::explain(&options, "fileset").unwrap();
    assert!(plan.contains("StreamingTableExec") && !plan.contains("JoinExec") && !plan.contains("SortExec"), "{plan}");
    let plan = generate::explain(&options, "written").unwrap();
    assert!(!plan.contains("StreamingTableExec"), "{plan}");
    // Ops without a timer are not read to find out who polls: a filter reaches the file unless there is an outer join.
    let plan = generate::explain(&options, "times").unwrap();
    assert_eq!(plan.matches("JoinExec").count(), plan.matches("join_type=Inner").count(), "{plan}");
    let chosen = Options { where_: Some("syscall = 'read'".into()), ..options.clone() };
    // Positions by descriptor, and then the few seeks: an op may have two before it.
    for (stage, sorts) in [("chosen", 0), ("ops", 0), ("seeks", 2)] {
        let plan = generate::explain(&chosen, stage).unwrap();
        assert_eq!(plan.matches("SortExec").count(), sorts, "{plan}");
    }
    let error = generate::explain(&options, "nothing").unwrap_err().to_string();
    assert!(error.contains("the stages are content, merged, walk, "), "{error}");
}

#[test]
fn bad_choices_are_explained() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let out = dir.path().join("w");
    let says = |options: Options| format!("{:#}", generate::run(&options, &Progress::default()).unwrap_err());
    let error = says(Options { where_: Some("pth = '/a'".into()), ..options(&capture, out.clone()) });
    assert!(error.contains("pth = '/a'") && error.contains("pth"), "{error}");
    let error = says(Options { where_: Some("path = ".into()), ..options(&capture, out.clone()) });
    assert!(error.contains("is no predicate"), "{error}");
    let error = says(Options { ignore: vec!["tmp".into()], ..options(&capture, out.clone()) });
    assert!(error.contains("give the absolute path"), "{error}");
    let error = says(Options { sql_dir: Some(dir.path().join("none")), ..options(&capture, out.clone()) });
    assert!(error.contains("is no directory"), "{error}");
    let error = says(options(&dir.path().join("none"), out.clone()));
    assert!(error.contains("is not a dataset"), "{error}");
    assert!(!out.exists());
    let hosts = dir.path().join("many");
    fs::create_dir_all(hosts.join("host=a")).unwrap();
    fs::create_dir_all(hosts.join("host=b")).unwrap();
    let error = says(options(&hosts, out.clone()));
    assert!(error.contains("2 hosts") && error.contains("host=b"), "{error}");
    let all = ioriot::fleet::of(&hosts).unwrap().unwrap();
    let error = format!("{:#}", generate::hosts::run(&all, &options(&hosts, out), &Progress::default()).unwrap_err());
    assert!(error.contains("host=") && error.contains("is not a dataset"), "{error}");
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "nothing half-made is left");
}

#[test]
fn an_edited_stage_is_taken_and_checked() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 3));
    let stages = dir.path().join("sql");
    fs::create_dir(&stages).unwrap();
    let own = |sql: &str| {
        fs::write(stages.join("fileset.sql"), sql).unwrap();
        let out = dir.path().join("w");
        let _ = fs::remove_dir_all(&out);
        generate::run(&Options { sql_dir: Some(stages.clone()), ..options(&capture, out) }, &Progress::default())
    };
    let built_in = include_str!("../../../sql/generate/fileset.sql");
    assert!(own(&built_in.replace("WHERE tag = 'fileset'", "WHERE tag = 'fileset' AND kind = 'dir'")).is_ok());
    let error = format!("{:#}", own(&built_in.replace("at_path AS path", "at_path AS paths")).unwrap_err());
    assert!(error.contains("stage fileset.sql: column 1 is `paths VARCHAR`, its head says `path VARCHAR`"), "{error}");
    // What an edited stage knows of contents counts where the capture has no samples, too.
    fs::remove_file(stages.join("fileset.sql")).unwrap();
    let built_in = include_str!("../../../sql/generate/content.sql");
    let head: String = built_in.lines().take_while(|line| line.starts_with("--")).map(|line| format!("{line}\n")).collect();
    let numbers =
        ["sampled", "compressed", "incompressible", "zeroes", "repeated"].map(|name| format!("CAST(1 AS BIGINT) AS {name}"));
    let order = "CAST(NULL AS VARCHAR) AS profile, CAST(NULL AS BIGINT) AS profile_size";
    let knows = format!("{head}SELECT 'all' AS what, '*' AS key, {}, {order}", numbers.join(", "));
    for (content, known) in [(built_in, false), (&knows, true)] {
        fs::write(stages.join("content.sql"), content).unwrap();
        let out = dir.path().join(format!("knows {known}"));
        run(&Options { sql_dir: Some(stages.clone()), ..options(&capture, out.clone()) });
        assert_eq!(rows(&out.join("written.parquet")).num_rows() > 0, known);
    }
}

/// Makes a workload of a real capture in tests/data.
pub fn real(dir: &Path, input: &str) -> (PathBuf, PathBuf, Summary) {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data").join(input);
    let (capture, out) = (dir.join("capture"), dir.join("workload"));
    let options_ = ioriot::ingest::Options::new(vec![ioriot::ingest::Input::parse(&file)], &capture);
    ioriot::ingest::run(&options_, &Progress::default()).unwrap();
    let summary = run(&options(&capture, out.clone()));
    (capture, out, summary)
}

#[test]
fn the_matrix_becomes_ops_and_its_ledger_closes() {
    let dir = tempfile::tempdir().unwrap();
    let (_, out, summary) = real(dir.path(), "matrix.strace");
    assert!(summary.file_ops * 100 >= summary.file_events * 99, "{summary}");
    assert!(summary.fileset.values().sum::<u64>() > 0, "{summary}");
    assert_eq!(rows(&out.join("fates.parquet")).num_rows() as u64, summary.events);
}

#[test]
fn a_predicate_keeps_what_its_ops_need() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 2));
    // The second read of the common file only: its open and close stay, the first read gives way to a seek.
    let out = dir.path().join("w");
    let predicate = "syscall = 'read' AND seq = 7";
    let summary = run(&Options { where_: Some(predicate.into()), ..options(&capture, out.clone()) });
    let all = run(&options(&capture, dir.path().join("all")));
    assert_eq!(summary.events, all.events);
    assert_eq!(summary.file_events, all.file_events);
    assert!(summary.drops["filtered"] > 0);
    let ops = rows(&out.join("ops.parquet"));
    let names = ops.column_by_name("op").unwrap();
    let names: Vec<_> = arrow::array::AsArray::as_string::<i32>(names).iter().flatten().collect();
    assert_eq!(names, ["openat", "lseek", "read", "close"], "{summary}");
    assert_eq!(summary.ops_by_origin["seek"], 1);
    let seek: &Int64Array = arrow::array::AsArray::as_primitive(ops.column_by_name("offset").unwrap());
    assert_eq!(seek.value(1), 100);
}

#[test]
fn a_small_pool_spills_and_changes_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(5, 1500));
    let wide = run(&options(&capture, dir.path().join("wide")));
    let narrow = run(&Options { memory: 16 << 20, ..options(&capture, dir.path().join("narrow")) });
    assert_eq!(wide.fingerprint, narrow.fingerprint);
}

/// Beyond a number of spans they are joined by sorting both sides.
#[test]
fn more_spans_than_memory_has_room_for_are_ordered_all_the_same() {
    let dir = tempfile::tempdir().unwrap();
    // In turn, so that each is a span of its own, and waits for the one before.
    let events: Vec<_> =
        (0..140_000).map(|at| call(Syscall::chmod, 100 + at % 2, 0, &[(Col::Mode, 0o644)], Some("/f"))).collect();
    let capture = capture(dir.path(), &events);
    let summary = run(&Options { memory: 16 << 20, ..options(&capture, dir.path().join("w")) });
    assert_eq!(summary.edges.values().map(|edges| edges.kept).sum::<u64>(), 139_999, "{summary}");
}

#[test]
fn a_predicate_ends_where_a_weaker_operator_begins() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 2));
    let picked = |name: &str, predicate: &str| {
        let summary = run(&Options { where_: Some(predicate.into()), ..options(&capture, dir.path().join(name)) });
        summary.ops_by_origin["event"]
    };
    let all = picked("all", "true");
    assert_eq!(picked("either", "(syscall = 'read') IS DISTINCT FROM true OR syscall = 'read'"), all);
    assert!(picked("other", "(syscall = 'read') IS DISTINCT FROM (true OR syscall = 'read')") < all);
}

#[test]
fn a_name_that_no_file_can_have_spoils_no_workload() {
    let dir = tempfile::tempdir().unwrap();
    let long = format!("/a/{}", "n".repeat(300));
    let open = |path, ret| call(Syscall::openat, 100, ret, &[(Col::DirFd, -100), (Col::Flags, 0)], Some(path));
    let events = [open("/us\0r/x", 3), open(&long, 4), open("/a/b", 5), open(&long, -i64::from(libc::ENAMETOOLONG))];
    let summary = run(&options(&capture(dir.path(), &events), dir.path().join("work")));
    assert_eq!((summary.drops["bad_name"], summary.ops_by_origin["event"]), (2, 2), "{summary}");
    let places = init::Options::new(dir.path().join("work"), dir.path().join("root"));
    let made = init::run(&places, &Progress::default()).unwrap();
    assert!(made.ok(), "{made}");
}

#[test]
fn a_capture_that_lacks_a_column_is_to_be_made_again() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let file = capture.join(Table::Events.file());
    let events = rows(&file);
    let kept: Vec<usize> = (0..events.num_columns()).filter(|at| events.schema().field(*at).name() != "cpu").collect();
    let events = events.project(&kept).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(&file).unwrap(), events.schema(), None).unwrap();
    writer.write(&events).unwrap();
    writer.close().unwrap();
    let error = generate::run(&options(&capture, dir.path().join("w")), &Progress::default()).unwrap_err();
    assert!(format!("{error:#}").contains("it has no column cpu: make the dataset again"), "{error:#}");
}

/// The fates of the calls in this log of strace, as reasons of drops (nothing for what is replayed).
fn reasons(log: &str, more: &[&str]) -> Vec<String> {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("log"), log).unwrap();
    expect(0, &["ingest", &at("log"), "-o", &at("cap")]);
    expect(0, &[&["generate", &at("cap"), "-o", &at("work")], more].concat());
    answer(&[&dir.path().join("work")], "SELECT coalesce(reason, 'op') FROM fates ORDER BY seq")
}

#[test]
fn what_is_kept_below_a_pseudo_file_system_is_replayed() {
    let log = "1 openat(AT_FDCWD, \"/dev/shm/x/a\", O_RDWR|O_CREAT, 0600) = 3\n\
               1 write(3, \"abc\", 3) = 3\n\
               1 close(3) = 0\n\
               1 stat(\"/dev/shm/y\", 0x1) = -1 ENOENT (No such file or directory)\n\
               1 stat(\"/dev\", {st_mode=S_IFDIR|0755, st_size=40, ...}) = 0\n";
    assert_eq!(reasons(log, &["--keep", "/dev/shm/x"]), ["op", "op", "op", "pseudo_fs", "pseudo_fs"]);
    assert_eq!(reasons(log, &["--keep", "/dev/shm/x", "--ignore", "/dev/shm/x"]), ["op", "op", "op", "pseudo_fs", "pseudo_fs"]);
    assert_eq!(reasons(log, &["--ignore", "/dev/shm/x"])[0], "pseudo_fs");
}

#[test]
fn a_process_that_went_to_an_unknown_directory_is_not_outside() {
    let log = "1 fchdir(77) = 0\n\
               1 openat(AT_FDCWD, \"r\", O_RDONLY) = 5\n\
               1 close(5) = 0\n\
               1 chdir(\"/proc\") = 0\n\
               1 openat(AT_FDCWD, \"stat\", O_RDONLY) = 5\n";
    assert_eq!(reasons(log, &[]), ["unknown_fd", "op", "op", "pseudo_fs", "pseudo_fs"]);
}

/// Table `processes` as it was before it had command lines, control groups, ranks and jobs: these are absent, and nothing else changes.
#[test]
fn a_capture_without_later_columns_is_read_as_before() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path(), &story(1, 1));
    let known = Table::Processes.schema();
    let old: Vec<usize> = (0..known.fields().len()).filter(|at| !Table::Processes.columns()[*at].later()).collect();
    assert_eq!(known.fields().len() - old.len(), 4);
    let schema = Arc::new(known.project(&old).unwrap());
    let pid = story(1, 1)[0].int(Col::Pid).unwrap();
    let columns = schema.fields().iter().map(|field| -> ArrayRef {
        match field.name().as_str() {
            "pid" => Arc::new(Int64Array::from(vec![pid])),
            "comm" => Arc::new(StringArray::from(vec!["old"])),
            "cwd" | "root" => Arc::new(StringArray::from(vec!["/"])),
            _ => Arc::new(Int64Array::from(vec![0])),
        }
    });
    let batch = RecordBatch::try_new(Arc::clone(&schema), columns.collect()).unwrap();
    let mut writer = ArrowWriter::try_new(File::create(capture.join("processes.parquet")).unwrap(), schema, None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    // Nor did those note the names of their tables.
    name_no_files(&capture);

    let all = "SELECT comm, command_line, cgroup, rank, job FROM processes";
    assert_eq!(answer(&[&capture], all), ["old,,,,"]);
    assert_eq!(answer(&[&capture], "SELECT count(*) FROM processes WHERE rank IS NULL AND command_line IS NULL"), ["1"]);
    assert_eq!(answer(&[&capture], "SELECT comm, command_line, rank FROM process_tree"), ["old,,"]);
    let [work, clean, key] = ["work", "clean", "key"].map(|name| dir.path().join(name));
    let word = |path: &Path| path.to_str().unwrap().to_owned();
    expect(0, &["generate", &word(&capture), "-o", &word(&work), "--process", "old"]);
    expect(0, &["anonymise", &word(&capture), "-o", &word(&clean), "--key", &word(&key)]);
    assert_eq!(
        answer(&[&clean], "SELECT command_line, cgroup, rank, job, count(*) FROM processes GROUP BY 1, 2, 3, 4"),
        [",,,,1"]
    );
}
