//! Builds the Arrow columns of the walk from the values of steps and facts.
//!
//! Most columns lack a value in most rows, and a value often repeats: calls on one descriptor carry its path, in the
//! very same piece of memory. So an absent value costs a bit, and a text that was seen a moment ago is not copied
//! again.

use super::columns::{Fact, Get, StepColumn, TAGS, Tag, item};
use crate::fate::Origin;
use crate::model::{Name, Row, Rows};
use crate::order;
use crate::text;
use arrow::array::{
    ArrayRef, BooleanBuilder, DictionaryArray, Int64Array, Int64Builder, ListBuilder, StringArray, StringViewBuilder, UInt8Array,
    UInt32Array, new_null_array,
};
use arrow::buffer::{BooleanBuffer, Buffer, NullBuffer};
use arrow::compute::take;
use arrow::datatypes::{DataType, UInt8Type};
use datafusion::common::Result;
use std::sync::Arc;

/// Distance between the positions (`pos`) of two rows: stages insert rows at the numbers between.
pub const STRIDE: i64 = 4;

/// Builder of one Arrow column of the walk, filled from steps and facts.
#[derive(Debug)]
pub struct Gather {
    get: Get,
    values: Values,
}

#[derive(Debug)]
enum Values {
    Int(Slots<i64>),
    Yes(BooleanBuilder),
    Text(Texts),
    List(ListBuilder<Int64Builder>),
    Word(Slots<u8>, ArrayRef),
}

impl StepColumn {
    /// A builder for the values of this column.
    pub fn gather(&self) -> Gather {
        let words = |words: Vec<&'static str>| Values::Word(Slots::default(), Arc::new(StringArray::from(words)));
        let values = match self.get {
            Get::Pos | Get::Int(..) => Values::Int(Slots::default()),
            Get::Yes(..) => Values::Yes(BooleanBuilder::new()),
            Get::Path(..) | Get::Text(_) => Values::Text(Texts::default()),
            Get::Touches => Values::List(ListBuilder::new(Int64Builder::new()).with_field(item())),
            Get::Tag => words(TAGS.to_vec()),
            Get::Word(list, _) => words(list()),
        };
        Gather { get: self.get, values }
    }
}

impl Gather {
    /// Appends the values of the rows of steps; `first` is the position (`pos`) of the first one.
    pub fn steps(&mut self, all: &Rows, first: i64) {
        let rows = &all.list;
        match (&mut self.values, self.get) {
            (Values::Int(to), Get::Int(get, _)) => to.extend(rows.iter().map(|row| get(&row.step))),
            (Values::Int(to), _) => to.extend((first..).step_by(STRIDE as usize).take(rows.len()).map(Some)),
            (Values::Yes(to), Get::Yes(get, _)) => rows.iter().for_each(|row| to.append_option(get(&row.step))),
            (Values::Text(to), Get::Path(get, _)) => rows.iter().for_each(|row| to.push_name(get(&row.step))),
            (Values::Word(to, _), Get::Word(_, get)) => to.extend(rows.iter().map(|row| get(&row.step))),
            (Values::Word(to, _), _) => {
                let tag = |row: &Row| if row.step.origin == Origin::Event { Tag::Event } else { Tag::Insert };
                to.extend(rows.iter().map(|row| Some(tag(row) as u8)));
            }
            (Values::List(to), _) => {
                for row in rows {
                    let touches = all.touched(row);
                    touches.iter().for_each(|touch| to.values().append_value(order::number(*touch)));
                    to.append(!touches.is_empty());
                }
            }
            (Values::Yes(to), _) => to.append_nulls(rows.len()),
            (Values::Text(to), _) => to.absent += rows.len(),
        }
    }

    /// Appends the values of facts; `first` is the position (`pos`) of the first one.
    pub fn facts(&mut self, facts: &[Fact<'_>], first: i64) {
        for (fact, at) in facts.iter().zip(0..) {
            match (&mut self.values, self.get) {
                (Values::Int(to), Get::Int(_, get)) => to.push(get(fact)),
                (Values::Int(to), _) => to.push(Some(first + STRIDE * at)),
                (Values::Yes(to), Get::Yes(_, get)) => to.append_option(get(fact)),
                (Values::Text(to), Get::Path(_, get)) => to.push_name(get(fact)),
                (Values::Text(to), Get::Text(get)) => to.push(get(fact).as_deref()),
                (Values::Word(to, _), Get::Tag) => to.push(Some(fact.tag as u8)),
                (Values::Word(to, _), _) => to.push(None),
                (Values::Yes(to), _) => to.append_null(),
                (Values::List(to), _) => to.append_null(),
                (Values::Text(to), _) => to.push(None),
            }
        }
    }

    /// The column as an Arrow array; values that follow begin another.
    ///
    /// # Errors
    /// When indices of texts or words are out of range, which does not happen.
    pub fn finish(&mut self) -> Result<ArrayRef> {
        Ok(match &mut self.values {
            Values::Int(values) => {
                let (values, nulls) = values.take();
                Arc::new(Int64Array::new(values.into(), nulls))
            }
            Values::Yes(values) => Arc::new(values.finish()),
            Values::Text(values) => values.finish()?,
            Values::List(values) => Arc::new(values.finish()),
            Values::Word(values, words) => {
                let (values, nulls) = values.take();
                let keys = UInt8Array::new(values.into(), nulls);
                Arc::new(DictionaryArray::<UInt8Type>::try_new(keys, Arc::clone(words))?)
            }
        })
    }
}

/// Builder of a column of numbers that may be NULL.
#[derive(Debug, Default)]
struct Slots<T> {
    values: Vec<T>,
    /// Validity bitmap, a bit for each value, in full words of 64; the bits of the last values are in `bits`.
    there: Vec<u64>,
    bits: u64,
    count: usize,
}

impl<T: Copy + Default> Slots<T> {
    fn push(&mut self, value: Option<T>) {
        let bit = self.values.len() % 64;
        self.values.push(value.unwrap_or_default());
        self.bits |= u64::from(value.is_some()) << bit;
        self.count += usize::from(value.is_some());
        if bit == 63 {
            self.there.push(std::mem::take(&mut self.bits));
        }
    }

    fn extend(&mut self, values: impl Iterator<Item = Option<T>>) {
        self.values.reserve(values.size_hint().0);
        values.for_each(|value| self.push(value));
    }

    /// The values, and their validity bitmap (`None` when none is NULL); the builder is empty afterwards.
    fn take(&mut self) -> (Vec<T>, Option<NullBuffer>) {
        let len = self.values.len();
        let mut there = std::mem::take(&mut self.there);
        if !len.is_multiple_of(64) {
            there.push(self.bits);
        }
        let absent = len - self.count;
        (self.bits, self.count) = (0, 0);
        let values = std::mem::replace(&mut self.values, Vec::with_capacity(len));
        (values, (absent > 0).then(|| NullBuffer::new(BooleanBuffer::new(Buffer::from_vec(there), 0, len))))
    }
}

/// Number of names that [`Texts`] remembers, by their address in memory.
const NAMES: usize = 64;

/// Builder of a column of texts: a text that repeats is copied once, and rows have its number.
#[derive(Debug)]
struct Texts {
    distinct: StringViewBuilder,
    count: u32,
    numbers: Slots<u32>,
    /// Rows without a text at the end that are not in `numbers` yet: so a column without any text costs nothing.
    absent: usize,
    /// Names copied lately with their numbers, by a hash of their address. A name is kept alive so that its address
    /// keeps meaning it.
    names: Vec<Option<(Name, u32)>>,
}

impl Default for Texts {
    fn default() -> Texts {
        let (distinct, numbers) = (StringViewBuilder::new(), Slots::default());
        Texts { distinct, count: 0, numbers, absent: 0, names: vec![None; NAMES] }
    }
}

impl Texts {
    fn add(&mut self, text: &str) -> u32 {
        self.distinct.append_value(text);
        self.count += 1;
        self.count - 1
    }

    fn number(&mut self, number: u32) {
        self.numbers.extend(std::iter::repeat_n(None, std::mem::take(&mut self.absent)));
        self.numbers.push(Some(number));
    }

    fn push(&mut self, text: Option<&str>) {
        match text {
            Some(text) => {
                let number = self.add(text);
                self.number(number);
            }
            None => self.absent += 1,
        }
    }

    fn push_name(&mut self, name: Option<&Name>) {
        let Some(name) = name else { return self.absent += 1 };
        let slot = (name.as_ptr() as usize >> 4) % NAMES;
        let number = match &self.names[slot] {
            Some((known, number)) if Arc::ptr_eq(known, name) => *number,
            _ => {
                let number = self.add(&text::encode(name));
                self.names[slot] = Some((Arc::clone(name), number));
                number
            }
        };
        self.number(number);
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let absent = std::mem::take(&mut self.absent);
        if self.count == 0 {
            return Ok(new_null_array(&DataType::Utf8View, absent));
        }
        self.numbers.extend(std::iter::repeat_n(None, absent));
        let (numbers, nulls) = self.numbers.take();
        self.names.fill(None);
        self.count = 0;
        Ok(take(&self.distinct.finish(), &UInt32Array::new(numbers.into(), nulls), None)?)
    }
}
