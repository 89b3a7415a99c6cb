//! Reads what the arguments of an exec that succeeded tell of the process: the first words of its command line and, where strace prints
//! the environment (`-v`), rank and job.

use super::lex::{self, Printed};
use crate::event::Event;
use crate::exec::{Environment, Ran, WORDS, words};
use crate::syscall::{Op, Role};

/// Sets the columns of an exec that succeeded, from its printed arguments. What was not printed is not known.
pub fn fill(event: &mut Event, args: &[&[u8]]) {
    let def = event.syscall.def();
    if def.op() != Some(Op::Exec) || event.success().is_none() {
        return;
    }
    let mut lists = def.args.iter().zip(args).filter(|(role, _)| **role == Role::Buf).map(|(_, arg)| *arg);
    let (line, variables) = (lists.next().unwrap_or_default(), lists.next().unwrap_or_default());
    let mut environment = Environment::default();
    list(variables, |variable, whole| {
        if whole {
            environment.look(variable);
        }
        true
    });
    let ran =
        Ran { command_line: command_line(line), rank: environment.rank(), job: environment.clone().job(), ..Ran::default() };
    ran.tell(event);
}

/// The first words of a printed list: `["make", "-j8"]`, `["sh", "-c", "cd /"..., ...]`.
fn command_line(text: &[u8]) -> Option<Vec<u8>> {
    let (mut line, mut all) = (Vec::new(), true);
    let end = list(text, |word, whole| {
        line.extend_from_slice(word);
        if whole {
            line.push(0);
        }
        all &= whole;
        // What was cut is the end of what is known.
        all && line.len() <= WORDS
    });
    words(&line, all && end)
}

/// Calls `each` with the members of a printed list of strings, and whether each is whole, until it returns false. Returns whether the list
/// was read to its end and nothing was left out (`...`).
fn list(text: &[u8], mut each: impl FnMut(&[u8], bool) -> bool) -> bool {
    let (mut goes_on, mut all) = (true, true);
    let behind = lex::members(text, |member| {
        if !goes_on {
            all = false;
            return;
        }
        let read = match lex::string(member) {
            Some(Printed::Whole(bytes)) => Some((bytes, true)),
            // Cut by strace: what it shows is the beginning.
            _ => lex::string_len(member).and_then(|len| Some((lex::unescape(member.get(1..len - 1)?)?, false))),
        };
        match read.filter(|_| member.first() == Some(&b'"')) {
            Some((bytes, whole)) => goes_on = each(&bytes, whole),
            None => (goes_on, all) = (false, false),
        }
    });
    all && behind.is_some()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::syscall::Syscall;

    fn told(list: &str, variables: &str) -> (Option<String>, Option<i64>, Option<String>) {
        let mut event = Event::new(Syscall::execve);
        event.set_outcome(0);
        fill(&mut event, &[b"\"/bin/x\"", list.as_bytes(), variables.as_bytes()]);
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let ran = Ran::told(&event);
        (ran.command_line.map(text), ran.rank, ran.job.map(text))
    }

    #[test]
    fn words_are_joined_and_what_is_cut_says_so() {
        let line = |list: &str| told(list, "0x7ffd /* 3 vars */").0;
        assert_eq!(line(r#"["make", "-j8"]"#).as_deref(), Some("make -j8"));
        assert_eq!(line(r#"["sh", "-c", "a \"b\"\n"]"#).as_deref(), Some("sh -c a \"b\"\n"));
        assert_eq!(line(r#"["sh", "-c", "cd /tm"...]"#).as_deref(), Some("sh -c cd /tm..."));
        assert_eq!(line(r#"["sh", "a"..., "b"]"#).as_deref(), Some("sh a..."));
        assert_eq!(line(r#"["a", "b", ...]"#).as_deref(), Some("a b ..."));
        assert_eq!(line(&format!(r#"["a", "{}"]"#, "x".repeat(200))), Some(format!("a {}...", "x".repeat(126))));
        assert_eq!((line("[]"), line("0x7ffe01"), line("[...]"), line("NULL"), line(r#"["a"#), line("")), Default::default());
        assert_eq!(line(r#"["\377\0\33[2J", "b"]"#).unwrap(), "\u{fffd} \u{1b}[2J b");
    }

    #[test]
    fn a_printed_environment_tells_rank_and_job() {
        let (_, rank, job) = told(r#"["x"]"#, r#"["HOME=/", "PMI_RANK=2", "SLURM_JOB_ID=41", "PWD=/x"]"#);
        assert_eq!((rank, job.as_deref()), (Some(2), Some("41")));
        // A value that strace has cut is none.
        assert_eq!(told(r#"["x"]"#, r#"["PMI_RANK=2"..., "SLURM_JOB_ID=41"]"#), (Some("x".into()), None, Some("41".into())));
        assert_eq!(told(r#"["x"]"#, "0x7ffd /* 3 vars */"), (Some("x".into()), None, None));
    }

    #[test]
    fn an_exec_that_failed_tells_nothing() {
        let mut event = Event::new(Syscall::execve);
        event.set_outcome(-2);
        fill(&mut event, &[b"\"/bin/x\"", br#"["x"]"#, b"NULL"]);
        assert_eq!(Ran::told(&event), Ran::default());
    }
}
