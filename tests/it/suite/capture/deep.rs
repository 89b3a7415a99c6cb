//! Directories whose path is longer than any call takes: programs get there step by step.

use super::*;

/// `make`: makes a hundred directories, each in the one before, and works at the bottom; `read`: goes there again.
const PROGRAM: &str = r#"
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
static char name[101], buffer[5000];
static int down(int make) {
	for (int i = 0; i < 100; i++)
		if ((make && mkdir(name, 0755)) || chdir(name))
			return 0;
	return 1;
}
static int up(void) {
	for (int i = 0; i < 100; i++)
		if (chdir(".."))
			return 0;
	return 1;
}
int main(int count, char **args) {
	struct stat st;
	if (count != 3 || chdir(args[1]))
		return 1;
	memset(name, 'd', 100);
	if (*args[2] == 'r') {
		if (!down(0))
			return 10;
		int fd = open("x/moved", O_RDONLY);
		return read(fd, buffer, sizeof buffer) != 3000 || close(fd) || !up();
	}
	if (!down(1))
		return 2;
	int fd = open("bottom", O_CREAT | O_RDWR, 0644);
	if (write(fd, buffer, 3000) != 3000 || close(fd))
		return 3;
	if (mkdir("x", 0755) || rename("bottom", "x/moved") || stat("x/moved", &st) || st.st_size != 3000)
		return 4;
	if (symlink("x", "l") || (fd = open("l/moved", O_RDONLY)) < 0 || close(fd))
		return 5;
	/* By descriptors, as find and rm do. */
	int here = open(".", O_RDONLY | O_DIRECTORY), there = openat(here, "x", O_RDONLY | O_DIRECTORY);
	if (fchdir(there) || mkdir("y", 0755) || chdir("y") || mkdir("z", 0755) || fchdir(here) || close(here) || close(there))
		return 6;
	if (!up())
		return 7;
	return close(open("top", O_CREAT | O_RDWR, 0644));
}
"#;

/// Everything below a directory, as `find` sees it: paths, kinds and sizes of files.
fn found(dir: &Path) -> Vec<String> {
    let how = [".", "-type", "f", "-printf", "%p %y %s\\n", "-o", "-printf", "%p %y %l\\n"];
    let text = Command::new("find").args(how).current_dir(dir).output();
    let mut lines: Vec<String> = String::from_utf8(text.unwrap().stdout).unwrap().lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

#[test]
fn directories_deeper_than_paths_are_replayed() {
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "deep", PROGRAM) else { return };
    let program = program.to_str().unwrap();
    for backend in if allowed() { &["ebpf", "ptrace"][..] } else { &["ptrace"] } {
        let home = dir.path().join(format!("{backend}-home"));
        let h = home.to_str().unwrap();
        std::fs::create_dir(&home).unwrap();
        // Made there; found there, and read; found there, and removed by rm.
        for (step, command) in [("make", [program, h, "make"]), ("read", [program, h, "read"]), ("rm", ["rm", "-r", h])] {
            let place = |name: &str| dir.path().join(format!("{backend}-{step}-{name}"));
            let [out, work, root, run] = ["capture", "work", "root", "run"].map(place);
            let [c, w, r, o] = [&out, &work, &root, &run].map(|path| path.to_str().unwrap());
            let before = found(&home);
            let args: Vec<&str> = ["--backend", backend, "--"].into_iter().chain(command).collect();
            let summary = capture(0, &out, &args);
            assert_eq!(summary["status"], "exit status: 0", "{step} by {backend}");
            expect(0, &["generate", c, "-o", w]);
            expect(0, &["init", w, "--root", r]);
            let there = root.join("tree").join(home.strip_prefix("/").unwrap());
            if step != "make" {
                let longest = |lines: &[String]| lines.iter().filter_map(|line| Some(line.split_once(' ')?.0.len())).max();
                assert!(longest(&before).is_some_and(|length| length > 10_000));
                assert_eq!(longest(&found(&there)), longest(&before), "{step} by {backend}: init made it");
            }
            expect(0, &["replay", w, "--root", r, "-o", o, "--min-match", "100"]);
            assert_eq!(number(&[&run], "SELECT count(*) FROM state WHERE verdict <> 'same'"), 0.0, "{step} by {backend}");
            assert_eq!(there.exists(), home.exists());
            if step == "make" {
                assert_eq!(found(&there), found(&home), "{step} by {backend}");
            }
            expect(0, &["init", w, "--root", r, "--reset"]);
        }
    }
}
