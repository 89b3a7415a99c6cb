//! Captures that want out of their root, each as root and as a user without rights. After each the world outside is what it
//! was, to the inode and the nanosecond; after a reset and a clean of what the attack left, too.

mod rings;

use super::witness::{Look, look, same};
use super::work::{Row, Work, op};
use crate::skip::{Need, skip};
use crate::tool::copy_program;
use ioriot::init::{self, Map};
use ioriot::progress::Progress;
use ioriot::replay::{self, Options};
use libc::*;
use serde_json::json;
use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Where an attack happens.
struct Scene {
    work: Work,
    /// Path of the witness, as the capture knows it.
    host: String,
    maps: Vec<Map>,
}

/// Builds the workload of an attack.
type Attack = fn(&mut Scene);

const ATTACKS: &[(&str, Attack)] = &[
    ("dot-dot chains", dots),
    ("symlinks out", links_out),
    ("a symlink swapped between ops", swapped),
    ("the root's own directories renamed", own_directories),
    ("hard links", hard_links),
    ("device nodes", devices),
    ("setuid bits", setuid),
    ("a mapped directory in another", mapped),
    ("a path of 4096 bytes", long_path),
    ("40 nested symlinks", nested_links),
    ("/proc/self/root", proc_root),
    ("fchdir out", fchdir_out),
    ("a directory moved away under its descriptor", moved_directory),
    ("attributes by symlink", attributes),
    ("temporary files and exchanges", exchanges),
    ("requests through a ring", rings),
];

impl Scene {
    fn new() -> Scene {
        let mut work = Work::new();
        // Whatever the attack expects, it is how it ends outside that counts.
        work.manifest.insert("mounts".into(), json!([{ "path": "/", "fs": "ext4" }, { "path": "/mounted", "fs": "ext4" }]));
        work.need("/d", "dir", 0).need("/d/f", "file", 10).need("/mounted/f", "file", 10);
        let host = work.place("witness").display().to_string();
        Scene { work, host, maps: Vec::new() }
    }

    /// Every destructive call on a path.
    fn destroy(&mut self, path: &str) {
        let target = |name: &str| op(name, -2).raw(path);
        self.work
            .op(target("open").flags(O_RDWR | O_TRUNC))
            .op(target("open").flags(O_RDWR | O_CREAT).set("mode", 0o4777))
            .op(target("creat").set("mode", 0o600))
            .op(target("truncate").count(0))
            .op(target("chmod").set("mode", 0o777))
            .op(target("chown").set("uid", 1).set("gid", 1))
            .op(target("utimensat").set("atime", 1).set("mtime", 1).flags(0))
            .op(target("setxattr").set("name", "user.evil").count(1).flags(0))
            .op(target("unlink"))
            .op(target("rmdir"))
            .op(target("rename").raw2("/d/stolen"))
            .op(op("rename", -2).raw("/d/f").raw2(path))
            .op(target("link").raw2("/d/stolen"))
            .op(op("symlink", -2).raw(path).raw2("/d"))
            .op(target("mkdir").set("mode", 0o777))
            .op(target("mknod").set("mode", S_IFIFO | 0o666));
    }

    fn link(&mut self, path: &str, target: &str) {
        self.work.op(op("symlink", 0).raw(path).raw2(target));
    }
}

fn dots(scene: &mut Scene) {
    let host = scene.host.clone();
    for path in [format!("/{}{host}/file", "../".repeat(60)), format!("/d/{}{}/file", "../".repeat(300), &host[1..])] {
        scene.destroy(&path);
    }
    scene.work.op(op("chdir", 0).raw("/d"));
    scene.destroy("../../../../../../witness/file");
    scene.work.op(op("open", 3).raw("/").flags(O_RDONLY | O_DIRECTORY).ofd(0));
    for path in [format!("{}{host}/file", "../".repeat(20)), format!("..{host}/file"), "../witness/file".into()] {
        scene.work.op(op("openat", -2).set("dir", 0).set("dirfd", 3).raw(&path).flags(O_RDWR | O_TRUNC));
        scene.work.op(op("unlinkat", -2).set("dir", 0).set("dirfd", 3).raw(&path).flags(0));
        scene.work.op(op("openat2", -2).set("dir", 0).set("dirfd", 3).raw(&path).flags(O_RDWR | O_TRUNC));
    }
}

/// Everything that a ring could do past the filter: what takes a path is a call, whatever the program did, and the rest acts on
/// what was opened inside.
fn rings(scene: &mut Scene) {
    let host = scene.host.clone();
    let asked = |row: Row, call: &str| row.set("syscall", call).set("ring", 0).set("reaped", 0);
    scene.link("/d/out", &host);
    scene.work.op(op("open", 3).raw("/d/f").flags(O_RDWR).ofd(0));
    for path in [format!("{host}/file"), format!("/{}{host}/file", "../".repeat(60)), "/d/out/file".into(), "/d/out".into()] {
        let row = |name: &str| op(name, -2).raw(&path);
        scene
            .work
            .op(asked(row("openat").flags(O_RDWR | O_TRUNC).ofd(1), "uring_openat"))
            .op(asked(row("openat2").flags(O_RDWR | O_CREAT).set("mode", 0o4777).ofd(1), "uring_openat2"))
            .op(asked(op("pwrite64", 10).ofd(1).count(10).set("offset", 0), "uring_write"))
            .op(asked(op("pwrite64", 10).ofd(1).count(10).set("offset", 0), "aio_pwrite"))
            .op(asked(op("pwrite64", 10).ofd(0).count(10).set("offset", 0).raw(&path), "uring_write"))
            .op(asked(op("fallocate", 0).ofd(1).count(10).set("offset", 0).flags(0), "uring_fallocate"))
            .op(asked(op("ftruncate", 0).ofd(1).count(0), "uring_ftruncate"))
            .op(asked(row("unlinkat").flags(0), "uring_unlinkat"))
            .op(asked(row("renameat2").raw2("/d/stolen").flags(0), "uring_renameat"))
            .op(asked(op("renameat2", -2).raw("/d/f").raw2(&path).flags(0), "uring_renameat"))
            .op(asked(row("linkat").raw2("/d/stolen").flags(AT_SYMLINK_FOLLOW), "uring_linkat"))
            .op(asked(row("mkdirat").set("mode", 0o777), "uring_mkdirat"))
            .op(asked(op("symlinkat", -2).raw(&path).raw2("/d"), "uring_symlinkat"))
            .op(asked(op("close", 0).ofd(1), "uring_close"))
            // A path from the ring of the program, by a call that was no request, and the other way round.
            .op(asked(row("truncate").count(0), "uring_read"))
            .op(asked(row("chmod").set("mode", 0o777), "aio_fsync"));
    }
}

fn links_out(scene: &mut Scene) {
    let host = scene.host.clone();
    for (at, target) in
        [host.clone(), format!("../../../../../../../../..{host}"), "../../witness".into(), "/".into()].iter().enumerate()
    {
        let link = format!("/d/l{at}");
        scene.link(&link, target);
        for tail in ["/file", "/new", "", &format!("{host}/file")] {
            scene.destroy(&format!("{link}{tail}"));
            scene.link(&link, target);
        }
    }
    // Also those that were there before.
    let row = Row::default().set("path", "/old").set("kind", "link").set("size", 0).set("size_exact", true);
    scene.work.fileset.push(row.set("target", host));
    scene.destroy("/old/file");
}

fn swapped(scene: &mut Scene) {
    let host = scene.host.clone();
    scene.work.op(op("mkdir", 0).raw("/swap").set("mode", 0o755)).op(op("mkdir", 0).raw("/swap/dir").set("mode", 0o755));
    for at in 0..40 {
        let lane = at % 2;
        scene.work.op(op("mkdir", 0).raw("/x").set("mode", 0o755).lane(lane));
        scene.work.op(op("rename", 0).raw("/x").raw2("/y").lane(1 - lane));
        scene.work.op(op("symlink", 0).raw("/x").raw2(&host).lane(lane));
        scene.work.op(op("open", -2).raw("/x/file").flags(O_RDWR | O_TRUNC).lane(1 - lane));
        scene.work.op(op("unlink", -2).raw("/x/file").lane(lane));
        scene.work.op(op("chdir", -2).raw("/x").lane(lane));
        scene.work.op(op("unlink", 0).raw("/x").lane(1 - lane)).op(op("rmdir", 0).raw("/y").lane(lane));
    }
    scene.destroy("/x/file");
    // What stands for a directory of the tree afterwards must not lead the reset astray.
    scene.work.op(op("rename", 0).raw("/d").raw2("/away"));
    scene.link("/d", &host);
}

fn own_directories(scene: &mut Scene) {
    for (from, to) in
        [("/", "/d/root"), ("/d", "/"), ("/..", "/d/up"), ("/d", "/d/d"), ("/.", "/x"), ("/mounted", "/m2"), ("/d", "/mounted/d")]
    {
        scene.work.op(op("rename", -16).raw(from).raw2(to));
        scene.work.op(op("renameat2", -16).raw(from).raw2(to).flags(2));
    }
    for path in ["/", "/..", "/.", "/mounted", "/../tree", "/../.ioriot-root.json", "../.ioriot-root.json"] {
        scene.work.op(op("rmdir", -16).raw(path)).op(op("unlink", -16).raw(path));
        scene.work.op(op("chmod", 0).raw(path).set("mode", 0)).op(op("chown", 0).raw(path).set("uid", 7).set("gid", 7));
    }
}

fn hard_links(scene: &mut Scene) {
    let host = scene.host.clone();
    for (from, to) in [(format!("{host}/file"), "/d/hard".into()), ("/d/f".into(), format!("{host}/hard"))] {
        scene.work.op(op("link", -2).raw(&from).raw2(&to));
        scene.work.op(op("linkat", -2).raw(&from).raw2(&to).flags(AT_SYMLINK_FOLLOW));
    }
    scene.work.op(op("open", 3).raw("/d/f").flags(O_RDWR).ofd(0));
    let by_fd = op("linkat", 0).set("dir", 0).set("dirfd", 3).raw2(format!("{host}/hard"));
    scene.work.op(by_fd.clone().raw("").flags(AT_EMPTY_PATH)).op(by_fd.raw("/proc/self/fd/3").flags(AT_SYMLINK_FOLLOW));
    scene.work.op(op("link", -18).raw("/d/f").raw2("/mounted/hard"));
}

fn devices(scene: &mut Scene) {
    for mode in [S_IFCHR | 0o666, S_IFBLK | 0o666] {
        for path in ["/null", "/d/disk", "/dev/sda"] {
            scene.work.op(op("mknod", 0).raw(path).set("mode", mode));
            scene.work.op(op("mknodat", 0).raw(path).set("mode", mode));
            scene.work.op(op("open", 3).raw(path).flags(O_RDWR).ofd(0)).op(op("write", 10).ofd(0).count(10));
        }
    }
    scene.work.op(op("mknod", 0).raw("/socket").set("mode", S_IFSOCK | 0o666));
}

fn setuid(scene: &mut Scene) {
    let host = scene.host.clone();
    scene.work.op(op("open", 3).raw("/shell").flags(O_CREAT | O_WRONLY).set("mode", 0o6755).ofd(0));
    scene.work.op(op("fchmod", 0).ofd(0).set("mode", 0o6777)).op(op("fchown", 0).ofd(0).set("uid", 0).set("gid", 0));
    scene.work.op(op("chmod", 0).raw("/shell").set("mode", 0o6777));
    scene.work.op(op("setxattr", -1).raw("/shell").set("name", "security.capability").count(20).flags(0));
    scene.work.op(op("chmod", 0).raw("/").set("mode", 0o4777));
    scene.link("/d/out", &format!("{host}/file"));
    scene.work.op(op("chmod", -2).raw("/d/out").set("mode", 0o4755));
}

fn mapped(scene: &mut Scene) {
    let target = scene.work.place("target");
    scene.maps = vec![Map { captured: "/d/in".into(), target: target.clone() }, Map { captured: "/d/in/deeper".into(), target }];
    scene.work.need("/d/in/dir/f", "file", 1).need("/d/in/deeper/dir/f", "file", 1);
    scene.work.op(op("open", 3).raw("/d/in/deeper/dir").flags(O_RDONLY | O_DIRECTORY).ofd(0));
    scene.work.op(op("rename", -18).raw("/d/in/deeper/dir").raw2("/d/in/dir/d"));
    scene.work.op(op("rename", 0).raw("/d").raw2("/e"));
    scene.work.op(op("rename", -16).raw("/e/in/deeper").raw2("/e/in/x"));
    for path in ["../../neighbour", "../../../neighbour", "../../../../neighbour", "../../root.d-in/tree", "../../../root.d-in"] {
        scene.work.op(op("openat", -2).set("dir", 0).set("dirfd", 3).raw(path).flags(O_RDWR | O_TRUNC));
        scene.work.op(op("unlinkat", -2).set("dir", 0).set("dirfd", 3).raw(path).flags(0));
        scene.work.op(op("renameat", -2).set("dir", 0).set("dirfd", 3).raw("f").raw2(path));
    }
    for path in ["/e/in/../neighbour", "/e/in/deeper/../../neighbour", "/e/in/../.ioriot-root.json"] {
        scene.destroy(path);
    }
    scene.link("/e/in/deeper/up", "../../../../neighbour");
    scene.destroy("/e/in/deeper/up");
}

fn long_path(scene: &mut Scene) {
    let host = scene.host.clone();
    let tail = format!("{host}/file");
    for length in [4094, 4095, 4096, 4097, 9000] {
        let mut path = "/..".repeat((length - tail.len()) / 3);
        path = "/".repeat(length - tail.len() - path.len()) + &path + &tail;
        assert_eq!(path.len(), length);
        scene.destroy(&path);
        scene.link(&format!("/d/long{length}"), &path);
        scene.destroy(&format!("/d/long{length}"));
    }
    scene.destroy(&format!("/d/{}", "n".repeat(256)));
    // Deeper than any path is long: by descriptors.
    scene.work.op(op("open", 3).raw("/d").flags(O_RDONLY | O_DIRECTORY).ofd(0));
    for ofd in 0..20 {
        let name = "deep".repeat(63);
        scene.work.op(op("mkdirat", 0).set("dir", ofd).set("dirfd", 3).raw(&name).set("mode", 0o755));
        scene.work.op(op("openat", 3).set("dir", ofd).set("dirfd", 3).raw(&name).flags(O_RDONLY | O_DIRECTORY).ofd(ofd + 1));
    }
    scene.work.op(op("unlinkat", -2).set("dir", 20).set("dirfd", 3).raw("../".repeat(60) + &tail[1..]).flags(0));
}

fn nested_links(scene: &mut Scene) {
    let host = scene.host.clone();
    scene.link("/l0", &host);
    for at in 1..=41 {
        scene.link(&format!("/l{at}"), &format!("l{}", at - 1));
    }
    for at in [1, 38, 39, 40, 41] {
        scene.destroy(&format!("/l{at}/file"));
    }
    scene.link("/d/loop", "loop");
    scene.destroy("/d/loop");
}

fn proc_root(scene: &mut Scene) {
    let host = scene.host.clone();
    let row = Row::default().set("path", "/proc/self/root").set("kind", "link").set("size", 0).set("size_exact", true);
    scene.work.fileset.push(row.set("target", "/"));
    scene.work.need("/proc/1/root", "dir", 0);
    for path in
        ["/proc/self/root", "/proc/1/root", "/proc/self/cwd", "/proc/self/fd/3", "/proc/thread-self/root", "/proc/self/fd/5"]
    {
        scene.destroy(&format!("{path}{host}/file"));
        scene.destroy(path);
        scene.work.op(op("chdir", 0).raw(path));
        scene.destroy(&format!("..{host}/file"));
    }
    scene.destroy("/proc/sys/vm/drop_caches");
    scene.destroy("/sys/power/state");
}

fn fchdir_out(scene: &mut Scene) {
    let host = scene.host.clone();
    scene.work.op(op("open", 3).raw("/").flags(O_RDONLY | O_DIRECTORY).ofd(0));
    scene.work.op(op("open", 4).raw("/d").flags(O_PATH | O_DIRECTORY).ofd(1));
    for ofd in [0, 1] {
        scene.work.op(op("fchdir", 0).ofd(ofd)).op(op("chdir", 0).raw("..")).op(op("chdir", 0).raw("../../.."));
        scene.destroy(&format!(".{host}/file"));
        scene.destroy("../witness/file");
    }
    scene.work.op(op("rename", 0).raw("/d").raw2("/mounted2")).op(op("rmdir", 0).raw("/mounted2"));
    scene.work.op(op("fchdir", 0).ofd(1)).op(op("chdir", -2).raw("..")).op(op("getcwd", -2).count(4096));
    scene.destroy("../../witness/file");
}

fn moved_directory(scene: &mut Scene) {
    scene.work.op(op("mkdir", 0).raw("/mounted/a").set("mode", 0o755)).op(op("mkdir", 0).raw("/mounted/a/b").set("mode", 0o755));
    scene.work.op(op("open", 3).raw("/mounted/a/b").flags(O_RDONLY | O_DIRECTORY).ofd(0));
    scene.work.op(op("fchdir", 0).ofd(0));
    // The classic way out of a bind mount: move a directory from under it, then go up.
    scene.work.op(op("rename", -18).raw("/mounted/a/b").raw2("/b")).op(op("rename", 0).raw("/mounted/a/b").raw2("/mounted/b"));
    for path in ["../../../witness/file", "../../../../witness/file", "../.ioriot-root.json", "../../.ioriot-root.json"] {
        scene.work.op(op("openat", -2).set("dir", 0).set("dirfd", 3).raw(path).flags(O_RDWR | O_TRUNC));
        scene.work.op(op("unlinkat", -2).set("dir", 0).set("dirfd", 3).raw(path).flags(0));
        scene.destroy(path);
    }
}

fn attributes(scene: &mut Scene) {
    let host = scene.host.clone();
    scene.link("/d/out", &format!("{host}/file"));
    for flags in [0, AT_SYMLINK_NOFOLLOW] {
        scene.work.op(op("utimensat", -2).raw("/d/out").set("atime", 1).set("mtime", 1).flags(flags));
        scene.work.op(op("fchownat", -2).raw("/d/out").set("uid", 1).set("gid", 1).flags(flags));
        scene.work.op(op("fchmodat2", -2).raw("/d/out").set("mode", 0o777).flags(flags));
    }
    for name in ["trusted.evil", "security.evil", "user.evil", "system.posix_acl_access"] {
        scene.work.op(op("setxattr", -2).raw("/d/out").set("name", name).count(8).flags(0));
        scene.work.op(op("lsetxattr", -1).raw("/d/out").set("name", name).count(8).flags(0));
        scene.work.op(op("removexattr", -2).raw("/d/out").set("name", name));
    }
}

fn exchanges(scene: &mut Scene) {
    let host = scene.host.clone();
    scene.link("/out", &host);
    scene.work.op(op("renameat2", 0).raw("/out").raw2("/d").flags(2));
    scene.destroy("/d/file");
    scene.work.op(op("open", 3).raw("/").flags(O_TMPFILE | O_RDWR).set("mode", 0o600).ofd(0));
    scene.work.op(op("linkat", -2).set("dir", 0).set("dirfd", 3).raw("").raw2(format!("{host}/evil")).flags(AT_EMPTY_PATH));
    scene.work.op(op("open", -2).raw(&host).flags(O_TMPFILE | O_RDWR).set("mode", 0o600));
    scene.work.op(op("copy_file_range", -9).ofd(0).set("ofd2", 0).count(10).flags(0));
}

/// What must stay as it is: everything that a call could change, owned by whoever runs the replay.
fn witness(place: &Path) {
    let [dir, target] = ["witness", "target"].map(|name| place.join(name));
    for dir in [&dir, &dir.join("sub"), &target, &target.join("neighbour")] {
        fs::create_dir(dir).unwrap();
    }
    for (name, mode) in [("file", 0o644), ("secret", 0o600), ("setuid", 0o4755), ("sub/file", 0o666)] {
        fs::write(dir.join(name), format!("{name} is untouched")).unwrap();
        fs::set_permissions(dir.join(name), Permissions::from_mode(mode)).unwrap();
    }
    fs::write(target.join("neighbour/file"), "mine").unwrap();
    fs::hard_link(dir.join("file"), dir.join("sub/hard")).unwrap();
    symlink("file", dir.join("link")).unwrap();
    symlink("/etc", dir.join("etc")).unwrap();
}

/// The parts of a scene that ioriot itself makes.
const OURS: &[&str] = &["work", "root", "run"];

fn outside(place: &Path) -> std::collections::BTreeMap<PathBuf, String> {
    let mut seen = look(place, Look::All, OURS);
    // The directory that mapped places are made in changes with them, but nothing that was in it.
    seen.retain(|path, _| {
        path != Path::new("target") && !path.starts_with("target/root.d-in") && !path.starts_with("target/root.d-in-deeper")
    });
    seen
}

/// Runs every attack with this program.
fn run_all(program: &Path) {
    for (name, attack) in ATTACKS {
        let mut scene = Scene::new();
        attack(&mut scene);
        let place = scene.work.dir.path().to_owned();
        witness(&place);
        scene.work.write();
        let before = outside(&place);
        let options = init::Options { maps: scene.maps.clone(), ..scene.work.init_options() };
        let made = init::run(&options, &Progress::default()).unwrap();
        assert!(made.ok(), "{name}: {made}");
        let replayed = Options { min_match: 0.0, ..scene.work.options() };
        let summary = match replay::run_with(&replayed, program, &Progress::default()) {
            Ok(summary) => summary,
            // A system without user namespaces says so, and nothing was replayed.
            Err(error) if format!("{error:#}").contains("no sandbox: the system gives") => return,
            Err(error) => panic!("{name}: {error:#}"),
        };
        assert_eq!(summary.ops as usize, scene.work.ops.len(), "{name}: {summary}");
        same(name, &before, &outside(&place));
        // What the attack left must not lead the reset and the clean astray either.
        match init::reset(&scene.work.init_options(), &Progress::default()) {
            Ok(reset) => assert!(reset.ok(), "{name}: {reset}"),
            Err(error) => panic!("{name}: {error:#}"),
        }
        same(&format!("{name}, reset"), &before, &outside(&place));
        replay::run_with(&Options { out: place.join("run/../run2"), ..replayed }, program, &Progress::default()).unwrap();
        fs::remove_dir_all(place.join("run2")).unwrap();
        for found in init::find(&place.join("root")).unwrap() {
            init::remove(&found).unwrap();
        }
        same(&format!("{name}, cleaned"), &before, &outside(&place));
        assert!(!place.join("root").exists() && fs::read_dir(place.join("target")).unwrap().count() == 1, "{name}");
    }
}

#[test]
fn no_attack_leaves_the_root() {
    run_all(Path::new(env!("CARGO_BIN_EXE_ioriot")));
}

#[test]
fn no_attack_of_a_user_leaves_the_root() {
    if !crate::tool::root() {
        return skip(Need::Root, "nobody else becomes another user; the other test is this one then");
    }
    let dir = tempfile::tempdir().unwrap();
    let place = dir.path();
    let [tests, program] = ["tests", "ioriot"].map(|name| place.join(name));
    copy_program(&std::env::current_exe().unwrap(), &tests);
    copy_program(Path::new(env!("CARGO_BIN_EXE_ioriot")), &program);
    chown(place, Some(65534), Some(65534)).unwrap();
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534", "--clear-groups"])
        .arg(&tests)
        .args(["--ignored", "--exact", "--nocapture", "suite::replay::attacks::as_nobody"])
        .env("IORIOT_TEST_PROGRAM", &program)
        .env("TMPDIR", place)
        .current_dir("/")
        .stdin(Stdio::null())
        .output();
    let Ok(output) = output else { return skip(Need::Setpriv, "setpriv does not run") };
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && text.contains("1 passed"), "{text}");
}

/// Run by the test above, as another user.
#[test]
#[ignore = "run by no_attack_of_a_user_leaves_the_root"]
fn as_nobody() {
    let Some(program) = std::env::var_os("IORIOT_TEST_PROGRAM").map(PathBuf::from) else { return };
    run_all(&program);
}

#[test]
fn calls_that_no_op_is_are_refused() {
    for call in ["mount", "umount2", "pivot_root", "chroot", "setns", "unshare", "open_by_handle_at", "ptrace", "execve", "kill"]
    {
        let mut work = Work::new();
        work.op(op("read", 0).set("op", call));
        work.write();
        work.init().unwrap();
        let program = Path::new(env!("CARGO_BIN_EXE_ioriot"));
        let error = replay::run_with(&work.options(), program, &Progress::default()).unwrap_err();
        assert!(format!("{error:#}").contains(call), "{call}: {error:#}");
        assert!(!work.place("run").exists());
    }
}
