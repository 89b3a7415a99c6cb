//! What goes between files and pipes or sockets is replayed as far as the file is concerned.

use super::*;

/// Serves a file through a pipe and a socket as web servers do, and takes another one in through a pipe. The position is
/// asked for after each step.
const SERVER: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <unistd.h>
int main(int count, char **args) {
	char buffer[4096];
	int ends[2], sockets[2];
	if (count != 2 || chdir(args[1]) || pipe(ends) || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, sockets))
		return 2;
	int in = open("in", O_RDONLY), out = open("out", O_RDWR | O_CREAT | O_TRUNC, 0644);
	off_t at = 50000, to = 6000;
	if (splice(in, NULL, ends[1], NULL, 3000, 0) != 3000 || lseek(in, 0, SEEK_CUR) != 3000)
		return 3;
	if (splice(ends[0], NULL, out, NULL, 3000, SPLICE_F_MOVE) != 3000 || lseek(out, 0, SEEK_CUR) != 3000)
		return 4;
	if (splice(in, &at, ends[1], NULL, 1000, 0) != 1000 || splice(ends[0], NULL, out, &to, 1000, 0) != 1000)
		return 5;
	if (lseek(in, 0, SEEK_CUR) != 3000 || write(out, "more", 4) != 4 || read(in, buffer, 100) != 100)
		return 6;
	if (sendfile(sockets[0], in, &at, 500) != 500 || lseek(in, 0, SEEK_CUR) != 3100)
		return 7;
	// Until the socket is full.
	while (sendfile(sockets[0], in, NULL, 20000) > 0)
		if (lseek(in, 0, SEEK_CUR) == 2000000)
			return 8;
	if (errno != EAGAIN || read(in, buffer, 100) != 100 || lseek(in, 0, SEEK_CUR) < 3200)
		return 9;
	int log = open("out", O_WRONLY | O_APPEND);
	if (write(ends[1], buffer, 10) != 10 || splice(ends[0], NULL, log, NULL, 10, 0) != -1 || errno != EINVAL)
		return 10;
	return lseek(in, -200, SEEK_END) < 0 || sendfile(sockets[0], in, NULL, 0) != 0;
}
"#;

#[test]
fn what_is_served_from_a_file_is_read_again() {
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "server", SERVER) else { return };
    std::fs::write(dir.path().join("in"), vec![7; 2_000_000]).unwrap();
    for backend in ["ptrace", "ebpf"] {
        if backend == "ebpf" && !allowed() {
            return;
        }
        let part = |name: &str| dir.path().join(format!("{backend}.{name}"));
        let [out, work, root, run] = ["capture", "work", "root", "run"].map(part);
        let [o, w, r, n] = [&out, &work, &root, &run].map(|path| path.to_str().unwrap());
        let summary = capture(0, &out, &["--backend", backend, "--", program.to_str().unwrap(), dir.path().to_str().unwrap()]);
        assert!(summary["status"].as_str().unwrap().ends_with(": 0"), "{summary}");
        expect(0, &["generate", o, "-o", w]);
        expect(0, &["init", w, "--root", r]);
        expect(0, &["replay", w, "--root", r, "-o", n, "--min-match", "100"]);
        let moved = "syscall IN ('splice', 'sendfile') AND ret > 0";
        let captured = number(&[&out], &format!("SELECT sum(ret) FROM events WHERE {moved}"));
        let replayed = number(&[&run], &format!("SELECT sum(ret) FROM results WHERE {moved} AND outcome = 'same'"));
        assert_eq!(captured, replayed, "{backend}");
        let ops = "SELECT DISTINCT op FROM ops WHERE syscall IN ('splice', 'sendfile') ORDER BY op";
        assert_eq!(rows(&[&work], ops), ["pread64", "pwrite64", "read", "write"], "{backend}");
        let tree = root.join("tree").join(dir.path().strip_prefix("/").unwrap());
        assert_eq!(tree.join("out").metadata().unwrap().len(), 7000, "{backend}");
    }
}
