use super::*;
use crate::model::Touch;
use crate::order::number;

fn touch(kind: Resource, id: i64, access: Access) -> i64 {
    number(Touch { kind, id, access })
}

/// A row of lane `lane`, whose thread has that id plus 100, from `begin` to `end`.
fn row(what: What, lane: i64, begin: i64, end: i64) -> Moment {
    Moment { what, lane, tid: Some(lane + 100), begin: Some(begin), dur: end - begin, cpu: None }
}

/// Causes as `(op, after, delay)`, and the think time of each op.
type Given = (Vec<(i64, i64, Option<i64>)>, Vec<Option<i64>>);

/// What the rows give.
fn run(rows: &[(Moment, &[i64])]) -> Given {
    let (mut causes, mut out, mut think) = (Causes::default(), Vec::new(), Vec::new());
    for (row, touches) in rows {
        think.extend(causes.row(row, touches.iter().copied(), &mut out).map(|timing| timing.think));
    }
    (out.iter().map(|cause| (cause.edge.op, cause.edge.after, cause.delay)).collect(), think)
}

#[test]
fn a_reader_of_a_pipe_waits_for_its_writer_and_then_for_its_own_time() {
    let (sends, receives) = (touch(Resource::Message, 3, Access::Write), touch(Resource::Message, 3, Access::Read));
    // Lane 1 is in its read from 10 to 62, and lane 0 writes at 60, 20 after its op; lane 1 takes 5 before and 8 after the wait.
    let rows: &[(Moment, &[i64])] = &[
        (row(What::Op, 0, 0, 40), &[]),
        (row(What::Op, 1, 2, 5), &[]),
        (row(What::Other, 1, 10, 62), &[]),
        (row(What::Other, 0, 60, 61), &[sends]),
        (row(What::Op, 1, 68, 70), &[receives]),
        (row(What::Op, 0, 90, 95), &[]),
    ];
    assert_eq!(run(rows), (vec![(2, 0, Some(28))], vec![Some(0), Some(2), Some(13), Some(50)]));
    // The data was there: nobody waits, and the order is the same.
    let rows: &[(Moment, &[i64])] = &[
        (row(What::Op, 0, 0, 40), &[]),
        (row(What::Other, 0, 60, 61), &[sends]),
        (row(What::Op, 1, 62, 65), &[]),
        (row(What::Other, 1, 70, 71), &[receives]),
        (row(What::Op, 1, 75, 80), &[]),
    ];
    assert_eq!(run(rows), (vec![(2, 0, Some(25))], vec![Some(0), Some(62), Some(10)]));
}

#[test]
fn who_issues_nothing_hands_on_what_it_waited_for() {
    let message = |id, access| touch(Resource::Message, id, access);
    // A client (lane 1) answers the server (lane 0) after 30; then it wakes a second server (lane 2).
    let rows: &[(Moment, &[i64])] = &[
        (row(What::Op, 0, 0, 10), &[]),
        (row(What::Other, 1, 1, 21), &[]),
        (row(What::Other, 0, 20, 21), &[message(1, Access::Write)]),
        (row(What::Other, 0, 22, 52), &[]),
        (row(What::Other, 1, 50, 51), &[message(1, Access::Read), message(2, Access::Write)]),
        (row(What::Op, 0, 57, 60), &[message(2, Access::Read)]),
        (row(What::Slept(Wake::Thread, Some(101)), 2, 0, 70), &[]),
        (row(What::Op, 2, 75, 80), &[]),
    ];
    // 10 before the send, 30 of the client, 7 after it; and 10 + 50 + 5.
    assert_eq!(run(rows), (vec![(2, 0, Some(65))], vec![Some(0), Some(47), None]));
}

#[test]
fn sleeps_and_queues_are_no_computing() {
    // A timer let it go (the sleep counts), it was preempted for 15, and nobody knows why it slept for 7.
    let rows: &[(Moment, &[i64])] = &[
        (row(What::Op, 0, 0, 10), &[]),
        (row(What::Slept(Wake::Timer, None), 0, 20, 60), &[]),
        (row(What::Slept(Wake::Outside, None), 0, 62, 69), &[]),
        (Moment { cpu: Some(28), ..row(What::Op, 0, 100, 110) }, &[]),
    ];
    assert_eq!(run(rows), (vec![], vec![Some(0), Some(75)]));
    // A sleep inside an op is part of the op.
    let rows: &[(Moment, &[i64])] = &[
        (row(What::Op, 1, 0, 5), &[]),
        (row(What::Op, 0, 0, 10), &[]),
        (row(What::Slept(Wake::Thread, Some(101)), 0, 30, 60), &[]),
        (row(What::Op, 0, 20, 80), &[]),
        (row(What::Op, 0, 90, 95), &[]),
    ];
    assert_eq!(run(rows), (vec![], vec![Some(0), Some(0), Some(10), Some(10)]));
}

#[test]
fn computing_and_sleeps_that_nobody_can_explain_are_told_apart() {
    let cpu = |cpu, row: Moment| Moment { cpu: Some(cpu), ..row };
    let rows = [
        cpu(5, row(What::Op, 0, 0, 10)),
        cpu(20, row(What::Other, 0, 30, 40)),
        row(What::Slept(Wake::Interrupt, None), 0, 50, 57),
        row(What::Slept(Wake::Outside, None), 0, 60, 64),
        row(What::Slept(Wake::Unknown, None), 0, 65, 68),
        cpu(30, row(What::Op, 0, 100, 110)),
        // More than there was time for, as rounded times may have it.
        cpu(12, row(What::Op, 0, 120, 130)),
        Moment { begin: None, dur: 0, ..row(What::Op, 0, 0, 0) },
        row(What::Op, 0, 150, 160),
    ];
    let (mut causes, mut out) = (Causes::default(), Vec::new());
    let told = rows.iter().filter_map(|row| causes.row(row, [].into_iter(), &mut out));
    let told: Vec<_> = told.map(|timing| (timing.think, timing.compute, timing.unexplained)).collect();
    // 90 in all, of which it was kept from a processor for 16: 60 from the end of its call, less 30 and 14 asleep.
    let expected = [
        (Some(0), Some(0), None),
        (Some(74), Some(50), Some(10)),
        (Some(10), Some(10), None),
        (None, None, None),
        (Some(20), None, None),
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_child_begins_when_its_parent_has_forked() {
    let task = |access| touch(Resource::Task, 1, access);
    let ends = |access| touch(Resource::Task, 2, access);
    let rows: &[(Moment, &[i64])] = &[
        (row(What::Op, 0, 100, 110), &[]),
        (row(What::Other, 0, 130, 131), &[task(Access::Write)]),
        (row(What::Op, 1, 140, 150), &[task(Access::Read)]),
        (row(What::Other, 1, 180, 180), &[ends(Access::Write)]),
        (row(What::Other, 0, 135, 185), &[]),
        (row(What::Op, 0, 190, 195), &[ends(Access::Read)]),
    ];
    // The parent computed 25 before it waited and 10 after.
    assert_eq!(run(rows), (vec![(1, 0, Some(30)), (2, 1, Some(40))], vec![Some(0), None, Some(35)]));
}

#[test]
fn without_times_the_order_is_left_and_what_is_remembered_is_bounded() {
    let message = |id, access| touch(Resource::Message, id, access);
    let bare = |what, lane| Moment { begin: None, dur: 0, ..row(what, lane, 0, 0) };
    let rows: &[(Moment, &[i64])] = &[
        (bare(What::Op, 0), &[]),
        (bare(What::Other, 0), &[message(1, Access::Write)]),
        (bare(What::Other, 1), &[message(1, Access::Read)]),
        (bare(What::Op, 1), &[]),
    ];
    assert_eq!(run(rows), (vec![(1, 0, None)], vec![None, None]));
    let (mut causes, mut out) = (Causes::default(), Vec::new());
    for id in 0..3 * MESSAGES as i64 {
        let lane = id % 40;
        causes.row(&row(What::Op, lane, id * 10, id * 10 + 1), [message(id, Access::Write)].into_iter(), &mut out);
        causes.row(&row(What::Other, 50, id * 10, id * 10 + 1), [message(id, Access::Read)].into_iter(), &mut out);
        causes.row(&row(What::Slept(Wake::Thread, Some(101)), 50, id * 10, id * 10 + 1), [].into_iter(), &mut out);
    }
    assert!(causes.sent.len() <= MESSAGES && causes.order.len() <= MESSAGES);
    assert!(causes.lanes[&50].causes.len() <= CAUSES && causes.lanes[&50].slept.len() <= RECENT);
}

#[test]
fn absurd_times_are_no_more_than_wrong() {
    let [sends, receives] = [Access::Write, Access::Read].map(|access| [touch(Resource::Message, 3, access)]);
    let times = [i64::MIN, -1, 0, 1, 1 << 62, i64::MAX];
    let (mut causes, mut out) = (Causes::default(), Vec::new());
    for seed in 0..20_000_usize {
        let pick = |step: usize| times[seed / step % times.len()];
        let wake = Wake::of([1, 1, 2, 3][seed / 5 % 4]);
        let what = [What::Op, What::Other, What::Slept(wake, Some(100 + (seed / 3 % 3) as i64)), What::Op][seed % 4];
        let lane = (seed / 2 % 3) as i64;
        let moment = Moment { what, lane, tid: Some(lane + 100), begin: Some(pick(1)), dur: pick(6), cpu: Some(pick(36)) };
        let touches = [&sends[..], &receives, &[]][seed / 7 % 3];
        if let Some(Timing { think, compute, unexplained, timer }) = causes.row(&moment, touches.iter().copied(), &mut out) {
            assert!([think, compute, unexplained, timer].iter().all(|ns| ns.unwrap_or(0) >= 0), "{moment:?}");
        }
    }
    assert!(!out.is_empty() && out.iter().all(|cause| cause.delay.unwrap_or(0) >= 0));
}
