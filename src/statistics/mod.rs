//! Statistics of repeated measurements: medians with intervals, differences of two groups, and distances of distributions. Nothing is
//! assumed of how the values are distributed; that runs are independent is.

pub mod difference;
pub mod distance;
pub mod estimate;
