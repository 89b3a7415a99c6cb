//! Panics of libraries: an error, and not a word on standard error.

use anyhow::{Result, anyhow};
use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe};
use std::sync::Once;

thread_local! {
    /// Is this thread at work that may panic?
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
}

/// Has a library work on data from elsewhere. What it works with must not be used again when it panics.
///
/// # Errors
/// Those of the work, and its panics.
pub fn contain<T>(work: impl FnOnce() -> Result<T>) -> Result<T> {
    install();
    let before = CONTAINED.replace(true);
    let done = panic::catch_unwind(AssertUnwindSafe(work));
    CONTAINED.set(before);
    done.unwrap_or_else(|panic| Err(error(&*panic)))
}

/// Has this thread panic without a word from now on: whoever waits for it tells.
#[cfg(feature = "sql")]
pub fn contain_thread() {
    install();
    CONTAINED.set(true);
}

/// The error that tells of a panic.
pub fn error(panic: &(dyn Any + Send)) -> anyhow::Error {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied());
    anyhow!("a library gave up: {}", text.unwrap_or("it does not say why"))
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !CONTAINED.get() {
                usual(panic);
            }
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_an_error_that_says_what_it_said() {
        assert_eq!(contain(|| Ok(1)).unwrap(), 1);
        let none: Vec<i32> = Vec::new();
        let error = contain(|| Ok(none[0])).unwrap_err().to_string();
        assert!(error.starts_with("a library gave up: index out of bounds"), "{error}");
        assert!(!CONTAINED.get());
    }
}
