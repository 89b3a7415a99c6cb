//! Decodes rows of a batch into events for the model.

use crate::event::{Col, Event, Text};
use crate::syscall::Syscall;
use crate::text;
use arrow::array::{Array, AsArray, Int64Array, RecordBatch, StringViewArray};
use arrow::datatypes::{DataType, Field, Int64Type, Schema};
use datafusion::common::{Result, exec_datafusion_err};
use hashbrown::HashMap;

/// Columns that the input of `virtualize` must have.
pub const REQUIRED: [&str; 4] = ["seq", "syscall", "pid", "tid"];

/// Column of the input that says how an event is treated; the input need not have it.
pub const TREAT: &str = "treat";

/// What a column of the input means to the model, told by its name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    Seq,
    Syscall,
    Int(Col),
    Text(Text),
    /// How the walk treats the event ([`super::walk::Treat`]).
    Treat,
    /// A column that the model does not know.
    Other,
}

/// What the input column of this name means to the model.
pub fn part(name: &str) -> Part {
    match name {
        "seq" => Part::Seq,
        "syscall" => Part::Syscall,
        TREAT => Part::Treat,
        _ => {
            let int = || Col::ALL.iter().find(|col| col.name() == name).map(|col| Part::Int(*col));
            let text = || Text::ALL.iter().find(|text| text.name() == name).map(|text| Part::Text(*text));
            int().or_else(text).unwrap_or(Part::Other)
        }
    }
}

/// Does the model read the input column of this name? (The line number is only passed through.)
pub fn reads(name: &str) -> bool {
    !matches!(part(name), Part::Other | Part::Int(Col::Line))
}

/// The type to which an input column is cast for the walk, and in which it is passed through.
pub fn arrow_type(field: &Field) -> DataType {
    match part(field.name()) {
        Part::Seq | Part::Int(_) => DataType::Int64,
        Part::Syscall | Part::Text(_) | Part::Treat => DataType::Utf8View,
        Part::Other => field.data_type().clone(),
    }
}

/// Decodes the rows of Arrow batches into events for the model.
#[derive(Debug)]
pub struct Decoder {
    syscall: usize,
    ints: Vec<(Col, usize)>,
    texts: Vec<(Text, usize)>,
    /// Cache of parsed syscall names of at most 12 bytes, keyed by their string view: a batch repeats a few names
    /// thousands of times.
    calls: HashMap<u128, Syscall>,
}

impl Decoder {
    /// A decoder of batches with this schema.
    ///
    /// # Errors
    /// When the schema has no column `syscall`.
    pub fn new(schema: &Schema) -> Result<Decoder> {
        let mut decoder = Decoder { syscall: schema.index_of("syscall")?, ints: vec![], texts: vec![], calls: HashMap::new() };
        for (at, field) in schema.fields().iter().enumerate() {
            match part(field.name()) {
                Part::Int(col) => decoder.ints.push((col, at)),
                Part::Text(text) => decoder.texts.push((text, at)),
                Part::Seq | Part::Syscall | Part::Treat | Part::Other => {}
            }
        }
        Ok(decoder)
    }

    /// Calls `take` with the number and the event of each row of a batch, in order.
    ///
    /// # Errors
    /// When a row has NULL in column `syscall`.
    pub fn each(&mut self, batch: &RecordBatch, mut take: impl FnMut(usize, &Event)) -> Result<()> {
        let names = batch.column(self.syscall).as_string_view();
        if names.null_count() > 0 {
            return Err(exec_datafusion_err!("a row of its input has no syscall"));
        }
        // A column without a value in the whole batch is not looked at row by row.
        let ints: Vec<(Col, &Int64Array)> =
            self.ints.iter().map(|(col, at)| (*col, batch.column(*at).as_primitive::<Int64Type>())).collect();
        let ints: Vec<_> = ints.into_iter().filter(|(_, array)| array.null_count() < array.len()).collect();
        let texts: Vec<(Text, &StringViewArray)> =
            self.texts.iter().map(|(text, at)| (*text, batch.column(*at).as_string_view())).collect();
        let texts: Vec<_> = texts.into_iter().filter(|(_, array)| array.null_count() < array.len()).collect();
        let mut event = Event::new(Syscall::other);
        for row in 0..batch.num_rows() {
            let syscall = self.syscall(names, row);
            event.renew(syscall);
            if syscall == Syscall::other {
                event.other = Some(names.value(row).into());
            }
            for (col, array) in &ints {
                if array.is_valid(row) {
                    event.set(*col, array.value(row));
                }
            }
            for (text, array) in &texts {
                if array.is_valid(row) {
                    event.set_text(*text, text::decode(array.value(row)));
                }
            }
            take(row, &event);
        }
        Ok(())
    }

    fn syscall(&mut self, names: &StringViewArray, row: usize) -> Syscall {
        const INLINE: u128 = 12;
        let parse = |name: &str| Syscall::parse(name.as_bytes()).unwrap_or(Syscall::other);
        let view = names.views()[row];
        // The low four bytes of a view are the length; up to twelve bytes of text follow in it.
        if view & u128::from(u32::MAX) > INLINE {
            return parse(names.value(row));
        }
        *self.calls.entry(view).or_insert_with(|| parse(names.value(row)))
    }
}
