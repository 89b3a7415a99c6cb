//! Numbers, sizes, times, patterns and places, as people type them.
#![no_main]

libfuzzer_sys::fuzz_target!(|text: &str| ioriot::fuzz::typed(text));
