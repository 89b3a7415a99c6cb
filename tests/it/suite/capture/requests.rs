//! What goes to the kernel by other ways than calls, live: io_submit, io_uring, page faults.

use super::*;
use crate::alone::alone;

/// fio with an engine over a file; `None` where there is none.
fn fio(dir: &Path, engine: &str, more: &[&str]) -> Option<Vec<String>> {
    let file = dir.join(format!("{engine}.data"));
    let mut args: Vec<String> =
        ["fio", "--name=x", "--size=4M", "--rw=randrw", "--bs=4k", "--iodepth=16", "--fsync=64", "--thread"]
            .map(String::from)
            .to_vec();
    args.extend([format!("--filename={}", file.display()), format!("--ioengine={engine}"), "--output=/dev/null".into()]);
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    let need = match Command::new("fio").args(&args[1..]).output() {
        Ok(output) if output.status.success() => return Some(args),
        Ok(_) if engine == "io_uring" => Need::IoUring,
        _ => Need::Fio,
    };
    skip(need, format_args!("fio does not run with engine {engine} {}", more.join(" ")));
    None
}

/// Captures fio and replays it: its requests, by kind.
fn requests(backend: &str, engine: &str, more: &[&str]) -> Option<(Vec<String>, Value)> {
    let dir = scratch();
    let command = fio(dir.path(), engine, more)?;
    let out = dir.path().join("capture");
    let mut args = vec!["--backend", backend, "--"];
    args.extend(command.iter().map(String::as_str));
    let summary = capture(0, &out, &args);
    closes(&summary);
    let (matched, covered) = replayed::replay(dir.path(), &out, "2");
    assert!(matched >= 99.9, "{engine}: match {matched}, coverage {covered}");
    let kinds = "SELECT syscall, count(*), count(DISTINCT \"offset\") FILTER (WHERE ret = 4096) FROM events \
        WHERE syscall LIKE 'aio%' OR syscall LIKE 'uring%' GROUP BY 1 ORDER BY 1";
    Some((rows(&[&out], kinds), summary))
}

fn all_are_seen(found: &[String], read: &str, write: &str) {
    let count = |name: &str| -> u64 {
        let row = found.iter().find(|row| row.starts_with(name)).unwrap_or_else(|| panic!("no {name} in {found:?}"));
        row.split(',').nth(2).unwrap().parse().unwrap()
    };
    // Each block once: those that are not read are written.
    assert_eq!(count(read) + count(write), 1024, "{found:?}");
}

#[test]
fn requests_of_io_submit_are_events() {
    for backend in ["ptrace", "ebpf"] {
        if backend == "ebpf" && !allowed() {
            continue;
        }
        let Some((found, summary)) = requests(backend, "libaio", &["--direct=1"]) else { return };
        all_are_seen(&found, "aio_pread,", "aio_pwrite,");
        assert_eq!(summary["losses"].as_array().map(Vec::len), Some(0), "{summary}");
    }
}

#[test]
fn requests_through_io_uring_are_events() {
    if !allowed() {
        return;
    }
    let Some((found, summary)) = requests("ebpf", "io_uring", &["--direct=1"]) else { return };
    all_are_seen(&found, "uring_read,", "uring_write,");
    assert_eq!(summary["losses"].as_array().map(Vec::len), Some(0), "{summary}");
    // Registered files have no descriptor: which file it is, is seen when a request is done. What the kernel's own thread
    // submits is seen too.
    for more in [["--registerfiles=1", "--fixedbufs=1"], ["--registerfiles=1", "--sqthread_poll=1"]] {
        let Some((found, summary)) = requests("ebpf", "io_uring", &["--direct=1", more[0], more[1]]) else { continue };
        all_are_seen(&found, "uring_read,", "uring_write,");
        assert_eq!(summary["losses"].as_array().map(Vec::len), Some(0), "{more:?}: {summary}");
        // Which ring is polled is told, with all of its requests.
        let rings = summary["polled_rings"].as_array().unwrap();
        let polled: Vec<_> = rings.iter().map(|ring| (&ring["polling"][0], ring["requests"].as_u64() >= Some(1024))).collect();
        let expected = (Value::from("sqpoll"), true);
        let expected = if more[1] == "--sqthread_poll=1" { vec![(&expected.0, expected.1)] } else { vec![] };
        assert_eq!(polled, expected, "{summary}");
    }
}

/// Every opcode that is a call on files, through a ring of its own; without a library. Argument: directory.
const OPCODES: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>
static int ring;
static struct io_uring_params params;
static struct io_uring_sqe *sqes;
static char *sq, *cq;
#define AT(base, offset) ((unsigned *)((base) + (offset)))
/* Submits one request and waits for it; its result. */
static int done(struct io_uring_sqe sqe) {
	unsigned tail = *AT(sq, params.sq_off.tail), mask = *AT(sq, params.sq_off.ring_mask);
	sqes[tail & mask] = sqe;
	AT(sq, params.sq_off.array)[tail & mask] = tail & mask;
	__atomic_store_n(AT(sq, params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) != 1)
		_exit(100);
	unsigned head = *AT(cq, params.cq_off.head);
	struct io_uring_cqe *cqe = (void *)(cq + params.cq_off.cqes);
	int result = cqe[head & *AT(cq, params.cq_off.ring_mask)].res;
	__atomic_store_n(AT(cq, params.cq_off.head), head + 1, __ATOMIC_RELEASE);
	return result;
}
#define IS(value, ...) if (done((struct io_uring_sqe){ __VA_ARGS__ }) != (value)) _exit(__LINE__)
#define P(text) .addr = (unsigned long)(text)
#define Q(text) .addr2 = (unsigned long)(text)
int main(int count, char **args) {
	static char buffer[4096];
	struct statx found;
	if (count != 2 || chdir(args[1]))
		return 1;
	ring = syscall(SYS_io_uring_setup, 8, &params);
	if (ring < 0)
		return 77;
	sq = mmap(0, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	cq = mmap(0, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	sqes = mmap(0, params.sq_entries * sizeof *sqes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	IS(0, .opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, P("dir"), .len = 0755);
	IS(-17, .opcode = IORING_OP_MKDIRAT, .fd = AT_FDCWD, P("dir"), .len = 0755);
	int dir = open("dir", O_DIRECTORY);
	int fd = done((struct io_uring_sqe){ .opcode = IORING_OP_OPENAT, .fd = dir, P("file"), .open_flags = O_CREAT | O_RDWR, .len = 0640 });
	if (fd < 0)
		return 2;
	IS(4096, .opcode = IORING_OP_WRITE, .fd = fd, P(buffer), .len = 4096, .off = 8192);
	IS(0, .opcode = IORING_OP_FALLOCATE, .fd = fd, .off = 100000, P(50000), .len = 0);
	IS(0, .opcode = IORING_OP_FADVISE, .fd = fd, .off = 0, .len = 4096, .fadvise_advice = POSIX_FADV_WILLNEED);
	IS(0, .opcode = IORING_OP_SYNC_FILE_RANGE, .fd = fd, .off = 0, .len = 4096, .sync_range_flags = SYNC_FILE_RANGE_WRITE);
	IS(0, .opcode = IORING_OP_FSYNC, .fd = fd);
	IS(4096, .opcode = IORING_OP_READ, .fd = fd, P(buffer), .len = 4096, .off = 140000);
	IS(0, .opcode = IORING_OP_STATX, .fd = AT_FDCWD, P("dir/file"), .len = STATX_SIZE, Q(&found));
	IS(0, .opcode = IORING_OP_CLOSE, .fd = fd);
	IS(-9, .opcode = IORING_OP_CLOSE, .fd = fd);
	IS(-2, .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, P("nothing"), .open_flags = O_RDONLY);
	IS(0, .opcode = IORING_OP_LINKAT, .fd = dir, P("file"), .len = (unsigned)dir, Q("hard"));
	IS(0, .opcode = IORING_OP_SYMLINKAT, .fd = AT_FDCWD, P("dir/hard"), Q("soft"));
	IS(0, .opcode = IORING_OP_RENAMEAT, .fd = dir, P("hard"), .len = (unsigned)AT_FDCWD, Q("moved"));
	IS(0, .opcode = IORING_OP_UNLINKAT, .fd = AT_FDCWD, P("soft"));
	/* The ring keeps the file, and the read names its place there. */
	fd = open("moved", O_RDONLY);
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, &fd, 1))
		return 3;
	IS(4096, .opcode = IORING_OP_READ, .fd = 0, .flags = IOSQE_FIXED_FILE, P(buffer), .len = 4096, .off = 4096);
	return 0;
}
"#;

#[test]
fn opcodes_are_the_calls_they_stand_for() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "opcodes", OPCODES) else { return };
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let out = dir.path().join("capture");
    let summary = capture(0, &out, &["--", program.to_str().unwrap(), home.to_str().unwrap()]);
    if summary["status"] == "exit status: 77" {
        return skip(Need::IoUring, "io_uring_setup(2) is refused");
    }
    assert_eq!(summary["status"], "exit status: 0");
    closes(&summary);
    assert_eq!(summary["losses"].as_array().map(Vec::len), Some(0), "{summary}");
    let found =
        "SELECT syscall, path, path2, flags, mode, \"offset\", count, errno FROM events WHERE syscall LIKE 'uring%' ORDER BY seq";
    assert_eq!(
        rows(&[&out], found),
        [
            "uring_mkdirat,dir,,,493,,,0",
            "uring_mkdirat,dir,,,493,,,17",
            "uring_openat,file,,32834,416,,,0",
            "uring_write,,,,,8192,4096,0",
            "uring_fallocate,,,0,,100000,50000,0",
            "uring_fadvise,,,3,,0,4096,0",
            "uring_sync_range,,,2,,0,4096,0",
            "uring_fsync,,,,,,,0",
            "uring_read,,,,,140000,4096,0",
            "uring_statx,dir/file,,0,,,,0",
            "uring_close,,,,,,,0",
            "uring_close,,,,,,,9",
            "uring_openat,nothing,,32768,,,,2",
            "uring_linkat,file,hard,0,,,,0",
            "uring_symlinkat,soft,dir/hard,,,,,0",
            "uring_renameat,hard,moved,0,,,,0",
            "uring_unlinkat,soft,,0,,,,0",
            "uring_read,,,,,4096,4096,0",
        ]
    );
    // io_uring_enter itself is not replayed.
    let (matched, covered) = replayed::replay(dir.path(), &out, "1");
    assert!(matched == 100.0 && covered > 50.0, "match {matched}, coverage {covered}");
    let workload = dir.path().join("workload");
    expect(0, &["generate", out.to_str().unwrap(), "-o", workload.to_str().unwrap()]);
    let dropped = "SELECT syscall, reason FROM fates WHERE fate = 'drop' AND (syscall LIKE 'uring%' OR on_file)";
    assert_eq!(rows(&[&workload], dropped), [""; 0]);
}

/// What is special about requests: the position of the descriptor, the ring's own table of files, links, a completion queue that is
/// too small; and what nobody captures. Argument: directory.
const SPECIAL: &str = r#"
	int fd = open("file", O_CREAT | O_RDWR, 0640);
	for (int i = 0; i < 3; i++)
		IS(100, .opcode = IORING_OP_WRITE, .fd = fd, P(buffer), .len = 100, .off = -1);
	int empty[2] = { -1, -1 };
	if (syscall(SYS_io_uring_register, ring, IORING_REGISTER_FILES, empty, 2))
		return 3;
	IS(0, .opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, P("direct"), .open_flags = O_CREAT | O_RDWR, .len = 0600, .splice_fd_in = 2);
	IS(10, .opcode = IORING_OP_WRITE, .flags = IOSQE_FIXED_FILE, .fd = 1, P(buffer), .len = 10, .off = 70);
	IS(0, .opcode = IORING_OP_CLOSE, .splice_fd_in = 2);
	/* A write, and what begins when it is done; and a link that breaks. */
	put((struct io_uring_sqe){ .opcode = IORING_OP_WRITE, .flags = IOSQE_IO_LINK, .fd = fd, P(buffer), .len = 50, .off = 300 });
	put((struct io_uring_sqe){ .opcode = IORING_OP_FSYNC, .fd = fd });
	put((struct io_uring_sqe){ .opcode = IORING_OP_READ, .flags = IOSQE_IO_LINK, .fd = -1, P(buffer), .len = 50, .off = 0 });
	put((struct io_uring_sqe){ .opcode = IORING_OP_WRITE, .fd = fd, P(buffer), .len = 50, .off = 900 });
	if (syscall(SYS_io_uring_enter, ring, 4, 4, IORING_ENTER_GETEVENTS, 0, 0) != 4)
		return 4;
	for (int i = 0; i < 4; i++)
		take();
	/* 40 results, room for 16. */
	for (int i = 0; i < 40; i++) {
		put((struct io_uring_sqe){ .opcode = IORING_OP_WRITE, .fd = fd, P(buffer), .len = 10, .off = 1000 + 10 * i, .user_data = i / 2 });
		if (syscall(SYS_io_uring_enter, ring, 1, 0, 0, 0, 0) != 1)
			return 5;
	}
	for (int i = 0; i < 40; i++) {
		syscall(SYS_io_uring_enter, ring, 0, 1, IORING_ENTER_GETEVENTS, 0, 0);
		if (take() != 10)
			return 6;
	}
	int ends[2];
	if (pipe(ends))
		return 7;
	IS(-9, .opcode = IORING_OP_SPLICE, .splice_fd_in = 0, .splice_flags = 1u << 31, .splice_off_in = 0, .fd = ends[1], .off = -1, .len = 10);
	IS(0, .opcode = IORING_OP_NOP);
	return 0;
}
"#;

#[test]
fn requests_of_every_kind_have_their_results() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    // The same ring as above, with its two halves apart.
    let (head, _) = OPCODES.split_once("\tIS(0, .opcode = IORING_OP_MKDIRAT").unwrap();
    let halves = "
static void put(struct io_uring_sqe sqe) {
	unsigned tail = *AT(sq, params.sq_off.tail), mask = *AT(sq, params.sq_off.ring_mask);
	sqes[tail & mask] = sqe;
	AT(sq, params.sq_off.array)[tail & mask] = tail & mask;
	__atomic_store_n(AT(sq, params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
}
static int take(void) {
	unsigned head = *AT(cq, params.cq_off.head);
	struct io_uring_cqe *cqe = (void *)(cq + params.cq_off.cqes);
	int result = cqe[head & *AT(cq, params.cq_off.ring_mask)].res;
	__atomic_store_n(AT(cq, params.cq_off.head), head + 1, __ATOMIC_RELEASE);
	return result;
}
#define IS(";
    let text = head.replacen("#define IS(", halves, 1) + SPECIAL;
    let Some(program) = compile_text(dir.path(), "special", &text) else { return };
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let out = dir.path().join("capture");
    // Exit code 1: something is lost.
    let summary = capture(1, &out, &["--", program.to_str().unwrap(), home.to_str().unwrap()]);
    if summary["status"] == "exit status: 77" {
        return skip(Need::IoUring, "io_uring_setup(2) is refused");
    }
    assert_eq!(summary["status"], "exit status: 0");
    closes(&summary);
    let kinds: Vec<_> = summary["losses"].as_array().unwrap().iter().map(|loss| (&loss["kind"], &loss["count"])).collect();
    assert_eq!(kinds, [(&Value::from("request_splice"), &Value::from(1))]);
    let found = "SELECT syscall, path, \"offset\", count, ret, errno, arg, count(*) FROM events WHERE syscall LIKE 'uring%' \
        AND (\"offset\" < 1000) IS NOT FALSE AND syscall <> 'uring_openat' GROUP BY 1, 2, 3, 4, 5, 6, 7 ORDER BY 1, 3";
    assert_eq!(
        rows(&[&out], found),
        [
            "uring_close,,,,0,0,,1",
            "uring_fsync,,,,0,0,1,1",
            "uring_read,,0,50,-1,9,,1",
            "uring_write,,70,10,10,0,,1",
            "uring_write,,300,50,50,0,,1",
            "uring_write,,900,50,-1,125,1,1",
            "uring_write_on,,,100,100,0,,3",
        ]
    );
    let wide = "SELECT count(*), count(DISTINCT \"offset\") FROM events WHERE syscall = 'uring_write' AND \"offset\" >= 1000 AND ret = 10";
    assert_eq!(rows(&[&out], wide), ["40,40"]);
    let (work, root, run) = (dir.path().join("work"), dir.path().join("root"), dir.path().join("run"));
    let [capture, work, root, run] = [&out, &work, &root, &run].map(|path| path.to_str().unwrap());
    expect(0, &["generate", capture, "-o", work]);
    expect(0, &["init", work, "--root", root]);
    // What the capture lost is said again.
    let said = expect(1, &["replay", work, "--root", root, "-o", run, "--format", "json"]);
    let said: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&said["different"], &said["flaws"]), (&Value::from(0), &Value::from(vec!["lost_events"])), "{said}");
    let sizes = ["file", "direct"].map(|name| std::fs::metadata(format!("{root}/tree{}/{name}", home.display())).unwrap().len());
    assert_eq!(sizes, [1400, 80]);
}

/// Sets and reads extended attributes by name and by descriptor, and moves bytes between files and a pipe. Argument: directory.
const MORE: &str = r#"
	int fd = open("file", O_CREAT | O_RDWR, 0640), out = open("out", O_CREAT | O_RDWR, 0640), ends[2];
	if (write(fd, buffer, 4096) != 4096 || lseek(fd, 0, SEEK_SET) || pipe(ends))
		return 2;
	if (done((struct io_uring_sqe){ .opcode = IORING_OP_FSETXATTR, .fd = fd, P("user.a"), Q("value"), .len = 5 }) == -95)
		return 78;
	IS(0, .opcode = IORING_OP_SETXATTR, P("user.b"), Q("abc"), .addr3 = (unsigned long)"file", .len = 3, .xattr_flags = 1);
	IS(-17, .opcode = IORING_OP_SETXATTR, P("user.b"), Q("abc"), .addr3 = (unsigned long)"file", .len = 3, .xattr_flags = 1);
	IS(5, .opcode = IORING_OP_FGETXATTR, .fd = fd, P("user.a"), Q(buffer), .len = 100);
	IS(3, .opcode = IORING_OP_GETXATTR, P("user.b"), Q(buffer), .addr3 = (unsigned long)"file", .len = 100);
	IS(-61, .opcode = IORING_OP_GETXATTR, P("user.none"), Q(buffer), .addr3 = (unsigned long)"file", .len = 100);
	IS(1000, .opcode = IORING_OP_SPLICE, .splice_fd_in = fd, .splice_off_in = 96, .fd = ends[1], .off = -1, .len = 1000);
	IS(500, .opcode = IORING_OP_SPLICE, .splice_fd_in = fd, .splice_off_in = -1, .fd = ends[1], .off = -1, .len = 500);
	IS(1500, .opcode = IORING_OP_SPLICE, .splice_fd_in = ends[0], .splice_off_in = -1, .fd = out, .off = 300, .len = 1500);
	return read(fd, buffer, 4096) != 3596;
}
"#;

#[test]
fn attributes_and_splices_through_a_ring_are_replayed() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let (head, _) = OPCODES.split_once("\tIS(0, .opcode = IORING_OP_MKDIRAT").unwrap();
    let Some(program) = compile_text(dir.path(), "more", &[head, MORE].concat()) else { return };
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let out = dir.path().join("capture");
    let summary = capture(0, &out, &["--", program.to_str().unwrap(), home.to_str().unwrap()]);
    if summary["status"] == "exit status: 77" || summary["status"] == "exit status: 78" {
        return skip(Need::IoUring, format_args!("no ring, or no attributes: {}", summary["status"]));
    }
    assert_eq!(summary["status"], "exit status: 0");
    assert_eq!(summary["losses"].as_array().map(Vec::len), Some(0), "{summary}");
    let found = "SELECT syscall, path, name, \"offset\", offset2, count, flags, ret, errno FROM events WHERE syscall LIKE 'uring%' ORDER BY seq";
    assert_eq!(
        rows(&[&out], found),
        [
            "uring_fsetxattr,,user.a,,,5,0,0,0",
            "uring_setxattr,file,user.b,,,3,1,0,0",
            "uring_setxattr,file,user.b,,,3,1,-1,17",
            "uring_fgetxattr,,user.a,,,100,,5,0",
            "uring_getxattr,file,user.b,,,100,,3,0",
            "uring_getxattr,file,user.none,,,100,,-1,61",
            "uring_splice,,,96,,1000,0,1000,0",
            "uring_splice,,,,,500,0,500,0",
            "uring_splice,,,,300,1500,0,1500,0",
        ]
    );
    assert_eq!(replayed::replay(dir.path(), &out, "1").0, 100.0);
    let [work, root, run] = ["work", "root", "run"].map(|name| dir.path().join(name));
    let [c, w, r, o] = [&out, &work, &root, &run].map(|path| path.to_str().unwrap());
    expect(0, &["generate", c, "-o", w]);
    expect(0, &["init", w, "--root", r]);
    expect(0, &["replay", w, "--root", r, "-o", o, "--min-match", "100"]);
    assert_eq!(number(&[&run], "SELECT count(*) FROM state WHERE verdict <> 'same'"), 0.0);
    assert_eq!(std::fs::metadata(format!("{r}/tree{}/out", home.display())).unwrap().len(), 1800);
    // A splice reads the file, or writes it.
    let calls = "SELECT op FROM ops WHERE syscall = 'uring_splice' ORDER BY op_id";
    assert_eq!(rows(&[&work], calls), ["pread64", "read", "pwrite64"]);
}

/// Touches pages of a mapping, a megabyte apart.
const TOUCH: &str = r#"
#include <fcntl.h>
#include <sys/mman.h>
int main(int count, char **args) {
	int fd = open(args[1], O_RDONLY), sum = count;
	char *map = mmap(0, 8 << 20, PROT_READ, MAP_SHARED, fd, 0);
	for (int i = 0; i < 8; i++)
		sum += map[i << 20];
	return sum == 0;
}
"#;

#[test]
fn page_faults_of_mapped_files_are_events_where_asked_for() {
    alone();
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "touch", TOUCH) else { return };
    let file = dir.path().join("file");
    // In small pieces, since the kernel maps what it keeps in large ones at one fault.
    let mut pieces = std::fs::File::create(&file).unwrap();
    (0..2048).for_each(|_| std::io::Write::write_all(&mut pieces, &[0; 4096]).unwrap());
    let [program, file] = [&program, &file].map(|path| path.to_str().unwrap());
    let out = dir.path().join("with");
    closes(&capture(0, &out, &["--mmap-faults", "--", program, file]));
    let touched = "SELECT count(DISTINCT \"offset\" / 1048576) FROM events WHERE syscall = 'mmap_fault' AND ino IN \
        (SELECT ino FROM events WHERE syscall = 'openat' AND path LIKE '%/file')";
    assert_eq!(number(&[&out], touched), 8.0);
    let out = dir.path().join("without");
    capture(0, &out, &["--", program, file]);
    assert_eq!(number(&[&out], "SELECT count(*) FROM events WHERE syscall = 'mmap_fault'"), 0.0);
}

/// Hands over four writes at a time through io_submit and takes their results from the ring of the context, without a call.
/// Arguments: directory, number of rounds.
const TAKER: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>
struct ring { unsigned id, nr, head, tail, magic, compat, incompat, length; struct io_event events[]; };
static char buffer[4096];
int main(int count, char **args) {
	aio_context_t context = 0;
	struct iocb cbs[4] = { 0 }, *list[4];
	if (count != 3 || chdir(args[1]) || syscall(SYS_io_setup, 16, &context))
		return 1;
	struct ring *ring = (struct ring *)context;
	int fd = open("file", O_CREAT | O_RDWR, 0644);
	for (int round = 0; round < atoi(args[2]); round++) {
		for (int i = 0; i < 4; i++) {
			cbs[i].aio_lio_opcode = IOCB_CMD_PWRITE;
			cbs[i].aio_fildes = fd;
			cbs[i].aio_buf = (unsigned long)buffer;
			cbs[i].aio_nbytes = 100 + i;
			cbs[i].aio_offset = 1000 * (4 * round + i);
			list[i] = &cbs[i];
		}
		if (syscall(SYS_io_submit, context, 4L, list) != 4)
			return 2;
		for (int taken = 0; taken < 4; taken++) {
			while (ring->head == __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE)) {}
			if (ring->events[ring->head].res < 100)
				return 3;
			__atomic_store_n(&ring->head, (ring->head + 1) % ring->nr, __ATOMIC_RELEASE);
		}
		/* By then somebody looks. */
		if (round == 0)
			usleep(300000);
	}
	return syscall(SYS_io_destroy, context) != 0;
}
"#;

#[test]
fn results_that_a_program_takes_itself_are_seen() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "taker", TAKER) else { return };
    let home = dir.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let out = dir.path().join("capture");
    let summary = capture(0, &out, &["--", program.to_str().unwrap(), home.to_str().unwrap(), "50"]);
    assert_eq!(summary["status"], "exit status: 0", "{summary}");
    closes(&summary);
    // The first four were taken before anybody looked.
    let known = "SELECT count(*), count(*) FILTER (WHERE ret = count), count(*) FILTER (WHERE ret IS NULL) FROM events \
        WHERE syscall = 'aio_pwrite' AND \"offset\" >= 4000";
    assert_eq!(rows(&[&out], known), ["196,196,0"], "{summary}");
    assert_eq!(number(&[&out], "SELECT count(*) FROM events WHERE syscall = 'aio_pwrite' AND ret IS NULL"), 4.0);
    let (matched, _) = replayed::replay(dir.path(), &out, "1");
    assert_eq!(matched, 100.0);
}
