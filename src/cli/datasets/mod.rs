//! Verbs that take a dataset as a whole: make another one of it, or delete what was left behind.

pub mod anonymise;
pub mod clean;
#[cfg(feature = "s3")]
pub mod copy;
pub mod reduce;
