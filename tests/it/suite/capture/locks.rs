//! Record locks, live: what is asked for, who is refused, and that a replay refuses the same.

use super::replayed::replay;
use super::*;

/// Two processes at one file: each takes what the other has not, is refused what it has, and waits for it to be let go.
const RIVALS: &str = r#"
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/wait.h>
#include <unistd.h>
static int lock(int fd, int cmd, int type, long start, long length) {
	struct flock lock = { .l_type = type, .l_whence = SEEK_SET, .l_start = start, .l_len = length };
	return fcntl(fd, cmd, &lock) ? errno : cmd == F_GETLK ? lock.l_type : 0;
}
static void turn(int *out, int *in) {
	char byte = 0;
	write(out[1], &byte, 1);
	read(in[0], &byte, 1);
}
#define IS(value, ...) if ((value) != lock(__VA_ARGS__)) _exit(__LINE__)
int main(int count, char **args) {
	int ping[2], pong[2];
	if (count != 2 || chdir(args[1]) || pipe(ping) || pipe(pong))
		return 1;
	if (!fork()) {
		int fd = open("file", O_RDWR | O_CREAT, 0600);
		turn(pong, ping);
		IS(EAGAIN, fd, F_SETLK, F_WRLCK, 50, 100);
		IS(EAGAIN, fd, F_SETLK, F_RDLCK, 50, 1);
		IS(0, fd, F_SETLK, F_WRLCK, 200, 100);
		IS(0, fd, F_SETLK, F_RDLCK, 100, 50);
		IS(F_WRLCK, fd, F_GETLK, F_RDLCK, 0, 10);
		IS(F_UNLCK, fd, F_GETLK, F_RDLCK, 300, 10);
		turn(pong, ping);
		usleep(50000);
		IS(0, fd, F_SETLK, F_UNLCK, 0, 0); /* all, or each would wait for the other */
		IS(0, fd, F_SETLKW, F_WRLCK, 0, 0);
		for (int i = 0; i < 200; i++) {
			IS(0, fd, F_SETLK, F_UNLCK, 0, 0);
			IS(0, fd, F_SETLKW, F_WRLCK, 0, 0);
		}
		return 0;
	}
	int fd = open("file", O_RDWR | O_CREAT, 0600);
	IS(0, fd, F_SETLK, F_WRLCK, 0, 100);
	turn(ping, pong);
	turn(ping, pong);
	IS(EAGAIN, fd, F_SETLK, F_WRLCK, 0, 0);
	IS(0, fd, F_SETLK, F_RDLCK, 100, 50);
	IS(0, fd, F_SETLKW, F_WRLCK, 250, 10);
	for (int i = 0; i < 200; i++) {
		IS(0, fd, F_SETLKW, F_WRLCK, 0, 200 + i);
		lock(fd, F_SETLK, F_UNLCK, 0, 0);
		lock(fd, F_SETLK, F_WRLCK, i, 1);
	}
	close(fd);
	int status = 0;
	wait(&status);
	return WEXITSTATUS(status);
}
"#;

/// Captures the rivals, and replays them: nothing differs, and nothing is left uncompared.
#[test]
fn record_locks_are_captured_and_refused_again() {
    let dir = scratch();
    let Some(program) = compile_text(dir.path(), "rivals", RIVALS) else { return };
    for backend in ["ptrace", "ebpf"] {
        if backend == "ebpf" && !allowed() {
            continue;
        }
        let out = dir.path().join(backend);
        let home = dir.path().join(format!("home-{backend}"));
        std::fs::create_dir(&home).unwrap();
        let summary = capture(0, &out, &["--backend", backend, "--", program.to_str().unwrap(), home.to_str().unwrap()]);
        closes(&summary);
        assert_eq!(summary["status"], "exit status: 0");
        assert_eq!(summary["losses"].as_array().map(Vec::len), Some(0), "{summary}");
        let refused = "SELECT DISTINCT mode, whence, \"offset\", count FROM events \
            WHERE syscall = 'fcntl' AND errno = 11 AND count IN (100, 0) ORDER BY 3, 4";
        assert_eq!(rows(&[&out], refused), ["1,0,0,0", "1,0,50,100"], "{backend}");
        // A question has the answer: what stands in its way, or nothing.
        let answers = "SELECT mode, \"offset\", count FROM events WHERE cmd = 5 ORDER BY seq";
        assert_eq!(rows(&[&out], answers), ["1,0,100", "2,300,10"], "{backend}");
        let unknown = "SELECT count(*) FROM events WHERE cmd IN (5, 6, 7) AND syscall = 'fcntl' AND mode IS NULL";
        assert_eq!(number(&[&out], unknown), 0.0);
        for threads in ["1", "2"] {
            assert_eq!(replay(dir.path(), &out, threads), (100.0, 100.0), "{backend}");
            let workload = dir.path().join(format!("again-{backend}-{threads}"));
            let [root, run] = ["root", "run"].map(|name| dir.path().join(format!("{name}-{backend}-{threads}")));
            let [o, w, r, n] = [&out, &workload, &root, &run].map(|path| path.to_str().unwrap());
            expect(0, &["generate", o, "-o", w]);
            expect(0, &["init", w, "--root", r]);
            expect(0, &["replay", w, "--root", r, "-o", n, "--threads", threads]);
            let uncompared =
                "SELECT syscall, kind, count(*) FROM results WHERE origin = 'event' AND outcome = 'uncompared' GROUP BY 1, 2";
            assert_eq!(rows(&[&run], uncompared), [""; 0], "{backend}");
        }
    }
}
