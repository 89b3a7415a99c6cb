//! A section of a job file.

use super::part::{Engine, Moves, Part, Way};
use anyhow::Result;
use std::io::Write;

/// Sizes of a direction in a section, at most: fio takes 64.
const SIZES: usize = 60;
/// Unit that files are whole multiples of, bytes.
const BLOCK: u64 = 4096;
/// Files of a job, at most.
const FILES: u64 = 10_000;
/// Bytes of a file, at most: 1 PiB.
const LARGEST: u64 = 1 << 50;

/// Threads of one shape.
#[derive(Clone, Debug, Default)]
pub struct Job {
    all: Part,
    /// Threads, and the time of each from its first to its last call, seconds.
    spans: Vec<(f64, f64)>,
    threads: u64,
    files: u64,
    extent: u64,
    /// Sum of the depths of the threads, weighted by their calls.
    depths: f64,
}

impl Job {
    /// Adds a thread, with the number and the bytes of its files.
    pub fn add(&mut self, part: &Part, files: u64, extent: u64) {
        self.all.reads.merge(&part.reads);
        self.all.writes.merge(&part.writes);
        self.all.fsyncs += part.fsyncs;
        self.all.fdatasyncs += part.fdatasyncs;
        self.all.busy += part.busy;
        self.spans.extend(part.span);
        self.threads += 1;
        self.files += files;
        self.extent = self.extent.saturating_add(extent);
        self.depths += part.depth() * part.moved() as f64;
    }

    /// Reads and writes.
    pub fn calls(&self) -> u64 {
        self.all.moved()
    }

    /// Writes the section.
    pub fn write(&self, number: usize, way: Way, out: &mut (dyn Write + Send)) -> Result<()> {
        let Job { all: Part { reads, writes, fsyncs, fdatasyncs, .. }, threads, .. } = self;
        let jobs = at_once(&self.spans).max(1);
        let each = |total: u64| total.div_ceil(jobs).max(1);
        writeln!(out, "\n; threads: {threads}, reads: {}, writes: {}", reads.calls(), writes.calls())?;
        writeln!(out, "[class{number}]")?;
        let depth = if way.engine == Engine::Sync { 1 } else { (self.depths / self.calls().max(1) as f64).round() as u64 };
        writeln!(out, "ioengine={}\niodepth={depth}\nnumjobs={jobs}", way.engine.name())?;
        let random = [reads, writes].map(Moves::random_percent);
        let order = if random == [0, 0] { "" } else { "rand" };
        match (reads.calls(), writes.calls()) {
            (_, 0) => writeln!(out, "rw={order}read")?,
            (0, _) => writeln!(out, "rw={order}write")?,
            (read, write) => {
                let rw = if order.is_empty() { "rw" } else { "randrw" };
                writeln!(out, "rw={rw}\nrwmixread={}", (read * 200 + read + write) / (2 * (read + write)))?;
            }
        }
        if !order.is_empty() {
            writeln!(out, "percentage_random={},{}\nnorandommap=1", random[0], random[1])?;
        }
        writeln!(out, "bssplit={},{}", split(reads, writes), split(writes, reads))?;
        let sizes = || reads.sizes.keys().chain(writes.sizes.keys()).copied();
        if sizes().any(|size| size % 512 != 0) {
            writeln!(out, "bs_unaligned=1")?;
        }
        if way.direct {
            writeln!(out, "direct=1")?;
        }
        if way.synchronous {
            writeln!(out, "sync=1")?;
        }
        for (word, syncs) in [("fsync", fsyncs), ("fdatasync", fdatasyncs)] {
            // After how many writes.
            if *syncs > 0 && writes.calls() > 0 {
                writeln!(out, "{word}={}", ((writes.calls() * 2 + syncs) / (2 * syncs)).max(1))?;
            }
        }
        let files = self.files.div_ceil((*threads).max(1)).clamp(1, FILES);
        let largest = sizes().max().unwrap_or(BLOCK);
        let bytes = (self.extent / self.files.max(1)).max(largest).min(LARGEST).next_multiple_of(BLOCK);
        writeln!(out, "nrfiles={files}\nfilesize={bytes}\nsize={}", bytes.saturating_mul(files))?;
        writeln!(out, "io_size={}", each(reads.bytes().saturating_add(writes.bytes())).max(largest))?;
        Ok(())
    }
}

/// The most threads that were between their first and their last call at once.
fn at_once(spans: &[(f64, f64)]) -> u64 {
    let mut bounds: Vec<(f64, i64)> = spans.iter().flat_map(|(begin, end)| [(*begin, 1), (*end, -1)]).collect();
    // One that ends where another begins is not there at once with it; one of no length counts.
    bounds.sort_by(|one, two| one.0.total_cmp(&two.0).then(one.1.cmp(&two.1)));
    let (mut now, mut most) = (0i64, i64::from(!spans.is_empty()));
    for (_, more) in bounds {
        now += more;
        most = most.max(now);
    }
    most.unsigned_abs()
}

/// Sizes with their shares in percent, `4096/60:16384/40`; those of the other direction where this one has none.
fn split(moves: &Moves, other: &Moves) -> String {
    let moves = if moves.sizes.is_empty() { other } else { moves };
    let mut sizes: Vec<(u64, u64)> = moves.sizes.iter().map(|(size, calls)| (*size, *calls)).collect();
    sizes.sort_by_key(|(size, calls)| (std::cmp::Reverse(*calls), *size));
    let rest = sizes.split_off(sizes.len().min(SIZES));
    for (size, calls) in rest {
        // The nearest size that is there takes them.
        if let Some((_, most)) = sizes.iter_mut().min_by_key(|(known, _)| known.abs_diff(size)) {
            *most += calls;
        }
    }
    let total: u64 = sizes.iter().map(|(_, calls)| calls).sum::<u64>().max(1);
    // Whole percent, by largest remainder, so that they are 100 together.
    let mut shares: Vec<(u64, u64, u64)> =
        sizes.iter().map(|(size, calls)| (*size, calls * 100 / total, calls * 100 % total)).collect();
    shares.sort_by_key(|(size, _, remainder)| (std::cmp::Reverse(*remainder), *size));
    let missing = 100 - shares.iter().map(|(_, share, _)| share).sum::<u64>();
    shares.iter_mut().take(usize::try_from(missing).unwrap_or(0)).for_each(|(_, share, _)| *share += 1);
    shares.retain(|(_, share, _)| *share > 0);
    shares.sort_by_key(|(size, share, _)| (std::cmp::Reverse(*share), *size));
    shares.iter().map(|(size, share, _)| format!("{size}/{share}")).collect::<Vec<_>>().join(":")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn moves(sizes: &[(u64, u64)]) -> Moves {
        let mut moves = Moves::default();
        sizes.iter().for_each(|(size, calls)| moves.add(*size, *calls, *calls, 0));
        moves
    }

    #[test]
    fn shares_are_whole_percent_and_all_of_it() {
        let none = Moves::default();
        assert_eq!(split(&moves(&[(4096, 2), (512, 1)]), &none), "4096/67:512/33");
        assert_eq!(split(&none, &moves(&[(1, 1)])), "1/100");
        let many: Vec<_> = (1..500).map(|size| (size * 10, 1)).collect();
        let text = split(&moves(&many), &none);
        let shares = text.split(':').map(|part| part.split('/').nth(1).unwrap().parse::<u64>().unwrap());
        assert_eq!((shares.clone().sum::<u64>(), shares.count() <= 60), (100, true), "{text}");
    }

    #[test]
    fn threads_at_once_are_jobs() {
        assert_eq!(at_once(&[]), 0);
        assert_eq!(at_once(&[(1.0, 1.0)]), 1);
        assert_eq!(at_once(&[(0.0, 1.0), (1.0, 2.0), (2.0, 3.0)]), 1);
        assert_eq!(at_once(&[(0.0, 5.0), (1.0, 2.0), (1.5, 3.0), (4.0, 6.0)]), 3);
    }

    #[test]
    fn sizes_beyond_measure_are_bounded() {
        let mut all = Moves::default();
        (1..100_000).for_each(|size| all.add(size * 7, 1, 1, 1));
        assert!(all.sizes.len() < 2000, "{}", all.sizes.len());
        assert_eq!((all.calls(), all.random_percent()), (99_999, 100));
        all.add(u64::MAX, u64::MAX / 200, 0, 0);
        all.bytes();
    }
}
