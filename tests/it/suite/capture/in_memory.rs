//! Programs that work in memory (tmpfs): captured there, and replayed there.

use super::*;
use crate::tool::root;

/// Reads a file that is there, writes another one in another file system in memory, and fills the first until it is full.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static char buffer[1 << 16], name[4096];
static const char *at(const char *dir, const char *file) { snprintf(name, sizeof name, "%s/%s", dir, file); return name; }
int main(int count, char **args) {
	if (count != 4)
		return 2;
	int fd = open(at(args[1], "before"), O_RDONLY);
	if (read(fd, buffer, sizeof buffer) != 5000 || close(fd))
		return 3;
	fd = open(at(args[1], "full"), O_WRONLY | O_CREAT | O_EXCL, 0644);
	while (write(fd, buffer, sizeof buffer) > 0) {}
	if (errno != ENOSPC || close(fd) || unlink(name))
		return 4;
	mkdir(at(args[1], "made"), 0755);
	fd = open(at(args[2], args[3]), O_RDWR | O_CREAT | O_EXCL, 0600);
	if (write(fd, buffer, 3000) != 3000 || close(fd))
		return 5;
	return 0;
}
"#;

#[test]
fn what_was_in_memory_is_replayed_in_memory() {
    let shm = Path::new("/dev/shm");
    if !root() || !shm.is_dir() {
        return skip(Need::Root, "file systems in memory");
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "program", PROGRAM) else { return };
    let shared = format!("ioriot-test-{}", std::process::id());
    for backend in if allowed() { &["ebpf", "ptrace"][..] } else { &["ptrace"] } {
        let [tmp, out, work, tree] = ["tmp", "capture", "work", "root"].map(|name| dir.path().join(format!("{backend}-{name}")));
        let [t, o, w, r, p] = [&tmp, &out, &work, &tree, &program].map(|path| path.to_str().unwrap());
        std::fs::create_dir(&tmp).unwrap();
        let captured = command(&["capture", "-o", o, "--backend", backend, "--", p, t, "/dev/shm", &shared]);
        // In a mount namespace of its own, which goes with it.
        let script = "mount -t tmpfs -o size=1m none \"$0\" && head -c 5000 /dev/zero > \"$0/before\" && exec \"$@\"";
        let mut apart = Command::new("unshare");
        apart.args(["-m", "sh", "-c", script, t]).arg(captured.get_program()).args(captured.get_args());
        let said = apart.output().unwrap();
        let _ = std::fs::remove_file(shm.join(&shared));
        let text = String::from_utf8_lossy(&said.stdout);
        assert!(said.status.success() && text.contains("exit status: 0"), "{said:?}");
        assert_eq!(number(&[&out], "SELECT count(*) FROM events WHERE syscall = 'write' AND errno = 28"), 1.0, "it got full");

        expect(0, &["generate", o, "-o", w, "--keep", t, "--keep", "/dev/shm"]);
        expect(0, &["init", w, "--root", r]);
        let would = expect(0, &["replay", w, "--root", r, "-o", "nowhere", "--dry-run"]);
        assert!(
            would.contains(&format!("{t} is in memory (tmpfs of 1.00 MiB)")) && would.contains("/dev/shm is in memory"),
            "{would}"
        );
        let run = dir.path().join(format!("{backend}-run"));
        let n = run.to_str().unwrap();
        let said = expect(0, &["replay", w, "--root", r, "-o", n, "--min-match", "100"]);
        assert!(said.contains("/dev/shm is in memory") && !said.contains("tmpfs_on_disk"), "{said}");
        // What it made there is as predicted, and not on disk.
        assert_eq!(number(&[&run], "SELECT count(*) FROM state WHERE verdict <> 'same'"), 0.0);
        let states =
            rows(&[&run], &format!("SELECT path FROM state WHERE path IN ('/dev/shm/{shared}', '{t}/made') ORDER BY path"));
        assert_eq!(states.len(), 2, "{states:?}");
        let on_disk = |path: &Path| tree.join("tree").join(path.strip_prefix("/").unwrap()).exists();
        let found = [tmp.join("made"), shm.join(&shared), tmp.join("before")].map(|path| on_disk(&path));
        assert_eq!(found, [false, false, true]);

        // On disk where that is asked for, and it is said.
        expect(0, &["init", w, "--root", r, "--reset"]);
        let run = dir.path().join(format!("{backend}-disk"));
        let n = run.to_str().unwrap();
        let said = expect(0, &["replay", w, "--root", r, "-o", n, "--min-match", "0", "--tmpfs", "disk"]);
        assert!(said.contains("tmpfs_on_disk") && said.contains("was in memory and is on disk: so it was asked for"), "{said}");
        assert!(on_disk(&tmp.join("made")) && on_disk(&shm.join(&shared)));
    }
}
