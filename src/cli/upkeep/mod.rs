//! Verbs for those who build, package and measure ioriot.

pub mod calibrate;
pub mod completions;
pub mod docs;
pub mod man;
pub mod synth;

use super::{Exit, ui};
