//! The byte ledger of a program whose bytes are known, by every route.

use super::*;
use ioriot::ledger::Ledger;

/// Moves known numbers of bytes by each route, then maps one file to read it and, if told so, another to write it.
const ROUTES: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>
int main(int count, char **args) {
	int pair[2], ends[2], more[2];
	char *buffer = aligned_alloc(4096, 1 << 20);
	if (count != 2 || chdir(args[1]) || pipe(ends) || pipe(more) || socketpair(AF_UNIX, SOCK_STREAM, 0, pair))
		return 1;
	int a = open("a", O_RDWR | O_CREAT | O_TRUNC, 0644), b = open("b", O_RDWR | O_CREAT | O_TRUNC, 0644);
	write(a, buffer, 1 << 20);
	fsync(a);
	pread(a, buffer, 3000, 0);
	off_t at = 0;
	sendfile(pair[0], a, &at, 2000);
	at = 0;
	loff_t from = 0;
	copy_file_range(a, &from, b, 0, 5000, 0);
	from = 0;
	splice(a, &from, ends[1], 0, 1000, 0);
	struct iovec some = { buffer, 500 };
	vmsplice(ends[1], &some, 1, 0);
	tee(ends[0], more[1], 700, 0);
	read(ends[0], buffer, 100);
	int direct = open("a", O_RDONLY | O_DIRECT);
	posix_fadvise(direct, 0, 0, POSIX_FADV_DONTNEED);
	for (int i = 0; i < 4; i++)
		pread(direct, buffer, 262144, i * 262144);
	fcntl(direct, F_SETFL, 0);
	pread(direct, buffer, 4096, 0);
	close(direct);
	int c = open("c", O_RDWR | O_CREAT | O_TRUNC, 0644);
	ftruncate(c, 20000);
	char *map = mmap(0, 16384, PROT_READ | PROT_WRITE, MAP_SHARED, c, 0);
	mmap(0, 8192, PROT_READ | PROT_WRITE, MAP_SHARED, c, 16384);
	map[5000] = 1;
	msync(map, 8192, MS_SYNC);
	return 0;
}
"#;

/// Columns of the ledger by route: calls and bytes, read and written.
fn row(ledger: &Ledger, route: &str, replayed: bool, reason: Option<&str>) -> [u64; 4] {
    let rows = ledger.rows.iter().filter(|row| row.route == route && row.replayed == replayed && row.reason.as_deref() == reason);
    rows.fold([0; 4], |sum, row| [sum[0] + row.calls, sum[1] + row.bytes, sum[2] + row.read, sum[3] + row.written])
}

fn manifest(dataset: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(dataset.join("manifest.json")).unwrap()).unwrap()
}

#[test]
fn bytes_are_counted_by_the_way_that_they_take() {
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "routes", ROUTES) else { return };
    for backend in if allowed() { &["ebpf", "ptrace"][..] } else { &["ptrace"] } {
        let ebpf = *backend == "ebpf";
        let how = if ebpf { "replayed as far as page faults tell" } else { "not replayed" };
        let place = |name: &str| dir.path().join(format!("{backend}-{name}"));
        let [home, out, work, root, run] = ["home", "capture", "work", "root", "run"].map(place);
        std::fs::create_dir(&home).unwrap();
        let [h, c, w, r, o] = [&home, &out, &work, &root, &run].map(|path| path.to_str().unwrap());
        let summary = capture(0, &out, &["--backend", backend, "--", program.to_str().unwrap(), h]);
        let said = expect(0, &["generate", c, "-o", w]);
        let ledger: Ledger = serde_json::from_value(manifest(&work)["bytes"].clone()).unwrap();
        // The loader reads its libraries by calls, too.
        let [_, _, read, written] = row(&ledger, "call", true, None);
        assert_eq!(written, 1 << 20, "{said}");
        assert!((3000 + 4096..20_000).contains(&read), "{said}");
        for (route, replayed, reason, expected) in [
            ("direct", true, None, [4, 1 << 20, 1 << 20, 0]),
            ("sendfile", true, None, [1, 2000, 2000, 0]),
            ("copy_file_range", true, None, [1, 5000, 5000, 5000]),
            ("splice", true, None, [1, 1000, 1000, 0]),
            ("vmsplice", false, Some("pipe"), [1, 500, 0, 0]),
            ("tee", false, Some("pipe"), [1, 700, 0, 0]),
            ("call", false, Some("pipe"), [1, 100, 0, 0]),
            ("mapped_write", false, None, [2, 20_000, 0, 0]),
            // By eBPF the page fault behind it is known.
            ("msync", ebpf, Some("unsupported").filter(|_| !ebpf), [1, 8192, 0, 0]),
        ] {
            assert_eq!(row(&ledger, route, replayed, reason), expected, "{route} by {backend}: {said}\n{ledger:#?}");
        }
        let mapped = format!("mapped for writing: 1 file, 19.5 KiB, {how}");
        assert!(said.contains(&mapped), "{said}");
        let [_, _, _, faulted] = row(&ledger, "fault", true, None);
        assert_eq!(faulted, if ebpf { 4096 } else { 0 }, "{said}");
        let bytes = said.lines().find(|line| line.starts_with("bytes")).unwrap();
        assert!(!bytes.contains('%') && bytes.contains("is not known"), "{bytes}");

        expect(0, &["init", w, "--root", r]);
        let said = expect(0, &["replay", w, "--root", r, "-o", o]);
        let bytes = said.lines().find(|line| line.contains("of bytes")).unwrap();
        assert!(!bytes.contains('%') && said.contains(&mapped), "{said}");
        let replayed = &manifest(&run)["summary"];
        assert_eq!((&replayed["bytes"], replayed["byte_coverage_percent"].is_null()), (&manifest(&work)["bytes"], true));
        // What a device read and wrote for the program, and for its replay: no less than what went past the cache.
        for io in [&summary["task_io"], &replayed["captured_task_io"], &replayed["task_io"]] {
            for way in ["read_bytes", "written_bytes"] {
                assert!(io[way].as_u64().is_some_and(|bytes| (1 << 20..1 << 26).contains(&bytes)), "{way} by {backend}: {io}");
            }
        }
    }
}

/// Mounts made by the capture's own process, in a namespace of its own: nothing is left of them.
#[test]
fn what_was_done_in_memory_is_told_apart() {
    if !crate::tool::root() {
        return skip(Need::Root, "mount");
    }
    let dir = scratch();
    for backend in if allowed() { &["ebpf", "ptrace"][..] } else { &["ptrace"] } {
        let [home, out, work, root, run] =
            ["home", "capture", "work", "root", "run"].map(|name| dir.path().join(format!("{backend}-{name}")));
        std::fs::create_dir(&home).unwrap();
        let script = "cd \"$0\" && mkdir m && mount -t tmpfs -o size=1m none m && head -c 3000 /dev/zero > m/a && \
            umount m && head -c 500 /dev/zero > m/b";
        let [h, c, w, r, o] = [&home, &out, &work, &root, &run].map(|path| path.to_str().unwrap());
        let made = ["--backend", backend, "--", "unshare", "-m", "sh", "-c", script, h];
        let summary = capture(0, &out, &made);
        assert_eq!(summary["status"], "exit status: 0", "{summary}");
        assert_eq!(rows(&[&out], "SELECT name FROM events WHERE syscall = 'mount' AND name = 'tmpfs' AND ret = 0"), ["tmpfs"]);
        let said = expect(0, &["generate", c, "-o", w]);
        assert!(said.contains("tmpfs_on_disk"), "{said}");
        let found = &manifest(&work)["elsewhere"]["tmpfs_on_disk"];
        assert_eq!(found["bytes"], 3000, "{said}");
        assert!(found["ops"].as_u64().unwrap() >= 3, "{said}");
        expect(0, &["init", w, "--root", r]);
        let said = expect(0, &["replay", w, "--root", r, "-o", o]);
        assert!(said.contains("tmpfs_on_disk"), "{said}");
    }
}

/// Moves known numbers of bytes by requests of io_submit and, if told so, through a ring of io_uring; without libraries.
const REQUESTS: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>
static char buffer[1 << 16];
static aio_context_t context;
static int asked(int fd, int opcode, long count, long offset) {
	struct iocb cb = { .aio_lio_opcode = opcode, .aio_fildes = fd, .aio_buf = count ? (unsigned long)buffer : 0, .aio_nbytes = count, .aio_offset = offset };
	struct iocb *list[] = { &cb };
	struct io_event event;
	if (syscall(SYS_io_submit, context, 1L, list) != 1 || syscall(SYS_io_getevents, context, 1L, 1L, &event, 0) != 1)
		return -1;
	return event.res;
}
static int ring;
static struct io_uring_params params;
static struct io_uring_sqe *sqes;
static char *sq, *cq;
#define AT(base, offset) ((unsigned *)((base) + (offset)))
static int done(int opcode, int fd, int count, long offset) {
	unsigned tail = *AT(sq, params.sq_off.tail), place = tail & *AT(sq, params.sq_off.ring_mask);
	sqes[place] = (struct io_uring_sqe){ .opcode = opcode, .fd = fd, .addr = (unsigned long)buffer, .len = count, .off = offset };
	AT(sq, params.sq_off.array)[place] = place;
	__atomic_store_n(AT(sq, params.sq_off.tail), tail + 1, __ATOMIC_RELEASE);
	if (syscall(SYS_io_uring_enter, ring, 1, 1, IORING_ENTER_GETEVENTS, 0, 0) != 1)
		return -1;
	unsigned head = *AT(cq, params.cq_off.head);
	int result = ((struct io_uring_cqe *)(cq + params.cq_off.cqes))[head & *AT(cq, params.cq_off.ring_mask)].res;
	__atomic_store_n(AT(cq, params.cq_off.head), head + 1, __ATOMIC_RELEASE);
	return result;
}
int main(int count, char **args) {
	if (count != 3 || chdir(args[1]) || syscall(SYS_io_setup, 8, &context))
		return 1;
	int fd = open("a", O_RDWR | O_CREAT | O_TRUNC, 0644);
	if (asked(fd, IOCB_CMD_PWRITE, 4096, 0) != 4096 || asked(fd, IOCB_CMD_PWRITE, 3000, 4096) != 3000)
		return 2;
	/* One that the end of the file cuts short, and one that fails. */
	if (asked(fd, IOCB_CMD_PREAD, 5000, 2096) != 5000 || asked(fd, IOCB_CMD_PREAD, 5000, 7000) != 96)
		return 3;
	if (asked(fd, IOCB_CMD_FSYNC, 0, 0) != 0)
		return 4;
	if (*args[2] != 'u')
		return 0;
	ring = syscall(SYS_io_uring_setup, 8, &params);
	if (ring < 0)
		return 77;
	sq = mmap(0, params.sq_off.array + params.sq_entries * 4, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQ_RING);
	cq = mmap(0, params.cq_off.cqes + params.cq_entries * sizeof(struct io_uring_cqe), PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_CQ_RING);
	sqes = mmap(0, params.sq_entries * sizeof *sqes, PROT_READ | PROT_WRITE, MAP_SHARED, ring, IORING_OFF_SQES);
	if (done(IORING_OP_WRITE, fd, 2000, 10000) != 2000 || done(IORING_OP_READ, fd, 1500, 0) != 1500)
		return 5;
	return done(IORING_OP_READ, fd, 1500, 12000) != 0;
}
"#;

#[test]
fn bytes_of_requests_are_counted_and_replayed() {
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "requests", REQUESTS) else { return };
    for backend in if allowed() { &["ebpf", "ptrace"][..] } else { &["ptrace"] } {
        let place = |name: &str| dir.path().join(format!("{backend}-{name}"));
        let [home, out, work, root] = ["home", "capture", "work", "root"].map(place);
        std::fs::create_dir(&home).unwrap();
        let [h, c, w, r] = [&home, &out, &work, &root].map(|path| path.to_str().unwrap());
        // ptrace sees no ring.
        let how = if *backend == "ebpf" { "uring" } else { "aio" };
        let summary = capture(0, &out, &["--backend", backend, "--", program.to_str().unwrap(), h, how]);
        let ring = how == "uring" && summary["status"] != "exit status: 77";
        assert!(summary["status"] == "exit status: 0" || !ring, "{summary}");
        let said = expect(0, &["generate", c, "-o", w]);
        let ledger: Ledger = serde_json::from_value(manifest(&work)["bytes"].clone()).unwrap();
        // Calls that move bytes, those bytes, and which way.
        let expected = if ring { [7, 15_692, 6596, 9096] } else { [4, 12_192, 5096, 7096] };
        assert_eq!(row(&ledger, "request", true, None), expected, "by {backend}: {said}\n{ledger:#?}");
        expect(0, &["init", w, "--root", r]);
        for asynchrony in ["native", "serial"] {
            let run = place(asynchrony);
            let o = run.to_str().unwrap();
            expect(0, &["replay", w, "--root", r, "-o", o, "--async", asynchrony, "--min-match", "100"]);
            let moved = "SELECT coalesce(sum(ret) FILTER (WHERE syscall LIKE '%read%'), 0), \
                coalesce(sum(ret) FILTER (WHERE syscall LIKE '%write%'), 0) FROM results \
                WHERE syscall LIKE 'aio%' OR syscall LIKE 'uring%'";
            assert_eq!(rows(&[&run], moved), [format!("{},{}", expected[2], expected[3])], "{asynchrony} by {backend}");
            assert_eq!(manifest(&run)["summary"]["bytes"], manifest(&work)["bytes"]);
            expect(0, &["init", w, "--root", r, "--reset"]);
        }
    }
}
