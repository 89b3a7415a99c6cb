//! Touches against the kernel: random programs of many lanes are really executed, the model says what each op touches,
//! and the ops are executed again in other orders that keep the order inside each lane and that of every two ops that
//! touch the same thing. Every outcome and the tree must be those of seq order.
//!
//! `IORIOT_ORDER_CASES=5000 cargo test --test it order` looks longer.

pub mod story;

use super::kernel::{self, Made};
use super::{Plan, plans, populate, run, show};
use crate::tool::cases;
use ioriot::dice::Dice;
use ioriot::event::{Col, Event, Text};
use ioriot::fate::Fate;
use ioriot::model::{Config, Model, Resource, Rows, Touch};
use ioriot::syscall::{Ret, Syscall};
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{RngSeed, TestRunner};
use std::collections::HashMap;
use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

/// An op of the replay.
struct Op {
    event: Event,
    lane: i64,
    ofd: Option<i64>,
    ofd2: Option<i64>,
    dir: Option<i64>,
    dir2: Option<i64>,
    cwd: Option<Vec<u8>>,
    touches: Vec<Touch>,
}

/// What the model makes of the calls.
fn ops(made: &[Event]) -> Vec<Op> {
    let mut model = Model::new(Config::default());
    let (mut rows, mut ops) = (Rows::default(), Vec::new());
    let mut last: HashMap<i64, usize> = HashMap::new();
    let mut take = |event: Option<&Event>, rows: &mut Rows| {
        for row in &rows.list {
            let (step, touches) = (&row.step, rows.touched(row).to_vec());
            if step.fate != Fate::Op {
                // The start or the end of a task counts for the op before.
                if let Some(op) = last.get(&step.vtid) {
                    let op: &mut Op = &mut ops[*op];
                    op.touches.extend(touches);
                }
                continue;
            }
            last.insert(step.vtid, ops.len());
            let event = row.args.as_deref().or(event).unwrap().clone();
            let cwd = step.cwd.as_ref().map(|cwd| cwd.to_vec());
            ops.push(Op { event, lane: step.vtid, ofd: step.ofd, ofd2: step.ofd2, dir: step.dir, dir2: step.dir2, cwd, touches });
        }
        rows.clear();
    };
    for event in made {
        model.step(event, &mut rows);
        take(Some(event), &mut rows);
    }
    model.finish(&mut rows);
    take(None, &mut rows);
    ops
}

/// The calls of the other test's plans, each made by one of three threads of its process.
fn threads(made: Vec<Made>, plans: &[Plan]) -> Vec<Event> {
    let thread = |at: usize| plans.get(at % plans.len().max(1)).map_or(0, |plan| i64::from(plan.choice >> 2) % 3);
    let by_thread = |(made, at): (Made, usize)| {
        let mut event = made.event;
        event.set(Col::Tid, event.int(Col::Pid).unwrap() + 1000 * thread(at));
        event
    };
    made.into_iter().zip(0..).map(by_thread).collect()
}

/// Which ops each op must follow.
fn edges(ops: &[Op]) -> Vec<Vec<usize>> {
    let conflict = |a: &Op, b: &Op| {
        let touched = |one: &Touch| {
            b.touches.iter().any(|two| (one.kind, one.id) == (two.kind, two.id) && !one.access.commutes(two.access))
        };
        a.lane == b.lane || a.touches.iter().any(touched)
    };
    (0..ops.len()).map(|to| (0..to).filter(|from| conflict(&ops[*from], &ops[to])).collect()).collect()
}

/// An order that keeps the edges: of what may come next, `choose` says which.
fn schedule(edges: &[Vec<usize>], mut choose: impl FnMut(&[usize]) -> usize) -> Vec<usize> {
    let mut done = vec![false; edges.len()];
    let mut order = Vec::new();
    while order.len() < edges.len() {
        let ready: Vec<usize> = (0..edges.len()).filter(|op| !done[*op] && edges[*op].iter().all(|from| done[*from])).collect();
        let next = ready[choose(&ready) % ready.len()];
        done[next] = true;
        order.push(next);
    }
    order
}

/// Executes the ops in an order; gives the outcome of each, as far as outcomes are compared.
fn execute(ops: &[Op], order: &[usize]) -> Vec<(i64, i64)> {
    std::thread::scope(|scope| {
        let work = || {
            kernel::alone();
            let mut fds: HashMap<i64, i64> = HashMap::new();
            let mut outcomes = vec![(0, 0); ops.len()];
            for at in order {
                outcomes[*at] = issue(&ops[*at], &mut fds);
            }
            outcomes
        };
        scope.spawn(work).join().unwrap()
    })
}

fn issue(op: &Op, fds: &mut HashMap<i64, i64>) -> (i64, i64) {
    if let Some(cwd) = &op.cwd {
        let mut chdir = Event::new(Syscall::chdir);
        chdir.set_text(Text::Path, cwd);
        let made = kernel::make(chdir);
        if let Some(errno) = made.event.failure() {
            return (-1, i64::from(errno));
        }
    }
    let mut event = op.event.clone();
    let of = |ofd: Option<i64>| ofd.and_then(|ofd| fds.get(&ofd).copied()).unwrap_or(-1);
    if event.int(Col::Fd).is_some() || event.syscall == Syscall::close {
        event.set(Col::Fd, of(op.ofd));
    }
    if op.ofd2.is_some() {
        event.set(Col::Fd2, of(op.ofd2));
    }
    for (col, dir) in [(Col::DirFd, op.dir), (Col::DirFd2, op.dir2)] {
        match (event.int(col), dir) {
            // One that was not open is not open now.
            (Some(0..), dir) => event.set(col, of(dir)),
            // The working directory was removed, and is kept open.
            (_, Some(dir)) => {
                let mut fchdir = Event::new(Syscall::fchdir);
                fchdir.set(Col::Fd, of(Some(dir)));
                kernel::make(fchdir);
            }
            _ => {}
        }
    }
    let made = kernel::make(event);
    match (made.event.syscall, made.event.success()) {
        (Syscall::openat, Some(fd)) => drop(fds.insert(op.ofd.unwrap_or(-1), fd)),
        (Syscall::close, Some(_)) => drop(op.ofd.and_then(|ofd| fds.remove(&ofd))),
        _ => {}
    }
    let compared = op.event.syscall.def().ret.compared() && op.event.syscall.def().ret != Ret::NewFd;
    let errno = made.event.int(Col::Errno).unwrap_or(0);
    (if compared { made.event.int(Col::Ret).unwrap_or(0) } else { 0 }, errno)
}

/// Everything below a directory: kind, size or target, and which names are of one file. Not the bytes: a replay writes its
/// own, so that who writes them last makes no difference.
fn tree(top: &Path) -> Vec<String> {
    let (mut found, mut todo) = (Vec::new(), vec![top.to_owned()]);
    let mut first: HashMap<u64, String> = HashMap::new();
    while let Some(path) = todo.pop() {
        let meta = fs::symlink_metadata(&path).unwrap();
        let name = path.strip_prefix(top).unwrap().to_string_lossy().into_owned();
        let what = if meta.is_dir() {
            let mut below: Vec<_> = fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().path()).collect();
            below.sort_by(|a, b| b.cmp(a));
            todo.extend(below);
            "dir".to_owned()
        } else if meta.is_symlink() {
            format!("link to {:?}", fs::read_link(&path).unwrap())
        } else {
            let same = first.entry(meta.ino()).or_insert_with(|| name.clone());
            format!("file of {} bytes, the same as {same}", meta.len())
        };
        found.push(format!("{name}: {what}"));
    }
    found
}

/// Executes the program of a capture in several orders; says what went wrong. Touches of one kind may be left out.
fn any_order(capture: impl Fn(&Path) -> Vec<Event>, seed: u64, without: Option<Resource>) -> Result<(), String> {
    let scratch = tempfile::tempdir().unwrap();
    let world = scratch.path().join("world");
    let root = world.join("1/2/3");
    let fresh = || {
        if world.exists() {
            fs::remove_dir_all(&world).unwrap();
        }
        fs::create_dir_all(&root).unwrap();
        populate(&root);
    };
    fresh();
    let mut ops = ops(&capture(&root));
    ops.iter_mut().for_each(|op| op.touches.retain(|touch| Some(touch.kind) != without));
    let edges = edges(&ops);
    fresh();
    let strict: Vec<usize> = (0..ops.len()).collect();
    let (outcomes, end) = (execute(&ops, &strict), tree(&world));
    let mut dice = Dice::new(seed);
    for attempt in 0..5 {
        let order = match attempt {
            // As late as possible first, then one lane as far as it comes, then at random.
            0 => schedule(&edges, |ready| ready.len() - 1),
            1 => schedule(&edges, |ready| (0..ready.len()).max_by_key(|at| (ops[ready[*at]].lane, ready.len() - at)).unwrap()),
            _ => schedule(&edges, |_| dice.roll() as usize),
        };
        fresh();
        let again = execute(&ops, &order);
        if outcomes != again || end != tree(&world) {
            let line = |at: &usize| line(*at, &ops[*at], outcomes[*at], again[*at]);
            let story = order.iter().map(line).collect::<Vec<_>>().join("\n").replace(root.to_str().unwrap(), "/R");
            return Err(format!("attempt {attempt}:\n{story}\n{end:#?}\n{:#?}", tree(&world)));
        }
    }
    Ok(())
}

fn line(at: usize, op: &Op, was: (i64, i64), is: (i64, i64)) -> String {
    let cwd = op.cwd.as_ref().map(|cwd| String::from_utf8_lossy(cwd).into_owned()).unwrap_or_default();
    let mark = if was == is { "" } else { "  <-- differs" };
    format!("{at:3} lane {} ofd {:?} in {cwd}: {} was {was:?} is {is:?}{mark}", op.lane, op.ofd, show(&op.event))
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 2000, ..cases("IORIOT_ORDER_CASES", 75, 2) })]

    #[test]
    fn any_order_that_keeps_the_touches_is_as_good_as_seq_order(plans in plans(), seed in any::<u64>()) {
        let wrong = any_order(|root| threads(run(&plans, root), &plans), seed, None);
        prop_assert!(wrong.is_ok(), "{}", wrong.unwrap_err());
    }

    #[test]
    fn any_order_of_entangled_stories_is_as_good_as_seq_order(lines in story::program(), seed in any::<u64>()) {
        let wrong = any_order(|root| story::tell(&lines, root), seed, None);
        prop_assert!(wrong.is_ok(), "{}", wrong.unwrap_err());
    }
}

/// The test above would notice: without any one kind of touches it fails. No outcome depends on who started whom, or told it.
#[test]
fn no_kind_of_touches_can_be_left_out() {
    for kind in Resource::ALL.iter().filter(|kind| !matches!(kind, Resource::Task | Resource::Message | Resource::Wake)) {
        let config = ProptestConfig { rng_seed: RngSeed::Fixed(3), ..ProptestConfig::default() };
        let mut runner = TestRunner::new(config);
        let wrong = (0..1000).position(|seed| {
            let lines = story::program().new_tree(&mut runner).unwrap().current();
            any_order(|root| story::tell(&lines, root), seed, Some(*kind)).is_err()
        });
        let wrong = wrong.unwrap_or_else(|| panic!("{} orders nothing", kind.name()));
        eprintln!("{}: needed by program {wrong}", kind.name());
    }
}
