//! Statistics of repeated measurements: medians with intervals, and differences of two groups. Nothing is assumed of how the values
//! are distributed; that runs are independent is.

pub mod difference;
pub mod estimate;
