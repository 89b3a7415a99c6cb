//! What the system is asked for its users, their rights and its numbers.

pub mod description;
pub mod descriptor;
pub mod kernel;
pub mod rights;
pub mod user;
