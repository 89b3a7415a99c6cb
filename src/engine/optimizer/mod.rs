//! Plans that DataFusion's optimizer would make wrong: the rules it runs, and what plans are rewritten to before.

mod checked;
mod constant;
pub(super) mod distinct;
pub(super) mod lists;
mod plain;
pub(super) mod rules;
mod skip;
