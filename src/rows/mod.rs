//! Rows of an answer as text, for people and for programs. All but the forms for people stream: their memory does not grow with
//! the answer.

mod grid;

pub use grid::{Grid, Shape};

use crate::text::{shown, shown_lines};
use anyhow::{Result, bail};
use arrow::array::RecordBatch;
use arrow::csv;
use arrow::datatypes::SchemaRef;
use arrow::ipc::writer::StreamWriter;
use arrow::json::LineDelimitedWriter;
use std::io::{self, Write};
use std::sync::Arc;

/// Rows that the forms for people show, at most.
pub const ROWS: usize = 1000;

/// Form of the rows of an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Format {
    /// Aligned columns for people, or a block for each row; at most [`ROWS`] rows.
    #[default]
    Table,
    /// A table in Markdown.
    Markdown,
    /// Comma-separated values with a header line; NULL is an empty field.
    Csv,
    /// A JSON array of objects, one per line; a NULL is left out of its object.
    Json,
    /// A JSON object per line; a NULL is left out of its object.
    Ndjson,
    /// The stream format of Arrow IPC.
    Arrow,
    /// A Parquet file; only into a file, not to standard output.
    Parquet,
}

/// How an answer is printed.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Form of the rows.
    pub format: Format,
    /// Layout of [`Format::Table`].
    pub shape: Shape,
    /// Columns of the terminal that it goes to; `None`: any number.
    pub width: Option<u16>,
    /// Are line breaks in cells ours (a query plan) and kept? Else they are escaped.
    pub lines: bool,
}

/// Writes batches of one schema in a form.
pub struct Writer<'o> {
    style: Style,
    schema: SchemaRef,
    out: &'o mut (dyn Write + Send),
    /// Rows written or kept so far.
    rows: usize,
    /// Rows for people, which are laid out together.
    kept: Vec<RecordBatch>,
    /// Of [`Format::Arrow`].
    stream: Option<StreamWriter<Vec<u8>>>,
}

impl<'o> Writer<'o> {
    /// Starts an answer: its header is written.
    ///
    /// # Errors
    /// When the output cannot be written, or the format is Parquet.
    pub fn new(style: Style, schema: SchemaRef, out: &'o mut (dyn Write + Send)) -> Result<Writer<'o>> {
        let mut stream = None;
        match style.format {
            Format::Table | Format::Ndjson => {}
            Format::Csv => csv::Writer::new(&mut *out).write(&RecordBatch::new_empty(Arc::clone(&schema)))?,
            Format::Json => out.write_all(b"[")?,
            Format::Markdown => {
                let names = schema.fields().iter().map(|field| format!(" {} |", marked(&shown(field.name()))));
                let lines: String = schema.fields().iter().map(|_| "---|").collect();
                writeln!(out, "|{}\n|{lines}", names.collect::<String>())?;
            }
            Format::Arrow => stream = Some(StreamWriter::try_new(Vec::new(), &schema)?),
            Format::Parquet => bail!("Parquet cannot be printed: name a file with -o FILE"),
        }
        Ok(Writer { style, schema, out, rows: 0, kept: Vec::new(), stream })
    }

    /// Does it take no more rows?
    pub fn full(&self) -> bool {
        self.style.format == Format::Table && self.rows > ROWS
    }

    /// Writes the rows of a batch, or keeps them for a table.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn write(&mut self, batch: &RecordBatch) -> Result<()> {
        match self.style.format {
            Format::Table => self.kept.push(batch.slice(0, batch.num_rows().min(ROWS.saturating_sub(self.rows)))),
            Format::Csv => csv::WriterBuilder::new().with_header(false).build(&mut *self.out).write(batch)?,
            Format::Json | Format::Ndjson => self.json(batch)?,
            Format::Markdown => {
                for row in Grid::new(&self.schema, std::slice::from_ref(batch), shown)?.rows() {
                    let cells: String = row.iter().map(|cell| format!(" {} |", marked(cell))).collect();
                    writeln!(self.out, "|{cells}")?;
                }
            }
            Format::Arrow => self.arrow(|stream| Ok(stream.write(batch)?))?,
            Format::Parquet => {}
        }
        self.rows += batch.num_rows();
        Ok(())
    }

    fn json(&mut self, batch: &RecordBatch) -> Result<()> {
        // One object a line: the array is JSON as a whole, and its lines can be taken apart without a parser.
        let mut text = Vec::new();
        let mut writer = LineDelimitedWriter::new(&mut text);
        writer.write(batch)?;
        writer.finish()?;
        if self.style.format == Format::Ndjson {
            return Ok(self.out.write_all(&text)?);
        }
        for (at, line) in text.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()).enumerate() {
            self.out.write_all(if self.rows + at == 0 { b"\n" } else { b",\n" })?;
            self.out.write_all(line)?;
        }
        Ok(())
    }

    fn arrow(&mut self, act: impl FnOnce(&mut StreamWriter<Vec<u8>>) -> Result<()>) -> Result<()> {
        if let Some(stream) = &mut self.stream {
            act(stream)?;
            self.out.write_all(stream.get_ref())?;
            stream.get_mut().clear();
        }
        Ok(())
    }

    /// Ends the answer.
    ///
    /// # Errors
    /// When the output cannot be written.
    pub fn finish(mut self) -> Result<()> {
        match self.style.format {
            Format::Table => self.table(),
            Format::Json => Ok(self.out.write_all(b"\n]\n")?),
            Format::Arrow => self.arrow(|stream| Ok(stream.finish()?)),
            Format::Csv | Format::Ndjson | Format::Markdown | Format::Parquet => Ok(()),
        }
    }

    fn table(&mut self) -> Result<()> {
        let Style { shape, width, lines, .. } = self.style;
        let grid = Grid::new(&self.schema, &self.kept, if lines { shown_lines } else { shown })?;
        let (text, rest) = grid.draw(shape, width);
        self.out.write_all(text.as_bytes())?;
        match self.rows {
            0 => writeln!(self.out, "no rows")?,
            1 => writeln!(self.out, "1 row")?,
            rows if rows > ROWS => writeln!(self.out, "the first {ROWS} rows; --format csv, json or parquet gives all")?,
            rows => writeln!(self.out, "{rows} rows")?,
        }
        if !rest.is_empty() {
            let all = self.schema.fields().len();
            let mut line = format!("{} of {all} columns are left out, --expanded (\\x at the prompt) shows all:", rest.len());
            for (at, name) in rest.iter().enumerate() {
                let comma = if at + 1 < rest.len() { "," } else { "" };
                if width.is_some_and(|width| line.chars().count() + name.chars().count() + 2 > usize::from(width)) {
                    writeln!(self.out, "{}", line.trim_end())?;
                    line = " ".into();
                }
                line.push_str(&format!(" {name}{comma}"));
            }
            writeln!(self.out, "{line}")?;
        }
        Ok(())
    }
}

/// A text as a cell of a table in Markdown, or anywhere else in it: bars and what starts markup are escaped.
pub fn marked(cell: &str) -> String {
    let mut text = String::with_capacity(cell.len());
    for c in cell.chars() {
        match c {
            '\n' => text.push_str("<br>"),
            '|' | '\\' | '`' | '*' | '_' | '<' | '>' | '[' | ']' | '&' | '$' => text.extend(['\\', c]),
            c => text.push(c),
        }
    }
    text
}

/// Columns and lines of the terminal that is standard output; `None` where it is none.
pub fn terminal() -> Option<(u16, u16)> {
    terminal_size::terminal_size_of(io::stdout()).map(|(wide, high)| (wide.0, high.0))
}

#[cfg(test)]
mod tests {
    use super::*;
    use arrow::array::{ArrayRef, Int64Array, StringArray};
    use arrow::ipc::reader::StreamReader;

    fn batch() -> RecordBatch {
        let numbers: ArrayRef = Arc::new(Int64Array::from(vec![Some(1), None]));
        let texts: ArrayRef = Arc::new(StringArray::from(vec!["a|b_<c>", "\u{7}"]));
        RecordBatch::try_from_iter([("n", numbers), ("path", texts)]).unwrap()
    }

    fn written(format: Format) -> Vec<u8> {
        let (batch, mut out) = (batch(), Vec::new());
        let mut writer = Writer::new(Style { format, ..Style::default() }, batch.schema(), &mut out).unwrap();
        writer.write(&batch).unwrap();
        writer.write(&batch).unwrap();
        writer.finish().unwrap();
        out
    }

    #[test]
    fn each_form_has_every_row_once() {
        let text = |format| String::from_utf8(written(format)).unwrap();
        assert_eq!(text(Format::Csv), format!("n,path\n{0}{0}", "1,a|b_<c>\n,\u{7}\n"));
        let objects = ["{\"n\":1,\"path\":\"a|b_<c>\"}", "{\"path\":\"\\u0007\"}"];
        assert_eq!(text(Format::Ndjson), format!("{0}\n{1}\n{0}\n{1}\n", objects[0], objects[1]));
        assert_eq!(text(Format::Json), format!("[\n{0},\n{1},\n{0},\n{1}\n]\n", objects[0], objects[1]));
        let rows = "| 1 | a\\|b\\_\\<c\\> |\n|  | \\\\x07 |\n";
        assert_eq!(text(Format::Markdown), format!("| n | path |\n|---|---|\n{rows}{rows}"));
        assert!(text(Format::Table).ends_with("4 rows\n"));
        let bytes = written(Format::Arrow);
        let read = StreamReader::try_new(bytes.as_slice(), None).unwrap();
        assert_eq!(read.map(Result::unwrap).collect::<Vec<_>>(), [batch(), batch()]);
    }
}
