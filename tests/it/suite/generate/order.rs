//! Tests of the order: the stages from touches to edges against every pair of ops.

use super::{options, real, rows, run, story};
use ioriot::engine::{self, Engine, Settings};
use ioriot::generate::{Options, STAGES};
use ioriot::model::{Access, Resource, Touch};
use ioriot::order::number;
use ioriot::schema::Table;

use arrow::array::{ArrayRef, AsArray, Int64Array, Int64Builder, ListBuilder, RecordBatch, StringArray};
use arrow::datatypes::Int64Type;
use proptest::prelude::*;
use std::collections::BTreeSet;
use std::sync::Arc;

const ACCESS: [Access; 4] = [Access::Read, Access::Add, Access::Write, Access::End];
const END: usize = 3;

/// An op: its lane, and how it touches which resources.
type Op = (i64, Vec<(i64, usize)>);

/// The rows of relation chosen for these ops, with rows that are none in between.
fn chosen(ops: &[Op]) -> RecordBatch {
    let mut touches = ListBuilder::new(Int64Builder::new());
    for (_, list) in ops {
        for (id, access) in list {
            touches.values().append_value(number(Touch { kind: Resource::Ofd, id: *id, access: ACCESS[*access] }));
        }
        touches.append(!list.is_empty());
    }
    let ints = |get: fn((i64, &Op)) -> i64| -> ArrayRef { Arc::new((0..).zip(ops).map(get).collect::<Int64Array>()) };
    RecordBatch::try_from_iter([
        ("pos", ints(|(at, _)| 2 * at + 2)),
        ("vtid", ints(|(_, (lane, _))| *lane)),
        ("dur", ints(|_| 10)),
        ("fate", Arc::new(StringArray::from_iter_values(ops.iter().map(|_| "op")))),
        ("touches", Arc::new(touches.finish())),
    ])
    .unwrap()
}

/// An engine with the stages from touches to edges over these ops.
fn staged(ops: &[Op], hash: bool) -> Engine {
    let settings = Settings { threads: Some(2), access: engine::Access::Files, ..Settings::default() }; // for SET
    let engine = Engine::new(&settings).unwrap();
    engine.sql(&format!("SET datafusion.optimizer.prefer_hash_join = {hash}")).unwrap();
    engine.ctx().register_batch("chosen", chosen(ops)).unwrap();
    let causes =
        ["op_id", "lane", "after", "after_lane", "kind", "delay", "ops_before", "ns_before", "ops_through", "ns_through"];
    let none: ArrayRef = Arc::new(Int64Array::from(Vec::<i64>::new()));
    let none = RecordBatch::try_from_iter(causes.map(|name| (name, Arc::clone(&none)))).unwrap();
    engine.ctx().register_batch("causes", none).unwrap();
    for name in ["touches", "contended", "phases", "follows", "pruned", "edges"] {
        STAGES.iter().find(|(stage, _)| stage.name == name).unwrap().0.define(&engine).unwrap();
    }
    engine
}

/// Pairs `(op, after)` that the stages make.
fn made(ops: &[Op], hash: bool) -> BTreeSet<(usize, usize)> {
    pairs(&staged(ops, hash), ops)
}

fn pairs(engine: &Engine, ops: &[Op]) -> BTreeSet<(usize, usize)> {
    let edges = engine.sql("SELECT op_id, lane, after, after_lane FROM edges").unwrap();
    let mut pairs = BTreeSet::new();
    for batch in engine.block_on(async { Ok(edges.collect().await?) }).unwrap() {
        let columns = [0, 1, 2, 3].map(|at| batch.column(at).as_primitive::<Int64Type>().clone());
        for row in 0..batch.num_rows() {
            let [op, lane, after, after_lane] = columns.each_ref().map(|column| column.value(row));
            assert!(after < op && lane != after_lane);
            assert_eq!((ops[op as usize].0, ops[after as usize].0), (lane, after_lane));
            pairs.insert((op as usize, after as usize));
        }
    }
    pairs
}

/// Every pair of ops of different lanes that do not commute.
fn conflicts(ops: &[Op]) -> BTreeSet<(usize, usize)> {
    let conflict = |a: &Op, b: &Op| {
        let apart = |x: usize, y: usize| !ACCESS[x].commutes(ACCESS[y]);
        a.0 != b.0 && a.1.iter().any(|(id, x)| b.1.iter().any(|(other, y)| id == other && apart(*x, *y)))
    };
    let pairs = (0..ops.len()).flat_map(|op| (0..op).map(move |after| (op, after)));
    pairs.filter(|(op, after)| conflict(&ops[*op], &ops[*after])).collect()
}

/// What comes before each op, by its lane and these pairs.
fn closure(ops: &[Op], pairs: &BTreeSet<(usize, usize)>) -> Vec<BTreeSet<usize>> {
    let mut before: Vec<BTreeSet<usize>> = Vec::new();
    for (op, (lane, _)) in ops.iter().enumerate() {
        let own = (0..op).rev().find(|other| ops[*other].0 == *lane);
        let direct = own.into_iter().chain(pairs.range((op, 0)..(op + 1, 0)).map(|(_, after)| *after));
        let all = direct.fold(BTreeSet::new(), |mut all, after| {
            all.extend(before[after].iter().copied().chain([after]));
            all
        });
        before.push(all);
    }
    before
}

/// How something is touched: seldom for the last time.
fn touch() -> impl Strategy<Value = usize> {
    prop_oneof![9 => 0..END, 1 => Just(END)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]
    #[test]
    fn edges_say_what_conflicts_say_and_no_more(
        ops in proptest::collection::vec(
            (0..5_i64, proptest::collection::btree_map(0..12_i64, touch(), 0..3).prop_map(|map| map.into_iter().collect())),
            1..80,
        ),
        hash in any::<bool>(),
    ) {
        let mut ops: Vec<Op> = ops;
        let mut ended = BTreeSet::new();
        for (_, touches) in &mut ops {
            touches.retain(|(id, _)| !ended.contains(id)); // nobody touches what has ended
            ended.extend(touches.iter().filter(|(_, access)| *access == END).map(|(id, _)| *id));
        }
        prop_assert_eq!(closure(&ops, &made(&ops, hash)), closure(&ops, &conflicts(&ops)));
    }
}

/// How many edges resources ask for, and those that are kept, when `lanes` lanes read, add and read again by turns.
fn crowds(lanes: i64) -> (usize, BTreeSet<(usize, usize)>) {
    let phase = |access: usize| (0..2000).map(move |op| (op % lanes, vec![(7, access)]));
    let ops: Vec<Op> = phase(0).chain(phase(1)).chain(phase(0)).collect();
    let engine = staged(&ops, true);
    let asked = engine.sql("SELECT op_id FROM follows").unwrap();
    let asked = engine.block_on(async { Ok(asked.count().await?) }).unwrap();
    (asked, pairs(&engine, &ops))
}

#[test]
fn crowds_that_meet_ask_for_an_edge_per_lane_and_not_per_pair() {
    let (asked, kept) = crowds(16);
    assert_eq!((asked, kept.len()), (2 * 16 * 15, 2 * 16 * 15), "sixteen lanes follow each other one by one");
    let (asked, kept) = crowds(2000);
    assert_eq!(asked, 2 * (1999 + 1999));
    // The first of a phase waits for all of the phase before, the others for the first.
    for (gate, before) in [(2000, 0..2000), (4000, 2000..4000)] {
        let own = before.start; // of its own lane
        assert!(before.filter(|op| *op != own).all(|op| kept.contains(&(gate, op))));
        assert!((gate + 1..gate + 2000).all(|op| kept.contains(&(op, gate))));
    }
}

#[test]
fn edges_and_lanes_fit_together() {
    let dir = tempfile::tempdir().unwrap();
    let (_, out, summary) = real(dir.path(), "e-fio.strace.gz");
    let (edges, lanes) = (rows(&out.join(Table::Edges.file())), rows(&out.join(Table::Lanes.file())));
    let column = |batch: &RecordBatch, name: &str| batch.column_by_name(name).unwrap().as_primitive::<Int64Type>().clone();
    let [op, lane, after, after_lane] = ["op_id", "lane", "after", "after_lane"].map(|name| column(&edges, name));
    assert!(edges.num_rows() > 10, "{summary}");
    assert_eq!(edges.num_rows() as u64, summary.edges.values().map(|edges| edges.kept).sum::<u64>());
    let [id, first, count] = ["lane", "first_edge", "edges"].map(|name| column(&lanes, name));
    let mut next = 0;
    for row in 0..lanes.num_rows() {
        assert_eq!(first.value(row), next);
        next += count.value(row);
        for edge in first.value(row)..next {
            assert_eq!(lane.value(edge as usize), id.value(row));
        }
    }
    assert_eq!(next as usize, edges.num_rows());
    for row in 0..edges.num_rows() {
        assert!(after.value(row) < op.value(row) && lane.value(row) != after_lane.value(row));
        assert!(row == 0 || (lane.value(row - 1), op.value(row - 1)) <= (lane.value(row), op.value(row)));
    }
    assert!(summary.critical_path.ops > 0 && summary.critical_path.ops <= summary.ops, "{summary}");
    let text = summary.to_string();
    assert!(text.contains("ops wait for ops of other lanes") && text.contains("longest path"), "{text}");
}

#[test]
fn what_is_filtered_orders_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let capture = super::capture(dir.path(), &story(4, 10));
    let made = |where_: Option<&str>, name: &str| {
        let where_ = where_.map(String::from);
        run(&Options { where_, explain_order: true, ..options(&capture, dir.path().join(name)) })
    };
    // Every round opens a common file, which is there from the start; what the lanes create is their own.
    let all = made(None, "all");
    let some = made(Some("path LIKE '/data/t101/%'"), "some");
    assert!(some.edges.values().all(|edges| edges.kept == 0), "{some}");
    assert_eq!((some.lanes, some.critical_path.ops), (1, some.ops), "{some}");
    assert!(all.critical_path.parallelism > 3.0, "{all}");
}
