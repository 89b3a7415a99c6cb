//! The data that replayed writes send with `--data captured`: for each open file description of the kind that samples of the captured
//! files say.

use crate::event::Col;
use crate::init::data::{BLOCK, Mix, Mixture};
use crate::replay::shared::call::Call;
use crate::replay::shared::memory::Pages;
use crate::schema::contents;
use crate::schema::read::{self, Reader};
use anyhow::{Context, Result, ensure};
use std::collections::HashMap;
use std::fs::File;

/// Memory of a worker for the data of its writes, bytes; longer ones send data of no particular kind.
const STAGE: usize = 4 << 20;
/// Open file descriptions of which the kind is remembered, at most.
const MOST: usize = 16 << 20;

/// What each open file description writes, and noise of all degrees of compression to make it of.
#[derive(Debug)]
pub struct Contents {
    kinds: HashMap<u32, Mixture>,
    mix: Mix,
}

/// Memory in which a worker puts the data of its writes together, one behind the other: what the kernel still reads of an earlier
/// one is not written over soon.
#[derive(Debug)]
pub struct Stage {
    pages: Pages,
    next: usize,
}

impl Stage {
    /// Memory for one worker.
    ///
    /// # Errors
    /// When memory is short.
    pub fn new() -> std::io::Result<Stage> {
        Ok(Stage { pages: Pages::new(STAGE)?, next: 0 })
    }

    /// The next `count` bytes, from the start of a page on; `None` when there are not so many.
    #[inline]
    fn take(&mut self, count: usize) -> Option<&mut [u8]> {
        if count > STAGE {
            return None;
        }
        if self.next + count > STAGE {
            self.next = 0;
        }
        let start = self.next;
        self.next = (start + count).next_multiple_of(BLOCK);
        // SAFETY: these bytes lie in the mapping, which lives as long as self, and nobody else has its address but the kernel, which
        // only reads them.
        Some(unsafe { std::slice::from_raw_parts_mut(self.pages.start().add(start), count) })
    }
}

impl Contents {
    /// Reads the table `written` of a workload, and makes the noise by a seed.
    ///
    /// # Errors
    /// When it is damaged, or not of this version.
    pub fn read(table: File, seed: u64) -> Result<Contents> {
        let mut kinds = HashMap::new();
        for batch in Reader::new("the table of written contents".into(), table, None)?.build()? {
            let batch = batch.context("the table of written contents is damaged")?;
            let ofds = read::ints(&batch, "ofd").context("make the workload again")?;
            for (row, content) in contents::read(&batch).context("make the workload again")?.into_iter().enumerate() {
                let ofd = read::int(ofds, row).and_then(|ofd| u32::try_from(ofd).ok());
                if let Some((ofd, kind)) = ofd.zip(content.and_then(Mixture::of)) {
                    kinds.insert(ofd, kind);
                }
            }
            ensure!(kinds.len() <= MOST, "invalid workload: more than {MOST} open file descriptions write");
        }
        Ok(Contents { kinds, mix: Mix::new(seed) })
    }

    /// Puts together what a call writes: content of the place in the file, other at each op. `None` when its kind is not known, or
    /// it writes too much.
    pub fn data(&self, stage: &mut Stage, call: Call<'_>, count: i64) -> Option<*mut u8> {
        let kind = self.kinds.get(&call.ofd)?;
        let bytes = stage.take(usize::try_from(count).ok()?)?;
        // Where nobody knows the place, each op is at another.
        let offset = call.get(Col::Offset).and_then(|offset| u64::try_from(offset).ok());
        let offset = offset.unwrap_or_else(|| (call.op_id as u64).wrapping_mul(STAGE as u64));
        self.mix.fill(bytes, kind, u64::from(call.ofd), !(call.op_id as u64), offset);
        Some(bytes.as_mut_ptr())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_of_writes_goes_round() {
        let mut stage = Stage::new().unwrap();
        let start = stage.take(0).unwrap().as_ptr() as usize;
        let mut at = |count: usize| stage.take(count).map(|bytes| (bytes.as_ptr() as usize - start, bytes.len()));
        assert_eq!(at(5000), Some((0, 5000)));
        assert_eq!(at(STAGE - 8192), Some((8192, STAGE - 8192)));
        assert_eq!(at(1), Some((0, 1)));
        assert_eq!(at(STAGE), Some((0, STAGE)));
        assert_eq!(at(STAGE + 1), None);
    }
}
