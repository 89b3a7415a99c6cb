//! The model against the kernel, with real threads and processes: calls of several threads overlap, children of fork act
//! beside their parents, and a parent returns from vfork after its child has acted and executed a program. What was
//! called, when it was entered and when it returned goes through ingest as strace would have written it, so that the
//! model sees the order that ingest makes of it. At the end every descriptor of every process is asked for its position
//! and its size, and the model must have known; it must need no change from outside to explain the outcomes; and the
//! trees before and after must be what it says.
//!
//! Some overlaps cannot be decided from outside, whoever looks: their calls return the same in either order, and leave
//! another state. Programs do not do these at the same time:
//!
//! - two appends through different open file descriptions of one file: which position is whose;
//! - a seek and another call on one shared position, or an append and a read there;
//! - a truncation and a write of one file, an append and a write that makes it longer;
//! - a removal and a creation of one name, if the creation succeeds in any case (O_CREAT alone, rename), or may come
//!   twice;
//! - a read that may meet the end of its file, or a stat, while the file grows: the outcome decides it, but only
//!   together with the sizes of other calls, which ingest does not compare. The model takes that for a change from
//!   outside, with the same outcomes at a replay;
//! - a fork while other threads open and close: which descriptors the child has;
//! - calls of two processes on one name that they call by relative paths, where the capture does not show working
//!   directories (strace without `-y`): ingest, which puts calls in order, cannot know that it is one name.
//!
//! What they may do at the same time: move a shared position by reading and writing, write anywhere by position, append
//! through one description, race for who creates a name and for who removes one, look at names that come and go, open,
//! duplicate and close descriptors whose numbers go from thread to thread, fork, vfork, exec.
//!
//! `IORIOT_MODEL_PROGRAMS=2000 cargo test --test it threads` looks longer.

use super::program::{self, ACTORS, Act, Arg, Call, FORKED, Made, Plan, SLOTS, VFORKED, look};
use super::{check_end, check_needs, populate};
use crate::tool::cases;
use ioriot::event::{Col, Event, Text};
use ioriot::fate::{Fate, Origin};
use ioriot::ingest::{self, Input};
use ioriot::model::{Config, End, Model, Rows};
use ioriot::progress::Progress;
use ioriot::schema::read;
use ioriot::syscall::Syscall;
use libc::{O_APPEND, O_CLOEXEC, O_CREAT, O_EXCL, O_RDONLY, O_RDWR, O_TRUNC, O_WRONLY, c_long};
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Names that are raced for; all are looked at before.
const NAMES: [&str; 6] = ["n0", "n1", "n2", "n3", "d/n0", "d/e/n0"];
/// Files that may be opened, shortened, renamed.
const FILES: [&str; 7] = ["a", "b", "d/a", "d/e/b", "e/c", "f", "d/f"];
/// Slots: two files with room for everybody, a log, descriptors of each actor, twins of the first three.
const ROOM: [usize; 2] = [0, 1];
const LOG: usize = 2;
const TWINS: usize = 11;
const CLOEXEC: [usize; 3] = [4, 6, 8];

/// What a phase is about.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Theme {
    /// One actor alone, with calls that others must not overlap.
    Alone,
    /// Shared positions move.
    Shared,
    /// Files are written by position.
    Data,
    /// One log is appended to.
    Log,
    /// Names are raced for.
    Names,
    /// Descriptors come and go.
    Fds,
}

/// A phase as it was drawn: everything by small numbers, so that it shrinks well.
#[derive(Clone, Debug)]
struct Drawn {
    theme: Theme,
    roles: u8,
    calls: Vec<(usize, u8, usize, i64)>,
}

/// A program as it was drawn: its phases, and in which of them children are born, by which thread.
#[derive(Clone, Debug)]
struct Story {
    phases: Vec<Drawn>,
    fork: (usize, usize),
    vfork: (usize, usize),
}

fn story() -> impl Strategy<Value = Story> {
    let theme = prop_oneof![
        2 => Just(Theme::Alone),
        2 => Just(Theme::Shared),
        1 => Just(Theme::Data),
        1 => Just(Theme::Log),
        3 => Just(Theme::Names),
        3 => Just(Theme::Fds),
    ];
    let call = (0..ACTORS, any::<u8>(), 0..24usize, 0..300i64);
    let phase = (theme, any::<u8>(), proptest::collection::vec(call, 1..24));
    let phase = phase.prop_map(|(theme, roles, calls)| Drawn { theme, roles, calls });
    let birth = || (0..8usize, 0..3usize);
    (proptest::collection::vec(phase, 1..9), birth(), birth()).prop_map(|(phases, fork, vfork)| Story { phases, fork, vfork })
}

fn call(name: &str, number: c_long, args: Vec<Arg>, into: Option<usize>) -> Act {
    Act::Call(Call { name: name.into(), number, args, into })
}

fn path(name: &str) -> Arg {
    Arg::Path(name.to_owned())
}

fn open(name: &str, flags: i32, slot: usize) -> Act {
    let cloexec = if CLOEXEC.contains(&slot) { O_CLOEXEC } else { 0 };
    let args = vec![Arg::Cwd, path(name), Arg::Hex(i64::from(flags | cloexec)), Arg::Oct(0o644)];
    call("openat", libc::SYS_openat, args, Some(slot))
}

fn on(name: &str, number: c_long, slot: usize, more: &[Arg]) -> Act {
    call(name, number, [&[Arg::Slot(slot)], more].concat(), None)
}

fn lstat(name: &str) -> Act {
    let flags = i64::from(libc::AT_SYMLINK_NOFOLLOW);
    call("newfstatat", libc::SYS_newfstatat, vec![Arg::Cwd, path(name), Arg::Stat, Arg::Hex(flags)], None)
}

fn read_some(slot: usize, count: i64) -> Act {
    on("read", libc::SYS_read, slot, &[Arg::Buffer, Arg::Dec(count)])
}

fn write_some(slot: usize, count: i64) -> Act {
    on("write", libc::SYS_write, slot, &[Arg::Buffer, Arg::Dec(1 + count % 90)])
}

fn two_names(name: &str, number: c_long, one: &str, two: &str, flags: &[Arg]) -> Act {
    call(name, number, [&[Arg::Cwd, path(one), Arg::Cwd, path(two)], flags].concat(), None)
}

impl Drawn {
    /// The act that these numbers choose.
    fn act(&self, (actor, what, which, number): (usize, u8, usize, i64)) -> Act {
        let own = 3 + 2 * (actor % 3) + which % 2;
        let twin = TWINS + which % 3;
        let file = FILES[which % FILES.len()];
        let name = NAMES[which % NAMES.len()];
        match self.theme {
            Theme::Shared => {
                let slot = if which % 4 < 2 { ROOM[which % 2] } else { TWINS + which % 2 };
                if what % 2 == 0 { read_some(slot, number) } else { write_some(slot, number) }
            }
            Theme::Log => write_some(if which % 3 == 0 { TWINS + LOG } else { LOG }, number),
            Theme::Data => {
                let slot = if which % 2 == 0 { ROOM[which / 2 % 2] } else { 3 + which % 8 };
                let at = [Arg::Buffer, Arg::Dec(1 + number % 90), Arg::Dec(7 * number)];
                match what % 3 {
                    0 if slot < LOG => on("pread64", libc::SYS_pread64, slot, &at),
                    _ => on("pwrite64", libc::SYS_pwrite64, slot, &at),
                }
            }
            Theme::Names => {
                let creates = self.roles & 1 << (which % NAMES.len()) != 0;
                match (what % 8, creates) {
                    (0, _) => lstat(name),
                    (1, _) => open(name, O_RDONLY, own),
                    (2 | 3, true) => open(name, O_RDWR | O_CREAT | O_EXCL, own),
                    (4, true) => call("mkdirat", libc::SYS_mkdirat, vec![Arg::Cwd, path(name), Arg::Oct(0o755)], None),
                    (5, true) => two_names("linkat", libc::SYS_linkat, "room0", name, &[Arg::Hex(0)]),
                    (6, true) => call("symlinkat", libc::SYS_symlinkat, vec![path("room1"), Arg::Cwd, path(name)], None),
                    (_, true) => lstat(name),
                    (7, false) => {
                        // To where nobody else goes.
                        let goal = format!("moved{}-{number}-{}", self.roles, which);
                        two_names("renameat2", libc::SYS_renameat2, name, &goal, &[Arg::Hex(1)])
                    }
                    (dir, false) => {
                        let flags = if dir % 2 == 0 { 0 } else { libc::AT_REMOVEDIR };
                        call("unlinkat", libc::SYS_unlinkat, vec![Arg::Cwd, path(name), Arg::Hex(i64::from(flags))], None)
                    }
                }
            }
            Theme::Fds => match what % 8 {
                0..=2 => open(["room0", "room1", "log"][which % 3], [O_RDONLY, O_RDWR][usize::from(what) / 8 % 2], own),
                3 | 4 => on("close", libc::SYS_close, own, &[]),
                5 => call("dup", libc::SYS_dup, vec![Arg::Slot(which % 3)], Some(own)),
                6 => {
                    let args = vec![Arg::Slot(which % 3), Arg::Dec(40 + own as i64), Arg::Hex(0)];
                    call("dup3", libc::SYS_dup3, args, Some(own))
                }
                _ => on("fstat", libc::SYS_fstat, own, &[Arg::Stat]),
            },
            Theme::Alone => match what % 20 {
                0 | 1 => open(file, O_RDWR, own),
                2 => open(file, O_RDWR | O_CREAT, own),
                3 => open(file, O_WRONLY | O_CREAT | O_TRUNC, own),
                4 => on("close", libc::SYS_close, own, &[]),
                5 => call("dup", libc::SYS_dup, vec![Arg::Slot(which % 3)], Some(twin)),
                6 => call("dup", libc::SYS_dup, vec![Arg::Slot(own)], Some(9 + which % 2)),
                7 => on("lseek", libc::SYS_lseek, own, &[Arg::Dec(number), Arg::Whence(0)]),
                8 => on("lseek", libc::SYS_lseek, own, &[Arg::Dec(-(number % 9)), Arg::Whence(2)]),
                9 => on("lseek", libc::SYS_lseek, twin, &[Arg::Dec(number), Arg::Whence(0)]),
                10 => read_some(own, number),
                11 => write_some(own, number),
                12 => on("ftruncate", libc::SYS_ftruncate, own, &[Arg::Dec(number)]),
                13 => call("truncate", libc::SYS_truncate, vec![path(file), Arg::Dec(number)], None),
                14 => on("fstat", libc::SYS_fstat, own, &[Arg::Stat]),
                15 => lstat(file),
                16 => two_names("renameat", libc::SYS_renameat, file, FILES[(which + 1 + number as usize) % 7], &[]),
                17 => two_names("linkat", libc::SYS_linkat, file, FILES[(which + 1 + number as usize) % 7], &[Arg::Hex(0)]),
                18 => call("unlinkat", libc::SYS_unlinkat, vec![Arg::Cwd, path(file), Arg::Hex(0)], None),
                _ => read_some(twin, number),
            },
        }
    }
}

/// With absolute paths: ingest does not know whether relative names of two processes are the same, unless a capture
/// shows their working directories.
fn absolute(mut act: Act, root: &Path) -> Act {
    if let Act::Call(call) = &mut act {
        for arg in &mut call.args {
            if let Arg::Path(path) = arg {
                *path = root.join(&path).to_str().unwrap().to_owned();
            }
        }
    }
    act
}

/// The plan of a story.
fn plan(story: &Story, root: &Path) -> Plan {
    let mut first = vec![call("chdir", libc::SYS_chdir, vec![path(root.to_str().unwrap())], None)];
    first.extend(NAMES.iter().chain(&FILES).map(|name| lstat(name)));
    first.extend([open("room0", O_RDWR, 0), open("room1", O_RDWR, 1), open("log", O_WRONLY | O_APPEND | O_CREAT, LOG)]);
    first.extend((0..3).map(|slot| on("fstat", libc::SYS_fstat, slot, &[Arg::Stat])));
    // Twins of the descriptors that are used together: two more numbers, one more position each.
    first.extend((0..2).map(|slot| call("dup", libc::SYS_dup, vec![Arg::Slot(slot)], Some(TWINS + slot))));
    first.push(call("dup", libc::SYS_dup, vec![Arg::Slot(LOG)], Some(TWINS + LOG)));
    first.extend([Act::Thread(1), Act::Thread(2)]);
    let mut phases = vec![vec![first, vec![], vec![], vec![], vec![]]];
    let mut there = vec![3];
    let mut alive: BTreeSet<usize> = (0..3).collect();
    for (at, drawn) in story.phases.iter().enumerate() {
        let mut acts = vec![Vec::new(); ACTORS];
        let births = [(FORKED, story.fork), (VFORKED, story.vfork)];
        let born: Vec<_> = births.into_iter().filter(|(_, (phase, _))| *phase == at).collect();
        let theme = match drawn.theme {
            theme @ (Theme::Shared | Theme::Data | Theme::Log) => theme,
            _ if !born.is_empty() => Theme::Shared,
            theme => theme,
        };
        let drawn = Drawn { theme, ..drawn.clone() };
        alive.extend(born.iter().map(|(child, _)| *child));
        for (place, (actor, what, which, number)) in drawn.calls.iter().copied().enumerate() {
            let actor = if theme == Theme::Alone { drawn.calls[0].0 } else { actor };
            let actor = if alive.contains(&actor) { actor } else { actor % 3 };
            let act = drawn.act((actor, what, which, number + place as i64));
            acts[actor].push(if theme == Theme::Names && alive.len() > 3 { absolute(act, root) } else { act });
        }
        for (child, (_, thread)) in born {
            let middle = acts[thread].len() / 2;
            acts[thread].insert(middle, Act::Fork(child));
            if child == VFORKED {
                acts[child].push(Act::Exec);
            }
        }
        phases.push(acts);
        there.push(alive.len() as u32);
    }
    Plan { root: root.to_str().unwrap().into(), phases, there, cloexec: CLOEXEC.to_vec() }
}

// ---- as strace would have written it

/// A call in two halves: what is known when it begins, and the rest with the outcome.
fn halves(plan: &Plan, made: &Made) -> (String, String) {
    let looked;
    let call = match plan.phases.get(made.phase).and_then(|phase| phase[made.actor].get(made.act)) {
        Some(Act::Call(call)) => call,
        Some(Act::Thread(_)) => return ("clone(child_stack=NULL, flags=0x10f00".into(), format!(") = {}", made.ret)),
        Some(Act::Fork(VFORKED)) => return ("vfork(".into(), format!(") = {}", made.ret)),
        Some(Act::Fork(_)) => return ("clone(child_stack=NULL, flags=0x1200011".into(), format!(") = {}", made.ret)),
        Some(Act::Exec) => return (r#"execve("/bin/it", ["it"], 0x7ffe0000 /* 2 vars */"#.into(), ") = 0".into()),
        None => {
            looked = look(made.act % SLOTS, made.act >= SLOTS);
            &looked
        }
    };
    let (mut fds, mut first, mut rest) = (made.fds.iter(), format!("{}(", call.name), String::new());
    for (place, arg) in call.args.iter().enumerate() {
        let comma = if place > 0 { ", " } else { "" };
        let text = match arg {
            Arg::Slot(_) => fds.next().unwrap().to_string(),
            Arg::Cwd => "AT_FDCWD".to_owned(),
            Arg::Path(path) => format!("\"{path}\""),
            Arg::Dec(value) => value.to_string(),
            Arg::Oct(value) => format!("0{value:o}"),
            Arg::Hex(value) => format!("{value:#x}"),
            Arg::Whence(value) => ["SEEK_SET", "SEEK_CUR", "SEEK_END"][*value as usize].to_owned(),
            Arg::Buffer => "\"\"...".to_owned(),
            Arg::Stat if made.ret < 0 => "0x7ffe0000".to_owned(),
            Arg::Stat => format!("{{st_mode=0{:o}, st_size={}, ...}}", made.st_mode, made.st_size),
        };
        let part = if rest.is_empty() && !matches!(arg, Arg::Buffer | Arg::Stat) { &mut first } else { &mut rest };
        write!(part, "{comma}{text}").unwrap();
    }
    match made.ret {
        ret if ret < 0 => write!(rest, ") = -1 {} (...)", super::errno_name(-ret as i32)).unwrap(),
        ret => write!(rest, ") = {ret}").unwrap(),
    }
    (first, rest)
}

/// What strace would have written: a line where a call is entered and one where it returns, or one for both when nothing
/// came between.
fn trace(plan: &Plan, made: &[Made]) -> String {
    let mut lines: Vec<(u64, String)> = Vec::new();
    let stamp = |at: u64| format!("{}.{:06}", 1_700_000_000 + at * 3 / 1_000_000, at * 3 % 1_000_000);
    let (mut ends, mut known) = (Vec::new(), BTreeSet::new());
    for call in made {
        let (first, rest) = halves(plan, call);
        let (tid, begin, took) = (call.tid, stamp(call.begin), (call.end - call.begin) * 3);
        // The harness runs a test in a thread of its own.
        if known.insert(tid) && tid != call.pid && !made.iter().any(|other| other.ret == i64::from(tid)) {
            lines.push((call.begin, format!("{} {begin} clone(child_stack=NULL, flags=0x10f00) = {tid} <0.000001>", call.pid)));
        }
        if call.end == call.begin + 1 {
            lines.push((call.begin, format!("{tid} {begin} {first}{rest} <0.{took:06}>")));
        } else {
            let name = first.split('(').next().unwrap();
            lines.push((call.begin, format!("{tid} {begin} {first} <unfinished ...>")));
            lines.push((call.end, format!("{tid} {} <... {name} resumed>{rest} <0.{took:06}>", stamp(call.end))));
        }
        if !ends.contains(&call.pid) {
            ends.push(call.pid);
        }
    }
    lines.sort_by_key(|(at, _)| *at);
    let last = lines.last().map_or(0, |(at, _)| *at);
    let mut text: String = lines.into_iter().map(|(_, line)| line + "\n").collect();
    for (at, pid) in ends.iter().rev().enumerate() {
        let at = stamp(last + 1 + at as u64);
        write!(text, "{pid} {at} exit_group(0) = ?\n{pid} {at} +++ exited with 0 +++\n").unwrap();
    }
    text
}

/// What ingest makes of a trace: its events in the order of their effects.
fn ingested(text: &str, place: &Path) -> Vec<Event> {
    let (input, out) = (place.join("a.strace"), place.join("capture"));
    fs::write(&input, text).unwrap();
    let _ = fs::remove_dir_all(&out);
    let options = ingest::Options { threads: 1, ..ingest::Options::new(vec![Input::parse(&input)], &out) };
    let summary = ingest::run(&options, &Progress::default()).unwrap();
    assert_eq!(summary.ledger.rejects, 0, "{summary}\n{text}");
    let columns: Vec<&str> = Col::ALL.iter().map(|col| col.name()).chain(Text::ALL.iter().map(|text| text.name())).collect();
    let columns = [&["syscall"], &columns[..]].concat();
    let mut events = Vec::new();
    for batch in read::batches(&out.join("events.parquet"), &columns).unwrap() {
        let batch = batch.unwrap();
        let names = read::texts(&batch, "syscall").unwrap();
        for row in 0..batch.num_rows() {
            let mut event = Event::new(Syscall::parse(names.value(row).as_bytes()).unwrap());
            for col in Col::ALL {
                event.put(*col, read::int(read::ints(&batch, col.name()).unwrap(), row));
            }
            for text in Text::ALL {
                if let Some(bytes) = read::bytes(read::texts(&batch, text.name()).unwrap(), row) {
                    event.set_text(*text, bytes);
                }
            }
            events.push(event);
        }
    }
    events
}

// ---- the model

/// Feeds the model; says what it did not know.
fn walk(events: &[Event]) -> Result<End, String> {
    let mut model = Model::new(Config::default());
    let mut rows = Rows::default();
    for event in events {
        rows.clear();
        model.step(event, &mut rows);
        let said = || super::show(event);
        for row in &rows.list {
            let inserted = row.args.as_ref().map(|event| super::show(event));
            if row.step.origin == Origin::External {
                return Err(format!("{} before {}", inserted.unwrap_or_default(), said()));
            }
        }
        let step = &rows.list.last().unwrap().step;
        match event.syscall {
            _ if step.fate == Fate::Drop => return Err(format!("{:?} of {}", step.reason, said())),
            // What is closed must be known to be. (A write to what is open for reading gives EBADF too.)
            Syscall::lseek | Syscall::fstat if event.failure() == Some(libc::EBADF) && step.ofd.is_some() => {
                return Err(format!("{} is open", said()));
            }
            Syscall::lseek if event.success().is_some() && step.offset != event.success() => {
                return Err(format!("{:?}: {}", step.offset, said()));
            }
            _ => {}
        }
    }
    rows.clear();
    Ok(model.finish(&mut rows))
}

fn make_tree(root: &Path) {
    fs::create_dir_all(root).unwrap();
    populate(root);
    for room in ["room0", "room1"] {
        fs::write(root.join(room), vec![b'x'; 256 * 1024]).unwrap();
    }
}

fn against_the_kernel(story: &Story) {
    let scratch = tempfile::tempdir().unwrap();
    let (world, before) = (scratch.path().join("world"), scratch.path().join("before"));
    [&world, &before].iter().for_each(|top| make_tree(&top.join("1/2/3")));
    let plan = plan(story, &world.join("1/2/3"));
    let made = program::run(&plan, scratch.path());
    let text = trace(&plan, &made);
    let events = ingested(&text, scratch.path());
    match std::panic::catch_unwind(|| {
        let end = walk(&events).unwrap_or_else(|wrong| panic!("{wrong}"));
        check_needs(&end, &world, &before);
        check_end(&end, &world);
    }) {
        Ok(()) => {}
        Err(_) => panic!("{}", text.replace(world.to_str().unwrap(), "/W")),
    }
}

/// What once came out in the wrong order, as strace has written it: calls without overlap around it, of two threads.
fn comes_right(calls: &[&str], repairs: &[&str]) {
    let place = tempfile::tempdir().unwrap();
    let mut text = String::from("100 1700000000.000000 clone(child_stack=NULL, flags=0x10f00) = 101 <0.000001>\n");
    for (at, call) in calls.iter().enumerate() {
        let (tid, call) = call.split_once(' ').unwrap();
        writeln!(text, "{tid} 1700000000.{:06} {call} <0.000001>", 10 * at + 10).unwrap();
    }
    let text = text.replace("<unfinished ...> <0.000001>", "<unfinished ...>");
    walk(&ingested(&text, place.path())).unwrap_or_else(|wrong| panic!("{wrong}\n{text}"));
    let manifest = fs::read_to_string(place.path().join("capture/manifest.json")).unwrap();
    repairs.iter().for_each(|repair| assert!(manifest.contains(repair), "{repair}: {manifest}"));
}

#[test]
fn who_lost_a_race_comes_after_who_won() {
    comes_right(
        &[
            r#"100 newfstatat(AT_FDCWD, "/d/n", {st_mode=0100644, st_size=0, ...}, 0) = 0"#,
            r#"101 unlinkat(AT_FDCWD, "/d/n", 0 <unfinished ...>"#,
            r#"100 unlinkat(AT_FDCWD, "/d/n", 0) = 0"#,
            r#"101 <... unlinkat resumed>) = -1 ENOENT (No such file or directory)"#,
        ],
        &["name_late"],
    );
}

/// The create stands last, as it counts at its return; the group of what overlaps it begins at its entry.
#[test]
fn a_create_that_returns_late_is_before_those_that_met_it() {
    comes_right(
        &[
            r#"100 newfstatat(AT_FDCWD, "/d/n", 0x7ffe0000, 0) = -1 ENOENT (No such file or directory)"#,
            r#"100 openat(AT_FDCWD, "/d/n", O_RDWR|O_CREAT|O_EXCL, 0644 <unfinished ...>"#,
            r#"101 mkdirat(AT_FDCWD, "/d/n", 0755) = -1 EEXIST (File exists)"#,
            r#"101 newfstatat(AT_FDCWD, "/d/m", 0x7ffe0000, 0) = -1 ENOENT (No such file or directory)"#,
            r#"101 newfstatat(AT_FDCWD, "/d/m", 0x7ffe0000, 0) = -1 ENOENT (No such file or directory)"#,
            r#"100 <... openat resumed>) = 3"#,
        ],
        &["name_made"],
    );
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 300, ..cases("IORIOT_MODEL_PROGRAMS", 60, 5) })]

    #[test]
    fn it_keeps_the_books_of_threads_and_processes(story in story()) {
        against_the_kernel(&story);
    }
}
