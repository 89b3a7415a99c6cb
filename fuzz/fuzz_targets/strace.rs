//! The output of strace, and what the model makes of it.
#![no_main]

#[path = "../../tests/it/suite/model/walk.rs"]
mod walk;

use ioriot::fuzz;
use ioriot::ingest::Format;
use ioriot::model::Config;
use walk::walk;

libfuzzer_sys::fuzz_target!(|text: &[u8]| walk(Config::default(), &fuzz::events(Format::Strace, text)));
