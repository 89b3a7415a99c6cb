//! What ops waited for, in programs of which on a fast disk hardly anybody ever waits: replayed on a slow one they do.

use super::{allowed, capture, closes, compile, compile_text, scratch};
use crate::alone::alone;
use crate::skip::{Need, skip};
use crate::tool::{expect, number, rows};
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::Command;
use tempfile::TempDir;

/// How often each of the two writes.
const ROUNDS: f64 = 20.0;
/// What a write takes on the slow disk, ms: the device's time for the data alone.
const WRITE_MS: f64 = 12.0;

/// A program captured on the machine's own disk.
struct Captured {
    dir: TempDir,
}

/// Builds the slow disk; `None` where that cannot be had.
fn disk(dir: &Path) -> Option<()> {
    let flags = Command::new("pkg-config").args(["--cflags", "--libs", "fuse3"]).output().ok()?;
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/model_device.c");
    let flags = String::from_utf8(flags.stdout).ok()?;
    let mut cc = Command::new("cc");
    cc.args(["-O2", "-o"]).arg(dir.join("model_device")).arg(source).args(flags.split_whitespace()).arg("-lpthread");
    let built = cc.output().is_ok_and(|done| done.status.success());
    (built && Path::new("/dev/fuse").exists() && Path::new("/dev/loop-control").exists() && crate::tool::root()).then_some(())
}

impl Captured {
    /// Captures the program with this means of waiting and makes a workload of it; `None` where something is missing.
    fn new(means: &str) -> Option<Captured> {
        if !allowed() {
            return None;
        }
        let dir = scratch();
        let program = compile_text(dir.path(), "causes", include_str!("causes.c"))?;
        if disk(dir.path()).is_none() {
            skip(Need::Disk("slow disk"), "a model device needs root, FUSE with libfuse3-dev, and loop devices");
            return None;
        }
        let (files, out) = (dir.path().join("files"), dir.path().join("capture"));
        std::fs::create_dir(&files).unwrap();
        let summary = capture(0, &out, &["--", program.to_str().unwrap(), means, files.to_str().unwrap()]);
        closes(&summary);
        let captured = Captured { dir };
        captured.generate("work", &[]);
        Some(captured)
    }

    fn at(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn generate(&self, work: &str, more: &[&str]) {
        let [from, to] = ["capture", work].map(|name| self.at(name).to_str().unwrap().to_owned());
        expect(0, &[&["generate", &from, "-o", &to], more].concat());
    }

    /// Replays a workload on a disk whose writes take so long, ms; the summary of the run.
    fn replay(&self, work: &str, run: &str, write_ms: f64) -> Value {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/suite/capture/slow.sh");
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private", "bash"]).arg(script).arg(env!("CARGO_BIN_EXE_ioriot"));
        command.arg(self.dir.path()).args([work, run, "channels=4", "flush_us=1000", &format!("write_us={}", write_ms * 1000.0)]);
        let done = command.output().unwrap();
        let said = String::from_utf8_lossy(&done.stdout).into_owned();
        assert!(done.status.success(), "{said}\n{}", String::from_utf8_lossy(&done.stderr));
        serde_json::from_str(&said).unwrap_or_else(|error| panic!("{error}: {said}"))
    }

    /// Pairs of writes of the same round, the first one's to a and the second one's to b, for which this is true in a run.
    fn pairs(&self, work: &str, run: &str, which: &str) -> f64 {
        let of = |name: &str| {
            format!(
                "(SELECT \"offset\" AS round, begin, results.dur AS dur FROM ops JOIN results ON results.op_id = ops.op_id \
                 WHERE ops.op = 'pwrite64' AND ops.path LIKE '%/files/{name}')"
            )
        };
        let sql = format!("SELECT count(*) FROM {} AS a JOIN {} AS b ON a.round = b.round WHERE {which}", of("a"), of("b"));
        number(&[&self.at(work), &self.at(run)], &sql)
    }

    /// Replays it as the program would, on the slow disk: each write of the second party comes after that of the first.
    fn keeps_order(&self) {
        self.keeps_order_of(ROUNDS);
    }

    /// The same of those rounds alone in which the second party slept in the capture: of a wait that was none nothing is known.
    /// Between its first write and its last there is one less.
    fn keeps_order_of_sleepers(&self) {
        let slept = self.slept();
        assert!(slept >= ROUNDS / 2.0, "{slept} rounds: the first party takes a nap in each");
        self.keeps_order_of(slept);
    }

    /// At least so many writes come in order.
    fn keeps_order_of(&self, rounds: f64) {
        let summary = self.replay("work", "run", WRITE_MS);
        assert_eq!((&summary["pace"], &summary["pace_chosen"]), (&"app".into(), &"waits".into()), "{summary}");
        let slow = format!("a.dur >= {WRITE_MS} * 1000000");
        assert_eq!(self.pairs("work", "run", &slow), ROUNDS, "the disk is slow");
        let ordered = self.pairs("work", "run", "b.begin >= a.begin + a.dur");
        assert!(ordered >= rounds, "{ordered} of {rounds}: {summary}");
        assert!(summary["wall"].as_f64().unwrap() >= ROUNDS * WRITE_MS * 1e6);
    }

    /// How often the second party slept for the first one in the capture, between its first write and its last.
    fn slept(&self) -> f64 {
        let writes = "SELECT events.tid, min(events.ts) AS since, max(events.ts) AS until FROM ops JOIN events ON events.seq = ops.seq \
                      WHERE ops.op = 'pwrite64' AND ops.path LIKE '%/files/b' GROUP BY events.tid";
        let sql = format!(
            "SELECT count(*) FROM waits JOIN ({writes}) AS b ON b.tid = waits.tid AND slept BETWEEN since AND until WHERE cause IN ('thread', 'network')"
        );
        number(&[&self.at("capture"), &self.at("work")], &sql)
    }
}

#[test]
fn a_reader_of_a_pipe_waits_on_a_slow_disk_though_it_never_slept() {
    let Some(captured) = Captured::new("pipe") else { return };
    assert_eq!(captured.slept(), 0.0);
    captured.keeps_order();
    // Left out, nothing keeps them apart.
    captured.generate("loose", &["--no-cause"]);
    let told = "SELECT count(*) FILTER (WHERE resource IN ('message', 'wake') OR delay IS NOT NULL), (SELECT count(think) + count(compute) FROM ops) FROM edges";
    assert_eq!(rows(&[&captured.at("loose")], told), ["0,0"]);
    let summary = captured.replay("loose", "run-loose", WRITE_MS);
    assert_eq!((&summary["pace"], &summary["pace_chosen"]), (&"asap".into(), &"no_cause".into()));
    assert!(captured.pairs("loose", "run-loose", "b.begin < a.begin + a.dur") > ROUNDS / 2.0);
}

#[test]
fn a_reader_of_a_pair_of_sockets_waits_on_a_slow_disk_though_it_never_slept() {
    let Some(captured) = Captured::new("socketpair") else { return };
    assert_eq!(captured.slept(), 0.0);
    captured.keeps_order();
}

#[test]
fn a_reader_of_a_counter_waits_on_a_slow_disk_though_it_never_slept() {
    let Some(captured) = Captured::new("eventfd") else { return };
    captured.keeps_order();
}

#[test]
fn a_parent_waits_for_children_that_had_ended_when_it_asked() {
    let Some(captured) = Captured::new("children") else { return };
    assert_eq!(captured.slept(), 0.0);
    captured.keeps_order();
}

#[test]
fn threads_wait_for_a_futex_as_long_as_a_slow_disk_takes() {
    let Some(captured) = Captured::new("futex") else { return };
    captured.keeps_order_of_sleepers();
}

#[test]
fn who_was_told_by_a_signal_waits_for_whom_it_is_from() {
    let Some(captured) = Captured::new("signal") else { return };
    captured.keeps_order_of_sleepers();
}

#[test]
fn who_waits_for_the_network_waits_for_whom_it_is_from() {
    let Some(captured) = Captured::new("network") else { return };
    captured.keeps_order_of_sleepers();
}

/// What a thread computed is computed again, on processors half as fast for twice as long.
#[test]
fn computing_is_burnt() {
    let Some(captured) = Captured::new("compute") else { return };
    let [work, root] = ["work", "root"].map(|name| captured.at(name).to_str().unwrap().to_owned());
    for (scale, ms) in [("1", 10.0), ("2", 20.0)] {
        let run = captured.at(&format!("run-{scale}"));
        expect(0, &["init", &work, "--root", &root, "--force"]);
        let args = ["replay", &work, "--root", &root, "-o", run.to_str().unwrap(), "--compute-scale", scale, "--format", "json"];
        let summary: Value = serde_json::from_str(&expect(0, &args)).unwrap();
        let of = |name: &str| summary["computing"][name].as_f64().unwrap() / 1e6;
        assert!((0.95..1.3).contains(&(of("burnt") / ROUNDS / ms)), "{} ms burnt: {summary}", of("burnt"));
        assert_eq!(of("slept"), 0.0, "the capture is of this machine, which has as many processors");
        assert!(summary["wall"].as_f64().unwrap() >= ROUNDS * ms * 1e6);
    }
}

/// Ticks of 50 ms, of which the work takes some on the slow disk: their moments stay where they were in the capture. After a relative
/// sleep each would come later by what the work takes, some 15 ms; a few ticks pass before the timer is known for a periodic one. On
/// a busy machine ticks come late, one by one: that of the last ones which was least late says what they have gathered.
#[test]
fn a_timer_fires_on_time_however_long_the_work_takes() {
    alone();
    let Some(captured) = Captured::new("timer") else { return };
    captured.replay("work", "run", 4.0);
    let ticks = "SELECT row_number() OVER (ORDER BY results.begin) AS tick, results.begin - min(results.begin) OVER () - \
                 (events.ts - min(events.ts) OVER ()) AS late FROM results JOIN ops ON ops.op_id = results.op_id \
                 JOIN events ON events.seq = ops.seq WHERE ops.op = 'pwrite64' AND ops.path LIKE '%/files/a'";
    let sql = format!("SELECT min(late) / 1000000.0 FROM ({ticks}) WHERE tick > {ROUNDS} * 3 / 4");
    let late = number(&[&captured.at("capture"), &captured.at("work"), &captured.at("run")], &sql);
    assert!(late < ROUNDS * 0.75 * 15.0 / 2.0, "{late} ms");
}

/// Who syncs for all that wait looks like threads that sync each for itself with one mutex: as many syncs, one at a time. Who wakes whom
/// behind a sync tells the two apart.
#[test]
fn a_mutex_is_no_group_commit() {
    if !allowed() {
        return;
    }
    let dir = scratch();
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/predict_apps.c");
    let Some(program) = compile(dir.path(), "apps", &source) else { return };
    let at = |name: &str| dir.path().join(name).to_str().unwrap().to_owned();
    for (name, threads, commits, pause, grouped) in [("group", "16", "800", "2000", 1), ("mutex", "8", "400", "1000", 0)] {
        let place = at(name);
        std::fs::create_dir(&place).unwrap();
        let (cap, work) = (at(&format!("{name}-capture")), at(&format!("{name}-workload")));
        closes(&capture(0, Path::new(&cap), &["--", program.to_str().unwrap(), name, &place, threads, commits, pause]));
        expect(0, &["generate", &cap, "-o", &work]);
        let syncs = number(&[Path::new(&work)], "SELECT count(*) FROM ops WHERE op = 'fdatasync'");
        let manifest: Value = serde_json::from_slice(&std::fs::read(Path::new(&work).join("manifest.json")).unwrap()).unwrap();
        assert_eq!(manifest["grouped"].as_array().unwrap().len(), grouped, "{name}: {syncs} syncs");
    }
}
