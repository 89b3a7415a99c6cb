//! The eBPF programs that tell of page faults on mapped files: which pages captured threads bring in from the disk, wait for, and
//! make dirty.
//!
//! ```text
//! mm_filemap_fault               a fault needs a page of a file:    mark.FAULT_*
//! mm_filemap_add_to_page_cache   the page was not in memory:        a FAULT record, READ
//! sched_switch (waits)           the thread slept in the fault:     its WAITED record says so
//! writeback_dirty_folio          a clean page is about to change:   a FAULT record, WRITTEN
//! mm_filemap_map_pages           cached pages are mapped around:    a FAULT record, AROUND; where all faults are told
//! ```
//!
//! A fault that found its page in memory and changed nothing costs no time and moves no byte, so it leaves a note in the mark and
//! no record. Pages of no file (the heap, stacks, copies) pass none of these tracepoints. A page that was written back is protected
//! again, so the next write to it is told anew; in a large folio, a piece of the page cache of several pages, the first write to any
//! of them tells for all, since all are written back then.
//!
//! Not told are writes through a page that is still dirty, and pages that a call makes dirty in mapped memory (read(2) into a
//! mapping), for that call may make pages dirty of its own.

use super::file::inode_fields;
use super::optional::Optional;
use super::parts::{about, frame, reserve, submit};
use super::program::{find_mark, tail};
use crate::capture::kernel::asm::Alu::And;
use crate::capture::kernel::asm::Helper;
use crate::capture::kernel::asm::If::{Eq, Ge, Gt, Ne, Set};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{DW, H, W};
use crate::capture::kernel::asm::{Asm, Code, Label};
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::counter::Counter;
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::record::{at, fault, flag};
use crate::capture::kernel::thread_slot::{self, stamp};
use anyhow::Result;

/// What of the kernel these programs need beside [`Layout`]: offsets of fields, bytes.
#[derive(Clone, Copy, Debug)]
struct Cache {
    /// In `struct address_space` (the cached pages of a file) of the pointer to its inode.
    host: i16,
    /// In `struct folio` of the pointer to the `struct address_space`.
    mapping: i16,
    /// In `struct folio` of the number of its first page in the file.
    index: i16,
    /// In `struct folio` of the number of its pages (u32), which only a large one has; `None` where the kernel does not show it.
    pages: Option<i16>,
}

/// The bit of the flags of a folio that says that it is large (`PG_head` of include/linux/page-flags.h, since Linux 6.11; the
/// number of pages has its name since 6.15).
const LARGE: i32 = 1 << 6;

impl Cache {
    fn find(btf: &Btf) -> Result<Cache> {
        Ok(Cache {
            host: btf.offset("address_space.host")?,
            mapping: btf.offset("folio.mapping")?,
            index: btf.offset("folio.index")?,
            pages: btf.offset("folio._nr_pages").ok(),
        })
    }
}

/// Makes the programs that tell of page faults on mapped files; with `all` also those of faults that found their pages in memory.
///
/// # Errors
/// When the kernel does not show them (Linux 6.8 does).
pub fn programs(btf: &Btf, k: &Layout, all: bool) -> Result<Vec<Optional>> {
    let cache = Cache::find(btf)?;
    let hook = |name: &str| btf.id(Kind::Typedef, name);
    let mut programs = vec![
        Optional { name: "ioriot_fault", code: begins(k, &cache, all), hook: hook("btf_trace_mm_filemap_fault")? },
        Optional { name: "ioriot_fault_add", code: adds(k, &cache), hook: hook("btf_trace_mm_filemap_add_to_page_cache")? },
        Optional { name: "ioriot_fault_set", code: dirties(k, &cache), hook: hook("btf_trace_writeback_dirty_folio")? },
    ];
    if all {
        let around = hook("btf_trace_mm_filemap_map_pages")?;
        programs.push(Optional { name: "ioriot_fault_map", code: maps(k, &cache), hook: around });
    }
    Ok(programs)
}

/// Frame fields: number of the page, of the last one, and what the fault did.
const PAGE: i16 = frame::START;
const LAST: i16 = frame::LENGTH;
const DID: i16 = frame::FLAGS;

/// R7 = the current task, R9 = its mark, R8 = its thread slot or its mark; jumps to `out` when it is not captured.
fn marked(a: &mut Asm, out: Label) {
    a.call(Helper::CurrentTask);
    a.mov(R7, R0);
    find_mark(a, R7, false);
    a.jump(Eq, R0, 0, out);
    a.mov(R9, R0);
    thread_slot::of_mark(a);
}

/// R9 = the inode of the `struct address_space` R6; jumps to `out` unless it is that of a regular file.
fn regular(a: &mut Asm, k: &Layout, cache: &Cache, out: Label) {
    a.load(DW, R9, R6, cache.host);
    a.jump(Eq, R9, 0, out);
    a.load(H, R1, R9, k.at.mode);
    a.alu(And, R1, libc::S_IFMT as i32);
    a.jump(Ne, R1, libc::S_IFREG as i32, out);
}

/// Common end: sends a FAULT record about task R7 and the pages PAGE to LAST of the `struct address_space` R6, with DID, as begun at
/// NOW.
fn tell(a: &mut Asm, k: &Layout, cache: &Cache, out: Label) {
    let full = a.label();
    regular(a, k, cache, out);
    reserve(a, 0, full);
    about(a, k, R7, flag::FAULT);
    for (field, to) in [(frame::NOW, at::TS), (PAGE, at::ARGS), (LAST, at::ARGS + 8), (DID, at::ARGS + 16)] {
        a.load(DW, R1, R10, field);
        a.store(DW, R8, to, R1);
    }
    inode_fields(a, k, R9, R8);
    submit(a);
    tail(a, out, full, Counter::Untold);
}

/// The program at a fault that needs a page of a file. Arguments: the `struct address_space`, number of the page.
fn begins(k: &Layout, cache: &Cache, all: bool) -> Code {
    let mut a = Asm::default();
    let out = a.label();
    a.load(DW, R6, R1, 0);
    a.load(DW, R2, R1, 8);
    a.store(DW, R10, PAGE, R2);
    a.store(DW, R10, LAST, R2);
    a.store(DW, R10, DID, fault::READ);
    marked(&mut a, out);
    a.load(W, R1, R8, stamp::NUMBER);
    a.store(W, R9, stamp::FAULT_IN, R1);
    a.store(DW, R9, stamp::FAULT_OF, 0);
    a.mov(R8, R9);
    regular(&mut a, k, cache, out);
    a.store(DW, R8, stamp::FAULT_OF, R6);
    a.load(DW, R1, R10, PAGE);
    a.store(DW, R8, stamp::FAULT_PAGE, R1);
    a.load(DW, R1, R9, k.at.ino);
    a.store(DW, R8, stamp::FAULT_INO, R1);
    a.load(DW, R1, R9, k.at.super_block);
    a.load(W, R1, R1, k.at.dev);
    a.store(W, R8, stamp::FAULT_DEV, R1);
    a.store(DW, R8, stamp::FAULT_TOLD, i32::from(all));
    a.call(Helper::Now);
    a.store(DW, R8, stamp::FAULT_AT, R0);
    if all {
        a.store(DW, R10, frame::NOW, R0);
        tell(&mut a, k, cache, out);
    } else {
        a.here(out);
        a.exit();
    }
    a.finish()
}

/// The program at the addition of a folio (the argument) to the cached pages of a file: tells of the fault that it is for, once.
fn adds(k: &Layout, cache: &Cache) -> Code {
    let mut a = Asm::default();
    let out = a.label();
    a.load(DW, R6, R1, 0);
    marked(&mut a, out);
    a.load(DW, R1, R9, stamp::FAULT_OF);
    a.jump(Eq, R1, 0, out);
    a.load(DW, R2, R9, stamp::FAULT_TOLD);
    a.jump(Ne, R2, 0, out);
    a.load(DW, R6, R6, cache.mapping);
    a.jump(Ne, R1, R6, out);
    // What a call adds that came after the fault is its own.
    a.load(W, R1, R8, stamp::NUMBER);
    a.load(W, R2, R9, stamp::FAULT_IN);
    a.jump(Ne, R1, R2, out);
    a.store(DW, R9, stamp::FAULT_TOLD, 1);
    a.load(DW, R1, R9, stamp::FAULT_PAGE);
    a.store(DW, R10, PAGE, R1);
    a.store(DW, R10, LAST, R1);
    a.load(DW, R1, R9, stamp::FAULT_AT);
    a.store(DW, R10, frame::NOW, R1);
    a.store(DW, R10, DID, fault::READ);
    tell(&mut a, k, cache, out);
    a.finish()
}

/// The program at a folio that becomes dirty. Arguments: the folio, its `struct address_space`. Outside of calls that is by a fault:
/// the one noted in the mark, if that is on a page of the folio, else one on a page that was mapped already.
fn dirties(k: &Layout, cache: &Cache) -> Code {
    let mut a = Asm::default();
    let [out, one, other] = std::array::from_fn(|_| a.label());
    a.load(DW, R8, R1, 0);
    a.load(DW, R6, R1, 8);
    // The kernel allows for folios of no file.
    a.jump(Eq, R6, 0, out);
    a.load(DW, R2, R8, cache.index);
    a.store(DW, R10, PAGE, R2);
    a.add(R2, 1);
    if let Some(pages) = cache.pages {
        a.load(DW, R1, R8, 0);
        let large = a.label();
        a.jump(Set, R1, LARGE, large);
        a.goto(one);
        a.here(large);
        a.load(W, R1, R8, pages);
        a.add(R2, -1);
        a.add(R2, R1);
    }
    a.here(one);
    a.store(DW, R10, LAST, R2);
    marked(&mut a, out);
    a.load(W, R1, R8, stamp::NUMBER);
    a.jump(Ne, R1, 0, out);
    a.load(DW, R1, R9, stamp::FAULT_OF);
    a.jump(Ne, R1, R6, other);
    a.load(W, R1, R9, stamp::FAULT_IN);
    a.jump(Ne, R1, 0, other);
    a.load(DW, R1, R9, stamp::FAULT_PAGE);
    a.load(DW, R2, R10, PAGE);
    a.jump(Gt, R2, R1, other);
    a.load(DW, R3, R10, LAST);
    a.jump(Ge, R1, R3, other);
    a.store(DW, R10, PAGE, R1);
    a.store(DW, R9, stamp::FAULT_OF, 0);
    a.here(other);
    a.load(DW, R1, R10, PAGE);
    a.store(DW, R10, LAST, R1);
    a.call(Helper::Now);
    a.store(DW, R10, frame::NOW, R0);
    a.store(DW, R10, DID, fault::WRITTEN);
    tell(&mut a, k, cache, out);
    a.finish()
}

/// The program at cached pages that a fault maps. Arguments: the `struct address_space`, numbers of the first and the last page.
fn maps(k: &Layout, cache: &Cache) -> Code {
    let mut a = Asm::default();
    let out = a.label();
    a.load(DW, R6, R1, 0);
    for (at, field) in [(8, PAGE), (16, LAST)] {
        a.load(DW, R2, R1, at);
        a.store(DW, R10, field, R2);
    }
    a.store(DW, R10, DID, fault::AROUND);
    marked(&mut a, out);
    a.call(Helper::Now);
    a.store(DW, R10, frame::NOW, R0);
    tell(&mut a, k, cache, out);
    a.finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kernel_gives_programs_whose_jumps_lead_somewhere() {
        let older = Layout { narrow: None, cast: None, loops: false, ..Layout::example() };
        for k in [Layout::example(), older] {
            for pages in [None, Some(120)] {
                let cache = Cache { host: 0, mapping: 24, index: 32, pages };
                for code in
                    [begins(&k, &cache, true), begins(&k, &cache, false), adds(&k, &cache), dirties(&k, &cache), maps(&k, &cache)]
                {
                    assert!(!code.to_string().contains("goto -1\n"), "a jump to itself\n{code}");
                }
            }
        }
    }
}
