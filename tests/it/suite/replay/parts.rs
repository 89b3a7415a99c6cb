//! Parts: one workload replayed by several replays at a time, in one root, which hear of each other through sockets.

use super::work::{Row, Work, op, run};
use crate::alone::alone;
use ioriot::init;
use ioriot::progress::Progress;
use ioriot::replay::link::frame::{BYTES, Frame};
use ioriot::replay::link::hub::{Hub, News};
use ioriot::replay::link::{Line, Role};
use ioriot::replay::{Options, Part, Summary};
use ioriot::schema::Table;
use ioriot::schema::read;
use libc::clock_gettime;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A directory that goes from lane to lane: made, filled, renamed, looked for, emptied. No two lanes share a description or a
/// process, and each step follows the one before, of another lane.
pub fn relay(rounds: i64, lanes: i64) -> Work {
    let mut work = Work::new();
    work.row_group = 97;
    work.need("/top", "dir", 0);
    for (ofd, round) in (0..).zip(0..rounds) {
        let (old, new) = (format!("/top/d{round}"), format!("/top/e{round}"));
        let lane = |step: i64| (round * 5 + step) * 7 % lanes;
        let steps: [Vec<Row>; 5] = [
            vec![op("mkdir", 0).raw(&old).set("mode", 0o755)],
            vec![
                op("creat", 3).raw(format!("{old}/a")).set("mode", 0o600).ofd(ofd),
                op("write", 10).ofd(ofd).count(10),
                op("close", 0).ofd(ofd),
            ],
            vec![op("rename", 0).raw(&old).raw2(&new), op("stat", -2).raw(format!("{old}/a"))],
            vec![op("truncate", 0).raw(format!("{new}/a")).count(7)],
            vec![op("rename", 0).raw(format!("{new}/a")).raw2(format!("{new}/b")), op("stat", -2).raw(format!("{new}/a"))],
        ];
        for (step, ops) in (0..).zip(steps) {
            for row in ops {
                work.op(row.lane(lane(step)).set("vpid", lane(step)));
            }
        }
        work.expect(&new, "dir", None).expect(&format!("{new}/b"), "file", Some(7)).expect(&old, "absent", None);
    }
    for lane in 0..lanes as usize {
        work.edits.push((Table::Lanes, lane, "vpid", lane.into()));
    }
    work.expect("/top", "dir", None);
    work.in_a_row();
    work
}

fn monotonic() -> i64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: time is writable.
    unsafe { clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    time.tv_sec * 1_000_000_000 + time.tv_nsec
}

/// One machine: its replay, and the coordinator's end of its line.
struct Machine {
    stream: UnixStream,
    replay: JoinHandle<Summary>,
}

fn begin(work: &Work, part: Part, tell: &Sender<(usize, Option<Frame>)>, options: &Options) -> Machine {
    let (ours, stream) = UnixStream::pair().unwrap();
    let number = part.number;
    let role = if number == 0 { Role::Leads } else { Role::Follows };
    let names = (0..part.of).map(|number| format!("machine {number}")).collect();
    let line = Some(Arc::new(Line { part, role, names, stream }));
    let options = Options { line, out: work.place(&format!("run{number}")), ..options.clone() };
    let (mut frames, tell) = (ours.try_clone().unwrap(), tell.clone());
    std::thread::spawn(move || {
        let mut bytes = [0; BYTES];
        while frames.read_exact(&mut bytes).is_ok() {
            tell.send((number, Some(Frame::parse(&bytes).unwrap()))).unwrap();
        }
        let _ = tell.send((number, None));
    });
    Machine { stream: ours, replay: std::thread::spawn(move || run(&options).unwrap()) }
}

/// Passes frames on until all are done or lost; cuts the last machine off after so many counters.
fn coordinate(machines: &[Machine], hub: &mut Hub, told: &Receiver<(usize, Option<Frame>)>, cut: Option<u64>) {
    let mut counters = 0;
    let send = |to: usize, frame: Frame| drop((&machines[to].stream).write_all(&frame.bytes()));
    loop {
        let (from, frame) = told.recv_timeout(Duration::from_secs(60)).unwrap();
        counters += u64::from(matches!(frame, Some(Frame::Counter { .. })));
        if cut.is_some_and(|cut| counters > cut) {
            machines.last().unwrap().stream.shutdown(Shutdown::Both).unwrap();
            hub.lose(machines.len() - 1, send);
            return;
        }
        match frame.map(|frame| hub.hear(from, frame, send)) {
            Some(News::Nothing) => {}
            Some(News::AllReady) => {
                let at = monotonic() + 20_000_000;
                (0..machines.len()).for_each(|to| send(to, Frame::Start { at }));
            }
            Some(News::AllDone) => return,
            Some(News::Ended | News::Lost) | None => panic!("machine {from} was lost"),
        }
    }
}

/// Replays a workload by so many machines.
fn together(work: &Work, machines: usize, options: &Options, cut: Option<u64>) -> Vec<Summary> {
    init::run(&init::Options { force: true, ..work.init_options() }, &Progress::default()).unwrap();
    let (tell, told) = channel();
    let mut hub = Hub::new(machines);
    let mut all = vec![begin(work, Part { number: 0, of: machines }, &tell, options)];
    // The others come into the root that the first has checked and marked.
    let first = told.recv_timeout(Duration::from_secs(60)).unwrap();
    assert_eq!(first, (0, Some(Frame::Ready)));
    hub.hear(0, Frame::Ready, |_, _| {});
    all.extend((1..machines).map(|number| begin(work, Part { number, of: machines }, &tell, options)));
    coordinate(&all, &mut hub, &told, cut);
    all.into_iter().map(|machine| machine.replay.join().unwrap()).collect()
}

fn options(work: &Work) -> Options {
    Options { tmpfs: init::Tmpfs::Disk, ..work.options() }
}

#[test]
fn parts_of_a_replay_are_one() {
    let work = relay(60, 12);
    work.write();
    let ops = work.ops.len() as u64;
    for (machines, delay, threads) in [(2, None, None), (4, Some(1), None), (3, None, Some(2))] {
        let summaries = together(&work, machines, &Options { delay, threads, ..options(&work) }, None);
        assert_eq!(summaries.iter().map(|summary| summary.ops).sum::<u64>(), ops);
        let mut edges = 0;
        for (number, summary) in summaries.iter().enumerate() {
            assert!(summary.ops > 0, "machine {number} of {machines} has none");
            assert_eq!((summary.different, summary.uncompared, summary.complete), (0, 0, true), "{summary}");
            let order = summary.figures.order_violations.unwrap();
            edges += order.edges;
            assert_eq!(order.violations, 0);
            // Only the first looks at the tree, and when all are done.
            let verdicts = summary.state.as_ref().map(|state| state.verdicts.keys().copied().collect::<Vec<_>>());
            assert_eq!(verdicts, (number == 0).then(|| vec!["same"]), "{summary}");
            let results = work.place(&format!("run{number}")).join("results.parquet");
            assert_eq!(read::builder(&results, &[]).unwrap().rows() as u64, summary.ops);
            std::fs::remove_dir_all(work.place(&format!("run{number}"))).unwrap();
        }
        assert!(edges < work.edges.len() as u64 / 2, "most edges go from one machine to another: {edges}");
    }
}

/// Of one machine, too, the coordinator says when it begins.
#[test]
fn a_machine_begins_when_it_is_told_to() {
    let work = relay(20, 2);
    work.write();
    init::run(&init::Options { force: true, ..work.init_options() }, &Progress::default()).unwrap();
    let (tell, told) = channel();
    let machine = begin(&work, Part { number: 0, of: 1 }, &tell, &options(&work));
    assert_eq!(told.recv_timeout(Duration::from_secs(60)).unwrap(), (0, Some(Frame::Ready)));
    assert!(told.recv_timeout(Duration::from_millis(300)).is_err(), "nobody has told it to begin");
    let mut hub = Hub::new(1);
    let send = |_: usize, frame: Frame| drop((&machine.stream).write_all(&frame.bytes()));
    assert_eq!(hub.hear(0, Frame::Ready, send), News::AllReady);
    send(0, Frame::Start { at: monotonic() + 20_000_000 });
    coordinate(std::slice::from_ref(&machine), &mut hub, &told, None);
    let summary = machine.replay.join().unwrap();
    assert!(summary.ok() && summary.complete, "{summary}");
}

#[test]
fn a_lost_machine_ends_the_others() {
    alone();
    let work = relay(400, 12);
    work.write();
    let began = Instant::now();
    let summaries = together(&work, 3, &Options { delay: Some(3), ..options(&work) }, Some(200));
    assert!(began.elapsed() < Duration::from_secs(60), "{:?}", began.elapsed());
    for (number, summary) in summaries.iter().enumerate() {
        assert!(!summary.complete && !summary.ok() && summary.different == 0, "{summary}");
        let says =
            if number == 2 { "the coordinator of the replay is gone" } else { "machine 2 was lost, or its replay ended early" };
        assert_eq!(summary.lost.len(), 1, "{:?}", summary.lost);
        assert!(summary.lost[0].starts_with(says), "{:?}", summary.lost);
        assert!(summary.state.is_none());
    }
}

#[test]
fn only_what_machines_can_do_together_is_asked_of_them() {
    let work = relay(1, 2);
    work.write();
    init::run(&work.init_options(), &Progress::default()).unwrap();
    let line = |role| {
        let (stream, _) = UnixStream::pair().unwrap();
        Some(Arc::new(Line { part: Part { number: 0, of: 2 }, role, names: Vec::new(), stream }))
    };
    let refused = |options: Options| run(&options).unwrap_err().to_string();
    let leads = || Options { line: line(Role::Leads), ..options(&work) };
    let strict = refused(Options { order: ioriot::replay::Order::Strict, ..leads() });
    assert!(strict.contains("order resource only"), "{strict}");
    let memory = refused(Options { tmpfs: init::Tmpfs::Memory, ..leads() });
    assert!(memory.contains("--tmpfs disk"), "{memory}");
    let fresh = refused(Options { line: line(Role::Follows), ..options(&work) });
    assert!(fresh.contains("not the same directory"), "{fresh}");
}
