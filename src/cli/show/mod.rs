//! Verbs that show what datasets hold, or what is wrong with them.

pub mod compare;
pub mod export;
pub mod lint;
pub mod look;
pub mod query;
pub mod report;

#[cfg(feature = "cluster")]
use super::cluster::Asked;
use super::{Exit, given, ui};
