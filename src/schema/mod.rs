//! Tables and datasets: the definition of what is in every Parquet file, from which docs/SCHEMA.md is generated.

pub mod arguments;
pub mod begun;
pub mod calls;
mod column;
pub mod contents;
pub mod dataset;
pub mod draft;
pub mod encode;
pub mod entries;
pub mod layouts;
pub mod losses;
pub mod own;
pub mod place;
pub mod profile;
pub mod read;
pub mod tables;

pub use column::{Column, Type};
pub use dataset::{Dataset, Manifest};
pub use draft::Draft;
use encode::{Encoder, Encoders};
pub use read::check;
pub use tables::{Packing, Table};

use anyhow::{Context, Result};
use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{FieldRef, Schema};
use parquet::arrow::ARROW_SCHEMA_META_KEY;
use parquet::arrow::arrow_writer::{ArrowWriter, ArrowWriterOptions};
use parquet::basic::{Compression, Encoding, ZstdLevel};
use parquet::file::metadata::{KeyValue, SortingColumn};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesBuilder};
use parquet::schema::types::ColumnPath;
use std::io::Write;
use std::sync::Arc;

/// Rows in a row group of most tables, at most: measured best in size and in speed of reading.
pub const ROW_GROUP: usize = 128 * 1024;

/// Bytes on disk in a row group, at most: a writer holds a row group in memory until it is complete. Only long texts
/// that do not compress reach it.
pub const GROUP_BYTES: usize = 64 << 20;

/// Rows in a page of table `ops`, at most. A replay holds one decoded page for each lane that runs; with larger ones
/// the lanes of a busy server would take too much memory together.
const OPS_PAGE: usize = 16 * 1024;

/// Values that a writer of tables encodes at a time; the default of 1024 suits short batches.
const WRITE_BATCH: usize = 8 * 1024;

/// Properties of temporary Parquet files, which this process reads again: bounded row groups, and no statistics.
///
/// # Errors
/// When the compressor refuses its level, which it does not.
pub fn scratch_properties() -> parquet::errors::Result<WriterProperties> {
    let properties = WriterProperties::builder()
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        .set_statistics_enabled(EnabledStatistics::None);
    Ok(properties.build())
}

/// What the file of a table says of its columns, as key-value metadata: the meaning of each as `column.NAME`, for readers that show
/// no more than text, and the Arrow schema, whose fields have it as metadata. `more` are columns of an edited stage behind those of the
/// table.
pub fn meanings(table: &Table, more: &[FieldRef]) -> Vec<KeyValue> {
    let columns = table.columns().into_iter();
    let meaning = columns.map(|column| KeyValue::new(format!("column.{}", column.name), column.meaning()));
    let described = table.described();
    let fields = described.fields().iter().chain(more).map(Arc::clone).collect::<Vec<_>>();
    let schema = parquet::arrow::encode_arrow_schema(&Schema::new_with_metadata(fields, described.metadata().clone()));
    meaning.chain([KeyValue::new(ARROW_SCHEMA_META_KEY.to_owned(), schema)]).collect()
}

/// A writer of a table.
///
/// # Errors
/// When the schema is refused, which it is not.
pub fn writer<W: Write + Send>(table: Table, out: W) -> parquet::errors::Result<ArrowWriter<W>> {
    ArrowWriter::try_new_with_options(out, table.schema(), options(table))
}

/// A writer of a table whose columns are encoded by these threads.
///
/// # Errors
/// As [`writer`].
pub fn encoder<W: Write + Send>(table: Table, out: W, encoders: Encoders) -> parquet::errors::Result<Encoder<W>> {
    Encoder::new(out, table.schema(), options(table), encoders)
}

fn options(table: Table) -> ArrowWriterOptions {
    // The properties have the Arrow schema.
    ArrowWriterOptions::new().with_properties(writer_properties(&table).build()).with_skip_arrow_metadata(true)
}

/// Writes a small table of a draft.
///
/// # Errors
/// When the columns are not those of the table, or it cannot be written.
pub fn write(draft: &Draft, table: Table, columns: Vec<ArrayRef>) -> Result<()> {
    let rows = RecordBatch::try_new(table.schema(), columns);
    let done = rows.map_err(anyhow::Error::from).and_then(|rows| {
        let mut writer = writer(table, draft.file(&table.file())?)?;
        writer.write(&rows)?;
        Ok(writer.close()?)
    });
    done.map(drop).with_context(|| format!("cannot write table {}", table.name()))
}

/// Parquet settings of a table: zstd level 1 (higher levels were no smaller), every column encoded as suits its values
/// ([`Packing`]), and the sort order stated so that readers need not sort again. Only columns that grow, those of ops
/// that most rows lack, and the host, by which readers of a fleet choose, have statistics (a least and a greatest value per row
/// group), by which readers skip. For the others they would tell nothing, and to compare every path with the least one costs a
/// twelfth of ingest.
pub fn writer_properties(table: &Table) -> WriterPropertiesBuilder {
    let level = ZstdLevel::try_new(1).unwrap_or_default();
    let mut props = WriterProperties::builder()
        .set_compression(Compression::ZSTD(level))
        .set_statistics_enabled(EnabledStatistics::None)
        .set_max_row_group_row_count(Some(ROW_GROUP))
        .set_max_row_group_bytes(Some(GROUP_BYTES))
        // Of other tables nothing reads less than a row group, and each page costs a compressor of its own to write and
        // to read.
        .set_data_page_row_count_limit(if *table == Table::Ops { OPS_PAGE } else { ROW_GROUP })
        .set_write_batch_size(WRITE_BATCH)
        .set_created_by(format!("ioriot {}", env!("CARGO_PKG_VERSION")))
        .set_key_value_metadata(Some(meanings(table, &[])));
    for column in table.columns() {
        let path = ColumnPath::from(column.name);
        // The replay skips the columns of ops in which a row group has no value: most calls have few arguments.
        let absent = *table == Table::Ops && column.nullable && !matches!(column.name, "path" | "path2" | "raw");
        let packing = table.packing(&column);
        if packing == Packing::Differences || absent || column.name == "host" || table.sorted_by().contains(&column.name) {
            props = props.set_column_statistics_enabled(path.clone(), EnabledStatistics::Chunk);
        }
        let encoding = match packing {
            Packing::Dictionary => continue,
            Packing::Differences => Encoding::DELTA_BINARY_PACKED,
            Packing::Plain => Encoding::PLAIN,
        };
        props = props.set_column_dictionary_enabled(path.clone(), false).set_column_encoding(path, encoding);
    }
    let sorting = table.sorted_by().iter().filter_map(|name| {
        let index = table.columns().iter().position(|column| column.name == *name)?;
        Some(SortingColumn { column_idx: index as i32, descending: false, nulls_first: false })
    });
    props.set_sorting_columns(Some(sorting.collect()))
}
