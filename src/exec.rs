//! What an exec that succeeded tells of its process besides the path: the first words of its command line, its user, its control group,
//! its rank and its job. They stand in columns of the event that such a call has no other use for ([`Ran::tell`]).

use crate::event::{Col, Event, Text};

/// Most bytes of a command line that are kept, without the NUL at its end.
pub const WORDS: usize = 128;
/// What stands behind a command line of which something was left out.
const CUT: &[u8] = b"...";
/// Bytes of an environment variable that are looked at: name, `=`, value and a NUL. One that fills them may go on and tells nothing.
pub const VARIABLE: usize = 64;
/// How many variables of an environment can tell something: one of each of [`Tells`].
pub const SLOTS: usize = 3;

/// What an environment variable tells of a process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tells {
    /// Its rank, said by a library for messages: it comes before that of the batch system.
    Rank,
    /// The number of the task that the batch system has started.
    Task,
    /// The id of its job.
    Job,
}

/// The environment variables that are looked at. No other one is kept, nor leaves the kernel.
pub const VARIABLES: [(&str, Tells); 7] = [
    ("PMIX_RANK", Tells::Rank),
    ("PMI_RANK", Tells::Rank),
    ("OMPI_COMM_WORLD_RANK", Tells::Rank),
    ("SLURM_PROCID", Tells::Task),
    ("SLURM_JOB_ID", Tells::Job),
    ("PBS_JOBID", Tells::Job),
    ("LSB_JOBID", Tells::Job),
];

/// What is known of a process after an exec. What is `None` is not known.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ran {
    /// First words of its command line, as [`words`] makes them.
    pub command_line: Option<Vec<u8>>,
    /// Its effective user id.
    pub user: Option<i64>,
    /// Path of its control group, below where these are mounted.
    pub cgroup: Option<Vec<u8>>,
    /// Its rank among the processes of a parallel program.
    pub rank: Option<i64>,
    /// The id of the job of a batch system that it belongs to.
    pub job: Option<Vec<u8>>,
}

impl Ran {
    /// Sets the columns of the event of the exec.
    pub fn tell(&self, event: &mut Event) {
        event.put(Col::Uid, self.user);
        event.put(Col::Arg, self.rank);
        for (text, value) in [(Text::Name, &self.command_line), (Text::Dir2Path, &self.cgroup), (Text::Fd2Path, &self.job)] {
            if let Some(value) = value {
                event.set_text(text, value);
            }
        }
    }

    /// What the event of an exec tells.
    pub fn told(event: &Event) -> Ran {
        let text = |text| event.text(text).map(<[u8]>::to_vec);
        Ran {
            command_line: text(Text::Name),
            user: event.int(Col::Uid),
            cgroup: text(Text::Dir2Path),
            rank: event.int(Col::Arg),
            job: text(Text::Fd2Path),
        }
    }
}

/// A command line of words with a NUL behind each as one text, with blanks between them: at most [`WORDS`] bytes, and `...` behind them
/// when that is not all of it (`whole`: is what is given all of it?). `None` when there is no word.
pub fn words(list: &[u8], whole: bool) -> Option<Vec<u8>> {
    let end = if whole { list.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1) } else { list.len() };
    let text = &list[..end];
    let kept = &text[..end.min(WORDS)];
    if kept.iter().all(|byte| *byte == 0) {
        return None;
    }
    let mut line: Vec<u8> = kept.iter().map(|byte| if *byte == 0 { b' ' } else { *byte }).collect();
    if !whole || kept.len() < text.len() {
        line.extend_from_slice(CUT);
    }
    Some(line)
}

/// What the environment of a process tells: the values of some of its variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Environment([Option<Vec<u8>>; SLOTS]);

impl Environment {
    /// Looks at a variable, `NAME=VALUE`; one with [`VARIABLE`] bytes tells nothing.
    pub fn look(&mut self, variable: &[u8]) {
        let told = VARIABLES.iter().find_map(|(name, tells)| {
            let value = variable.strip_prefix(name.as_bytes())?.strip_prefix(b"=")?;
            (!value.is_empty() && variable.len() < VARIABLE - 1).then_some((*tells, value))
        });
        if let Some((tells, value)) = told {
            self.0[tells as usize] = Some(value.to_vec());
        }
    }

    /// What variables with a NUL behind each tell. One without is cut off and tells nothing.
    pub fn of(variables: &[u8]) -> Environment {
        let mut environment = Environment::default();
        let whole = variables.split_inclusive(|byte| *byte == 0).filter_map(|variable| variable.strip_suffix(&[0]));
        whole.for_each(|variable| environment.look(variable));
        environment
    }

    /// The rank; `None` when no variable says it as a number.
    pub fn rank(&self) -> Option<i64> {
        let number = |tells: Tells| {
            let value = self.0[tells as usize].as_deref()?;
            std::str::from_utf8(value).ok()?.parse().ok().filter(|rank| (0..=i64::from(i32::MAX)).contains(rank))
        };
        number(Tells::Rank).or_else(|| number(Tells::Task))
    }

    /// The id of the job.
    pub fn job(self) -> Option<Vec<u8>> {
        let [_, _, job] = self.0;
        job
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Syscall;

    #[test]
    fn a_command_line_is_cut_and_says_so() {
        let line = |list: &[u8], whole| words(list, whole).map(|line| String::from_utf8(line).unwrap());
        assert_eq!(line(b"make\0-j8\0", true).as_deref(), Some("make -j8"));
        assert_eq!(line(b"sh\0-c\0\0", true).as_deref(), Some("sh -c"));
        assert_eq!(line(b"make\0-j", false).as_deref(), Some("make -j..."));
        let long = "x".repeat(WORDS);
        assert_eq!(line(format!("{long}\0").as_bytes(), true), Some(long.clone()));
        assert_eq!(line(format!("{long}y\0").as_bytes(), true), Some(format!("{long}...")));
        assert_eq!((line(b"", true), line(b"\0", true), line(b"\0\0", false)), (None, None, None));
    }

    #[test]
    fn ranks_and_jobs_are_told_by_variables_of_these_names_alone() {
        let told = |variables: &[u8]| {
            let environment = Environment::of(variables);
            (environment.rank(), environment.job().map(|job| String::from_utf8(job).unwrap()))
        };
        assert_eq!(told(b"HOME=/root\0PMI_RANK=3\0SLURM_JOB_ID=77\0"), (Some(3), Some("77".into())));
        // mpirun below a batch script: the number of the script's task is not the rank.
        assert_eq!(told(b"OMPI_COMM_WORLD_RANK=5\0SLURM_PROCID=0\0PBS_JOBID=12.server\0"), (Some(5), Some("12.server".into())));
        assert_eq!(told(b"SLURM_PROCID=4\0LSB_JOBID=9\0"), (Some(4), Some("9".into())));
        assert_eq!(
            told(b"XPMI_RANK=3\0PMI_RANKS=3\0SLURM_JOB_ID_X=1\0SLURM_JOB_ID=\0PMI_RANK=-1\0PMIX_RANK=many\0"),
            (None, None)
        );
        // What is behind the end of what was read nobody knows.
        assert_eq!(told(b"PMI_RANK=3\0SLURM_JOB_ID=77"), (Some(3), None));
        assert_eq!(told(format!("PBS_JOBID={}\0", "1".repeat(VARIABLE)).as_bytes()), (None, None));
    }

    #[test]
    fn the_columns_of_the_event_give_back_what_was_told() {
        let ran = Ran {
            command_line: Some(b"a b".to_vec()),
            user: Some(7),
            cgroup: Some(b"/x".to_vec()),
            rank: Some(1),
            job: Some(b"9".to_vec()),
        };
        for ran in [ran, Ran::default()] {
            let mut event = Event::new(Syscall::execve);
            ran.tell(&mut event);
            assert_eq!(Ran::told(&event), ran);
        }
    }
}
