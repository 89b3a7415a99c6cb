//! What a scheduler knows of executors and jobs: who is there, who computes what, and who still waits for it.

use super::LOST;
use std::collections::{HashMap, HashSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// Without a question of its client for so long, a job is stopped: the client is gone.
const ABANDONED: Duration = Duration::from_secs(20);

/// Executors and jobs by their ids.
#[derive(Default)]
pub struct Known(Mutex<Tables>);

#[derive(Default)]
struct Tables {
    executors: HashMap<String, Executor>,
    /// Those that are not over.
    jobs: HashMap<String, Job>,
}

struct Executor {
    /// When it was heard of last.
    heard: Instant,
    /// How many tasks it runs at once.
    slots: usize,
    /// Tasks that it was given, and has not said of what became of them.
    owes: usize,
    /// What it has last said of them.
    said: Polled,
}

/// What an executor says when it asks for tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Polled {
    /// It runs tasks, or some are done.
    Busy,
    /// It runs none, and none is done.
    Idle,
}

struct Job {
    /// When its client asked for it last.
    asked: Instant,
    /// Who was given tasks of it.
    executors: HashSet<String>,
    state: State,
}

/// What becomes of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It is computed.
    Runs,
    /// It is not: one of its executors is lost.
    Lost,
}

impl Known {
    fn tables(&self) -> MutexGuard<'_, Tables> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An executor says that it is there.
    pub fn heard(&self, id: String, slots: usize) {
        let new = Executor { heard: Instant::now(), slots, owes: 0, said: Polled::Busy };
        self.tables().executors.entry(id).and_modify(|known| known.heard = new.heard).or_insert(new);
    }

    /// An executor asks for tasks, and says that so many are done. The jobs that are lost are given back: those whose tasks did not reach
    /// it, since a connection broke. It says twice that it runs none then; once it may have missed that one is done just now.
    pub fn polled(&self, id: &str, done: usize, said: Polled) -> Vec<String> {
        let mut tables = self.tables();
        let Some(executor) = tables.executors.get_mut(id) else { return Vec::new() };
        executor.owes = executor.owes.saturating_sub(done);
        let before = std::mem::replace(&mut executor.said, said);
        if executor.owes == 0 || (before, said) != (Polled::Idle, Polled::Idle) {
            return Vec::new();
        }
        executor.owes = 0;
        tables.lose(id)
    }

    /// How many tasks all executors run at once that are there.
    pub fn slots(&self) -> usize {
        let tables = self.tables();
        let there = tables.executors.values().filter(|executor| executor.heard.elapsed() < LOST);
        there.map(|executor| executor.slots).sum()
    }

    /// Is there no job?
    pub fn idle(&self) -> bool {
        self.tables().jobs.is_empty()
    }

    /// A job begins, or its client asks for it.
    pub fn asked(&self, job: &str) {
        self.tables().job(job).asked = Instant::now();
    }

    /// An executor is given a task of a job.
    pub fn dealt(&self, job: &str, executor: &str) {
        let mut tables = self.tables();
        tables.job(job).executors.insert(executor.to_owned());
        if let Some(executor) = tables.executors.get_mut(executor) {
            executor.owes += 1;
            executor.said = Polled::Busy;
        }
    }

    /// What becomes of a job.
    pub fn state(&self, job: &str) -> State {
        self.tables().jobs.get(job).map_or(State::Runs, |job| job.state)
    }

    /// A job can have its rows no more.
    pub fn lose(&self, job: &str) {
        self.tables().job(job).state = State::Lost;
    }

    /// A job is over, and its client knows.
    pub fn over(&self, job: &str) {
        self.tables().jobs.remove(job);
    }

    /// An executor goes. The jobs that it computed are lost with it, and are given back.
    pub fn leave(&self, executor: &str) -> Vec<String> {
        self.tables().leave(executor)
    }

    /// The jobs that are to be stopped: of executors that were not heard of for too long, and of clients that are gone.
    pub fn abandoned(&self) -> Vec<String> {
        let mut tables = self.tables();
        let silent = tables.executors.iter().filter(|(_, executor)| executor.heard.elapsed() >= LOST);
        let silent: Vec<String> = silent.map(|(id, _)| id.clone()).collect();
        let mut ids: Vec<String> = silent.iter().flat_map(|id| tables.leave(id)).collect();
        tables.jobs.retain(|id, job| {
            let waits = job.asked.elapsed() <= ABANDONED;
            if !waits {
                ids.push(id.clone());
            }
            waits
        });
        ids
    }
}

impl Tables {
    fn job(&mut self, id: &str) -> &mut Job {
        let new = || Job { asked: Instant::now(), executors: HashSet::new(), state: State::Runs };
        self.jobs.entry(id.to_owned()).or_insert_with(new)
    }

    fn leave(&mut self, executor: &str) -> Vec<String> {
        self.executors.remove(executor);
        self.lose(executor)
    }

    /// The jobs that an executor computes are lost.
    fn lose(&mut self, executor: &str) -> Vec<String> {
        let with = self.jobs.iter_mut().filter(|(_, job)| job.executors.contains(executor) && job.state == State::Runs);
        with.map(|(id, job)| {
            job.state = State::Lost;
            id.clone()
        })
        .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tasks_that_do_not_reach_their_executor_are_noticed() {
        let known = Known::default();
        known.heard("a".into(), 2);
        known.dealt("job", "a");
        known.dealt("job", "a");
        for (done, said) in
            [(0, Polled::Busy), (1, Polled::Busy), (0, Polled::Idle), (1, Polled::Busy), (0, Polled::Idle), (0, Polled::Idle)]
        {
            assert!(known.polled("a", done, said).is_empty());
        }
        known.dealt("job", "a");
        assert!(known.polled("a", 0, Polled::Idle).is_empty());
        known.heard("a".into(), 2);
        assert_eq!(known.polled("a", 0, Polled::Idle), ["job"]);
        assert_eq!((known.state("job"), known.slots()), (State::Lost, 2));
        assert!(known.polled("a", 0, Polled::Idle).is_empty());
    }

    #[test]
    fn a_job_is_lost_with_an_executor_that_had_tasks_of_it() {
        let known = Known::default();
        known.heard("a".into(), 2);
        known.heard("b".into(), 3);
        assert!(known.slots() == 5 && known.idle());
        for (job, executor) in [("one", "a"), ("both", "a"), ("both", "b"), ("other", "b")] {
            known.dealt(job, executor);
        }
        let mut lost = known.leave("a");
        lost.sort();
        assert_eq!((lost, known.slots(), known.idle()), (vec!["both".to_owned(), "one".to_owned()], 3, false));
        assert_eq!([known.state("one"), known.state("both"), known.state("other")], [State::Lost, State::Lost, State::Runs]);
        // They are told once, and forgotten when their clients know.
        assert!(known.leave("a").is_empty() && known.abandoned().is_empty());
        for job in ["one", "both", "other"] {
            known.over(job);
        }
        assert!(known.idle());
    }
}
