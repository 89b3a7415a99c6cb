//! What goes to the kernel by other ways than calls, live: io_submit, io_uring, page faults.

use super::*;

/// fio with an engine over a file; `None`, loudly, where there is none.
fn fio(dir: &Path, engine: &str, more: &[&str]) -> Option<Vec<String>> {
    let file = dir.join(format!("{engine}.data"));
    let mut args: Vec<String> =
        ["fio", "--name=x", "--size=4M", "--rw=randrw", "--bs=4k", "--iodepth=16", "--fsync=64", "--thread"]
            .map(String::from)
            .to_vec();
    args.extend([format!("--filename={}", file.display()), format!("--ioengine={engine}"), "--output=/dev/null".into()]);
    args.extend(more.iter().map(|arg| (*arg).to_owned()));
    let ran = Command::new("fio").args(&args[1..]).output();
    let works = ran.is_ok_and(|output| output.status.success());
    if !works {
        eprintln!("SKIPPED: no fio with engine {engine} here");
    }
    works.then_some(args)
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
    // With registered files nothing says which descriptor it is; what the kernel's own thread submits is seen too.
    for more in ["--registerfiles=1", "--sqthread_poll=1"] {
        let Some((found, summary)) = requests("ebpf", "io_uring", &["--direct=1", more]) else { continue };
        assert!(found.is_empty(), "{more}: {found:?}");
        let missed: Vec<_> = summary["losses"].as_array().unwrap().iter().filter(|loss| loss["kind"] == "requests").collect();
        assert!(missed.len() == 1 && int(missed[0], "/count") >= 1024, "{more}: {summary}");
    }
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
