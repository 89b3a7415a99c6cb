//! `ioriot query`: SQL over any datasets.

use super::{advice, own, prompt, tables::Desk};
#[cfg(feature = "cluster")]
use crate::engine::cluster::Target;
use crate::engine::{self, Access, Engine};
use crate::files;
use crate::process::stdio;
use crate::rows::{self, Format, Shape, Style, Writer};
use crate::schema::place;
use anyhow::{Context, Result, ensure};
use arrow::datatypes::SchemaRef;
use datafusion::dataframe::DataFrame;
use datafusion::logical_expr::LogicalPlan;
use futures::StreamExt;
use parquet::basic::{Compression, ZstdLevel};
use parquet::file::properties::WriterProperties;
use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::path::PathBuf;

/// Where the SQL of a query comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// SQL given as an argument.
    Text(String),
    /// Path of a file with SQL.
    File(PathBuf),
    /// Standard input: the interactive prompt on a terminal, else SQL that is piped in.
    Prompt,
}

/// What `ioriot query` is asked to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Directories of the datasets to query.
    pub datasets: Vec<PathBuf>,
    /// Directory with views and macros of the user's own (`own.rs`).
    pub sql_dir: Option<PathBuf>,
    /// The SQL: one statement, or several with `;` between them.
    pub sql: Source,
    /// Form of the rows.
    pub format: Format,
    /// Layout of rows for people.
    pub shape: Shape,
    /// File to write the rows to; `None`: standard output.
    pub out: Option<PathBuf>,
    /// Whether the SQL may read and write files beside the datasets.
    pub access: Access,
    /// Bytes of memory that sorts, joins and aggregations may hold together before they spill to disk.
    pub memory: u64,
    /// The cluster that computes the rows; `None`: this machine.
    #[cfg(feature = "cluster")]
    pub cluster: Option<Target>,
}

impl Options {
    /// How answers are printed that go to standard output.
    fn style(&self) -> Style {
        let width = rows::terminal().map(|(wide, _)| wide);
        Style { format: self.format, shape: self.shape, width, ..Style::default() }
    }
}

/// Answers a query, as `ioriot query` does.
///
/// # Errors
/// When a dataset cannot be opened, the SQL is wrong, or the answer cannot be written.
pub fn run(options: &Options) -> Result<()> {
    let own = options.sql_dir.as_deref().map_or(Ok(Vec::new()), own::stages)?;
    let desk = Desk::with(&options.datasets, options.access, options.memory, own)?;
    #[cfg(feature = "cluster")]
    let desk = match &options.cluster {
        Some(target) => desk.on(target)?,
        None => desk,
    };
    desk.engine.check_arithmetic(true);
    match &options.sql {
        Source::Text(sql) => answer_all(&desk, sql, options),
        Source::File(file) => {
            let sql = text(files::given(file)).with_context(|| format!("cannot read {}", file.display()))?;
            answer_all(&desk, &sql, options).with_context(|| format!("in {}", file.display()))
        }
        Source::Prompt if options.out.is_some() => {
            answer_all(&desk, &text(files::whole(io::stdin())).context("cannot read standard input")?, options)
        }
        Source::Prompt if io::stdin().is_terminal() => prompt::run(&desk, options.style(), &options.datasets),
        Source::Prompt => prompt::piped(&desk, options.style(), io::stdin().lock(), &mut BufWriter::new(stdio::Answer)),
    }
}

fn text(bytes: io::Result<Vec<u8>>) -> Result<String> {
    Ok(prompt::unmarked(&String::from_utf8(bytes?)?).to_owned())
}

/// Answers the statements of a text, into the file that the options name or to standard output.
///
/// # Errors
/// When one of them is wrong, or the answer cannot be written.
pub(super) fn answer_all(desk: &Desk, sql: &str, options: &Options) -> Result<()> {
    options.out.as_deref().map_or(Ok(()), |out| place::foreign(out, &options.datasets))?;
    let statements = engine::statements(sql);
    ensure!(!statements.is_empty(), "there is no SQL to run");
    match (&options.out, statements.as_slice()) {
        (None, statements) => {
            let mut out = BufWriter::new(stdio::Answer);
            for statement in statements {
                answer(desk, statement, options.style(), &mut out)?;
            }
            Ok(out.flush()?)
        }
        (Some(file), [statement]) => files::write(file, |made| match options.format {
            Format::Parquet => parquet(&desk.engine, plan(desk, statement)?, made),
            format => {
                let mut out = BufWriter::new(made);
                answer(desk, statement, Style { format, shape: options.shape, ..Style::default() }, &mut out)?;
                Ok(out.flush()?)
            }
        }),
        (Some(file), _) => anyhow::bail!("{} can hold one answer, and there are several statements", file.display()),
    }
}

/// Runs one statement and writes its rows in this style.
///
/// # Errors
/// When the SQL is wrong, the output cannot be written, or the format is Parquet.
pub fn answer(desk: &Desk, statement: &str, style: Style, out: &mut (dyn Write + Send)) -> Result<()> {
    let frame = plan(desk, statement)?;
    let lines = matches!(frame.logical_plan(), LogicalPlan::Explain(_) | LogicalPlan::Analyze(_));
    let schema: SchemaRef = frame.schema().as_arrow().clone().into();
    desk.engine.block_on(async {
        let mut batches = desk.engine.rows(frame).await?;
        let mut writer = Writer::new(Style { lines, ..style }, schema, out)?;
        while !writer.full()
            && let Some(batch) = batches.next().await
        {
            writer.write(&batch?)?;
        }
        writer.finish()
    })
}

fn plan(desk: &Desk, statement: &str) -> Result<DataFrame> {
    desk.engine.sql(statement).map_err(|error| advice::better(error, statement, desk))
}

fn parquet(engine: &Engine, frame: DataFrame, file: File) -> Result<()> {
    let schema = frame.schema().as_arrow().clone().into();
    let properties = WriterProperties::builder().set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?)).build();
    let encoders = engine.encoders()?;
    let write = async { engine::write(engine.rows(frame).await?, schema, file, properties, None, encoders, |_| ()).await };
    engine.block_on(write).map(drop)
}
