//! The rows of a query on their way: to several readers at once, by lane, to temporary files, to a Parquet file.

pub(super) mod cluster;
pub(super) mod keep;
mod pack;
pub(super) mod pool;
pub(super) mod sink;
pub(super) mod spill;
pub(super) mod tee;
