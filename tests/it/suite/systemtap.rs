//! The probes of systemtap/ and the syscall table say the same, and what they lose is seen.

use crate::skip::{Need, skip};
use crate::tool::{data, expect};
use ioriot::schema::Dataset;
use ioriot::schema::dataset::Kind;
use ioriot::syscall::{Def, Ret, Role, Syscall, TABLE};
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

/// The letter that stands for an argument in `calls.h`.
fn letter(role: Role) -> char {
    match role {
        Role::Fd => 'd',
        Role::Fd2 => 'e',
        Role::DirFd => 'h',
        Role::DirFd2 => 'H',
        Role::Path => 'p',
        Role::Path2 => 'P',
        Role::Target => 't',
        Role::Link => 'L',
        Role::Iov => 'V',
        Role::IovCnt => 'v',
        Role::Count => 'c',
        Role::Offset => 'O',
        Role::OffsetPtr => 'o',
        Role::Offset2Ptr => 'q',
        Role::OffsetHigh => '>',
        Role::ResultPtr => 'r',
        Role::Whence => 'W',
        Role::OpenFlags | Role::AtFlags | Role::Flags | Role::CloneFlags => 'f',
        Role::Mode | Role::Access | Role::Prot => 'm',
        Role::Cmd => 'F',
        Role::Arg => 'G',
        Role::Uid => 'u',
        Role::Gid => 'g',
        Role::How => 'k',
        Role::Stat => 's',
        Role::Statx => 'x',
        Role::Name => 'N',
        Role::Times => 'T',
        Role::CloneArgs => 'K',
        Role::Buf | Role::Addr | Role::Skip => '-',
    }
}

/// Letters by which the script refines what the table calls by one name: another layout, another width, when it means
/// something.
fn refines(letter: char, of: char) -> bool {
    let finer = match of {
        'd' => "Z",
        'm' => "M",
        'p' => "Cl",
        's' => "z",
        'T' => "UY",
        'u' => "a",
        'g' => "b",
        'o' => "w",
        'O' => "#",
        // Two descriptors in an array.
        '-' => "D",
        _ => "",
    };
    letter == of || finer.contains(letter)
}

/// Does the script write the arguments of the row? In registers a number may take two, with `<` or `>` for the second,
/// or leave one empty; what is not written at the end of a row may be left out.
fn writes(letters: &str, def: &Def) -> bool {
    let spread = letters.contains('<') || letters.contains('>');
    let mut found = letters.chars().filter(|letter| !"<=&".contains(*letter));
    let wanted = def.args.iter().map(|role| letter(*role)).filter(|want| spread || *want != '>');
    for want in wanted {
        match found.next() {
            Some(letter) if refines(letter, want) => {}
            // The upper half that the native form of preadv2 ignores.
            Some('-') if found.next() == Some(want) => {}
            None if want == '-' => {}
            _ => return false,
        }
    }
    found.all(|letter| letter == '-')
}

#[test]
fn every_call_of_the_table_is_probed() {
    let probes: HashMap<_, _> = probes().into_iter().map(|probe| (probe.name.clone(), probe)).collect();
    // What x86 has not, no kernel here can be probed for.
    let probed = |syscall: Syscall| syscall.is_call() && syscall != Syscall::sync_file_range2;
    for (syscall, def) in Syscall::ALL.iter().zip(TABLE) {
        if !probed(*syscall) {
            continue;
        }
        let probe = probes.get(def.name).unwrap_or_else(|| panic!("systemtap/calls.h has no row for {}", def.name));
        for letters in std::iter::once(&probe.args).chain(&probe.args32) {
            let roles: String = def.args.iter().map(|role| letter(*role)).collect();
            assert!(writes(letters, def), "{}: the table says {roles}, systemtap/calls.h writes {letters}", def.name);
            // The ends of threads and processes are probed as such; a descriptor argument tells what dup made.
            let makes = def.ret == Ret::NewFd && !def.has(Role::Fd);
            assert_eq!(letters.contains('='), makes, "{}: does it return a descriptor?", def.name);
            assert_eq!(letters.contains('&'), def.ret == Ret::Pid, "{}: does it return a process?", def.name);
        }
        let ends = matches!(*syscall, Syscall::exit | Syscall::exit_group);
        assert_eq!(probe.native.is_none() && probe.compat.is_none(), ends, "{} has no number", def.name);
    }
    let calls = Syscall::ALL.iter().filter(|syscall| probed(**syscall)).count();
    assert_eq!(probes.len(), calls, "systemtap/calls.h has rows that the table has not");
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
