//! Record batches in a compact form, held until their rows are picked in another order.
//!
//! A row of ops has some forty columns of eight bytes and more. Most values are absent, differ little from their
//! neighbours in order of effect, or repeat a text. Stored as differences from the least value of a batch, and each
//! text once, a row takes a fifth of that, so five times as many rows are grouped without being written to disk.

use anyhow::Result;
use arrow::array::{
    Array, ArrayRef, AsArray, DictionaryArray, Int64Array, RecordBatch, StringBuilder, StringViewArray, UInt8Array,
    new_null_array,
};
use arrow::buffer::{BooleanBuffer, NullBuffer};
use arrow::compute::interleave;
use arrow::datatypes::{DataType, UInt8Type};
use hashbrown::HashMap;
use std::sync::Arc;

/// Place of a row: the number of its batch, and its number within that batch.
pub type Place = (u32, u16);

/// Rows in a packed batch, at most.
pub const ROWS: usize = u16::MAX as usize;

/// A record batch whose columns are stored in compact form.
#[derive(Debug)]
pub struct Packed {
    columns: Vec<Column>,
}

#[derive(Debug)]
enum Column {
    /// A column in which no row of the batch has a value.
    Empty,
    Ints(Ints),
    /// Each distinct text once, and for each row the number of its text; NULL is the last text, if some rows have none.
    Texts {
        numbers: Vec<u16>,
        texts: StringViewArray,
    },
    /// Words of a short list (a dictionary array): a one-byte key per row, and the list.
    Words {
        keys: UInt8Array,
        list: ArrayRef,
    },
    /// A column of any other type, kept as it is.
    Plain(ArrayRef),
}

/// Integers as differences from the least value of the batch.
#[derive(Debug)]
struct Ints {
    least: i64,
    above: Above,
    nulls: Option<NullBuffer>,
}

#[derive(Debug)]
enum Above {
    /// All values are the least value, so nothing is stored per row.
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

    /// Bytes of memory that the packed columns take.
    pub fn bytes(&self) -> usize {
        self.columns.iter().map(Column::bytes).sum()
    }

    /// Is the column, given by its number, without a value in every row?
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
            DataType::Utf8View => Column::views(array.as_string_view()),
            DataType::Utf8 => Column::views(&StringViewArray::from(array.as_string::<i32>())),
            DataType::Dictionary(..) => match array.as_dictionary_opt::<UInt8Type>() {
                Some(words) => Column::Words { keys: words.keys().clone(), list: Arc::clone(words.values()) },
                None => Column::Plain(Arc::clone(array)),
            },
            _ => Column::Plain(Arc::clone(array)),
        }
    }

    /// Packs a column of texts. Equal views are equal texts, and most texts that repeat do so as equal views, so their
    /// bytes need not be compared.
    fn views(array: &StringViewArray) -> Column {
        let mut views: HashMap<u128, u16> = HashMap::new();
        let mut known: HashMap<&str, u16> = HashMap::new();
        let mut texts = StringBuilder::new();
        let mut number = |row: usize| {
            *views.entry(array.views()[row]).or_insert_with(|| {
                let (text, next) = (array.value(row), known.len() as u16); // there are no more than rows
                *known.entry(text).or_insert_with(|| {
                    texts.append_value(text);
                    next
                })
            })
        };
        let mut numbers: Vec<u16> = (0..array.len()).map(|row| if array.is_valid(row) { number(row) } else { 0 }).collect();
        if array.null_count() > 0 {
            let absent = known.len() as u16;
            texts.append_null();
            (0..array.len()).filter(|row| array.is_null(*row)).for_each(|row| numbers[row] = absent);
        }
        Column::Texts { numbers, texts: StringViewArray::from(&texts.finish()) }
    }

    fn bytes(&self) -> usize {
        match self {
            Column::Empty => 0,
            Column::Ints(ints) => ints.above.bytes() + ints.nulls.as_ref().map_or(0, |nulls| nulls.len() / 8),
            Column::Texts { numbers, texts } => numbers.len() * 2 + texts.get_array_memory_size(),
            Column::Words { keys, .. } => keys.len() + keys.len() / 8,
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
            // A NULL has an arbitrary value, which may be truncated here: it is never read.
            1..=0xFF => Above::One(values.map(|value| value as u8).collect()),
            0x100..=0xFFFF => Above::Two(values.map(|value| value as u16).collect()),
            0x1_0000..=0xFFFF_FFFF => Above::Four(values.map(|value| value as u32).collect()),
            _ => Above::Eight(values.collect()),
        };
        Ints { least, above, nulls: array.nulls().filter(|nulls| nulls.null_count() > 0).cloned() }
    }

    /// Appends to `values` the values at these places, all of which are in this batch.
    fn pick(&self, places: &[Place], values: &mut Vec<i64>) {
        let least = self.least;
        let rows = places.iter().map(|(_, row)| usize::from(*row));
        let value = |above: u64| least.wrapping_add(above as i64);
        match &self.above {
            Above::Zero => values.resize(values.len() + places.len(), least),
            Above::One(above) => values.extend(rows.map(|row| value(above[row].into()))),
            Above::Two(above) => values.extend(rows.map(|row| value(above[row].into()))),
            Above::Four(above) => values.extend(rows.map(|row| value(above[row].into()))),
            Above::Eight(above) => values.extend(rows.map(|row| value(above[row]))),
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

/// The type that a column of this type has after unpacking: text comes out as string views.
pub fn unpacked(ty: &DataType) -> DataType {
    match ty {
        DataType::Utf8 => DataType::Utf8View,
        other => other.clone(),
    }
}

/// One column of several batches, to pick values from.
#[derive(Debug)]
pub struct Picker<'a> {
    ty: &'a DataType,
    columns: Vec<&'a Column>,
    /// As many rows without a value as are picked at once, if no row has one.
    empty: Option<ArrayRef>,
}

impl<'a> Picker<'a> {
    /// Picks from this column, which comes out as type `ty`, at most `most` values at once.
    pub fn new(batches: &'a [Packed], column: usize, ty: &'a DataType, most: usize) -> Picker<'a> {
        let columns: Vec<_> = batches.iter().map(|batch| &batch.columns[column]).collect();
        let empty = columns.iter().all(|column| matches!(column, Column::Empty)).then(|| new_null_array(ty, most));
        Picker { ty, columns, empty }
    }

    /// The values at these places, which may lie in several batches.
    ///
    /// # Errors
    /// When Arrow cannot pick values of this type.
    pub fn pick(&self, places: &[Place]) -> Result<ArrayRef> {
        let Picker { ty, columns, empty } = self;
        match (empty, ty) {
            (Some(empty), _) => Ok(empty.slice(0, places.len())),
            (None, DataType::Int64) => Ok(Arc::new(ints(columns, places))),
            (None, DataType::Utf8View) => texts(columns, places),
            _ => match words(columns, places)? {
                Some(words) => Ok(words),
                None => plain(columns, ty, places),
            },
        }
    }
}

/// Cuts the places into runs that lie in one batch, each with that batch's column.
fn runs<'a>(columns: &'a [&Column], places: &'a [Place]) -> impl Iterator<Item = (&'a Column, &'a [Place])> {
    places.chunk_by(|a, b| a.0 == b.0).map(|run| (columns[run[0].0 as usize], run))
}

fn ints(columns: &[&Column], places: &[Place]) -> Int64Array {
    let (mut values, mut whole) = (Vec::with_capacity(places.len()), true);
    for (column, run) in runs(columns, places) {
        match column {
            Column::Ints(ints) => {
                ints.pick(run, &mut values);
                whole &= ints.nulls.is_none();
            }
            _ => {
                values.resize(values.len() + run.len(), 0);
                whole = false;
            }
        }
    }
    if whole {
        return Int64Array::new(values.into(), None);
    }
    let mut there = Vec::with_capacity(places.len());
    for (column, run) in runs(columns, places) {
        let count = there.len() + run.len();
        match column {
            Column::Ints(Ints { nulls: Some(own), .. }) => there.extend(run.iter().map(|(_, row)| own.is_valid((*row).into()))),
            Column::Ints(_) => there.resize(count, true),
            _ => there.resize(count, false),
        }
    }
    Int64Array::new(values.into(), present(&there))
}

/// The validity bitmap of values, or `None` when all are present. It is made of one byte per value and packed by the
/// word, which takes a fraction of the time of adding a bit at a time.
fn present(there: &[bool]) -> Option<NullBuffer> {
    let nulls = NullBuffer::new(BooleanBuffer::collect_bool(there.len(), |at| there[at]));
    Some(nulls).filter(|nulls| nulls.null_count() > 0)
}

/// Picks texts. They are not copied: the result has views of them.
fn texts(columns: &[&Column], places: &[Place]) -> Result<ArrayRef> {
    let none = StringViewArray::new_null(1);
    let (mut lists, mut rows): (Vec<&dyn Array>, Vec<_>) = (Vec::new(), Vec::with_capacity(places.len()));
    let mut list_of = vec![None; columns.len()];
    for (column, run) in runs(columns, places) {
        let list = *list_of[run[0].0 as usize].get_or_insert_with(|| {
            lists.push(if let Column::Texts { texts, .. } = column { texts } else { &none });
            lists.len() - 1
        });
        match column {
            Column::Texts { numbers, .. } => {
                rows.extend(run.iter().map(|(_, row)| (list, usize::from(numbers[usize::from(*row)]))));
            }
            _ => rows.resize(rows.len() + run.len(), (list, 0)),
        }
    }
    Ok(interleave(&lists, &rows)?)
}

/// Picks words, when all batches share one list of words; else `None`.
fn words(columns: &[&Column], places: &[Place]) -> Result<Option<ArrayRef>> {
    let mut lists = columns.iter().filter_map(|column| if let Column::Words { list, .. } = column { Some(list) } else { None });
    let Some(list) = lists.next() else { return Ok(None) };
    if !lists.all(|other| Arc::ptr_eq(list, other)) {
        return Ok(None);
    }
    let (mut keys, mut there) = (Vec::with_capacity(places.len()), Vec::with_capacity(places.len()));
    for (column, run) in runs(columns, places) {
        let rows = || run.iter().map(|(_, row)| usize::from(*row));
        let Column::Words { keys: own, .. } = column else {
            keys.resize(keys.len() + run.len(), 0);
            there.resize(there.len() + run.len(), false);
            continue;
        };
        keys.extend(rows().map(|row| own.values()[row]));
        match own.nulls() {
            Some(own) => there.extend(rows().map(|row| own.is_valid(row))),
            None => there.resize(there.len() + run.len(), true),
        }
    }
    let keys = UInt8Array::new(keys.into(), present(&there));
    Ok(Some(Arc::new(DictionaryArray::<UInt8Type>::try_new(keys, Arc::clone(list))?)))
}

fn plain(columns: &[&Column], ty: &DataType, places: &[Place]) -> Result<ArrayRef> {
    let arrays = columns.iter().map(|column| {
        Ok(match column {
            Column::Plain(array) => Arc::clone(array),
            Column::Words { keys, list } => {
                Arc::new(DictionaryArray::<UInt8Type>::try_new(keys.clone(), Arc::clone(list))?) as ArrayRef
            }
            _ => new_null_array(ty, ROWS),
        })
    });
    let arrays = arrays.collect::<Result<Vec<_>>>()?;
    let arrays: Vec<_> = arrays.iter().map(AsRef::as_ref).collect();
    let places: Vec<_> = places.iter().map(|(batch, row)| (*batch as usize, usize::from(*row))).collect();
    Ok(interleave(&arrays, &places)?)
}
