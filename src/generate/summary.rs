//! The counts that generate reports, and the check that the ledger closes.

use super::work::{EXAMPLES, Made};
use crate::amount::{Bytes, Things};
use crate::engine::Engine;
use crate::fate::Elsewhere;
use crate::ledger::{Ledger, Moved, OtherKind};
use crate::limits::GROUPED;
use crate::loss::Loss;
use crate::mounts::InMemory;
use crate::schema::Table;
use crate::text::shown;
use anyhow::{Context, Result, ensure};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use arrow::util::display::{ArrayFormatter, FormatOptions};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fmt;

/// Counts by name, such as events by reason or entries by kind.
pub type Count = BTreeMap<String, u64>;

/// Counts of what generate did, as printed. The manifest of the workload has the same keys.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Summary {
    /// Number of events of the capture.
    pub events: u64,
    /// Number of ops of the workload, inserted ones included.
    pub ops: u64,
    /// Number of ops by origin: `event` for captured calls, else the cause for which an op was inserted.
    pub ops_by_origin: Count,
    /// Number of events of fate `model`: bookkeeping that other ops carry, such as fork, exec and dup.
    pub model: u64,
    /// Number of events that are not replayed (fate `drop`), by reason.
    pub drops: Count,
    /// Events that coverage is a share of ([`crate::model::Step::on_file`]): calls on files, and calls that are
    /// unknown.
    pub file_events: u64,
    /// Those of [`Summary::file_events`] that are ops.
    pub file_ops: u64,
    /// The byte ledger: which way bytes went in the capture, and which of them are replayed.
    pub bytes: Ledger,
    /// Ops on files of another kind of file system than the replay has, by what is to be said of them.
    pub elsewhere: BTreeMap<String, OtherKind>,
    /// File systems in memory that files of the workload were on, those too that were mounted during the capture.
    pub memory: Vec<InMemory>,
    /// Number of open file descriptions; their ids are 0 to this number less one.
    pub ofds: u64,
    /// Number of lanes: captured threads with an op.
    pub lanes: u64,
    /// Number of entries of the fileset, by kind (file, dir, link, absent ...).
    pub fileset: Count,
    /// Bytes of all regular files of the fileset together.
    pub fileset_bytes: u64,
    /// How often the model guessed, because the capture contradicts itself or leaves something open, by what was
    /// guessed.
    pub guesses: Count,
    /// How many answers the model gave, and how many of them were inferred rather than observed, by kind of answer.
    pub inferences: BTreeMap<String, Inferences>,
    /// What the capture missed: counts of its table `losses`, by kind.
    pub losses: BTreeMap<Loss, u64>,
    /// Number of [`Summary::losses`] that are whole events, whose effects are unknown.
    pub lost_events: u64,
    /// Number of edges (an op must follow an op of another lane), by kind of resource.
    pub edges: BTreeMap<String, Edges>,
    /// Some edges with their calls, with `--explain-order`; not in the manifest.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub edge_examples: Vec<Example>,
    /// The longest paths over lanes and edges: the shortest that a replay in resource order can be.
    pub critical_path: Critical,
    /// How long the captured calls took; `None` when the capture has no times.
    pub times: Option<Times>,
    /// What is known of the page cache; `None` where the capture does not tell what is added to it.
    pub cache: Option<Cached>,
    /// What is known of the content of files; `None` where no file was sampled.
    pub contents: Option<Contents>,
    /// Processor time of the captured threads between their calls, ns; `None` where the capture does not tell.
    pub computed: Option<u64>,
    /// Number of rows of each table that a stage of the user made, by its name.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub own: BTreeMap<String, u64>,
    /// Bytes of files that were mapped and never to be executed: data that is read, and not the code of libraries.
    pub mapped_data: u64,
    /// Number of files that several lanes write back to the device, or one for others: these may commit for several at once.
    pub shared_syncs: u64,
    /// Files that the program wrote back for several threads at once, by number in ascending order: those whose syncs can be regrouped.
    pub grouped: Vec<u64>,
    /// Hash (xxh3, 16 hex digits) of the file of table `ops`: tells workloads apart.
    pub fingerprint: String,
    /// Time that generate took, seconds.
    pub seconds: f64,
}

/// What the capture tells of the page cache (stage cached.sql), bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Cached {
    /// Bytes of the initial content of files that calls and page faults read.
    pub read: u64,
    /// Bytes of it that were in the page cache when they were read first.
    pub warm: u64,
    /// Number of files with such bytes.
    pub files: u64,
    /// Bytes that were added to the page cache: read from the disk, read ahead of calls included, or written over.
    pub added: u64,
}

/// What is known of the content of the fileset by samples (stage sampled.sql).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Contents {
    /// Files of whose content something is known.
    pub files: u64,
    /// Their sizes, bytes.
    pub bytes: u64,
    /// What they would take compressed, bytes.
    pub compressed: u64,
    /// How many of the files were sampled themselves; the others are taken to be like those.
    pub own: u64,
}

/// How many answers of one kind the model gave, and how many of them it inferred.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Inferences {
    /// Number of answers of this kind that the model gave.
    pub answers: u64,
    /// Answers that follow from earlier calls, and that no observation in the kernel showed.
    pub inferred: u64,
}

/// Edges between ops of different lanes, over one kind of resource.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Edges {
    /// Number of edges that the order of touches of resources asks for.
    pub asked: u64,
    /// Those that are stored: they do not follow from the order inside lanes and from other edges.
    pub kept: u64,
}

/// An edge with the calls at its two ends, for `--explain-order`.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Example {
    /// Kind of the resource that both ops touch.
    pub resource: String,
    /// Is the edge stored? Otherwise it follows from other edges and the order inside lanes.
    pub kept: bool,
    /// The op that waits, at the later end of the edge.
    pub op: Call,
    /// The op that it waits for, at the earlier end of the edge.
    pub after: Call,
}

/// An op at one end of an [`Example`].
#[derive(Clone, Debug, Default, Serialize)]
pub struct Call {
    /// Id of the op.
    pub op_id: u64,
    /// Lane of the op: the vtid of its captured thread.
    pub lane: u64,
    /// Name of the captured call.
    pub syscall: String,
    /// Path that the call is about.
    pub path: String,
}

impl Call {
    /// Reads these four columns (op_id, lane, syscall, path) of a row.
    fn read(batch: &RecordBatch, at: [usize; 4], row: usize) -> Call {
        let [op_id, lane] = [at[0], at[1]].map(|column| int(batch, column, row));
        let [syscall, path] = [at[2], at[3]].map(|column| text(batch, column, row));
        Call { op_id, lane, syscall, path }
    }
}

impl fmt::Display for Call {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of lane {}, {} {}", self.op_id, self.lane, self.syscall, shown(&self.path))
    }
}

/// The longest paths over lanes and edges: no replay in resource order is shorter, however many workers it has.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct Critical {
    /// Number of ops on the path with the most ops.
    pub ops: u64,
    /// Captured time of the calls on the path with the most of it, ns.
    pub ns: u64,
    /// Ops of the workload divided by [`Critical::ops`]: the most workers that can be busy on average.
    pub parallelism: f64,
}

/// How long the captured calls took (stage times.sql), ns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// From the start of the first call to the end of the last, ns.
    pub span: u64,
    /// Sum of the durations of all calls, ns; `None` when the capture has none.
    pub in_calls: Option<u64>,
    /// From the first to the last call of each lane, summed over the lanes, ns.
    pub in_lanes: u64,
    /// Time between calls in which threads slept and nobody knows what woke them, ns.
    pub unexplained: u64,
    /// The longest time in which a thread looked at the same name again and again at intervals, ns.
    pub polled: u64,
}

impl Summary {
    /// Adds up what the stages of role `Make::Sums` and the written tables say.
    pub(super) fn collect(engine: &Engine, made: &Made) -> Result<Summary> {
        let mut summary = Summary::default();
        let sums = |stage| made.sums.get(stage).into_iter().flatten();
        for batch in sums("ledger") {
            for row in 0..batch.num_rows() {
                let [tag, fate, origin, reason] = [0, 1, 2, 3].map(|column| text(batch, column, row));
                let [count, on_file, ofds] = [4, 5, 6].map(|column| int(batch, column, row));
                summary.ofds = summary.ofds.max(ofds);
                if tag == "event" {
                    summary.events += count;
                    summary.file_events += on_file;
                }
                match (tag.as_str(), fate.as_str()) {
                    (_, "op") => {
                        summary.ops += count;
                        *summary.ops_by_origin.entry(origin).or_default() += count;
                        summary.file_ops += if tag == "event" { on_file } else { 0 };
                    }
                    ("event", "model") => summary.model += count,
                    ("event", "drop") => *summary.drops.entry(reason).or_default() += count,
                    _ => {}
                }
            }
        }
        for batch in sums("bytes") {
            for row in 0..batch.num_rows() {
                let [calls, unknown, files, bytes, read, written] = [3, 4, 5, 6, 7, 8].map(|column| int(batch, column, row));
                let replayed = batch.column(1).as_boolean().value(row);
                let reason = Some(text(batch, 2, row)).filter(|reason| !reason.is_empty());
                let route = text(batch, 0, row);
                summary.bytes.rows.push(Moved { route, replayed, reason, calls, unknown, files, bytes, read, written });
            }
        }
        for batch in sums("elsewhere") {
            for row in 0..batch.num_rows() {
                let found = OtherKind { ops: int(batch, 1, row), bytes: int(batch, 2, row) };
                summary.elsewhere.insert(text(batch, 0, row), found);
            }
        }
        for batch in sums("memory") {
            for row in 0..batch.num_rows() {
                let stays = Some(text(batch, 1, row)).filter(|word| !word.is_empty());
                summary.memory.push(InMemory { path: text(batch, 0, row), size: None, stays });
            }
        }
        for batch in sums("guesses") {
            for row in 0..batch.num_rows() {
                *summary.guesses.entry(text(batch, 0, row)).or_default() += int(batch, 1, row);
            }
        }
        for batch in sums("evidence") {
            for row in 0..batch.num_rows() {
                let (answers, observed) = (int(batch, 1, row), int(batch, 2, row));
                let inferred = answers.saturating_sub(observed);
                summary.inferences.insert(text(batch, 0, row), Inferences { answers, inferred });
            }
        }
        for batch in sums("edge_kinds") {
            for row in 0..batch.num_rows() {
                let edges = Edges { asked: int(batch, 1, row), kept: int(batch, 2, row) };
                summary.edges.insert(text(batch, 0, row), edges);
            }
        }
        for batch in sums(EXAMPLES) {
            for row in 0..batch.num_rows() {
                let (resource, kept) = (text(batch, 0, row), batch.column(1).as_boolean().value(row));
                let (op, after) = (Call::read(batch, [2, 3, 4, 5], row), Call::read(batch, [6, 7, 8, 9], row));
                summary.edge_examples.push(Example { resource, kept, op, after });
            }
        }
        for batch in sums("critical").filter(|batch| batch.num_rows() > 0) {
            let [ops, ns] = [0, 1].map(|column| int(batch, column, 0));
            summary.critical_path = Critical { ops, ns, parallelism: summary.ops as f64 / ops.max(1) as f64 };
        }
        for batch in sums("times").filter(|batch| batch.num_rows() > 0) {
            let [span, in_calls, in_lanes, unexplained, polled] = [0, 1, 2, 3, 4].map(|column| known(batch, column, 0));
            let [unexplained, polled] = [unexplained, polled].map(Option::unwrap_or_default);
            summary.times = span.zip(in_lanes).map(|(span, in_lanes)| Times { span, in_calls, in_lanes, unexplained, polled });
        }
        for batch in sums("cached").filter(|batch| batch.num_rows() > 0) {
            let [read, warm, files, added] = [0, 1, 2, 3].map(|column| int(batch, column, 0));
            summary.cache = Some(Cached { read, warm, files, added });
        }
        for batch in sums("sampled").filter(|batch| batch.num_rows() > 0) {
            let [files, bytes, compressed, own] = [0, 1, 2, 3].map(|column| int(batch, column, 0));
            summary.contents = Some(Contents { files, bytes, compressed, own }).filter(|contents| contents.files > 0);
        }
        for batch in sums("computed").filter(|batch| batch.num_rows() > 0) {
            summary.computed = known(batch, 0, 0);
        }
        for batch in sums("mapped").filter(|batch| batch.num_rows() > 0) {
            summary.mapped_data = int(batch, 0, 0);
        }
        for batch in sums("committers").filter(|batch| batch.num_rows() > 0) {
            summary.shared_syncs = int(batch, 0, 0);
        }
        for batch in sums("grouped") {
            let files: Option<Vec<u64>> = (0..batch.num_rows()).map(|row| known(batch, 0, row)).collect();
            summary.grouped.extend(files.context("stage grouped.sql: a file is a number from 0")?);
        }
        let ascend = summary.grouped.is_sorted_by(|a, b| a < b) && summary.grouped.len() <= GROUPED;
        ensure!(ascend, "stage grouped.sql gives the numbers of at most {GROUPED} files, in ascending order and each once");
        for (table, written) in &made.tables {
            match table {
                Table::Ops => summary.fingerprint = format!("{:016x}", written.hash),
                Table::Lanes => summary.lanes = written.rows,
                _ => {}
            }
        }
        summary.fileset(engine)?;
        Ok(summary)
    }

    /// How much of [`Summary::file_events`] is replayed, percent.
    pub fn coverage(&self) -> f64 {
        if self.file_events == 0 { 0.0 } else { self.file_ops as f64 * 100.0 / self.file_events as f64 }
    }

    fn fileset(&mut self, engine: &Engine) -> Result<()> {
        let sql = "SELECT kind, count(*), CAST(coalesce(sum(size) FILTER (WHERE kind = 'file'), 0) AS BIGINT) FROM fileset GROUP BY kind";
        let frame = engine.sql(sql)?;
        for batch in engine.block_on(async { Ok(frame.collect().await?) })? {
            for row in 0..batch.num_rows() {
                self.fileset.insert(text(&batch, 0, row), int(&batch, 1, row));
                self.fileset_bytes += int(&batch, 2, row);
            }
        }
        Ok(())
    }

    /// Refuses to go on unless the ledger closes: events = ops of origin event + model + drops. `captured` is the
    /// number of events in the capture's manifest.
    pub(super) fn check(&self, captured: Option<u64>) -> Result<()> {
        let ops = self.ops_by_origin.get("event").copied().unwrap_or(0);
        let dropped: u64 = self.drops.values().sum();
        let sum = ops + self.model + dropped;
        ensure!(
            self.events == sum && captured.is_none_or(|captured| captured == self.events),
            "the ledger does not close: {} events in the capture, {} after the walk, of them {ops} ops, {} model and {dropped} drops; \
             with stages of your own, check that they keep every row of the walk, else please report this",
            captured.unwrap_or(self.events),
            self.events,
            self.model,
        );
        Ok(())
    }
}

fn text(batch: &RecordBatch, column: usize, row: usize) -> String {
    let format = ArrayFormatter::try_new(batch.column(column), &FormatOptions::default()); // whichever form the text has
    format.map_or_else(|_| String::new(), |values| values.value(row).to_string())
}

fn int(batch: &RecordBatch, column: usize, row: usize) -> u64 {
    known(batch, column, row).unwrap_or(0)
}

/// A number; `None` when it is absent or negative.
fn known(batch: &RecordBatch, column: usize, row: usize) -> Option<u64> {
    let values = batch.column(column).as_primitive_opt::<Int64Type>();
    values.filter(|values| values.is_valid(row)).and_then(|values| u64::try_from(values.value(row)).ok())
}

impl fmt::Display for Summary {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let line =
            |f: &mut fmt::Formatter<'_>, label: &str, count: u64, note: &str| writeln!(f, "{label:<13}{count:>11}  {note}");
        let ops = self.ops_by_origin.get("event").copied().unwrap_or(0);
        let dropped: u64 = self.drops.values().sum();
        line(f, "events", self.events, "= ops + model + drops")?;
        line(f, "  ops", ops, "replayed")?;
        line(f, "  model", self.model, "bookkeeping: fork, exec, dup ...")?;
        line(f, "  drops", dropped, if dropped > 0 { "not replayed:" } else { "not replayed" })?;
        let mut drops: Vec<_> = self.drops.iter().collect();
        drops.sort_by_key(|(reason, count)| (std::cmp::Reverse(**count), *reason));
        for (reason, count) in drops {
            line(f, "", *count, &format!("{reason}: {}", crate::fate::Reason::parse(reason).map_or("", |reason| reason.doc())))?;
        }
        let inserted = self.ops - ops;
        line(f, "inserted", inserted, if inserted > 0 { "ops that no event asked for:" } else { "ops that no event asked for" })?;
        for (origin, count) in self.ops_by_origin.iter().filter(|(origin, _)| *origin != "event") {
            line(f, "", *count, &format!("{origin}: {}", crate::fate::Origin::parse(origin).map_or("", |origin| origin.doc())))?;
        }
        line(f, "file events", self.file_events, &format!("of them {:.2} % are replayed (coverage of calls)", self.coverage()))?;
        write!(f, "{}", self.bytes)?;
        for (reason, found) in &self.elsewhere {
            let doc = Elsewhere::parse(reason).map_or("", Elsewhere::doc);
            line(f, "elsewhere", found.ops, &format!("ops, of {}, {reason}: {doc}", Bytes(found.bytes)))?;
        }
        line(f, "lanes", self.lanes, "captured threads with ops")?;
        let asked: u64 = self.edges.values().map(|edges| edges.asked).sum();
        let kept: u64 = self.edges.values().map(|edges| edges.kept).sum();
        line(f, "edges", kept, &format!("ops wait for ops of other lanes, of {asked} that resources ask for:"))?;
        for (resource, edges) in &self.edges {
            line(f, "", edges.kept, &format!("{resource}, of {}", edges.asked))?;
            for example in self.edge_examples.iter().filter(|example| example.resource == *resource) {
                let note = if example.kept { "" } else { ", which follows from others" };
                writeln!(f, "{:26}op {}\n{:28}waits for op {}{note}", "", example.op, "", example.after)?;
            }
        }
        let Critical { ops, ns, parallelism } = self.critical_path;
        let note = format!("ops, or {:.3} s of calls; {parallelism:.1} workers at most are busy on average", ns as f64 / 1e9);
        line(f, "longest path", ops, &note)?;
        if let Some(Times { span, in_calls, .. }) = self.times {
            let flight =
                in_calls.map_or(String::new(), |busy| format!("; {:.2} in flight on average", busy as f64 / span.max(1) as f64));
            writeln!(
                f,
                "{:<13}{:>11.3}  s from the first of these calls to the end of the last{flight}",
                "captured",
                span as f64 / 1e9
            )?;
        }
        let entries: u64 = self.fileset.values().sum();
        let kinds = self.fileset.iter().map(|(kind, count)| format!("{count} {kind}")).collect::<Vec<_>>().join(", ");
        line(f, "fileset", entries, &format!("entries ({kinds}), {:.1} MiB in files", self.fileset_bytes as f64 / 1_048_576.0))?;
        for (name, rows) in &self.own {
            line(f, "table", *rows, &format!("rows of {name}, by a stage of yours"))?;
        }
        if let Some(Cached { read, warm, files, added }) = self.cache {
            let (read, warm, added) = (Bytes(read), Bytes(warm), Bytes(added));
            let note =
                format!("of {read} that were read were in the page cache ({}); {added} were added to it", Things(files, "file"));
            writeln!(f, "{:<13}{:>11}  {note}", "warm", warm.to_string())?;
        }
        if let Some(Contents { files, bytes, compressed, own }) = self.contents {
            let (compressed, bytes) = (Bytes(compressed), Bytes(bytes));
            let note = format!(
                "of {}, {bytes}, is known by samples, of {own} by their own; compressed {compressed}",
                Things(files, "file")
            );
            writeln!(f, "{:<13}{:>11}  {note}", "content", "")?;
        }
        let inferred = self.inferences.values().map(|kind| kind.inferred).sum();
        let answers: u64 = self.inferences.values().map(|kind| kind.answers).sum();
        let kinds = self.inferences.iter().map(|(kind, n)| format!("{} of {} {kind}", n.inferred, n.answers));
        let kinds = kinds.collect::<Vec<_>>().join(", ");
        line(f, "inferred", inferred, &format!("of {answers} answers, not observed in the kernel: {kinds}"))?;
        for (kind, count) in &self.losses {
            line(f, "lost", *count, &format!("{}: {}", kind.name(), kind.doc()))?;
        }
        for (guess, times) in &self.guesses {
            line(f, "guessed", *times, guess)?;
        }
        write!(f, "fingerprint {}, made in {:.2} s", self.fingerprint, self.seconds)
    }
}
