//! Data from somebody else that claims what is not true: an error that names it or the right answer, in bounded time and
//! memory.

mod numbers;
mod sizes;
#[cfg(feature = "sql")]
mod statements;
mod tables;
mod terminal;
