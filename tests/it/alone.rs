//! Tests that measure the machine run alone: what runs beside them would be measured, too, or empties the caches of all.

#![cfg_attr(not(feature = "sql"), allow(dead_code, reason = "most of what measures needs the engine"))]

use std::cell::RefCell;
use std::sync::{PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

#[expect(dead_code, reason = "held until the thread of a test ends")]
enum Turn {
    Beside(RwLockReadGuard<'static, ()>),
    Alone(RwLockWriteGuard<'static, ()>),
}

static RUNNING: RwLock<()> = RwLock::new(());

thread_local! {
    static TURN: RefCell<Option<Turn>> = const { RefCell::new(None) };
}

/// Waits until no test runs that is [`alone`]; until the calling test ends none will be. What starts the program, makes a workload or a
/// scratch directory of the build calls this; tests that do none of it (mostly short ones) are not waited for.
pub fn beside_others() {
    // libtest names the thread of a test after it. Another thread of the same test must not wait: it would, for a test that waits for its own.
    if !std::thread::current().name().is_some_and(|name| name.contains("::")) {
        return;
    }
    TURN.with_borrow_mut(|turn| {
        turn.get_or_insert_with(|| Turn::Beside(RUNNING.read().unwrap_or_else(PoisonError::into_inner)));
    });
}

/// Waits until no other test runs that went through [`beside_others`]; until the calling test ends none goes on from there.
pub fn alone() {
    TURN.with_borrow_mut(|turn| {
        *turn = None;
        *turn = Some(Turn::Alone(RUNNING.write().unwrap_or_else(PoisonError::into_inner)));
    });
}
