//! Verbs that show what datasets hold.

pub mod compare;
pub mod report;

use super::{Exit, given};
