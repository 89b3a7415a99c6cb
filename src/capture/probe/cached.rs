//! The eBPF program that counts, for a replay, the pages that come into the page cache: those of which a capture tells one by one
//! ([`super::faults`]).

use super::device::listed;
use super::faults::{Cache, LAST, PAGE, PAGE_SHIFT, pages, regular};
use super::optional::Optional;
use super::parts::only;
use crate::capture::kernel::asm::Alu::{Lsh, Sub};
use crate::capture::kernel::asm::If::{Eq, Ge};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{DW, W};
use crate::capture::kernel::asm::{Asm, Code, Helper, Map};
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::counter::Counter;
use crate::capture::kernel::layout::Layout;
use anyhow::{Result, ensure};

/// How the name of a thread begins that is not counted: the loaders of a replay read the workload, not files of its tree.
const LOADER: [u8; 4] = *b"load";

/// Where the file of the program that a task runs is found: offsets of fields.
#[derive(Clone, Copy, Debug)]
struct Own {
    /// In `struct task_struct` of the pointer to its memory.
    memory: i16,
    /// In `struct mm_struct` of the pointer to the file of its program.
    program: i16,
}

/// Makes the program at `mm_filemap_add_to_page_cache`: it counts for the processes in map `pids` and their children.
///
/// # Errors
/// When the kernel does not show how many pages a folio has (Linux 6.15 does).
pub fn program(btf: &Btf, k: &Layout) -> Result<Optional> {
    let cache = Cache::find(btf)?;
    ensure!(cache.pages.is_some(), "the kernel does not show how many pages a folio has");
    let own = Own { memory: btf.offset("task_struct.mm")?, program: btf.offset("mm_struct.exe_file")? };
    let hook = btf.id(Kind::Typedef, "btf_trace_mm_filemap_add_to_page_cache")?;
    Ok(Optional { name: "ioriot_cached", code: adds(k, &cache, own), hook })
}

/// The program at the addition of a folio (the argument).
fn adds(k: &Layout, cache: &Cache, own: Own) -> Code {
    let mut a = Asm::default();
    let (ours, foreign, out) = (a.label(), a.label(), a.label());
    a.load(DW, R8, R1, 0);
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    listed(&mut a, k, ours);
    a.goto(out);
    a.here(ours);
    a.load(W, R1, R7, k.at.comm);
    a.jump(Eq, R1, i32::from_ne_bytes(LOADER), out);
    pages(&mut a, cache);
    a.load(DW, R6, R8, cache.mapping);
    a.jump(Eq, R6, 0, out);
    regular(&mut a, k, cache, out);
    a.load(DW, R1, R10, PAGE);
    a.alu(Lsh, R1, PAGE_SHIFT);
    a.load(DW, R2, R9, k.at.size);
    a.jump(Ge, R1, R2, out);
    // Nor are the pages of the replay's own program.
    for (from, offset) in [(R7, own.memory), (R1, own.program), (R1, k.at.inode)] {
        a.load(DW, R1, from, offset);
        a.jump(Eq, R1, 0, foreign);
    }
    a.jump(Eq, R1, R9, out);
    a.here(foreign);
    only(&mut a, Map::Counters, out);
    a.load(DW, R1, R10, LAST);
    a.load(DW, R2, R10, PAGE);
    a.alu(Sub, R1, R2);
    let offset = 8 * Counter::CachePages as i16;
    a.load(DW, R2, R0, offset);
    a.add(R2, R1);
    a.store(DW, R0, offset, R2);
    a.here(out);
    a.exit();
    a.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_gives_a_program_whose_jumps_lead_somewhere() {
        let cache = Cache { host: 0, mapping: 24, index: 32, pages: Some(120) };
        let code = adds(&Layout::example(), &cache, Own { memory: 8, program: 16 });
        assert!(!code.to_string().contains("goto -1\n"), "a jump to itself\n{code}");
    }
}
