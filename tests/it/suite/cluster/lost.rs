//! What happens when processes of a cluster are not there, or not any more: the right rows or a clear error, and never no end.

use super::processes::{Cluster, LIMIT, Process, refused, said, within};
use crate::tool::{command, data, expect};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::{Duration, Instant};

/// Two hosts, so that two executors read.
fn capture(dir: &Path) -> PathBuf {
    let capture = dir.join("capture");
    expect(0, &["ingest", &data("matrix.strace"), &data("e-fio.strace.gz"), "-o", capture.to_str().unwrap()]);
    capture
}

/// A question of three stages, for some seconds. The second one takes the time, on all executors, over rows of the first that both of
/// them have.
const SECONDS: &str = "SELECT k % 10 AS g, count(*) AS n, max(md5(repeat(concat(p, k), 5000))) AS h \
                       FROM (SELECT seq AS k, max(path) AS p FROM events GROUP BY 1) GROUP BY 1";

/// A question for minutes, of many tasks of some seconds each: a task ends between two batches of rows only.
fn minutes() -> String {
    let part = |number| {
        let hash = format!("max(md5(repeat(concat(p, k), {})))", 5_000 + number);
        format!("SELECT k % 10 AS g, {hash} AS h FROM (SELECT seq AS k, max(path) AS p FROM events GROUP BY 1) GROUP BY 1")
    };
    (0..40).map(part).collect::<Vec<_>>().join(" UNION ALL ")
}

/// Processor time of a process, hundredths of seconds (proc_pid_stat(5)).
fn worked(pid: u32) -> u64 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let words = stat[stat.rfind(')').unwrap() + 2..].split(' ');
    words.skip(11).take(2).map(|ticks| ticks.parse::<u64>().unwrap()).sum()
}

#[test]
fn nobody_there_is_an_error_after_a_few_seconds() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let cluster = Cluster::start(0, dir.path());
    let began = Instant::now();
    let error = refused(&cluster.ask(&[&capture], "SELECT count(*) FROM events"));
    assert!(error.contains("no executors") && began.elapsed() < Duration::from_secs(20), "{error}");
    let at = cluster.scheduler.at.clone();
    drop(cluster);
    for mut asked in
        [command(&["query", "--cluster", &at]), command(&["cluster", "executor", "--scheduler", &at, "--allow", "/"])]
    {
        if asked.get_args().any(|arg| arg == "query") {
            asked.arg(&capture).arg("SELECT 1");
        }
        let error = refused(&within(LIMIT, asked));
        assert!(error.contains("nobody answers"), "{error}");
    }
    let error = refused(&within(LIMIT, {
        let mut query = command(&["query", "--cluster", "no such host"]);
        query.arg(&capture).arg("SELECT 1");
        query
    }));
    assert!(error.contains("no HOST:PORT") || error.contains("nobody answers"), "{error}");
}

/// Starts a long question, kills executors by `lose` while it runs, and gives what it says.
fn interrupted(cluster: &mut Cluster, capture: &Path, after: Duration, lose: impl FnOnce(&mut Vec<Process>)) -> Output {
    let mut child = cluster.query(&[capture], SECONDS).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(after);
    assert!(child.try_wait().unwrap().is_none(), "the question is over before anything is lost");
    lose(&mut cluster.executors);
    let pid = child.id() as i32;
    let watch = std::thread::spawn(move || child.wait_with_output().unwrap());
    let began = Instant::now();
    while !watch.is_finished() {
        if began.elapsed() > LIMIT {
            // SAFETY: kill(2) of a child that is waited for.
            unsafe { libc::kill(pid, libc::SIGKILL) };
            panic!("no end after an executor was lost");
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    watch.join().unwrap()
}

#[test]
fn a_lost_executor_costs_time_and_no_rows() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let mut cluster = Cluster::start(2, dir.path());
    let mut expected: Vec<String> = said(&cluster.ask(&[&capture], SECONDS)).lines().map(str::to_owned).collect();
    expected.sort();
    let mut answered = 0;
    for after in [500, 1500, 3000] {
        let output = interrupted(&mut cluster, &capture, Duration::from_millis(after), |executors| drop(executors.remove(0)));
        if output.status.code() == Some(0) {
            let mut found: Vec<String> = said(&output).lines().map(str::to_owned).collect();
            found.sort();
            assert_eq!(expected, found, "after {after} ms");
            answered += 1;
        } else {
            let error = refused(&output);
            assert!(error.contains("lost"), "after {after} ms: {error}");
        }
        // The one that is left, and then a new one too, answers.
        assert_eq!(said(&cluster.ask(&[&capture], "SELECT count(*) AS n FROM events")).lines().count(), 2);
        let started = Process::start(cluster.executor(dir.path())).unwrap();
        cluster.executors.push(started);
    }
    assert!(answered > 0, "an executor that is lost always fails the query");
}

#[test]
fn without_an_executor_left_there_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let mut cluster = Cluster::start(2, dir.path());
    let output = interrupted(&mut cluster, &capture, Duration::from_millis(700), Vec::clear);
    refused(&output);
}

#[test]
fn without_its_scheduler_a_question_fails_and_executors_wait() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let mut cluster = Cluster::start(1, dir.path());
    let child = cluster.query(&[&capture], SECONDS).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    std::thread::sleep(Duration::from_millis(700));
    cluster.scheduler.child.kill().unwrap();
    cluster.scheduler.child.wait().unwrap();
    let pid = child.id() as i32;
    let watch = std::thread::spawn(move || child.wait_with_output().unwrap());
    let began = Instant::now();
    while !watch.is_finished() && began.elapsed() < LIMIT {
        std::thread::sleep(Duration::from_millis(20));
    }
    if !watch.is_finished() {
        // SAFETY: kill(2) of a child that is waited for.
        unsafe { libc::kill(pid, libc::SIGKILL) };
        panic!("no end without a scheduler");
    }
    refused(&watch.join().unwrap());
    // One that comes back at the same place is found again.
    let again = Process::start(command(&["cluster", "scheduler", "--bind", &cluster.scheduler.at])).unwrap();
    cluster.scheduler = again;
    let began = Instant::now();
    loop {
        let output = cluster.ask(&[&capture], "SELECT count(*) AS n FROM events");
        if output.status.code() == Some(0) {
            break;
        }
        assert!(began.elapsed() < LIMIT, "{}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn a_question_that_nobody_waits_for_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let cluster = Cluster::start(1, dir.path());
    let mut child = cluster.query(&[&capture], &minutes()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    let (began, executor) = (Instant::now(), cluster.executors[0].child.id());
    let idle = worked(executor);
    while worked(executor) < idle + 100 {
        assert!(began.elapsed() < LIMIT && child.try_wait().unwrap().is_none());
        std::thread::sleep(Duration::from_millis(50));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let began = Instant::now();
    loop {
        let before = worked(executor);
        std::thread::sleep(Duration::from_secs(3));
        if worked(executor) - before < 30 {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(60), "it still computes what nobody waits for");
    }
    said(&cluster.ask(&[&capture], "SELECT count(DISTINCT seq) AS n FROM events"));
}

/// An executor that is asked to end says so, and leaves nothing behind.
#[test]
fn an_executor_ends_when_it_is_asked_to() {
    let dir = tempfile::tempdir().unwrap();
    let capture = capture(dir.path());
    let mut cluster = Cluster::start(2, dir.path());
    said(&cluster.ask(&[&capture], "SELECT syscall, count(*) FROM events GROUP BY 1"));
    let kept = || {
        let places = [0, 1].map(|place| cluster_dir(&cluster.rows, place));
        places.map(|place| std::fs::read_dir(place).unwrap().count())
    };
    assert_eq!(kept(), [1, 1]);
    let first = &mut cluster.executors[0].child;
    // SAFETY: kill(2) of a child that was not waited for.
    unsafe { libc::kill(first.id() as i32, libc::SIGTERM) };
    let began = Instant::now();
    let code = loop {
        match first.try_wait().unwrap() {
            Some(status) => break status.code(),
            None if began.elapsed() > LIMIT => panic!("it does not end"),
            None => std::thread::sleep(Duration::from_millis(20)),
        }
    };
    assert_eq!(code, Some(143));
    let places = [0, 1].map(|place| cluster_dir(&cluster.rows, place));
    assert_eq!(places.map(|place| std::fs::read_dir(place).unwrap().count()), [0, 1]);
    // The other one is asked at once.
    let began = Instant::now();
    said(&cluster.ask(&[&capture], "SELECT count(*) FROM events"));
    assert!(began.elapsed() < Duration::from_secs(30));
    // What a killed one has left is removed by the next in its place.
    cluster.executors[1].child.kill().unwrap();
    cluster.executors[1].child.wait().unwrap();
    cluster.executors.remove(0);
    let started = Process::start(cluster.executor(dir.path())).unwrap();
    cluster.executors.push(started);
    assert_eq!(std::fs::read_dir(cluster_dir(&cluster.rows, 1)).unwrap().count(), 1);
}

fn cluster_dir(rows: &tempfile::TempDir, place: usize) -> PathBuf {
    rows.path().join(place.to_string())
}
