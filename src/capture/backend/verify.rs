//! What a kernel lets this process capture by eBPF: the programs as they are loaded, and whether they are accepted.

use super::ebpf::{RIGHTS, hooks};
use crate::capture::decode::table::Calls;
use crate::capture::decode::uring::Rings;
use crate::capture::kernel::bpf::{Attach, Maps, Program};
use crate::capture::kernel::btf::Btf;
use crate::capture::kernel::layout::{COPIED, Layout};
use crate::capture::kernel::percpu::Buffers;
use crate::capture::probe::optional::{self, Optional};
use crate::capture::probe::{executed, faults, interrupts, program, waits};
use crate::capture::target::scope::Scope;
use crate::capture::{Faults, Options};
use anyhow::{Context, Result};
use std::fmt::Write;

/// A listing of the programs as they would be loaded for these options, after the kernel offsets they were made with.
///
/// # Errors
/// When the kernel does not describe its types, or lacks one that is needed.
pub fn listing(options: &Options) -> Result<String> {
    let btf = Btf::kernel()?;
    let layout = Layout::find(&btf)?;
    let programs = program::make(&layout, Buffers::new(options.buffer), &options.scope.matcher()?, options.follow, options.waits);
    let mut text = format!("{layout}\n");
    for (name, code, _, _, hook) in hooks(&programs) {
        writeln!(text, "{name}, at {hook}: {} instructions\n{code}", code.len())?;
    }
    let waits = if options.waits { told(&btf, &layout) } else { Vec::new() };
    for Optional { name, code, .. } in extras(&btf, &layout, options.faults, options.command_lines).1.into_iter().chain(waits) {
        writeln!(text, "{name}: {} instructions\n{code}", code.len())?;
    }
    Ok(text)
}

/// Checks that this process may capture by eBPF and that the kernel has what it takes: loads all programs without attaching
/// them. Returns a line for the user about what was verified.
///
/// # Errors
/// The first privilege or feature that is missing, with the kernel's message.
pub fn check() -> Result<String> {
    let btf = Btf::kernel()?;
    let layout = Layout::find(&btf)?;
    let buffers = Buffers::new(64 * 1024);
    let programs = program::make(&layout, buffers, &Scope::All.matcher()?, true, true);
    let calls = Calls::new(|_| true);
    let maps = Maps::create(64 * 1024, buffers, &calls.rows).context(RIGHTS)?;
    let mut instructions = 0;
    for (name, code, attach, kind, hook) in hooks(&programs) {
        Program::load(name, code, &maps, attach, btf.id(kind, hook)?).context(RIGHTS)?;
        instructions += code.len();
    }
    for Optional { name, code, hook } in extras(&btf, &layout, Faults::All, true).1.into_iter().chain(told(&btf, &layout)) {
        match Program::load(name, &code, &maps, Attach::Tracepoint, hook) {
            Ok(_) => instructions += code.len(),
            Err(error) => log::warn!("what program {name} would tell is not captured: {error:#}"),
        }
    }
    let cast = if layout.cast.is_some() { "typed reads" } else { COPIED };
    Ok(format!("{} programs of {instructions} instructions verified, {cast}", hooks(&programs).len()))
}

/// The optional programs (io_uring requests, execs, page faults) that this kernel has tracepoints for; warns about what it has not. The
/// first part is the layout of io_uring requests, `None` when they are not captured. `lines`: with command lines.
pub fn extras(btf: &Btf, layout: &Layout, told: Faults, lines: bool) -> (Option<Rings>, Vec<Optional>) {
    let (mut rings, mut extras) = (None, Vec::new());
    match optional::rings(btf, layout) {
        Ok((found, programs)) => {
            rings = Some(found);
            extras.extend(programs);
        }
        Err(error) => log::warn!("requests through io_uring are counted and not captured: {error:#}"),
    }
    match executed::program(btf, layout, lines) {
        Ok(program) => extras.push(program),
        Err(error) => {
            log::warn!("command lines, users, control groups and ranks of what is executed are not captured: {error:#}")
        }
    }
    if told != Faults::None {
        match faults::programs(btf, layout, told == Faults::All) {
            Ok(programs) => extras.extend(programs),
            Err(error) => log::warn!("page faults are not captured: {error:#}"),
        }
    }
    (rings, extras)
}

/// The programs that tell waits, attached: none, after a warning, where the kernel does not show what they need.
pub fn waits(btf: &Btf, layout: &Layout, maps: &Maps) -> Vec<Program> {
    let mut programs = Vec::new();
    for Optional { name, code, hook } in told(btf, layout) {
        let load = || -> Result<Program> {
            let mut program = Program::load(name, &code, maps, Attach::Tracepoint, hook)?;
            program.attach()?;
            Ok(program)
        };
        match load() {
            Ok(program) => programs.push(program),
            Err(error) if programs.len() < waits::NEEDED => {
                log::warn!("{WITHOUT}: {error:#}");
                return Vec::new();
            }
            Err(error) => {
                log::warn!("{UNTIMED}: {error:#}");
                break;
            }
        }
    }
    programs
}

const WITHOUT: &str = "why threads wait and how long they compute is not captured";
const UNTIMED: &str = "waits that a timer ended may pass for those that another interrupt ended";

/// The programs that tell waits, as far as this kernel has tracepoints for them; warns about what it has not.
fn told(btf: &Btf, layout: &Layout) -> Vec<Optional> {
    let mut all = Vec::new();
    match waits::programs(btf, layout) {
        Ok(programs) => all.extend(programs),
        Err(error) => {
            log::warn!("{WITHOUT}: {error:#}");
            return all;
        }
    }
    match interrupts::timers(btf, layout) {
        Ok(timers) => all.extend(timers),
        Err(error) => log::warn!("{UNTIMED}: {error:#}"),
    }
    all
}
