//! What ioriot itself costs: `cargo test --release null_engine_speed -- --ignored --nocapture`.

use super::work::{Work, op, run};
use ioriot::replay::{Engine, Options};
use libc::O_RDONLY;

/// Prints ops per second of engine null, in one lane and handed from worker to worker at every op.
#[test]
#[ignore = "a measurement, not a test"]
fn null_engine_speed() {
    for lanes in [1, 2, 16] {
        let mut work = Work::new();
        work.row_group = 16 * 1024;
        for turn in 0..200_000 {
            work.op(op("open", 3).raw("/some/directory/with/a/file").flags(O_RDONLY).ofd(turn % 1000).lane(turn % lanes));
        }
        work.write();
        let summary = run(&Options { engine: Engine::Null, ..work.options() }).unwrap();
        println!("engine null, {lanes:>2} lanes taking turns: {:>10.0} ops/s", summary.ops_per_second);
    }
}
