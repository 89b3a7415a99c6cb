//! The eBPF programs that tell of page faults on mapped files: which pages captured threads bring in from the disk, wait for, and
//! make dirty.
//!
//! ```text
//! mm_filemap_fault               a fault needs a page of a file:    mark.FAULT_*
//! mm_filemap_add_to_page_cache   the page was not in memory:        a FAULT record, READ
//!                                pages of a file come to memory:    a FAULT record, ADDED
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
//! What is added to the page cache is told of calls, too ([`fault::ADDED`]): what of a file was read and not added before was
//! in memory when the capture began. One record for each folio is the cheapest that knows which pages these are: a read brings
//! others in ahead of it, so that a count for each call would take the next ones for pages that were there; and it costs
//! nothing where nothing is added, unlike a program at `mm_filemap_get_pages`, which runs at each read of a cached file. Pages
//! behind the end of the file, which writes add, are read from no disk and not told. Reads past the page cache (O_DIRECT) add
//! nothing.
//!
//! The mark keeps the last fault of its thread. What a call does after it is not the fault's: where the thread is in a call, its saved
//! registers hold the number of that, also of one that is not captured.
//!
//! Not told are writes through a page that is still dirty, and pages that a call makes dirty in mapped memory (read(2) into a
//! mapping), for that call may make pages dirty of its own.

use super::file::{in_call, inode_fields};
use super::optional::Optional;
use super::parts::{about, frame, reserve, submit};
use super::program::{find_mark, tail};
use crate::capture::kernel::asm::Alu::{And, Lsh};
use crate::capture::kernel::asm::Helper;
use crate::capture::kernel::asm::If::{Eq, Ge, Gt, Ne, Set};
use crate::capture::kernel::asm::Reg::{R0, R1, R2, R3, R6, R7, R8, R9, R10};
use crate::capture::kernel::asm::Size::{self, DW, H, W};
use crate::capture::kernel::asm::{Asm, Code, Label};
use crate::capture::kernel::btf::{Btf, Kind};
use crate::capture::kernel::counter::Counter;
use crate::capture::kernel::layout::Layout;
use crate::capture::kernel::record::{at, fault, flag};
use crate::capture::kernel::thread_slot::{self, stamp};
use anyhow::Result;

/// What of the kernel these programs need beside [`Layout`]: offsets of fields, bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Cache {
    /// In `struct address_space` (the cached pages of a file) of the pointer to its inode.
    pub(super) host: i16,
    /// In `struct folio` of the pointer to the `struct address_space`.
    pub(super) mapping: i16,
    /// In `struct folio` of the number of its first page in the file.
    pub(super) index: i16,
    /// In `struct folio` of the number of its pages (u32), which only a large one has; `None` where the kernel does not show it.
    pub(super) pages: Option<i16>,
}

/// The bit of the flags of a folio that says that it is large (`PG_head` of include/linux/page-flags.h, since Linux 6.11; the
/// number of pages has its name since 6.15).
const LARGE: i32 = 1 << 6;

/// Binary logarithm of the bytes of a page in the page cache of x86_64.
pub(super) const PAGE_SHIFT: i32 = 12;

/// Does the kernel show how many pages a folio has? Else it is not known which pages are added to the page cache.
pub fn shows_folios(btf: &Btf) -> bool {
    Cache::find(btf).is_ok_and(|cache| cache.pages.is_some())
}

impl Cache {
    pub(super) fn find(btf: &Btf) -> Result<Cache> {
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

/// Frame fields: number of the page, of the last one, and what was done to them.
pub(super) const PAGE: i16 = frame::START;
pub(super) const LAST: i16 = frame::LENGTH;
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
pub(super) fn regular(a: &mut Asm, k: &Layout, cache: &Cache, out: Label) {
    a.load(DW, R9, R6, cache.host);
    a.jump(Eq, R9, 0, out);
    a.load(H, R1, R9, k.at.mode);
    a.alu(And, R1, libc::S_IFMT as i32);
    a.jump(Ne, R1, libc::S_IFREG as i32, out);
}

/// Sends a FAULT record about task R7 and the pages PAGE to LAST of the file with the inode R9, with DID, as begun at NOW, and these
/// further fields of the frame; jumps to `full` when there is no room. R8 is lost.
fn send(a: &mut Asm, k: &Layout, further: &[(i16, Size, i16)], full: Label) {
    reserve(a, 0, full);
    about(a, k, R7, flag::FAULT);
    let fields = [(frame::NOW, DW, at::TS), (PAGE, DW, at::ARGS), (LAST, DW, at::ARGS + 8), (DID, DW, at::ARGS + 16)];
    for (field, size, to) in fields.iter().chain(further) {
        a.load(DW, R1, R10, *field);
        a.store(*size, R8, *to, R1);
    }
    inode_fields(a, k, R9, R8);
    submit(a);
}

/// Common end: sends a FAULT record about task R7 and the pages PAGE to LAST of the `struct address_space` R6, with DID, as begun at
/// NOW.
fn tell(a: &mut Asm, k: &Layout, cache: &Cache, out: Label) {
    let full = a.label();
    regular(a, k, cache, out);
    send(a, k, &[], full);
    tail(a, out, full, Counter::Untold);
}

/// PAGE and LAST = the first page of the folio in register R8, and the one behind its last. Destroys R1 and R2.
pub(super) fn pages(a: &mut Asm, cache: &Cache) {
    let one = a.label();
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

/// Frame fields of the program at an addition: the inode of the file, and the mark.
const INODE: i16 = frame::COMM;
const MARK: i16 = frame::MOUNT_ROOT;
/// When the fault began that it is for, 0 for none; number plus one of the call, 0 outside of calls; when that began, or the fault, or
/// the addition where neither is known.
const AT: i16 = frame::RET;
const CALL: i16 = frame::NUMBER;
const SINCE: i16 = frame::BEGIN;

/// The program at the addition of a folio (the argument) to the cached pages of a file: tells which pages these are, and, once, of
/// the fault that it is for.
fn adds(k: &Layout, cache: &Cache) -> Code {
    let mut a = Asm::default();
    let [out, full, called, faulted, mine, known, untold] = std::array::from_fn(|_| a.label());
    a.load(DW, R8, R1, 0);
    a.load(DW, R6, R8, cache.mapping);
    a.jump(Eq, R6, 0, out);
    // Most of all are behind the end of a file that is written: the mark is not looked for.
    regular(&mut a, k, cache, out);
    a.load(DW, R1, R8, cache.index);
    a.alu(Lsh, R1, PAGE_SHIFT);
    a.load(DW, R2, R9, k.at.size);
    a.jump(Ge, R1, R2, out);
    a.store(DW, R10, INODE, R9);
    pages(&mut a, cache);
    marked(&mut a, out);
    a.store(DW, R10, MARK, R9);
    a.call(Helper::Now);
    a.store(DW, R10, frame::NOW, R0);
    a.store(DW, R10, SINCE, R0);
    a.store(DW, R10, DID, fault::ADDED);
    a.load(W, R1, R8, stamp::NUMBER);
    a.store(DW, R10, CALL, R1);

    // Is it for the fault in the mark? If so R2 is when that began, else 0.
    a.mov(R2, 0);
    a.load(W, R3, R9, stamp::FAULT_IN);
    a.jump(Ne, R1, R3, known);
    a.load(DW, R3, R9, stamp::FAULT_OF);
    a.jump(Ne, R3, R6, known);
    a.jump(Ne, R1, 0, called);
    in_call(&mut a, k, faulted);
    a.goto(mine);
    a.here(faulted);
    a.mov(R2, 0);
    a.goto(known);
    a.here(called);
    // A fault of an earlier call is over.
    a.load(DW, R1, R9, stamp::FAULT_AT);
    a.load(DW, R3, R8, stamp::TS);
    a.jump(Gt, R3, R1, known);
    a.here(mine);
    a.load(DW, R2, R9, stamp::FAULT_AT);
    a.store(DW, R10, SINCE, R2);
    a.here(known);
    a.store(DW, R10, AT, R2);
    let outside = a.label();
    a.load(DW, R1, R10, CALL);
    a.jump(Eq, R1, 0, outside);
    a.load(DW, R1, R8, stamp::TS);
    a.store(DW, R10, SINCE, R1);
    a.here(outside);

    a.load(DW, R9, R10, INODE);
    if cache.pages.is_some() {
        a.load(DW, R1, R10, LAST);
        a.add(R1, -1);
        a.store(DW, R10, LAST, R1);
        send(&mut a, k, &[(CALL, H, at::NUMBER), (SINCE, DW, at::ARGS + 24)], full);
    }
    a.load(DW, R1, R10, AT);
    a.jump(Eq, R1, 0, out);
    a.store(DW, R10, frame::NOW, R1);
    a.load(DW, R8, R10, MARK);
    a.load(DW, R2, R8, stamp::FAULT_TOLD);
    a.jump(Eq, R2, 0, untold);
    a.goto(out);
    a.here(untold);
    a.store(DW, R8, stamp::FAULT_TOLD, 1);
    a.load(DW, R1, R8, stamp::FAULT_PAGE);
    a.store(DW, R10, PAGE, R1);
    a.store(DW, R10, LAST, R1);
    a.store(DW, R10, DID, fault::READ);
    send(&mut a, k, &[], full);
    tail(&mut a, out, full, Counter::Untold);
    a.finish()
}

/// The program at a folio that becomes dirty. Arguments: the folio, its `struct address_space`. Outside of calls that is by a fault:
/// the one noted in the mark, if that is on a page of the folio, else one on a page that was mapped already.
fn dirties(k: &Layout, cache: &Cache) -> Code {
    let mut a = Asm::default();
    let [out, other] = std::array::from_fn(|_| a.label());
    a.load(DW, R8, R1, 0);
    a.load(DW, R6, R1, 8);
    // The kernel allows for folios of no file.
    a.jump(Eq, R6, 0, out);
    pages(&mut a, cache);
    marked(&mut a, out);
    a.load(W, R1, R8, stamp::NUMBER);
    a.jump(Ne, R1, 0, out);
    in_call(&mut a, k, out);
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
