//! A program between two file systems, replayed on one: what was refused there because there were two is not done here.

use super::*;
use crate::tool::root;

/// Copies a file as `cp` does, and moves it as `mv` does.
const MOVER: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/xattr.h>
#include <unistd.h>
static char buffer[1 << 16];
static int copy(const char *from, const char *to, int how) {
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | how, 0644);
	if (out < 0 || ioctl(out, FICLONE, in) == 0 || copy_file_range(in, NULL, out, NULL, 100000, 0) >= 0 || errno != EXDEV)
		return 0;
	for (ssize_t got; (got = read(in, buffer, sizeof buffer)) > 0;)
		if (write(out, buffer, got) != got)
			return 0;
	return close(in) == 0 && close(out) == 0;
}
int main(int count, char **args) {
	char from[4096], to[4096], moved[4096];
	snprintf(from, sizeof from, "%s/from", args[1]);
	snprintf(to, sizeof to, "%s/to", args[2]);
	snprintf(moved, sizeof moved, "%s/moved", args[2]);
	if (count != 3 || !copy(from, to, O_TRUNC) || link(from, moved) == 0 || rename(from, moved) == 0)
		return 2;
	setxattr(to, "trusted.of", "this", 4, 0);
	return !copy(from, moved, O_EXCL) || unlink(from);
}
"#;

#[test]
fn what_two_file_systems_refused_is_withheld_on_one() {
    if !root() {
        return skip(Need::Root, "a file system of its own");
    }
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "mover", MOVER) else { return };
    let [out, work, tree, run] = ["capture", "work", "root", "run"].map(|name| dir.path().join(name));
    let other = dir.path().join("other");
    let [o, w, r, n, here, there] = [&out, &work, &tree, &run, dir.path(), &other].map(|path| path.to_str().unwrap());
    std::fs::create_dir(&other).unwrap();
    std::fs::write(dir.path().join("from"), vec![7; 100_000]).unwrap();
    let captured = command(&["capture", "-o", o, "--backend", "ptrace", "--", program.to_str().unwrap(), here, there]);
    // In a mount namespace of its own, which goes with it.
    let mut apart = Command::new("unshare");
    apart.args(["-m", "sh", "-c", "mount -t tmpfs none \"$0\" && exec \"$@\"", there]);
    let said = apart.arg(captured.get_program()).args(captured.get_args()).output().unwrap();
    assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
    assert_eq!(number(&[&out], "SELECT count(*) FROM events WHERE syscall = 'unlink' AND ret = 0"), 1.0, "it got to its end");
    expect(0, &["generate", o, "-o", w, "--keep", there]);
    expect(0, &["init", w, "--root", r]);
    expect(0, &["replay", w, "--root", r, "-o", n, "--min-match", "100", "--tmpfs", "disk"]);
    let withheld = rows(&[&work], "SELECT syscall, on_file FROM fates WHERE reason = 'withheld' ORDER BY seq");
    let calls = ["ioctl", "copy_file_range", "link", "rename", "setxattr", "ioctl", "copy_file_range"];
    assert_eq!(withheld, calls.map(|call| format!("{call},false")));
    assert_eq!(number(&[&work], "SELECT count(*) FROM fates WHERE on_file AND fate = 'drop'"), 0.0);
    let size = |path: PathBuf| {
        let made = tree.join("tree").join(path.strip_prefix("/").unwrap());
        made.metadata().ok().map(|found| found.len())
    };
    let sizes = [other.join("to"), other.join("moved"), dir.path().join("from")].map(size);
    assert_eq!(sizes, [Some(100_000), Some(100_000), None]);
}
