//! The options of `generate` by which a workload becomes another one than was captured. `run` and `predict` have options of the same names
//! that mean something else: they take what `generate` made.

use super::values;
use crate::amount::typed;
use crate::generate::what_if::{By, Sample, Scale, Set, TENANTS, WhatIf, When};
use std::time::Duration;

/// Above these options in the help.
pub const HEADING: &str = "What if";

/// What is to be other than captured.
#[derive(Debug, clap::Args)]
pub struct Asked {
    /// Begin here: time since the first event (90s), or time of day or date and time in UTC (12:30, 2026-11-29T12:30)
    ///
    /// What is there at this moment is the file tree of the replay: files with their sizes, working directories, and what is open,
    /// which is opened first and has its position.
    #[arg(help_heading = HEADING, long, value_name = "WHEN", value_parser = when)]
    from: Option<When>,
    /// End here, likewise
    #[arg(help_heading = HEADING, long, value_name = "WHEN", value_parser = when)]
    to: Option<When>,
    /// Replay only processes of this name (comm) or process id (may be given several times)
    #[arg(help_heading = HEADING, long = "process", value_name = "NAME|PID")]
    processes: Vec<String>,
    /// Replay only processes of this user, a name or number of this machine (may be given several times)
    #[arg(help_heading = HEADING, long = "user", value_name = "USER")]
    users: Vec<String>,
    /// Replay only calls on paths of this pattern, as in find -path (may be given several times)
    ///
    /// `*` stands for any characters, also /; a pattern that matches a directory matches all below it.
    #[arg(help_heading = HEADING, long = "path", value_name = "PATTERN")]
    paths: Vec<String>,
    /// Replay only this share of all files, or of all processes
    ///
    /// Drawn by the path of a file or the id of a process, so the same capture gives the same sample.
    #[arg(help_heading = HEADING, long, value_name = "SHARE", value_parser = share)]
    sample: Option<f64>,
    /// What a sample is drawn of
    #[arg(help_heading = HEADING, long, value_name = "WHAT", requires = "sample", default_value = "file",
        value_parser = values::word(By::ALL, By::name, By::doc))]
    sample_by: By,
    /// Change an argument of calls: an expression over the columns of ops (may be given several times)
    ///
    /// COLUMN is one of count, length, offset, offset2 (bytes), flags (of calls that open), path and path2 (absolute). An expression that
    /// gives NULL leaves the call as it is.
    #[arg(help_heading = HEADING, long = "set", value_name = "COLUMN = SQL", value_parser = set)]
    sets: Vec<Set>,
    /// Replay so many copies side by side, each with its own files (below /tenant-1, /tenant-2 ...) and threads
    #[arg(help_heading = HEADING, long, value_name = "N", value_parser = tenants)]
    scale: Option<u64>,
    /// How much later each copy begins than the one before
    #[arg(help_heading = HEADING, long, value_name = "TIME", requires = "scale", default_value = "0s", value_parser = typed::duration)]
    scale_shift: Duration,
    /// Make times between calls so many times as long (0.5: half as long)
    #[arg(help_heading = HEADING, long, value_name = "FACTOR", value_parser = typed::factor)]
    stretch: Option<f64>,
}

impl Asked {
    /// What is asked for.
    pub fn what_if(self) -> WhatIf {
        let Asked { from, to, processes, users, paths, sample, sample_by, sets, scale, scale_shift, stretch } = self;
        let sample = sample.map(|share| Sample { share, by: sample_by });
        let scale = scale.map(|tenants| Scale { tenants, shift: scale_shift });
        WhatIf { from, to, processes, users, paths, sample, sets, scale, stretch }
    }
}

fn when(text: &str) -> Result<When, String> {
    When::parse(text).map_err(|error| error.to_string())
}

fn set(text: &str) -> Result<Set, String> {
    Set::parse(text).map_err(|error| error.to_string())
}

fn share(text: &str) -> Result<f64, String> {
    let wrong = || format!("{text:?} is no share: that is more than 0 and at most 1, as in 0.1, or a percentage, as in 10%");
    let share = if text.ends_with('%') { typed::percent(text)? / 100.0 } else { typed::number(text).map_err(|_| wrong())? };
    if share > 0.0 && share <= 1.0 { Ok(share) } else { Err(wrong()) }
}

fn tenants(text: &str) -> Result<u64, String> {
    let number = typed::count(text).ok().filter(|number| (1..=TENANTS).contains(number));
    number.ok_or_else(|| format!("a number of copies is one from 1 to {TENANTS}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_numbers_of_copies_are_some_and_not_too_many() {
        assert_eq!((share("0.1"), share("10%"), share("1")), (Ok(0.1), Ok(0.1), Ok(1.0)));
        assert_eq!((tenants("1"), tenants("1000")), (Ok(1), Ok(1000)));
        for text in ["0", "1.1", "101%", "-1", "half"] {
            assert!(share(text).is_err(), "{text}");
        }
        for text in ["0", "1001", "1.5"] {
            assert!(tenants(text).is_err(), "{text}");
        }
    }
}
