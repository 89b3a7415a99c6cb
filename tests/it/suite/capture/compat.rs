//! 32-bit programs, live: the 32-bit matrix, held against strace and against its own replay.

use super::replayed::{CALLS, replay};
use super::*;

/// Compiles the 32-bit matrix; `None` where that is not possible or its programs do not run.
fn matrix(dir: &Path) -> Option<PathBuf> {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/syscall_compat32.c");
    let program = dir.join("compat32");
    // Where gcc-multilib itself is not, beside the compiler for another machine, the headers are those of 64 bits.
    let headers = ["-idirafter", "/usr/include/x86_64-linux-gnu"];
    let built = Command::new("cc").args(["-m32", "-static", "-O2"]).args(headers).arg("-o").arg(&program).arg(source).output();
    let built = built.is_ok_and(|output| output.status.success());
    let runs = built && Command::new(&program).output().is_ok_and(|output| output.status.code() == Some(2));
    if !runs {
        skip(Need::Bits32, "no program of 32 bits is made and runs (Debian: gcc-multilib)");
    }
    runs.then_some(program)
}

#[test]
fn the_matrix_of_32_bit_programs_is_captured_and_replayed() {
    let dir = scratch();
    let Some(matrix) = matrix(dir.path()) else { return };
    let base = dir.path().join("base");
    let captured = |backend: &str| {
        let out = dir.path().join(backend);
        // A shell, so that exec changes the width and the child of fork does not.
        let shell = ["--backend", backend, "--", "sh", "-c", "\"$0\" \"$1\"", matrix.to_str().unwrap(), base.to_str().unwrap()];
        let summary = capture(0, &out, &shell);
        closes(&summary);
        assert_eq!((int(&summary, "/sum/lost"), summary["losses"].as_array().map(Vec::len)), (0, Some(0)), "{summary}");
        std::fs::remove_dir_all(&base).unwrap();
        out
    };
    let ptrace = captured("ptrace");
    assert_eq!(replay(dir.path(), &ptrace, "1"), (100.0, 100.0));
    let execs = "SELECT count(*) FROM events WHERE syscall = 'execve' AND ret = 0 AND ts IS NOT NULL AND dur IS NOT NULL";
    let positions = "SELECT \"offset\" FROM events WHERE syscall = 'pread64' ORDER BY seq DESC LIMIT 1";
    assert_eq!(rows(&[&ptrace], positions), [(5_i64 << 30).to_string()]);
    if allowed() {
        let ebpf = captured("ebpf");
        assert_eq!(replay(dir.path(), &ebpf, "1"), (100.0, 100.0));
        for capture in [&ebpf, &ptrace] {
            assert_eq!(number(&[capture], execs), 2.0);
        }
        let [ours, theirs] = [&ebpf, &ptrace].map(|capture| rows(&[capture], CALLS));
        for (line, (ours, theirs)) in ours.iter().zip(&theirs).enumerate() {
            assert_eq!(ours, theirs, "call {line}");
        }
        assert_eq!(ours.len(), theirs.len());
    }
}
