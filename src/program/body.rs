//! The ops in C: a function for each lane, a line for each op.

use super::call::{Code, code};
use super::literal::{comment, long, string};
use crate::export::Left;
use crate::fate::Origin;
use crate::files;
use crate::ingest::strace::errno_described;
use crate::replay::Pace;
use crate::replay::feed::check::Checked;
use crate::replay::feed::edges::{Edges, Span};
use crate::replay::feed::pages::{Pages, Row};
use crate::replay::feed::plan::Lane;
use crate::replay::outcome::compare::{Expected, expected, tolerated};
use crate::replay::shared::call::{Batch, Call, NONE};
use crate::replay::shared::record::{UNPOPULATED, WITHHELD};
use crate::schema::Table;
use crate::syscall::{Moves, Op, Syscall};
use anyhow::Result;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::io::{self, Write};

/// Lines of a function: compilers take long for long ones.
const FUNCTION: u64 = 400;
/// Memory for decoded pages of a table, bytes.
const PAGES: usize = 16 << 20;

/// What is known of the ops when all of them have been looked at.
#[derive(Debug, Default)]
pub struct Facts {
    /// Number of variable of each open file description.
    variables: HashMap<u32, usize>,
    /// What each description was opened on, for comments.
    names: HashMap<u32, String>,
    /// Ops that are issued under a name, of which some errors are no difference.
    used: BTreeSet<&'static str>,
    /// Largest number of bytes that a call moves.
    pub most: i64,
    /// Outcomes that are not compared, by reason.
    pub uncompared: BTreeMap<&'static str, u64>,
    /// What the program leaves out or does otherwise.
    pub left: Left,
}

impl Facts {
    /// Number of open file descriptions.
    pub fn descriptors(&self) -> usize {
        self.variables.len()
    }

    /// Looks at all ops.
    ///
    /// # Errors
    /// When the workload is damaged.
    pub fn of(checked: &Checked<'_>, ofds: i64) -> Result<Facts> {
        let mut facts = Facts::default();
        write(checked, ofds, &mut facts, &mut io::sink())?;
        Ok(facts)
    }

    /// Writes the function that says which errors are no difference.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn tolerances(&self, out: &mut dyn Write) -> Result<()> {
        writeln!(out, "static int tolerated(const char *call, long error) {{")?;
        for op in Op::ALL.iter().filter(|op| self.used.contains(op.name())) {
            let errors: BTreeSet<i32> = tolerated(*op).collect();
            if !errors.is_empty() {
                let errors: Vec<_> = errors.into_iter().map(|error| format!("error == {}", name(error))).collect();
                writeln!(out, "    if (strcmp(call, \"{}\") == 0)\n        return {};", op.name(), errors.join(" || "))?;
            }
        }
        Ok(writeln!(out, "    (void) call, (void) error;\n    return 0;\n}}\n")?)
    }
}

/// An errno, by its name where C has it.
fn name(error: i32) -> String {
    // Those that no header for programs has begin at 512.
    let known = errno_described(error.into()).filter(|_| error < 134);
    known.map_or_else(|| error.to_string(), |(name, _)| name.to_owned())
}

/// Writes the functions of all lanes, and the list of them; collects facts for the next time.
///
/// # Errors
/// When the workload is damaged, or the output cannot be written.
pub fn write(checked: &Checked<'_>, ofds: i64, facts: &mut Facts, out: &mut dyn Write) -> Result<()> {
    let open = |table| files::open(&checked.workload.table(table));
    let workers = checked.lanes.iter().zip(0..).map(|(lane, at)| (lane.lane, at)).collect();
    let mut reader = Reader {
        pages: Pages::open(open(Table::Ops)?, ofds, PAGES, Pace::App, &[])?,
        edges: Edges::open(open(Table::Edges)?, workers, PAGES, Pace::Asap)?,
        facts,
    };
    for (at, lane) in checked.lanes.iter().enumerate() {
        reader.lane(at, lane, out)?;
    }
    writeln!(out, "static void (*const lanes[LANES])(void) = {{")?;
    for at in 0..checked.lanes.len() {
        writeln!(out, "    lane_{at},")?;
    }
    Ok(writeln!(out, "}};")?)
}

struct Reader<'a> {
    pages: Pages,
    edges: Edges,
    facts: &'a mut Facts,
}

impl Reader<'_> {
    fn lane(&mut self, number: usize, lane: &Lane, out: &mut dyn Write) -> Result<()> {
        let mut batch = Batch::new();
        let mut span = Span { row: lane.first_edge, end: lane.first_edge + lane.edges };
        let mut awaited = HashMap::new();
        let (mut row, end) = (lane.first_row, lane.first_row + lane.ops);
        let parts = (lane.ops as u64).div_ceil(FUNCTION);
        let Reader { pages, edges, facts } = self;
        let mut done = 0;
        while row < end {
            batch.clear();
            (row, _) = pages.fill(row..end, i64::MAX, &mut batch, |batch, row| {
                if done % FUNCTION == 0 {
                    let part = if parts > 1 { format!("_{}", done / FUNCTION) } else { String::new() };
                    let captured =
                        if done == 0 { format!("/* process {}, thread {} */\n", lane.vpid, lane.lane) } else { String::new() };
                    writeln!(out, "{captured}static __attribute__((noinline)) void lane_{number}{part}(void) {{")?;
                }
                done += 1;
                edges.of(row.fact.op_id, &mut span, |after, other, _| {
                    let known = awaited.entry(other).or_insert(-1);
                    if after > *known {
                        *known = after;
                        writeln!(out, "    after({other}, {});", long(after))?;
                    }
                    Ok(())
                })?;
                writeln!(out, "    {}", facts.line(batch.call(batch.ops.len() - 1), &row))?;
                if done % FUNCTION == 0 || done == lane.ops as u64 {
                    writeln!(out, "}}\n")?;
                }
                Ok(())
            })?;
        }
        if parts > 1 {
            writeln!(out, "static void lane_{number}(void) {{")?;
            for part in 0..parts {
                writeln!(out, "    lane_{number}_{part}();")?;
            }
            writeln!(out, "}}\n")?;
        }
        Ok(())
    }
}

impl Facts {
    /// The line of an op.
    fn line(&mut self, call: Call<'_>, row: &Row) -> String {
        let id = long(call.op_id);
        self.count(call, row);
        let mut notes = Vec::new();
        let texts = call.texts();
        if matches!(call.op, Op::Open | Op::Openat | Op::Openat2 | Op::Creat) && call.ofd != NONE {
            let cwd = call.cwd().map(|cwd| [cwd.to_bytes(), b"/"].concat()).unwrap_or_default();
            let raw = texts[0].map(|raw| raw.to_bytes()).unwrap_or_default();
            let whole = if raw.starts_with(b"/") { raw.to_owned() } else { [&cwd[..], raw].concat() };
            self.names.insert(call.ofd, comment(&whole));
        }
        if texts[0].is_none() {
            notes.extend([call.ofd, call.ofd2].iter().filter_map(|ofd| self.names.get(ofd)).cloned());
        }
        let origin = Origin::ALL.get(usize::from(row.fact.origin)).copied().unwrap_or(Origin::Event);
        if origin != Origin::Event {
            notes.push(format!("inserted: {}", origin.name()));
        }
        let expected = expected(row.fact);
        let outcome = match expected {
            Expected::Value(value) => format!("IS({})", long(value)),
            Expected::Success => "WORKS".into(),
            Expected::Error(error) => format!("FAILS({})", name(error)),
            Expected::Anything(why) => {
                *self.uncompared.entry(why).or_default() += 1;
                notes.push(format!("not compared: {why}"));
                "ANY".into()
            }
        };
        let line = if call.notes & WITHHELD != 0 {
            notes.insert(0, format!("{} is not issued", call.op.name()));
            format!("skip({id});")
        } else {
            self.used.insert(call.op.name());
            let made = self.made(call);
            match call.op {
                Op::Open | Op::Openat | Op::Openat2 | Op::Creat => {
                    let variable = if call.ofd == NONE { "-1L".into() } else { format!("{}L", self.variable(call.ofd)) };
                    format!("opens({id}, {variable}, {outcome}, {made});")
                }
                Op::Close if call.ofd != NONE => format!("closes({id}, {}L, {outcome}, {made});", self.variable(call.ofd)),
                _ => format!("op({id}, {outcome}, {made});"),
            }
        };
        if notes.is_empty() { line } else { format!("{line} /* {} */", notes.join("; ")) }
    }

    /// The name of the call and the call itself, with the working directory that it is made in.
    fn made(&mut self, call: Call<'_>) -> String {
        let code = code(call, &mut |ofd| format!("fd[{}]", self.variable(ofd)));
        let removed = call.removed_cwd().filter(|_| call.cwd().is_none()).map(|dir| self.variable(dir));
        let cwd = call.cwd().map(|cwd| string(cwd.to_bytes()));
        match (code, cwd, removed) {
            (Code::Sys(name, args), None, None) => format!("SYS({name}, {})", args.join(", ")),
            (Code::Sys(name, args), Some(cwd), _) => format!("SYS_IN({cwd}, {name}, {})", args.join(", ")),
            (Code::Sys(name, args), None, Some(dir)) => format!("SYS_IN_FD(fd[{dir}], {name}, {})", args.join(", ")),
            (Code::Own(code), None, None) => format!("\"{}\", {code}", call.op.name()),
            (Code::Own(code), Some(cwd), _) => format!("\"{}\", (enter({cwd}) != 0 ? -1L : {code})", call.op.name()),
            (Code::Own(code), None, Some(dir)) => {
                format!("\"{}\", (syscall(SYS_fchdir, fd[{dir}]) != 0 ? -1L : {code})", call.op.name())
            }
        }
    }

    fn variable(&mut self, ofd: u32) -> usize {
        let next = self.variables.len();
        *self.variables.entry(ofd).or_insert(next)
    }

    /// Counts what the program does otherwise than the captured one did.
    fn count(&mut self, call: Call<'_>, row: &Row) {
        self.most = self.most.max(call.arg(crate::event::Col::Count));
        let syscall = Syscall::ALL.get(usize::from(row.fact.syscall)).copied().unwrap_or(Syscall::other);
        if call.notes & WITHHELD != 0 {
            self.left.add("ops are not issued: devices, leases, and calls that failed for want of space and the like");
        } else if call.op.moves() == Moves::Writes {
            self.left.add("writes have data of their own: what was written is not captured");
        }
        if call.notes & UNPOPULATED != 0 {
            self.left.add("mappings are too large to be brought into memory at once (MAP_POPULATE)");
        }
        if syscall.interface().is_some() {
            self.left.add("requests of io_submit and io_uring are made as calls, each of which is waited for");
        }
        if row.think.or(row.compute).is_some_and(|time| time > 0) {
            self.left.add(
                "ops had a pause or processor time before them, which is left out: each is issued as soon as its turn comes",
            );
        }
    }
}
