//! Captured owners and modification times: init sets them, and --reset does so again.

use crate::skip::{Need, skip};
use crate::tool::{data, expect, root};
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// Lines as `strace -v -ttt -T` wrote them, with the inodes and times that this test does not look at cut out.
const TRACE: &str = r#"
7 1795419245.034348 newfstatat(AT_FDCWD, "/srv/d", {st_mode=S_IFDIR|0755, st_size=4096, st_atime=1577934245 /* 2020-01-02T03:04:05.987654321+0000 */, st_atime_nsec=987654321, st_mtime=1577934245 /* 2020-01-02T03:04:05.987654321+0000 */, st_mtime_nsec=987654321, st_ctime=1795419244 /* 2026-11-23T07:34:04.527920129+0000 */, st_ctime_nsec=527920129}, 0) = 0 <0.000092>
7 1795419245.034480 newfstatat(AT_FDCWD, "/srv/d/link", {st_mode=S_IFLNK|0777, st_size=4, st_atime=1, st_atime_nsec=5, st_mtime=1614834367 /* 2021-03-04T05:06:07.123456789+0000 */, st_mtime_nsec=123456789, st_ctime=1795419244, st_ctime_nsec=523920129}, AT_SYMLINK_NOFOLLOW) = 0 <0.000010>
7 1795419245.034490 readlink("/srv/d/link", "read", 4096) = 4 <0.000010>
7 1795419245.034524 openat(AT_FDCWD, "/srv/d/read", O_RDONLY|O_CLOEXEC) = 3 <0.000011>
7 1795419245.034556 newfstatat(3, "", {st_mode=S_IFREG|0644, st_size=6, st_mtime=1577934246 /* 2020-01-02T03:04:06+0000 */, st_mtime_nsec=0, st_ctime=1795419244, st_ctime_nsec=527920129}, AT_EMPTY_PATH) = 0 <0.000008>
7 1795419245.034595 read(3, "hello\n", 6) = 6 <0.000013>
7 1795419245.034629 close(3) = 0 <0.000008>
7 1795419245.034655 openat(AT_FDCWD, "/srv/d/written", O_RDWR|O_CLOEXEC) = 3 <0.000010>
7 1795419245.034689 fstat(3, {st_mode=S_IFREG|0644, st_size=6, st_mtime=-1 /* 1969-12-31T23:59:59.999999999+0000 */, st_mtime_nsec=999999999, st_ctime=1795419244, st_ctime_nsec=527920129}) = 0 <0.000008>
7 1795419245.034731 write(3, "xxxxxx", 6) = 6 <0.000010>
7 1795419245.034750 fstat(3, {st_mode=S_IFREG|0644, st_size=6, st_mtime=1795419245 /* 2026-11-23T07:34:05.034731+0000 */, st_mtime_nsec=34731000}) = 0 <0.000008>
7 1795419245.034761 close(3) = 0 <0.000008>
7 1795419245.034770 utimensat(AT_FDCWD, "/srv/d/set", [{tv_sec=5, tv_nsec=6}, {tv_sec=7, tv_nsec=8}], 0) = 0 <0.000008>
7 1795419245.034780 stat("/srv/d/set", {st_mode=S_IFREG|0644, st_size=6, st_mtime=7 /* 1970-01-01T00:00:07.000000008+0000 */, st_mtime_nsec=8}) = 0 <0.000008>
7 1795419245.034787 openat(AT_FDCWD, "/srv/d/new", O_WRONLY|O_CREAT|O_CLOEXEC, 0777) = 3 <0.000101>
7 1795419245.034909 close(3) = 0 <0.000009>
"#;

/// What was captured of each entry before anything changed it, ns since 1970.
const CAPTURED: [(&str, i64); 4] = [
    ("srv/d", 1_577_934_245_987_654_321),
    ("srv/d/link", 1_614_834_367_123_456_789),
    ("srv/d/read", 1_577_934_246_000_000_000),
    ("srv/d/written", -1),
];

fn modified(path: &Path) -> i64 {
    let meta = fs::symlink_metadata(path).unwrap();
    meta.mtime() * 1_000_000_000 + meta.mtime_nsec()
}

#[test]
fn captured_modification_times_are_set_and_set_again() {
    let dir = tempfile::tempdir().unwrap();
    let place = |name: &str| dir.path().join(name).display().to_string();
    fs::write(place("t.strace"), TRACE.trim_start()).unwrap();
    expect(0, &["ingest", &place("t.strace"), "--strict", "-o", &place("cap")]);
    expect(0, &["generate", &place("cap"), "-o", &place("work")]);
    let tree = dir.path().join("work.root/tree");
    let check = |when: &str| {
        for (path, time) in CAPTURED {
            assert_eq!(modified(&tree.join(path)), time, "{path} {when}");
        }
    };
    expect(0, &["init", &place("work")]);
    check("after init");
    assert!(modified(&tree.join("srv/d/set")) > 1_600_000_000_000_000_000, "what the workload sets, init does not");

    expect(0, &["replay", &place("work"), "-o", &place("run")]);
    assert_eq!(modified(&tree.join("srv/d/read")), CAPTURED[2].1, "a read changes no time");
    assert_eq!(modified(&tree.join("srv/d/set")), 7_000_000_008);
    for changed in ["srv/d", "srv/d/written"] {
        assert!(modified(&tree.join(changed)) > 1_600_000_000_000_000_000, "{changed}");
    }

    expect(0, &["init", &place("work"), "--reset"]);
    check("after --reset");
    assert!(modified(&tree.join("srv/d/set")) > 1_600_000_000_000_000_000 && !tree.join("srv/d/new").exists());
    expect(0, &["replay", &place("work"), "-o", &place("run2")]);
}

/// Owner, group and modification time of a file of a tree.
fn facts(root: &Path, path: &str) -> (u32, u32, i64, i64) {
    let meta = fs::symlink_metadata(root.join("tree/srv/owned").join(path)).unwrap();
    (meta.uid(), meta.gid(), meta.mtime(), meta.mtime_nsec())
}

/// What `strace -v` tells of owners and times is in the tree, also where a replay has changed it and it was reset.
#[test]
fn captured_owners_and_times_are_those_of_the_tree() {
    if !root() {
        return skip(Need::Root, "files of other owners");
    }
    let scratch = tempfile::tempdir().unwrap();
    let place = |name: &str| scratch.path().join(name).to_str().unwrap().to_owned();
    let (capture, work, tree) = (place("capture"), place("work"), place("root"));
    expect(0, &["ingest", &data("owners.strace.gz"), "-o", &capture]);
    expect(0, &["generate", &capture, "-o", &work]);
    let then = (1_600_000_000, 123_456_789);
    let check = || {
        for name in ["f", "g", "l"] {
            assert_eq!(facts(Path::new(&tree), name), (1234, 567, then.0, then.1), "{name}");
        }
        assert_eq!(facts(Path::new(&tree), "h"), (0, 0, then.0, then.1));
        assert_eq!(facts(Path::new(&tree), "d"), (1234, 567, 1_546_398_245, 0));
    };
    expect(0, &["init", &work, "--root", &tree]);
    check();
    expect(0, &["replay", &work, "--root", &tree, "-o", &place("run")]);
    assert_eq!(facts(Path::new(&tree), "h"), (1, 1, then.0, then.1), "the chown was issued");
    assert_ne!(facts(Path::new(&tree), "g").2, then.0, "it was appended to");
    expect(0, &["init", &work, "--root", &tree, "--reset"]);
    check();
}
