//! Numbers that no kernel gave: the model keeps its books without counting beyond what numbers hold.

use crate::tool;
use ioriot::event::{Col, Event, Text};
use ioriot::model::{Config, Model, Rows};
use ioriot::syscall::Syscall;
use proptest::prelude::*;

/// Numbers at the ends of what columns hold, and a few that make sense beside them.
fn number() -> impl Strategy<Value = i64> {
    let ends = [i64::MIN, i64::MIN + 1, i64::MAX, i64::MAX - 1, i64::MAX / 2 + 1, 1 << 32, -1, i64::from(i32::MIN)];
    prop_oneof![3 => 0..6_i64, 1 => proptest::sample::select(ends.to_vec()), 1 => 0..5000_i64]
}

fn any_event() -> impl Strategy<Value = Event> {
    let columns = proptest::collection::vec(prop_oneof![1 => Just(None), 3 => number().prop_map(Some)], Col::ALL.len());
    let paths = proptest::sample::select(vec!["/a", "/a/b", "b", "../a", "/", "", "/l\n"]);
    let texts = proptest::collection::vec(proptest::option::of(paths), Text::ALL.len());
    (0..Syscall::ALL.len(), columns, texts, prop::bool::weighted(0.8)).prop_map(|(syscall, columns, texts, done)| {
        let mut event = Event::new(Syscall::ALL[syscall]);
        Col::ALL.iter().zip(columns).for_each(|(col, value)| event.put(*col, value));
        for (text, value) in Text::ALL.iter().zip(texts) {
            if let Some(value) = value {
                event.set_text(*text, value);
            }
        }
        event.set(Col::Pid, 1);
        event.set(Col::Tid, 1);
        if done {
            event.set(Col::Errno, 0);
        }
        event
    })
}

proptest! {
    #![proptest_config(tool::cases("IORIOT_NUMBERS", 150, 12))]

    #[test]
    fn no_number_is_too_large_for_the_model(events in proptest::collection::vec(any_event(), 1..60)) {
        let (mut model, mut rows) = (Model::new(Config::default()), Rows::default());
        for event in &events {
            model.step(event, &mut rows);
        }
        model.finish(&mut rows);
    }
}
