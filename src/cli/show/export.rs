//! `ioriot export`: datasets in the forms of other tools.

use super::{Exit, given};
use crate::amount::typed;
use crate::export::{self, Form, Options, Weight};
use crate::process::stdio;
use crate::rows::Format;
use crate::text::shown_lines;
use anyhow::{Result, ensure};
use clap::ValueEnum;
use std::io::{self, IsTerminal};
use std::path::PathBuf;

/// Write a dataset in the form of another tool
///
/// Calls on files come from a capture, or from a workload where none is given; a C program from a workload. What the form cannot take is counted on standard
/// error. docs/EXPORT.md says what each form holds, and how it is used.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "\
Examples:
  ioriot export cap --to folded -o cap.folded             # flamegraph.pl cap.folded > cap.svg
  ioriot export cap --to folded --weight bytes | sort -n -k2 | tail
  ioriot export cap --to fio-iolog -o cap.iolog           # for fio --read_iolog
  ioriot export cap --to fio-jobs -o cap.fio              # fio --directory=/mnt/new cap.fio
  ioriot export cap --to perfetto -o cap.perfetto         # for ui.perfetto.dev
  ioriot export cap --to strace -o cap.strace             # ioriot ingest reads it back
  ioriot export work --to c -o work.c                     # cc -O2 work.c -lpthread
  ioriot export run --to parquet --table latency -o latency.parquet
  ioriot export work --to csv -o ops.csv")]
pub struct Args {
    /// Datasets (directories); a run is named behind its workload
    #[arg(required = true, value_name = "DATASET")]
    datasets: Vec<PathBuf>,
    /// Form of the export
    #[arg(long, value_enum, value_name = "FORM")]
    to: To,
    /// Write to this file
    #[arg(short, long = "output", value_name = "FILE")]
    out: Option<PathBuf>,
    /// Table or view to write, for csv, parquet and arrow (default: events, ops or results)
    #[arg(long, value_name = "NAME")]
    table: Option<String>,
    /// What stacks weigh, for folded
    #[arg(long, value_enum, value_name = "WEIGHT")]
    weight: Option<Weigh>,
    /// Memory for sorts and aggregations, before they spill to files without a name (in TMPDIR, else /tmp): bytes with unit K, M
    /// or G
    #[arg(long, value_name = "SIZE", default_value = "256M", value_parser = typed::bytes)]
    memory: u64,
}

/// Form of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum To {
    /// A log of fio (version 3), for `fio --read_iolog`
    FioIolog,
    /// A job file of fio, with sizes, mix, order and depth of the reads and writes
    FioJobs,
    /// Folded stacks for flame graphs: directories, file, call
    Folded,
    /// A trace for the Perfetto UI and trace_processor
    Perfetto,
    /// Output like that of strace, which `ioriot ingest` reads back
    Strace,
    /// A program in C that issues the ops of a workload and compares what they do, for reports of kernel bugs
    C,
    /// A table as comma-separated values
    Csv,
    /// A table as a Parquet file
    Parquet,
    /// A table as an Arrow IPC stream
    Arrow,
}

/// What a stack weighs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Weigh {
    /// Time in the calls, ns
    Time,
    /// Bytes that they moved
    Bytes,
    /// How many they are
    Calls,
}

impl Args {
    pub fn run(self) -> Result<Exit> {
        let table = matches!(self.to, To::Csv | To::Parquet | To::Arrow);
        ensure!(table || self.table.is_none(), "--table is for --to csv, parquet and arrow");
        ensure!(self.weight.is_none() || self.to == To::Folded, "--weight is for --to folded");
        ensure!(self.to != To::Parquet || self.out.is_some(), "--to parquet needs a file: -o FILE");
        let binary = matches!(self.to, To::Arrow | To::Perfetto) && self.out.is_none() && io::stdout().is_terminal();
        ensure!(!binary, "this form is not for terminals: -o FILE writes it to a file");
        let form = match self.to {
            To::FioIolog => Form::FioIolog,
            To::FioJobs => Form::FioJobs,
            To::Perfetto => Form::Perfetto,
            To::Strace => Form::Strace,
            To::C => Form::C,
            To::Folded => Form::Folded(match self.weight {
                Some(Weigh::Time) | None => Weight::Time,
                Some(Weigh::Bytes) => Weight::Bytes,
                Some(Weigh::Calls) => Weight::Calls,
            }),
            To::Csv => Form::Table(Format::Csv),
            To::Parquet => Form::Table(Format::Parquet),
            To::Arrow => Form::Table(Format::Arrow),
        };
        let datasets = given::datasets(self.datasets)?;
        let left = export::run(&Options { datasets, form, table: self.table, out: self.out, memory: self.memory })?;
        left.lines().for_each(|line| stdio::complain(shown_lines(&line)));
        Ok(Exit::Done)
    }
}
