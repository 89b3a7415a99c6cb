//! The inside of a replay: a process of its own that enters the sandbox and issues the ops.
//!
//! It gets three plain descriptors (ops, lanes, a pipe for the records) and no directory. Everything it needs later is
//! opened and allocated before the sandbox closes; its threads are started before the seccomp filter, which then covers
//! them all and allows no further ones.

use super::engine::{Issue, Null};
use super::groups::Groups;
use super::load::{Feed, Loader};
use super::order::Strict;
use super::record::{self, DONE, ERROR, Frame, READY};
use super::sys::{Shared, Sys};
use super::worker::{self, Tape};
use super::{Engine, filter, plan, sandbox};
use anyhow::{Context, Result, bail};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use std::ffi::{CString, OsString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{FromRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Barrier, Mutex};

/// First argument of a process that is to be the child.
pub const VERB: &str = "replay-child";

/// Where the supervisor puts the descriptors.
pub const OPS: i32 = 3;
/// The lanes.
pub const LANES: i32 = 4;
/// The pipe.
pub const PIPE: i32 = 5;

/// What the supervisor tells the child, as arguments.
#[derive(Clone, Debug)]
pub struct Task {
    /// Process id of the supervisor.
    pub parent: u32,
    /// What issues the ops.
    pub engine: Engine,
    /// Workers asked for.
    pub threads: Option<usize>,
    /// Number of open file descriptions.
    pub ofds: usize,
    /// The tree that becomes `/`.
    pub tree: CString,
    /// Mount points of the capture.
    pub mounts: Vec<CString>,
}

impl Task {
    /// As arguments of the child.
    pub fn args(&self) -> Vec<OsString> {
        let mut args: Vec<OsString> = vec![
            self.parent.to_string().into(),
            self.engine.name().into(),
            self.threads.unwrap_or(0).to_string().into(),
            self.ofds.to_string().into(),
        ];
        let paths = std::iter::once(&self.tree).chain(&self.mounts);
        args.extend(paths.map(|path| OsString::from_vec(path.to_bytes().to_vec())));
        args
    }

    fn parse(args: impl Iterator<Item = OsString>) -> Result<Task> {
        let args: Vec<OsString> = args.collect();
        let [parent, engine, threads, ofds, tree, mounts @ ..] = args.as_slice() else {
            bail!("`{VERB}` is the inside of `ioriot replay` and not for you")
        };
        let number = |arg: &OsString| -> Result<usize> { Ok(arg.to_str().context("not a number")?.parse()?) };
        let path = |arg: &OsString| CString::new(arg.clone().into_vec());
        Ok(Task {
            parent: u32::try_from(number(parent)?)?,
            engine: Engine::parse(&engine.to_string_lossy()).context("no such engine")?,
            threads: Some(number(threads)?).filter(|threads| *threads > 0),
            ofds: number(ofds)?,
            tree: path(tree)?,
            mounts: mounts.iter().map(path).collect::<Result<_, _>>()?,
        })
    }
}

/// Runs the child; `args` are those after [`VERB`].
pub fn main(args: impl Iterator<Item = OsString>) -> ExitCode {
    let task = match Task::parse(args) {
        Ok(task) => task,
        Err(error) => {
            eprintln!("error: {error:#}");
            return ExitCode::from(2);
        }
    };
    // SAFETY: the supervisor put these three descriptors there for us, and nothing else in this process owns them.
    let (ops, lanes, mut pipe) = unsafe { (File::from_raw_fd(OPS), File::from_raw_fd(LANES), File::from_raw_fd(PIPE)) };
    match run(&task, ops, lanes, &mut pipe) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let text = format!("{error:#}");
            let told =
                Frame { kind: ERROR, count: text.len() as u32 }.write(&mut pipe).and_then(|()| pipe.write_all(text.as_bytes()));
            if told.is_err() {
                eprintln!("error: {text}");
            }
            ExitCode::from(2)
        }
    }
}

fn run(task: &Task, ops: File, lanes: File, pipe: &mut File) -> Result<()> {
    sandbox::die_with(task.parent)?;
    sandbox::close_from(PIPE as u32 + 1)?;
    // The workload's processes had a limit each.
    crate::limits::raise_files();

    let groups = Groups::open(ops, task.ofds as i64)?;
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let reader =
        ParquetRecordBatchReaderBuilder::try_new_with_options(lanes, options).context("the table of lanes is damaged")?;
    let lanes = plan::lanes(reader.build()?, groups.rows())?;
    let workers = plan::workers(lanes.len(), task.threads);
    let (loader, feeds) = Loader::new(groups, plan::deal(&lanes, workers));
    let shared = match task.engine {
        Engine::Null => None,
        Engine::Sys => Some(Shared::new(task.ofds).context("no memory for buffers")?),
    };
    match shared {
        None => stage(feeds, loader, pipe, workers, |_| Ok(Null)),
        Some(mut shared) => {
            sandbox::enter(&task.tree, &task.mounts)?;
            shared.set_root(OwnedFd::from(File::open("/").context("cannot open the tree")?));
            let shared = &shared;
            stage(feeds, loader, pipe, workers, |_| {
                sandbox::own_directory().context("no sandbox: no working directory of one's own")?;
                Sys::new(shared).context("no memory for buffers")
            })
        }
    }
}

/// Starts every thread, closes the sandbox over them, lets them run and waits for them.
fn stage<E: Issue>(
    feeds: Vec<Feed>,
    mut loader: Loader,
    pipe: &mut File,
    workers: usize,
    make: impl Fn(usize) -> Result<E> + Sync,
) -> Result<()> {
    let order = Strict::new(workers);
    let (recorder, tapes) = worker::tapes(workers);
    // All workers, the loader, the recorder and this thread.
    let (ready, go) = (Barrier::new(workers + 3), Barrier::new(workers + 3));
    let abort = AtomicBool::new(false);
    let start = std::sync::atomic::AtomicI64::new(0);
    let trouble: Mutex<Option<anyhow::Error>> = Mutex::new(None);
    let fail = |error: anyhow::Error| {
        // The first trouble is the cause, what follows are consequences.
        if let Ok(mut trouble) = trouble.lock() {
            trouble.get_or_insert(error);
        }
        abort.store(true, Ordering::SeqCst);
        order.stop();
    };
    let mut out = pipe.try_clone().context("cannot duplicate the pipe")?;

    let wall = std::thread::scope(|scope| -> Result<i64> {
        let (order, ready, go, abort, start, fail, make) = (&order, &ready, &go, &abort, &start, &fail, &make);
        for (feed, mut tape) in feeds.into_iter().zip(tapes) {
            scope.spawn(move || {
                let engine = make(feed.worker);
                if let Err(error) = &engine {
                    fail(anyhow::anyhow!("{error:#}"));
                }
                ready.wait();
                go.wait();
                if let (Ok(mut engine), false) = (engine, abort.load(Ordering::SeqCst)) {
                    work(&mut engine, order, &feed, &mut tape, start.load(Ordering::SeqCst), fail);
                }
            });
        }
        scope.spawn(move || {
            ready.wait();
            go.wait();
            if !abort.load(Ordering::SeqCst) {
                match catch_unwind(AssertUnwindSafe(|| loader.run())) {
                    Ok(Ok(())) => {}
                    Ok(Err(error)) => fail(error),
                    Err(_) => fail(anyhow::anyhow!("the loader panicked")),
                }
            }
        });
        let recording = scope.spawn(move || {
            ready.wait();
            go.wait();
            recorder.run(|block| record::write(&mut out, block))
        });
        ready.wait();
        // All threads are there. From here on nothing but the calls of the filter is possible.
        if let Err(error) = filter::install() {
            fail(error);
        }
        if !abort.load(Ordering::SeqCst)
            && let Err(error) = (Frame { kind: READY, count: 0 }).write(pipe)
        {
            fail(error.into());
        }
        let begin = worker::now();
        start.store(begin, Ordering::SeqCst);
        go.wait();
        match recording.join() {
            Ok(written) => written.context("the supervisor is gone")?,
            Err(_) => bail!("the recorder panicked"),
        }
        Ok(worker::now() - begin)
    })?;
    if let Ok(Some(error)) = trouble.into_inner() {
        return Err(error);
    }
    Frame { kind: DONE, count: 16 }.write(pipe)?;
    pipe.write_all(&wall.to_ne_bytes())?;
    pipe.write_all(&(workers as u64).to_ne_bytes())?;
    Ok(())
}

/// One worker, which must not leave the others waiting whatever happens to it.
fn work<E: Issue>(engine: &mut E, order: &Strict, feed: &Feed, tape: &mut Tape, start: i64, fail: &impl Fn(anyhow::Error)) {
    if catch_unwind(AssertUnwindSafe(|| worker::run(engine, order, feed, tape, start))).is_err() {
        fail(anyhow::anyhow!("worker {} panicked", feed.worker));
    }
}
