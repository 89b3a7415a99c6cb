//! A workload as one C program, for reports of kernel bugs (`ioriot export --to c`).
//!
//! ```text
//! fileset, extents ─▶ tree ─┐
//! ops, edges ─▶ facts ─▶ body ─▶ head.c, tree, a function for each lane, main.c
//! ```
//! Ops are read and compared by what a replay has for that (`replay::feed`, `replay::outcome::compare`); [`call`] is `replay::issue::sys`
//! in C. The ops are gone through twice, so that memory does not grow with them.

mod body;
mod call;
mod literal;
mod tree;

use crate::export::Left;
use crate::mounts;
use crate::replay::feed::check;
use crate::replay::ofds;
use crate::schema::Dataset;
use crate::schema::dataset::Kind;
use anyhow::{Result, ensure};
use body::Facts;
use std::io::Write;
use std::path::Path;
use tree::Tree;

/// Most ops of a program.
pub const MOST: u64 = 100_000;
/// Most lanes, each of which is a thread.
const LANES: usize = 4096;
/// Least and most bytes of a buffer: the kernel moves no more in one call.
const BUFFER: (i64, i64) = (1 << 20, 1 << 31);

/// Writes the program of a workload; says what it leaves out.
///
/// # Errors
/// When the workload cannot be read, contradicts itself or is too large, or the output cannot be written.
pub fn write(workload: &Path, out: &mut (dyn Write + Send)) -> Result<Left> {
    let workload = Dataset::expect(workload, Kind::Workload)?;
    let checked = check::check(&workload)?;
    let (ops, lanes) = (checked.ops, checked.lanes.len());
    let advice = "`ioriot reduce` makes the workload smaller, and so does `ioriot generate` with --from, --to or --process";
    ensure!(ops > 0, "the workload has no ops");
    ensure!(ops <= MOST, "the workload has {ops} ops, and a C program {MOST} at most: {advice}");
    ensure!(lanes <= LANES, "the workload has {lanes} threads, and a C program {LANES} at most: {advice}");
    let ofds = i64::try_from(ofds(&workload)?)?;
    let tree = Tree::read(&workload)?;
    let mut facts = Facts::of(&checked, ofds)?;
    let mounts = mounts::of(&workload.manifest).unwrap_or_default();
    let memory = mounts::in_memory(&workload.manifest)?.len();
    facts.left.some("file systems in memory are directories of the tree", memory as u64);
    head(&facts, ops, lanes, out)?;
    let left = std::mem::take(&mut facts.left);
    out.write_all(include_bytes!("head.c"))?;
    writeln!(out, "\n/* ---- this workload ---- */\n")?;
    tree.write(&mounts, out)?;
    facts.tolerances(out)?;
    body::write(&checked, ofds, &mut facts, out)?;
    out.write_all(include_bytes!("main.c"))?;
    Ok(left)
}

/// The comment at the top, and the numbers that the rest needs.
fn head(facts: &Facts, ops: u64, lanes: usize, out: &mut dyn Write) -> Result<()> {
    writeln!(out, "/*\n * {ops} ops of {lanes} threads; made by ioriot {}.", env!("CARGO_PKG_VERSION"))?;
    writeln!(out, " *\n * cc -O2 -Wall -Wextra THIS.c -o program -lpthread && ./program [EMPTY DIRECTORY]\n *")?;
    writeln!(
        out,
        " * It makes the file tree below the directory, makes that its root (as root, or in a user namespace), and issues the"
    )?;
    writeln!(
        out,
        " * captured calls, a thread for each captured one, in their order where they touch the same. A line says what"
    )?;
    writeln!(out, " * differs from the capture; exit code 0: nothing does, 1: something does, 125: it could not be run.")?;
    let left: Vec<_> = facts.left.lines().collect();
    if !left.is_empty() {
        writeln!(out, " *\n * Not as in the capture:")?;
        left.iter().try_for_each(|line| writeln!(out, " * - {line}"))?;
    }
    if !facts.uncompared.is_empty() {
        writeln!(out, " *\n * Not compared, by reason (docs/FIDELITY.md of ioriot):")?;
        facts.uncompared.iter().try_for_each(|(why, count)| writeln!(out, " * - {count} {why}"))?;
    }
    let buffer = facts.most.clamp(BUFFER.0, BUFFER.1) as u64;
    let buffer = buffer.next_multiple_of(BUFFER.0 as u64);
    writeln!(out, " */\n\n#define _GNU_SOURCE")?;
    writeln!(out, "#define OPS {ops}L\n#define LANES {lanes}\n#define DESCRIPTORS {}", facts.descriptors().max(1))?;
    Ok(writeln!(out, "#define BUFFER {buffer}L\n")?)
}
