//! Mapped files, live: which pages are read from the disk and made dirty, and the same in the replay.

use super::*;

/// Makes a file of 1024 pages that is not in memory, maps it, closes it, and reads and writes pages that are known. A child does so
/// with what it inherited; another reads behind the end of its file and is killed for it.
const PAGES: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#define PAGE 4096
static char *map;
static volatile int sum;
static void look(int page) { sum += map[page * PAGE]; }
static void put(int page) { map[page * PAGE] = 1; }
int main(int count, char **args) {
	char *buffer = malloc(1024 * PAGE);
	if (count != 2 || chdir(args[1]))
		return 1;
	int fd = open("file", O_RDWR | O_CREAT | O_TRUNC, 0644);
	for (int i = 0; i < 64; i++)
		pwrite(fd, buffer, 16 * PAGE, i * 16 * PAGE);
	fsync(fd);
	posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
	map = mmap(0, 512 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	madvise(map, 512 * PAGE, MADV_RANDOM);
	look(3), look(100), look(101), put(5), put(200);
	msync(map, 512 * PAGE, MS_SYNC);
	put(5);
	msync(map + 4 * PAGE, 2 * PAGE, MS_SYNC);
	if (!fork()) {
		look(300), put(310);
		_exit(0);
	}
	wait(0);
	if (!fork()) {
		int small = open("small", O_RDWR | O_CREAT | O_TRUNC, 0644);
		ftruncate(small, 10);
		map = mmap(0, 2 * PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, small, 0);
		put(0), put(1);
		_exit(0);
	}
	wait(0);
	map = mremap(map, 512 * PAGE, 1024 * PAGE, MREMAP_MAYMOVE);
	look(700), put(710);
	munmap(map, 1024 * PAGE);
	unlink("small");
	return 0;
}
"#;

/// Sorted numbers of the pages of faults that had this protection, on the file `file`.
fn pages(events: &Path, mode: i32) -> Vec<i64> {
    let sql = format!(
        "SELECT \"offset\" / 4096 AS page, count / 4096 AS pages FROM events WHERE syscall = 'mmap_fault' AND mode = {mode} AND ino IN \
         (SELECT ino FROM events WHERE syscall = 'openat' AND path = 'file') ORDER BY 1"
    );
    let ranges = rows(&[events], &sql);
    let range = |row: &String| {
        let numbers: Vec<i64> = row.split(',').map(|number| number.parse().unwrap()).collect();
        numbers[0]..numbers[0] + numbers[1]
    };
    ranges.iter().flat_map(range).collect()
}

#[test]
fn pages_that_are_read_and_written_through_a_mapping_are_so_in_the_replay() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "pages", PAGES) else { return };
    let [home, out, work, root, run] = ["home", "capture", "work", "root", "run"].map(|name| dir.path().join(name));
    std::fs::create_dir(&home).unwrap();
    let [h, c, w, r, o] = [&home, &out, &work, &root, &run].map(|path| path.to_str().unwrap());
    closes(&capture(0, &out, &["--", program.to_str().unwrap(), h]));
    assert_eq!(pages(&out, 1), [3, 100, 101, 300, 700]);
    // What was written back is written once more.
    assert_eq!(pages(&out, 3), [5, 5, 200, 310, 710]);

    let said = expect(0, &["generate", c, "-o", w]);
    let count = |from: &Path, sql: &str| number(&[from], sql);
    let home_ops = format!("path LIKE '{h}/%'");
    let touched = format!("SELECT count(*) FROM ops WHERE op = 'mmap_fault' AND {home_ops}");
    // Pages 100 and 101 may be one event; the page of `small` is the eleventh.
    assert!((10.0..=11.0).contains(&count(&work, &touched)), "{said}");
    assert_eq!(count(&work, &format!("SELECT count(*) FROM ops WHERE op = 'msync' AND {home_ops}")), 2.0, "{said}");
    // The description is closed when the last process that has it mapped is done with it: the second child is killed.
    assert_eq!(count(&work, &format!("SELECT count(*) FROM ops WHERE op = 'close' AND origin = 'unmap' AND {home_ops}")), 1.0);
    let dropped = "SELECT count(*) FROM fates WHERE fate = 'drop' AND syscall IN ('munmap', 'mremap', 'msync')";
    assert_eq!(count(&work, dropped), 0.0, "{said}");
    assert!(said.contains("replayed as far as page faults tell"), "{said}");

    expect(0, &["init", w, "--root", r]);
    let said = expect(0, &["replay", w, "--root", r, "-o", o]);
    assert_eq!(count(&run, "SELECT count(*) FROM results WHERE outcome = 'different'"), 0.0, "{said}");
    let done = "SELECT count(*) FROM results WHERE syscall = 'mmap_fault' AND outcome = 'same'";
    assert_eq!(count(&run, done), count(&work, "SELECT count(*) FROM ops WHERE op = 'mmap_fault'"), "{said}");
    let io: Value = serde_json::from_slice(&std::fs::read(run.join("manifest.json")).unwrap()).unwrap();
    // The file is written once by calls; of its pages at least those are written again that became dirty behind a sync.
    let written = io["summary"]["task_io"]["written_bytes"].as_u64().unwrap();
    assert!(written >= (1024 + 3) * 4096, "{written}");
}

#[test]
fn without_faults_nothing_is_known_of_mappings() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "pages", PAGES) else { return };
    let [home, out, work] = ["home", "capture", "work"].map(|name| dir.path().join(name));
    std::fs::create_dir(&home).unwrap();
    let [h, c, w] = [&home, &out, &work].map(|path| path.to_str().unwrap());
    closes(&capture(0, &out, &["--no-faults", "--", program.to_str().unwrap(), h]));
    assert_eq!(number(&[&out], "SELECT count(*) FROM events WHERE syscall = 'mmap_fault'"), 0.0);
    let said = expect(0, &["generate", c, "-o", w]);
    assert!(said.contains("mapped for writing: 2 files") && said.contains("not replayed"), "{said}");
    assert_eq!(number(&[&work], "SELECT count(*) FROM ops WHERE origin = 'unmap'"), 0.0);
}
