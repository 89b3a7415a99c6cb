//! What came out: outcomes compared, the order proved, counts, results and the summary.

pub mod compare;
pub mod flaw;
pub mod measure;
pub mod recover;
pub mod results;
pub mod state;
pub mod summary;
pub mod tally;
pub mod violations;
