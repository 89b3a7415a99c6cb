//! Runs the stages of a what-if: the capture is surveyed once, what is chosen and changed becomes a revised list of events, and the
//! model follows that.

use super::what_if::{By, Sample, Settable, When, pattern};
use super::work::{Streaming, Work};
use crate::engine;
use crate::os::user;
use crate::progress::{Progress, Unit};
use crate::schema::{Dataset, Table, check};
use anyhow::{Context, Result, anyhow, bail, ensure};
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::dataframe::DataFrame;
use datafusion::datasource::empty::EmptyTable;
use datafusion::logical_expr::{Expr, col, lit};
use std::sync::Arc;

/// The events between two moments, by their numbers.
#[derive(Clone, Copy, Debug)]
struct Window {
    from: i64,
    to: i64,
}

/// Nanoseconds of a day.
const DAY: i64 = 24 * 60 * 60 * 1_000_000_000;

impl Work<'_> {
    /// Makes relation `chosen` by way of the revised events.
    pub(super) fn revise(&self, progress: &Progress) -> Result<Option<Streaming>> {
        self.scratch("survey", self.plan("survey")?, progress)?;
        self.view("walk", self.engine.sql("SELECT * FROM survey")?)?;
        // The stages name the small side of each join first: that one is held, the walk streams by and stays in order.
        // The engine would guess anew from statistics, and split what comes in order over partitions to sort it again.
        self.engine.set("datafusion.optimizer.join_reordering", "false")?;
        self.engine.set("datafusion.execution.target_partitions", "1")?;
        let window = self.window()?;
        self.picked(window)?;
        progress.begin("filter", Unit::Count, 0);
        self.scratch("wanted", self.plan("wanted")?, progress)?;
        self.scratch("seeks", self.plan("seeks")?, progress)?;
        self.propose(window)?;
        if self.what_if().sets.is_empty() {
            let fields = ["file", "since"].map(|name| Field::new(name, DataType::Int64, true));
            let none = EmptyTable::new(Arc::new(Schema::new(fields.to_vec())));
            self.engine.ctx().register_table("reached", Arc::new(none))?;
        } else {
            self.believe()?;
            self.scratch("reached", self.plan("reached")?, progress)?;
        }
        self.view("revised", self.plan("revised")?)?;
        let chosen = self.plan("chosen")?;
        if self.what_if().tenants() == 1 {
            return self.stream("chosen", "chosen", chosen, progress);
        }
        self.view("single", chosen)?;
        self.tenants()?;
        self.stream("tenants", "chosen", self.plan("tenants")?, progress)
    }

    /// Defines the table of processes that stage `people` reads.
    pub(super) fn register_processes(&self, captures: &[&Dataset]) -> Result<()> {
        let files =
            captures.iter().filter(|capture| capture.has(Table::Processes)).map(|capture| capture.table(Table::Processes));
        let mut parts = Vec::new();
        for (file, part) in files.zip(0..) {
            let name = format!("processes_{part}");
            self.engine.register(&name, &file, check::whole(&file)?)?;
            parts.push(format!("SELECT * FROM {name}"));
        }
        if parts.is_empty() {
            let none = EmptyTable::new(Table::Processes.schema());
            self.engine.ctx().register_table(Table::Processes.name(), Arc::new(none))?;
            return Ok(());
        }
        self.view(Table::Processes.name(), self.engine.sql(&parts.join(" UNION ALL "))?)
    }

    fn view(&self, name: &str, rows: DataFrame) -> Result<()> {
        self.engine.ctx().deregister_table(name)?;
        self.engine.ctx().register_table(name, rows.into_view())?;
        Ok(())
    }

    // ---- from when to when

    fn window(&self) -> Result<Window> {
        let what_if = self.what_if();
        let mut window = Window { from: i64::MIN, to: i64::MAX };
        if self.is_rehearsal() || what_if.from.is_none() && what_if.to.is_none() {
            return Ok(window);
        }
        let times = self.numbers("SELECT min(ts) AS first, max(ts) AS last FROM events")?;
        let [Some(first), Some(last)] = times[..] else { bail!("the capture has no times, so --from and --to mean nothing") };
        let from = what_if.from.as_ref().map(|when| self.moment(when, first)).transpose()?;
        let to = what_if.to.as_ref().map(|when| self.moment(when, first)).transpose()?;
        let (begin, end) = (from.unwrap_or(i64::MIN), to.unwrap_or(i64::MAX));
        ensure!(begin < end, "--from is not before --to");
        // By the order of effects, so that a call that was under way at the start belongs to one side whole.
        let seqs = format!(
            "SELECT min(seq) FILTER (WHERE ts >= {begin}) AS first, max(seq) FILTER (WHERE ts < {end}) AS last FROM events"
        );
        let seqs = self.numbers(&seqs)?;
        let span = crate::amount::Nanos(last.saturating_sub(first));
        let [Some(from), Some(to)] = seqs[..] else { bail!("there is no event in that time: the capture spans {span}") };
        ensure!(from <= to, "there is no event in that time: the capture spans {span}");
        (window.from, window.to) = (from, to);
        Ok(window)
    }

    /// The numbers of the only row of a query.
    pub(super) fn numbers(&self, sql: &str) -> Result<Vec<Option<i64>>> {
        let frame = self.engine.sql(sql)?;
        let batches = self.engine.block_on(async { Ok(frame.collect().await?) })?;
        let row = batches.iter().find(|batch| batch.num_rows() > 0).context("a query gave no row")?;
        let value = |column: &Arc<dyn Array>| {
            let column = column.as_primitive_opt::<Int64Type>()?;
            column.is_valid(0).then(|| column.value(0))
        };
        Ok(row.columns().iter().map(value).collect())
    }

    /// The moment in ns on the clock of the capture, of which the first event was at `first`.
    fn moment(&self, when: &When, first: i64) -> Result<i64> {
        let absolute = |text: &str| -> Result<i64> {
            // September 2001: what is earlier is since boot.
            ensure!(
                first > 1_000_000_000_000_000_000,
                "the capture has no time of day: say how long after its first event, as in 90s"
            );
            let at = format!("SELECT CAST(to_timestamp_nanos('{text}') AS BIGINT) AS at");
            let found = self.numbers(&at).with_context(|| format!("{text} is no date and time"))?;
            found.first().copied().flatten().with_context(|| format!("{text} is no date and time"))
        };
        match when {
            When::After(after) => Ok(first.saturating_add(i64::try_from(after.as_nanos()).unwrap_or(i64::MAX))),
            When::Date(text) => absolute(text),
            When::Day(text) => {
                let at = absolute(&format!("1970-01-01T{text}"))?;
                let at = first - first.rem_euclid(DAY) + at;
                // A capture over midnight has the time on the next day.
                Ok(if at < first - DAY / 2 { at + DAY } else { at })
            }
        }
    }

    // ---- what stays

    /// Defines relation `picked`: the ops that are asked for, with the descriptors they use. All ops before the window are among
    /// them: the model follows what they do.
    fn picked(&self, window: Window) -> Result<()> {
        let candidates = self.plan("candidates")?;
        let mut asked = self.people()?;
        let what_if = self.what_if();
        if !what_if.paths.is_empty() {
            let patterns = what_if.paths.iter().map(|path| quoted(&pattern(path)));
            let any = patterns.map(|p| format!("coalesce(path ~ {p}, false) OR coalesce(path2 ~ {p}, false)"));
            asked.push(any.collect::<Vec<_>>().join(" OR "));
        }
        if let Some(Sample { share, by }) = what_if.sample {
            let name = match by {
                By::File => "coalesce(path, CAST(pid AS VARCHAR))",
                By::Process => "CAST(pid AS VARCHAR)",
            };
            asked.push(format!("chance({name}) < {share:?}"));
        }
        let mut predicate = self.where_(&candidates)?;
        for part in asked {
            predicate = predicate.and(self.engine.expression(&part, candidates.schema())?);
        }
        let inside = col("seq").lt_eq(lit(window.to));
        let predicate = col("seq").lt(lit(window.from)).or(predicate.and(inside));
        let picked = candidates.filter(predicate)?.select(["pos", "ofd", "ofd2", "dir", "dir2"].map(col))?;
        self.view("picked", picked)
    }

    fn where_(&self, candidates: &DataFrame) -> Result<Expr> {
        let text = self.options().where_.as_deref().unwrap_or("true");
        self.engine
            .expression(text, candidates.schema())
            .and_then(|predicate| {
                candidates.clone().filter(predicate.clone())?;
                Ok(predicate)
            })
            .map_err(|error| match engine::no_column(&error, text) {
                Some((name, _)) => anyhow!("there is no column {name}"),
                None => error,
            })
            .with_context(|| format!("--where {text:?} is no predicate over the columns of ops"))
    }

    /// Predicates for the processes and users that are asked for.
    fn people(&self) -> Result<Vec<String>> {
        let what_if = self.what_if();
        if self.is_rehearsal() || what_if.processes.is_empty() && what_if.users.is_empty() {
            return Ok(Vec::new());
        }
        let people = self.plan("people")?;
        let batches = self.engine.block_on(async { Ok(people.collect().await?) })?;
        let mut all: Vec<Person> = Vec::new();
        for batch in &batches {
            let comms = arrow::compute::cast(batch.column(2), &DataType::Utf8)?;
            let int = |at: usize, row: usize| {
                let column: &Int64Array = batch.column(at).as_primitive();
                column.is_valid(row).then(|| column.value(row))
            };
            let comms: &StringArray = comms.as_string();
            all.extend((0..batch.num_rows()).map(|row| Person {
                vpid: int(0, row).unwrap_or(-1),
                pid: int(1, row).unwrap_or(-1),
                comm: comms.is_valid(row).then(|| comms.value(row).to_owned()),
                uid: int(3, row),
            }));
        }
        let mut parts = Vec::new();
        if !what_if.processes.is_empty() {
            let named = |person: &Person, name: &str| person.comm.as_deref() == Some(name) || name.parse() == Ok(person.pid);
            parts.push(found(&all, &what_if.processes, "process", named, |person| {
                person.comm.clone().unwrap_or_else(|| person.pid.to_string())
            })?);
        }
        if !what_if.users.is_empty() {
            ensure!(all.iter().any(|person| person.uid.is_some()), "the capture does not tell users: a live one does");
            let uids = what_if.users.iter().map(|name| Ok(user::number(name)?.to_string())).collect::<Result<Vec<_>>>()?;
            let is = |person: &Person, uid: &str| person.uid.is_some_and(|own| own.to_string() == uid);
            parts.push(found(&all, &uids, "user", is, |person| person.uid.map(|uid| uid.to_string()).unwrap_or_default())?);
        }
        Ok(parts)
    }

    // ---- what is changed

    /// Defines relation `proposals`: the events with what `--set` makes of them.
    fn propose(&self, window: Window) -> Result<()> {
        let rows = self.plan("proposed")?;
        let schema = rows.schema().clone();
        let mut columns: Vec<Expr> = schema.fields().iter().map(|field| col(format!("\"{}\"", field.name()))).collect();
        for column in Settable::ALL {
            let (name, ty) = (column.name(), column.ty());
            let text = match self.what_if().sets.iter().find(|set| set.column == *column) {
                None => format!("CAST(NULL AS {ty})"),
                Some(set) => {
                    let sql = set.spelled_out();
                    let wrong = || format!("--set {name} = {}: this is no expression over the columns of ops", set.sql);
                    let own = self.engine.expression(&sql, &schema).with_context(wrong)?;
                    rows.clone().select(vec![own]).with_context(wrong)?;
                    let guard = column.guard();
                    format!("CASE WHEN {guard} THEN nullif(CAST(({sql}) AS {ty}), {name}) END")
                }
            };
            columns.push(self.engine.expression(&text, &schema)?.alias(format!("new_{name}")));
        }
        columns.extend([lit(window.from).alias("from_seq"), lit(window.to).alias("to_seq")]);
        let rows = rows.select(columns)?;
        let alters = Settable::ALL.iter().map(|column| column.alters()).collect::<Vec<_>>().join(" OR ");
        let alters = self.engine.expression(&alters, rows.schema())?;
        self.view("proposals", rows.with_column("alters", alters)?)
    }

    /// Refuses new values that no call can have.
    fn believe(&self) -> Result<()> {
        if self.is_rehearsal() {
            return Ok(());
        }
        for set in &self.what_if().sets {
            let (name, wrong) = (set.column.name(), set.column.wrong());
            let sql = format!("SELECT seq, CAST(new_{name} AS VARCHAR) AS value FROM proposals WHERE {wrong} ORDER BY pos");
            self.engine.check_arithmetic(true);
            let answer = self.engine.first(&sql, 1);
            self.engine.check_arithmetic(false);
            let answer = answer.with_context(|| format!("--set {name} = {}", set.sql))?;
            let Some(row) = answer.batches.iter().find(|batch| batch.num_rows() > 0) else { continue };
            let value = arrow::compute::cast(row.column(1), &DataType::Utf8)?;
            let value: &StringArray = value.as_string();
            let seq: &Int64Array = row.column(0).as_primitive();
            let value = crate::text::shown(value.value(0)).to_string();
            bail!("--set {name} = {}: for event {} that is {value}, and no call can have it", set.sql, seq.value(0));
        }
        Ok(())
    }

    /// Defines relation `scaling`: a row for each tenant.
    fn tenants(&self) -> Result<()> {
        let Some(scale) = self.what_if().scale else { return Ok(()) };
        let tenants = i64::try_from(scale.tenants)?;
        let shift = i64::try_from(scale.shift.as_nanos()).context("--scale-shift is too long")?;
        let last = shift.checked_mul(tenants).filter(|last| *last < i64::MAX / 4);
        ensure!(last.is_some(), "--scale-shift is too long for so many tenants");
        let column = |of: &dyn Fn(i64) -> i64| Arc::new((0..tenants).map(of).collect::<Int64Array>()) as Arc<dyn Array>;
        let prefixes = (0..tenants).map(|tenant| Some(if tenant == 0 { String::new() } else { format!("/tenant-{tenant}") }));
        let field = |name: &str, ty| Field::new(name, ty, false);
        let schema = Schema::new(vec![
            field("tenant", DataType::Int64),
            field("tenants", DataType::Int64),
            field("delay", DataType::Int64),
            field("prefix", DataType::Utf8),
        ]);
        let columns = vec![
            column(&|tenant| tenant),
            column(&|_| tenants),
            column(&|tenant| tenant.saturating_mul(shift)),
            Arc::new(prefixes.collect::<StringArray>()),
        ];
        self.engine.ctx().register_batch("scaling", RecordBatch::try_new(Arc::new(schema), columns)?)?;
        Ok(())
    }
}

/// A process under one of its names.
struct Person {
    vpid: i64,
    pid: i64,
    comm: Option<String>,
    uid: Option<i64>,
}

/// A predicate for the processes that each of these words means.
fn found(
    all: &[Person],
    words: &[String],
    what: &str,
    means: impl Fn(&Person, &str) -> bool,
    called: impl Fn(&Person) -> String,
) -> Result<String> {
    let mut vpids = Vec::new();
    for word in words {
        let before = vpids.len();
        vpids.extend(all.iter().filter(|person| means(person, word)).map(|person| person.vpid.to_string()));
        if vpids.len() == before {
            let mut known: Vec<String> = all.iter().map(&called).filter(|name| !name.is_empty()).collect();
            known.sort();
            known.dedup();
            let more = if known.len() > 10 { " ..." } else { "" };
            known.truncate(10);
            let known: Vec<String> = known.iter().map(|name| crate::text::shown(name).to_string()).collect();
            bail!("no {what} {word} made a call: there are {}{more}", known.join(", "));
        }
    }
    Ok(format!("vpid IN ({})", vpids.join(", ")))
}

fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
