//! Batches in little room, until their rows are picked in another order.
//!
//! A row of ops has some forty columns of eight bytes and more. Most are absent, or differ little from their neighbours
//! in order of effect, or repeat a text: held as differences from the least of a batch, and each text once, a row takes
//! a fifth of that, so five times as many are put in order without a detour over the disk.

use anyhow::Result;
use arrow::array::{
    Array, ArrayRef, AsArray, Int64Array, NullBufferBuilder, RecordBatch, StringArray, StringBuilder, new_null_array,
};
use arrow::buffer::NullBuffer;
use arrow::compute::interleave;
use arrow::datatypes::DataType;
use hashbrown::HashMap;
use std::sync::Arc;

/// A row: number of its batch, and number in it.
pub type Place = (u32, u16);

/// Rows in a packed batch, at most.
pub const ROWS: usize = ABSENT as usize;

/// In place of the number of a text.
const ABSENT: u16 = u16::MAX;

/// A batch in little room.
#[derive(Debug)]
pub struct Packed {
    columns: Vec<Column>,
}

#[derive(Debug)]
enum Column {
    /// Without a value.
    Empty,
    Ints(Ints),
    /// Each text once.
    Texts {
        numbers: Vec<u16>,
        texts: StringArray,
    },
    /// As it came.
    Plain(ArrayRef),
}

/// Integers as differences from the least.
#[derive(Debug)]
struct Ints {
    least: i64,
    above: Above,
    nulls: Option<NullBuffer>,
}

#[derive(Debug)]
enum Above {
    /// All are the same.
    Zero,
    One(Vec<u8>),
    Two(Vec<u16>),
    Four(Vec<u32>),
    Eight(Vec<u64>),
}

impl Packed {
    /// Packs a batch of at most [`ROWS`] rows.
    pub fn new(batch: &RecordBatch) -> Packed {
        debug_assert!(batch.num_rows() <= ROWS);
        Packed { columns: batch.columns().iter().map(Column::new).collect() }
    }

    /// Bytes it holds.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// Has the column no value?
    pub fn empty(&self, column: usize) -> bool {
        matches!(self.columns[column], Column::Empty)
    }
}

impl Column {
    fn new(array: &ArrayRef) -> Column {
        if array.null_count() == array.len() {
            return Column::Empty;
        }
        match array.data_type() {
            DataType::Int64 => Column::Ints(Ints::new(array.as_primitive())),
            DataType::Utf8View => Column::texts(array.as_string_view().iter()),
            DataType::Utf8 => Column::texts(array.as_string::<i32>().iter()),
            _ => Column::Plain(Arc::clone(array)),
        }
    }

    fn texts<'a>(array: impl Iterator<Item = Option<&'a str>>) -> Column {
        let (mut known, mut texts) = (HashMap::new(), StringBuilder::new());
        let mut number = |text| {
            let next = known.len() as u16; // there are no more than rows
            *known.entry(text).or_insert_with(|| {
                texts.append_value(text);
                next
            })
        };
        let numbers = array.map(|text| text.map_or(ABSENT, &mut number)).collect();
        Column::Texts { numbers, texts: texts.finish() }
    }

    fn bytes(&self) -> usize {
        match self {
            Column::Empty => 0,
            Column::Ints(ints) => ints.above.bytes() + ints.nulls.as_ref().map_or(0, |nulls| nulls.len() / 8),
            Column::Texts { numbers, texts } => numbers.len() * 2 + texts.get_array_memory_size(),
            Column::Plain(array) => array.to_data().get_slice_memory_size().unwrap_or(0),
        }
    }
}

impl Ints {
    fn new(array: &Int64Array) -> Ints {
        let valid = || array.iter().flatten();
        let (least, most) = valid().fold((i64::MAX, i64::MIN), |(least, most), value| (least.min(value), most.max(value)));
        let values = array.values().iter().map(|value| value.wrapping_sub(least) as u64);
        let above = match most.wrapping_sub(least) as u64 {
            0 => Above::Zero,
            // What stands in an absent place does not matter: it is cut like the rest.
            1..=0xFF => Above::One(values.map(|value| value as u8).collect()),
            0x100..=0xFFFF => Above::Two(values.map(|value| value as u16).collect()),
            0x1_0000..=0xFFFF_FFFF => Above::Four(values.map(|value| value as u32).collect()),
            _ => Above::Eight(values.collect()),
        };
        Ints { least, above, nulls: array.nulls().filter(|nulls| nulls.null_count() > 0).cloned() }
    }

    /// Adds the values of rows of this batch.
    fn pick(&self, places: &[Place], values: &mut Vec<i64>, nulls: &mut NullBufferBuilder) {
        let least = self.least;
        let rows = || places.iter().map(|(_, row)| usize::from(*row));
        let value = |above: u64| least.wrapping_add(above as i64);
        match &self.above {
            Above::Zero => values.resize(values.len() + places.len(), least),
            Above::One(above) => values.extend(rows().map(|row| value(above[row].into()))),
            Above::Two(above) => values.extend(rows().map(|row| value(above[row].into()))),
            Above::Four(above) => values.extend(rows().map(|row| value(above[row].into()))),
            Above::Eight(above) => values.extend(rows().map(|row| value(above[row]))),
        }
        match &self.nulls {
            Some(own) => rows().for_each(|row| nulls.append(own.is_valid(row))),
            None => nulls.append_n_non_nulls(places.len()),
        }
    }
}

impl Above {
    fn bytes(&self) -> usize {
        match self {
            Above::Zero => 0,
            Above::One(values) => values.len(),
            Above::Two(values) => values.len() * 2,
            Above::Four(values) => values.len() * 4,
            Above::Eight(values) => values.len() * 8,
        }
    }
}

/// The type in which a column of this type is unpacked.
pub fn unpacked(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8View => DataType::Utf8,
        other => other.clone(),
    }
}

/// Picks rows of several batches: a column of type `ty`.
///
/// # Errors
/// When the engine cannot pick values of this type.
pub fn pick(batches: &[Packed], column: usize, ty: &DataType, places: &[Place]) -> Result<ArrayRef> {
    let columns: Vec<_> = batches.iter().map(|batch| &batch.columns[column]).collect();
    if columns.iter().all(|column| matches!(column, Column::Empty)) {
        return Ok(new_null_array(ty, places.len()));
    }
    Ok(match ty {
        DataType::Int64 => Arc::new(ints(&columns, places)),
        DataType::Utf8 => Arc::new(texts(&columns, places)),
        _ => {
            let empty = new_null_array(ty, ROWS);
            let plain = |column: &&Column| if let Column::Plain(array) = column { Arc::clone(array) } else { Arc::clone(&empty) };
            let plain: Vec<_> = columns.iter().map(plain).collect();
            let plain: Vec<_> = plain.iter().map(AsRef::as_ref).collect();
            let places: Vec<_> = places.iter().map(|(batch, row)| (*batch as usize, usize::from(*row))).collect();
            interleave(&plain, &places)?
        }
    })
}

/// Parts of the places that are in one batch, with that batch's column.
fn runs<'a>(columns: &'a [&Column], places: &'a [Place]) -> impl Iterator<Item = (&'a Column, &'a [Place])> {
    places.chunk_by(|a, b| a.0 == b.0).map(|run| (columns[run[0].0 as usize], run))
}

fn ints(columns: &[&Column], places: &[Place]) -> Int64Array {
    let (mut values, mut nulls) = (Vec::with_capacity(places.len()), NullBufferBuilder::new(places.len()));
    for (column, run) in runs(columns, places) {
        match column {
            Column::Ints(ints) => ints.pick(run, &mut values, &mut nulls),
            _ => {
                values.resize(values.len() + run.len(), 0);
                nulls.append_n_nulls(run.len());
            }
        }
    }
    Int64Array::new(values.into(), nulls.finish())
}

fn texts(columns: &[&Column], places: &[Place]) -> StringArray {
    let mut made = StringBuilder::with_capacity(places.len(), places.len() * 32);
    for (column, run) in runs(columns, places) {
        match column {
            Column::Texts { numbers, texts } => {
                for (_, row) in run {
                    match numbers[usize::from(*row)] {
                        ABSENT => made.append_null(),
                        number => made.append_value(texts.value(usize::from(number))),
                    }
                }
            }
            _ => made.append_nulls(run.len()),
        }
    }
    made.finish()
}
