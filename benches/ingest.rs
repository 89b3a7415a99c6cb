//! What ingest costs: lines per CPU second and peak memory, on synthetic captures.
//!
//! ```text
//! cargo bench --no-default-features --bench ingest -- [LINES]       default 1,000,000 of each format
//! ```
//!
//! Each format is ingested by a process of its own, so that the peak memory is its own; the capture is made before.

use anyhow::{Context, Result};
use ioriot::ingest::{Format, Input, Options, run, synth};
use ioriot::progress::Progress;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::Instant;

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1).filter(|arg| arg != "--bench");
    let first = args.next();
    if first.as_deref() == Some("one") {
        let input = args.next().context("no input")?;
        return one(Path::new(&input), args.next().map_or(Ok(0), |n| n.parse())?);
    }
    let lines = first.map_or(Ok(1_000_000), |n| n.parse())?;
    for format in Format::ALL {
        let dir = std::env::temp_dir().join(format!("ioriot-bench-{}", std::process::id()));
        std::fs::create_dir_all(&dir)?;
        let input = dir.join(format.name());
        let mut out = BufWriter::new(std::fs::File::create(&input)?);
        synth::write(&synth::Options::new(*format, lines), &mut out)?;
        out.flush()?;
        let status = std::process::Command::new(std::env::current_exe()?).arg("one").arg(&input).status();
        std::fs::remove_dir_all(&dir)?;
        anyhow::ensure!(status?.success(), "the ingest failed");
    }
    Ok(())
}

fn one(input: &Path, window: usize) -> Result<()> {
    let out = input.with_extension("dataset");
    let begin = Instant::now();
    let options = Options { window, ..Options::new(vec![Input::Path(input.into())], &out) };
    let summary = run(&options, &Progress::default())?;
    let wall = begin.elapsed().as_secs_f64();
    // SAFETY: getrusage fills the zeroed struct it is given (getrusage(2)).
    let usage = unsafe {
        let mut usage: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &mut usage);
        usage
    };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    let cpu = seconds(usage.ru_utime) + seconds(usage.ru_stime);
    let lines = summary.ledger.lines as f64;
    print!("{summary}");
    println!(
        "  {:.2} M lines per CPU second ({cpu:.2} s, {wall:.2} s of wall clock, {:.0} % of a core), {} MiB at most, {} MiB of Parquet",
        lines / cpu / 1e6,
        100.0 * cpu / wall,
        usage.ru_maxrss / 1024,
        std::fs::metadata(out.join("events.parquet"))?.len() >> 20,
    );
    Ok(())
}
