//! What the walk of the model costs: ns per event on a synthetic capture, events decoded beforehand.
//!
//! ```text
//! cargo bench --no-default-features --bench model -- [LINES]       default 1,000,000
//! ```

use anyhow::{Context, Result};
use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType, Int64Type};
use ioriot::event::{Col, Event, Text};
use ioriot::ingest::{Format, Input, Options, run, synth};
use ioriot::model::{Config, Model, Rows};
use ioriot::progress::Progress;
use ioriot::syscall::Syscall;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use std::fs::File;
use std::io::{BufWriter, Write};
use std::time::Instant;

fn main() -> Result<()> {
    let lines = std::env::args().skip(1).find(|arg| arg != "--bench").map_or(Ok(1_000_000), |n| n.parse())?;
    let dir = std::env::temp_dir().join(format!("ioriot-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    let (input, out) = (dir.join("synth.capture"), dir.join("capture"));
    let mut text = BufWriter::new(File::create(&input)?);
    synth::write(&synth::Options::new(Format::Capture, lines), &mut text)?;
    text.flush()?;
    run(&Options::new(vec![Input::Path(input)], &out), &Progress::default())?;
    let events = events(File::open(out.join("events.parquet"))?)?;
    std::fs::remove_dir_all(&dir)?;

    for _ in 0..5 {
        let mut model = Model::new(Config::default());
        let (mut rows, mut ops, mut touches) = (Rows::default(), 0, 0);
        let begin = Instant::now();
        for event in &events {
            model.step(event, &mut rows);
            if rows.list.len() >= 256 {
                (ops, touches) = (ops + rows.list.len(), touches + rows.touches.len());
                rows.clear();
            }
        }
        let ns = begin.elapsed().as_nanos() as f64 / events.len() as f64;
        println!("{ns:.0} ns per event, {:.2} touches per row", touches as f64 / ops as f64);
    }
    Ok(())
}

fn events(file: File) -> Result<Vec<Event>> {
    let mut events = Vec::new();
    for batch in ParquetRecordBatchReaderBuilder::try_new(file)?.build()? {
        decode(&batch?, &mut events)?;
    }
    Ok(events)
}

fn decode(batch: &RecordBatch, events: &mut Vec<Event>) -> Result<()> {
    let column = |name: &str, ty: &DataType| cast(batch.column_by_name(name).context(name.to_owned())?, ty).context("cast");
    let names = column("syscall", &DataType::Utf8)?;
    let first = events.len();
    for name in names.as_string::<i32>().iter() {
        events.push(Event::new(Syscall::parse(name.unwrap_or_default().as_bytes()).unwrap_or(Syscall::other)));
    }
    for col in Col::ALL {
        let Ok(values) = column(col.name(), &DataType::Int64) else { continue };
        let values = values.as_primitive::<Int64Type>();
        for (event, at) in events[first..].iter_mut().zip(0..) {
            event.put(*col, values.is_valid(at).then(|| values.value(at)));
        }
    }
    for text in Text::ALL {
        let Ok(values) = column(text.name(), &DataType::Utf8) else { continue };
        for (event, value) in events[first..].iter_mut().zip(values.as_string::<i32>().iter()) {
            if let Some(value) = value {
                event.set_text(*text, ioriot::text::decode(value));
            }
        }
    }
    Ok(())
}
