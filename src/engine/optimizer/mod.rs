//! Plans that DataFusion's optimizer would make wrong: the rules it runs, and what plans are rewritten to before.

pub(super) mod checked;
mod constant;
pub(super) mod distinct;
pub(super) mod lists;
pub(super) mod plain;
pub(super) mod rules;
pub(super) mod skip;
