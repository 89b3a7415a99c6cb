//! Verbs that show what datasets hold.

pub mod compare;
pub mod export;
pub mod look;
pub mod report;

use super::{Exit, given, ui};
