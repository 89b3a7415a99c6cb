//! Follows the lines of table `input` beside the rows that a format makes of them, so that each line is accounted for.

use super::spool::Spooled;
use crate::schema::read::{Batches, Reader};
use crate::text;
use anyhow::{Context, Result, bail, ensure};
use arrow::array::{Array, Int64Array, StringArray};
use std::borrow::Cow;

/// Is a line that a row is of not accounted for yet?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fresh {
    /// No row of it has come yet.
    Yes,
    /// A row of it has come: it is an event or a reject.
    No,
}

/// The lines of a spooled input, in order.
pub struct Lines {
    batches: Batches,
    numbers: Int64Array,
    /// The texts of the lines; a Parquet file has none.
    texts: Option<StringArray>,
    /// Place of the current line in the batch; one before the first.
    at: Option<usize>,
    fresh: Fresh,
    /// Lines that were passed and of which no row came.
    silent: u64,
}

impl Lines {
    /// The lines of this input, before the first one.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn new(spooled: &Spooled) -> Result<Lines> {
        let batches = Reader::of("the input".into(), spooled.file.clone(), None)?.build()?;
        let numbers = Int64Array::from(Vec::<i64>::new());
        Ok(Lines { batches, numbers, texts: None, at: None, fresh: Fresh::No, silent: 0 })
    }

    /// Goes on to a line, and says whether it is accounted for yet.
    ///
    /// # Errors
    /// When there is no such line, or it is before the current one.
    pub fn reach(&mut self, line: u64) -> Result<Fresh> {
        let line = i64::try_from(line)?;
        loop {
            if let Some(at) = self.at.filter(|at| *at < self.numbers.len()) {
                let here = self.numbers.value(at);
                ensure!(here <= line, "it gives a row of line {line}, which is none of table input");
                if here == line {
                    return Ok(self.fresh);
                }
            }
            if !self.next()? {
                bail!("it gives a row of line {line}, which is none of table input");
            }
        }
    }

    /// Goes on to the next line; false when there is none.
    fn next(&mut self) -> Result<bool> {
        self.silent += u64::from(self.fresh == Fresh::Yes);
        let mut at = self.at.map_or(0, |at| at + 1);
        while at >= self.numbers.len() {
            let Some(batch) = self.batches.next() else {
                self.fresh = Fresh::No;
                self.at = Some(at);
                return Ok(false);
            };
            let batch = batch?;
            let column = |name: &str| batch.column_by_name(name).map(|column| column.as_any());
            let numbers = column("line").and_then(|column| column.downcast_ref::<Int64Array>());
            self.numbers = numbers.context("the input has no column line")?.clone();
            self.texts = column("text").and_then(|column| column.downcast_ref::<StringArray>()).cloned();
            at = 0;
        }
        (self.at, self.fresh) = (Some(at), Fresh::Yes);
        Ok(true)
    }

    /// The current line is an event or a reject.
    pub fn account(&mut self) {
        self.fresh = Fresh::No;
    }

    /// The bytes of the current line; none of a row of a Parquet file.
    pub fn text(&self) -> Cow<'_, [u8]> {
        let text = self.texts.as_ref().zip(self.at).filter(|(texts, at)| *at < texts.len()).map(|(texts, at)| texts.value(at));
        text.map_or(Cow::Borrowed(&[]), text::decode)
    }

    /// Goes to the end. Returns the number of lines of which no row came.
    ///
    /// # Errors
    /// When lines cannot be read.
    pub fn finish(mut self) -> Result<u64> {
        while self.next()? {}
        Ok(self.silent)
    }
}
