//! The output of strace, and what the model makes of it.
#![no_main]

use ioriot::fuzz;
use ioriot::ingest::Format;
use ioriot::model::Config;

libfuzzer_sys::fuzz_target!(|text: &[u8]| fuzz::walk(Config::default(), &fuzz::events(Format::Strace, text)));
