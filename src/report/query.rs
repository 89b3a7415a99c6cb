//! `ioriot query`: SQL over any datasets.

use super::format::{Format, print};
use super::{advice, prompt, tables::Desk};
use crate::engine::{self, Access, Engine};
use crate::schema::place;
use crate::{files, stdio};
use anyhow::{Context, Result, ensure};
use datafusion::dataframe::DataFrame;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

/// Where the SQL comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The argument.
    Text(String),
    /// A file.
    File(PathBuf),
    /// Standard input: somebody at the keyboard, or what is piped in.
    Prompt,
}

/// What to ask of what.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories of datasets.
    pub datasets: Vec<PathBuf>,
    /// The SQL: one statement, or several with `;` between them.
    pub sql: Source,
    /// The form of the answer.
    pub format: Format,
    /// File to write the answer to, instead of standard output.
    pub out: Option<PathBuf>,
    /// What the SQL may do to files.
    pub access: Access,
    /// Bytes that sorts and aggregations may hold before they spill to disk.
    pub memory: u64,
}

/// Answers a query.
///
/// # Errors
/// When a dataset cannot be opened, the SQL is wrong, or the answer cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let desk = Desk::open(&options.datasets, options.access, options.memory)?;
    match &options.sql {
        Source::Text(sql) => answer_all(&desk, sql, options),
        Source::File(file) => {
            let sql = text(files::given(file)).with_context(|| format!("cannot read {}", file.display()))?;
            answer_all(&desk, &sql, options).with_context(|| format!("in {}", file.display()))
        }
        Source::Prompt if options.out.is_some() => {
            answer_all(&desk, &text(files::whole(io::stdin())).context("cannot read standard input")?, options)
        }
        Source::Prompt if io::stdin().is_terminal() => prompt::run(&desk, options.format),
        Source::Prompt => prompt::piped(&desk, options.format, io::stdin().lock(), &mut BufWriter::new(stdio::Answer)),
    }
}

fn text(bytes: io::Result<Vec<u8>>) -> Result<String> {
    Ok(prompt::unmarked(&String::from_utf8(bytes?)?).to_owned())
}

fn answer_all(desk: &Desk, sql: &str, options: &Options) -> Result<()> {
    options.out.as_deref().map_or(Ok(()), place::foreign)?;
    let statements = engine::statements(sql);
    ensure!(!statements.is_empty(), "there is no SQL to run");
    match (&options.out, statements.as_slice()) {
        (None, statements) => {
            let mut out = BufWriter::new(stdio::Answer);
            for statement in statements {
                answer(desk, statement, options.format, &mut out)?;
            }
            Ok(out.flush()?)
        }
        (Some(file), [statement]) => files::write(file, |made| match options.format {
            Format::Parquet => parquet(&desk.engine, plan(desk, statement)?, made),
            format => {
                let mut out = BufWriter::new(made);
                answer(desk, statement, format, &mut out)?;
                Ok(out.flush()?)
            }
        }),
        (Some(file), _) => anyhow::bail!("{} can hold one answer, and there are several statements", file.display()),
    }
}

/// Answers one statement as text.
///
/// # Errors
/// When the SQL is wrong or the answer cannot be written.
pub fn answer(desk: &Desk, statement: &str, format: Format, out: &mut (dyn Write + Send)) -> Result<()> {
    let frame = plan(desk, statement)?;
    desk.engine.block_on(print(frame, format, out))
}

fn plan(desk: &Desk, statement: &str) -> Result<DataFrame> {
    desk.engine.sql(statement).map_err(|error| advice::better(error, statement, desk))
}

fn parquet(engine: &Engine, frame: DataFrame, file: File) -> Result<()> {
    let schema = frame.schema().as_arrow().clone().into();
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    engine
        .block_on(async { engine::write(frame.execute_stream().await?, schema, file, properties, None, |_| ()).await.map(drop) })
}
