//! Every verb is issued, with its known result.

use super::work::{Row, Work, op};
use arrow::array::{AsArray, Int64Array, StringArray};
use ioriot::syscall::Op;
use libc::*;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::collections::{BTreeMap, HashSet};
use std::fs;
use std::os::unix::fs::MetadataExt;

const AT: i64 = AT_FDCWD as i64;

fn at(name: &str, outcome: i64, path: &str) -> Row {
    op(name, outcome).set("dirfd", AT).raw(path)
}

/// One of each, most of them twice: working and failing.
fn every_op() -> Work {
    let mut work = Work::new();
    work.need("/d", "dir", 0).need("/d/file", "file", 10_000).need("/d/big", "file", 3 << 20).need("/d/old", "file", 5);
    let (creat, rw) = (O_CREAT | O_RDWR, O_RDWR);
    let rows = [
        op("open", 3).raw("/d/file").flags(rw | O_CLOEXEC).ofd(0),
        op("open", -2).raw("/d/none").flags(O_RDONLY),
        op("read", 100).ofd(0).count(100),
        op("pread64", 4096).ofd(0).count(8192).set("offset", 10_000 - 4096),
        op("readv", 300).ofd(0).count(300).set("iovcnt", 3),
        op("preadv", 100).ofd(0).count(100).set("iovcnt", 2).set("offset", 5),
        op("preadv2", 100).ofd(0).count(100).set("iovcnt", 1).set("offset", 5).flags(0),
        op("lseek", 400).ofd(0).set("offset", 0).set("whence", 1),
        op("lseek", 10_000).ofd(0).set("offset", 0).set("whence", 2),
        op("read", 0).ofd(0).count(10),
        op("read", 0).ofd(0),
        op("read", -9).count(10),
        at("openat", 4, "/d/new").flags(creat | O_EXCL).set("mode", 0o666).ofd(1),
        op("write", 3000).ofd(1).count(3000),
        op("writev", 3000).ofd(1).count(3000).set("iovcnt", 7),
        op("pwrite64", 100).ofd(1).count(100).set("offset", 9000),
        op("pwritev", 100).ofd(1).count(100).set("iovcnt", 2).set("offset", 9100),
        op("pwritev2", 100).ofd(1).count(100).set("iovcnt", 2).set("offset", 9200).flags(0),
        op("write", 5 << 20).ofd(1).count(5 << 20),
        op("pread64", 5 << 20).ofd(1).count(6 << 20).set("offset", 6000),
        op("ftruncate", 0).ofd(1).count(20_000),
        op("fallocate", 0).ofd(1).flags(0).set("offset", 0).count(30_000),
        op("copy_file_range", 1000).ofd(0).set("ofd2", 1).set("offset", 0).set("offset2", 0).count(1000).flags(0),
        op("sendfile", 1000).ofd(0).set("ofd2", 1).set("offset", 0).count(1000),
        op("fsync", 0).ofd(1),
        op("fdatasync", 0).ofd(1),
        op("syncfs", 0).ofd(1),
        op("sync", 0),
        op("sync_file_range", 0).ofd(1).set("offset", 0).count(0),
        op("readahead", 0).ofd(0).set("offset", 0).count(4096),
        op("fadvise64", 0).ofd(0).set("offset", 0).count(0).flags(POSIX_FADV_RANDOM),
        op("mmap", 0x7000_0000).ofd(0).count(4096).set("mode", PROT_READ).flags(MAP_PRIVATE).set("offset", 0),
        op("mmap_fault", 0).ofd(1).count(8192).set("mode", i64::from(PROT_READ | PROT_WRITE)).set("offset", 4096),
        op("madvise", 0).ofd(0).count(4096).set("offset", 0),
        op("msync", 0).ofd(1).count(20_000).flags(MS_SYNC).set("offset", 0),
        op("stat", 0).raw("/d/file"),
        op("lstat", 0).raw("/d/file"),
        op("fstat", 0).ofd(0),
        at("newfstatat", 0, "/d/file").flags(0),
        op("newfstatat", 0).set("dir", 0).set("dirfd", 3).raw("").flags(AT_EMPTY_PATH),
        at("statx", 0, "/d/file").flags(0),
        op("statfs", 0).raw("/"),
        op("fstatfs", 0).ofd(0),
        op("access", 0).raw("/d/file").set("mode", R_OK),
        at("faccessat", 0, "/d/file").set("mode", R_OK),
        at("faccessat2", -2, "/d/none").set("mode", R_OK).flags(AT_EACCESS),
        at("openat", 5, "/d").flags(O_RDONLY | O_DIRECTORY).ofd(2),
        op("getdents64", 120).ofd(2).count(32768),
        op("getdents", 0).ofd(2).count(32768),
        op("openat2", 6).set("dir", 2).set("dirfd", 5).raw("file").flags(O_RDONLY).set("resolve", 8).ofd(3),
        op("openat2", -18).set("dir", 2).set("dirfd", 5).raw("/d/file").flags(O_RDONLY).set("resolve", 8),
        op("creat", 7).raw("/d/creat").set("mode", 0o600).ofd(4),
        op("mkdir", 0).raw("/d/sub").set("mode", 0o755),
        op("mkdir", -17).raw("/d/sub").set("mode", 0o755),
        op("mkdirat", 0).set("dir", 2).set("dirfd", 5).raw("sub2").set("mode", 0o755),
        op("mknod", 0).raw("/d/node").set("mode", S_IFREG | 0o644),
        at("mknodat", 0, "/d/fifo").set("mode", S_IFIFO | 0o644),
        at("openat", -6, "/d/fifo").flags(O_WRONLY),
        op("symlink", 0).raw("/d/link").raw2("file"),
        at("symlinkat", 0, "/d/abs").raw2("/d/file"),
        op("readlink", 4).raw("/d/link").count(4095),
        at("readlinkat", 7, "/d/abs").count(4095),
        op("stat", 0).raw("/d/abs"),
        op("link", 0).raw("/d/file").raw2("/d/hard"),
        at("linkat", 0, "/d/file").set("dirfd2", AT).raw2("/d/hard2").flags(0),
        op("rename", 0).raw("/d/hard").raw2("/d/hard3"),
        at("renameat", 0, "/d/hard3").set("dirfd2", 5).set("dir2", 2).raw2("hard4"),
        at("renameat2", -17, "/d/hard4").set("dirfd2", AT).raw2("/d/hard2").flags(RENAME_NOREPLACE as i32),
        op("truncate", 0).raw("/d/old").count(2),
        op("chmod", 0).raw("/d/old").set("mode", 0o600),
        op("fchmod", 0).ofd(1).set("mode", 0o640),
        at("fchmodat", 0, "/d/old").set("mode", 0o644),
        at("fchmodat2", 0, "/d/old").set("mode", 0o600).flags(0),
        op("chown", 0).raw("/d/old").set("uid", -1).set("gid", -1),
        op("lchown", 0).raw("/d/link").set("uid", -1).set("gid", -1),
        op("fchown", 0).ofd(1).set("uid", -1).set("gid", -1),
        at("fchownat", 0, "/d/old").set("uid", -1).set("gid", -1).flags(0),
        at("utimensat", 0, "/d/old").set("atime", 5_000_000_000_i64).set("mtime", 1_500_000_000_000_000_007_i64),
        op("utimensat", 0).ofd(1),
        op("setxattr", 0).raw("/d/old").set("name", "user.a").count(3).flags(0),
        op("lsetxattr", 0).raw("/d/old").set("name", "user.b").count(3).flags(0),
        op("fsetxattr", 0).ofd(1).set("name", "user.c").count(3).flags(0),
        op("fsetxattr", 0).ofd(1).set("name", "system.posix_acl_access").count(28).flags(0).set("mode", 0o604),
        op("getxattr", 3).raw("/d/old").set("name", "user.a").count(100),
        op("lgetxattr", 3).raw("/d/old").set("name", "user.b").count(0),
        op("fgetxattr", -61).ofd(1).set("name", "user.z").count(100),
        op("listxattr", 14).raw("/d/old").count(100),
        op("llistxattr", 14).raw("/d/old").count(100),
        op("flistxattr", 7).ofd(1).count(100),
        op("removexattr", 0).raw("/d/old").set("name", "user.a"),
        op("lremovexattr", 0).raw("/d/old").set("name", "user.b"),
        op("fremovexattr", 0).ofd(1).set("name", "user.c"),
        op("fcntl", 0).ofd(1).set("cmd", F_SETLKW),
        op("fcntl", 32770).ofd(1).set("cmd", F_GETFL),
        op("flock", 0).ofd(1).set("cmd", LOCK_EX),
        op("ioctl", -25).ofd(1).set("cmd", TCGETS as i64),
        op("ioctl", 0).ofd(1).set("cmd", FIONREAD as i64),
        op("ioctl", 0).ofd(1).set("cmd", 0xc020_660b_i64),
        op("chdir", 0).raw("/d"),
        op("getcwd", 3).set("cwd", "/d").count(4096),
        op("stat", 0).set("cwd", "/d").raw("file"),
        op("fchdir", 0).ofd(2),
        op("unlink", 0).raw("/d/creat"),
        at("unlinkat", 0, "/d/sub").flags(AT_REMOVEDIR),
        op("rmdir", 0).raw("/d/sub2"),
        op("rmdir", -39).raw("/d"),
        op("close", 0).ofd(0),
        op("close", -9),
        op("close", 0).ofd(1),
    ];
    work.ops.extend(rows);
    // What was written, and what sendfile put behind it.
    let size = 6000 + (5 << 20) + 1000;
    work.expect("/d", "dir", None).expect("/d/new", "file", Some(size)).expect("/d/old", "file", Some(2));
    for (path, kind) in [("/d/fifo", "fifo"), ("/d/node", "file"), ("/d/link", "link"), ("/d/abs", "link"), ("/d/hard2", "file")]
    {
        work.expect(path, kind, None);
    }
    work.expect("/d/hard4", "file", Some(10_000)).expect("/d/sub", "absent", None).expect("/d/creat", "absent", None);
    work
}

#[test]
fn every_op_has_its_known_result() {
    let work = every_op();
    let issued: HashSet<Op> = work.ops.iter().map(|row| Op::parse(row.text("op")).unwrap()).collect();
    for op in Op::ALL {
        assert!(!op.issued() || issued.contains(op), "{} is not tested", op.name());
    }
    let summary = work.run(None);
    assert_eq!(summary.different, 0, "{summary}");
    assert_eq!(summary.uncompared, 0, "{summary}");
    assert_eq!(summary.same, work.ops.len() as u64, "{summary}");
    let state = summary.state.as_ref().unwrap();
    assert_eq!(state.verdicts.keys().collect::<Vec<_>>(), [&"same"], "{summary}");
    assert!(summary.ok());
    let old = fs::metadata(work.tree().join("d/old")).unwrap();
    assert_eq!((old.mode() & 0o7777, old.atime(), old.mtime(), old.mtime_nsec()), (0o600, 5, 1_500_000_000, 7));
    assert_eq!(fs::metadata(work.tree().join("d/new")).unwrap().mode() & 0o7777, 0o604, "what the access control list says");
}

#[test]
fn results_hold_every_op_beside_what_was_captured() {
    let work = every_op();
    let summary = work.run(None);
    let file = fs::File::open(summary.run.join("results.parquet")).unwrap();
    let batches: Vec<_> = ParquetRecordBatchReaderBuilder::try_new(file).unwrap().build().unwrap().map(Result::unwrap).collect();
    assert_eq!(batches.iter().map(|batch| batch.num_rows()).sum::<usize>(), work.ops.len());
    let batch = &batches[0];
    let int = |name: &str| batch.column_by_name(name).unwrap().as_primitive::<arrow::datatypes::Int64Type>() as &Int64Array;
    let text = |name: &str| batch.column_by_name(name).unwrap().as_string::<i32>() as &StringArray;
    assert_eq!((int("op_id").value(1), int("seq").value(1), text("syscall").value(1)), (1, 2, "open"));
    assert_eq!((int("ret").value(1), int("errno").value(1), int("captured_errno").value(1)), (-1, 2, 2));
    assert_eq!((text("outcome").value(1), text("origin").value(1)), ("same", "event"));
    assert!(int("dur").iter().all(|dur| dur.unwrap() > 0));
}

#[test]
fn differences_are_told_apart() {
    let mut work = Work::new();
    work.need("/file", "file", 100).need("/left", "file", 1);
    work.op(op("open", 3).raw("/file").flags(O_RDWR).ofd(0)) // same
        .op(op("read", 50).ofd(0).count(200)) // bytes
        .op(op("lseek", 7).ofd(0).set("offset", 0).set("whence", 0)) // position
        .op(op("stat", 0).raw("/none")) // failed
        .op(op("stat", -2).raw("/file")) // succeeded
        .op(op("rmdir", -2).raw("/file")) // errno
        .op(op("stat", -13).raw("/file")) // uncompared: credentials
        .op(op("unlink", 0).raw("/left"))
        .op(op("mkdir", 0).raw("/extra"));
    work.expect("/file", "file", Some(99)).expect("/left", "file", None).expect("/none", "dir", None);
    let summary = work.run(None);
    let kinds: BTreeMap<&str, u64> = summary.differences.iter().map(|kind| (kind.kind, kind.count)).collect();
    assert_eq!(
        kinds,
        BTreeMap::from([("bytes", 1), ("position", 1), ("failed", 1), ("succeeded", 1), ("errno", 1)]),
        "{summary}"
    );
    assert_eq!((summary.same, summary.uncompared), (3, 1), "{summary}");
    assert!(!summary.ok());
    let verdicts = &summary.state.as_ref().unwrap().verdicts;
    assert_eq!(*verdicts, BTreeMap::from([("size", 1), ("missing", 2), ("extra", 1)]), "{summary}");
    let example = &summary.differences.iter().find(|kind| kind.kind == "failed").unwrap().examples[0];
    assert_eq!((example.op_id, example.seq, example.path.as_deref()), (3, 6, Some("/none")));
    let example = &summary.uncompared_kinds[0].examples[0];
    assert!(example.path.is_some(), "op {} has a path, too", example.op_id);
}

#[test]
fn names_that_are_not_utf8_survive() {
    let mut work = Work::new();
    let name = b"/d\xff\xfe/\x80x";
    let dir = ioriot::text::encode(b"/d\xff\xfe").into_owned();
    work.need(&dir, "dir", 0);
    work.op(op("creat", 3).raw(name).set("mode", 0o644).ofd(0)).op(op("stat", 0).raw(name)).op(op("close", 0).ofd(0));
    work.expect(&dir, "dir", None).expect(&ioriot::text::encode(name), "file", Some(0));
    let summary = work.run(None);
    assert_eq!((summary.same, summary.state.as_ref().unwrap().verdicts.len()), (3, 1), "{summary}");
    use std::os::unix::ffi::OsStrExt;
    assert!(work.tree().join(std::ffi::OsStr::from_bytes(&name[1..])).is_file());
}

#[test]
fn nothing_comparable_is_not_good() {
    let mut work = Work::new();
    work.op(Row::default().set("op", "sync").set("syscall", "sync"));
    let summary = work.run(None);
    assert_eq!((summary.ok(), summary.match_percent), (false, None));
}
