//! Tests of the house: who may know what, sizes of files, leftovers, links, generated pages.

use ioriot::schema::Table;
use std::collections::{BTreeSet, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

fn home() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Files below `dir` with one of these endings, sorted.
fn files(dir: &str, endings: &[&str]) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut dirs = vec![home().join(dir)];
    while let Some(dir) = dirs.pop() {
        for entry in fs::read_dir(&dir).into_iter().flatten().flatten() {
            let path = entry.path();
            if path.is_dir() {
                dirs.push(path);
            } else if endings.iter().any(|ending| path.to_string_lossy().ends_with(ending)) {
                found.push(path);
            }
        }
    }
    found.sort();
    found
}

fn short(path: &Path) -> String {
    path.strip_prefix(home()).unwrap().to_string_lossy().into_owned()
}

// ---- who may know what ----

/// What a part of src/ must not know. `crate::x` is a module of ours, `std::x` a module of std, `x` a crate.
const FORBIDDEN: &[(&str, &[&str])] = &[
    // (prefix of the path below src/, what it must not name)
    ("event.rs", &["arrow", "parquet", "std::fs", "std::io", "std::process", "crate::schema", "crate::model"]),
    ("exec.rs", &["arrow", "parquet", "std::fs", "std::io", "std::process", "crate::schema", "crate::model"]),
    ("fate.rs", &["arrow", "parquet", "std::fs", "std::io", "crate::schema", "crate::model"]),
    ("loss.rs", &["arrow", "parquet", "std::fs", "std::io", "crate::schema", "crate::model"]),
    ("text.rs", &["arrow", "parquet", "std::fs", "std::io"]),
    ("rows/", &["parquet", "std::fs", "crate::schema", "crate::model", "crate::engine", "crate::report"]),
    ("mounts.rs", &["arrow", "parquet", "std::fs", "std::io", "crate::model"]),
    ("progress.rs", &["arrow", "parquet", "indicatif", "std::fs", "std::io"]),
    ("files/", &["arrow", "parquet", "crate::schema", "crate::model", "crate::init", "crate::replay", "crate::ingest"]),
    ("syscall/", &["arrow", "parquet", "std::fs", "std::io", "std::process", "crate::schema", "crate::model"]),
    ("model/", &["arrow", "parquet", "std::fs", "std::io", "std::net", "std::process", "std::thread", "crate::schema"]),
    ("model/", &["crate::engine", "crate::generate", "crate::ingest", "crate::init", "crate::replay", "crate::report"]),
    ("order/", &["arrow", "parquet", "std::fs", "std::io", "std::thread", "crate::schema", "crate::engine", "crate::generate"]),
    ("store/", &["arrow", "parquet", "datafusion", "crate::schema", "crate::engine", "crate::generate", "crate::replay"]),
    ("schema/", &["crate::engine", "crate::generate", "crate::ingest", "crate::init", "crate::replay", "crate::report"]),
    (
        "events/",
        &["crate::engine", "crate::generate", "crate::ingest", "crate::init", "crate::model", "crate::replay", "crate::report"],
    ),
    (
        "ingest/",
        &["crate::capture", "crate::engine", "crate::generate", "crate::init", "crate::model", "crate::replay", "crate::report"],
    ),
    ("ingest/", &["crate::import"]),
    ("import/", &["datafusion", "std::fs::read", "crate::capture", "crate::generate", "crate::init", "crate::model"]),
    ("import/", &["crate::replay", "crate::report", "crate::cli"]),
    ("capture/", &["crate::engine", "crate::generate", "crate::init", "crate::model", "crate::replay", "crate::report"]),
    // The text of SystemTap is read by the parser of ingest; nothing else of a live capture is text.
    ("capture/kernel/", &["crate::ingest"]),
    ("capture/target/", &["crate::ingest"]),
    ("capture/decode/", &["crate::ingest"]),
    ("capture/probe/", &["crate::ingest"]),
    ("capture/backend/ebpf.rs", &["crate::ingest"]),
    ("capture/backend/ptrace.rs", &["crate::ingest"]),
    ("capture/mod.rs", &["crate::ingest"]),
    ("capture/write.rs", &["crate::ingest"]),
    ("anonymise/", &["crate::engine", "crate::generate", "crate::ingest", "crate::init", "crate::replay", "crate::report"]),
    ("init/", &["crate::engine", "crate::generate", "crate::ingest", "crate::replay", "crate::report"]),
    ("replay/", &["crate::engine", "crate::generate", "crate::ingest", "crate::report"]),
    ("engine/", &["crate::ingest", "crate::init", "crate::replay"]),
    ("generate/", &["crate::ingest", "crate::init", "crate::replay"]),
    ("statistics/", &["arrow", "parquet", "std::fs", "crate::engine", "crate::schema", "crate::predict", "crate::report"]),
    ("predict/", &["arrow", "parquet", "std::fs", "crate::engine", "crate::generate", "crate::ingest", "crate::report"]),
    ("program/", &["arrow", "parquet", "std::fs", "crate::engine", "crate::generate", "crate::report"]),
    ("report/", &["crate::export", "crate::ingest", "crate::init", "crate::replay", "crate::model"]),
    // strace's form is where it is read.
    ("export/", &["parquet", "std::fs", "crate::init", "crate::replay", "crate::model"]),
];

/// What only some parts of src/ may know.
const ONLY: &[(&str, &[&str])] = &[
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/"]),
    ("clap_mangen", &["cli/"]),
    ("indicatif", &["cli/"]),
    ("env_logger", &["cli/"]),
    // What people type is fuzzed where it is read.
    ("crate::cli", &["fuzz.rs"]),
    // engine/ makes sessions and plans; what it hands out is DataFusion's DataFrame, which these two write and print.
    ("datafusion", &["engine/", "generate/", "report/"]),
    ("futures", &["engine/", "peers/", "report/", "serve/", "store/"]),
    ("tokio", &["engine/", "peers/", "serve/", "store/"]),
    // What SQL names itself goes through DataFusion.
    ("object_store", &["store/", "engine/stores.rs"]),
    ("url", &["store/", "engine/stores.rs", "engine/cluster/session.rs"]),
    ("ballista_core", &["engine/cluster/"]),
    ("ballista_executor", &["engine/cluster/"]),
    ("ballista_scheduler", &["engine/cluster/"]),
    ("tonic", &["engine/cluster/", "peers/", "serve/"]),
    ("tonic_prost", &["serve/"]),
    ("rustyline", &["report/"]),
    ("rustix", &["files/", "init/"]),
];

/// Where files are opened, made and removed by [`ioriot::files`] alone, which follows nothing that somebody else may have put
/// there.
const CAREFUL: &[&str] =
    &["files/", "import/", "init/", "schema/", "serve/", "engine/", "predict/", "report/", "export/", "cli/"];
/// What goes by a path all the same.
const BY_PATH_STILL: &[&str] = &[
    // The pages are for everybody, and so is the directory for them: it is made as mkdir -p makes it, then asked whose it is.
    "src/cli/upkeep/man.rs calls fs::create_dir_all",
];
/// What of `std::fs` goes by a path.
const BY_PATH: &[&str] = &[
    "fs::read",
    "fs::read_to_string",
    "fs::write",
    "fs::read_dir",
    "fs::read_link",
    "fs::rename",
    "fs::copy",
    "fs::hard_link",
    "fs::remove_file",
    "fs::remove_dir",
    "fs::remove_dir_all",
    "fs::create_dir",
    "fs::create_dir_all",
    "fs::metadata",
    "fs::symlink_metadata",
    "fs::set_permissions",
    "File::open",
    "File::create",
    "File::options",
    "OpenOptions::new",
    "DirBuilder::new",
];

/// The paths that a source file names: `crate::x`, `std::x`, and the first word of any other path.
fn names(source: &str) -> BTreeSet<String> {
    let tokens = tokens(source);
    let mut names = BTreeSet::new();
    for (i, token) in tokens.iter().enumerate() {
        let starts_path = tokens.get(i + 1).is_some_and(|next| next == "::") && (i == 0 || tokens[i - 1] != "::");
        if !starts_path {
            continue;
        }
        names.insert(token.clone());
        if !matches!(token.as_str(), "crate" | "std") {
            continue;
        }
        match tokens.get(i + 2).map(String::as_str) {
            // `use crate::{a, b::{c, d}}`: the words at depth one.
            Some("{") => {
                let mut depth = 0;
                for (j, word) in tokens.iter().enumerate().skip(i + 2) {
                    match word.as_str() {
                        "{" => depth += 1,
                        "}" => depth -= 1,
                        _ if depth == 1 && matches!(tokens[j - 1].as_str(), "{" | ",") => {
                            names.insert(format!("{token}::{word}"));
                        }
                        _ => {}
                    }
                    if depth == 0 {
                        break;
                    }
                }
            }
            Some(word) => {
                names.insert(format!("{token}::{word}"));
            }
            None => {}
        }
    }
    names
}

/// Words, `::` and single characters of Rust source, without comments and without its unit tests.
fn tokens(source: &str) -> Vec<String> {
    let source = source.split("#[cfg(test)]\nmod tests {").next().unwrap_or_default();
    let mut tokens = Vec::new();
    for line in source.lines().map(|line| line.split("//").next().unwrap_or_default()) {
        let mut rest = line.trim_start();
        while let Some(first) = rest.chars().next() {
            let word = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            let length = match word {
                0 if rest.starts_with("::") => 2,
                0 => first.len_utf8(),
                _ => word,
            };
            tokens.push(rest[..length].to_owned());
            rest = rest[length..].trim_start();
        }
    }
    tokens
}

#[test]
fn nobody_knows_what_is_not_theirs_to_know() {
    let mut faults = Vec::new();
    for file in files("src", &[".rs"]) {
        let name = short(&file);
        let part = name.strip_prefix("src/").unwrap();
        if part == "main.rs" || part == "lib.rs" || part.ends_with("/tests.rs") {
            continue;
        }
        let known = names(&fs::read_to_string(&file).unwrap());
        for (prefix, forbidden) in FORBIDDEN {
            for what in forbidden.iter().filter(|what| part.starts_with(prefix) && known.contains(**what)) {
                faults.push(format!("{name} must not know {what}"));
            }
        }
        for (what, allowed) in ONLY {
            if known.contains(*what) && !allowed.iter().any(|prefix| part.starts_with(prefix)) {
                faults.push(format!("{name} must not know {what}: only {allowed:?} may"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// The folders of a part, each of which may know those before it.
const FOLDERS: &[(&str, &[&str])] = &[
    ("capture", &["kernel", "target", "decode", "probe", "backend"]),
    ("replay", &["shared", "machine", "issue", "feed", "link", "outcome", "child"]),
];

#[test]
fn folders_know_only_those_before_them() {
    let mut faults = Vec::new();
    for (part, folders) in FOLDERS {
        for (at, folder) in folders.iter().enumerate() {
            let sources = files("src", &[".rs"]);
            let inside: Vec<_> =
                sources.iter().filter(|file| short(file).starts_with(&format!("src/{part}/{folder}/"))).collect();
            assert!(inside.len() > 1, "src/{part}/{folder}");
            for file in inside {
                let tokens = tokens(&fs::read_to_string(file).unwrap());
                let paths = tokens.windows(5).filter(|path| path[0] == "crate" && path[2] == *part);
                let later = paths.map(|path| &path[4]).find(|named| folders[at + 1..].contains(&named.as_str()));
                faults.extend(later.map(|later| format!("{} must not know {part}/{later}", short(file))));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_folder_can_be_read_at_a_glance() {
    let mut sizes = std::collections::BTreeMap::<PathBuf, usize>::new();
    for file in files("src", &[".rs"]) {
        *sizes.entry(file.parent().unwrap().to_owned()).or_default() += 1;
    }
    let large: Vec<_> = sizes.iter().filter(|(_, files)| **files > 16).collect();
    assert!(large.is_empty(), "over 15 files and mod.rs: {large:?}");
}

#[test]
fn what_is_ours_is_opened_by_descriptor() {
    let mut faults = Vec::new();
    for part in CAREFUL {
        for file in files("src", &[".rs"]).iter().filter(|file| short(file).starts_with(&format!("src/{part}"))) {
            let tokens = tokens(&fs::read_to_string(file).unwrap());
            for call in tokens.windows(3).map(<[String]>::concat).filter(|call| BY_PATH.contains(&call.as_str())) {
                faults.push(format!("{} calls {call}", short(file)));
            }
        }
    }
    assert_eq!(faults, BY_PATH_STILL, "crate::files opens what is ours");
}

#[test]
fn the_names_of_a_source_are_found() {
    let source = "use crate::{event::{Event, Col}, fate};\nuse std::fs; // tokio::x\nlet x = parquet::y::z();\nSelf::new()";
    let names = names(source);
    for name in ["crate::event", "crate::fate", "std::fs", "parquet"] {
        assert!(names.contains(name), "{name} of {names:?}");
    }
    for name in ["tokio", "crate::Event", "crate::Col", "y"] {
        assert!(!names.contains(name), "{name} of {names:?}");
    }
}

// ---- sizes and leftovers ----

/// Files that may have more than [`LONG`] lines, and why.
const LONG_FILES: &[(&str, &str)] = &[];
const LONG: usize = 500;

#[test]
fn files_stay_short() {
    let main = fs::read_to_string(home().join("src/main.rs")).unwrap();
    assert!(main.lines().count() <= 60, "main.rs parses, dispatches and complains: 60 lines are enough");
    for file in files("src", &[".rs"]).into_iter().chain(files("sql", &[".sql"])) {
        let (name, lines) = (short(&file), fs::read_to_string(&file).unwrap().lines().count());
        let excused = LONG_FILES.iter().any(|(excused, _)| *excused == name);
        assert!(lines <= LONG || excused, "{name} has {lines} lines: look for a second noun in it");
        assert!(lines > LONG || !excused, "{name} has {lines} lines and needs no excuse any more");
    }
}

#[test]
fn nothing_is_left_for_later() {
    let leftovers = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["todo", "!("].concat(), ["unimplemented", "!("].concat()];
    let places = ["src", "sql", "scripts", "tests/it", "docs", "notebooks", "python"];
    for file in places.iter().flat_map(|dir| files(dir, &[".rs", ".sql", ".sh", ".py", ".md", ".ipynb", ".c"])) {
        let text = fs::read_to_string(&file).unwrap();
        for leftover in &leftovers {
            assert!(!text.contains(leftover.as_str()), "{} has a {leftover}", short(&file));
        }
    }
}

/// Calls that x86_64 does not have, so that the matrix cannot make them (tests/data/compat32.* do).
const FOREIGN: &[&str] = &[
    "_llseek",
    "chown16",
    "chown32",
    "fadvise64_64",
    "fchown16",
    "fchown32",
    "fcntl64",
    "fstat64",
    "fstatat64",
    "fstatfs64",
    "ftruncate64",
    "lchown16",
    "lchown32",
    "lstat64",
    "mmap2",
    "readdir",
    "sendfile64",
    "stat64",
    "statfs64",
    "sync_file_range2",
    "truncate64",
];

#[test]
fn the_matrix_makes_every_call_that_is_replayed() {
    let matrix = fs::read_to_string(home().join("scripts/syscall_matrix.c")).unwrap();
    let calls = ioriot::syscall::Syscall::ALL.iter().filter(|syscall| syscall.is_call()).map(|syscall| syscall.def());
    for def in calls.filter(|def| matches!(def.support(), "full" | "partly")) {
        let made = ["CALL(", "OK(", "ANY(", "IS("].iter().any(|call| {
            matrix.split(call).skip(1).any(|rest| {
                let arguments = rest.split(',').take(2).map(|word| word.trim().trim_end_matches([')', ';', '\n']));
                arguments.take(2).any(|word| word.split(')').next() == Some(def.name))
            })
        });
        assert!(made != FOREIGN.contains(&def.name), "{}: made by the matrix: {made}", def.name);
    }
}

/// SQL that names calls all the same, and why.
const NAMES_CALLS: &[(&str, &str, &str)] = &[
    ("sql/generate/cached.sql", "page_cache_add", "it is about these, which are no calls"),
    ("sql/generate/cached.sql", "read", "a kind of extent"),
    ("sql/macros/file_lifetimes.sql", "unlink", "which ops take a name of a file away"),
    ("sql/macros/file_lifetimes.sql", "unlinkat", "which ops take a name of a file away"),
    ("sql/macros/open_at_end.sql", "close", "which op closes a descriptor"),
    ("sql/findings/readahead_useless.sql", "mmap_fault", "it is about these, which are no calls"),
    ("sql/query/process_tree.sql", "exec", "which op executes a program"),
    ("sql/generate/people.sql", "exec", "it is about what gives processes their names"),
    ("sql/generate/people.sql", "fork", "it is about what gives processes their names"),
    ("sql/generate/revised.sql", "chdir", "it makes events of that call"),
    ("sql/generate/revised.sql", "chroot", "it is about changes of directory"),
    ("sql/generate/revised.sql", "fchdir", "it is about changes of directory"),
    ("sql/generate/revised.sql", "lseek", "it makes events of that call"),
    ("sql/generate/tenants.sql", "getcwd", "it is about what returns a path"),
    ("sql/generate/tenants.sql", "readlink", "it is about what returns a path"),
    ("sql/generate/tenants.sql", "readlinkat", "it is about what returns a path"),
    ("sql/generate/tenants.sql", "waited", "it is about these, which are no calls"),
    ("sql/generate/written.sql", "creat", "it is about what opens files"),
    ("sql/generate/written.sql", "open", "it is about what opens files"),
    ("sql/generate/written.sql", "openat", "it is about what opens files"),
    ("sql/generate/written.sql", "openat2", "it is about what opens files"),
    ("sql/lint/closed.sql", "close", "it is about that call"),
    ("sql/query/waits.sql", "waited", "it is about these, which are no calls"),
];

/// What a call is says its row in the syscall table: SQL joins `syscall_def`, or reads what the model said of the call.
#[test]
fn sql_names_no_calls() {
    let mut named = BTreeSet::new();
    // A format says which call a line of its input tells of.
    for file in files("sql", &[".sql"]).iter().filter(|file| !short(file).starts_with("sql/ingest/")) {
        let text = fs::read_to_string(file).unwrap();
        let lines = text.lines().map(|line| line.split("--").next().unwrap_or_default());
        for word in lines.flat_map(|line| line.split('\'').skip(1).step_by(2)) {
            let op = ioriot::syscall::Op::parse(word).is_some();
            if op || ioriot::syscall::Syscall::parse(word.as_bytes()).is_some() {
                named.insert((short(file), word.to_owned()));
            }
        }
    }
    let excused = NAMES_CALLS.iter().map(|(file, call, _)| ((*file).to_owned(), (*call).to_owned())).collect();
    assert_eq!(named, excused, "SQL names calls, or needs an excuse no more");
}

/// Links from one page to another lead somewhere.
#[test]
fn links_in_the_documentation_lead_somewhere() {
    let pages =
        files("docs", &[".md"]).into_iter().chain(["README.md", "CONTRIBUTING.md", "CHANGELOG.md"].map(|name| home().join(name)));
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        for link in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            let target = link.split('#').next().unwrap_or_default();
            if !target.is_empty() && !target.contains("://") {
                assert!(page.parent().unwrap().join(target).exists(), "{} links to {target}", short(&page));
            }
        }
    }
}

/// What a column means stands once: in a table of a dataset, in the walk, in the measures, or in one head.
#[test]
fn each_meaning_of_a_column_stands_once() {
    let tables =
        Table::ALL.iter().flat_map(|table| table.columns()).map(|column| (column.name.to_owned(), column.doc.to_owned()));
    let known: HashSet<_> = tables.collect();
    let mut seen = HashSet::new();
    for file in files("sql", &[".sql"]) {
        let text = fs::read_to_string(&file).unwrap();
        for column in text.lines().filter_map(|line| line.strip_prefix("-- @column ")) {
            let mut words = column.splitn(3, ' ').map(str::to_owned);
            let (name, meaning) = (words.next().unwrap(), words.nth(1).unwrap_or_default());
            let twice = known.contains(&(name.clone(), meaning.clone())) || !seen.insert((name.clone(), meaning));
            assert!(!twice, "{}: {name} is said elsewhere: use @from", short(&file));
        }
    }
}

// ---- measured tables ----

/// Has a text a date (YYYY-MM-DD)?
fn dated(text: &str) -> bool {
    text.as_bytes().windows(10).any(|word| {
        word.iter().zip(b"0000-00-00").all(|(byte, like)| if *like == b'0' { byte.is_ascii_digit() } else { byte == like })
    })
}

/// Is a row of a table one of measured numbers: has it two cells or more that are a number, perhaps with a sign or a unit?
fn measured(row: &str) -> bool {
    let number = |cell: &str| {
        let cell = cell.trim().trim_start_matches(['+', '-']);
        let value = cell.split(' ').next().unwrap_or_default().replace(',', "");
        cell.split(' ').count() <= 2 && value.parse::<f64>().is_ok()
    };
    row.starts_with('|') && row.split('|').filter(|cell| number(cell)).count() >= 2
}

/// What was measured says by which command and when: between markers `<!-- NAME: begin (the real output of COMMAND, DATE) -->`
/// and `<!-- NAME: end -->`, or in the section above it. Two pages that show the same table show the same numbers.
#[test]
fn measured_tables_say_by_what_and_when() {
    let mut shown: Vec<(String, String, String)> = Vec::new();
    for page in ["README.md", "docs/FIDELITY.md"] {
        let text = fs::read_to_string(home().join(page)).unwrap();
        let (mut open, mut section): (Option<(String, String)>, String) = (None, String::new());
        for (at, line) in text.lines().enumerate() {
            let place = format!("{page}, line {}", at + 1);
            if let Some((name, source)) = line.strip_prefix("<!-- ").and_then(|line| line.split_once(": begin (")) {
                assert!(source.starts_with("the real output of ") && dated(source), "{place} says neither by what nor when");
                assert!(open.replace((name.to_owned(), line.to_owned())).is_none(), "{place} is inside another one");
            } else if let Some(name) = line.strip_prefix("<!-- ").and_then(|line| line.strip_suffix(": end -->")) {
                let (begun, rows) = open.take().expect(&place);
                assert_eq!(begun, name, "{place}");
                if let Some((_, other, same)) = shown.iter().find(|(known, ..)| *known == begun) {
                    assert_eq!(*same, rows, "{place}: {other} shows other numbers");
                }
                shown.push((begun, page.to_owned(), rows));
            } else if let Some((_, rows)) = &mut open {
                *rows = format!("{rows}\n{line}");
            } else if line.starts_with("## ") {
                section.clear();
            } else {
                assert!(!measured(line) || dated(&section), "{place}: nothing says when this was measured");
                section.push_str(line);
            }
        }
        assert!(open.is_none(), "{page}: {open:?} has no end");
    }
    assert!(shown.len() >= 5, "{}", shown.len());
}

#[test]
fn numbers_and_dates_are_found() {
    assert!(measured("| make | 1.41 | 1.29 | -8.5 % |") && measured("| a | 1,234 | 5 ms |"));
    assert!(!measured("| make | compiles 20 files | 3 |") && !measured("1 | 2 | 3"));
    assert!(dated("medians of 3, 2026-11-29") && !dated("2026-11-2") && !dated("2026/11/29"));
}

// ---- generated pages ----

#[test]
fn generated_pages_are_fresh() {
    for (name, text) in ioriot::cli::upkeep::docs::pages().unwrap() {
        let file = home().join(name);
        if std::env::var_os("BLESS").is_some() {
            fs::write(&file, &text).unwrap();
        }
        let found = fs::read_to_string(&file).unwrap_or_default();
        assert!(found == text, "{name} is stale; run: BLESS=1 cargo test generated_pages");
    }
}
