//! The model, fed with any events: any call, with any arguments and outcome.
#![no_main]

#[path = "../../tests/it/suite/model/walk.rs"]
mod walk;

use ioriot::event::{Col, Event, Text};
use ioriot::model::Config;
use ioriot::syscall::Syscall;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use walk::walk;

/// Names are few, so that calls meet.
const NAMES: [&str; 16] = [
    "a",
    "b",
    "/a",
    "/a/b",
    "/a/b/c",
    "/",
    ".",
    "..",
    "../a",
    "a/",
    "/proc/self/fd/3",
    "pipe:[1]",
    "/a (deleted)",
    "",
    "//a/./b/..",
    "/l",
];
/// Numbers that mean something somewhere, or are the last of their kind.
const NUMBERS: [i64; 16] =
    [0, 1, 2, 3, 4, -1, -100, 100, 4096, 0o40755, 0o100644, 0x80000, i32::MAX as i64, u32::MAX as i64, i64::MAX, i64::MIN];

fn number(bytes: &mut Unstructured<'_>) -> Result<i64> {
    let choice: u8 = bytes.arbitrary()?;
    match choice {
        0..240 => Ok(NUMBERS[choice as usize % NUMBERS.len()]),
        _ => bytes.arbitrary(),
    }
}

fn text<'a>(bytes: &mut Unstructured<'a>) -> Result<&'a [u8]> {
    let choice: u8 = bytes.arbitrary()?;
    match choice {
        0..250 => Ok(NAMES[choice as usize % NAMES.len()].as_bytes()),
        _ => bytes.arbitrary(),
    }
}

fn event(bytes: &mut Unstructured<'_>) -> Result<Event> {
    let mut event = Event::new(*bytes.choose(Syscall::ALL)?);
    // Most calls succeed, by few threads.
    event.set_outcome(if bytes.ratio(3, 4)? { i64::from(bytes.int_in_range(0..=6u8)?) } else { number(bytes)? });
    event.set(Col::Pid, bytes.int_in_range(1..=3)?);
    event.set(Col::Tid, bytes.int_in_range(1..=4)?);
    event.set(Col::Fd, bytes.int_in_range(0..=6)?);
    for _ in 0..bytes.int_in_range(0..=8)? {
        let (col, value) = (*bytes.choose(Col::ALL)?, number(bytes)?);
        event.set(col, value);
    }
    for _ in 0..bytes.int_in_range(0..=3)? {
        let (col, value) = (*bytes.choose(Text::ALL)?, text(bytes)?);
        event.set_text(col, value);
    }
    Ok(event)
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let mut bytes = Unstructured::new(bytes);
    let mut events = Vec::new();
    while !bytes.is_empty() {
        let Ok(event) = event(&mut bytes) else { break };
        events.push(event);
    }
    // Mappings are followed where the capture tells of page faults.
    walk(Config { faults: events.len() % 2 == 1, ..Config::default() }, &events);
});
