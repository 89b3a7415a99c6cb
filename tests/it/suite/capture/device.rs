//! What block devices did for captured tasks, and for their replay, of a program whose requests are known.

use super::*;
use crate::tool::root;

/// Writes 256 blocks of 4 KiB past the page cache, then reads 500, none behind the one before. Argument: file.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>
int main(int count, char **args) {
	char *buffer = aligned_alloc(4096, 4096);
	int fd = open(args[1], O_RDWR | O_DIRECT | O_CREAT, 0644);
	if (count != 2 || fd < 0)
		return 77;
	for (int i = 0; i < 256; i++)
		if (pwrite(fd, buffer, 4096, i * 4096) != 4096)
			return 78;
	fsync(fd);
	for (int i = 0; i < 500; i++)
		if (pread(fd, buffer, 4096, i * 37 % 256 * 4096) != 4096)
			return 2;
	return 0;
}
"#;

/// The device that a summary says read most for tasks.
fn most(devices: &Value) -> Value {
    let devices = devices.as_array().map(Vec::as_slice).unwrap_or_default();
    let most = devices.iter().max_by_key(|device| device["tasks"]["read_bytes"].as_u64());
    most.map_or(Value::Null, |device| device["tasks"].clone())
}

#[test]
fn requests_to_devices_are_counted_in_capture_and_replay() {
    if !allowed() || !root() {
        return;
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "blocks", PROGRAM) else { return };
    let [out, work, tree, run] = ["capture", "work", "root", "run"].map(|name| dir.path().join(name));
    let file = dir.path().join("file");
    let [p, f, c, w, r, o] = [&program, &file, &out, &work, &tree, &run].map(|path| path.to_str().unwrap());
    let summary = capture(0, &out, &["--", p, f]);
    let captured = most(&summary["device"]);
    if summary["status"] != "exit status: 0" || captured.is_null() {
        return skip(Need::Disk("block device"), format_args!("no disk below {}: {}", dir.path().display(), summary["status"]));
    }
    expect(0, &["generate", c, "-o", w]);
    expect(0, &["init", w, "--root", r]);
    let said = expect(0, &["replay", w, "--root", r, "-o", o, "--min-match", "100"]);
    let manifest: Value = serde_json::from_slice(&std::fs::read(run.join("manifest.json")).unwrap()).unwrap();
    let replayed = most(&manifest["summary"]["device"]);
    assert_eq!(most(&manifest["summary"]["captured_device"]), captured);
    assert!(said.contains("requests of the capture to") && said.contains("requests of the replay to"), "{said}");
    // Beside these the program and the replay read what they are made of, if that is not in the page cache.
    for (who, tasks) in [("capture", &captured), ("replay", &replayed)] {
        let count = |key: &str| tasks[key].as_u64().unwrap();
        // When the device has no room for one, a thread of the kernel gives it later.
        assert!((480..2000).contains(&count("reads")), "{who}: {tasks}");
        assert!((480 * 4096..64 << 20).contains(&count("read_bytes")), "{who}: {tasks}");
        // A journal may be written by the tasks, too.
        assert!((240..2000).contains(&count("writes")), "{who}: {tasks}");
        assert!((240 * 4096..16 << 20).contains(&count("written_bytes")), "{who}: {tasks}");
        assert!(count("seeks") >= 470, "{who}: {tasks}");
    }
}
