//! SQL statements before they are planned and run: their dialect, where one ends, how deeply they may nest, what they may touch,
//! the macros that they call, which are refused, and what an error about one advises.

pub(super) mod access;
pub(super) mod advice;
pub(super) mod depth;
pub(super) mod dialect;
pub(super) mod refuse;
pub(super) mod split;
pub(super) mod table_macro;
