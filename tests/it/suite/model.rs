//! The model against the kernel: random calls are really made in a scratch directory whose content the model does not
//! know. It must need no change from outside to explain them, give the kernel's offsets, predict the kernel's end
//! state, and a tree made of nothing but its needs must give every outcome again.
//!
//! `IORIOT_MODEL_CASES=5000 cargo test --test it model` looks longer.

#![allow(clippy::unwrap_used, reason = "a test may")]

mod facts;
mod hostile;
mod kernel;
mod lines;
mod names;
pub mod order;
mod program;
mod threads;
mod walk;
mod withheld;

use crate::tool::cases;
use ioriot::event::{AT_FDCWD, Col, Event, Text};
use ioriot::fate::{Fate, Origin};
use ioriot::model::{Config, End, Kind, Model, Need, Rows};
use ioriot::syscall::Syscall;
use kernel::{Kernel, Made};
use proptest::prelude::*;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};

/// A call to be made: everything is chosen by small numbers, so that sequences shrink well.
#[derive(Clone, Debug)]
struct Plan {
    actor: usize,
    what: u8,
    one: Vec<u8>,
    two: Vec<u8>,
    fd: usize,
    number: u16,
    choice: u8,
}

fn path() -> impl Strategy<Value = Vec<u8>> {
    let name = prop_oneof![
        4 => Just("a"), 4 => Just("b"), 2 => Just("c"), 4 => Just("d"), 4 => Just("e"), 2 => Just("l"), 1 => Just("m"),
        1 => Just(".."), 1 => Just("."), 1 => Just("n"),
    ];
    (proptest::collection::vec(name, 1..4), 0..12u8).prop_map(|(names, form)| {
        let path = names.join("/");
        match form {
            0..=2 => format!("/ROOT/{path}"),
            3 => format!("{path}/"),
            _ => path,
        }
        .into_bytes()
    })
}

fn plans() -> impl Strategy<Value = Vec<Plan>> {
    let plan = (0..3usize, 0..kernel::CALLS, path(), path(), 0..6usize, 0..300u16, any::<u8>())
        .prop_map(|(actor, what, one, two, fd, number, choice)| Plan { actor, what, one, two, fd, number, choice });
    proptest::collection::vec(plan, 1..60)
}

/// The tree that is there before: files of several sizes, directories, symlinks that lead somewhere, nowhere and round.
pub fn populate(root: &Path) {
    for dir in ["d", "d/e", "d/e/d", "e", "e/empty"] {
        fs::create_dir(root.join(dir)).unwrap();
    }
    for (file, size) in [("a", 100), ("b", 0), ("d/a", 250), ("d/e/b", 7), ("e/c", 40), ("d/e/d/a", 33)] {
        fs::write(root.join(file), vec![b'x'; size]).unwrap();
        fs::set_permissions(root.join(file), fs::Permissions::from_mode(0o644)).unwrap();
    }
    for (link, target) in LINKS {
        symlink(target, root.join(link)).unwrap();
    }
}

const LINKS: [(&str, &str); 5] = [("l", "d"), ("m", "a"), ("d/l", "../e"), ("e/m", "nowhere"), ("d/e/l", "l")];

/// Makes the tree that the model says is needed.
fn make(needs: &[Need], root: &Path) {
    for need in needs {
        let path = Path::new(std::ffi::OsStr::from_bytes(&need.path));
        if path == root || !path.starts_with(root) {
            continue;
        }
        match need.kind {
            Kind::Dir => fs::create_dir(path).unwrap(),
            Kind::File => {
                let file = fs::File::create(path).unwrap();
                file.set_len(need.size as u64).unwrap();
            }
            Kind::Link => symlink(std::ffi::OsStr::from_bytes(need.target.as_ref().unwrap()), path).unwrap(),
            Kind::Absent => assert!(fs::symlink_metadata(path).is_err(), "{path:?} must not exist and does"),
            Kind::Fifo | Kind::Socket => unreachable!("no such call is made"),
        }
    }
}

/// Makes the planned calls; gives them with their outcomes.
fn run(plans: &[Plan], root: &Path) -> Vec<Made> {
    let mut kernel = Kernel::start(root);
    let mut made = Vec::new();
    let mut chdir = Event::new(Syscall::chdir);
    chdir.set_text(Text::Path, root.as_os_str().as_bytes());
    made.push(kernel.call(0, chdir));
    // Symlinks are shown to the model: two names of one file cannot be told from two files by stat alone.
    for (link, _) in LINKS {
        let mut readlink = Event::new(Syscall::readlink);
        readlink.set_text(Text::Path, root.join(link).as_os_str().as_bytes());
        made.push(kernel.call(0, readlink));
    }
    for plan in plans {
        made.extend(kernel.make(plan.actor, plan.what, &plan.one, &plan.two, plan.fd, plan.number, plan.choice));
    }
    made.extend(kernel.finish());
    made
}

/// Feeds the model; checks offsets, and that it needs nobody from outside.
fn walk(made: &[Made]) -> End {
    let mut model = Model::new(Config::default());
    let mut rows = Rows::default();
    for call in made {
        rows.clear();
        model.step(&call.event, &mut rows);
        for row in &rows.list {
            let inserted = row.args.as_ref().map(|event| (event.name(), event.text(Text::Path).map(String::from_utf8_lossy)));
            assert_ne!(row.step.origin, Origin::External, "{inserted:?} before {:?}", show(&call.event));
            assert!(row.args.is_none() || row.step.fate == Fate::Op);
        }
        let last = rows.list.last().unwrap();
        let step = &last.step;
        assert_eq!((step.origin, last.args.is_none()), (Origin::Event, true));
        assert_ne!(step.fate, Fate::Drop, "{:?} of {}", step.reason, show(&call.event));
        if let (Some(offset), Some(kernels)) = (step.offset, call.offset) {
            assert_eq!(offset, kernels, "offset of {}", show(&call.event));
        }
    }
    rows.clear();
    model.finish(&mut rows)
}

fn show(event: &Event) -> String {
    let text = |text| event.text(text).map(|path: &[u8]| String::from_utf8_lossy(path).into_owned()).unwrap_or_default();
    let ints: Vec<String> =
        Col::ALL.iter().filter_map(|col| event.int(*col).map(|value| format!("{}={value}", col.name()))).collect();
    format!("{}({} {}) {}", event.name(), text(Text::Path), text(Text::Path2), ints.join(" "))
}

fn kind(path: &Path) -> Kind {
    match fs::symlink_metadata(path) {
        Err(_) => Kind::Absent,
        Ok(meta) if meta.is_dir() => Kind::Dir,
        Ok(meta) if meta.is_symlink() => Kind::Link,
        Ok(_) => Kind::File,
    }
}

/// Every need is true of the tree as it was.
fn check_needs(end: &End, root: &Path, before: &Path) {
    for need in &end.needs {
        let path = Path::new(std::ffi::OsStr::from_bytes(&need.path));
        let Ok(below) = path.strip_prefix(root) else { continue };
        let real = before.join(below);
        if need.path.ends_with(b"ioriot-keeps-this-directory") {
            continue;
        }
        let was = kind(&real);
        // Something of which no call said what it is, is needed as an empty regular file.
        if (need.kind, need.size, need.size_exact) == (Kind::File, 0, false) && was != Kind::Absent {
            continue;
        }
        assert_eq!(need.kind, was, "kind of {path:?}");
        if was == Kind::File {
            let size = fs::metadata(&real).unwrap().len() as i64;
            assert!(need.size == size || (!need.size_exact && need.size < size), "size of {path:?}: {need:?}, was {size}");
            assert!(need.read.iter().all(|(offset, length)| offset + length <= size));
        }
        if was == Kind::Link {
            assert_eq!(need.target.as_deref(), Some(fs::read_link(&real).unwrap().as_os_str().as_bytes()));
        }
    }
}

/// Everything that the model expects at the end is so.
fn check_end(end: &End, root: &Path) {
    for expect in &end.expects {
        let path = Path::new(std::ffi::OsStr::from_bytes(&expect.path));
        if path == root || !path.starts_with(root) {
            continue;
        }
        if expect.path.ends_with(b"ioriot-keeps-this-directory") {
            continue;
        }
        if (expect.kind, expect.size) == (Kind::File, None) && kind(path) != Kind::Absent {
            continue;
        }
        assert_eq!(expect.kind, kind(path), "kind of {path:?} at the end");
        if let Some(size) = expect.size {
            assert_eq!(size, fs::metadata(path).unwrap().len() as i64, "size of {path:?} at the end");
        }
        if let Some(target) = &expect.target {
            assert_eq!(&target[..], fs::read_link(path).unwrap().as_os_str().as_bytes());
        }
    }
}

/// The name of an error as strace prints it.
pub fn errno_name(errno: i32) -> &'static str {
    const NAMES: [(i32, &str); 18] = [
        (libc::EPERM, "EPERM"),
        (libc::ENOENT, "ENOENT"),
        (libc::ENXIO, "ENXIO"),
        (libc::EBADF, "EBADF"),
        (libc::EAGAIN, "EAGAIN"),
        (libc::EACCES, "EACCES"),
        (libc::EBUSY, "EBUSY"),
        (libc::EEXIST, "EEXIST"),
        (libc::EXDEV, "EXDEV"),
        (libc::ENOTDIR, "ENOTDIR"),
        (libc::EISDIR, "EISDIR"),
        (libc::EINVAL, "EINVAL"),
        (libc::ETXTBSY, "ETXTBSY"),
        (libc::ESPIPE, "ESPIPE"),
        (libc::ENAMETOOLONG, "ENAMETOOLONG"),
        (libc::ENOTEMPTY, "ENOTEMPTY"),
        (libc::ELOOP, "ELOOP"),
        (libc::EOPNOTSUPP, "EOPNOTSUPP"),
    ];
    NAMES.iter().find(|(number, _)| *number == errno).unwrap_or_else(|| panic!("errno {errno}")).1
}

/// The same call with the same outcome?
fn same(one: &Event, two: &Event) -> bool {
    one.syscall == two.syscall && one.int(Col::Ret) == two.int(Col::Ret) && one.int(Col::Errno) == two.int(Col::Errno)
}

fn against_the_kernel(plans: &[Plan]) {
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| -> PathBuf { scratch.path().join(name) };
    // Deep enough that `..` stays inside.
    let (world, before) = (place("world"), place("before"));
    let root = world.join("1/2/3");
    for top in [&world, &before] {
        let root = top.join("1/2/3");
        fs::create_dir_all(&root).unwrap();
        populate(&root);
    }

    let made = run(plans, &root);
    if std::env::var_os("IORIOT_MODEL_SHOW").is_some() {
        made.iter().for_each(|call| eprintln!("{}", show(&call.event)));
        eprintln!("--");
    }
    let end = walk(&made);
    check_needs(&end, &world, &before);
    check_end(&end, &world);

    // A tree of the needs alone gives every outcome again, and ends the same.
    fs::rename(&world, place("done")).unwrap();
    fs::create_dir(&world).unwrap();
    make(&end.needs, &world);
    let again = run(plans, &root);
    for (one, two) in made.iter().zip(&again) {
        assert!(same(&one.event, &two.event), "at replay: {}\nwas: {}", show(&two.event), show(&one.event));
    }
    check_end(&end, &world);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 4000, ..cases("IORIOT_MODEL_CASES", 150, 1) })]

    #[test]
    fn it_keeps_the_same_books_as_the_kernel(plans in plans()) {
        against_the_kernel(&plans);
    }
}

#[test]
fn dirfd_and_cwd_are_constants_of_the_kernel() {
    assert_eq!(AT_FDCWD, i64::from(libc::AT_FDCWD));
}

// ---- what the kernel test cannot show: captures that begin in the middle, annotations, changes from outside

/// An event of one process: columns and texts as given, and the outcome.
fn event(syscall: Syscall, ints: &[(Col, i64)], texts: &[(Text, &str)], outcome: i64) -> Event {
    let mut event = Event::new(syscall);
    event.set(Col::Pid, 1);
    event.set(Col::Tid, 1);
    ints.iter().for_each(|(col, value)| event.set(*col, *value));
    texts.iter().for_each(|(text, value)| event.set_text(*text, value.as_bytes()));
    event.set_outcome(outcome);
    event
}

fn open(path: &str, flags: i64, fd: i64, note: &str) -> Event {
    let texts = [(Text::Path, path), (Text::FdPath, note)];
    event(Syscall::openat, &[(Col::DirFd, AT_FDCWD), (Col::Flags, flags)], &texts[..if note.is_empty() { 1 } else { 2 }], fd)
}

/// Feeds events; gives a word per row (origin, or fate and reason) and the end.
fn words(events: &[Event]) -> (Vec<String>, End) {
    let mut model = Model::new(Config::default());
    let mut rows = Rows::default();
    events.iter().for_each(|event| model.step(event, &mut rows));
    let end = model.finish(&mut rows);
    let word = |row: &ioriot::model::Row| match &row.args {
        Some(event) => format!("{}:{}", row.step.origin.name(), event.name()),
        None => row.step.reason.map_or(row.step.fate.name(), |reason| reason.name()).into(),
    };
    (rows.list.iter().map(word).collect(), end)
}

fn needs(end: &End) -> Vec<String> {
    let path = |need: &Need| String::from_utf8_lossy(&need.path).into_owned();
    end.needs.iter().map(|need| format!("{} {}", need.kind.name(), path(need))).collect()
}

#[test]
fn a_descriptor_open_before_the_capture_is_opened_by_an_inserted_op() {
    let read = event(Syscall::read, &[(Col::Fd, 3), (Col::Count, 10)], &[(Text::FdPath, "/var/log/x")], 10);
    let pipe = event(Syscall::read, &[(Col::Fd, 0), (Col::Count, 10)], &[(Text::FdPath, "pipe:[77]")], 10);
    let lost = event(Syscall::read, &[(Col::Fd, 9), (Col::Count, 10)], &[], 10);
    let (rows, end) = words(&[read, pipe, lost]);
    assert_eq!(rows, ["initial:openat", "op", "pipe", "unknown_fd", "end:close"]);
    assert_eq!(needs(&end), ["dir /var", "dir /var/log", "file /var/log/x"]);
    assert_eq!(end.needs[2].size, 10);
}

#[test]
fn a_linked_directory_is_seen_through_what_is_opened_in_it() {
    let libc = open("/lib/x/libc.so.6", 0, 3, "/usr/lib/x/libc.so.6");
    let zlib = open("/lib/x/libz.so.1", 0, 4, "/usr/lib/x/libz.so.1.2");
    let (_, end) = words(&[libc, zlib]);
    let expected = [
        "link /lib",
        "dir /usr",
        "dir /usr/lib",
        "dir /usr/lib/x",
        "file /usr/lib/x/libc.so.6",
        "link /usr/lib/x/libz.so.1",
        "file /usr/lib/x/libz.so.1.2",
    ];
    assert_eq!(needs(&end), expected);
}

#[test]
fn a_linked_file_that_keeps_its_name_is_no_linked_directory() {
    let alias = open("/usr/share/locale/locale.alias", 0, 3, "/etc/locale.alias");
    let (_, end) = words(&[alias]);
    assert!(needs(&end).contains(&"link /usr/share/locale/locale.alias".to_owned()), "{:?}", needs(&end));
}

#[test]
fn what_is_missed_below_a_descriptor_makes_it_one_of_a_directory() {
    let below = |errno: i32| event(Syscall::openat, &[(Col::DirFd, 3)], &[(Text::Path, "no")], -i64::from(errno));
    let needed = |errno| needs(&words(&[open("/d", 0, 3, ""), below(errno)]).1);
    assert_eq!(needed(libc::ENOENT), ["dir /d", "absent /d/no"]);
    assert_eq!(needed(libc::ENOTDIR), ["file /d"]);
}

#[test]
fn what_contradicts_the_history_was_made_outside() {
    let gone = event(Syscall::stat, &[], &[(Text::Path, "/d/new")], -i64::from(libc::ENOENT));
    let there = event(Syscall::stat, &[(Col::StMode, 0o100644), (Col::StSize, 5)], &[(Text::Path, "/d/new")], 0);
    let (rows, end) = words(&[gone, there]);
    assert_eq!(rows, ["op", "external:mknod", "external:truncate", "op"]);
    assert_eq!(needs(&end), ["dir /d", "absent /d/new"]);
}

/// Of ext4: where a directory ends is no size, and tells that it is one.
#[test]
fn the_end_of_a_directory_is_no_size() {
    let end = event(Syscall::lseek, &[(Col::Fd, 3), (Col::Offset, -10), (Col::Whence, 2)], &[], i64::MAX - 10);
    let (_, end) = words(&[open("/d", 0, 3, ""), end]);
    assert_eq!(needs(&end), ["dir /d"]);
}

#[test]
fn a_number_handed_out_again_proves_a_lost_close() {
    let (rows, _) = words(&[open("/a", 0, 3, ""), open("/b", 0, 3, "")]);
    assert_eq!(rows, ["op", "reuse:close", "op", "end:close"]);
}

#[test]
fn a_child_made_by_vfork_acts_before_its_parent_returns() {
    let mut inherited = event(Syscall::write, &[(Col::Fd, 3), (Col::Count, 4)], &[], 4);
    let mut exec = event(Syscall::execve, &[], &[(Text::Path, "/bin/x")], 0);
    for event in [&mut inherited, &mut exec] {
        event.set(Col::Pid, 2);
        event.set(Col::Tid, 2);
    }
    let cloexec = i64::from(libc::O_WRONLY | libc::O_CREAT | libc::O_EXCL | libc::O_CLOEXEC);
    let vfork = event(Syscall::vfork, &[], &[], 2);
    let exit = event(Syscall::exit_group, &[], &[], 0);
    let (rows, end) = words(&[open("/log", cloexec, 3, ""), vfork, inherited, exec, exit]);
    // The child's copy ends at its exec, silently; the last one with the parent.
    assert_eq!(rows, ["op", "model", "op", "model", "exit:close", "model"]);
    assert_eq!(needs(&end), ["absent /log"]);
    assert_eq!(end.expects.iter().find(|expect| &*expect.path == b"/log").unwrap().size, Some(4));
}

#[test]
fn dot_dot_of_a_removed_directory_is_where_it_was() {
    let path = |syscall, path| event(syscall, &[(Col::Mode, 0o755)], &[(Text::Path, path)], 0);
    let rename = event(Syscall::rename, &[], &[(Text::Path, "/p"), (Text::Path2, "/z")], 0);
    let dirs = ["/p", "/p/q"].map(|dir| path(Syscall::mkdir, dir));
    let inside = [path(Syscall::chdir, "/p/q"), path(Syscall::rmdir, "/p/q"), rename, path(Syscall::mkdir, "../x")];
    let (rows, end) = words(&[&dirs[..], &inside[..]].concat());
    assert_eq!(rows, ["op", "op", "op", "cwd:openat", "op", "op", "op", "end:close"]);
    assert!(end.expects.iter().any(|expect| &*expect.path == b"/z/x" && expect.kind == Kind::Dir));
}

/// Another directory may have the name of a replaced one by then: a replay must not enter that instead.
#[test]
fn a_replaced_working_directory_has_no_name() {
    let path = |syscall, path, outcome| event(syscall, &[(Col::Mode, 0o755)], &[(Text::Path, path)], outcome);
    let rename = event(Syscall::rename, &[], &[(Text::Path, "/e"), (Text::Path2, "/d/z")], 0);
    let made = ["/d", "/d/z", "/e"].map(|dir| path(Syscall::mkdir, dir, 0));
    let inside = [path(Syscall::chdir, "/d/z", 0), rename, path(Syscall::mkdir, "x", -i64::from(libc::ENOENT))];
    let (mut model, mut rows) = (Model::new(Config::default()), Rows::default());
    made.iter().chain(&inside).for_each(|event| model.step(event, &mut rows));
    let kept = rows.list.iter().find(|row| row.step.origin == Origin::Cwd).unwrap().step.ofd;
    let last = &rows.list.last().unwrap().step;
    assert_eq!((last.dir, last.cwd.as_deref()), (kept, None));
}

#[test]
fn a_file_discovered_in_a_renamed_directory_was_under_the_old_name() {
    let rename = event(Syscall::rename, &[], &[(Text::Path, "/old"), (Text::Path2, "/new")], 0);
    let (_, end) = words(&[rename, open("/new/file", 0, 3, "")]);
    assert_eq!(needs(&end), ["dir /old", "file /old/file"]);
    let expects: Vec<_> = end.expects.iter().map(|e| (e.kind, String::from_utf8_lossy(&e.path).into_owned())).collect();
    let expected = [(Kind::Dir, "/new"), (Kind::File, "/new/file"), (Kind::Absent, "/old")];
    assert_eq!(expects, expected.map(|(kind, path)| (kind, path.to_owned())));
}

#[test]
fn whether_a_file_was_there_is_decided_by_what_is_read_from_it() {
    let creat = i64::from(libc::O_RDWR | libc::O_CREAT);
    let read = event(Syscall::read, &[(Col::Fd, 3), (Col::Count, 100)], &[], 7);
    let (_, end) = words(&[open("/f", creat, 3, ""), read]);
    assert_eq!((needs(&end), end.needs[0].size, end.needs[0].size_exact), (vec!["file /f".to_owned()], 7, true));
    let empty = event(Syscall::read, &[(Col::Fd, 3), (Col::Count, 100)], &[], 0);
    let (_, end) = words(&[open("/f", creat, 3, ""), empty]);
    assert!(needs(&end).is_empty());
}

#[test]
fn pseudo_file_systems_are_drops() {
    let read = event(Syscall::read, &[(Col::Fd, 3), (Col::Count, 100)], &[], 7);
    let (rows, end) = words(&[open("/proc/self/stat", 0, 3, ""), read]);
    assert_eq!(rows, ["pseudo_fs", "pseudo_fs"]);
    assert!(needs(&end).is_empty());
}

/// openat2(2) with RESOLVE_IN_ROOT: an absolute path starts at the directory too.
#[test]
fn a_lookup_may_have_a_root_of_its_own() {
    let dir = open("/d", i64::from(libc::O_DIRECTORY), 3, "");
    let inside = |path: &str, fd: i64| {
        let ints = [(Col::DirFd, 3), (Col::Flags, 0), (Col::Resolve, libc::RESOLVE_IN_ROOT as i64)];
        event(Syscall::openat2, &ints, &[(Text::Path, path)], fd)
    };
    let (rows, end) = words(&[dir, inside("/f", 4), inside("//../../sub/g", 5), inside("/..", 6)]);
    assert_eq!(rows[..4], ["op"; 4]);
    assert_eq!(needs(&end), ["dir /d", "file /d/f", "dir /d/sub", "file /d/sub/g"]);
}

/// No capture can say that and be right; the model comes to an end all the same.
#[test]
fn no_directory_is_linked_into_itself() {
    let into = [(Text::Path, "/a"), (Text::Path2, "b"), (Text::Dir2Path, "/a")];
    let around = [(Text::Path, "a"), (Text::Path2, "/l"), (Text::FdPath, ".")];
    let cwd = event(Syscall::getcwd, &[], &[(Text::Path, "/l")], 1);
    for events in [vec![event(Syscall::linkat, &[], &into, 0)], vec![event(Syscall::link, &[], &around, 0), cwd]] {
        let mut model = Model::new(Config::default());
        let mut rows = Rows::default();
        events.iter().for_each(|event| model.step(event, &mut rows));
        let end = model.finish(&mut rows);
        assert!(end.needs.len() + end.expects.len() < 10, "{end:?}");
    }
}
