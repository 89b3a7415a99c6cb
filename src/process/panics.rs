//! Turns panics into errors: those of libraries silently, those of our own code also with the usual message and backtrace.

use anyhow::{Result, anyhow};
use std::any::Any;
use std::cell::Cell;
use std::panic::{self, AssertUnwindSafe, Location};
use std::sync::Once;

thread_local! {
    /// Are panics of this thread caught and reported as errors, so that those of libraries print nothing?
    static CONTAINED: Cell<bool> = const { Cell::new(false) };
    /// Did the last panic of this thread come from our own code?
    static OURS: Cell<bool> = const { Cell::new(false) };
}

/// Runs work in which a library handles data from elsewhere, and turns a panic into an error. What the work used must not be
/// used again after a panic.
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

/// Runs work that may hang while it unwinds after a panic, in a thread of its own: the caller gets the error of the panic
/// before that.
///
/// # Errors
/// Those of the work, its panics, and that the thread could not be started.
#[cfg(feature = "sql")]
pub fn abandon<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    install();
    let (tell, told) = std::sync::mpsc::channel();
    std::thread::Builder::new().spawn(move || {
        CONTAINED.set(true);
        let first = tell.clone();
        WATCH.set(Some(Box::new(move |error| drop(first.send(Err(error))))));
        drop(tell.send(work()));
    })?;
    told.recv()?
}

/// Callback that gets the error of a panic.
#[cfg(feature = "sql")]
type Watch = Box<dyn FnOnce(anyhow::Error)>;

#[cfg(feature = "sql")]
thread_local! {
    /// Callback for the next panic of this thread, called before it unwinds.
    static WATCH: Cell<Option<Watch>> = const { Cell::new(None) };
}

/// From now on panics of libraries in this thread print nothing: the thread that joins it reports them.
#[cfg(feature = "sql")]
pub fn contain_thread() {
    install();
    CONTAINED.set(true);
}

/// The error that reports a panic, from its payload; says whether our code or a library is at fault.
pub fn error(panic: &(dyn Any + Send)) -> anyhow::Error {
    told(panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref().copied()))
}

fn told(text: Option<&str>) -> anyhow::Error {
    let who = if OURS.get() { "ioriot itself is at fault, please report it" } else { "a library gave up" };
    anyhow!("{who}: {}", text.unwrap_or("it does not say why"))
}

/// Does a panic come from our own code, by its source path? Libraries are built from other paths.
fn ours(place: Option<&Location>) -> bool {
    let here = file!().trim_end_matches("process/panics.rs");
    place.is_some_and(|place| place.file().starts_with(here))
}

fn install() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let usual = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            OURS.set(ours(panic.location()));
            if OURS.get() || !CONTAINED.get() {
                usual(panic);
            }
            #[cfg(feature = "sql")]
            if let Some(tell) = WATCH.take() {
                tell(told(panic.payload_as_str()));
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
        let ours = contain(|| Ok(none[0])).unwrap_err().to_string();
        assert!(ours.starts_with("ioriot itself is at fault, please report it: index out of bounds"), "{ours}");
        let theirs = contain(|| Ok(Vec::<u64>::with_capacity(std::hint::black_box(usize::MAX)))).unwrap_err().to_string();
        assert!(theirs.starts_with("a library gave up: capacity overflow"), "{theirs}");
        assert!(!CONTAINED.get());
    }

    #[cfg(feature = "sql")]
    #[test]
    fn a_panic_that_never_ends_is_told() {
        struct Forever;
        impl Drop for Forever {
            fn drop(&mut self) {
                loop {
                    std::thread::park();
                }
            }
        }
        assert_eq!(abandon(|| Ok(1)).unwrap(), 1);
        let told = abandon::<()>(|| {
            let _forever = Forever;
            panic!("so much of it")
        });
        assert!(told.unwrap_err().to_string().ends_with("so much of it"));
    }
}
