//! Several places at once: each costs a store some ten milliseconds, and a fleet has many.

use super::is;
use crate::process::panics;
use anyhow::Result;
use std::path::PathBuf;
use std::thread;

/// Places that are asked at once, at most.
const AT_ONCE: usize = 16;

/// What a function gives for each of these paths, in their order. For those in stores several calls run at a time.
///
/// # Errors
/// That of the first path for which it fails.
pub fn each<T: Send>(paths: &[PathBuf], work: impl Fn(&PathBuf) -> Result<T> + Sync) -> Result<Vec<T>> {
    if !paths.iter().any(|path| is(path)) {
        return paths.iter().map(work).collect();
    }
    let mut all = Vec::with_capacity(paths.len());
    for some in paths.chunks(AT_ONCE) {
        let done: Vec<Result<T>> = thread::scope(|scope| {
            let started: Vec<_> = some.iter().map(|path| scope.spawn(|| panics::contain(|| work(path)))).collect();
            started.into_iter().map(|one| one.join().unwrap_or_else(|panic| Err(panics::error(&*panic)))).collect()
        });
        for one in done {
            all.push(one?);
        }
    }
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use anyhow::bail;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};

    #[test]
    fn answers_are_in_order_and_the_first_error_counts() {
        let paths: Vec<PathBuf> = (0..40).map(|at| PathBuf::from(format!("s3://bucket/{at}"))).collect();
        let (now, most) = (AtomicUsize::new(0), AtomicUsize::new(0));
        let shown = each(&paths, |path| {
            most.fetch_max(now.fetch_add(1, SeqCst) + 1, SeqCst);
            thread::sleep(std::time::Duration::from_millis(5));
            now.fetch_sub(1, SeqCst);
            Ok(path.clone())
        });
        assert_eq!(shown.unwrap(), paths);
        assert!((2..=AT_ONCE).contains(&most.load(SeqCst)));
        let failing = each(&paths, |path| if path.ends_with("7") { bail!("{}", path.display()) } else { Ok(()) });
        assert_eq!(failing.unwrap_err().to_string(), "s3://bucket/7");
    }
}
