//! Verbs for those who build, package and measure ioriot.

pub(super) mod calibrate;
pub(super) mod completions;
pub mod docs;
pub(super) mod man;
pub(super) mod synth;

use super::{Exit, ui};
