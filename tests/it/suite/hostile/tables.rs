//! Parquet files that were damaged, by chance and on purpose.

use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
use ioriot::dice::Dice;
use ioriot::schema::{Table, Type, read, writer_properties};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::{
    ColumnChunkMetaData, ColumnChunkMetaDataBuilder, FileMetaData, ParquetMetaData, ParquetMetaDataReader, ParquetMetaDataWriter,
    RowGroupMetaData,
};
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ROWS: i64 = 700;
/// Memory that whoever reads may map, bytes.
const MEMORY: u64 = 1 << 30;
/// Time for all of them together.
const TIME: Duration = Duration::from_secs(240);
/// Set for the process that reads.
const READS: &str = "IORIOT_TEST_READS";

/// A small file of a table.
fn whole(table: Table) -> Vec<u8> {
    let text = |row: i64| (row % 7 != 0).then(|| format!("/some/where/{}/{row}", row % 50));
    let columns = table.columns().into_iter().map(|column| -> ArrayRef {
        let some = |row: &i64| !column.nullable || row % 3 != 0;
        match column.ty {
            Type::Int => Arc::new((0..ROWS).map(|row| some(&row).then_some(row * 13)).collect::<Int64Array>()),
            Type::Bool => Arc::new((0..ROWS).map(|row| some(&row).then_some(row % 2 == 0)).collect::<BooleanArray>()),
            Type::Text if column.nullable => Arc::new((0..ROWS).map(text).collect::<StringArray>()),
            Type::Text => Arc::new((0..ROWS).map(|row| Some(text(row).unwrap_or_default())).collect::<StringArray>()),
        }
    });
    let batch = RecordBatch::try_new(table.schema(), columns.collect()).unwrap();
    let properties = writer_properties(&table)
        .set_max_row_group_row_count(Some(300))
        .set_data_page_row_count_limit(100)
        .set_write_batch_size(100);
    let mut writer = ArrowWriter::try_new(Vec::new(), table.schema(), Some(properties.build())).unwrap();
    writer.write(&batch).unwrap();
    writer.into_inner().unwrap()
}

/// Where the table of contents begins.
fn contents_at(file: &[u8]) -> usize {
    let length: [u8; 4] = file[file.len() - 8..][..4].try_into().unwrap();
    file.len() - 8 - u32::from_le_bytes(length) as usize
}

/// Reads all of a file, or says why not. What it says must name the file.
fn read_all(path: &Path, bytes: &[u8]) -> Result<usize, String> {
    fs::write(path, bytes).unwrap();
    let read = || -> anyhow::Result<usize> {
        let mut rows = 0;
        for batch in read::Reader::new(path.display().to_string(), fs::File::open(path)?, None)?.build()? {
            rows += batch?.num_rows();
        }
        Ok(rows)
    };
    read().map_err(|error| format!("{error:#}"))
}

/// Either it is refused, or it has all its rows.
fn judge(path: &Path, bytes: &[u8], damage: &str) -> Result<(), String> {
    let read = read_all(path, bytes);
    match &read {
        Ok(rows) => assert_eq!(*rows as i64, ROWS, "{damage}"),
        Err(error) => assert!(error.starts_with(&path.display().to_string()), "{damage}: {error}"),
    }
    read.map(drop)
}

/// A table of contents with lies in its row groups and columns.
fn with_lie(file: &[u8], group: impl Fn(RowGroupMetaData) -> RowGroupMetaData) -> Vec<u8> {
    let at = contents_at(file);
    let contents = ParquetMetaDataReader::decode_metadata(&file[at..file.len() - 8]).unwrap();
    let told = contents.file_metadata();
    let (schema, order) = (told.schema_descr_ptr(), told.column_orders().cloned());
    let told = FileMetaData::new(told.version(), told.num_rows(), None, None, schema, order);
    let groups = contents.row_groups().iter().cloned().map(group).collect();
    let mut lying = file[..at].to_vec();
    ParquetMetaDataWriter::new(&mut lying, &ParquetMetaData::new(told, groups)).finish().unwrap();
    lying
}

type Lie = fn(ColumnChunkMetaDataBuilder, i64) -> ColumnChunkMetaDataBuilder;

/// What a column may say that is not true.
const LIES: &[(&str, Lie)] = &[
    ("num_values", |column, value| column.set_num_values(value)),
    ("compressed size", |column, value| column.set_total_compressed_size(value)),
    ("data offset", |column, value| column.set_data_page_offset(value)),
    ("dictionary offset", |column, value| column.set_dictionary_page_offset(Some(value))),
];
/// None so large that the writer could not sum up what they are among.
const VALUES: &[i64] = &[-1, i64::MIN, i64::MAX - (1 << 40), 1 << 62, 1 << 31, 1 << 40, 0, 5, 1 << 20];

fn lie(column: &ColumnChunkMetaData, lie: Lie, value: i64) -> ColumnChunkMetaData {
    lie(column.clone().into_builder(), value).build().unwrap()
}

fn damage_all(dir: &Path) {
    for table in Table::ALL {
        let (path, file) = (dir.join(table.file()), whole(*table));
        assert_eq!(read_all(&path, &file), Ok(ROWS as usize));
        let at = contents_at(&file);
        // Flipped bits: of the table of contents, of the first pages, anywhere.
        let mut dice = Dice::new(7);
        let mut next = |from: usize, to: usize| from + dice.below((to - from) as u64) as usize;
        for case in 0..300 {
            let place = match case % 4 {
                0 | 1 => next(at, file.len()),
                2 => next(4, 200),
                _ => next(4, at),
            };
            let bit = next(0, 8);
            let mut damaged = file.clone();
            damaged[place] ^= 1 << bit;
            let _ = judge(&path, &damaged, &format!("{}: bit {bit} of byte {place}", table.name()));
        }
        // Cut off.
        for end in [0, 3, 11, 12, at / 2, at, file.len() - 8, file.len() - 1] {
            judge(&path, &file[..end], "cut off").unwrap_err();
        }
        // Lies.
        for value in VALUES.iter().copied().filter(|value| *value != ROWS) {
            // Only one of them lies: the writer sums them up.
            let of_rows = |group: RowGroupMetaData| {
                let rows = if group.ordinal() == Some(0) { value } else { 0 };
                group.into_builder().set_num_rows(rows).build().unwrap()
            };
            let told = format!("{}: a row group of {value} rows", table.name());
            assert!(judge(&path, &with_lie(&file, of_rows), &told).is_err(), "{told}");
            for (name, make) in LIES {
                let lying = |group: RowGroupMetaData| {
                    if group.ordinal() != Some(0) {
                        return group;
                    }
                    let mut columns = group.columns().to_vec();
                    columns[0] = lie(&columns[0], *make, value);
                    group.into_builder().set_column_metadata(columns).build().unwrap()
                };
                let told = format!("{}: {name} {value}", table.name());
                assert!(judge(&path, &with_lie(&file, lying), &told).is_err(), "{told}");
            }
        }
    }
}

#[test]
fn a_damaged_table_is_refused_or_read_to_its_end_and_never_more_memory_than_allowed() {
    if let Some(dir) = std::env::var_os(READS) {
        return damage_all(Path::new(&dir));
    }
    let dir = tempfile::tempdir().unwrap();
    let mut reader = Command::new(std::env::current_exe().unwrap());
    let name = module_path!().split_once("::").unwrap().1;
    reader.args(["--exact", "--nocapture", "--test-threads=1"]);
    reader.arg(format!("{name}::a_damaged_table_is_refused_or_read_to_its_end_and_never_more_memory_than_allowed"));
    reader.env(READS, dir.path());
    let limit = libc::rlimit { rlim_cur: MEMORY, rlim_max: MEMORY };
    // SAFETY: between fork and exec only setrlimit(2) is called.
    unsafe {
        reader.pre_exec(move || match libc::setrlimit(libc::RLIMIT_AS, &limit) {
            0 => Ok(()),
            _ => Err(std::io::Error::last_os_error()),
        });
    }
    let log = fs::File::create(dir.path().join("log")).unwrap();
    reader.stdout(log.try_clone().unwrap()).stderr(log);
    let log = dir.path().join("log");
    let (start, mut reader) = (Instant::now(), reader.spawn().unwrap());
    let status = loop {
        match reader.try_wait().unwrap() {
            Some(status) => break status,
            None if start.elapsed() > TIME => {
                let _ = reader.kill();
                panic!("it hangs: {}", fs::read_to_string(&log).unwrap());
            }
            None => std::thread::sleep(Duration::from_millis(50)),
        }
    };
    let said = fs::read_to_string(&log).unwrap();
    assert!(status.success() && said.contains("1 passed"), "{status}\n{said}");
    // Not a word of what the library thinks of it.
    assert!(!said.contains("panicked"), "{said}");
}

#[test]
fn a_text_or_a_page_that_is_too_large_is_refused_before_it_is_decoded() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fileset.parquet");
    let refused = |length: usize, rows: usize, word: &str| {
        let columns = Table::Rejects.columns().into_iter().map(|column| -> ArrayRef {
            match column.ty {
                Type::Text => Arc::new(StringArray::from(vec!["x".repeat(length); rows])),
                _ => Arc::new(Int64Array::from(vec![1; rows])),
            }
        });
        let batch = RecordBatch::try_new(Table::Rejects.schema(), columns.collect()).unwrap();
        let properties = writer_properties(&Table::Rejects).set_dictionary_enabled(false).build();
        let mut writer = ArrowWriter::try_new(Vec::new(), Table::Rejects.schema(), Some(properties)).unwrap();
        writer.write(&batch).unwrap();
        let file = writer.into_inner().unwrap();
        assert!(file.len() < 1 << 20, "it is small on disk: {}", file.len());
        let error = read_all(&path, &file).unwrap_err();
        assert!(error.contains(word), "{error}");
    };
    refused(300_000, 2, "a text of 300000 bytes");
    refused(70 << 20, 1, "67108864 are the limit");
}

/// A table of edges without rows, in which one byte was changed: a list of names became one of something else.
const ODD: &str = "504152311502196c480c6172726f775f736368656d61150a001504250018056f705f6964001504250018046c616e650015042500180561667465\
                   720015042500180a61667465725f6c616e6500150c250018087265736f7572636525004c1c0000001600190c280c696f72696f7420302e319c4f2a\
                   13457d7da003d8fb59d94decb6db0704d160a36f516e6350415231";

#[test]
fn what_makes_the_library_panic_is_an_error_that_names_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let bytes: Vec<u8> = (0..ODD.len()).step_by(2).map(|at| u8::from_str_radix(&ODD[at..at + 2], 16).unwrap()).collect();
    let path = dir.path().join("edges.parquet");
    let error = read_all(&path, &bytes).unwrap_err();
    assert!(error.starts_with(&path.display().to_string()), "{error}");
}
