//! The outcome of a replay: results compared and written, the order checked, the tree compared, counts and the summary.

pub mod caveat;
pub mod compare;
pub mod flaw;
pub mod measure;
pub mod recover;
pub mod results;
pub mod state;
pub mod summary;
pub mod tally;
pub mod violations;
