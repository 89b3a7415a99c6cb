//! Verbs that show what datasets hold.

pub mod report;

use super::{Exit, given};
