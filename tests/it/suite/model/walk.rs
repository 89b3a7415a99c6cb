//! What holds for every walk of the model, whatever the events are. Fuzzers (`fuzz/`) include this file.

use ioriot::event::Event;
use ioriot::fate::{Fate, Origin};
use ioriot::model::{Config, Model, Name, Rows};
use std::collections::HashSet;

/// Walks through events: each has one row, behind the ops that were inserted before it, and what is said at the end can
/// be made and compared.
pub fn walk(config: Config, events: &[Event]) {
    let mut model = Model::new(config);
    let mut rows = Rows::default();
    for event in events {
        rows.clear();
        model.step(event, &mut rows);
        let own = rows.list.iter().filter(|row| row.step.origin == Origin::Event).count();
        assert_eq!((own, rows.list.last().map(|row| row.step.origin)), (1, Some(Origin::Event)), "{event:?}");
        // Closes of what was open, and what others must have done.
        assert!(rows.list.len() <= 64 + 4 * events.len(), "{} rows of {event:?}", rows.list.len());
        for row in &rows.list {
            let step = &row.step;
            assert_eq!(step.fate == Fate::Drop, step.reason.is_some(), "{event:?}");
            assert!(step.fate != Fate::Op || step.op.is_some(), "{event:?}");
            let touched: HashSet<_> = rows.touched(row).iter().map(|touch| (touch.kind, touch.id)).collect();
            assert_eq!(touched.len(), rows.touched(row).len(), "{event:?} touches a resource twice");
        }
    }
    rows.clear();
    let end = model.finish(&mut rows);
    let told: usize = end.needs.iter().map(|need| need.path.len() + need.target.as_ref().map_or(0, |target| target.len())).sum();
    assert!(told <= 8192 * (events.len() + 8), "{told} bytes of {} events", events.len());
    let mut known: HashSet<Name> = HashSet::new();
    for need in &end.needs {
        assert!(need.path.starts_with(b"/") && need.size >= 0, "{need:?}");
        for ranges in [&need.read, &need.holes] {
            assert!(ranges.iter().all(|(from, length)| *from >= 0 && *length > 0), "{need:?}");
            assert!(ranges.windows(2).all(|pair| pair[0].0.saturating_add(pair[0].1) <= pair[1].0), "{need:?}");
        }
        assert!(known.insert(Name::clone(&need.path)), "{need:?} is needed twice");
    }
    let mut left: HashSet<Name> = HashSet::new();
    for expect in &end.expects {
        assert!(expect.path.starts_with(b"/") && expect.size.is_none_or(|size| size >= 0), "{expect:?}");
        assert!(left.insert(Name::clone(&expect.path)), "{expect:?} is expected twice");
    }
}
