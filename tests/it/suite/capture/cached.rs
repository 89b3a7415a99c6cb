//! What was in the page cache when a capture began, of files of which that is known.

use super::*;

/// Makes a file of 512 pages of which only the first half, or pages 0 and 1, are in the page cache; reads it in several ways; or does
/// in calls what is no page fault. Arguments: what to do, file.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#define PAGE 4096
#define PAGES 512
int main(int count, char **args) {
	static volatile int sum;
	char *buffer = aligned_alloc(PAGE, PAGES * PAGE);
	int make = !strcmp(args[1], "make") || !strcmp(args[1], "two");
	int fd = open(args[2], O_RDWR | (make ? O_CREAT | O_TRUNC : 0) | (strcmp(args[1], "direct") ? 0 : O_DIRECT), 0644);
	if (count != 3 || fd < 0)
		return 77;
	if (make) {
		memset(buffer, 7, PAGES * PAGE);
		if (write(fd, buffer, PAGES * PAGE) != PAGES * PAGE || fsync(fd) || posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED))
			return 1;
		posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
		for (int page = 0; page < (strcmp(args[1], "two") ? PAGES / 2 : 2); page++)
			pread(fd, buffer, PAGE, page * PAGE);
	} else if (!strcmp(args[1], "read") || !strcmp(args[1], "direct")) {
		while (read(fd, buffer, 16 * PAGE) > 0)
			;
	} else if (!strcmp(args[1], "map") || !strcmp(args[1], "row")) {
		// Faults on pages that follow each other are one event.
		int step = strcmp(args[1], "row") ? 2 : 1;
		char *map = mmap(0, PAGES * PAGE, PROT_READ, MAP_SHARED, fd, 0);
		// Else pages around a fault would be read with it, of which those that are in memory are not told.
		madvise(map, PAGES * PAGE, MADV_RANDOM);
		for (int page = PAGES / 2; page < PAGES; page += step)
			sum += map[page * PAGE];
		// These are in memory by now, by faults.
		pread(fd, buffer, PAGE, PAGES / 2 * PAGE);
		pread(fd, buffer, PAGE, 9 * PAGE + 100);
	} else if (!strcmp(args[1], "patch")) {
		pwrite(fd, "x", 1, 5 * PAGE + 10);
		pwrite(fd, "x", 1, 500 * PAGE + 10);
		pwrite(fd, buffer, PAGE, 6 * PAGE);
	} else {
		// A fault on a page that is in memory, and that stays the file's: a copy is written.
		char *map = mmap(0, PAGES * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd, 0);
		map[0] = 1;
		pread(fd, buffer, PAGE, 400 * PAGE);
		pwrite(fd, "x", 1, PAGE);
		pwrite(fd, "x", 1, 0);
	}
	return 0;
}
"#;

/// The ranges `offset, length` of the file that were in the page cache, as a workload has them, in pages.
fn warm(work: &Path) -> Vec<String> {
    let sql = "SELECT \"offset\" / 4096.0 AS page, length / 4096.0 AS pages FROM extents WHERE what = 'warm' AND path LIKE '%/file' ORDER BY 1";
    rows(&[work], sql)
}

#[test]
fn what_was_read_and_not_added_was_in_the_page_cache() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "cached", PROGRAM) else { return };
    let file = dir.path().join("file");
    let [p, f] = [&program, &file].map(|path| path.to_str().unwrap());
    let half = vec!["0.0,256.0".to_owned()];
    let kinds = [
        ("read", half, 256),
        ("map", vec!["9.0244140625,1.0".to_owned()], 128),
        ("row", vec!["9.0244140625,1.0".to_owned()], 256),
        // What goes past the page cache tells nothing of it.
        ("direct", vec![], 0),
        // A page that is changed in part is read before.
        ("patch", vec!["5.0,1.0".to_owned()], 1),
    ];
    for (how, expected, added) in kinds {
        let made = Command::new(&program).args(["make", f]).status().unwrap();
        assert!(made.success(), "{made}");
        let [out, work] = ["capture", "work"].map(|name| dir.path().join(format!("{how}-{name}")));
        let [c, w] = [&out, &work].map(|path| path.to_str().unwrap());
        let summary = capture(0, &out, &["--", p, how, f]);
        closes(&summary);
        if summary["cache"] != true || summary["status"] != "exit status: 0" {
            return skip(Need::Ebpf, format_args!("the page cache or O_DIRECT: {}, {}", summary["cache"], summary["status"]));
        }
        let said = expect(0, &["generate", c, "-o", w]);
        assert_eq!(warm(&work), expected, "{how}: {said}");
        let pages = "SELECT coalesce(sum(count), 0) / 4096 FROM events WHERE syscall = 'page_cache_add' AND ino IN \
                     (SELECT ino FROM events WHERE syscall = 'openat' AND path LIKE '%/file')";
        // A little may be read ahead.
        let found = number(&[&out], pages);
        assert!((f64::from(added)..f64::from(added) + 64.0).contains(&found), "{how}: {found} pages");
        assert!(said.contains("were in the page cache"), "{said}");
        replays(how, dir.path(), &work, f64::from(added));
    }
}

/// Replays a workload of which `pages` pages were not in the page cache.
fn replays(how: &str, dir: &Path, work: &Path, pages: f64) {
    let [root, run] = ["root", "run"].map(|name| dir.join(format!("{how}-{name}")));
    let [w, r, o] = [work, &root, &run].map(|path| path.to_str().unwrap());
    expect(0, &["init", w, "--root", r]);
    let said = expect(0, &["replay", w, "--root", r, "-o", o, "--min-match", "100"]);
    let manifest: Value = serde_json::from_slice(&std::fs::read(run.join("manifest.json")).unwrap()).unwrap();
    let cache = &manifest["summary"]["cache"];
    assert_eq!((&cache["state"], &cache["failed"]), (&Value::from("captured"), &Value::from(0)), "{how}: {said}");
    assert!(said.contains("captured   "), "{how}: {said}");
    let wanted = int(&manifest, "/summary/cache/wanted");
    assert_eq!(wanted, int(&manifest, "/summary/captured_cache/warm"), "{how}: {said}");
    if let Some(reached) = cache["reached_percent"].as_f64() {
        // Beside it others may use the memory.
        assert!(reached > 99.0, "{how}: {reached} % of {wanted} bytes");
        assert!(int(&manifest, "/summary/cache/beside") < 1 << 20, "{how}: {cache}");
    }
    if let Some(added) = manifest.pointer("/summary/added/replayed").and_then(Value::as_u64) {
        let found = added as f64 / 4096.0;
        assert!((pages..pages + 64.0).contains(&found), "{how}: {found} pages, captured {pages}\n{said}");
    }
}

/// The mark of a thread keeps its last page fault. Calls that are not captured and add pages, or make them dirty, are none.
#[test]
fn what_an_uncaptured_call_does_to_a_mapped_file_is_no_page_fault() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "cached", PROGRAM) else { return };
    let (file, out) = (dir.path().join("file"), dir.path().join("capture"));
    let [p, f] = [&program, &file].map(|path| path.to_str().unwrap());
    let made = Command::new(&program).args(["two", f]).status().unwrap();
    assert!(made.success(), "{made}");
    capture(0, &out, &["--syscalls", "@all,!pread64,!pwrite64", "--", p, "calls", f]);
    let of_file = |syscall: &str| {
        let sql = format!(
            "SELECT count(*) FROM events WHERE syscall = '{syscall}' AND ino IN \
             (SELECT ino FROM events WHERE syscall = 'openat' AND path LIKE '%/file')"
        );
        number(&[&out], &sql)
    };
    assert_eq!(of_file("mmap_fault"), 0.0);
    assert!(of_file("page_cache_add") >= 1.0);
}

#[test]
fn a_text_knows_nothing_of_the_page_cache() {
    let dir = scratch();
    let [out, work] = ["capture", "work"].map(|name| dir.path().join(name));
    let [c, w] = [&out, &work].map(|path| path.to_str().unwrap());
    expect(0, &["ingest", concat!(env!("CARGO_MANIFEST_DIR"), "/tests/data/matrix.strace"), "-o", c]);
    let said = expect(0, &["generate", c, "-o", w]);
    assert!(!said.contains("page cache ("), "{said}");
    let manifest: Value = serde_json::from_slice(&std::fs::read(work.join("manifest.json")).unwrap()).unwrap();
    assert_eq!(manifest["cache"], Value::Null);
    assert_eq!(number(&[&work], "SELECT count(*) FROM extents WHERE what = 'warm'"), 0.0);
}
