//! The probes of systemtap/ and the syscall table say the same, and what they lose is seen.

use crate::skip::{Need, skip};
use crate::tool::{data, expect};
use ioriot::schema::Dataset;
use ioriot::schema::dataset::Kind;
use serde_json::json;
use std::collections::HashMap;

/// A row of the table in `calls.h`.
#[derive(Debug)]
struct Probe {
    name: String,
    native: Option<u32>,
    compat: Option<u32>,
    args: String,
    args32: Option<String>,
}

fn table() -> String {
    std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/systemtap/calls.h")).unwrap()
}

fn probes() -> Vec<Probe> {
    let table = table();
    let (_, rows) = table.split_once("} calls[] = {\n").unwrap();
    let (rows, _) = rows.split_once("\n};").unwrap();
    let rows = rows.lines().map(str::trim).filter(|line| line.starts_with('{'));
    rows.map(|row| {
        let cells = row.trim_start_matches("{ ").trim_end_matches(" },").split(',').map(str::trim).collect::<Vec<_>>();
        let text = |cell: &str| cell.trim_matches('"').to_owned();
        let number = |cell: &str| (cell != "NONE").then(|| cell.parse().unwrap());
        let [name, native, compat, args, rest @ ..] = cells.as_slice() else { panic!("a row of calls.h: {row}") };
        let args32 = rest.first().map(|cell| text(cell));
        Probe { name: text(name), native: number(native), compat: number(compat), args: text(args), args32 }
    })
    .collect()
}

/// Where Linux says what its calls are called.
#[test]
fn numbers_are_those_of_the_kernel() {
    for (header, compat) in [("unistd_64.h", false), ("unistd_32.h", true)] {
        let dirs = ["/usr/include/x86_64-linux-gnu/asm", "/usr/include/asm"];
        let Some(text) = dirs.iter().find_map(|dir| std::fs::read_to_string(format!("{dir}/{header}")).ok()) else {
            skip(Need::Headers, format_args!("no {header} (Debian: linux-libc-dev)"));
            continue;
        };
        let lines = text.lines().filter_map(|line| line.strip_prefix("#define __NR_")?.split_once(' '));
        let numbers: HashMap<&str, u32> = lines.filter_map(|(name, number)| Some((name, number.parse().ok()?))).collect();
        for probe in probes() {
            let Some(number) = (if compat { probe.compat } else { probe.native }) else { continue };
            // i386 has the calls with 16-bit owners under the names that other calls have elsewhere.
            let name = probe.name.strip_suffix("16").unwrap_or(&probe.name);
            // Calls newer than the headers are not compared.
            if let Some(known) = numbers.get(name) {
                assert_eq!(number, *known, "{} in {header}", probe.name);
            }
        }
    }
}

/// Every letter of a row has a line in the key above the table.
#[test]
fn every_letter_is_explained() {
    let table = table();
    let (key, _) = table.split_once("struct call {").unwrap();
    let lines = key.lines().filter_map(|line| line.strip_prefix(" *   "));
    let explained: String = lines.filter_map(|line| Some(line.split_once("  ")?.0.replace(' ', ""))).collect();
    for probe in probes() {
        let letters = probe.args.chars().chain(probe.args32.iter().flat_map(|letters| letters.chars()));
        for letter in letters {
            assert!(explained.contains(letter), "{letter} of {} is explained nowhere: {explained}", probe.name);
        }
    }
}

/// Ingests a capture of the probes after a change to its text; the rows of its table losses.
fn losses(exit: i32, change: impl Fn(&mut Vec<&str>)) -> serde_json::Value {
    let text = std::fs::read_to_string(data("v5-matrix.capture")).unwrap();
    let mut lines = text.lines().collect();
    change(&mut lines);
    let scratch = tempfile::tempdir().unwrap();
    let (input, out) = (scratch.path().join("in.capture"), scratch.path().join("out"));
    std::fs::write(&input, lines.join("\n") + "\n").unwrap();
    expect(exit, &["ingest", input.to_str().unwrap(), "-o", out.to_str().unwrap()]);
    let capture = Dataset::expect(&out, Kind::Capture).unwrap();
    assert!(!capture.manifest.contains_key("losses"), "there is one place");
    ioriot::schema::losses::read(&capture)
        .unwrap()
        .into_iter()
        .map(|lost| (lost.kind.name().to_owned(), json!(lost.count)))
        .collect()
}

#[test]
fn what_a_tracer_lost_is_seen() {
    let whole = losses(0, |_| ());
    assert_eq!(whole, json!({}), "the capture in tests/data is whole");
    let cut = losses(1, |lines| lines.truncate(100));
    assert_eq!(cut, json!({"no_end": 1}));
    let headless = losses(1, |lines| *lines = lines[1..100].to_vec());
    assert_eq!(headless, json!({"no_end": 1}));
    let holes = losses(1, |lines| drop(lines.drain(50..53)));
    assert_eq!(holes, json!({"transport": 3}));
    let garbled = losses(1, |lines| lines[70] = "n=70;:,t=17953959469370779");
    assert_eq!(garbled, json!({"transport": 1}));
}
