//! Exports as programs in C: they compile, do what replays do, and show what reduce looked for.

use super::super::capture::{allowed, capture as capture_live, scratch};
use super::super::generate::{call, capture};
use super::super::replay::work::{Row, Work, op};
use super::{hostile, ingested};
use crate::skip::{Need, skip};
use crate::tool::{cases, command, expect, ioriot, number, root, rows, shell_text};
use ioriot::event::Col;
use ioriot::syscall::{Op, Syscall};
use proptest::prelude::*;
use proptest::test_runner::TestRunner;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Exports a workload and compiles it without a warning; `None` without a compiler.
fn built(work: &Path, more: &[&str]) -> Option<PathBuf> {
    let [source, program] = ["c", "program"].map(|ending| work.with_extension(ending));
    expect(0, &["export", work.to_str().unwrap(), "--to", "c", "-o", source.to_str().unwrap()]);
    let mut cc = Command::new("cc");
    cc.args(["-Wall", "-Wextra", "-Werror"]).args(more).arg(&source).arg("-o").arg(&program).arg("-lpthread");
    let Ok(output) = cc.output() else {
        skip(Need::Compiler, "cc makes no program");
        return None;
    };
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    Some(program)
}

/// Exit code and output.
fn ran(program: &mut Command) -> (i32, String) {
    let Output { status, stdout, stderr } = program.output().unwrap();
    let said = String::from_utf8_lossy(&stdout).into_owned() + &String::from_utf8_lossy(&stderr);
    (status.code().unwrap_or_else(|| panic!("{status}: {said}")), said)
}

/// Whether programs can have a root of their own here.
fn confined(said: &str) -> bool {
    let refused = said.contains("cannot make it the root");
    if refused {
        skip(Need::Root, said);
    }
    !refused
}

fn generated(cap: &Path) -> PathBuf {
    let work = cap.with_file_name("work");
    expect(0, &["generate", cap.to_str().unwrap(), "-o", work.to_str().unwrap()]);
    work
}

/// Names below a directory, with type, size, and target or number of links.
fn tree(dir: &Path) -> BTreeSet<String> {
    let (mut found, mut dirs) = (BTreeSet::new(), vec![dir.to_owned()]);
    while let Some(at) = dirs.pop() {
        for entry in fs::read_dir(&at).unwrap() {
            let path = entry.unwrap().path();
            let meta = fs::symlink_metadata(&path).unwrap();
            let kind = meta.file_type();
            let more = if kind.is_symlink() {
                format!("link to {:?}", fs::read_link(&path).unwrap())
            } else if kind.is_dir() {
                dirs.push(path.clone());
                format!("directory {:o}", meta.mode() & 0o7777)
            } else if kind.is_file() {
                format!("{} bytes, {} names, {:o}", meta.len(), meta.nlink(), meta.mode() & 0o7777)
            } else {
                format!("fifo {}", kind.is_fifo())
            };
            found.insert(format!("{:?} {more}", path.strip_prefix(dir).unwrap()));
        }
    }
    found
}

/// Replays a workload and runs its program: what differs from the capture is the same, and so is the tree in the end.
fn alike(work: &Path, optimised: &str) {
    let Some(program) = built(work, &[optimised]) else { return };
    let [root, run, made] = ["root", "run", "made"].map(|ending| work.with_extension(ending));
    let [name, root_, run_] = [work, &root, &run].map(|path| path.to_str().unwrap());
    expect(0, &["init", name, "--root", root_]);
    let replay = ioriot(&["replay", name, "--root", root_, "-o", run_]);
    assert!(replay.status.code().is_some_and(|code| code <= 1), "{}", String::from_utf8_lossy(&replay.stderr));
    let (code, said) = ran(Command::new(&program).arg(&made));
    if !confined(&said) {
        return;
    }
    let differs = "SELECT 'op ' || op_id || ' ' || op FROM results WHERE outcome = 'different' ORDER BY 1";
    let mut found: Vec<_> = said.lines().filter_map(|line| Some(line.strip_prefix("op ")?.split_once(':')?.0)).collect();
    found.sort_unstable();
    let wanted = rows(&[&run], differs);
    assert_eq!(found.iter().map(|op| format!("op {op}")).collect::<Vec<_>>(), wanted, "{said}");
    assert_eq!(code, i32::from(!wanted.is_empty()), "{said}");
    let ops = number(&[work], "SELECT count(*) FROM ops");
    assert!(said.contains(&format!("{} of {ops} ops differ\n", wanted.len())), "{said}");
    assert_eq!(tree(&made), tree(&root.join("tree")));
    // What is there is not touched.
    let (code, said) = ran(Command::new(&program).arg(&made));
    assert!(code == 125 && said.contains("is not empty"), "{said}");
}

#[test]
fn a_program_makes_every_call_as_a_replay_does() {
    for trace in ["matrix.strace", "v5-matrix.capture", "compat32.strace"] {
        let dir = tempfile::tempdir().unwrap();
        alike(&generated(&ingested(dir.path(), trace)), "-O2");
    }
}

/// Three of its calls differ on any other machine.
#[test]
fn a_program_of_many_threads_differs_where_the_replay_does() {
    let dir = tempfile::tempdir().unwrap();
    alike(&generated(&ingested(dir.path(), "e-fio.capture.gz")), "-O0");
}

/// Processes and threads that make, store, link, rename and remove at the same time.
const JOB: &str = r#"
set -e
mkdir a && for i in 1 2 3 4 5 6 7 8 9; do head -c ${i}000 /dev/zero > a/$i; done
cp -r a b & tar cf a.tar a & wait
mkdir out && tar xf a.tar -C out & (cd b && ln -s ../a.tar link && ln 3 three && mv 4 four && rm 5) & wait
cat out/a/* >> all & for i in 1 2 3; do echo $i > box.$i && mv box.$i b/; done & wait
"#;

#[test]
fn captured_processes_are_a_program() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let cap = dir.path().join("cap");
    fs::create_dir(dir.path().join("here")).unwrap();
    let script = format!("cd {}; {JOB}", shell_text(&dir.path().join("here")));
    capture_live(0, &cap, &["--", "sh", "-c", &script]);
    let work = generated(&cap);
    alike(&work, "-O0");
    // Nor does it need to be root.
    let Some(program) = built(&work, &["-O0"]).filter(|_| root()) else { return };
    let open = crate::tool::open_scratch();
    fs::copy(program, open.path().join("program")).unwrap();
    fs::set_permissions(open.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let (code, said) = ran(Command::new("./program").arg("tree").current_dir(open.path()).uid(54_321).gid(54_321));
    assert!(!confined(&said) || code == 0 && said.starts_with("0 of "), "{said}");
}

/// Names that would end a literal or a comment, and captured outcomes that no kernel has.
#[test]
fn hostile_names_are_names() {
    let dir = tempfile::tempdir().unwrap();
    let work = generated(&hostile(dir.path()));
    alike(&work, "-O2");
    let dir = tempfile::tempdir().unwrap();
    let names =
        ["/d/*/ int x;/*", "/d/??/", "/d/a\\", "/d/\"); abort(); (\"", "/d/%s%n", "/d/\n#error", "/../../etc", "/d/??)\\\n"];
    let events: Vec<_> = names
        .iter()
        .enumerate()
        .map(|(at, name)| call(Syscall::open, 7, at as i64 + 3, &[(Col::Ts, at as i64), (Col::Flags, 0o102)], Some(name)))
        .collect();
    let work = generated(&capture(dir.path(), &events));
    alike(&work, "-O2");
    let source = fs::read_to_string(work.with_extension("c")).unwrap();
    assert!(source.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)));
}

#[test]
fn the_program_of_a_reduced_workload_shows_the_difference() {
    let dir = tempfile::tempdir().unwrap();
    let mut events = Vec::new();
    for at in 0..30 {
        let path = format!("/d/{at}");
        events.push(call(Syscall::open, 7, 3 + at, &[(Col::Ts, at * 10), (Col::Flags, 0o102)], Some(&path)));
        // One of them is said to have gone elsewhere than it was told to.
        let seeks = [(Col::Ts, at * 10 + 5), (Col::Fd, 3 + at), (Col::Offset, 100), (Col::Whence, 0)];
        events.push(call(Syscall::lseek, 7, 100 + i64::from(at == 17), &seeks, None));
    }
    let work = generated(&capture(dir.path(), &events));
    let Some(program) = built(&work, &[]) else { return };
    let (code, said) = ran(Command::new(&program).arg(dir.path().join("whole")));
    if !confined(&said) {
        return;
    }
    assert!(code == 1 && said.contains(" lseek: expected 101, got 100\n"), "{said}");
    let ioriot = shell_text(command(&[]).get_program().as_ref());
    let differs = format!(
        "{ioriot} export \"$1\" --to c -o \"$1.c\" && cc \"$1.c\" -o \"$1.p\" -lpthread && {{ \"$1.p\" \"$1.tree\"; test $? = 1; }}"
    );
    let small = dir.path().join("small");
    expect(0, &["reduce", work.to_str().unwrap(), "-o", small.to_str().unwrap(), "--while", &differs]);
    assert_eq!(number(&[&small], "SELECT count(*) FROM ops"), 2.0);
    let (code, said) = ran(Command::new(built(&small, &[]).unwrap()).arg(dir.path().join("part")));
    assert!(code == 1 && said.contains(" lseek: expected 101, got 100\n1 of 2 ops differ\n"), "{said}");
}

#[test]
fn what_is_no_small_workload_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    let cap = ingested(dir.path(), "d-files.strace.gz");
    let work = generated(&cap);
    for (at, why) in [(&work, "100000 at most: `ioriot reduce`"), (&cap, "workload")] {
        let output = ioriot(&["export", at.to_str().unwrap(), "--to", "c"]);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && output.stdout.is_empty() && said.contains(why), "{said}");
    }
}

/// A number that may mean something to a call, or nothing.
fn numbers() -> impl Strategy<Value = Option<i64>> {
    prop_oneof![Just(None), (0_i64..10).prop_map(Some), any::<i64>().prop_map(Some), Just(Some(i64::MIN)), Just(Some(-100))]
}

/// Any op words with any arguments make a program without a warning.
#[test]
fn random_ops_compile() {
    let texts = || prop_oneof![Just(None), "(/[a*?\\\\\"\\n%/\u{ef80}-]{0,6}){0,3}".prop_map(Some)];
    let words: Vec<&str> = Op::ALL.iter().filter(|op| op.issued()).map(|op| op.name()).collect();
    let row = (
        prop::sample::select(words),
        -3000_i64..3000,
        prop::collection::vec(numbers(), 16),
        [texts(), texts(), texts()],
        0_i64..4,
    );
    let mut runner = TestRunner::new(cases("IORIOT_PROGRAMS", 4, 1));
    let ran = runner.run(&prop::collection::vec(row, 1..250), |rows| {
        let mut work = Work::new();
        for (name, outcome, numbers, texts, lane) in rows {
            // Some words are those of no call.
            let row = op(name, outcome).lane(lane);
            let syscall = Syscall::parse(name.as_bytes()).map_or("read", Syscall::name);
            let mut row: Row = row.set("syscall", syscall);
            let columns = [
                "count", "offset", "flags", "mode", "whence", "dirfd", "dirfd2", "cmd", "arg", "uid", "gid", "offset2", "iovcnt",
                "resolve", "atime", "mtime",
            ];
            for (column, number) in columns.into_iter().zip(numbers) {
                row = number.map_or(row.clone(), |number| row.set(column, number));
            }
            for (column, text) in ["raw", "raw2", "name"].into_iter().zip(texts) {
                row = text.map_or(row.clone(), |text| row.set(column, text));
            }
            for (column, ofd) in
                ["ofd", "ofd2", "dir", "dir2"].into_iter().zip([outcome % 7, outcome % 5, outcome % 3, outcome % 11])
            {
                if ofd > 0 {
                    row = row.set(column, ofd);
                }
            }
            if outcome % 4 == 0 {
                row = row.set("cwd", "/x/\"y");
            }
            work.op(row);
        }
        work.in_a_row();
        let place = work.write();
        built(&place, &["-O0"]);
        Ok(())
    });
    ran.unwrap();
}
