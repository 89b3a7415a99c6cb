//! `--path` and `--not-path`, live.

use super::*;

/// Some of it is about directory `in`. Data goes through a pipe, since cat copies from file to file without reading.
const SCRIPT: &str = "cd \"$0\" && mkdir in out && echo one > in/a && echo two > out/b && cat in/a out/b | cat > in/c && \
    (cd in && cat < a && mv a d) && mv out/b in/e && exec 5< in/d && cat <&5 && rm -r out";

/// A filtered capture has no orphans, and its sum comes out; both backends filter alike.
#[test]
fn only_what_is_about_the_paths_stays() {
    let dir = scratch();
    let home = dir.path().canonicalize().unwrap();
    for backend in ["ptrace", "ebpf"] {
        if backend == "ebpf" && !allowed() {
            continue;
        }
        let base = home.join(backend);
        std::fs::create_dir(&base).unwrap();
        let (out, inside) = (base.join("capture"), base.join("in"));
        let command = ["--backend", backend, "--path", inside.to_str().unwrap(), "--not-path", "*/c", "--", "sh", "-c", SCRIPT];
        let summary = capture(0, &out, &[&command[..], &[base.to_str().unwrap()]].concat());
        closes(&summary);
        assert!(int(&summary, "/sum/filtered") > 50, "{summary}");
        #[cfg(feature = "sql")]
        {
            let about = "SELECT path, path2 FROM events WHERE syscall IN (SELECT syscall FROM syscall_def WHERE arguments LIKE '%Path%') \
                AND syscall NOT IN ('execve', 'chdir', 'getcwd') ORDER BY seq";
            let found = rows(&[&out], about);
            let outside = |row: &&String| {
                row.contains("in/c") || row.starts_with("out") && !row.contains("in/e") || row.starts_with("/etc")
            };
            assert!(found.len() > 5 && !found.iter().any(|row| outside(&row)), "{found:?}");
            // The file that stays is read three times: by name, as standard input, and through a copied descriptor.
            let read = "SELECT count(*), sum(ret) FROM events WHERE syscall = 'read' AND ret > 0";
            assert_eq!(rows(&[&out], read), ["3,12"], "{backend}");
            let workload = base.join("workload");
            expect(0, &["generate", out.to_str().unwrap(), "-o", workload.to_str().unwrap()]);
            // What is copied onto a file that stays ends it, so it stays too.
            let orphans = "SELECT count(*) FROM fates JOIN events ON fates.seq = events.seq \
                WHERE reason = 'unknown_fd' AND on_file AND events.syscall NOT LIKE 'dup%'";
            assert_eq!(number(&[&out, &workload], orphans), 0.0);
            let (matched, _) = replayed::replay(&base, &out, "1");
            assert_eq!(matched, 100.0);
        }
    }
}

#[test]
fn a_pattern_that_is_none_is_bad_usage() {
    let error = ioriot(&["capture", "-o", "x", "--path", "data/*", "--", "true"]);
    assert_eq!(error.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&error.stderr).contains("must begin with"), "{error:?}");
}
