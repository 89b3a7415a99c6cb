//! The walk: runs the model over batches of events and makes output batches of what it says.

use super::columns::{Fact, StepColumn, Tag};
use super::decode::{Decoder, Part, TREAT, part};
use super::gather::{Gather, STRIDE};
use super::{Arguments, TURN};
use crate::engine::function::Running;
use crate::event::Event;
use crate::fate::{Origin, StaysOnDisk};
use crate::model::{Config, Ending, Model, Row, Rows, Said};
use crate::syscall::Moves;
use crate::text;
use arrow::array::{Array, ArrayRef, AsArray, Int64Array, RecordBatch, StringViewArray, new_null_array};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, Int64Type, Schema, SchemaRef};
use datafusion::common::{Result, exec_datafusion_err};
use std::sync::Arc;

/// Rows of steps that are gathered at once: few enough to stay in the processor's cache.
const CHUNK: usize = 256;
/// Facts in a batch, at most.
const FACTS: usize = 8192;
// Bytes of paths and ranges of facts in a batch, about.
const FACT_BYTES: usize = 4 << 20;

/// How the walk treats an event, as column `treat` of its input says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Treat {
    /// It is followed and not replayed, and what it leaves behind is there when the replay begins.
    Past,
    /// It is followed and not replayed.
    Follow,
    /// It is not replayed, and the model does not know of it.
    Hide,
    /// It is no event, but an lseek that is put in.
    Seek,
}

impl Treat {
    fn parse(word: &str) -> Option<Treat> {
        match word {
            "past" => Some(Treat::Past),
            "follow" => Some(Treat::Follow),
            "hide" => Some(Treat::Hide),
            "seek" => Some(Treat::Seek),
            _ => None,
        }
    }
}

/// State of one run of table function `virtualize`: the model, and where the walk is.
pub struct Walk {
    /// The model; `None` once the last event has come.
    model: Option<Model>,
    /// The model's facts that are still to be output, after the last event.
    ending: Option<Ending>,
    decoder: Decoder,
    seq: usize,
    /// Number of column `treat` of the input, if it has one.
    treat: Option<usize>,
    /// Number of column `turn` of the input, if it has one.
    turn: Option<usize>,
    /// Was the last event one of those before the replay begins?
    past: bool,
    arguments: Arguments,
    /// A batch of the input's schema without rows.
    like: RecordBatch,
    output: SchemaRef,
    columns: Vec<Output>,
    /// Position (`pos`) of the next output row.
    pos: i64,
    /// `seq` of the last event, which ops inserted after it carry; `None` before the first one.
    last: Option<i64>,
    rows: Rows,
}

/// Where an output column of the walk comes from.
#[derive(Debug)]
enum Output {
    /// A column of the input, by its number, passed through.
    Passed(usize),
    /// A column that the walk adds, with its builder.
    Made(Box<Gather>),
}

/// Where the passed-through columns of an output row come from: 0 (the input batch) or 1 ([`Args`]), and the row in it.
type Source = (usize, usize);

impl Walk {
    /// A walk over batches of schema `input` that makes batches of schema `output`.
    ///
    /// # Errors
    /// When a column of `output` is neither in `input` nor made by the walk.
    pub fn new(places: Config, arguments: Arguments, input: &Schema, output: SchemaRef) -> Result<Walk> {
        let column = |name: &str| match StepColumn::named(name) {
            Some(column) => Ok(Output::Made(Box::new(column.gather()))),
            None => Ok(Output::Passed(input.index_of(name)?)),
        };
        let columns = output.fields().iter().map(|field| column(field.name())).collect::<Result<_>>()?;
        let (decoder, seq, treat) = (Decoder::new(input)?, input.index_of("seq")?, input.index_of(TREAT).ok());
        let like = RecordBatch::new_empty(Arc::new(input.clone()));
        let model = Some(Model::new(places));
        let (pos, last, past, rows) = (STRIDE, None, false, Rows::default());
        let turn = input.index_of(TURN).ok();
        Ok(Walk { model, ending: None, decoder, seq, treat, turn, past, arguments, like, output, columns, pos, last, rows })
    }

    /// Ends the model: the rows of the ops that it inserts after the last event.
    fn finish(&mut self, model: Model) -> Result<RecordBatch> {
        self.ending = Some(model.end(&mut self.rows));
        let mut args = Args::default();
        let last = self.last.unwrap_or(0);
        let sources: Vec<Source> = self.rows.list.iter_mut().map(|row| args.source(row, last, 0)).collect();
        gather(&mut self.columns, &mut self.rows, &mut self.pos);
        let like = self.like.clone();
        self.batch(&like, &sources, &args)
    }

    fn batch(&mut self, input: &RecordBatch, sources: &[Source], args: &Args) -> Result<RecordBatch> {
        let mut arrays = Vec::with_capacity(self.columns.len());
        for (column, field) in self.columns.iter_mut().zip(self.output.fields()) {
            arrays.push(match column {
                Output::Made(gather) => gather.finish()?,
                Output::Passed(at) if args.events.is_empty() => Arc::clone(input.column(*at)).slice(0, sources.len()),
                Output::Passed(at) => {
                    let extra = args.column(field.name(), field.data_type());
                    let values = [input.column(*at).as_ref(), extra.as_ref()];
                    if values.iter().all(|values| values.null_count() == values.len()) {
                        arrays.push(new_null_array(field.data_type(), sources.len()));
                        continue;
                    }
                    match part(field.name()) {
                        // What the model does not know stays with the event, whatever its op is issued with.
                        Part::Other | Part::Treat => interleave(&values, &args.of_events(sources))?,
                        Part::Seq | Part::Syscall | Part::Int(_) | Part::Text(_) => interleave(&values, sources)?,
                    }
                }
            });
        }
        Ok(RecordBatch::try_new(Arc::clone(&self.output), arrays)?)
    }
}

impl Running for Walk {
    fn step(&mut self, batch: &RecordBatch) -> Result<RecordBatch> {
        let Walk { model: Some(model), decoder, columns, pos, rows, treat, past, arguments, .. } = self else {
            return Ok(RecordBatch::new_empty(Arc::clone(&self.output))); // nothing comes after the end
        };
        let seqs = batch.column(self.seq).as_primitive::<Int64Type>();
        if self.turn.is_none() {
            alone(seqs.values(), self.last)?;
        }
        let treats = treat.map(|at| batch.column(at).as_string_view());
        if let Some(word) = treats.and_then(|treats| treats.iter().flatten().find(|word| Treat::parse(word).is_none())) {
            return Err(exec_datafusion_err!("column treat of the input of virtualize is {word:?}, and it knows no such word"));
        }
        let mut sources = Vec::with_capacity(batch.num_rows());
        let mut args = Args::default();
        decoder.each(batch, |row, event| {
            let from = rows.list.len();
            let treat = treats.filter(|treats| treats.is_valid(row)).and_then(|treats| Treat::parse(treats.value(row)));
            if *past && !matches!(treat, Some(Treat::Past | Treat::Hide)) {
                model.rebase(event, rows);
                *past = false;
            }
            match treat {
                None => model.step(event, rows),
                Some(Treat::Past) => {
                    model.lead(event, rows);
                    *past = true;
                }
                Some(Treat::Follow) => model.follow(event, rows),
                Some(Treat::Hide) => model.pass(event, rows),
                Some(Treat::Seek) => {
                    model.step(event, rows);
                    if let Some(row) = rows.list.last_mut() {
                        let step = &mut row.step;
                        (step.origin, step.on_file, step.route, step.bytes) = (Origin::Seek, false, None, None);
                        step.moves = Moves::Nothing;
                    }
                }
            }
            for made in &mut rows.list[from..] {
                if *arguments == Arguments::Captured && made.step.origin == Origin::Event {
                    made.args = None;
                }
                sources.push(args.source(made, seqs.value(row), row));
            }
            if rows.list.len() >= CHUNK {
                gather(columns, rows, pos);
            }
        })?;
        gather(columns, rows, pos);
        if let Some(row) = batch.num_rows().checked_sub(1) {
            self.last = Some(seqs.value(row));
        }
        self.batch(batch, &sources, &args)
    }

    fn end(&mut self) -> Result<Option<RecordBatch>> {
        if let Some(model) = self.model.take() {
            return self.finish(model).map(Some);
        }
        let Walk { ending: Some(ending), columns, output, pos, .. } = self else { return Ok(None) };
        let said = some(ending);
        let facts: Vec<Fact<'_>> = said.iter().flat_map(facts).collect();
        if facts.is_empty() {
            return Ok(None);
        }
        let arrays = columns.iter_mut().zip(output.fields()).map(|(column, field)| match column {
            Output::Made(gather) => {
                gather.facts(&facts, *pos);
                gather.finish()
            }
            Output::Passed(_) => Ok(new_null_array(field.data_type(), facts.len())),
        });
        let batch = RecordBatch::try_new(Arc::clone(output), arrays.collect::<Result<_>>()?)?;
        *pos += STRIDE * facts.len() as i64;
        Ok(Some(batch))
    }
}

/// Checks that events, sorted by `seq`, are of one capture; `last`: that of the event before them.
fn alone(seqs: &[i64], last: Option<i64>) -> Result<()> {
    let twice = last.iter().chain(seqs).zip(seqs.iter().skip(usize::from(last.is_none()))).find(|(one, next)| one >= next);
    match twice {
        Some((_, seq)) => Err(exec_datafusion_err!(
            "more than one event has seq {seq}: the model follows one capture. Name one dataset, or choose its rows, as with \
             virtualize((SELECT * FROM events WHERE dataset = '...')); views such as io are made for each dataset by itself"
        )),
        None => Ok(()),
    }
}

/// Appends the rows of steps to the columns that the walk adds, advances `pos`, and clears the rows.
fn gather(columns: &mut [Output], rows: &mut Rows, pos: &mut i64) {
    for column in columns {
        if let Output::Made(gather) = column {
            gather.steps(rows, *pos);
        }
    }
    *pos += STRIDE * rows.list.len() as i64;
    rows.clear();
}

/// Arguments of ops in a batch that differ from those of the input row: of ops that the model inserted, and of calls
/// below a root directory of their own (chroot).
#[derive(Debug, Default)]
struct Args {
    events: Vec<Event>,
    /// For each of `events` the `seq` of the captured event that it is, or that caused it.
    seqs: Vec<i64>,
    /// For each of `events` the row of the input that it is; `None` of what the model inserted.
    rows: Vec<Option<usize>>,
}

impl Args {
    /// Where the passed-through columns of a row come from; arguments that are not the input row's are stored here.
    fn source(&mut self, made: &mut Row, seq: i64, row: usize) -> Source {
        match made.args.take() {
            None => (0, row),
            Some(event) => {
                self.events.push(*event);
                self.seqs.push(seq);
                self.rows.push((made.step.origin == Origin::Event).then_some(row));
                (1, self.events.len() - 1)
            }
        }
    }

    /// The sources with the input's rows for all events.
    fn of_events(&self, sources: &[Source]) -> Vec<Source> {
        let own = |(from, at): &Source| match self.rows.get(*at) {
            Some(Some(row)) if *from == 1 => (0, *row),
            _ => (*from, *at),
        };
        sources.iter().map(own).collect()
    }

    fn column(&self, name: &str, ty: &DataType) -> ArrayRef {
        let events = self.events.iter();
        match part(name) {
            Part::Seq => Arc::new(Int64Array::from(self.seqs.clone())),
            Part::Int(col) => Arc::new(Int64Array::from_iter(events.map(|event| event.int(col)))),
            Part::Syscall => Arc::new(StringViewArray::from_iter_values(events.map(Event::name))),
            Part::Text(text) => Arc::new(StringViewArray::from_iter(events.map(|event| event.text(text).map(text::encode)))),
            Part::Treat | Part::Other => new_null_array(ty, self.events.len()),
        }
    }
}

/// The next facts of the ending, as many as fit into a batch.
fn some(ending: &mut Ending) -> Vec<Said> {
    let (mut said, mut bytes) = (Vec::new(), 0);
    while said.len() < FACTS && bytes < FACT_BYTES {
        let Some(next) = ending.next() else { break };
        bytes += match &next {
            Said::Need(need) => need.path.len(),
            Said::Ranges(need) => {
                need.path.len() + (need.read.len() + need.holes.len() + need.warm.len()) * size_of::<Fact<'_>>()
            }
            Said::Expect(expect) => expect.path.len(),
            Said::Memory(path, _) => path.len(),
            Said::Guess(..) | Said::Evidence(..) => 0,
        };
        said.push(next);
    }
    said
}

/// The rows of one fact that the model states at its end: one, or one per range of a file.
fn facts(said: &Said) -> Vec<Fact<'_>> {
    match said {
        Said::Need(need) => vec![Fact {
            size: Some(need.size),
            exact: Some(need.size_exact),
            perm: need.mode,
            owner: need.uid,
            group: need.gid,
            mtime: need.mtime,
            target: need.target.as_ref(),
            xattrs: &need.xattrs,
            ..Fact::file(Tag::Fileset, &need.path, need.kind)
        }],
        Said::Ranges(need) => {
            let whats = [("read", &need.read), ("hole", &need.holes), ("warm", &need.warm)];
            let all = whats.into_iter().flat_map(|(what, ranges)| ranges.iter().map(move |range| (what, range)));
            let fact = |(what, (offset, length)): (&'static str, &(i64, i64))| Fact {
                offset: Some(*offset),
                size: Some(*length),
                ..Fact::new(Tag::Extent, Some(&need.path), what)
            };
            all.map(fact).collect()
        }
        Said::Expect(expect) => {
            let target = expect.target.as_ref();
            vec![Fact { size: expect.size, target, ..Fact::file(Tag::Expect, &expect.path, expect.kind) }]
        }
        Said::Guess(what, count) => vec![Fact { size: i64::try_from(*count).ok(), ..Fact::new(Tag::Guess, None, what) }],
        Said::Memory(path, why) => vec![Fact::new(Tag::Memory, Some(path), why.map_or("", StaysOnDisk::name))],
        Said::Evidence(what, found) => {
            let [size, offset] = [found.answers, found.observed].map(|count| i64::try_from(count).ok());
            vec![Fact { size, offset, ..Fact::new(Tag::Evidence, None, what) }]
        }
    }
}
