//! What an op waited for beside files: from the text of a trace to the times of a replay.

use crate::tool::{expect, rows};
use std::fs;
use std::path::PathBuf;
use tempfile::TempDir;

/// Where the log and what is made of it are.
struct Story {
    dir: TempDir,
}

impl Story {
    /// Captures, replays as the program would, and keeps workload and run.
    fn told(log: &str, pace: &str) -> Story {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("log");
        fs::write(&file, log).unwrap();
        let out = dir.path().join("out");
        expect(0, &["run", file.to_str().unwrap(), "-o", out.to_str().unwrap(), "--pace", pace, "--threads", "4"]);
        Story { dir }
    }

    fn dataset(&self, name: &str) -> PathBuf {
        self.dir.path().join("out").join(name)
    }

    /// Edges with a delay between ops on these files: the path of the earlier op, of the later one, the kind and the delay in ms.
    fn causes(&self) -> Vec<String> {
        let sql = "SELECT earlier.path, later.path, resource, round(delay / 1e6) FROM edges \
                   JOIN ops AS later ON later.op_id = edges.op_id JOIN ops AS earlier ON earlier.op_id = edges.after \
                   WHERE delay IS NOT NULL ORDER BY edges.op_id, edges.after";
        rows(&[&self.dataset("workload")], sql)
    }

    /// How long after the end of the op on the one file the first op on the other began in the replay, ms.
    fn apart(&self, earlier: &str, later: &str) -> f64 {
        let of = |path: &str| format!("(SELECT op_id FROM ops WHERE path = '{path}' AND syscall = 'openat')");
        let sql = format!(
            "SELECT ((SELECT min(begin) FROM results WHERE op_id IN {}) - (SELECT max(begin + dur) FROM results WHERE op_id IN {})) / 1e6",
            of(later),
            of(earlier)
        );
        rows(&[&self.dataset("workload"), &self.dataset("run")], &sql)[0].parse().unwrap()
    }
}

/// A parent (100) makes what `made` says and forks 200. The parent writes /w/a from 0.010 to 0.011, and hands on at 0.040;
/// the child makes /w/b at 0.060.
fn handed(made: &str, sends: &str, receives: &[&str]) -> String {
    let mut log = format!(
        "100 1700000000.000000 {made} <0.000010>\n\
         100 1700000000.001000 clone(child_stack=NULL, flags=SIGCHLD) = 200 <0.000050>\n\
         200 1700000000.001500 openat(AT_FDCWD, \"/w/c\", O_WRONLY|O_CREAT, 0644) = 9 <0.000100>\n"
    );
    let mut lines: Vec<String> = receives.iter().map(|line| format!("200 {line}\n")).collect();
    lines.push("100 1700000000.010000 openat(AT_FDCWD, \"/w/a\", O_WRONLY|O_CREAT, 0644) = 5 <0.001000>\n".into());
    lines.push(format!("100 1700000000.040000 {sends} <0.000010>\n"));
    lines.push("200 1700000000.060000 openat(AT_FDCWD, \"/w/b\", O_WRONLY|O_CREAT, 0644) = 6 <0.000100>\n".into());
    lines.sort_by(|a, b| a[4..].cmp(&b[4..]));
    log.extend(lines);
    log
}

#[test]
fn who_reads_from_a_pipe_or_a_socket_follows_who_wrote() {
    let waits = ["1700000000.002000 read(3, <unfinished ...>", "1700000000.040020 <... read resumed>\"t\", 1) = 1 <0.038020>"];
    let there = ["1700000000.055000 read(3, \"t\", 1) = 1 <0.000010>"];
    let pipe = "pipe([3, 4]) = 0";
    let pair = "socketpair(AF_UNIX, SOCK_STREAM, 0, [3, 4]) = 0";
    // Whether the reader slept or not, its next op comes after the writer's last; 29 ms of the writer, and what the reader took.
    for (made, receives, delay) in [(pipe, &waits[..], 49), (pair, &waits, 49), (pipe, &there, 34)] {
        let log = handed(made, "write(4, \"t\", 1) = 1", receives);
        let story = Story::told(&log, "app");
        assert_eq!(story.causes(), [format!("/w/a,/w/b,message,{delay}.0")], "{log}");
        let apart = story.apart("/w/a", "/w/b");
        assert!(apart >= f64::from(delay) - 0.1 && apart < 1700000000.0, "{apart} ms, {log}");
    }
    // As soon as possible the order is the same, and nothing is waited for.
    let story = Story::told(&handed(pipe, "write(4, \"t\", 1) = 1", &waits), "asap");
    let apart = story.apart("/w/a", "/w/b");
    assert!((0.0..25.0).contains(&apart), "{apart} ms");
    // Of bytes that went elsewhere nothing follows.
    let story = Story::told(&handed(pipe, "write(1, \"t\", 1) = 1", &waits), "asap");
    assert_eq!(story.causes(), [] as [&str; 0]);
}

#[test]
fn a_child_follows_its_parent_and_who_waits_for_it_follows_the_child() {
    let log = "\
        100 1700000000.000000 openat(AT_FDCWD, \"/w/a\", O_WRONLY|O_CREAT, 0644) = 5 <0.001000>\n\
        100 1700000000.011000 clone(child_stack=NULL, flags=SIGCHLD) = 200 <0.000050>\n\
        200 1700000000.031000 openat(AT_FDCWD, \"/w/b\", O_WRONLY|O_CREAT, 0644) = 6 <0.001000>\n\
        100 1700000000.032000 wait4(-1,  <unfinished ...>\n\
        200 1700000000.042000 exit_group(0) = ?\n\
        200 1700000000.042010 +++ exited with 0 +++\n\
        100 1700000000.042100 <... wait4 resumed>NULL, 0, NULL) = 200 <0.010100>\n\
        100 1700000000.052000 openat(AT_FDCWD, \"/w/c\", O_WRONLY|O_CREAT, 0644) = 7 <0.001000>\n";
    let story = Story::told(log, "app");
    let causes = story.causes();
    assert!(causes.contains(&"/w/a,/w/b,task,30.0".to_owned()), "{causes:?}");
    assert!(causes.iter().any(|cause| cause.contains(",/w/c,task,")), "{causes:?}");
    assert!(story.apart("/w/a", "/w/b") >= 29.9 && story.apart("/w/b", "/w/c") >= 9.9);
}

#[test]
fn without_waits_in_the_capture_all_between_two_calls_is_the_lanes_own_time() {
    let mut log = String::new();
    for (at, work) in [(0, 3), (40, 9), (80, 2), (120, 12), (160, 5), (200, 8)] {
        log += &format!("100 1700000000.{at:03}000 open(\"/w/f\", O_WRONLY|O_CREAT, 0644) = 3 <0.{work:03}000>\n");
    }
    let story = Story::told(&log, "app");
    let sum = rows(&[&story.dataset("workload")], "SELECT sum(think) / 1000000, max(timer) FROM ops WHERE origin = 'event'");
    assert_eq!(sum, ["169,"], "37, 31, 38, 28 and 35 ms");
}
